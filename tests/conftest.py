"""The suite runs against the installed package; fixtures that scikit-learn's own tests ask for."""

from pathlib import Path

import numpy as np
import pytest

import emlearn

SOURCE = Path(__file__).resolve().parent.parent / "emlearn"


def pytest_sessionstart(session):
    found = Path(emlearn.__file__).resolve()
    if found.is_relative_to(SOURCE):
        pytest.exit(
            f"The tests must import the installed emlearn, compiled parts included, not {found}."
            ' Install it (pip install ".[tests]") and call `pytest`, not `python -m pytest`.',
            returncode=4,
        )


def pytest_generate_tests(metafunc):
    if "global_random_seed" in metafunc.fixturenames:
        n_seeds = getattr(metafunc.module, "N_SEEDS", 100)
        metafunc.parametrize("global_random_seed", range(n_seeds))
    if "global_dtype" in metafunc.fixturenames:
        metafunc.parametrize("global_dtype", [np.float32, np.float64])
