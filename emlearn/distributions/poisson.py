"""The Poisson family: independent counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import gammaln, xlogy
from sklearn.utils import InputTags

from ..em.held import Space
from ..em.statistics import Sums
from ._base import check_domain
from ._cells import check_dense, embed_seen, observed
from ._linear import (
    ConjugatePrior,
    LinearFamily,
    Rows,
    check_counts,
    keep_empty,
    row_log_factorials,
)

__all__ = ["Poisson", "PoissonParameters"]

# ------------------------------------------------------------ parameters


@dataclass(frozen=True)
class PoissonParameters:
    """Parameters of K products of Poisson distributions.

    Attributes
    ----------
    rates : ndarray of shape (K, d)
        Means of the counts.
    """

    rates: np.ndarray


class Poisson(LinearFamily):
    """Counts, independent given the component; a missing cell (NaN) is left out.

    Fractional counts are taken as they are, through the gamma function: the
    density is then none, the M-step is the same.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.distributions import Poisson
    >>> poisson = Poisson()
    >>> rows = poisson.features(np.array([[0.0], [2.0], [7.0]]))
    >>> sums = poisson.statistics(None, rows, np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    >>> poisson.m_step(sums, None).rates
    array([[1.],
           [7.]])
    """

    parameters_class = PoissonParameters
    separable = True
    cellwise = True
    check_arguments = {"accept_sparse": "csr", "ensure_all_finite": "allow-nan"}

    def input_tags(self, tags: InputTags) -> InputTags:
        tags = super().input_tags(tags)
        tags.positive_only = True
        tags.allow_nan = True
        return tags

    def encode(
        self, X: Any, learned: Mapping[str, Any] | None, column: Callable[[int], str]
    ) -> tuple[Any, dict[str, Any]]:
        check_dense(X)
        check_counts(X, column)
        return X, {}

    def features(self, X: Any) -> Rows:
        if sparse.issparse(X):
            return Rows(X, -row_log_factorials(X))
        seen = observed(X)
        X = X if seen is None else np.where(seen > 0, X, 0.0)
        return Rows(X, -gammaln(X + 1.0).sum(axis=1), seen)

    def embed(self, X: Any) -> Any:
        return X.sqrt() if sparse.issparse(X) else embed_seen(np.sqrt(X), np.isnan(X))

    # ------------------------------------------------------------ density

    def natural(self, parameters: PoissonParameters) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(divide="ignore"):
            return np.log(parameters.rates), -parameters.rates.sum(axis=1)

    def cell_offsets(self, parameters: PoissonParameters) -> np.ndarray:
        return -parameters.rates

    def expected_statistics(self, parameters: PoissonParameters, weights: np.ndarray) -> Sums:
        return self.expected_sums(weights, parameters.rates)

    # ------------------------------------------------------------- M-step

    def m_step(
        self,
        statistics: Sums,
        parameters: PoissonParameters | None,
        prior: ConjugatePrior | None = None,
    ) -> PoissonParameters:
        sums = self.with_prior(statistics, prior)
        current = None if parameters is None else parameters.rates
        return PoissonParameters(keep_empty(sums["sum"], sums["weight"], current))

    def data_mean(self, statistics: Sums) -> np.ndarray:
        return (statistics["sum"] + 0.5) / (statistics["weight"] + 1.0)

    def log_prior(self, parameters: PoissonParameters, prior: ConjugatePrior) -> float:
        shape, rate = 1.0 + prior.count * prior.mean, prior.count
        return float(
            np.sum(
                xlogy(shape - 1.0, parameters.rates)
                - rate * parameters.rates
                + shape * np.log(rate)
                - gammaln(shape)
            )
        )

    # ----------------------------------------------------------- sampling

    def sample(
        self, parameters: PoissonParameters, counts: np.ndarray, rng: np.random.RandomState
    ) -> np.ndarray:
        return rng.poisson(np.repeat(parameters.rates, counts, axis=0)).astype(np.float64)

    def means(self, parameters: PoissonParameters) -> np.ndarray:
        return parameters.rates

    # --------------------------------------------------------- parameters

    def check_parameters(self, parameters: PoissonParameters) -> None:
        check_domain(parameters.rates, 0.0, np.inf, "rates")

    def shape(self, parameters: PoissonParameters) -> tuple[int, int]:
        return parameters.rates.shape

    def parameter_spaces(self, n_components: int, n_features: int) -> dict[str, Space]:
        return {"rates": Space((n_components, n_features), low=0.0)}

    def n_free(self, parameters: PoissonParameters) -> int:
        return parameters.rates.size
