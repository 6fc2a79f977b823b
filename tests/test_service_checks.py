"""The checks of the services find estimators for which a service does not work."""

import warnings

import numpy as np
import pytest

from emlearn.callbacks import Checkpoint
from emlearn.em import row_blocks
from emlearn.mixture import BernoulliMixture, PoissonMixture
from emlearn.testing import check_services, service_checks
from emlearn.testing._service_case import ServiceCase

RNG = np.random.RandomState(0)
Z = np.arange(90) % 3
COUNTS = RNG.poisson(np.array([[1.0, 9.0], [8.0, 2.0], [16.0, 16.0]])[Z]).astype(float)
YES = RNG.uniform(size=(90, 3)) < np.array([[0.9, 0.1, 0.8], [0.1, 0.9, 0.5], [0.4, 0.5, 0.1]])[Z]


class Deaf(PoissonMixture):
    """A mixture whose engine never hears of one setting."""

    deaf_to = ()

    def _setting(self, name):
        return type(self).usual[name] if name in self.deaf_to else super()._setting(name)

    usual = {"accelerate": None, "algorithm": "batch", "e_step": "soft", "annealing": None}


class NeverAccelerates(Deaf):
    deaf_to = ("accelerate",)


class AlwaysInBatches(Deaf):
    deaf_to = ("algorithm",)


class AlwaysSoft(Deaf):
    deaf_to = ("e_step",)


class AlwaysAtOne(Deaf):
    deaf_to = ("annealing",)


class NotForWeights(PoissonMixture):
    def fit(self, X, y=None, sample_weight=None):
        return super().fit(X, y)

    def partial_fit(self, X, y=None, sample_weight=None):
        return super().partial_fit(X, y)


class BlocksByThreads(PoissonMixture):
    def _blocks(self, X):
        return super()._blocks(X) if self.n_jobs == 1 else [slice(0, X.shape[0])]


class KeepsTheLast(PoissonMixture):
    def fit(self, X, y=None, sample_weight=None):
        super().fit(X, y, sample_weight=sample_weight)
        self.lower_bound_ = self.restart_lower_bounds_.min()
        return self


class OneStartThreeTimes(PoissonMixture):
    def fit(self, X, y=None, sample_weight=None):
        super().fit(X, y, sample_weight=sample_weight)
        self.restart_lower_bounds_ = np.full_like(self.restart_lower_bounds_, self.lower_bound_)
        return self


class OneStartMore(PoissonMixture):
    def fit(self, X, y=None, sample_weight=None):
        super().fit(X, y, sample_weight=sample_weight)
        bounds = self.restart_lower_bounds_
        self.restart_lower_bounds_ = np.append(bounds, bounds.max())
        return self


class BeginsAnew(PoissonMixture):
    def _continues(self):
        return False


class PriorOfNoUse(PoissonMixture):
    def _fit_model(self, X, sample_weight, **fold):
        model = super()._fit_model(X, sample_weight, **fold)
        model.prior = model.latent_prior = None
        return model


class PriorOnlyInTheObjective(PoissonMixture):
    def _fit_model(self, X, sample_weight, **fold):
        model = super()._fit_model(X, sample_weight, **fold)
        prior, model.prior = model.prior, None
        if prior is not None:
            model.log_prior = lambda p: model.distribution.log_prior(p.components, prior)
        return model


class TellsOfTheStepBefore(PoissonMixture):
    def _fitted_attributes(self, result, dtype):
        attributes = super()._fitted_attributes(result, dtype)
        return {**attributes, "lower_bound_": float(result.previous_objective)}


class SaysItConverged(PoissonMixture):
    def _fitted_attributes(self, result, dtype):
        return {**super()._fitted_attributes(result, dtype), "converged_": True}


class DoubleAlways(PoissonMixture):
    def _fitted_attributes(self, result, dtype):
        return super()._fitted_attributes(result, np.float64)


class NoFileToGoOnFrom(PoissonMixture):
    def fit(self, X, y=None, sample_weight=None):
        if hasattr(self, "_skl_callbacks"):
            self._skl_callbacks = [c for c in self._skl_callbacks if not isinstance(c, Checkpoint)]
        return super().fit(X, y, sample_weight=sample_weight)


class LosesABlock(PoissonMixture):
    def fit_blocks(self, blocks):
        blocks = list(blocks() if callable(blocks) else blocks)
        return super().fit_blocks([*blocks[:-1], blocks[0]])


class ReadsTheFileWhole(PoissonMixture):
    def fit(self, X, y=None, sample_weight=None):
        return super().fit(np.array(X, subok=False), y, sample_weight=sample_weight)


class ForgetsBetweenParts(PoissonMixture):
    def partial_fit(self, X, y=None, sample_weight=None):
        return super().fit(X, y, sample_weight=sample_weight)


