"""How many kinds of eruption has Old Faithful?

Chooses a Gaussian mixture by BIC in a scikit-learn grid search and prints it in minutes.
Run it with ``python examples/quickstart.py``.
"""

import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from emlearn.datasets import load_faithful
from emlearn.mixture import GaussianMixture
from emlearn.model_selection import bic_scorer

TYPES = ["full", "tied", "diag", "spherical"]
SIZES = [1, 2, 3, 4, 5, 6]
UNIT = "min"


def search(X: np.ndarray) -> GridSearchCV:
    """Fit every number of components with every covariance type."""
    model = Pipeline(
        [
            ("scale", StandardScaler()),
            ("mixture", GaussianMixture(random_state=0, n_init=5)),
        ]
    )
    grid = {"mixture__n_components": SIZES, "mixture__covariance_type": TYPES}
    # One "fold" that fits and scores on all rows. BIC already charges for the parameters and needs
    # the likelihood of the rows that were fitted: nothing is to be held out. The BIC of a held-out
    # fifth has another likelihood and another n, and it chooses another model.
    rows = np.arange(len(X))
    return GridSearchCV(model, grid, scoring=bic_scorer, cv=[(rows, rows)]).fit(X)


def in_units(model: Pipeline) -> tuple[np.ndarray, np.ndarray]:
    """Take the means and the (full) covariances back through the scaler."""
    scaler, mixture = model["scale"], model["mixture"]
    n_components, n_features = mixture.means_.shape
    identity = np.eye(n_features)
    scaled = {
        "full": lambda c: c,
        "tied": lambda c: np.tile(c, (n_components, 1, 1)),
        "diag": lambda c: c[:, :, np.newaxis] * identity,
        "spherical": lambda c: c[:, np.newaxis, np.newaxis] * identity,
    }[mixture.covariance_type](mixture.covariances_)
    means = mixture.means_ * scaler.scale_ + scaler.mean_
    return means, scaled * np.outer(scaler.scale_, scaler.scale_)


def print_comparison(found: GridSearchCV) -> None:
    results = found.cv_results_
    bic = {
        (params["mixture__n_components"], params["mixture__covariance_type"]): -score
        for params, score in zip(results["params"], results["mean_test_score"], strict=True)
    }
    chosen = found.best_params_
    best = chosen["mixture__n_components"], chosen["mixture__covariance_type"]
    print("BIC of the standardised data, smaller is better (* the smallest)\n")
    print("components" + "".join(f"{name:>13}" for name in TYPES))
    for size in SIZES:
        cells = (f"{bic[size, t]:>12.1f}{'*' if (size, t) == best else ' '}" for t in TYPES)
        print(f"{size:>10}" + "".join(cells).rstrip())


def print_model(model: Pipeline, names: list[str]) -> None:
    mixture = model["mixture"]
    means, covariances = in_units(model)
    deviations = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    correlations = covariances[:, 0, 1] / deviations.prod(axis=1)

    print(
        f"\nChosen: {mixture.n_components} components, covariance type "
        f"{mixture.covariance_type!r}; mean ± standard deviation\n"
    )
    print("component  weight" + "".join(f"{f'{n} [{UNIT}]':>19}" for n in names) + "  correlation")
    for k, weight in enumerate(mixture.weights_):
        cells = (
            f"{f'{m:.2f} ± {s:.2f}':>19}" for m, s in zip(means[k], deviations[k], strict=True)
        )
        print(f"{k:>9}{weight:>8.3f}" + "".join(cells) + f"{correlations[k]:>13.2f}")


def print_predictions(model: Pipeline, names: list[str], rows: np.ndarray) -> None:
    print("\nNew eruptions\n")
    probabilities = model.predict_proba(rows)
    width = max(7 * probabilities.shape[1], len("probabilities"))
    header = "".join(f"{f'{n} [{UNIT}]':>17}" for n in names)
    print(f"{header}  component  {'probabilities':>{width}}")
    for row, label, p in zip(rows, model.predict(rows), probabilities, strict=True):
        shares = "".join(f"{value:>7.3f}" for value in p)
        print("".join(f"{v:>17.1f}" for v in row) + f"{label:>11}  {shares:>{width}}")


def main() -> None:
    faithful = load_faithful()
    print(f"Old Faithful: {len(faithful.data)} eruptions, their duration and the waiting time\n")
    found = search(faithful.data)
    print_comparison(found)
    print_model(found.best_estimator_, faithful.feature_names)
    new = np.array([[1.8, 52.0], [2.9, 66.0], [3.4, 73.0], [4.5, 82.0]])
    print_predictions(found.best_estimator_, faithful.feature_names, new)


if __name__ == "__main__":
    main()
