"""Laws of estimators among others: copies, files, clones, searches."""

from __future__ import annotations

import importlib.util
import pickle
import unittest
import warnings
from typing import Any

import numpy as np
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils import estimator_checks

from ._hold import close, hold, snapshot
from ._service_case import ServiceCase, published


def _same_answers(case: ServiceCase, copied: Any, what: str) -> None:
    hold(type(copied) is type(case.fitted), f"{what} is a {type(copied).__name__}.")
    hold(vars(copied).keys() == vars(case.fitted).keys(), f"{what} has other attributes.")
    case.same(copied, case.fitted, what)
    theirs = case.answers(case.fitted)
    hold(theirs, "the estimator has no answers.")
    for name, value in case.answers(copied).items():
        hold(np.array_equal(value, theirs[name]), f"{what}: {name} is not the same to the bit.")
    if case.has("warm_start"):
        again = [
            pickle.loads(pickle.dumps(m)).set_params(warm_start=True) for m in (copied, case.fitted)
        ]
        case.same(*(case.refit(model) for model in again), f"{what}, fitted on")


def check_pickle(case: ServiceCase) -> None:
    """A pickle is the same fit, answers the same and goes on the same, to the bit."""
    _same_answers(case, pickle.loads(pickle.dumps(case.fitted)), "a pickle")


def check_skops(case: ServiceCase) -> None:
    """The same of a file of skops, which needs to trust nothing but the package of the estimator."""
    if importlib.util.find_spec("skops") is None:
        raise unittest.SkipTest("skops is not installed")
    import skops.io

    data = skops.io.dumps(case.fitted)
    unknown = skops.io.get_untrusted_types(data=data)
    package = type(case.estimator).__module__.partition(".")[0]
    foreign = [name for name in unknown if name.partition(".")[0] not in (package, "emlearn")]
    hold(not foreign, f"skops would have to trust {foreign}.")
    _same_answers(case, skops.io.loads(data, trusted=unknown), "a file of skops")


def check_clone(case: ServiceCase) -> None:
    """A clone has the parameters and nothing of the fit; fit writes to none of them."""
    model = case.new()
    before = snapshot(model.get_params())
    case.refit(model)
    hold(snapshot(model.get_params()) == before, "fit writes to a parameter of the constructor.")
    fresh = clone(model)
    hold(snapshot(fresh.get_params()) == before, "a clone has other parameters.")
    left = [name for name in vars(fresh) if name.endswith("_") and not name.startswith("_")]
    hold(not left, f"a clone has {left} of the fit.")
    case.same(case.refit(fresh), model, "a fit of a clone")
    settings = model.get_params(deep=False)
    hold(snapshot(type(model)(**settings).get_params()) == before, "__init__ changes a parameter.")


# those that take no time and need no data
_COMMON = (
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_set_params,
    estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
    estimator_checks.check_valid_tag_types,
    estimator_checks.check_estimator_repr,
)


def check_common(case: ServiceCase) -> None:
    """What scikit-learn asks of the constructor and the tags of any estimator."""
    name = type(case.estimator).__name__
    for check in _COMMON:
        check(name, clone(case.estimator))


def check_grid_search(case: ServiceCase) -> None:
    """A search over parameters of the engine: its scores and its best fit are those of fits by hand."""
    halves = [case.take(range(i, len(case.units), 2))[2] for i in (0, 1)]
    splits = [(halves[0], halves[1]), (halves[1], halves[0])]
    grid = {"accelerate": [None, "squarem"], "max_iter": [1, 6]}
    with sklearn.config_context(enable_metadata_routing=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = GridSearchCV(case.new(), grid, cv=splits).fit(case.X, **case.given)
    for i, settings in enumerate(search.cv_results_["params"]):
        for j, (train, test) in enumerate(splits):
            known, asked = ({n: v[rows] for n, v in case.given.items()} for rows in (train, test))
            model = case.fit(case.rows(train), known, **settings)
            score = model.score(case.rows(test), **asked)
            found = search.cv_results_[f"split{j}_test_score"][i]
            close(found, score, f"score of {settings} by GridSearchCV", 1e-12)
    hold(published(search.best_estimator_), "GridSearchCV has no best estimator.")
    case.same(search.best_estimator_, case.fit(**search.best_params_), "best_estimator_")


MANNERS = {
    "pickle": check_pickle,
    "skops": check_skops,
    "clone": check_clone,
    "scikit-learn's checks": check_common,
    "GridSearchCV": check_grid_search,
}
