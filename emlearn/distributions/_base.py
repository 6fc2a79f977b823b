"""The contract of a distribution p(x | z = k), and of the prior of its parameters."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import InputTags

from ..em.fixed import Constraints
from ..em.held import Space
from ..em.probabilities import average_statistics
from ..em.statistics import Statistics, Sums

__all__ = ["Distribution", "Prior"]


#: ``fold(function, merge)``: ``merge`` of ``function(rows, sample_weight)`` over blocks of rows
Fold = Callable[[Callable[[Any, Any], Any], Callable[[Any, Any], Any]], Any]


class Prior(BaseEstimator, ABC):
    """A prior of the parameters of a family: hyper-parameters only.

    Each family has its own, conjugate to it: an argument of its M-step, whose
    log-density (:meth:`Distribution.log_prior`) enters the objective.
    """

    def bind(
        self,
        X: Any,
        sample_weight: np.ndarray | None,
        n_components: int,
        distribution: Any,
        fold: Fold | None = None,
    ) -> Self:
        """The prior in numbers, where its hyper-parameters are said relative to the data.

        ``fold`` as in :meth:`Distribution.bind`.
        """
        return self


class Distribution(BaseEstimator, ABC):
    """What a mixture needs to know of a family.

    A distribution holds hyper-parameters only; its parameters are a frozen
    dataclass of arrays with a leading component axis, handed in and out. Data
    of a block go in, values come out.
    """

    #: what the hyper-parameters may be, in scikit-learn's words; a fit checks them
    _parameter_constraints: dict = {}

    # --------------------------------------------------------------- data

    #: names of parameters that hyper-parameters have, too: where both could be meant, these are
    also_parameters: ClassVar[frozenset[str]] = frozenset()
    #: the family's own prior, with its usual hyper-parameters, where the user says ``prior="default"``
    default_prior: ClassVar[type[Prior] | None] = None
    #: True where densities are with respect to Lebesgue measure, so that a uniform noise component makes sense
    continuous: ClassVar[bool] = False
    #: further arguments of scikit-learn's ``check_array`` for the data: their type, CSR matrices, missing cells
    check_arguments: ClassVar[Mapping[str, Any]] = {}
    #: True where :meth:`encode` takes what the user gave, data frames of mixed types included
    takes_frames: ClassVar[bool] = False
    #: False where an M-step improves the expected log-density but need not maximise it
    exact: ClassVar[bool] = True
    #: share of each row that a drawn start spreads evenly: EM never leaves a probability of 0
    start_softness: ClassVar[float] = 0.0
    #: parts that a component begins with: the weights of a start have so many columns for each, side by side
    start_parts: ClassVar[int] = 1
    #: whether densities are computed with BLAS, whose results depend on its number of threads
    uses_blas: ClassVar[bool] = True
    #: whether :meth:`fused_scores` tells where a row is not finite, so that nobody has to look before
    checks_finite: ClassVar[bool] = False

    def input_tags(self, tags: InputTags) -> InputTags:
        """What data the family takes, in scikit-learn's tags."""
        tags.sparse = bool(self.check_arguments.get("accept_sparse"))
        return tags

    def encode(
        self, X: Any, learned: Mapping[str, Any] | None, column: Callable[[int], str]
    ) -> tuple[Any, dict[str, Any]]:
        """The data as numbers, checked, and what was learned of them.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n, d)
        learned : mapping or None
            None in ``fit``; afterwards what ``fit`` learned, read from the fitted attributes.
        column : callable
            ``column(j)`` is how errors call column j.

        Returns
        -------
        X : ndarray or CSR matrix
        learned : dict
            Published as fitted attributes, with an underscore appended.

        Raises
        ------
        ValueError
            If the data are none that the family has: which column, what was found, what to do.
        """
        return X, {}

    #: whether :meth:`encode` learns of the rows, so that all have to be looked at before the first is used
    learns: ClassVar[bool] = False

    def merge_learned(self, a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
        """What :meth:`encode` would have learned of all rows, from what it learned of some and of others.

        Raises
        ------
        ValueError
            If these contradict each other.
        """
        return dict(a)

    def decode(self, X: np.ndarray, learned: Mapping[str, Any]) -> np.ndarray:
        """Rows that were sampled as the user gives them: the inverse of :meth:`encode`."""
        return X

    def assume(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What :meth:`encode` would have learned of data with these parameters, by their published names."""
        return {}

    def resolve(self, learned: Mapping[str, Any]) -> Self:
        """The distribution with what :meth:`encode` learned, for fits and for fitted models alike."""
        return self

    def bind(self, X: Any, sample_weight: np.ndarray | None, fold: Fold | None = None) -> Self:
        """The distribution for these data: once a fit, for what statistics or the M-step need of all of X.

        Densities never read what it learned: it is not there when a fitted model is used.

        Where there are more rows than fit in memory, X is a sample of them, which is enough for what starts need, and
        ``fold(function, merge)`` is ``merge`` of ``function(rows, sample_weight)`` over blocks of all of them.
        """
        return self

    def in_support(self, X: np.ndarray) -> np.ndarray:
        """Which rows the family could have: (n,) of bool."""
        return np.ones(len(X), dtype=bool)

    def features(self, X: Any) -> Any:
        """Work done once a block and kept for the whole fit, shared by density and statistics."""
        return X

    @abstractmethod
    def row_cost(self, n_components: int, n_features: float) -> float:
        """Arithmetic of an E-step for one row, in multiplications: it sizes the blocks."""

    def embed(self, X: Any) -> Any:
        """Where k-means measures distance."""
        return X

    # ------------------------------------------------------------ density

    @abstractmethod
    def log_density(self, parameters: Any, features: Any) -> tuple[np.ndarray, Any]:
        """Log-densities (n, K), and a memo for :meth:`statistics`."""

    # --------------------------------------------------------- statistics

    @abstractmethod
    def statistics(
        self, parameters: Any, features: Any, weights: np.ndarray, memo: Any = None
    ) -> Statistics:
        """Statistics of rows under weights (n, K); at a start there are no parameters and no memo."""

    # ------------------------------------------------------------- M-step

    def expected_statistics(self, parameters: Any, weights: np.ndarray) -> Statistics | None:
        """What statistics of so many rows (K,) of each component are in the mean; their M-step gives these parameters.

        Online EM begins with them; None, where a family has none, begins with its first batch.
        """
        return None

    @abstractmethod
    def m_step(self, statistics: Statistics, parameters: Any, prior: Prior | None = None) -> Any:
        """Parameters that maximise the expected log-density, plus that of the prior.

        ``parameters`` are the current ones, or None at a start.
        """

    #: True where the best value of each published parameter, and of each of its elements (but for probabilities
    #: that sum to 1), does not depend on the others: fixed ones are then put in after the M-step
    separable: ClassVar[bool] = False

    def parameter_spaces(self, n_components: int, n_features: int) -> dict[str, Space]:
        """Shapes and domains of the published parameters that may be fixed, or equal in all components.

        Here: a number for each component and feature, in each field of the parameters.
        """
        fields = dataclasses.fields(self.parameters_class)
        return {f.name: Space((n_components, n_features)) for f in fields}

    def settle(self, constraints: Constraints, n_components: int, n_features: int) -> Constraints:
        """What is fixed or equal as :meth:`constrained_m_step` reads it.

        Raises
        ------
        ValueError
            If the family has no M-step for it.
        """
        if not self.separable:
            raise ValueError(
                f"fixed, equal: {type(self).__name__} has no M-step beside such parameters. If the best value of"
                " each of its parameters does not depend on the others, set separable = True in the class;"
                " otherwise define constrained_m_step and settle."
            )
        return constraints

    def constrained_m_step(
        self,
        statistics: Statistics,
        parameters: Any,
        prior: Prior | None,
        constraints: Constraints,
    ) -> Any:
        """:meth:`m_step` beside parameters that are fixed or shared; never below the current ones.

        Here, for families whose parameters separate: the M-step, and one of the average of what components share.
        """
        found = self.publish(self.m_step(statistics, parameters, prior))
        pooled: dict[str, Any] = {}
        if any(held.shared.any() for held in constraints.values()):
            if not isinstance(statistics, Sums):
                raise TypeError(
                    f"equal: the statistics of {type(self).__name__} are no Sums; define constrained_m_step."
                )
            groups = next(iter(constraints.values())).groups
            average = average_statistics(statistics, groups)
            pooled = self.publish(self.m_step(average, parameters, prior))
        for name, held in constraints.items():
            found[name] = held.put(found[name], pooled.get(name))
        return self.recall(found)

    def n_held(self, parameters: Any, constraints: Constraints) -> int:
        """How many of the free parameters are fixed, or the same as another component's."""
        return sum(held.n_held for held in constraints.values())

    def alternatives(
        self, statistics: Statistics, parameters: Any, prior: Prior | None = None
    ) -> list[Any]:
        """Other parameters for a run to begin with than those of the first M-step, which has several optima."""
        return []

    def bind_prior(
        self,
        prior: Any,
        X: Any,
        sample_weight: np.ndarray | None,
        n_components: int,
        fold: Fold | None = None,
    ) -> Prior:
        """A prior that the user gave, in numbers.

        Raises
        ------
        TypeError
            If it is of another family.
        """
        own = self.default_prior
        if not isinstance(prior, Prior if own is None else own):
            wanted = "a Prior" if own is None else own.__name__
            raise TypeError(
                f"prior: {type(self).__name__} takes {wanted}, got {prior!r}. Give one, or None."
            )
        more = {} if fold is None else {"fold": fold}
        return prior.bind(X, sample_weight, n_components, self, **more)

    def log_prior(self, parameters: Any, prior: Prior) -> float:
        """Log-density of the parameters under the prior, which is bound."""
        raise NotImplementedError(f"{type(self).__name__} has no prior")

    def ascent(self, old: Any, new: Any, statistics: Statistics) -> float:
        """What the log-likelihood must at least gain from ``old`` to ``new``."""
        return 0.0

    # ----------------------------------------------------------- sampling

    @abstractmethod
    def sample(self, parameters: Any, counts: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        """Rows of component 0, then of component 1, and so on, ``counts`` of each."""

    # ------------------------------------------------------ missing cells

    def fill(self, parameters: Any, X: Any, shares: np.ndarray) -> Any:
        """Rows whose missing cells have the value that is expected given the observed ones.

        Parameters
        ----------
        parameters : object
        X : ndarray of shape (n, d)
            Encoded, NaN where a cell is missing; it is not changed.
        shares : ndarray of shape (n, K)
            Of each row to the components, given what is observed of it; a row's sum to 1.

        Returns
        -------
        ndarray of shape (n, d)
            A copy. A missing number is the mean, over the components, of its conditional means; a category is the most
            probable one.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no missing cells: define fill, and a density of what is observed."
        )

    def draw_missing(
        self, parameters: Any, X: Any, labels: np.ndarray, rng: np.random.RandomState
    ) -> Any:
        """Rows whose missing cells are drawn given the observed ones and the component.

        Parameters
        ----------
        parameters : object
        X : ndarray of shape (n, d)
            Encoded, NaN where a cell is missing; it is not changed.
        labels : ndarray of int of shape (n,)
            The component of each row.
        rng : RandomState

        Returns
        -------
        ndarray of shape (n, d)
            A copy.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no missing cells: define draw_missing, and a density of what is"
            " observed."
        )

    # --------------------------------------------------------- parameters

    #: the dataclass that the parameters are
    parameters_class: ClassVar[type]
    #: names of published parameters that all components have in common: arrays without a component axis
    shared_parameters: ClassVar[tuple[str, ...]] = ()
    #: names of published parameters that are lists with an array, of a row for each component, for each column
    column_parameters: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def n_free(self, parameters: Any) -> int:
        """Number of free parameters."""

    @abstractmethod
    def shape(self, parameters: Any) -> tuple[int, int]:
        """Number of components, and of columns of the data."""

    def publish(self, parameters: Any) -> dict[str, Any]:
        """The fitted attributes, by name, without the underscore that is appended."""
        return {f.name: getattr(parameters, f.name) for f in dataclasses.fields(parameters)}

    def recall(self, values: Mapping[str, Any]) -> Any:
        """Parameters from attributes, whoever set them: the inverse of :meth:`publish`."""
        names = [f.name for f in dataclasses.fields(self.parameters_class)]
        return self.parameters_class(*(as_table(values[name], name) for name in names))

    def check_parameters(self, parameters: Any) -> None:
        """ValueError where parameters that a user gave are outside their domain."""

    def degeneracies(self, parameters: Any, weights: np.ndarray) -> list[str]:
        """What is wrong with which components, in sentences; an empty component needs none.

        ``weights`` is an array (K,); or (K, M) where the components asked about are the members of
        mixtures, which a sentence then names by both their numbers.
        """
        return []

    # density, posterior and statistics in one pass, for families that have a kernel

    def fused(
        self,
        parameters: Any,
        log_weights: np.ndarray,
        features: Any,
        sample_weight: np.ndarray | None,
        flat: float | None = None,
    ) -> tuple[np.ndarray, Statistics, float] | None:
        """Counts, statistics and log-likelihood of a block; None without a kernel.

        With ``flat`` there is one component more, the last of ``log_weights`` and of the counts,
        whose log-density is that number everywhere; the statistics leave it out.
        """
        return None

    def fused_scores(
        self,
        parameters: Any,
        log_weights: np.ndarray,
        X: Any,
        flat: float | None = None,
        **outputs: np.ndarray,
    ) -> bool | None:
        """Fill ``joint``, ``posterior``, ``log_density`` or ``label``.

        Returns whether all rows are finite; None without a kernel.
        """
        return None


def m_step_beside(
    family: Distribution,
    statistics: Statistics,
    parameters: Any,
    prior: Prior | None,
    constraints: Constraints,
) -> Any:
    """A family's M-step; it need not know of constraints where there are none."""
    if not constraints:
        return family.m_step(statistics, parameters, prior)
    return family.constrained_m_step(statistics, parameters, prior, constraints)


def check_domain(value: np.ndarray, low: float, high: float, name: str) -> None:
    """ValueError unless all of a parameter are numbers from ``low`` to ``high``."""
    if not np.all(np.isfinite(value)) or value.min() < low or value.max() > high:
        raise ValueError(
            f"The parameter {name!r} must hold numbers from {low:g} to {high:g}, got"
            f" {np.nanmin(value):g} to {np.nanmax(value):g}."
        )


def check_sums(value: np.ndarray, name: str) -> None:
    """ValueError unless each row sums to 1."""
    totals = value.sum(axis=1)
    if np.any(np.abs(totals - 1.0) > 1e-6):
        row = int(np.abs(totals - 1.0).argmax())
        raise ValueError(
            f"The parameter {name!r} must have rows that sum to 1, got {totals[row]:g} for component {row}."
        )


def listed(which: np.ndarray) -> list[Any]:
    """Numbers of the components where an array is True; pairs of numbers where it is a table."""
    found = np.argwhere(which)
    return found[:, 0].tolist() if which.ndim == 1 else list(map(tuple, found.tolist()))


def as_table(value: Any, name: str) -> np.ndarray:
    """A parameter with a row for each component."""
    table = as_float(value)
    if table.ndim != 2:
        raise ValueError(
            f"The parameter {name!r} must have a row for each component and a column for each feature,"
            f" got an array of shape {table.shape}."
        )
    return table


def as_float(value: Any) -> np.ndarray:
    """A parameter as the engine computes with it."""
    return np.ascontiguousarray(value, dtype=np.float64)
