"""Families whose log-density is linear in features of the row: two matrix products make the E-step."""

from __future__ import annotations

import operator
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from scipy import sparse
from scipy.special import gammaln

from ..em.statistics import Sums
from ..exceptions import SingularError
from ._base import Distribution, Fold, Prior
from ._cells import check_columns, fill_cells, put_draws

__all__ = [
    "ConjugatePrior",
    "LinearFamily",
    "Rows",
    "check_counts",
    "keep_empty",
    "refuse",
    "row_log_factorials",
]

# stands for log 0 where a product with 0 must be 0, and what no log-density of finite numbers is below
_NEVER, _UNREACHED = -1e300, -1e250


class Rows(NamedTuple):
    """A block as a linear family sees it.

    Attributes
    ----------
    values : ndarray or CSR matrix of shape (n, V)
        T(x).
    base : ndarray of shape (n,) or float
        The part of the log-density that no parameter touches.
    seen : ndarray of shape (n, d) or (n, 1), or None
        1 where there is a cell, or a row, 0 where it is missing (and ``values`` 0); None where none is.
    """

    values: Any
    base: np.ndarray | float = 0.0
    seen: np.ndarray | None = None


class ConjugatePrior(Prior):
    """The conjugate prior of a linear family, said in rows that were never seen.

    The posterior mode is the maximum-likelihood estimate with ``count`` rows of
    mean ``mean`` added to each component: for probabilities the Dirichlet
    distribution with parameters 1 + count mean, for Poisson rates the gamma
    distribution with shape 1 + count mean and rate ``count``.

    Parameters
    ----------
    count : float, default=1.0
        How many rows it is worth.
    mean : array-like, default=None
        Mean of their features, in the shape of a component's; None is the mean of the data, of
        probabilities and rates with one row more that is even, so that what was never seen is possible.

    References
    ----------
    Diaconis, P. and Ylvisaker, D. (1979). Conjugate priors for exponential
    families. The Annals of Statistics 7(2), 269-281.

    Examples
    --------
    >>> from emlearn.distributions import ConjugatePrior
    >>> from emlearn.mixture import PoissonMixture
    >>> PoissonMixture(prior=ConjugatePrior(count=2.0, mean=[1.0])).fit([[3], [3]]).rates_
    array([[2.]])
    """

    def __init__(self, count: float = 1.0, mean: Any = None) -> None:
        self.count = count
        self.mean = mean

    def bind(
        self,
        X: Any,
        sample_weight: np.ndarray | None,
        n_components: int,
        distribution: Any,
        fold: Fold | None = None,
    ) -> Self:
        if not isinstance(self.count, Real) or not 0 < self.count < np.inf:
            raise ValueError(f"prior: count must be a number above 0, got {self.count!r}.")
        if self.mean is None:
            sums = partial(_sums, distribution)
            sums = sums(X, sample_weight) if fold is None else fold(sums, operator.add)
            mean = distribution.data_mean(sums)[0]
        else:
            try:
                mean = np.asarray(self.mean, dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise type(error)(f"prior: mean must hold numbers: {error}") from error
            if not np.all(np.isfinite(mean)):
                raise ValueError(f"prior: mean must be finite, got {mean}.")
            mean = distribution.read_prior_mean(mean, X.shape[1])
        return type(self)(self.count, mean)


def _sums(distribution: Any, X: Any, sample_weight: np.ndarray | None) -> Sums:
    one = np.ones((X.shape[0], 1)) if sample_weight is None else sample_weight[:, None]
    return distribution.statistics(None, distribution.features(X), one)


class LinearFamily(Distribution):
    r"""A family with :math:`\log p(x \mid k) = \eta_k \cdot T(x) + a_k + h(x)`.

    A subclass gives ``features`` (T and h), ``natural`` (eta and a), the M-step
    from the weighted sums of T, and what belongs to its parameters.
    """

    default_prior = ConjugatePrior
    start_softness = 0.1

    @abstractmethod
    def natural(self, parameters: Any) -> tuple[np.ndarray, np.ndarray]:
        """Natural parameters (K, V), -inf where a feature is impossible, and offsets (K,)."""

    def cell_offsets(self, parameters: Any) -> np.ndarray:
        """What the offsets are sums of: (K, d), a cell each; or (K, 1), where rows are missing as a whole."""
        return self.natural(parameters)[1][:, None]

    def row_cost(self, n_components: int, n_features: float) -> float:
        return n_components * (40 + 4 * n_features)

    # --------------------------------------------------------------- data

    def bind(self, X: Any, sample_weight: np.ndarray | None, fold: Fold | None = None) -> Self:
        check_columns(X, sample_weight, fold)
        return self

    # ------------------------------------------------------------ density

    def log_density(self, parameters: Any, features: Rows) -> tuple[np.ndarray, None]:
        natural, offsets = self.natural(parameters)
        never = np.isneginf(natural)
        some = bool(never.any())
        if some:
            natural = np.where(never, _NEVER, natural)
        out = features.values @ np.ascontiguousarray(natural.T)
        if some:
            out[out < _UNREACHED] = -np.inf
        out += offsets if features.seen is None else features.seen @ self.cell_offsets(parameters).T
        if np.ndim(features.base):
            out += features.base[:, None]
        return out, None

    # --------------------------------------------------------- statistics

    def statistics(
        self, parameters: Any, features: Rows, weights: np.ndarray, memo: None = None
    ) -> Sums:
        values = features.values
        if sparse.issparse(values):
            total = (values.T @ weights).T  # the order that log_density wants
        else:
            total = weights.T @ values
        weight, seen = weights.sum(axis=0), features.seen
        if seen is not None:
            weight = weights.T @ seen if self.cellwise else weights.T @ seen[:, 0]
        elif self.cellwise:
            weight = weight[:, None]
        return Sums({"weight": weight, "sum": total}, signed=self.signed)

    #: whether single cells may be missing, so that weights of statistics are those of cells: (K, d), or, as long as
    #: none was missing, (K, 1), which becomes the other where the two are merged
    cellwise: ClassVar[bool] = False
    #: columns of T(x) for each column of the data, side by side
    features_a_cell: ClassVar[int] = 1

    def expected_sums(self, weights: np.ndarray, means: np.ndarray) -> Sums:
        """Statistics of so many whole rows (K,) whose features have these means (K, V)."""
        weight = weights[:, None] if self.cellwise else weights
        return Sums({"weight": weight, "sum": weights[:, None] * means}, signed=self.signed)

    def seen(self, statistics: Sums) -> np.ndarray:
        """How much (K, V), or (K, 1), was seen of each feature."""
        weight = statistics["weight"]
        return weight if weight.shape[1] == 1 else np.tile(weight, self.features_a_cell)

    #: names of sums that may be negative
    signed: tuple[str, ...] = ()

    # ------------------------------------------------------ missing cells

    def means(self, parameters: Any) -> np.ndarray:
        """What is expected (K, d) of a row of each component, or its most probable values."""
        raise NotImplementedError(f"{type(self).__name__} must define means, or fill")

    def fill(self, parameters: Any, X: Any, shares: np.ndarray) -> Any:
        if sparse.issparse(X):  # whole rows
            return X.copy()
        return fill_cells(X, np.isnan(X), shares @ self.means(parameters))

    def draw_missing(
        self, parameters: Any, X: Any, labels: np.ndarray, rng: np.random.RandomState
    ) -> Any:
        if sparse.issparse(X):
            return X.copy()
        draw = partial(self.sample, parameters, rng=rng)
        return put_draws(X, np.isnan(X), labels, self.shape(parameters)[0], draw)

    # -------------------------------------------------------------- prior

    def data_mean(self, statistics: Sums) -> np.ndarray:
        """What a prior takes for the mean (1, V) of the features; nothing that is possible is 0."""
        if self.cellwise:
            return keep_empty(statistics["sum"], self.seen(statistics), None)
        return statistics["sum"] / statistics["weight"][:, None]

    def read_prior_mean(self, mean: np.ndarray, n_features: int) -> np.ndarray:
        """A prior mean that the user gave, checked."""
        if mean.shape != (n_features,):
            raise ValueError(
                f"prior: mean must have the shape {(n_features,)} of a row, got {mean.shape}."
            )
        if not np.all(mean >= 0):
            raise ValueError("prior: mean must not be negative.")
        return mean

    def with_prior(self, statistics: Sums, prior: ConjugatePrior | None) -> Sums:
        """Statistics with the rows of the prior added."""
        if prior is None:
            return statistics
        return Sums(
            {
                "weight": statistics["weight"] + prior.count,
                "sum": statistics["sum"] + prior.count * prior.mean,
            },
            signed=self.signed,
        )


def keep_empty(total: np.ndarray, weight: np.ndarray, current: np.ndarray | None) -> np.ndarray:
    """Total / weight; where the weight is 0 what there was, or, at a start, the mean of all components."""
    empty = weight <= 0
    if not empty.any():
        return total / weight
    if current is None:
        everything = np.sum(np.broadcast_to(weight, total.shape), axis=0)
        if not np.all(everything > 0):
            raise SingularError(
                "The rows that count say nothing of some column: its cells are missing, or all counts"
                " are 0. Drop it, or give other sample weights or a prior."
            )
        current = np.broadcast_to(total.sum(axis=0) / everything, total.shape)
    return np.where(empty, current, total / np.where(empty, 1.0, weight))


def row_log_factorials(X: sparse.csr_matrix) -> np.ndarray:
    """Sums (n,) of log x! over the stored values of each row."""
    logs = type(X)((gammaln(X.data + 1.0), X.indices, X.indptr), shape=X.shape, copy=False)
    return np.asarray(logs.sum(axis=1)).ravel()


def refuse(X: Any, bad: np.ndarray, column: Callable[[int], str], what: str, advice: str) -> None:
    """ValueError that names the first column where ``bad`` holds (of the stored values of a CSR matrix)."""
    if not bad.any():
        return
    if sparse.issparse(X):
        first = int(np.flatnonzero(bad)[0])
        j, value, n = int(X.indices[first]), X.data[first], int(bad.sum())
        row = int(np.searchsorted(X.indptr, first, side="right")) - 1
    else:
        j = int(np.flatnonzero(bad.any(axis=0))[0])
        row, n = int(np.flatnonzero(bad[:, j])[0]), int(bad[:, j].sum())
        value = X[row, j]
    raise ValueError(f"{what} in {column(j)}: {value:g} in row {row}, {n} such in all. {advice}")


def check_counts(X: Any, column: Callable[[int], str]) -> None:
    """ValueError where a count is negative."""
    values = X.data if sparse.issparse(X) else X
    if np.any(values < 0):  # which NaN is not
        refuse(
            X,
            values < 0,
            column,
            "Negative values in data: counts must be 0 or more, found",
            "Drop these rows, or model differences by another family.",
        )
