"""The EM algorithm itself: statistics, the loop, and what is done between its steps. It knows no model."""

from .fixed import Constraints
from .held import Held, Space
from .loop import Accelerator, Problem, Result, StopReason, run
from .posteriors import PosteriorMode
from .probabilities import average_statistics, shares
from .reduce import block_rows, map_reduce, row_blocks, unit_blocks
from .seeded import seeded_start
from .short_runs import short_runs
from .sources import Block, InMemory, Source
from .split_merge import split_merge
from .squarem import Squarem
from .starts import Start, draw_start, given_start
from .statistics import Joint, Moments, Statistics, Sums, combine, difference_norms
from .threads import Workers, effective_threads, single_threaded_blas
from .units import Units

__all__ = [
    "Accelerator",
    "Block",
    "Constraints",
    "Held",
    "InMemory",
    "Joint",
    "Moments",
    "PosteriorMode",
    "Problem",
    "Result",
    "Source",
    "Space",
    "Squarem",
    "Start",
    "Statistics",
    "StopReason",
    "Sums",
    "Units",
    "Workers",
    "average_statistics",
    "block_rows",
    "combine",
    "difference_norms",
    "draw_start",
    "effective_threads",
    "given_start",
    "map_reduce",
    "row_blocks",
    "run",
    "shares",
    "seeded_start",
    "short_runs",
    "single_threaded_blas",
    "split_merge",
    "unit_blocks",
]
