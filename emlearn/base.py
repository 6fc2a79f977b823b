"""EMMixin: what every estimator fitted by EM shares."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ._data import check_data, check_weights
from ._parameters import ENGINE
from ._watch import FitWatch
from .em import loop
from .em.reduce import add_steps, map_reduce, row_blocks, row_size, take_rows, unit_blocks
from .em.squarem import Squarem
from .em.statistics import Statistics
from .em.threads import Workers, effective_threads, single_threaded_blas
from .em.units import Units
from .exceptions import ObjectiveFellWarning, SingularError, warn_user

__all__ = ["EMMixin"]

ACCELERATORS = {"squarem": Squarem}

#: engine parameters, for classes that do not declare one of them
_DEFAULTS: dict[str, Any] = {
    "tol": 1e-3,
    "max_iter": 100,
    "n_init": 1,
    "random_state": None,
    "warm_start": False,
    "verbose": 0,
    "verbose_interval": 10,
    "n_jobs": None,
    "accelerate": None,
    **{name: parameter.default for name, parameter in ENGINE.items()},
}

# multiplications of an E-step, about a quarter of a millisecond, below which threads wait for each other
_LONG = 2e6

# of the first parameters of one start, how many iterations each is given, and how many go on
_SHORT, _POLISHED = 50, 4

# objectives this close are the same optimum
_TIE = 1e-9


class _Problem:
    """A model with its data: the E-step mapped over blocks of rows, the objective a mean over the rows, or a total."""

    def __init__(
        self,
        model: Any,
        X: Any,
        sample_weight: np.ndarray | None,
        blocks: list[slice],
        workers: Workers,
    ) -> None:
        self.model, self.X, self.sample_weight = model, X, sample_weight
        self.blocks, self.workers = blocks, workers
        self.rows = float(X.shape[0] if sample_weight is None else sample_weight.sum())
        self.total = 1.0 if getattr(model, "total_scale", False) else self.rows
        if hasattr(model, "bound"):
            self.bound = self._bound
        # a model whose units may be long maps over their rows in the same threads
        self.tools = {"workers": workers} if getattr(model, "takes_workers", False) else {}
        # what the model prepares of a block stays for all iterations and restarts
        self._prepared: dict[int, Any] = {}

    def e_step(self, parameters: Any) -> tuple[Statistics, float]:
        statistics, value = self.log_likelihood(parameters)
        return statistics, (value + float(self.model.log_prior(parameters))) / self.total

    def log_likelihood(self, parameters: Any) -> tuple[Statistics, float]:
        """Statistics and the log-likelihood, without the prior."""
        statistics, value = map_reduce(
            partial(self._block, parameters), self.blocks, add_steps, self.workers
        )
        return statistics, float(value)

    def _block(self, parameters: Any, rows: slice) -> tuple[Statistics, float]:
        prepared = self._prepared.get(rows.start)
        if prepared is None:
            whole = len(self.blocks) == 1
            prepared = self.model.prepare(self.X if whole else take_rows(self.X, rows))
            self._prepared[rows.start] = prepared
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        return self.model.e_step(parameters, prepared, weight, **self.tools)

    def m_step(self, statistics: Statistics, parameters: Any) -> Any:
        return self.model.m_step(statistics, parameters)

    def ascent(self, old: Any, new: Any, statistics: Statistics) -> float:
        return self.model.ascent(old, new, statistics) / self.total

    def _bound(self, old: Any, new: Any, statistics: Statistics, objective: float) -> float:
        return self.model.bound(old, new, statistics, objective * self.total) / self.total


class EMMixin(CallbackSupportMixin):
    """Mixin that fits an estimator by the EM algorithm.

    A model of your own is a class with ``EMMixin, BaseEstimator`` as its bases,
    an ``__init__`` that stores its parameters, and three methods:

    ``initial_parameters(X, sample_weight, random_state)``
        Where a run starts: parameters, or the first
        :class:`~emlearn.em.Statistics`.
    ``e_step(parameters, X, sample_weight)``
        Expected sufficient statistics of a block of rows, and their
        log-likelihood. Both add up over blocks; ``sample_weight`` (or None)
        multiplies each row's share in both.
    ``m_step(statistics, parameters)``
        The parameters that maximise the expected log-likelihood. It never sees
        the data. ``parameters`` are the current ones, None at a start from
        statistics.

    Parameters are whatever the three methods agree on: a mapping of names to
    arrays, or a dataclass that the class names as its ``parameters_class``, is
    published with an underscore appended to each name, anything else as
    ``parameters_``.

    ``fit`` then has, for each of these that ``__init__`` declares: ``tol``,
    ``max_iter``, ``n_init`` with ``random_state`` (the best of several starts),
    ``warm_start``, ``verbose`` and ``verbose_interval``, ``n_jobs`` (threads for
    starts and blocks of rows), ``accelerate`` (None or ``"squarem"``); and sample
    weights, scikit-learn's callbacks, a check that the likelihood never falls.

    Attributes
    ----------
    converged_ : bool
    n_iter_ : int
        M-steps of the best run; an accepted extrapolation counts as one.
    n_e_steps_ : int
        E-steps of the best run, the final one included.
    lower_bound_ : float
        Mean log-likelihood of a row under the fitted parameters.
    lower_bounds_ : ndarray of shape (``n_iter_``,)
        The same after each M-step.
    restart_lower_bounds_ : ndarray of shape (n_runs,)
        ``lower_bound_`` of each start; nan for one that was singular.
    n_best_restarts_ : int
        How many starts ended as well as the best, within ``tol``.
    stop_reason_ : str
        Begins with "converged", "max_iter", "callback" or "singular".

    References
    ----------
    Dempster, A. P., Laird, N. M. and Rubin, D. B. (1977). Maximum likelihood
    from incomplete data via the EM algorithm. Journal of the Royal Statistical
    Society B 39(1), 1-38.

    Examples
    --------
    Genetic linkage (Rao 1965): four counts with probabilities
    ``(2 + t, 1 - t, 1 - t, t) / 4``; the first cell hides a split ``2 : t``.

    >>> import numpy as np
    >>> from sklearn.base import BaseEstimator
    >>> from emlearn import EMMixin
    >>> from emlearn.em import Sums
    >>> class Linkage(EMMixin, BaseEstimator):
    ...     def __init__(self, tol=1e-12, max_iter=100):
    ...         self.tol = tol
    ...         self.max_iter = max_iter
    ...
    ...     def initial_parameters(self, X, sample_weight, random_state):
    ...         return {"theta": 0.5}
    ...
    ...     def e_step(self, parameters, X, sample_weight):
    ...         t = parameters["theta"]
    ...         counts = X.sum(axis=0)
    ...         p = np.array([2 + t, 1 - t, 1 - t, t]) / 4
    ...         hidden = counts[0] * t / (2 + t)
    ...         return (
    ...             Sums({"t": hidden + counts[3], "not_t": counts[1] + counts[2]}),
    ...             counts @ np.log(p),
    ...         )
    ...
    ...     def m_step(self, statistics, parameters):
    ...         t, not_t = statistics["t"], statistics["not_t"]
    ...         return {"theta": t / (t + not_t)}
    >>> model = Linkage().fit([[125, 18, 20, 34]])
    >>> round(float(model.theta_), 9)
    0.626821498
    """

    _parameter_constraints: dict = {
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "verbose_interval": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "accelerate": [StrOptions(set(ACCELERATORS)), None],
        **{name: parameter.allowed for name, parameter in ENGINE.items()},
    }

    # ------------------------------------------------- what a model says

    def initial_parameters(
        self, X: np.ndarray, sample_weight: np.ndarray | None, random_state: np.random.RandomState
    ) -> Any:
        """Where a run starts: parameters, or the first statistics."""
        raise NotImplementedError(f"{type(self).__name__} must define initial_parameters")

    def e_step(
        self, parameters: Any, X: np.ndarray, sample_weight: np.ndarray | None
    ) -> tuple[Statistics, float]:
        """Expected sufficient statistics and log-likelihood of a block of rows."""
        raise NotImplementedError(f"{type(self).__name__} must define e_step")

    def m_step(self, statistics: Statistics, parameters: Any) -> Any:
        """Parameters that maximise the expected log-likelihood."""
        raise NotImplementedError(f"{type(self).__name__} must define m_step")

    def ascent(self, old: Any, new: Any, statistics: Statistics) -> float:
        """What the log-likelihood must at least gain from ``old`` to ``new``: 0 for exact EM."""
        return 0.0

    def log_prior(self, parameters: Any) -> float:
        """Log-density of a prior of the parameters, which the M-step takes into account: it enters the objective."""
        return 0.0

    def prepare(self, X: Any) -> Any:
        """What :meth:`e_step` is given of a block of rows, kept for all iterations: the rows themselves."""
        return X

    def row_cost(self, n_features: float) -> float:
        """Arithmetic of the E-step for one row, in multiplications: it sizes the blocks of rows."""
        return 16.0 * n_features

    #: the dataclass that the parameters are, where they are one: ``recall`` makes it again
    parameters_class: ClassVar[type | None] = None

    def publish(self, parameters: Any) -> dict[str, Any]:
        """The fitted attributes, by name."""
        if dataclasses.is_dataclass(parameters):
            own_recall = type(self).recall is not EMMixin.recall
            if self.parameters_class is not type(parameters) and not own_recall:
                raise TypeError(
                    f"the parameters of {type(self).__name__} are the dataclass"
                    f" {type(parameters).__name__}; say parameters_class = {type(parameters).__name__}"
                    " in the class, or define recall, so that they can be read back"
                )
            parameters = {
                f.name: getattr(parameters, f.name) for f in dataclasses.fields(parameters)
            }
        if isinstance(parameters, Mapping):
            return {f"{name}_": value for name, value in parameters.items()}
        return {"parameters_": parameters}

    def recall(self) -> Any:
        """Parameters from the fitted attributes: the inverse of :meth:`publish`."""
        if "parameters_" in vars(self):
            return self.parameters_
        if "_published_names" not in vars(self):
            raise NotFittedError(
                f"This {type(self).__name__} has no record of a fit. Call 'fit', or define recall()"
                " to read parameters that were set by hand."
            )
        values = {name[:-1]: vars(self)[name] for name in self._published_names}
        return values if self.parameters_class is None else self.parameters_class(**values)

    # ------------------------------------------- what an estimator may say

    def _fit_model(self, X: Any, sample_weight: np.ndarray | None) -> Any:
        """The object with the methods above, for these data; an estimator may assemble another than itself."""
        return self

    def _fitted_model(self) -> Any:
        """The same for parameters that are known."""
        return self

    def _repeatable_start(self) -> bool:
        """True where every restart would be the same, so that one is enough."""
        return False

    def _continues(self) -> bool:
        """True where the next fit takes up the last one."""
        return bool(self._setting("warm_start")) and "converged_" in vars(self)

    def _setting(self, name: str) -> Any:
        return getattr(self, name, _DEFAULTS[name])

    # ----------------------------------------------------------------- fit

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the model by EM.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored
            Present by scikit-learn's convention.
        sample_weight : array-like of shape (n_samples,), default=None
            A weight of 2 counts a row twice, a weight of 0 leaves it out.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the data cannot be used, or every start is singular.
        """
        return self._fit_checked(*self._check_fit_data(X, sample_weight), y)

    def _fit_checked(self, X: Any, sample_weight: np.ndarray | None, y: Any = None) -> Self:
        warm = self._continues()
        n_runs = 1 if warm or self._repeatable_start() else self._setting("n_init")
        with single_threaded_blas(), Workers(self._n_threads(X, n_runs)) as workers:
            self._fit(X, y, sample_weight, workers, n_runs, warm)
        return self

    def _n_threads(self, X: np.ndarray, n_runs: int = 1) -> int:
        """Threads that pay: for several blocks of rows, or for several runs of E-steps that are long enough."""
        n_jobs = self._setting("n_jobs")
        size = row_size(X)
        cost = self.row_cost(size)
        long = n_runs > 1 and X.shape[0] * cost > _LONG
        several = len(row_blocks(X.shape[0], size, cost)) > 1  # a unit may have several, too
        return effective_threads(n_jobs) if n_jobs == 0 or long or several else 1

    def _blocks(self, X: Any) -> list[slice]:
        size = row_size(X)
        if isinstance(X, Units):
            return unit_blocks(X.ends, size, self.row_cost(size))
        return row_blocks(X.shape[0], size, self.row_cost(size))

    def _fit(
        self,
        X: np.ndarray,
        y: Any,
        sample_weight: np.ndarray | None,
        workers: Workers,
        n_runs: int,
        warm: bool,
    ) -> None:
        random_state = check_random_state(self._setting("random_state"))
        model = self._fit_model(X, sample_weight)
        watch = FitWatch(self, X, y, sample_weight, n_runs)
        if getattr(model, "unit_free", True):  # beside a prior, the unit of the weights counts
            sample_weight = _in_range(sample_weight)
        problem = _Problem(model, X, sample_weight, self._blocks(X), workers)

        def start() -> Any:
            if warm:
                return self.recall()
            first = model.initial_parameters(X, sample_weight, random_state)
            return model.m_step(first, None) if isinstance(first, Statistics) else first

        def attempt(number: int, start: Any) -> list[loop.Result | SingularError]:
            if isinstance(start, SingularError):
                return [start]
            # a start may have several first parameters, of which the best ends the run
            firsts = start if isinstance(start, list) else [start]
            with watch.run(number, min(len(firsts), _POLISHED)) as monitor:
                if len(firsts) > _POLISHED:
                    short = [one_run(first, None, min(_SHORT, max_iter)) for first in firsts]
                    reached = [_sound_objective(run) for run in short]
                    order = np.argsort(reached[1:], kind="stable")[::-1][: _POLISHED - 1]
                    firsts = [firsts[0], *(firsts[1 + i] for i in order)]
                best = _best([one_run(first, monitor, max_iter) for first in firsts])
                if isinstance(best, loop.Result):
                    watch.report(best)
            return [best]

        max_iter = self._setting("max_iter")

        def one_run(parameters: Any, monitor: Any, max_iter: int) -> loop.Result | SingularError:
            accelerate = self._setting("accelerate")
            begin = 1e-2 * problem.rows / problem.total
            try:
                return loop.run(
                    problem,
                    parameters,
                    tol=self._setting("tol"),
                    max_iter=max_iter,
                    previous=vars(self).get("_previous_objective", -math.inf)
                    if warm
                    else -math.inf,
                    accelerator=ACCELERATORS[accelerate](begin) if accelerate else None,
                    monitor=monitor,
                )
            except SingularError as error:
                return error

        def calls() -> Iterator[Any]:
            for number in range(n_runs):  # drawn one after the other, from one stream
                try:
                    parameters = start()
                except SingularError as error:
                    parameters = error
                yield partial(attempt, number, parameters)

        # printed lines stay in order
        runner = workers if not self._setting("verbose") else Workers(1)
        outcomes = runner.map_reduce(calls(), list.__add__, bounded=False)
        self._keep_best(outcomes, X)
        watch.end()

    def _keep_best(self, outcomes: list[loop.Result | SingularError], X: np.ndarray) -> None:
        runs = [outcome for outcome in outcomes if isinstance(outcome, loop.Result)]
        if not runs:
            message = str(outcomes[0])
            if X.dtype == np.float32:
                message += " The numerical accuracy can also be improved by passing float64 data instead of float32."
            raise SingularError(message) from outcomes[0]
        sound = [run for run in runs if run.reason is not loop.StopReason.SINGULAR]
        best = _best(outcomes)
        self._set_fitted(best, X.dtype)
        bounds = [o.objective if isinstance(o, loop.Result) else math.nan for o in outcomes]
        near = max(self._setting("tol"), _TIE)
        self.restart_lower_bounds_ = np.array(bounds)
        self.n_best_restarts_ = int(
            np.sum(np.abs(self.restart_lower_bounds_ - best.objective) <= near)
        )
        self._warn_about(best, outcomes, sound)

    def _warn_about(
        self,
        best: loop.Result,
        outcomes: list[loop.Result | SingularError],
        sound: list[loop.Result],
    ) -> None:
        lost = [outcome for outcome in outcomes if isinstance(outcome, SingularError)]
        if lost:
            warn_user(
                f"{len(lost)} of {len(outcomes)} starts had no sound parameters and were dropped;"
                f" the best of the others is used. The first was dropped because: {lost[0]}",
                ConvergenceWarning,
            )
        if best.fell is not None:
            warn_user(
                f"The objective fell by {best.fell[1]:.3g} at iteration {best.fell[0]}. EM never lets it"
                " fall: the E-step and the M-step do not belong together, or one of them has lost its"
                " precision.",
                ObjectiveFellWarning,
            )
        if not sound:
            warn_user(
                f"The fit stopped at its last sound parameters. {best.detail}",
                ConvergenceWarning,
            )
        elif best.reason is loop.StopReason.MAX_ITER and self._setting("max_iter") > 0:
            warn_user(
                "Best performing initialization did not converge. Try different init parameters, or increase"
                " max_iter, tol, or check for degenerate data.",
                ConvergenceWarning,
            )

    def _set_fitted(self, result: loop.Result, dtype: Any) -> None:
        for name, value in self._fitted_attributes(result, dtype).items():
            setattr(self, name, value)

    def _fitted_attributes(self, result: loop.Result, dtype: Any) -> dict[str, Any]:
        """What a fit that ended with this result knows; arrays in the type of the data."""
        published = self.publish(result.parameters)
        for name, value in published.items():
            if isinstance(value, np.ndarray) and value.dtype == np.float64 and dtype == np.float32:
                published[name] = value.astype(np.float32)
        return {
            **published,
            "_published_names": list(published),
            "_previous_objective": float(result.previous_objective),
            "converged_": result.converged,
            "n_iter_": result.n_iter,
            "n_e_steps_": result.n_e_steps,
            "lower_bound_": float(result.objective),
            "lower_bounds_": result.objectives,
            "restart_lower_bounds_": np.array([result.objective]),
            "n_best_restarts_": 1,
            "stop_reason_": result.detail,
        }

    # ---------------------------------------------------------------- data

    def _check_fit_data(self, X: Any, sample_weight: Any) -> tuple[np.ndarray, np.ndarray | None]:
        X = self._check_data(X, reset=not self._continues())
        return X, check_weights(sample_weight, X)

    def _check_data(self, X: Any, *, reset: bool, finite: bool = True) -> np.ndarray:
        return check_data(self, X, reset=reset, finite=finite)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean log-likelihood of a row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        check_is_fitted(self)
        X = self._check_data(X, reset=False)
        sample_weight = check_weights(sample_weight, X)
        with single_threaded_blas(), Workers(self._n_threads(X)) as workers:
            problem = _Problem(self._fitted_model(), X, sample_weight, self._blocks(X), workers)
            return problem.log_likelihood(self.recall())[1] / problem.total


def _sound_objective(outcome: loop.Result | SingularError) -> float:
    sound = isinstance(outcome, loop.Result) and outcome.reason is not loop.StopReason.SINGULAR
    return outcome.objective if sound else -math.inf


def _best(outcomes: list[loop.Result | SingularError]) -> loop.Result | SingularError:
    """The first of the best runs, of those that ended well if any did."""
    runs = [outcome for outcome in outcomes if isinstance(outcome, loop.Result)]
    if not runs:
        return outcomes[0]
    runs = [run for run in runs if _sound_objective(run) > -math.inf] or runs
    highest = max(run.objective for run in runs)
    return next(run for run in runs if run.objective >= highest - _TIE)


def _in_range(sample_weight: np.ndarray | None) -> np.ndarray | None:
    """Weights whose products neither vanish nor overflow; their unit decides nothing, and a power of 2 no bit."""
    if sample_weight is None or 1e-100 < sample_weight.max() < 1e100:
        return sample_weight
    return np.ldexp(sample_weight, -int(np.frexp(sample_weight.max())[1]))
