"""MixtureSelector."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from inspect import signature
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from joblib import effective_n_jobs
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, _fit_context, clone
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.metadata_routing import UNUSED, get_routing_for_object, process_routing
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits

from ..distributions.covariance import COVARIANCES
from ..em.shared import SharedDraws
from ..exceptions import warn_user
from ..mixture import GaussianMixture
from ._best import BestFitMixin
from ._cells import CRITERIA, Cell, Task, describe, fit_cell, make_table, tied
from ._scorers import final_step

__all__ = ["MixtureSelector"]


class MixtureSelector(BestFitMixin, MetaEstimatorMixin, BaseEstimator):
    """Choose a mixture by an information criterion on the training set.

    Fits every combination of a grid to all rows and keeps the one with the best
    criterion. Nothing is held out: an information criterion already charges for
    the parameters, and needs the likelihood of the rows that were fitted. So the
    best fit of the sweep is ``best_estimator_``, and nothing is fitted twice.

    Parameters
    ----------
    estimator : estimator, default=None
        A mixture of emlearn or of scikit-learn, or a ``Pipeline`` that ends in
        one; None is ``GaussianMixture()``.
    param_grid : dict or list of dict, default=None
        Names of parameters with the values to try, as in ``GridSearchCV``. None
        is 1 to 9 components with every ``covariance_type`` that the mixture
        accepts.
    criterion : {"bic", "aic", "icl"} or callable, default="bic"
        A method of the mixture, the smaller the better; or a callable
        ``(estimator, X)``, the greater the better as in any scikit-learn scorer,
        that takes ``sample_weight`` too if the fit is given weights.
    n_jobs : int, default=None
        Fits at a time, in threads; None is 1 unless in a
        ``joblib.parallel_config`` context, -1 all cores. With more than one,
        a fit has one thread, unless its own ``n_jobs`` says otherwise. Results
        do not depend on it, to the bit.
    error_score : "raise" or nan, default=np.nan
        What to do where a fit fails: raise its error, or leave its row without a
        score and go on.
    verbose : int, default=0
        Print a line for each fit.
    random_state : int, RandomState instance or None, default=None
        For every ``random_state`` that is None in the estimator or in its steps:
        all fits get the same integer, this one or one drawn from here, so that
        models with equally many components begin alike.

    Attributes
    ----------
    best_estimator_ : estimator
        The fit with the highest score. It keeps the integer that it was given as
        ``random_state``.
    best_params_ : dict
    best_index_ : int
        Its row in the table. Ties, as of "full" and "tied" with one component,
        go to the fewest parameters, then to the first.
    best_score_ : float
        Minus the criterion; of a callable, its value.
    cv_results_ : dict
        The table, a column for each key; ``pandas.DataFrame(cv_results_)`` shows
        it. The name is scikit-learn's; the columns are not called "test", because
        there is no test set.

        ``params``, ``param_<name>``
            The combination.
        ``score``, ``rank_score``
            What is maximised (``best_score_``), 1 for the best.
        ``bic``, ``aic``, ``icl``, ``rank_bic``, ``rank_aic``, ``rank_icl``
            The smaller the better; as far as the mixture has them.
        ``log_likelihood``
            Of all rows, a sum.
        ``n_parameters``, ``converged``, ``n_iter``, ``stop_reason``
            As the mixture says, without the underscore.
        ``warning``, ``error``
            What a fit warned of, why it failed; else empty. Where it failed,
            numbers are nan or masked.
        ``fit_time``, ``score_time``
            Seconds.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (``n_features_in_``,)

    See Also
    --------
    bic_scorer : The criterion as ``scoring`` of ``GridSearchCV``, which can choose by held-out rows.

    Notes
    -----
    Fits with equally many components, the same rows and the same
    ``random_state`` would draw the same start, whatever their covariances; it is
    computed once. The results are those of separate fits, to the bit.

    A fit that collapsed onto a few rows has a high likelihood and may be chosen;
    it is then warned of. With ``reg_covar=0`` such a fit fails instead.

    References
    ----------
    Fraley, C. and Raftery, A. E. (2002). Model-based clustering, discriminant
    analysis, and density estimation. Journal of the American Statistical
    Association 97(458), 611-631.

    Examples
    --------
    >>> from emlearn.datasets import load_faithful
    >>> from emlearn.mixture import GaussianMixture
    >>> from emlearn.model_selection import MixtureSelector
    >>> X = load_faithful().data
    >>> grid = {"n_components": range(1, 5), "covariance_type": ["full", "tied"]}
    >>> selector = MixtureSelector(GaussianMixture(n_init=20), grid, random_state=0).fit(X)
    >>> selector.best_params_
    {'covariance_type': 'tied', 'n_components': 3}
    >>> selector.cv_results_["bic"].round(1)
    array([2607.6, 2322.2, 2334.8, 2359.8, 2607.6, 2325.2, 2315. , 2324.2])
    >>> sorted(selector.best_estimator_.means_[:, 0].round(1).tolist())
    [2.0, 3.7, 4.4]
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit"]), None],
        "param_grid": [dict, list, tuple, None],
        "criterion": [StrOptions(set(CRITERIA)), callable],
        "n_jobs": [Integral, None],
        "error_score": [StrOptions({"raise"}), Real],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    # weights are asked for by the estimator, not by the selector
    __metadata_request__fit = {"sample_weight": UNUSED}
    __metadata_request__score = {"sample_weight": UNUSED}

    def __init__(
        self,
        estimator: Any = None,
        param_grid: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        *,
        criterion: str | Callable[..., float] = "bic",
        n_jobs: int | None = None,
        error_score: str | float = np.nan,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.param_grid = param_grid
        self.criterion = criterion
        self.n_jobs = n_jobs
        self.error_score = error_score
        self.verbose = verbose
        self.random_state = random_state

    # ------------------------------------------------------------------ fit

    @_fit_context(prefer_skip_nested_validation=False)  # the estimators validate theirs
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit every combination of the grid, and keep the best.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            Handed to the estimator; mixtures ignore it.
        sample_weight : array-like of shape (n_samples,), default=None
            Handed to the mixture, in its fit and in its criterion. The other
            steps of a pipeline have weights only where metadata are routed.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the grid is empty, or every fit fails.
        TypeError
            If the mixture has no such criterion.
        """
        grid, estimators = self._combinations()
        fit_params, weight = self._route(sample_weight)
        raises = isinstance(self.error_score, str)
        task = Task(X, y, fit_params, weight, self.criterion, raises, SharedDraws())
        cells = self._sweep(grid, estimators, task)
        self._check_some_succeeded(cells)
        table = make_table(grid, cells)
        best = self._choose(cells, table["score"])
        self._report(grid, cells, best)
        self.cv_results_ = table
        self.best_index_ = best
        self.best_estimator_ = cells[best].model
        self.best_params_ = grid[best]
        self.best_score_ = float(table["score"][best])
        return self

    def _base(self) -> Any:
        return GaussianMixture() if self.estimator is None else self.estimator

    def _combinations(self) -> tuple[list[dict[str, Any]], list[Any]]:
        """The grid, and an estimator for each of its points."""
        if not isinstance(self.error_score, str) and not math.isnan(self.error_score):
            raise ValueError(
                f"error_score must be 'raise' or nan, got {self.error_score!r}: a fit that failed has no"
                " criterion to be compared with others."
            )
        base = self._base()
        if self.param_grid is None:
            self._check_criterion(base)  # before a grid that suits mixtures only
            grid = list(ParameterGrid(_default_grid(base)))
        else:
            grid = list(ParameterGrid(self.param_grid))
        if not grid:
            raise ValueError("param_grid is empty: there is nothing to choose from.")
        seed = self.random_state
        if not isinstance(seed, Integral):
            seed = int(check_random_state(seed).randint(np.iinfo(np.int32).max))
        estimators = []
        for params in grid:
            estimator = clone(base).set_params(**clone(params, safe=False))
            estimators.append(_seeded(estimator, seed))
            self._check_criterion(estimator)
        return grid, estimators

    def _check_criterion(self, estimator: Any) -> None:
        model = final_step(estimator)
        if "groups" in signature(model.fit).parameters:
            raise TypeError(
                f"MixtureSelector gives all rows at once, and {type(model).__name__} has sequences of them. Use"
                " GridSearchCV with scoring=bic_scorer, whose groups go to each fit."
            )
        if isinstance(self.criterion, str) and not hasattr(model, self.criterion):
            raise TypeError(
                f"criterion={self.criterion!r} needs an estimator with a method {self.criterion}(X),"
                f" or a Pipeline that ends in one; {type(model).__name__} has none. A callable"
                " (estimator, X), the greater the better, does without."
            )

    def _route(self, sample_weight: Any) -> tuple[dict[str, Any], Any]:
        """What goes to the estimator's fit; and the weights of the criterion, which are those of the mixture."""
        if sample_weight is None:
            return {}, None
        base = self._base()
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "fit", sample_weight=sample_weight)
            routing = get_routing_for_object(final_step(base))
            asks = routing.consumes("fit", ["sample_weight"])
            return dict(routed.estimator.fit), sample_weight if asks else None
        name = "sample_weight"
        path = []
        while isinstance(base, Pipeline):
            path.append(base.steps[-1][0])
            base = base[-1]
        return {"__".join([*path, name]): sample_weight}, sample_weight

    def _sweep(self, grid: list[dict[str, Any]], estimators: list[Any], task: Task) -> list[Cell]:
        """The cells, in the order of the grid; of the models, only those that may still win are kept."""
        several = effective_n_jobs(self.n_jobs) > 1
        parallel = Parallel(n_jobs=self.n_jobs, prefer="threads", return_as="generator")
        cells: list[Cell] = []
        leaders: list[Cell] = []
        with ExitStack() as stack:
            if several:
                # taken here: a fit that ends would lift its own limit under the feet of the others
                stack.enter_context(threadpool_limits(limits=1))
                # filters are the process's: what threads leave of them is put right
                stack.enter_context(warnings.catch_warnings())
            for cell in parallel(delayed(fit_cell)(e, task) for e in estimators):
                cells.append(cell)
                if self.verbose:
                    self._print(grid[len(cells) - 1], cell, len(cells), len(grid))
                leaders = _lead([*leaders, cell])
        return cells

    def _print(self, params: dict[str, Any], cell: Cell, number: int, total: int) -> None:
        if cell.error is None:
            outcome = f"score={cell.score:.6g}"
        else:
            outcome = describe(cell.error)
        print(f"[{number}/{total}] {_show(params)}: {outcome} ({cell.row['fit_time']:.2f} s)")

    @staticmethod
    def _check_some_succeeded(cells: list[Cell]) -> None:
        errors = [cell.error for cell in cells if cell.error is not None]
        if len(errors) < len(cells):
            return
        reasons = Counter(describe(error) for error in errors)
        if len(reasons) == 1:  # the data are at fault, not a combination
            raise errors[0]
        listed = "\n".join(f"{count} times: {reason}" for reason, count in reasons.most_common(5))
        raise ValueError(f"All {len(cells)} fits failed.\n{listed}") from errors[0]

    @staticmethod
    def _choose(cells: list[Cell], scores: np.ndarray) -> int:
        candidates = np.flatnonzero(tied(scores))
        return int(min(candidates, key=lambda i: cells[i].row.get("n_parameters", 0)))

    @staticmethod
    def _report(grid: list[dict[str, Any]], cells: list[Cell], best: int) -> None:
        for text, category in cells[best].warnings:
            warn_user(text, category)
        failed = [i for i, cell in enumerate(cells) if cell.error is not None]
        if failed:
            first = failed[0]
            warn_user(
                f"{len(failed)} of {len(cells)} fits failed and have no score; cv_results_['error'] says"
                f" why. The first, {_show(grid[first])}: {describe(cells[first].error)}",
                FitFailedWarning,
            )
        warned = sum(bool(cell.warnings) for i, cell in enumerate(cells) if i != best)
        if warned:
            warn_user(
                f"{warned} of the {len(cells) - 1} fits that were not chosen ended with a warning, which"
                " cv_results_['warning'] holds.",
                ConvergenceWarning,
            )


