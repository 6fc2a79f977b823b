"""Side-by-side measurements against the best peer: ``python -m benchmarks``.

The installed package is measured, never the source folder: ``python -m`` puts
the folder it was called from first on the path, so it is taken off again here.
"""

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != _ROOT]
