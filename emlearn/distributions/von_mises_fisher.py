"""The von Mises-Fisher family: directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import gammaln
from sklearn.utils._param_validation import Interval, StrOptions

from ..em.fixed import Constraints
from ..em.held import Held, Space
from ..em.statistics import Sums
from ..exceptions import SingularError
from ._base import as_float
from ._bessel import bessel_ratio, invert_bessel_ratio, log_hyp0f1
from ._cells import blank_rows, embed_seen, fill_cells, observed
from ._fixed_sphere import best_directions, n_held_directions, settle_directions
from ._linear import ConjugatePrior, LinearFamily, Rows

__all__ = ["VonMisesFisher", "VonMisesFisherParameters"]

# a resultant this close to the full length is rounding in the sums: there is no finite concentration
_CLOSEST = 1e-12
# rounds of directions and concentrations where components share directions
_ROUNDS = 50
# how far from 1 the length of a row may be by rounding, in files of numbers or in its type
_TOLERANCE = {np.dtype(np.float64): 1e-6, np.dtype(np.float32): 1e-5}

# ------------------------------------------------------------ parameters


@dataclass(frozen=True)
class VonMisesFisherParameters:
    """Parameters of K von Mises-Fisher distributions.

    Attributes
    ----------
    mean_directions : ndarray of shape (K, d)
        Each row has length 1.
    concentrations : ndarray of shape (K,)
        0 is the uniform distribution on the sphere.
    """

    mean_directions: np.ndarray
    concentrations: np.ndarray


class VonMisesFisher(LinearFamily):
    r"""Unit vectors around a mean direction.

    The density with respect to the surface measure of the sphere is
    :math:`C_d(\kappa) \exp(\kappa \mu' x)` with
    :math:`C_d(\kappa) = \kappa^{d/2-1} / ((2\pi)^{d/2} I_{d/2-1}(\kappa))`.

    A row that is missing as a whole (NaN) says nothing; of one that is missing in part the length is not known: it is
    an error.

    Parameters
    ----------
    concentration : {"free", "tied"} or float, default="free"
        One for each component, one for all of them, or this number, which is not fitted.
    normalize : bool, default=False
        Divide each row by its length. Otherwise a row whose length is not 1 is an error.

    References
    ----------
    Banerjee, A., Dhillon, I. S., Ghosh, J. and Sra, S. (2005). Clustering on the
    unit hypersphere using von Mises-Fisher distributions. Journal of Machine
    Learning Research 6, 1345-1382.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.distributions import VonMisesFisher
    >>> family = VonMisesFisher()
    >>> rows = family.features(np.array([[1.0, 0.0], [0.6, 0.8], [0.6, -0.8]]))
    >>> found = family.m_step(family.statistics(None, rows, np.ones((3, 1))), None)
    >>> found.mean_directions
    array([[1., 0.]])
    >>> found.concentrations.round(4)
    array([2.2388])
    """

    parameters_class = VonMisesFisherParameters
    check_arguments = {"accept_sparse": "csr", "ensure_all_finite": "allow-nan"}
    signed = ("sum",)
    # a direction is never impossible: EM leaves any start
    start_softness = 0.0

    _parameter_constraints: dict = {
        "concentration": [StrOptions({"free", "tied"}), Interval(Real, 0.0, None, closed="left")],
        "normalize": ["boolean"],
    }

    def __init__(self, concentration: str | float = "free", normalize: bool = False) -> None:
        self.concentration = concentration
        self.normalize = normalize

    # --------------------------------------------------------------- data

    def encode(
        self, X: Any, learned: Mapping[str, Any] | None, column: Callable[[int], str]
    ) -> tuple[Any, dict[str, Any]]:
        if X.shape[1] < 2:
            raise ValueError(
                f"Directions need 2 columns or more, found {X.shape[1]} feature(s) (n_features = 1): a unit"
                " vector of one column is a sign. Use BernoulliMixture for signs; give an angle as its"
                " cosine and sine."
            )
        blank = blank_rows(X, column, why="What is left of a direction says nothing of its length.")
        lengths = _lengths(X)
        if blank is not None:
            lengths[blank] = 1.0
        zero = np.flatnonzero(lengths == 0)
        if len(zero):
            raise ValueError(
                f"Row {zero[0]} is all zero, and has no direction; {len(zero)} such in all. Drop these rows."
            )
        if self.normalize:
            return _divided(X, lengths), {}
        bad = np.flatnonzero(np.abs(lengths - 1.0) > _TOLERANCE[X.dtype])
        if len(bad):
            raise ValueError(
                f"Rows must have length 1, found {lengths[bad[0]]:g} in row {bad[0]}, {len(bad)} such in all."
                " Set normalize=True, which divides each row by its length, or check the data if they"
                " should be directions already."
            )
        return X, {}

    def features(self, X: Any) -> Rows:
        seen = observed(X)
        if seen is not None:
            anywhere = np.eye(1, X.shape[1], dtype=X.dtype)
            return Rows(
                self.features(np.where(seen > 0, X, anywhere)).values * seen, seen=seen[:, :1]
            )
        # lengths to the last digit, in float64: a resultant may not be longer than its rows
        lengths = _lengths(X)
        lengths[np.abs(lengths - 1.0) < 1e-13] = 1.0
        if X.dtype == np.float64 and np.all(lengths == 1.0):
            return Rows(X)
        return Rows(_divided(X.astype(np.float64), lengths))

    def embed(self, X: Any) -> Any:
        return X if sparse.issparse(X) else embed_seen(X, np.isnan(X))

    # ------------------------------------------------------------ density

    def natural(self, parameters: VonMisesFisherParameters) -> tuple[np.ndarray, np.ndarray]:
        mu, kappa = parameters.mean_directions, parameters.concentrations
        return kappa[:, None] * mu, log_normalizer(mu.shape[1], kappa)

    # ------------------------------------------------------------- M-step

    def expected_statistics(
        self, parameters: VonMisesFisherParameters, weights: np.ndarray
    ) -> Sums:
        mu, kappa = parameters.mean_directions, parameters.concentrations
        lengths = weights * bessel_ratio(0.5 * mu.shape[1] - 1.0, kappa)
        return Sums({"weight": weights, "sum": lengths[:, None] * mu}, signed=self.signed)

    def m_step(
        self,
        statistics: Sums,
        parameters: VonMisesFisherParameters | None,
        prior: ConjugatePrior | None = None,
    ) -> VonMisesFisherParameters:
        """Directions of the sums; concentrations from their lengths.

        Raises
        ------
        SingularError
            If all rows of a component are the same, and neither a prior nor a fixed or tied
            concentration holds it.
        """
        statistics = self.with_prior(statistics, prior)
        weight, total = statistics["weight"], statistics["sum"]
        K, d = total.shape
        lengths = _lengths(total)
        # below the rounding of the sum there is no direction
        clear = lengths > np.finfo(np.float64).eps * weight
        mu = self._no_direction(total, parameters)
        mu[clear] = total[clear] / lengths[clear, None]
        mu[clear] /= np.sqrt(np.einsum("kd,kd->k", mu[clear], mu[clear]))[:, None]
        lengths = np.where(clear, lengths, 0.0)
        if not isinstance(self.concentration, str):
            return VonMisesFisherParameters(mu, np.full(K, float(self.concentration)))
        everything = weight.sum()
        if self.concentration == "tied":
            if everything <= 0:
                kappa = np.zeros(K) if parameters is None else parameters.concentrations
            else:
                kappa = np.repeat(self._solve(d, lengths.sum(keepdims=True) / everything), K)
            return VonMisesFisherParameters(mu, kappa)
        empty = weight <= 0
        kappa = np.empty(K)
        kappa[~empty] = self._solve(d, lengths[~empty] / weight[~empty], np.flatnonzero(~empty))
        if parameters is not None:
            kappa[empty] = parameters.concentrations[empty]
        elif empty.any():
            whole = np.linalg.norm(total.sum(axis=0, keepdims=True), axis=1) / everything
            kappa[empty] = self._solve(d, whole)
        return VonMisesFisherParameters(mu, kappa)

    def parameter_spaces(self, n_components: int, n_features: int) -> dict[str, Space]:
        return {
            "mean_directions": Space((n_components, n_features), -1.0, 1.0),
            "concentrations": Space((n_components,), low=0.0),
        }

    def settle(self, constraints: Constraints, n_components: int, n_features: int) -> Constraints:
        found = dict(constraints)
        if "mean_directions" in found:
            found["mean_directions"] = settle_directions(found["mean_directions"])
        kappa = found.get("concentrations")
        if kappa is not None and self.concentration == "tied":
            kappa = replace(kappa, shared=np.ones_like(kappa.shared)).settled("concentrations")
            found["concentrations"] = kappa
        elif kappa is not None and not isinstance(self.concentration, str):
            if np.any(kappa.values != self.concentration, where=kappa.fixed):
                raise ValueError(
                    f"fixed: 'concentrations' are {self.concentration:g} already. Set concentration='free' to fix"
                    " others."
                )
            del found["concentrations"]
        return Constraints(found)

    def constrained_m_step(
        self,
        statistics: Sums,
        parameters: VonMisesFisherParameters | None,
        prior: ConjugatePrior | None,
        constraints: Constraints,
    ) -> VonMisesFisherParameters:
        """Directions given concentrations, and concentrations given directions."""
        statistics = self.with_prior(statistics, prior)
        weight, total = statistics["weight"], statistics["sum"]
        spaces = self.parameter_spaces(*total.shape)
        mu, kappa = (constraints.get(n, Held.nothing(space)) for n, space in spaces.items())
        if self.concentration == "tied":
            kappa = replace(kappa, shared=np.ones_like(kappa.shared))
        elif not isinstance(self.concentration, str):
            kappa = replace(kappa, values=np.full(len(weight), float(self.concentration)))
        now = np.ones(len(weight)) if parameters is None else parameters.concentrations
        now = kappa.put(now)
        current = self._no_direction(total, parameters)
        pooled, coupled = mu.pooled.any(axis=1), bool(mu.pooled.any())
        for _ in range(_ROUNDS):
            sums = total.copy()
            for members in mu.groups if coupled else ():
                if pooled[members[0]]:
                    share = now[members] if now[members].any() else np.ones(len(members))
                    sums[members] = share @ total[members] / share.max()
            current = best_directions(sums, np.where(pooled, weight.sum(), weight), mu, current)
            before, now = now, self._best_concentrations(weight, total, current, kappa, now)
            if not coupled or np.all(np.abs(now - before) <= 1e-13 * now):
                break
        return VonMisesFisherParameters(current, now)

    def _best_concentrations(
        self,
        weight: np.ndarray,
        total: np.ndarray,
        mu: np.ndarray,
        held: Held,
        current: np.ndarray,
    ) -> np.ndarray:
        """Concentrations (K,) for directions; 0 where the sum points away."""
        along = np.maximum(np.einsum("kd,kd->k", total, mu), 0.0)
        weight = weight.copy()
        for members in held.groups:
            if held.pooled[members[0]]:
                along[members], weight[members] = along[members].sum(), weight[members].sum()
        find = np.flatnonzero(~held.fixed & (weight > 0))
        found = current.copy()
        found[find] = self._solve(total.shape[1], along[find] / weight[find], find)
        return held.put(found)

    def n_held(self, parameters: VonMisesFisherParameters, constraints: Constraints) -> int:
        mu, kappa = constraints.get("mean_directions"), constraints.get("concentrations")
        total = 0 if mu is None else n_held_directions(mu)
        if kappa is not None:
            free = {"free": len(kappa.values), "tied": 1}[self.concentration]
            total += free - kappa.n_free()
        return total

    def _no_direction(
        self, total: np.ndarray, parameters: VonMisesFisherParameters | None
    ) -> np.ndarray:
        """Where a sum has no direction: the current one, or, at a start, that of all rows, or the first axis."""
        if parameters is not None:
            return parameters.mean_directions.copy()
        everything = total.sum(axis=0)
        length = np.linalg.norm(everything)
        if not length > 0:
            everything, length = np.eye(1, len(everything))[0], 1.0
        return np.tile(everything / length, (len(total), 1))

    def _solve(
        self, d: int, resultant: np.ndarray, components: np.ndarray | None = None
    ) -> np.ndarray:
        """Concentrations at which the mean of x has this length."""
        singular = np.flatnonzero(1.0 - resultant < _CLOSEST)
        if len(singular):
            whose = (
                "all components"
                if components is None
                else f"component {int(components[singular[0]])}"
            )
            raise SingularError(
                f"The rows of {whose} are all the same direction: its mean resultant length is 1, and the"
                " likelihood grows without bound with the concentration. Try fewer components,"
                ' concentration="tied" or a number, or a prior whose mean is shorter than 1.'
            )
        return invert_bessel_ratio(d / 2 - 1, resultant)

    # -------------------------------------------------------------- prior

    def read_prior_mean(self, mean: np.ndarray, n_features: int) -> np.ndarray:
        if mean.shape != (n_features,):
            raise ValueError(
                f"prior: mean must have the shape {(n_features,)} of a row, got {mean.shape}."
            )
        length = float(np.linalg.norm(mean))
        if not length < 1:
            raise ValueError(
                f"prior: mean is that of unit vectors, so it must be shorter than 1, got length {length:g}."
            )
        return mean

    def log_prior(self, parameters: VonMisesFisherParameters, prior: ConjugatePrior) -> float:
        """Log-density of the conjugate prior.

        For ``count`` rows of mean m, :math:`(C_d(\\kappa) \\exp(\\kappa m'\\mu))^{count}`. With a
        fixed concentration this is a von Mises-Fisher density of :math:`\\mu`, and
        is normalised. With one that is fitted the integral over :math:`\\kappa` has
        no closed form, and the constant is left out.
        """
        mu, kappa = parameters.mean_directions, parameters.concentrations
        d, count = mu.shape[1], prior.count
        value = kappa * count * (mu @ prior.mean)
        if isinstance(self.concentration, str):
            value += count * log_normalizer(d, kappa)
        else:
            value += log_normalizer(d, kappa * count * np.linalg.norm(prior.mean))
        return float(value.sum())

    # ----------------------------------------------------------- sampling

    def sample(
        self, parameters: VonMisesFisherParameters, counts: np.ndarray, rng: np.random.RandomState
    ) -> np.ndarray:
        """Wood's rejection for the component along the mean, a uniform direction across it.

        References
        ----------
        Wood, A. T. A. (1994). Simulation of the von Mises Fisher distribution.
        Communications in Statistics - Simulation and Computation 23(1), 157-164.
        """
        rows = []
        for mu, kappa, count in zip(
            parameters.mean_directions, parameters.concentrations, counts, strict=True
        ):
            fall = _draw_falls(len(mu), float(kappa), int(count), rng)  # 1 - mu.x
            across = rng.standard_normal((int(count), len(mu)))
            across -= (across @ mu)[:, None] * mu
            across *= (np.sqrt(fall * (2.0 - fall)) / _lengths(across))[:, None]
            across += (1.0 - fall)[:, None] * mu
            rows.append(across / _lengths(across)[:, None])
        return np.vstack(rows)

    # ------------------------------------------------------ missing cells

    def fill(self, parameters: VonMisesFisherParameters, X: Any, shares: np.ndarray) -> Any:
        """The direction of the mean of a missing row; where there is none, that of its most probable component."""
        if sparse.issparse(X):
            return X.copy()
        mu, kappa = parameters.mean_directions, parameters.concentrations
        mean = shares @ (bessel_ratio(0.5 * mu.shape[1] - 1.0, kappa)[:, None] * mu)
        lengths = _lengths(mean)
        clear = lengths > np.finfo(np.float64).eps
        mean = np.where(
            clear[:, None], mean / np.where(clear, lengths, 1.0)[:, None], mu[shares.argmax(axis=1)]
        )
        return fill_cells(X, np.isnan(X), mean)

    # --------------------------------------------------------- parameters

    def shape(self, parameters: VonMisesFisherParameters) -> tuple[int, int]:
        return parameters.mean_directions.shape

    def n_free(self, parameters: VonMisesFisherParameters) -> int:
        K, d = parameters.mean_directions.shape
        return K * (d - 1) + {"free": K, "tied": 1}.get(self.concentration, 0)

    def recall(self, values: Mapping[str, Any]) -> VonMisesFisherParameters:
        mu, kappa = as_float(values["mean_directions"]), as_float(values["concentrations"])
        if mu.ndim != 2 or kappa.shape != mu.shape[:1]:
            raise ValueError(
                "mean_directions must have the shape (n_components, n_features) and concentrations"
                f" the shape (n_components,), got {mu.shape} and {kappa.shape}."
            )
        lengths = _lengths(mu)
        bad = np.flatnonzero(~(np.abs(lengths - 1.0) < 1e-5))
        if len(bad):
            raise ValueError(
                f"mean_directions must have length 1, got {lengths[bad[0]]:g} in row {bad[0]}."
                " Divide each row by its length."
            )
        if not np.all((kappa >= 0) & (kappa < np.inf)):
            raise ValueError(f"concentrations must be finite and 0 or more, got {kappa}.")
        same = kappa[:1] if self.concentration == "tied" else self.concentration
        if self.concentration != "free" and not np.allclose(kappa, same, rtol=1e-6, atol=0):
            raise ValueError(
                f"concentrations {kappa} are none of a model with concentration={self.concentration!r}:"
                f" each would have to be {np.ravel(same)[0]:g}. Give these, or set concentration='free'."
            )
        # what was kept in float32 gets its length back; what is exact stays as it is, to the bit
        lengths[np.abs(lengths - 1.0) < 1e-13] = 1.0
        return VonMisesFisherParameters(mu / lengths[:, None], kappa)


# -------------------------------------------------------------- functions


def log_normalizer(d: int, kappa: np.ndarray) -> np.ndarray:
    """Logarithm of C_d(kappa) of shape (K,); at 0 it is one over the surface of the sphere."""
    at_zero = gammaln(d / 2) - np.log(2.0) - d / 2 * np.log(np.pi)
    return at_zero - log_hyp0f1(d / 2 - 1, kappa)


def _lengths(X: Any) -> np.ndarray:
    """Euclidean lengths of the rows, in float64, where squares would overflow or vanish too."""
    with np.errstate(over="ignore", under="ignore"):
        if sparse.issparse(X):
            squares = X.data.astype(np.float64) ** 2
            row = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
            lengths = np.sqrt(np.bincount(row, squares, X.shape[0]))
        else:
            lengths = np.sqrt(np.einsum("nd,nd->n", X, X, dtype=np.float64))
    odd = np.flatnonzero(~((lengths > 1e-140) & (lengths < 1e140)))
    for i in odd:
        x = X.data[X.indptr[i] : X.indptr[i + 1]] if sparse.issparse(X) else X[i]
        top = float(np.abs(x).max(initial=0.0))
        lengths[i] = top * np.linalg.norm(x.astype(np.float64) / top) if top > 0 else 0.0
    return lengths


def _divided(X: Any, lengths: np.ndarray) -> Any:
    """Rows divided by their lengths, in the type of X."""
    if sparse.issparse(X):
        out = X.copy()
        out.data = (X.data / np.repeat(lengths, np.diff(X.indptr))).astype(X.dtype, copy=False)
        return out
    return (X / lengths[:, None]).astype(X.dtype, copy=False)


def _draw_falls(d: int, kappa: float, count: int, rng: np.random.RandomState) -> np.ndarray:
    """Draws of 1 - mu.x, which keeps its digits where rows crowd around the mean."""
    half = 0.5 * (d - 1)
    b = half / (kappa + np.hypot(kappa, half))
    gap = 2.0 * b / (1.0 + b)  # of Wood's x0 to 1
    falls = np.empty(count)
    left = np.arange(count)
    while len(left):
        z = rng.beta(half, half, size=len(left))
        fall = 2.0 * b * z / ((1.0 - z) + b * z)
        ratio = (gap + (1.0 - gap) * fall) / (gap * (2.0 - gap))
        accept = kappa * (gap - fall) + 2.0 * half * np.log(ratio) >= np.log1p(
            -rng.uniform(size=len(left))
        )
        falls[left[accept]] = fall[accept]
        left = left[~accept]
    return falls