def _lead(cells: list[Cell]) -> list[Cell]:
    """Those with the highest score; the others forget their models."""
    cells = [cell for cell in cells if cell.error is None]
    leading = tied(np.array([cell.score for cell in cells])) if cells else []
    for cell, leads in zip(cells, leading, strict=True):
        cell.model = cell.model if leads else None
    return [cell for cell in cells if cell.model is not None]


def _default_grid(estimator: Any) -> dict[str, Any]:
    """1 to 9 components, as in mclust, with all the covariance types that the mixture says it accepts."""
    prefix = ""
    while isinstance(estimator, Pipeline):
        prefix += estimator.steps[-1][0] + "__"
        estimator = estimator[-1]
    grid: dict[str, Any] = {f"{prefix}n_components": range(1, 10)}
    accepted = getattr(estimator, "_parameter_constraints", {}).get("covariance_type", [])
    names = sorted({name for c in accepted if isinstance(c, StrOptions) for name in c.options})
    # mclust's codes of scikit-learn's four types would be fitted twice; factor models ask for n_factors
    models = {n: COVARIANCES.get(n) for n in names}
    names = [n for n, m in models.items() if m is None or (m.name == n and not m.low_rank)]
    if names:
        grid[f"{prefix}covariance_type"] = names
    return grid


def _seeded(estimator: Any, seed: int) -> Any:
    """The estimator, every random_state that is None replaced by the seed."""
    names = [
        name
        for name, value in estimator.get_params(deep=True).items()
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    ]
    return estimator.set_params(**dict.fromkeys(names, seed))


def _show(params: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in params.items()) or "the only one"