class LosesItsStateInAPickle(PoissonMixture):
    def __getstate__(self):
        return {n: v for n, v in super().__getstate__().items() if n != "_online"}


class LabelsAreAHint(PoissonMixture):
    def fit(self, X, y=None, sample_weight=None, *, labels=None):
        return super().fit(X, y, sample_weight=sample_weight)


class HasAFunction(PoissonMixture):
    def fit(self, X, y=None, sample_weight=None):
        self.function_ = lambda: None
        return super().fit(X, y, sample_weight=sample_weight)


class WritesToItsParameters(PoissonMixture):
    def fit(self, X, y=None, sample_weight=None):
        self.n_init = 2
        return super().fit(X, y, sample_weight=sample_weight)


class DrawsAsItLikes(PoissonMixture):
    n_fits = 0

    def _setting(self, name):
        if name != "random_state":
            return super()._setting(name)
        DrawsAsItLikes.n_fits += 1
        return self.n_fits


class HasAStartOfItsOwn(PoissonMixture):
    def _start_method(self):
        return "kmeans"


class NoOne(BernoulliMixture):
    """A missing answer is a no."""

    def _check_data(self, X, **how):
        X = super()._check_data(X, **how)
        return np.where(np.isnan(X), 0.0, X)


class RowsOfTheOtherHand(PoissonMixture):
    """CSR rows, of which the columns are taken in another order."""

    def _check_data(self, X, **how):
        X = super()._check_data(X, **how)
        return X[:, ::-1] if hasattr(X, "indptr") else X


def broken(estimator, X):
    found = {}
    for name, check in service_checks(estimator, X):
        if name in LAWS[type(estimator)]:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    check()
            except Exception as error:
                found[name] = f"{type(error).__name__}: {error}"
    return found


# estimator -> services that do not work for it
LAWS = {
    NeverAccelerates: ["SQUAREM"],
    AlwaysInBatches: ["online", "incremental"],
    AlwaysSoft: ["hard", "stochastic"],
    AlwaysAtOne: ["annealing"],
    NotForWeights: ["sample weights", "partial_fit"],
    BlocksByThreads: ["threads"],
    KeepsTheLast: ["restarts", "restarts, as many as it takes"],
    OneStartThreeTimes: ["restarts"],
    OneStartMore: ["restarts, as many as it takes"],
    BeginsAnew: ["warm start"],
    PriorOfNoUse: ["priors"],
    PriorOnlyInTheObjective: ["priors"],
    TellsOfTheStepBefore: ["honest likelihood", "callbacks"],
    SaysItConverged: ["early stop", "interrupt"],
    DoubleAlways: ["float32"],
    NoFileToGoOnFrom: ["checkpoints"],
    LosesABlock: ["fit_blocks"],
    ReadsTheFileWhole: ["mapped files"],
    ForgetsBetweenParts: ["partial_fit"],
    LosesItsStateInAPickle: ["partial_fit"],
    LabelsAreAHint: ["labels"],
    HasAFunction: ["pickle", "skops"],
    WritesToItsParameters: ["clone"],
    DrawsAsItLikes: ["GridSearchCV", "clone", "starts"],
    HasAStartOfItsOwn: ["starts"],
    NoOne: ["missing cells"],
    RowsOfTheOtherHand: ["sparse rows"],
}


@pytest.mark.parametrize("cls", LAWS, ids=lambda cls: cls.__name__)
def test_what_does_not_work_is_found(cls):
    X = YES.astype(float) if issubclass(cls, BernoulliMixture) else COUNTS
    found = broken(cls(3), X)
    assert sorted(found) == sorted(LAWS[cls]), found


def test_one_error_tells_what_does_not_work(monkeypatch):
    skip = [name for name, _ in service_checks(PoissonMixture(3), COUNTS) if name != "SQUAREM"]
    with pytest.raises(AssertionError, match=r"breaks 1 law:\nSQUAREM: AssertionError: accelerate"):
        check_services(NeverAccelerates(3), COUNTS, skip=skip)


def test_units_of_sequences():
    groups = np.repeat([3, 1, 2], [30, 40, 20])
    case = ServiceCase(PoissonMixture(3), COUNTS, {"groups": groups})
    assert case.ends.tolist() == [30, 70, 90]
    X, given, rows = case.take([2, 2, 0])
    assert given["groups"].tolist() == [0] * 20 + [1] * 20 + [2] * 30
    np.testing.assert_array_equal(X, COUNTS[rows])
    parts = case.parts(6)
    assert sorted(len(rows) for _, _, rows in parts) == [20, 30, 40]
    assert [r.stop for r in row_blocks(90, 1, 1.0)] == [90]
