"""The Bernoulli family: independent yes or no."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import betaln, xlog1py, xlogy
from sklearn.utils import InputTags
from sklearn.utils._param_validation import Interval

from ..em.held import Space
from ..em.statistics import Sums
from ._base import check_domain
from ._cells import check_dense, embed_seen, fill_cells, observed
from ._linear import ConjugatePrior, LinearFamily, Rows, keep_empty, refuse

__all__ = ["Bernoulli", "BernoulliParameters"]

# ------------------------------------------------------------ parameters


@dataclass(frozen=True)
class BernoulliParameters:
    """Parameters of K products of Bernoulli distributions.

    Attributes
    ----------
    probabilities : ndarray of shape (K, d)
        Of a 1.
    """

    probabilities: np.ndarray


class Bernoulli(LinearFamily):
    """Zeros and ones, independent given the component; a missing cell (NaN) is left out.

    Parameters
    ----------
    binarize : float or None, default=None
        Values above it count as 1, others as 0, as in scikit-learn's BernoulliNB. None takes
        zeros, ones and booleans only.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.distributions import Bernoulli
    >>> bernoulli = Bernoulli()
    >>> rows = bernoulli.features(np.array([[0.0, 1.0], [1.0, np.nan]]))
    >>> sums = bernoulli.statistics(None, rows, np.ones((2, 1)))
    >>> bernoulli.m_step(sums, None).probabilities
    array([[0.5, 1. ]])
    """

    parameters_class = BernoulliParameters
    separable = True
    check_arguments = {"accept_sparse": "csr", "ensure_all_finite": "allow-nan"}

    _parameter_constraints: dict = {
        "binarize": [Interval(Real, None, None, closed="neither"), None]
    }

    def __init__(self, binarize: float | None = None) -> None:
        self.binarize = binarize

    def input_tags(self, tags: InputTags) -> InputTags:
        tags = super().input_tags(tags)
        tags.allow_nan = True
        return tags

    def encode(
        self, X: Any, learned: Mapping[str, Any] | None, column: Callable[[int], str]
    ) -> tuple[Any, dict[str, Any]]:
        values = X.data if sparse.issparse(X) else X
        if np.isinf(values.min(initial=0.0)) or np.isinf(values.max(initial=0.0)):
            refuse(X, np.isinf(values), column, "Input X contains infinity: found", "Use 0 and 1.")
        check_dense(X)
        if self.binarize is None:
            bad = (values != 0) & (values != 1) & ~np.isnan(values)
            advice = "Set binarize to a threshold, or use CategoricalMixture or PoissonMixture."
            refuse(X, bad, column, "Zeros and ones are expected, found", advice)
        elif sparse.issparse(X):
            if self.binarize < 0:
                raise ValueError("binarize must not be negative for a sparse matrix: 0 stays 0.")
            X = X.copy()
            X.data = (X.data > self.binarize).astype(X.dtype)
            X.eliminate_zeros()
        else:
            binary = (X > self.binarize).astype(X.dtype)
            missing = np.isnan(X)
            if missing.any():
                binary[missing] = np.nan
            X = binary
        return X, {}

    def features(self, X: Any) -> Rows:
        seen = observed(X)
        return Rows(X) if seen is None else Rows(np.where(seen > 0, X, 0.0), seen=seen)

    def embed(self, X: Any) -> Any:
        return X if sparse.issparse(X) else embed_seen(X, np.isnan(X))

    # ------------------------------------------------------------ density

    def natural(self, parameters: BernoulliParameters) -> tuple[np.ndarray, np.ndarray]:
        no = self.cell_offsets(parameters)
        with np.errstate(divide="ignore"):
            return np.log(parameters.probabilities) - no, no.sum(axis=1)

    def cell_offsets(self, parameters: BernoulliParameters) -> np.ndarray:
        p = parameters.probabilities
        with np.errstate(divide="ignore"):
            return np.where(p < 1.0, np.log1p(-p), 0.0)

    def log_density(
        self, parameters: BernoulliParameters, features: Rows
    ) -> tuple[np.ndarray, None]:
        out, _ = super().log_density(parameters, features)
        p, seen = parameters.probabilities, features.seen
        certain = p >= 1.0
        if certain.any():  # a 0 where only a 1 can be
            sure = certain.astype(np.float64).T
            expected = sure.sum(axis=0) if seen is None else seen @ sure
            out[expected - features.values @ sure > 0.5] = -np.inf
        return out, None

    # --------------------------------------------------------- statistics

    def statistics(
        self, parameters: Any, features: Rows, weights: np.ndarray, memo: None = None
    ) -> Sums:
        sums = super().statistics(parameters, features._replace(seen=None), weights)
        total, weight = sums["sum"], sums["weight"]
        if features.seen is None:
            seen = np.repeat(weight[:, None], total.shape[1], axis=1)
        else:
            seen = weights.T @ features.seen
        return Sums({"weight": weight, "sum": total, "seen": seen})

    def expected_statistics(self, parameters: BernoulliParameters, weights: np.ndarray) -> Sums:
        p = parameters.probabilities
        seen = np.repeat(weights[:, None], p.shape[1], axis=1)
        return Sums({"weight": weights, "sum": seen * p, "seen": seen})

    # ------------------------------------------------------------- M-step

    def m_step(
        self,
        statistics: Sums,
        parameters: BernoulliParameters | None,
        prior: ConjugatePrior | None = None,
    ) -> BernoulliParameters:
        yes, seen = statistics["sum"], statistics["seen"]
        if prior is not None:
            yes, seen = yes + prior.count * prior.mean, seen + prior.count
        current = None if parameters is None else parameters.probabilities
        return BernoulliParameters(np.minimum(keep_empty(yes, seen, current), 1.0))

    def data_mean(self, statistics: Sums) -> np.ndarray:
        return (statistics["sum"] + 0.5) / (statistics["seen"] + 1.0)

    def read_prior_mean(self, mean: np.ndarray, n_features: int) -> np.ndarray:
        mean = super().read_prior_mean(mean, n_features)
        if not np.all(mean <= 1):
            raise ValueError(f"prior: mean must hold probabilities, got {mean.max():g}.")
        return mean

    def log_prior(self, parameters: BernoulliParameters, prior: ConjugatePrior) -> float:
        yes, no = prior.count * prior.mean, prior.count * (1.0 - prior.mean)
        p = parameters.probabilities
        return float(np.sum(xlogy(yes, p) + xlog1py(no, -p) - betaln(1.0 + yes, 1.0 + no)))

    # ----------------------------------------------------------- sampling

    def sample(
        self, parameters: BernoulliParameters, counts: np.ndarray, rng: np.random.RandomState
    ) -> np.ndarray:
        p = np.repeat(parameters.probabilities, counts, axis=0)
        return (rng.uniform(size=p.shape) < p).astype(np.float64)

    def fill(self, parameters: BernoulliParameters, X: Any, shares: np.ndarray) -> Any:
        """The more probable one of 0 and 1."""
        if sparse.issparse(X):
            return X.copy()
        yes = shares @ parameters.probabilities > 0.5 * shares.sum(axis=1, keepdims=True)
        return fill_cells(X, np.isnan(X), yes)

    # --------------------------------------------------------- parameters

    def check_parameters(self, parameters: BernoulliParameters) -> None:
        check_domain(parameters.probabilities, 0.0, 1.0, "probabilities")

    def shape(self, parameters: BernoulliParameters) -> tuple[int, int]:
        return parameters.probabilities.shape

    def parameter_spaces(self, n_components: int, n_features: int) -> dict[str, Space]:
        return {"probabilities": Space((n_components, n_features), 0.0, 1.0)}

    def n_free(self, parameters: BernoulliParameters) -> int:
        return parameters.probabilities.size
