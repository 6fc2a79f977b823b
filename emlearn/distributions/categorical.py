"""The categorical family: independent columns of categories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
from scipy import sparse
from scipy.special import gammaln, xlogy
from sklearn.preprocessing import OrdinalEncoder
from sklearn.utils import InputTags
from sklearn.utils._missing import is_scalar_nan
from sklearn.utils._param_validation import StrOptions

from .._kernels import COMPILED
from .._kernels import labels as kernel
from .._kernels import labels_twin as twin
from ..em.fixed import Constraints
from ..em.held import Space
from ..em.probabilities import shares
from ..em.statistics import Sums
from ._base import Fold, check_domain, check_sums
from ._cells import fill_cells, put_draws
from ._linear import ConjugatePrior, LinearFamily, keep_empty

__all__ = ["Categorical", "CategoricalParameters"]

# ------------------------------------------------------------ parameters


@dataclass(frozen=True)
class CategoricalParameters:
    """Parameters of K products of categorical distributions.

    Attributes
    ----------
    probabilities : ndarray of shape (K, V)
        The columns' probabilities side by side.
    sizes : ndarray of shape (d,)
        Number of categories of each column.
    """

    probabilities: np.ndarray
    sizes: np.ndarray


class Categorical(LinearFamily):
    """Categories, independent given the component: the latent class model.

    A column holds strings or numbers, of which each distinct one is a category.
    Missing cells (NaN or None) are left out.

    Parameters
    ----------
    categories : "auto" or list of array-like, default="auto"
        The categories of each column; "auto" takes those of the data.
    handle_unknown : {"error", "ignore"}, default="error"
        What to do with a category that ``fit`` has not seen; "ignore" takes it for missing.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.distributions import Categorical
    >>> categorical = Categorical().bind(np.array([[0], [2], [1]]), None)
    >>> rows = categorical.features(np.array([[0], [2], [1]]))
    >>> sums = categorical.statistics(None, rows, np.ones((3, 1)))
    >>> categorical.m_step(sums, None).probabilities.round(2)
    array([[0.33, 0.33, 0.33]])
    """

    parameters_class = CategoricalParameters
    separable = True
    column_parameters = ("probabilities",)
    uses_blas = not COMPILED["labels"]
    check_arguments = {"dtype": None, "ensure_all_finite": False}

    _parameter_constraints: dict = {
        "categories": [StrOptions({"auto"}), list],
        "handle_unknown": [StrOptions({"error", "ignore"})],
    }

    def __init__(self, categories: Any = "auto", handle_unknown: str = "error") -> None:
        self.categories = categories
        self.handle_unknown = handle_unknown

    def input_tags(self, tags: InputTags) -> InputTags:
        tags = super().input_tags(tags)
        tags.categorical = True
        tags.string = True
        tags.allow_nan = True
        return tags

    def encode(
        self, X: Any, learned: Mapping[str, Any] | None, column: Callable[[int], str]
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Codes 0, 1, …, -1 where a cell is missing; ``categories`` are learned, a list of arrays."""
        if np.iscomplexobj(X):
            raise ValueError("Complex data not supported: categories are strings or real numbers.")
        if X.dtype.kind == "f" and np.isinf(X).any():
            j = int(np.flatnonzero(np.isinf(X).any(axis=0))[0])
            raise ValueError(
                f"Input X contains infinity in {column(j)}. Give it a name of its own."
            )
        if learned is None:
            categories = self._learn(X, column)
        else:
            categories = [np.asarray(names) for names in learned["categories"]]
        known = _encode(X, categories)
        unknown = (known < 0) & ~_missing(X)
        if unknown.any() and self.handle_unknown == "error":
            j = int(np.flatnonzero(unknown.any(axis=0))[0])
            found = list(dict.fromkeys(X[unknown[:, j], j].tolist()))
            raise ValueError(
                f"Found unknown categories {found[:5]} in {column(j)}; known are"
                f" {categories[j].tolist()[:10]}. Set handle_unknown='ignore' to take them for missing."
            )
        return known, {"categories": categories}

    def _learn(self, X: np.ndarray, column: Callable[[int], str]) -> list[np.ndarray]:
        given = self.categories
        if isinstance(given, str):
            found = []
            for j in range(X.shape[1]):
                cells = X[:, j]
                missing = _missing(cells)  # perhaps all: other blocks may have some
                try:
                    found.append(_unique(cells[~missing] if missing.any() else cells))
                except TypeError as error:
                    raise TypeError(
                        f"{column(j)} mixes types that have no order ({error}). Make all of it strings"
                        " or all of it numbers; argument must be a string or a number"
                    ) from error
            return found
        if len(given) != X.shape[1]:
            raise ValueError(
                f"categories must be a list with one entry for each of the {X.shape[1]} columns, got {len(given)}."
            )
        categories = [np.asarray(names) for names in given]
        for j, names in enumerate(categories):
            distinct = names.ndim == 1 and len(set(names.tolist())) == len(names) > 0
            if not distinct or _missing(names).any():
                raise ValueError(
                    f"categories of {column(j)} must be a list of distinct values, none of them missing, got"
                    f" {given[j]!r}."
                )
        return categories

    learns = True

    def merge_learned(self, a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(self.categories, str):
            return dict(a)
        merged = []
        for first, second in zip(a["categories"], b["categories"], strict=True):
            some = [names for names in (first, second) if len(names)] or [first]
            merged.append(_unique(np.concatenate(some)))
        return {"categories": merged}

    def assume(self, values: Mapping[str, Any]) -> dict[str, Any]:
        if isinstance(self.categories, str):
            categories = [np.arange(np.shape(block)[1]) for block in values["probabilities"]]
        else:
            categories = [np.asarray(names) for names in self.categories]
        return {"categories": categories}

    def resolve(self, learned: Mapping[str, Any]) -> Self:
        names = learned.get("categories")
        if names is None:
            return self
        return self._with_sizes([len(column) for column in names])

    def bind(
        self, X: np.ndarray, sample_weight: np.ndarray | None, fold: Fold | None = None
    ) -> Self:
        super().bind(X, sample_weight, fold)
        if hasattr(self, "_sizes"):
            return self
        return self._with_sizes(X.max(axis=0) + 1)

    def _with_sizes(self, sizes: Any) -> Self:
        resolved = type(self)(self.categories, self.handle_unknown)
        resolved._sizes = np.asarray(sizes, dtype=np.int64)
        return resolved

    def features(self, X: np.ndarray) -> np.ndarray:
        """The codes: they are addresses, and a one-hot row is never made."""
        return np.ascontiguousarray(X, dtype=np.int32)

    def embed(self, X: np.ndarray) -> sparse.csr_matrix:
        return twin.one_hot(self.features(X), self._sizes)

    # ------------------------------------------------------------ density

    def natural(self, parameters: CategoricalParameters) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(divide="ignore"):
            natural = np.log(parameters.probabilities)
        return natural, np.zeros(len(natural))

    def log_density(
        self, parameters: CategoricalParameters, features: np.ndarray
    ) -> tuple[np.ndarray, None]:
        table = self.natural(parameters)[0]
        return kernel.densities(features, _int32(parameters.sizes), table), None

    def fused(
        self,
        parameters: CategoricalParameters,
        log_weights: np.ndarray,
        features: np.ndarray,
        sample_weight: np.ndarray | None,
        flat: float | None = None,
    ) -> tuple[np.ndarray, Sums, float] | None:
        if flat is not None:
            return None
        table = self.natural(parameters)[0]
        counts, totals, value = kernel.categorical(
            features, _int32(parameters.sizes), table, log_weights, sample_weight
        )
        return counts, Sums({"weight": counts, "sum": totals}), value

    # --------------------------------------------------------- statistics

    def statistics(
        self,
        parameters: CategoricalParameters | None,
        features: np.ndarray,
        weights: np.ndarray,
        memo: None = None,
    ) -> Sums:
        sizes = self._sizes if parameters is None else parameters.sizes
        weights = np.ascontiguousarray(weights, dtype=np.float64)
        totals = kernel.totals(features, _int32(sizes), weights)
        return Sums({"weight": weights.sum(axis=0), "sum": totals})

    def expected_statistics(self, parameters: CategoricalParameters, weights: np.ndarray) -> Sums:
        return Sums({"weight": weights, "sum": weights[:, None] * parameters.probabilities})

    # ------------------------------------------------------------- M-step

    def m_step(
        self,
        statistics: Sums,
        parameters: CategoricalParameters | None,
        prior: ConjugatePrior | None = None,
    ) -> CategoricalParameters:
        sizes = self._sizes if parameters is None else parameters.sizes
        sums = statistics["sum"]
        if prior is not None:
            sums = sums + prior.count * prior.mean
        current = None if parameters is None else parameters.probabilities
        totals = np.repeat(_by_column(sums, sizes), sizes, axis=1)
        return CategoricalParameters(keep_empty(sums, totals, current), sizes)

    def constrained_m_step(
        self,
        statistics: Sums,
        parameters: CategoricalParameters | None,
        prior: ConjugatePrior | None,
        constraints: Constraints,
    ) -> CategoricalParameters:
        counts = statistics["sum"]
        if prior is not None:
            counts = counts + prior.count * prior.mean
        current = None if parameters is None else parameters.probabilities
        found = shares(counts, constraints["probabilities"], current)
        return CategoricalParameters(found, self._sizes if parameters is None else parameters.sizes)

    def data_mean(self, statistics: Sums) -> np.ndarray:
        sums = statistics["sum"] + 1.0 / np.repeat(self._sizes, self._sizes)
        return sums / np.repeat(_by_column(sums, self._sizes), self._sizes, axis=1)

    def read_prior_mean(self, mean: np.ndarray, n_features: int) -> np.ndarray:
        mean = super().read_prior_mean(mean, int(self._sizes.sum()))
        totals = _by_column(mean[None, :], self._sizes)
        if np.any(np.abs(totals - 1.0) > 1e-6):
            raise ValueError("prior: mean must hold probabilities that sum to 1 in each column.")
        return mean

    def log_prior(self, parameters: CategoricalParameters, prior: ConjugatePrior) -> float:
        alpha = 1.0 + prior.count * prior.mean
        K = len(parameters.probabilities)
        totals = _by_column(alpha[None, :], parameters.sizes)
        power = xlogy(alpha - 1.0, parameters.probabilities).sum()
        return float(K * (gammaln(totals).sum() - gammaln(alpha).sum()) + power)

    # ----------------------------------------------------------- sampling

    def sample(
        self, parameters: CategoricalParameters, counts: np.ndarray, rng: np.random.RandomState
    ) -> np.ndarray:
        """Codes; the estimator gives the categories back their names."""
        rows = np.repeat(np.arange(len(counts)), counts)
        codes = np.empty((len(rows), len(parameters.sizes)), dtype=np.int64)
        for j, block in enumerate(_columns(parameters.probabilities, parameters.sizes)):
            edges = np.cumsum(block, axis=1)[rows]
            u = rng.uniform(size=len(rows)) * edges[:, -1]
            codes[:, j] = np.minimum((u[:, None] >= edges).sum(axis=1), block.shape[1] - 1)
        return codes

    def decode(self, X: np.ndarray, learned: Mapping[str, Any]) -> np.ndarray:
        names, X = [np.asarray(column) for column in learned["categories"]], X.astype(np.int64)
        kinds = {column.dtype.kind for column in names}
        dtype = np.result_type(*names) if kinds <= set("iufb") or kinds == {"U"} else object
        out = np.empty(X.shape, dtype=dtype)
        for j, column in enumerate(names):
            out[:, j] = column[X[:, j]]
        return out

    # ------------------------------------------------------ missing cells

    def fill(
        self, parameters: CategoricalParameters, X: np.ndarray, shares: np.ndarray
    ) -> np.ndarray:
        """The most probable category of each cell."""
        p = shares @ parameters.probabilities
        best = [block.argmax(axis=1) for block in _columns(p, parameters.sizes)]
        return fill_cells(X, X < 0, np.stack(best, axis=1))

    def draw_missing(
        self,
        parameters: CategoricalParameters,
        X: np.ndarray,
        labels: np.ndarray,
        rng: np.random.RandomState,
    ) -> np.ndarray:
        draw = partial(self.sample, parameters, rng=rng)
        return put_draws(X, X < 0, labels, len(parameters.probabilities), draw)

    # --------------------------------------------------------- parameters

    def check_parameters(self, parameters: CategoricalParameters) -> None:
        for block in _columns(parameters.probabilities, parameters.sizes):
            check_domain(block, 0.0, 1.0, "probabilities")
            check_sums(block, "probabilities")

    def shape(self, parameters: CategoricalParameters) -> tuple[int, int]:
        return len(parameters.probabilities), len(parameters.sizes)

    def parameter_spaces(self, n_components: int, n_features: int) -> dict[str, Space]:
        sizes = tuple(int(n) for n in self._sizes)
        shape = (n_components, sum(sizes))
        return {"probabilities": Space(shape, 0.0, 1.0, sizes=sizes, listed=True)}

    def n_free(self, parameters: CategoricalParameters) -> int:
        return len(parameters.probabilities) * int(np.sum(parameters.sizes - 1))

    def publish(self, parameters: CategoricalParameters) -> dict[str, Any]:
        """``probabilities``: a list with an array (K, number of categories) for each column."""
        return {"probabilities": list(_columns(parameters.probabilities, parameters.sizes))}

    def recall(self, values: Mapping[str, Any]) -> CategoricalParameters:
        blocks = [np.asarray(block, dtype=np.float64) for block in values["probabilities"]]
        sizes = np.array([block.shape[1] for block in blocks])
        return CategoricalParameters(np.hstack(blocks), sizes)


def _unique(cells: np.ndarray) -> np.ndarray:
    """The distinct values, sorted; whole numbers that lie close together are counted."""
    if cells.dtype.kind in "iu" and len(cells):
        low, high = int(cells.min()), int(cells.max())
        if high - low < len(cells) and -(2**62) < low and high < 2**62:
            counts = np.bincount(cells.astype(np.int64) - low)
            return (np.flatnonzero(counts) + low).astype(cells.dtype)
    return np.unique(cells)


def _missing(X: np.ndarray) -> np.ndarray:
    if X.dtype.kind == "f":
        return np.isnan(X)
    if X.dtype.kind != "O":
        return np.zeros(X.shape, dtype=bool)
    return np.vectorize(is_scalar_nan_or_none, otypes=[bool])(X) if X.size else X.astype(bool)


def is_scalar_nan_or_none(value: Any) -> bool:
    """True for None, NaN and pandas' NA."""
    return value is None or type(value).__name__ == "NAType" or is_scalar_nan(value)


def _encode(X: np.ndarray, categories: list[np.ndarray]) -> np.ndarray:
    """Codes; -1 where a cell is none of the categories."""
    codes = np.empty(X.shape, dtype=np.int32)
    for j, names in enumerate(categories):
        cells = np.ascontiguousarray(X[:, j])
        if not len(names):
            codes[:, j] = -1
            continue
        if cells.dtype.kind in "iufb" and names.dtype.kind in "iufb":
            codes[:, j] = _find(cells, names)
            continue
        encoder = OrdinalEncoder(
            categories=[np.asarray(names, dtype=object)],
            handle_unknown="use_encoded_value",
            unknown_value=-1,
            encoded_missing_value=-1,
            dtype=np.int32,
        )
        column = np.asarray(cells, dtype=object)[:, None]
        codes[:, j] = encoder.fit(column[:1]).transform(column)[:, 0]
    return codes


def _find(cells: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Places of numbers among sorted ones; -1 where they are not there."""
    if names.dtype.kind in "iu" and cells.dtype.kind in "iu" and names[0] == 0:
        if np.array_equal(names, np.arange(len(names))):
            return np.where((cells >= 0) & (cells < len(names)), cells, -1)
    order = np.argsort(names, kind="stable")
    places = np.minimum(np.searchsorted(names[order], cells), len(names) - 1)
    places = order[places]
    return np.where(names[places] == cells, places, -1)


def _int32(sizes: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(sizes, dtype=np.int32)


def _columns(probabilities: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
    return np.split(probabilities, np.cumsum(sizes)[:-1], axis=1)


def _by_column(sums: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Totals (K, d) over the categories of each column."""
    return np.add.reduceat(sums, np.r_[0, np.cumsum(sizes[:-1])].astype(np.intp), axis=1)
