"""The multinomial family: counts that share a total."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import gammaln, xlogy
from sklearn.utils import InputTags

from ..em.fixed import Constraints
from ..em.held import Space
from ..em.probabilities import shares
from ..em.statistics import Sums
from ._base import as_table, check_domain, check_sums
from ._cells import blank_rows, embed_seen, observed
from ._linear import (
    ConjugatePrior,
    LinearFamily,
    Rows,
    check_counts,
    keep_empty,
    row_log_factorials,
)

__all__ = ["Multinomial", "MultinomialParameters"]

# ------------------------------------------------------------ parameters


@dataclass(frozen=True)
class MultinomialParameters:
    """Parameters of K multinomial distributions.

    Attributes
    ----------
    probabilities : ndarray of shape (K, d)
        Each row sums to 1.
    total : float
        Counts of a row that is sampled: the mean of the data's totals.
    """

    probabilities: np.ndarray
    total: float


class Multinomial(LinearFamily):
    """Counts of d outcomes in a row's own number of draws, given that number.

    A row without counts says nothing of its component, and neither does one that is missing as a
    whole (NaN). Of a row that is missing in part the total is not known: it is an error. Fractional
    counts are taken as they are, through the gamma function.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.distributions import Multinomial
    >>> multinomial = Multinomial()
    >>> rows = multinomial.features(np.array([[3.0, 1.0], [0.0, 4.0]]))
    >>> sums = multinomial.statistics(None, rows, np.eye(2))
    >>> multinomial.m_step(sums, None).probabilities
    array([[0.75, 0.25],
           [0.  , 1.  ]])
    """

    parameters_class = MultinomialParameters
    separable = True
    check_arguments = {"accept_sparse": "csr", "ensure_all_finite": "allow-nan"}

    def input_tags(self, tags: InputTags) -> InputTags:
        tags = super().input_tags(tags)
        tags.positive_only = True  # allow_nan would be of single cells, and these are not
        return tags

    def encode(
        self, X: Any, learned: Mapping[str, Any] | None, column: Callable[[int], str]
    ) -> tuple[Any, dict[str, Any]]:
        blank = blank_rows(X, column, why="What is left of a total says nothing of it.")
        check_counts(X, column)
        some = blank is None or not blank.all()
        if learned is None and some and not np.nansum(X.data if sparse.issparse(X) else X) > 0:
            raise ValueError(
                "There is no count in X: every row is all zero, and says nothing of the"
                " probabilities. Give rows with counts."
            )
        return X, {}

    def features(self, X: Any) -> Rows:
        seen = observed(X)
        if sparse.issparse(X):
            inside = row_log_factorials(X)
        else:
            X = X if seen is None else np.where(seen > 0, X, 0.0)
            inside = gammaln(X + 1.0).sum(axis=1)
        totals = np.asarray(X.sum(axis=1)).ravel()
        return Rows(X, gammaln(totals + 1.0) - inside, None if seen is None else seen[:, :1])

    def embed(self, X: Any) -> Any:
        # square roots of proportions: distances are then Hellinger's
        missing = None if sparse.issparse(X) else np.isnan(X)
        if missing is not None and missing.any():
            return embed_seen(self.embed(np.where(missing, 0.0, X)), missing)
        totals = np.asarray(X.sum(axis=1), dtype=np.float64).ravel()
        scale = 1.0 / np.where(totals > 0, totals, 1.0)
        if sparse.issparse(X):
            return (sparse.diags(scale) @ X).sqrt().tocsr()
        return np.sqrt(X * scale[:, None])

    # ------------------------------------------------------------ density

    def natural(self, parameters: MultinomialParameters) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(divide="ignore"):
            natural = np.log(parameters.probabilities)
        return natural, np.zeros(len(natural))

    def expected_statistics(self, parameters: MultinomialParameters, weights: np.ndarray) -> Sums:
        sums = weights[:, None] * parameters.total * parameters.probabilities
        return Sums({"weight": weights, "sum": sums})

    # ------------------------------------------------------------- M-step

    def m_step(
        self,
        statistics: Sums,
        parameters: MultinomialParameters | None,
        prior: ConjugatePrior | None = None,
    ) -> MultinomialParameters:
        sums = self.with_prior(statistics, prior)["sum"]
        current = None if parameters is None else parameters.probabilities
        if parameters is None:
            total = statistics["sum"].sum() / statistics["weight"].sum()
        else:
            total = parameters.total
        totals = sums.sum(axis=1, keepdims=True)
        return MultinomialParameters(keep_empty(sums, totals, current), float(total))

    def constrained_m_step(
        self,
        statistics: Sums,
        parameters: MultinomialParameters | None,
        prior: ConjugatePrior | None,
        constraints: Constraints,
    ) -> MultinomialParameters:
        counts = self.with_prior(statistics, prior)["sum"]
        current = None if parameters is None else parameters.probabilities
        found = self.m_step(statistics, parameters, prior)
        return replace(found, probabilities=shares(counts, constraints["probabilities"], current))

    def data_mean(self, statistics: Sums) -> np.ndarray:
        return (statistics["sum"] + 1.0 / statistics["sum"].shape[1]) / (
            statistics["weight"][:, None] + 1.0
        )

    def log_prior(self, parameters: MultinomialParameters, prior: ConjugatePrior) -> float:
        alpha = 1.0 + prior.count * prior.mean
        K = len(parameters.probabilities)
        power = xlogy(alpha - 1.0, parameters.probabilities).sum()
        return float(K * (gammaln(alpha.sum()) - gammaln(alpha).sum()) + power)

    # ----------------------------------------------------------- sampling

    def sample(
        self, parameters: MultinomialParameters, counts: np.ndarray, rng: np.random.RandomState
    ) -> np.ndarray:
        total = max(1, round(parameters.total))
        p = parameters.probabilities / parameters.probabilities.sum(axis=1, keepdims=True)
        rows = [rng.multinomial(total, p[k], count) for k, count in enumerate(counts)]
        return np.vstack(rows).astype(np.float64)

    def means(self, parameters: MultinomialParameters) -> np.ndarray:
        """Those of rows that are sampled: the total of a missing row is not known."""
        return max(1, round(parameters.total)) * parameters.probabilities

    # --------------------------------------------------------- parameters

    def check_parameters(self, parameters: MultinomialParameters) -> None:
        check_domain(parameters.probabilities, 0.0, 1.0, "probabilities")
        check_sums(parameters.probabilities, "probabilities")

    def shape(self, parameters: MultinomialParameters) -> tuple[int, int]:
        return parameters.probabilities.shape

    def parameter_spaces(self, n_components: int, n_features: int) -> dict[str, Space]:
        space = Space((n_components, n_features), 0.0, 1.0, sizes=(n_features,))
        return {"probabilities": space}

    def n_free(self, parameters: MultinomialParameters) -> int:
        K, d = parameters.probabilities.shape
        return K * (d - 1)

    def recall(self, values: Mapping[str, Any]) -> MultinomialParameters:
        probabilities = as_table(values["probabilities"], "probabilities")
        return MultinomialParameters(probabilities, float(values.get("total", 1.0)))
