"""The gamma family, and the exponential: independent positive numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
from scipy.special import digamma, gammaln
from sklearn.utils import InputTags
from sklearn.utils._param_validation import Interval

from ..em.fixed import Constraints
from ..em.held import Held, Space
from ..em.statistics import Sums
from ..exceptions import SingularError
from ._base import check_domain
from ._cells import embed_seen, observed
from ._fixed_gamma import FLAT, maximise_gamma
from ._linear import ConjugatePrior, LinearFamily, Rows, keep_empty, refuse
from ._special import solve_gamma_shape

__all__ = ["Gamma", "GammaParameters"]

# ------------------------------------------------------------ parameters


@dataclass(frozen=True)
class GammaParameters:
    """Parameters of K products of gamma distributions.

    Attributes
    ----------
    shapes : ndarray of shape (K, d)
    scales : ndarray of shape (K, d)
        In the units of the data; the means are ``shapes * scales``.
    """

    shapes: np.ndarray
    scales: np.ndarray


class Gamma(LinearFamily):
    """Positive numbers with a long right tail, independent given the component; a missing cell (NaN) is left out.

    Parameters
    ----------
    fixed_shape : float or None, default=None
        None estimates the shapes; a number holds them: 1 is the exponential distribution.
    floor : float, default=0.0
        Values below are raised to it, in the units of the data: a limit of detection. With 0, a
        value that is not positive is an error (for the exponential distribution, one that is negative).

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.distributions import Gamma
    >>> exponential = Gamma(fixed_shape=1.0)
    >>> rows = exponential.features(np.array([[1.0], [3.0]]))
    >>> exponential.m_step(exponential.statistics(None, rows, np.ones((2, 1))), None).scales
    array([[2.]])
    """

    parameters_class = GammaParameters
    continuous = True
    start_softness = 0.0
    signed = ("sum",)
    cellwise = True
    features_a_cell = 2
    check_arguments = {"ensure_all_finite": "allow-nan"}

    _parameter_constraints: dict = {
        "fixed_shape": [Interval(Real, 0.0, None, closed="neither"), None],
        "floor": [Interval(Real, 0.0, None, closed="left")],
    }

    def __init__(self, fixed_shape: float | None = None, floor: float = 0.0) -> None:
        self.fixed_shape = fixed_shape
        self.floor = floor

    def input_tags(self, tags: InputTags) -> InputTags:
        tags = super().input_tags(tags)
        tags.positive_only = True
        tags.allow_nan = True
        return tags

    def encode(
        self, X: Any, learned: Mapping[str, Any] | None, column: Callable[[int], str]
    ) -> tuple[Any, dict[str, Any]]:
        refuse(
            X,
            X < 0,
            column,
            "Negative values in data: the gamma family has positive numbers only, found",
            "Drop these rows, or use another family.",
        )
        if self.floor > 0:
            return np.maximum(X, X.dtype.type(self.floor)), {}
        if self.fixed_shape != 1:  # any other density is 0 or infinite there
            refuse(
                X,
                X == 0,
                column,
                "The gamma family has positive numbers only, found",
                "Set floor to the smallest value that could have been measured, or fixed_shape=1"
                " for exponential distributions, which have 0.",
            )
        return X, {}

    def in_support(self, X: np.ndarray) -> np.ndarray:
        return np.all((X > 0) | np.isnan(X), axis=1)

    def features(self, X: np.ndarray) -> Rows:
        with np.errstate(divide="ignore"):
            logs = np.log(X, dtype=np.float64)
        # the logarithm of 0 decides nothing where the shape is held
        logs = np.where(X > 0, logs, 0.0) if self.fixed_shape is not None else logs
        seen = observed(X)
        if seen is not None:
            X, logs = (np.where(seen > 0, values, 0.0) for values in (X, logs))
        return Rows(np.hstack([X, logs]), seen=seen)

    def embed(self, X: np.ndarray) -> np.ndarray:
        return embed_seen(X if self.fixed_shape is not None else np.log(X), np.isnan(X))

    # ------------------------------------------------------------ density

    def natural(self, parameters: GammaParameters) -> tuple[np.ndarray, np.ndarray]:
        shapes, scales = parameters.shapes, parameters.scales
        return np.hstack([-1.0 / scales, shapes - 1.0]), self.cell_offsets(parameters).sum(axis=1)

    def cell_offsets(self, parameters: GammaParameters) -> np.ndarray:
        shapes, scales = parameters.shapes, parameters.scales
        return -(shapes * np.log(scales) + gammaln(shapes))

    @staticmethod
    def _feature_means(parameters: GammaParameters) -> np.ndarray:
        shapes, scales = parameters.shapes, parameters.scales
        return np.hstack([shapes * scales, digamma(shapes) + np.log(scales)])

    def expected_statistics(self, parameters: GammaParameters, weights: np.ndarray) -> Sums:
        return self.expected_sums(weights, self._feature_means(parameters))

    # ------------------------------------------------------------- M-step

    def m_step(
        self,
        statistics: Sums,
        parameters: GammaParameters | None,
        prior: ConjugatePrior | None = None,
    ) -> GammaParameters:
        """Shapes and scales.

        Raises
        ------
        SingularError
            If a column is constant within a component, so that no shape is large enough.
        """
        sums = self.with_prior(statistics, prior)
        current = None if parameters is None else self._feature_means(parameters)
        mean, log_mean = np.hsplit(keep_empty(sums["sum"], self.seen(sums), current), 2)
        self._check_means(mean)
        if self.fixed_shape is not None:
            shapes = np.full_like(mean, self.fixed_shape)
        else:
            gap = np.log(mean) - log_mean
            if parameters is not None:  # what keeps its shape is not looked for
                gap = np.where(sums["weight"] > 0, gap, 1.0)
            flat = gap <= FLAT * (1.0 + np.abs(log_mean))
            if flat.any():
                k, j = np.argwhere(flat)[0]
                raise SingularError(
                    f"Column {j} has one value only within component {k}, or values too close for their"
                    " size, so that the shape of its gamma distribution is infinite. Try fewer"
                    " components, a prior, or drop the column."
                )
            shapes = solve_gamma_shape(gap)
        new = GammaParameters(shapes, mean / shapes)
        empty = sums["weight"] <= 0
        if parameters is not None and empty.any():
            new = GammaParameters(
                np.where(empty, parameters.shapes, new.shapes),
                np.where(empty, parameters.scales, new.scales),
            )
        return new

    def parameter_spaces(self, n_components: int, n_features: int) -> dict[str, Space]:
        space = Space((n_components, n_features), low=0.0, strict=True)
        return {"shapes": space, "scales": space}

    def settle(self, constraints: Constraints, n_components: int, n_features: int) -> Constraints:
        if self.fixed_shape is None or "shapes" not in constraints:
            return constraints
        values = constraints["shapes"].values
        if np.any(values != self.fixed_shape, where=~np.isnan(values)):
            raise ValueError(
                f"fixed: 'shapes' are fixed_shape={self.fixed_shape:g} already. Set fixed_shape=None to fix others."
            )
        return constraints.only(["scales"])

    def constrained_m_step(
        self,
        statistics: Sums,
        parameters: GammaParameters | None,
        prior: ConjugatePrior | None,
        constraints: Constraints,
    ) -> GammaParameters:
        sums = self.with_prior(statistics, prior)
        weight = sums["weight"]
        current = None if parameters is None else self._feature_means(parameters)
        mean, log_mean = np.hsplit(keep_empty(sums["sum"], self.seen(sums), current), 2)
        self._check_means(mean)
        spaces = self.parameter_spaces(*mean.shape)
        shapes, scales = (constraints.get(n, Held.nothing(space)) for n, space in spaces.items())
        if self.fixed_shape is not None:
            shapes = replace(shapes, values=np.full(mean.shape, float(self.fixed_shape)))
        a, b = maximise_gamma(mean, log_mean, weight, shapes, scales)
        empty = weight <= 0
        if parameters is not None and empty.any():
            a = np.where(empty & ~shapes.pooled, parameters.shapes, a)
            b = np.where(empty & ~scales.pooled, parameters.scales, b)
        return GammaParameters(shapes.put(a), scales.put(b))

    @staticmethod
    def _check_means(mean: np.ndarray) -> None:
        if np.any(mean <= 0):
            raise SingularError(
                "All values of a column are 0 within a component; drop the column, or set floor."
            )

    def read_prior_mean(self, mean: np.ndarray, n_features: int) -> np.ndarray:
        if mean.shape != (2 * n_features,):
            raise ValueError(
                "prior: mean must hold the means of the columns, then those of their logarithms:"
                f" {2 * n_features} numbers, got an array of shape {mean.shape}."
            )
        means, logs = np.hsplit(mean, 2)
        used = 1 if self.fixed_shape is not None else 2
        if not np.all(means > 0) or (used == 2 and not np.all(np.log(means) > logs)):
            raise ValueError(
                "prior: no positive numbers have these means: each must be above 0, and the mean of the"
                f" logarithms below the logarithm of the mean, got means {means} and {logs} of the logarithms."
            )
        return mean

    def log_prior(self, parameters: GammaParameters, prior: ConjugatePrior) -> float:
        """Up to a constant: its normaliser has no closed form."""
        natural, offsets = self.natural(parameters)
        if self.fixed_shape is not None:
            natural = natural[:, : natural.shape[1] // 2]
            return float(prior.count * np.sum(natural @ prior.mean[: natural.shape[1]] + offsets))
        return float(prior.count * np.sum(natural @ prior.mean + offsets))

    # ----------------------------------------------------------- sampling

    def sample(
        self, parameters: GammaParameters, counts: np.ndarray, rng: np.random.RandomState
    ) -> np.ndarray:
        shapes, scales = (
            np.repeat(a, counts, axis=0) for a in (parameters.shapes, parameters.scales)
        )
        # no draw is so small that its logarithm is lost
        return np.maximum(rng.gamma(shapes, scales), np.finfo(np.float64).tiny)

    def means(self, parameters: GammaParameters) -> np.ndarray:
        return parameters.shapes * parameters.scales

    # --------------------------------------------------------- parameters

    def check_parameters(self, parameters: GammaParameters) -> None:
        tiny = float(np.finfo(np.float64).tiny)
        check_domain(parameters.shapes, tiny, np.inf, "shapes")
        check_domain(parameters.scales, tiny, np.inf, "scales")
        if parameters.shapes.shape != parameters.scales.shape:
            raise ValueError(
                f"The parameters 'shapes' {parameters.shapes.shape} and 'scales'"
                f" {parameters.scales.shape} must have one shape."
            )
        if self.fixed_shape is not None and np.any(parameters.shapes != self.fixed_shape):
            raise ValueError(f"The parameter 'shapes' must be fixed_shape={self.fixed_shape:g}.")

    def shape(self, parameters: GammaParameters) -> tuple[int, int]:
        return parameters.shapes.shape

    def n_free(self, parameters: GammaParameters) -> int:
        return parameters.scales.size * (1 if self.fixed_shape is not None else 2)
