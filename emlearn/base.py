"""EMMixin: what every estimator fitted by EM shares."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import closing
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ._blocks import BlockReader, MappedRows, is_mapped, text_classes
from ._dask import DaskSource
from ._data import check_data, check_length, check_weights, column_name, is_dask
from ._fit import ACCELERATORS, Fit
from ._lazy import added
from ._parameters import ENGINE, declare
from ._partial import check_one_step, take_in
from .em import loop
from .em.posteriors import SOFT, PosteriorMode
from .em.problem import ModelProblem
from .em.reduce import map_reduce, row_blocks, row_size, unit_blocks
from .em.sources import Block, InMemory, MappedFile, Source, Stream, Survey
from .em.statistics import Statistics
from .em.threads import Workers, effective_threads, single_threaded_blas
from .em.units import Units
from .exceptions import UnobservedColumnsError

__all__ = ["EMMixin"]

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

    A class whose M-step is a step that may go too far, such as Newton's, says
    ``stepwise = True`` and has a fourth, ``between(old, new, fraction)``: parameters
    a fraction of the way. The step is halved while the objective falls.

    Another method is for models whose E-step goes on from what it found in the
    pass before, such as posteriors that are iterated to:

    ``new_memory(X)``
        Arrays for a block of rows. Each run keeps its own, and hands them to
        ``e_step`` as the keyword ``memory``, to be written in place. Where a pass
        is not of the same blocks, as random batches are not, or they are on other
        machines, ``memory`` is None; so it is where a fitted model is asked.

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
        Mean log-likelihood of a row under the fitted parameters; after ``partial_fit`` that of the
        batch under the parameters before it.
    lower_bounds_ : ndarray of shape (``n_iter_``,)
        The same after each M-step.
    restart_lower_bounds_ : ndarray of shape (n_runs,)
        ``lower_bound_`` of each start; nan for one that was singular.
    n_best_restarts_ : int
        How many starts ended as well as the best, within ``tol``.
    stop_reason_ : str
        Begins with "converged", "max_iter", "callback", "singular", "interrupted" or, after
        ``partial_fit``, "online".
    n_steps_ : int
        Batches that ``partial_fit`` has taken in; a fit removes it.

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

    #: the parameters of the engine that the constructor takes as ``**engine``, where it does
    _engine: ClassVar[tuple[str, ...]] = tuple(ENGINE)

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        declare(cls)

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

    def _fit_model(self, X: Any, sample_weight: np.ndarray | None, **fold: Any) -> Any:
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

    def _tolerance(self, source: Source) -> float:
        """The change of the objective that counts as none."""
        return self._setting("tol")

    def _setting(self, name: str) -> Any:
        value = getattr(self, name, _DEFAULTS[name])
        # a model of one's own has a method of this name, in the place of the parameter
        return _DEFAULTS[name] if name == "e_step" and callable(value) else value

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
        return self._fit_data(X, y, sample_weight=sample_weight)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Take in some rows: one step of online EM.

        The first call draws a start from its rows; what is relative to the data, such as a default prior, is so to
        these. After a fit it goes on from that. ``lower_bound_`` is the objective of the batch under the parameters
        before it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the rows cannot be used, or parameters of the constructor contradict what is known.
        """
        return self._partial_fit_data(X, y, sample_weight=sample_weight)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_blocks(self, blocks: Any) -> Self:
        """Fit the model to data that need not fit in memory: a block of rows at a time.

        Each iteration is a pass over the blocks, and a first one learns what has to be known of all rows. The fit is
        that of :meth:`fit`, from a start that is drawn from a sample of the rows where there are more than memory may
        hold: of at most 100 000 rows and about a million numbers, but no fewer than 2000 rows, and 50 for each
        component.

        Parameters
        ----------
        blocks : callable or sequence
            A function without arguments that returns an iterator of the blocks, the same ones at each call; or a list
            of them. A block is a table of shape (n_rows, n_features), or a pair of it and a dict of what ``fit``
            takes beside it, such as ``{"sample_weight": w}``. Sequences are whole in a block. The function is
            called, and its iterators read, in the thread that calls ``fit_blocks``, one pass after the other:
            connections and cursors of a database may be used. ``n_jobs`` threads share the E-step of each pass.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If blocks have different columns, one is empty, or a second pass gives other rows than the first.

        Examples
        --------
        >>> import numpy as np
        >>> from emlearn.mixture import GaussianMixture
        >>> def blocks():
        ...     for seed in range(4):
        ...         yield np.random.default_rng(seed).normal(size=(1000, 2)) + 1 + 8 * (seed % 2)
        >>> mixture = GaussianMixture(2, random_state=0).fit_blocks(blocks)
        >>> np.sort(mixture.means_.round(0), axis=0)
        array([[1., 1.],
               [9., 9.]])
        """
        self._check_parameters()
        return self._fit_source(self._stream(blocks), None)

    def _fit_data(self, X: Any, y: Any, **metadata: Any) -> Self:
        self._check_parameters()
        return self._fit_source(self._source(X, y, metadata), y)

    def _fit_source(self, source: Source, y: Any) -> Self:
        warm = self._continues()
        if warm:
            self._check_continues("warm_start")
        self._check_against(source)
        self._check_start(source)
        auto = self._setting("n_init") == "auto"
        n_runs = (
            1 if warm or self._repeatable_start() else None if auto else self._setting("n_init")
        )
        for name in (
            "_online",
            "_bound_prior",
            "_bound_from",
            "n_steps_",
        ):  # of rows that partial_fit took in
            vars(self).pop(name, None)
        n_threads = self._n_threads(source, 1 if n_runs == 1 else 2)
        with closing(source), single_threaded_blas():
            with Workers(n_threads) as workers:
                Fit(self, source, y, workers, n_runs, warm).run()
            with Workers(n_threads) as workers:  # those of a fit that was interrupted do no more
                self._look_back(source, workers)
        self._note_rows(source)
        return self

    def _partial_fit_data(self, X: Any, y: Any, **metadata: Any) -> Self:
        self._check_parameters()
        known = "converged_" in vars(self)
        check_one_step(self)
        if known:
            self._check_continues("partial_fit")
        block = self._read_block(X, y, reset=not known, **metadata)
        with single_threaded_blas(), Workers(self._n_threads(block.X)) as workers:
            source = InMemory(block, self._blocks)
            source.goes_on = True
            take_in(self, source, workers, known)
        self._note_rows(source)
        return self

    # ------------------------------------------------------------- sources

    def _source(self, X: Any, y: Any, metadata: dict[str, Any]) -> Source:
        """Where the rows of a fit come from."""
        if is_dask(X):
            return DaskSource.of(self, X, metadata)
        if is_mapped(X):
            return self._mapped(X, y, metadata)
        block = self._read_block(X, y, reset=not self._continues(), **metadata)
        return InMemory(block, self._blocks)

    def _read_block(
        self, X: Any, y: Any = None, *, reset: bool, sample_weight: Any = None
    ) -> Block:
        """Rows and what belongs to them, checked and encoded."""
        X = self._check_data(X, reset=reset)
        return Block(X, check_weights(sample_weight, X))

    def _check_partitions(self, n: int, metadata: dict[str, Any]) -> None:
        """ValueError where ``n`` partitions of the rows may cut a unit."""

    def _check_least_rows(self, source: Source, least: int) -> int:
        """How many rows count; ValueError where they are fewer than ``least``."""
        # a weight of 2 is two rows, a weight of 0 is none
        n = max(source.n_counting, int(min(source.weight, 2.0**53)))
        if n < least:
            raise ValueError(
                f"Found array with {n} sample(s) (shape={source.shape}) while a minimum of {least} is required by"
                f" {type(self).__name__}. n_samples = {n}."
            )
        return n

    def _check_against(self, source: Source) -> None:
        """ValueError where the parameters of the constructor do not fit the data."""

    def _changed(self) -> str | None:
        """What is known, in words, where the parameters of the constructor say otherwise now."""
        return None

    def _check_continues(self, how: str) -> None:
        """ValueError where what is known cannot be gone on from with the parameters that the constructor has now."""
        changed = self._changed()
        if changed is not None:
            raise ValueError(
                f"{how} continues {changed}. Set it back, or fit with warm_start=False."
            )

    def _model_for(self, source: Source) -> Any:
        """The model of a fit to these data."""
        sample = source.sample
        fold = {} if source.in_memory else {"fold": source.fold}
        try:
            return self._fit_model(sample.X, sample.sample_weight, **fold)
        except UnobservedColumnsError as error:  # whoever found them knows no names
            names = [column_name(self, j) for j in error.columns]
            raise UnobservedColumnsError(error.columns, names) from error

    def _survey(self, seed: tuple[int, ...] = (0,), most: int | None = None) -> Survey:
        """A first pass over rows that are not in memory, with a sample that has enough for a start."""
        K = getattr(self, "n_components", 1)
        return Survey(seed, most, least=max(2000, 50 * K if isinstance(K, Integral) else 0))

    def _stream(self, blocks: Any) -> Stream:
        read, survey = BlockReader(blocks, self._read_block), self._survey()
        reset = not self._continues()
        if reset:
            reset = not self._learn(read)
            if read.classes is not None:
                self._set_classes(read.classes)
        for block in read(reset=reset):
            survey.add(block)
        if reset and read.classes is not None:  # labels have numbers now
            self._set_classes(read.classes)
            survey = self._survey()
            for block in read():
                survey.add(block)
        if survey.n_rows == 0:
            raise ValueError(
                "A pass over the blocks gave no rows. There are no blocks, or they seem to be an iterator that can be"
                " read only once: give a function that returns the same blocks each time it is called."
            )
        return Stream(read, self._blocks, survey)

    def _check_parameters(self) -> None:
        """ValueError where a parameter of the constructor is out of its domain, whatever the data."""

    def _learn(self, reader: BlockReader) -> bool:
        """Learn from all blocks what is to be known before the first is read; False if there is nothing."""
        return False

    def _set_classes(self, classes: np.ndarray) -> None:
        """Remember the classes of labels, where there are any."""

    def _check_start(self, source: Source) -> None:
        """ValueError where the start that the constructor was given does not fit the data."""

    def _mapped(self, X: Any, y: Any, metadata: dict[str, Any]) -> Source:
        """A file that is mapped into memory, a block at a time."""
        reset = not self._continues()
        if reset:  # the cost of a row, which sizes the blocks, may depend on what is learned
            parts = row_blocks(*X.shape, 16.0 * X.shape[1])
            read = BlockReader(
                lambda: (np.array(X[rows], subok=False) for rows in parts), self._read_block
            )
            reset = not self._learn(read)
            classes = text_classes(metadata.get("labels"))
            if classes is not None:
                if reset:
                    self._check_data(np.array(X[parts[0]], subok=False), reset=True)
                    reset = False
                self._set_classes(classes)
        pieces = self._pieces(X, metadata)
        rows, survey = MappedRows(X, pieces, self._read_block), self._survey()
        for piece, _ in pieces:
            survey.add(rows.load(piece, reset))
            reset = False
        return MappedFile(rows, [piece for piece, _ in pieces], self._blocks, survey)

    def _pieces(self, X: Any, metadata: dict[str, Any]) -> list[tuple[slice, dict[str, Any]]]:
        """The rows of each block of a large table, and what belongs to them."""
        n, d = X.shape
        weight = metadata.get("sample_weight")
        if weight is not None and np.ndim(weight) == 0:
            metadata = {**metadata, "sample_weight": np.full(n, weight)}
        given = {name: check_length(value, n, name) for name, value in metadata.items()}
        return [
            (rows, {name: value[rows] for name, value in given.items() if value is not None})
            for rows in row_blocks(n, d, self.row_cost(d))
        ]

    def _continued_model(self, source: Source) -> Any:
        """The model of a fit that goes on with new rows."""
        return self._model_for(source)

    def _note_rows(self, source: Source) -> None:
        """Remember of the rows what fitted attributes say."""

    def _look_back(self, source: Source, workers: Workers) -> None:
        """One more pass, where fitted attributes say something of each row."""

    def _keep_bound(self, model: Any) -> None:
        """Remember what :meth:`_continued_model` needs of the first rows."""

    def _n_threads(self, X: Any, n_runs: int = 1) -> int:
        """Threads that pay: for several blocks of rows, or for several runs of E-steps that are long enough."""
        n_jobs = self._setting("n_jobs")
        X = X.sample.X if isinstance(X, Source) and X.in_memory else X
        size = row_size(X) if not isinstance(X, Source) else X.shape[1]
        cost = self.row_cost(size)
        long = n_runs > 1 and X.shape[0] * cost > _LONG
        several = len(row_blocks(X.shape[0], size, cost)) > 1  # a unit may have several, too
        return effective_threads(n_jobs) if n_jobs == 0 or long or several else 1

    def _blocks(self, X: Any) -> list[slice]:
        size = row_size(X)
        if isinstance(X, Units):
            return unit_blocks(X.ends, size, self.row_cost(size))
        return row_blocks(X.shape[0], size, self.row_cost(size))

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
        value, weight = self._log_likelihood(X, sample_weight)
        return value / (1.0 if getattr(self._fitted_model(), "total_scale", False) else weight)

    @added
    def _log_likelihood(self, X: Any, sample_weight: Any) -> tuple[float, float]:
        """The log-likelihood of all rows, and what they count."""
        X = self._check_data(X, reset=False)
        return self._block_log_likelihood(Block(X, check_weights(sample_weight, X)))

    def _block_log_likelihood(
        self, block: Block, mode: PosteriorMode = SOFT
    ) -> tuple[float, float]:
        """The same of rows that were read."""
        with single_threaded_blas(), Workers(self._n_threads(block.X)) as workers:
            source = InMemory(block, self._blocks)
            problem = ModelProblem(self._fitted_model(), source, workers, mode)
            return problem.log_likelihood(self.recall())[1], problem.rows

    def _over_blocks(
        self, function: Callable[[slice], Any], X: Any, merge: Callable[[Any, Any], Any]
    ) -> Any:
        """``merge`` of a function of slices over the blocks of rows, in threads where there are several."""
        with single_threaded_blas(), Workers(self._n_threads(X)) as workers:
            return map_reduce(function, self._blocks(X), merge, workers)
