"""Numbers of trusted software."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from emlearn.datasets import load_faithful
from emlearn.exceptions import DegenerateComponentsWarning
from emlearn.mixture import GaussianMixture

HERE = Path(__file__).parent / "reference"
CODES = {"VVV": "full", "EEE": "tied", "VVI": "diag", "VII": "spherical"}


def case(file, name):
    cases = json.loads((HERE / file).read_text())["cases"]
    return next(c for c in cases if c["id"] == name)


def read(name):
    header, *lines = (HERE / f"{name}.csv").read_text().split()
    return header.replace('"', "").split(","), [line.split(",") for line in lines]


def mclust_cells():
    for data in ("faithful", "iris", "diabetes", "galaxies", "wreath"):
        header, rows = read(f"{data}_table")
        for row in rows:
            cell = dict(zip(header, row, strict=True))
            name = {"V": "VVV", "E": "EEE"}.get(cell["model"], cell["model"])
            if name in CODES:
                yield pytest.param(data, CODES[name], cell, id=f"{data}-{name}-{cell['G']}")


@pytest.mark.parametrize(("data", "covariance_type", "cell"), list(mclust_cells()))
def test_bic_of_mclust(data, covariance_type, cell):
    header, rows = read(data)
    columns = [j for j, name in enumerate(header) if name != "class"]
    X = np.array([[float(row[j]) for j in columns] for row in rows])
    G = int(cell["G"])
    labels = np.zeros(len(X), dtype=int)
    if G > 1:
        header, rows = read(f"{data}_init_labels")
        labels = np.array([int(row[header.index(f"G{G}")]) for row in rows]) - 1
    model = GaussianMixture(
        G,
        covariance_type=covariance_type,
        init_params=labels,
        reg_covar=0,
        tol=1e-13,
        max_iter=20_000,
    )
    if cell["rc_tight"] not in ("0", "NA") or cell["bic_tight"] == "NA":
        # where mclust gives NA: an error, or a fit that stopped with a warning
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                model.fit(X)
            except ValueError:
                return
        assert caught or np.isfinite(model.lower_bound_)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateComponentsWarning)
        model.fit(X)
    assert model.n_parameters_ == int(cell["nparam"])
    assert -model.bic(X) == pytest.approx(float(cell["bic_tight"]), abs=1e-4)


def test_other_units_are_exact():
    expected = case("degenerate.json", "scaling_faithful")["expected"]
    X = load_faithful().data
    start = (X[:, 1] > 68).astype(int)
    for a, b, name in ((1, 0, "original"), (1e6, 1e9, "1e6_exact"), (1e-6, 0, "1e_6_exact")):
        model = GaussianMixture(2, init_params=start, reg_covar=0, tol=1e-13, max_iter=1000)
        value = model.fit(a * X + b).lower_bound_ * len(X)
        assert value == pytest.approx(expected[f"loglik_{name}"], abs=1e-6 if a == 1 else 1e-4)


def test_likelihood_on_a_path_to_a_singularity():
    x = np.array(read("galaxies")[1], dtype=float)
    for point in case("degenerate.json", "hathaway_path")["expected"]:
        model = GaussianMixture.from_parameters(
            [0.5, 0.5],
            [[x.mean()], [x[0, 0]]],
            [x.var(), point["sigma2"] ** 2],
            covariance_type="spherical",
        )
        assert model.score(x) * len(x) == pytest.approx(point["loglik"], abs=1e-8)
