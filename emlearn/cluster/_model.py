"""k-means as the engine sees it."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from .._kernels import kmeans as kernel
from ._statistics import Clusters, Far, farthest

__all__ = ["KMeansModel", "rows_at"]

# a squared distance is made of the difference itself if it is less than this share of the squared norms
_SMALL = 1e-5
# rows whose differences are made at a time
_PAIRS = 1024


class KMeansModel:
    """Hard EM of spherical Gaussians of one variance and one weight: parameters are the centres (K, d).

    The objective is minus the inertia, in units of what it is for one cluster.

    Parameters
    ----------
    origin : ndarray of shape (d,)
        Near the data, so that sums keep their digits. Of sparse rows it is 0.
    unit : float, default=1.0
        The mean squared distance of a row from the mean.
    least_shift : float, default=0.0
        The run rests where an M-step moves the centres by no more, squared and summed over all of them.
    least_gain : float, default=None
        The run rests where the objective changed by less: in online EM centres always move.
    """

    def __init__(
        self,
        origin: np.ndarray,
        unit: float = 1.0,
        least_shift: float = 0.0,
        least_gain: float | None = None,
    ) -> None:
        self.origin, self.unit = origin, unit
        self.least_shift, self.least_gain = least_shift, least_gain
        #: where a run says how far it is, in scikit-learn's words: the inertia of an objective of -1
        self.printed: float | None = None
        self.zero = np.zeros_like(origin)

    def about(self, X: Any) -> np.ndarray:
        """The origin of these rows: a CSR row less another is not sparse."""
        return self.zero if sparse.issparse(X) else self.origin

    def prepare(self, X: Any) -> Any:
        """The rows themselves."""
        return X

    def e_step(
        self, parameters: np.ndarray, X: Any, sample_weight: np.ndarray | None
    ) -> tuple[Clusters, float]:
        """Counts and sums of the nearest rows of each centre, and the objective."""
        origin = self.about(X)
        labels, squares, weight, first, inertia = kernel.assign(
            X, parameters - origin, origin, sample_weight
        )
        statistics = Clusters(weight, first, origin)
        n_empty = statistics.n_empty
        if n_empty:
            index = farthest(squares, n_empty, sample_weight)
            statistics.far = Far(
                squares[index],
                np.ones(len(index)) if sample_weight is None else sample_weight[index],
                labels[index],
                rows_at(X, index) - origin,
            )
        return statistics, -inertia / self.unit

    def m_step(self, statistics: Clusters, parameters: np.ndarray | None) -> np.ndarray:
        """Means of the clusters; an empty one takes the row that is farthest from its centre.

        Where there is none, because all rows are at their centres, it goes where the largest cluster is.
        """
        found = statistics.relocated()
        weight = found.weight
        alive = weight > 0
        centres = found.first / np.where(alive, weight, 1.0)[:, None]
        if not alive.all():
            centres[~alive] = centres[weight.argmax()]
        return centres + found.origin

    def at_rest(self, old: np.ndarray, new: np.ndarray, objectives: list[float]) -> str | None:
        """Why a run ends after this iteration, as in scikit-learn; None where it goes on."""
        reason = self._rests(old, new, objectives)
        if self.printed is not None and objectives:
            n = len(objectives)
            print(f"Iteration {n}, inertia {-objectives[-1] * self.printed}.")
            if reason is not None:
                print(f"Converged at iteration {n}: {reason}.")
        return reason

    def _rests(self, old: np.ndarray, new: np.ndarray, objectives: list[float]) -> str | None:
        if self.least_gain is not None:
            if len(objectives) > 1 and abs(objectives[-1] - objectives[-2]) < self.least_gain:
                return f"a pass changed the objective by less than {self.least_gain:g}"
            return None
        shift = float(np.sum((new - old) ** 2))
        if shift == 0.0:  # what follows from unchanged labels, to the bit
            return "strict convergence, no row changed its cluster"
        if shift <= self.least_shift:
            return f"center shift {shift:g} within tolerance {self.least_shift:g}"
        return None

    def ascent(self, old: Any, new: Any, statistics: Clusters) -> float:
        """The objective never falls."""
        return 0.0

    def log_prior(self, parameters: Any) -> float:
        """There is none."""
        return 0.0

    def nearest(
        self, parameters: np.ndarray, X: Any, sample_weight: np.ndarray | None
    ) -> tuple[np.ndarray, float]:
        """Labels, and the inertia."""
        origin = self.about(X)
        found = kernel.assign(X, parameters - origin, origin, sample_weight, False)
        return found[0], found[4]

    def distances(self, parameters: np.ndarray, X: Any) -> np.ndarray:
        """Distances (n, K) of rows from all centres."""
        origin = self.about(X)
        centres = parameters - origin
        rows = X.astype(np.float64) if sparse.issparse(X) else X - origin
        own = np.asarray((rows.multiply(rows) if sparse.issparse(X) else rows * rows).sum(axis=1))
        norms = own.reshape(-1, 1) + np.einsum("kj,kj->k", centres, centres)
        squares = norms - 2.0 * (rows @ centres.T)
        # a small difference of large squares has lost its digits
        i, k = np.nonzero(squares < _SMALL * norms)
        for at in range(0, len(i), _PAIRS):
            pairs = slice(at, at + _PAIRS)
            difference = rows_at(rows, i[pairs]) - centres[k[pairs]]
            squares[i[pairs], k[pairs]] = np.einsum("ij,ij->i", difference, difference)
        return np.sqrt(squares, out=squares)


def rows_at(X: Any, index: np.ndarray) -> np.ndarray:
    """Some rows, dense and in float64."""
    rows = X[index]
    rows = rows.toarray() if sparse.issparse(rows) else rows
    return np.ascontiguousarray(rows, dtype=np.float64)
