"""The laws of a mixture estimator: every service works for every model."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import logsumexp
from sklearn.base import clone

from ..em.reduce import block_rows
from ._hold import close, hold, one_by_one, rises, run_all, same_fit, snapshot

__all__ = ["check_mixture", "mixture_checks"]


class MixtureCase:
    """An estimator and example rows."""

    def __init__(self, estimator: Any, X: Any, sample_weight: Any) -> None:
        self.estimator = estimator
        frame = hasattr(X, "iloc") or sparse.issparse(X)
        self.X = X if frame else np.asarray(X)
        self.n = self.X.shape[0]
        self.sample_weight = (
            np.random.RandomState(0).gamma(1.0, size=self.n)
            if sample_weight is None
            else np.asarray(sample_weight, dtype=np.float64)
        )

    def new(self, **parameters: Any) -> Any:
        """The estimator, seeded, for a few iterations."""
        usual = {"random_state": 0, "max_iter": 12, "tol": 0.0, "n_init": 1, "n_jobs": 1}
        return clone(self.estimator).set_params(**{**usual, **parameters})

    def fit(self, X: Any = None, sample_weight: Any = None, **parameters: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.new(**parameters).fit(
                self.X if X is None else X, sample_weight=sample_weight
            )

    def rows(self, index: np.ndarray) -> Any:
        return self.X.iloc[index] if hasattr(self.X, "iloc") else self.X[index]

    @cached_property
    def fitted(self) -> Any:
        return self.fit()

    @cached_property
    def labels(self) -> np.ndarray:
        """A partition to start from, so that fits stay in one optimum; -1 where there is noise."""
        return self.fitted.predict(self.X)

    @cached_property
    def start(self) -> dict[str, Any]:
        """Parameters after some iterations."""
        return parameters_of(self.fitted)

    @property
    def K(self) -> int:
        return len(self.fitted.weights_)

    @property
    def n_columns(self) -> int:
        """Components, that of the noise included."""
        return self.fitted.predict_proba(self.rows(np.arange(2))).shape[1]


def parameters_of(fitted: Any) -> dict[str, Any]:
    """The fitted parameters by name, as ``init_params`` takes them."""
    return {
        name.removesuffix("_"): copy.deepcopy(vars(fitted)[name])
        for name in fitted._published_names
    }


def check_mixture(
    estimator: Any, X: Any, *, sample_weight: Any = None, skip: Collection[str] = ()
) -> None:
    """Hold a mixture estimator to what emlearn promises of every model.

    Parameters
    ----------
    estimator : estimator
        Not fitted, with the number of components that the rows have.
    X : array-like, CSR matrix or data frame of shape (n_samples, n_features)
        Example rows, a hundred or so.
    sample_weight : array-like of shape (n_samples,), default=None
        None draws some.
    skip : collection of str, default=()
        Names of checks to leave out.

    Raises
    ------
    AssertionError
        With what does not hold, and by how much.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.mixture import PoissonMixture
    >>> from emlearn.testing import check_mixture
    >>> X = np.random.RandomState(0).poisson([[1.0, 9.0], [8.0, 2.0]] * 40)
    >>> check_mixture(PoissonMixture(2), X)
    """
    run_all(mixture_checks(estimator, X, sample_weight=sample_weight, skip=skip), estimator)


def mixture_checks(
    estimator: Any, X: Any, *, sample_weight: Any = None, skip: Collection[str] = ()
) -> Iterator[tuple[str, Callable[[], None]]]:
    """The checks of :func:`check_mixture`, one by one.

    Yields
    ------
    name : str
    check : callable
        Without arguments; raises ``AssertionError`` if the law does not hold.
    """
    yield from one_by_one(CHECKS, MixtureCase(estimator, X, sample_weight), skip)


def _weighed(fitted: Any) -> list[str]:
    """The answers that take sample weights; without a likelihood there are no criteria."""
    return [name for name in ("score", "bic", "aic", "icl") if hasattr(fitted, name)]


# ------------------------------------------------------------------ services


def check_threads_and_restarts(case: MixtureCase) -> None:
    """Any number of threads gives the same fit to the bit; more restarts none that is worse."""
    with block_rows(max(4, case.n // 5)):
        fits = [
            case.fit(n_init=3, init_params="random", n_jobs=n_jobs, max_iter=5)
            for n_jobs in (1, 2, 3)
        ]
        for other in fits[1:]:
            same_fit(fits[0], other, "n_jobs")
        one = case.fit(n_init=1, init_params="random", n_jobs=1, max_iter=5)
    hold(
        fits[0].lower_bound_ >= one.lower_bound_ - 1e-12,
        f"n_init=3 ends at {fits[0].lower_bound_:.8g}, its first start at {one.lower_bound_:.8g}.",
    )
    hold(
        fits[0].restart_lower_bounds_.shape == (3,),
        "restart_lower_bounds_ has not a value a start.",
    )
    same_fit(case.fit(), case.fit(), "the same fit twice")


def check_block_sizes(case: MixtureCase) -> None:
    """The size of the blocks decides nothing but rounding."""
    expected = case.fit(init_params=case.labels, sample_weight=case.sample_weight)
    for rows in (1, 7, case.n // 2):
        with block_rows(rows):
            found = case.fit(init_params=case.labels, sample_weight=case.sample_weight)
            answers = found.predict_proba(case.X), found.score_samples(case.X)
        same_fit(found, expected, f"blocks of {rows} rows", 1e-6)
        close(answers[0], found.predict_proba(case.X), f"predict_proba in blocks of {rows}", 1e-9)
        close(answers[1], found.score_samples(case.X), f"score_samples in blocks of {rows}", 1e-9)


def check_sample_weights(case: MixtureCase) -> None:
    """A weight of 2 is a row given twice, 0 a row left out; the unit of the weights decides nothing."""
    counts = np.random.RandomState(1).randint(0, 4, size=case.n)
    X = case.rows(np.repeat(np.arange(case.n), counts))
    weighed = case.fit(sample_weight=counts.astype(float), init_params=case.labels)
    repeated = case.fit(X, init_params=np.repeat(case.labels, counts))
    same_fit(weighed, repeated, "weights 0 to 3 and repeated rows", 1e-6)
    for method in _weighed(weighed):
        close(
            getattr(weighed, method)(case.X, sample_weight=counts),
            getattr(weighed, method)(X),
            f"{method} of weights 0 to 3 and of repeated rows",
        )
    settings = case.estimator.get_params(deep=False)
    if settings.get("prior", "its own") is None and settings["weight_concentration_prior"] is None:
        scaled = case.fit(sample_weight=1000.0 * counts, init_params=case.labels)
        same_fit(scaled, weighed, "weights times 1000", 1e-6)
    ones = case.fit(sample_weight=np.ones(case.n), init_params=case.labels)
    same_fit(ones, case.fit(init_params=case.labels), "weights of 1 and none", 1e-9)


def check_warm_start(case: MixtureCase) -> None:
    """Twenty fits of one iteration are one of twenty."""
    whole = case.fit(init_params=case.labels, max_iter=20)
    piece = case.new(init_params=case.labels, max_iter=1, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(20):
            piece.fit(case.X)
    for name in [*whole._published_names, "lower_bound_", "converged_"]:
        ours, theirs = getattr(piece, name), getattr(whole, name)
        hold(
            snapshot(ours) == snapshot(theirs),
            f"warm_start: after 20 fits of one iteration {name} is {ours!r}, after one of twenty {theirs!r}.",
        )


def check_acceleration(case: MixtureCase) -> None:
    """SQUAREM ends no lower than plain EM, from the same start."""
    settings: dict[str, Any] = {"init_params": case.labels, "max_iter": 1000, "tol": 1e-9}
    plain, fast = case.fit(**settings), case.fit(accelerate="squarem", **settings)
    hold(
        fast.lower_bound_ >= plain.lower_bound_ - 1e-6 * (1 + abs(plain.lower_bound_)),
        f"accelerate='squarem' ends at {fast.lower_bound_:.10g}, plain EM at {plain.lower_bound_:.10g}.",
    )
    rises(fast, "accelerate='squarem'")


def check_callbacks(case: MixtureCase) -> None:
    """scikit-learn's callbacks hear of every restart and iteration, and one of them can stop a run."""
    told: list[int] = []
    for stop_at in (None, 2):
        recorder = _Recorder(stop_at)
        estimator = case.new(n_init=2, init_params="random", max_iter=6).set_callbacks(recorder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator.fit(case.X)
        hold(
            recorder.begun == recorder.ended,
            f"callbacks: tasks begun {recorder.begun} and ended {recorder.ended} are not the same.",
        )
        hold(
            recorder.begun.get("restart") == 2, f"callbacks: two restarts are not {recorder.begun}."
        )
        told.append(recorder.begun.get("iteration", 0))
        hold(told[-1] >= 2, f"callbacks: {told[-1]} iterations of two runs were told of.")
        hold(
            recorder.fitted,
            "callbacks: no fitted estimator is handed over at the end of an iteration.",
        )
    hold(
        told[1] < told[0],
        f"callbacks: one that asks to stop after 2 iterations saw {told[1]}, one that does not {told[0]}.",
    )


class _Recorder:
    """A callback that counts tasks, and may stop each run."""

    max_propagation_depth = None

    def __init__(self, stop_at: int | None) -> None:
        self.stop_at = stop_at
        self.begun: dict[str, int] = {}
        self.ended: dict[str, int] = {}
        self.fitted = False

    def setup(self, estimator: Any, context: Any) -> None: ...

    def teardown(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_begin(self, estimator: Any, context: Any, *, X: Any, metadata: Any) -> None:
        self.begun[context.task_name] = self.begun.get(context.task_name, 0) + 1

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any) -> bool:
        self.ended[context.task_name] = self.ended.get(context.task_name, 0) + 1
        if context.task_name != "iteration":
            return False
        self.fitted = self.fitted or hasattr(fitted_estimator, "weights_")
        return self.stop_at is not None and context.task_id + 1 >= self.stop_at


# -------------------------------------------------------------------- starts


def check_starts(case: MixtureCase) -> None:
    """Every start works; labels, responsibilities and a callable that returns them are one."""
    for name in ("kmeans", "k-means++", "random", "random_from_data"):
        found = case.fit(init_params=name, max_iter=3)
        hold(np.isfinite(found.lower_bound_), f"init_params={name!r} ends at {found.lower_bound_}.")
    labels = case.labels
    shares = (labels[:, None] == np.arange(case.K)).astype(np.float64)
    by_labels = case.fit(init_params=labels)
    same_fit(by_labels, case.fit(init_params=shares), "responsibilities and labels", 1e-7)
    same_fit(
        by_labels, case.fit(init_params=lambda X, K, rng: labels), "a callable and labels", 1e-12
    )


def check_parameters_as_start(case: MixtureCase) -> None:
    """Fitted parameters are a start; a mixture made of them predicts the same without a fit."""
    held = case.fit(init_params=case.start, max_iter=0)
    for name, value in case.start.items():
        found = getattr(held, f"{name}_")
        pairs = zip(found, value, strict=True) if isinstance(value, list) else [(found, value)]
        for ours, theirs in pairs:
            close(ours, theirs, f"{name}_ of a fit of no iteration from given parameters", 1e-9)
    close(held.score(case.X), case.fitted.score(case.X), "score after a fit of no iteration")


# ----------------------------------------------------------------- objective


def check_objective(case: MixtureCase) -> None:
    """The objective rises, and is that of the parameters that are returned."""
    for weights in (None, case.sample_weight):
        found = case.fit(sample_weight=weights)
        rises(found, "fit")
        close(
            found.lower_bound_,
            found.lower_bounds_[-1],
            "lower_bound_ and the last of lower_bounds_",
        )


def check_priors(case: MixtureCase) -> None:
    """Under priors the objective rises too, and differs from the score by their log-density."""
    settings = case.estimator.get_params(deep=False)
    if "weight_concentration_prior" in settings:
        found = case.fit(weight_concentration_prior=2.0, max_iter=30)
        rises(found, "weight_concentration_prior")
    if "prior" not in settings or case.estimator._full_distribution().default_prior is None:
        return
    found = case.fit(prior="default", max_iter=30)
    rises(found, "prior='default'")
    model = found._fit_model(found._check_data(case.X, reset=False), None)
    share = model.log_prior(found.recall()) / case.n
    close(found.score(case.X) + share, found.lower_bound_, "lower_bound_ under a prior")


def check_criteria(case: MixtureCase) -> None:
    """BIC, AIC and ICL are what their formulas say."""
    found, w = case.fitted, case.sample_weight
    log_density, posterior = found.score_samples(case.X), found.predict_proba(case.X)
    p = found.n_parameters_
    for weights in (None, w):
        given = np.ones(case.n) if weights is None else weights
        deviance, n = -2.0 * float(given @ log_density), given.sum()
        certain = -2.0 * float(given @ np.log(posterior.max(axis=1)))
        expected = {
            "aic": deviance + 2 * p,
            "bic": deviance + p * math.log(n),
            "icl": deviance + certain + p * math.log(n),
        }
        for name, value in expected.items():
            close(getattr(found, name)(case.X, sample_weight=weights), value, name)


# ------------------------------------------------------------------- answers


def check_answers(case: MixtureCase) -> None:
    """Posteriors sum to one, labels are the most probable components, scores are means."""
    found, columns = case.fitted, case.n_columns
    posterior, labels = found.predict_proba(case.X), found.predict(case.X)
    hold(posterior.shape == (case.n, columns), f"predict_proba has the shape {posterior.shape}.")
    close(posterior.sum(axis=1), np.ones(case.n), "sums of predict_proba", 1e-10)
    best = posterior.argmax(axis=1)
    clear = (
        posterior.max(axis=1) - np.sort(posterior, axis=1)[:, -2] > 1e-9 if columns > 1 else True
    )
    expected = np.where(best == case.K, -1, best)
    hold(
        np.all((labels == expected) | ~np.asarray(clear)),
        "predict is not the most probable component.",
    )
    close(
        found.score_samples(case.X).mean(), found.score(case.X), "score and mean of score_samples"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        at_once = case.new().fit_predict(case.X)
    hold(np.array_equal(at_once, labels), "fit_predict is not fit and predict.")


def check_likelihood(case: MixtureCase) -> None:
    """score_samples are log-densities; without a prior, their mean is the objective."""
    found = case.fitted
    model, data = found._fitted_model(), found._check_data(case.X, reset=False)
    log_density = model.distribution.log_density(
        found.recall().components, model.distribution.features(data)
    )[0]
    joint = log_density + np.log(found.recall().weights)
    close(found.score_samples(case.X), logsumexp(joint, axis=1), "score_samples and the density")
    for weights in (None, case.sample_weight):
        found = case.fit(sample_weight=weights, prior=None, weight_concentration_prior=None)
        score = found.score(case.X, sample_weight=weights)
        close(score, found.lower_bound_, "score and lower_bound_")


def check_sample(case: MixtureCase) -> None:
    """Samples are rows that the estimator takes, with their components."""
    found, d = case.fitted, case.X.shape[1]
    for n in (1, 50):
        X, y = found.sample(n, random_state=1)
        hold(X.shape == (n, d) and y.shape == (n,), f"sample({n}) has shapes {X.shape}, {y.shape}.")
        with warnings.catch_warnings():  # an array has no names of columns
            warnings.simplefilter("ignore")
            score = found.score(X)
        hold(np.isfinite(score), f"sample({n}): the score of its rows is {score}.")
    X, y = found.sample(4000, random_state=2)
    shares = np.array([np.mean(y == k) for k in range(case.K)])
    error = np.abs(shares - found.weights_) / np.sqrt(
        found.weights_ * (1 - found.weights_) / 4000 + 1e-9
    )
    hold(error.max() < 5.5, f"sample: shares {shares.tolist()} are not {found.weights_.tolist()}.")


# ------------------------------------------------------------------- manners


def check_float32(case: MixtureCase) -> None:
    """float32 rows give float32 attributes, near those of float64."""
    if not isinstance(case.X, np.ndarray) or case.X.dtype.kind not in "iuf":
        return
    X = case.X.astype(np.float32)
    single = case.fit(X, init_params=case.labels, max_iter=5)
    double = case.fit(X.astype(np.float64), init_params=case.labels, max_iter=5)
    same_fit(single, double, "float32 and float64", 1e-3)
    if single._check_data(X, reset=False).dtype == np.float32:
        for name in single._published_names:
            value = getattr(single, name)
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                hold(value.dtype == np.float32, f"float32: {name} is {value.dtype}.")


def check_copies(case: MixtureCase) -> None:
    """A pickled fit answers the same; a clone knows nothing of the fit."""
    found = case.fitted
    copied = pickle.loads(pickle.dumps(found))
    same_fit(copied, found, "pickle")
    close(
        copied.score_samples(case.X), found.score_samples(case.X), "score_samples of a pickle", 0.0
    )
    fresh = clone(found)
    hold(not hasattr(fresh, "weights_"), "clone: it is fitted.")
    hold(
        snapshot(fresh.get_params()) == snapshot(found.get_params()),
        "clone: its parameters are others.",
    )


def check_fit_changes_nothing(case: MixtureCase) -> None:
    """fit and the methods write to no argument and to no parameter of the constructor."""
    X, weights = copy.deepcopy(case.X), case.sample_weight.copy()
    before = snapshot(X), snapshot(weights)
    estimator = case.new(init_params=case.labels.copy())
    settings = snapshot(estimator.get_params())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X, sample_weight=weights)
    state = snapshot(vars(estimator))
    for method in ("predict", "predict_proba", "score_samples"):
        getattr(estimator, method)(X)
    for method in _weighed(estimator):
        getattr(estimator, method)(X, sample_weight=weights)
    estimator.sample(3, random_state=0)
    hold((snapshot(X), snapshot(weights)) == before, "X or sample_weight are written to.")
    hold(
        snapshot(estimator.get_params()) == settings,
        "a parameter of the constructor is written to.",
    )
    hold(snapshot(vars(estimator)) == state, "a method writes to the fitted estimator.")


CHECKS: tuple[Callable[[MixtureCase], None], ...] = (
    check_threads_and_restarts,
    check_block_sizes,
    check_sample_weights,
    check_warm_start,
    check_acceleration,
    check_callbacks,
    check_starts,
    check_parameters_as_start,
    check_objective,
    check_priors,
    check_criteria,
    check_answers,
    check_likelihood,
    check_sample,
    check_float32,
    check_copies,
    check_fit_changes_nothing,
)
