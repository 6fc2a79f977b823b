"""KMeans."""

from __future__ import annotations

import operator
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags, check_array
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._data import check_data
from .._kernels import kmeans as kernel
from .._lazy import lazy
from .._parameters import set_engine_parameters
from ..base import EMMixin
from ..em.reduce import take_rows
from ..em.sources import Block, Source, Survey
from ..em.starts import LabelStart, draw_start, given_start
from ..em.threads import Workers
from ..exceptions import warn_user
from ._model import KMeansModel, rows_at
from ._seeds import far_apart, random_rows
from ._statistics import Clusters

__all__ = ["KMeans"]

# starts that n_init="auto" makes of those that are drawn without care
_RUNS = 10


class KMeans(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, EMMixin, BaseEstimator
):
    """k-means: scikit-learn's, as hard EM of spherical Gaussians of one size.

    The E-step gives each row to its nearest centre, the M-step moves each centre to the mean of its rows. A cluster
    without rows takes the row that is farthest from its centre.

    Parameters
    ----------
    n_clusters : int, default=8
    init : {"k-means++", "random", "whitened", "hierarchical"}, array-like or callable, default="k-means++"
        "k-means++" (greedy) and "random" draw rows, the same ones as scikit-learn. "whitened" begins with the clusters
        of k-means where the covariance of all rows is the identity, "hierarchical" with those of Ward's method on at
        most 2000 rows. Or centres of shape (n_clusters, n_features); or labels of shape (n_samples,), -1 for a row
        left out; or a callable ``(X, n_clusters, random_state=...)`` that returns one of the two.
    n_init : "auto" or int, default="auto"
        Number of starts; the fit of the lowest inertia is kept. "auto" is 10 for "random" and a callable, 1 otherwise.
    max_iter : int, default=300
    tol : float, default=1e-4
        Stop when an iteration moved the centres by less, squared and summed, in units of the mean variance of a
        feature; or when no row changed its cluster.
    verbose : int, default=0
        1 and more print the inertia after each iteration.
    random_state : int, RandomState instance or None, default=None
    copy_x : bool, default=True
        For compatibility: X is never written to, nor copied as a whole.
    algorithm : {"lloyd", "elkan", "online", "incremental"}, default="lloyd"
        "lloyd" and "elkan" are the same here: all rows between two M-steps. "online" has an M-step after each
        ``batch_size`` rows, in shuffled order, of statistics that forget; "incremental" one after each block of so
        many, whose share of the statistics it replaces.
    warm_start : bool, default=False
        Continue from the last fit.
    n_jobs : int or None, default=None
        Threads; None is the number that BLAS may use. It never changes a result.
    accelerate : {"squarem"} or None, default=None
        Extrapolate counts and sums between two iterations; what raises the inertia is taken back.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
    labels_ : ndarray of int of shape (n_samples,)
        The nearest centre of each row: what ``predict`` says of it. Not after ``partial_fit``.
    inertia_ : float
        Sum of the squared distances of the rows from these centres, by weight. Not after ``partial_fit``.
    n_iter_ : int
        Iterations of the best run.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (``n_features_in_``,)
        If the columns have names that are texts.
    converged_ : bool
    lower_bound_ : float
        Minus the inertia, as a share of what it is for one cluster.
    lower_bounds_ : ndarray of shape (``n_iter_``,)
        The same after each iteration.
    n_e_steps_, restart_lower_bounds_, n_best_restarts_, stop_reason_, n_steps_
        As in :class:`~emlearn.EMMixin`.

    See Also
    --------
    emlearn.mixture.GaussianMixture : Clusters of their own shape and size, and how sure a row's is.

    Notes
    -----
    Differences from scikit-learn: the mean variance by which ``tol`` is measured is that of weighted rows, and rows
    of weight 0 are not there; a callable ``init`` is given X as it is and not less its mean; a fit that reaches
    ``max_iter`` warns.

    References
    ----------
    Lloyd, S. P. (1982). Least squares quantization in PCM. IEEE Transactions on Information Theory 28(2), 129-137.

    Celeux, G. and Govaert, G. (1992). A classification EM algorithm for clustering and two stochastic versions.
    Computational Statistics & Data Analysis 14(3), 315-332.

    Arthur, D. and Vassilvitskii, S. (2007). k-means++: the advantages of careful seeding. Proceedings of the
    eighteenth annual ACM-SIAM symposium on discrete algorithms, 1027-1035.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.cluster import KMeans
    >>> X = np.array([[1, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> kmeans = KMeans(n_clusters=2, random_state=0).fit(X)
    >>> kmeans.labels_
    array([1, 1, 1, 0, 0, 0], dtype=int32)
    >>> kmeans.predict([[0, 0], [12, 3]])
    array([1, 0], dtype=int32)
    >>> kmeans.cluster_centers_
    array([[10.,  2.],
           [ 1.,  2.]])
    """

    _parameter_constraints: dict = {
        **EMMixin._parameter_constraints,
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "init": [
            StrOptions({"k-means++", "random", "whitened", "hierarchical"}),
            callable,
            "array-like",
        ],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "copy_x": ["boolean"],
        "algorithm": [StrOptions({"lloyd", "elkan", "online", "incremental"})],
    }
    _engine: ClassVar[tuple[str, ...]] = ("batch_size", "learning_decay", "learning_offset")

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Any = "k-means++",
        n_init: int | str = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        verbose: int = 0,
        random_state: Any = None,
        copy_x: bool = True,
        algorithm: str = "lloyd",
        warm_start: bool = False,
        n_jobs: int | None = None,
        accelerate: str | None = None,
        **engine: Any,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state
        self.copy_x = copy_x
        self.algorithm = algorithm
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.accelerate = accelerate
        set_engine_parameters(self, engine)

    # --------------------------------------------------------------- model

    def _setting(self, name: str) -> Any:
        value = super()._setting(name)
        if name == "algorithm" and value in ("lloyd", "elkan"):
            return "batch"
        if name == "verbose":  # the model has lines of its own
            return 0
        if name == "n_init" and value == "auto":
            careful = isinstance(self.init, str) and self.init != "random"
            return 1 if careful or self._given() else _RUNS
        return value

    def _given(self) -> bool:
        """Whether the start is an array."""
        return not isinstance(self.init, str) and not callable(self.init)

    def _fit_model(self, X: Any, sample_weight: np.ndarray | None, **fold: Any) -> KMeansModel:
        if fold:
            parts = fold["fold"](_spread, _merged)
        else:  # by the blocks of the fit, as from a file
            parts = None
            for rows in self._blocks(X):
                weight = None if sample_weight is None else sample_weight[rows]
                part = _spread(take_rows(X, rows), weight)
                parts = part if parts is None else _merged(parts, part)
        assert parts is not None
        weight, mean, scatter = parts
        unit = scatter / weight if scatter > 0 else 1.0
        gain = self.tol if self._setting("algorithm") == "online" else None
        model = KMeansModel(mean, unit, self.tol * scatter / weight / len(mean), gain)
        if self.verbose:
            model.printed = unit * weight
        model.initial_parameters = partial(self._first_centres, model)
        return model

    def _fitted_model(self) -> KMeansModel:
        return KMeansModel(self.recall().mean(axis=0))

    def publish(self, parameters: np.ndarray) -> dict[str, Any]:
        """The fitted attributes, by name."""
        return {"cluster_centers_": parameters}

    def recall(self) -> np.ndarray:
        """The centres, from the public fitted attribute."""
        return np.ascontiguousarray(self.cluster_centers_, dtype=np.float64)

    def row_cost(self, n_features: float) -> float:
        """Arithmetic of the E-step for one row, in multiplications: it sizes the blocks of rows."""
        return (self.n_clusters + 4.0) * (n_features + 2.0)

    def _survey(self, seed: tuple[int, ...] = (0,), most: int | None = None) -> Survey:
        return Survey(seed, most, least=max(2000, 50 * self.n_clusters))

    def _changed(self) -> str | None:
        found = len(self.cluster_centers_)
        if found != self.n_clusters:
            return f"a fit of {found} clusters, but n_clusters = {self.n_clusters}"
        return super()._changed()

    # --------------------------------------------------------------- start

    def _check_against(self, source: Source) -> None:
        if source.shape[0] < self.n_clusters:
            raise ValueError(
                f"n_samples={source.shape[0]} should be >= n_clusters={self.n_clusters}."
            )

    def _check_start(self, source: Source) -> None:
        self._n_init = self._setting("n_init")
        if self.algorithm == "elkan" and self.n_clusters == 1:
            warn_user(
                "algorithm='elkan' doesn't make sense for a single cluster. Using 'lloyd' instead.",
                RuntimeWarning,
            )
        if not self._given():
            return
        if self._n_init != 1:
            warn_user(
                f"Explicit initial center position passed: performing only one init in {type(self).__name__} instead"
                f" of n_init={self._n_init}.",
                RuntimeWarning,
            )
            self._n_init = 1
        if np.ndim(self.init) != 1:
            self._read_centres(self.init, source.shape[1])

    def _repeatable_start(self) -> bool:
        return self._given()

    def _first_centres(self, model: KMeansModel, *start: Any) -> np.ndarray:
        centres = self._draw_centres(model, *start)
        if self.verbose:
            print("Initialization complete")
        return centres

    def _draw_centres(
        self,
        model: KMeansModel,
        X: Any,
        sample_weight: np.ndarray | None,
        random_state: np.random.RandomState,
    ) -> np.ndarray:
        init, K = self.init, self.n_clusters
        if isinstance(init, str):
            if init in ("k-means++", "random"):
                if init == "random":
                    seeds = random_rows(X, K, random_state, sample_weight)
                else:
                    seeds = far_apart(X, K, random_state, sample_weight, model.about(X))
                return rows_at(X, seeds)
            start = draw_start(init, X, K, random_state, sample_weight)
            assert isinstance(start, LabelStart)
            return _means(model, X, start.labels, K, sample_weight)
        if callable(init):
            init = init(X, K, random_state=random_state)
        if np.ndim(init) == 1:
            start = given_start(init, X, K, random_state)
            assert isinstance(start, LabelStart)
            return _means(model, X, start.labels, K, sample_weight)
        return self._read_centres(init, X.shape[1])

    def _read_centres(self, init: Any, n_features: int) -> np.ndarray:
        """Centres that were given, or that a callable returned."""
        centres = check_array(init, dtype=np.float64, order="C", copy=True, input_name="init")
        for size, expected, what in zip(
            centres.shape,
            (self.n_clusters, n_features),
            ("number of clusters", "number of features of the data"),
            strict=True,
        ):
            if size != expected:
                raise ValueError(
                    f"The shape of the initial centers {centres.shape} does not match the {what} {expected}."
                )
        return centres

    # ---------------------------------------------------------------- data

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _check_data(self, X: Any, *, reset: bool, finite: bool = True) -> Any:
        if sparse.issparse(X) and X.format == "csr" and not X.has_canonical_format:
            X = X.copy()  # validation sums duplicates in place
        return check_data(self, X, reset=reset, accept_sparse="csr", accept_large_sparse=False)

    # -------------------------------------------------------------- answers

    def _look_back(self, source: Source, workers: Workers) -> None:
        model, centres = self._fitted_model(), self.recall()
        found = source.map_reduce(partial(_block_labels, model, centres), operator.add, workers)
        self.labels_ = np.concatenate([labels for labels, _ in found])
        self.inertia_ = float(sum(inertia for _, inertia in found))
        distinct = int(np.count_nonzero(np.bincount(self.labels_, minlength=len(centres))))
        if distinct < len(centres):
            warn_user(
                f"Number of distinct clusters ({distinct}) found smaller than n_clusters ({len(centres)}). Possibly due"
                " to duplicate points in X.",
                ConvergenceWarning,
            )

    def _note_rows(self, source: Source) -> None:
        if source.goes_on:  # those of the rows of an earlier fit
            for name in ("labels_", "inertia_"):
                vars(self).pop(name, None)

    @property
    def _n_features_out(self) -> int:
        return len(self.cluster_centers_)

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """Fit, and return ``labels_``.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_samples, n_features)
        y : Ignored
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        ndarray of int of shape (n_samples,)
        """
        return self.fit(X, sample_weight=sample_weight).labels_

    @lazy("labels")
    def predict(self, X: Any) -> np.ndarray:
        """The nearest centre of each row.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of int of shape (n_samples,)
        """
        check_is_fitted(self)
        X = self._check_data(X, reset=False)
        model, centres = self._fitted_model(), self.recall()

        def labels(rows: slice) -> list[np.ndarray]:
            return [model.nearest(centres, take_rows(X, rows), None)[0]]

        return np.concatenate(self._over_blocks(labels, X, operator.add))

    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """Fit, and return the distances of the rows from all centres.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_samples, n_features)
        y : Ignored
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        ndarray of shape (n_samples, n_clusters)
        """
        return self.fit(X, sample_weight=sample_weight)._distances(X)

    def transform(self, X: Any) -> np.ndarray:
        """The distances of rows from all centres.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_clusters)
        """
        check_is_fitted(self)
        return self._distances(X)

    def _distances(self, X: Any) -> np.ndarray:
        X = self._check_data(X, reset=False)
        centres, dtype = self.recall(), np.result_type(X.dtype, self.cluster_centers_.dtype)
        model = self._fitted_model()

        def distances(rows: slice) -> list[np.ndarray]:
            return [model.distances(centres, take_rows(X, rows)).astype(dtype, copy=False)]

        return np.concatenate(self._over_blocks(distances, X, operator.add))

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Minus the inertia: the sum of the squared distances of the rows from their centres.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_samples, n_features)
        y : Ignored
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        check_is_fitted(self)
        return self._log_likelihood(X, sample_weight)[0]


def _spread(X: Any, sample_weight: np.ndarray | None) -> tuple[float, np.ndarray, float]:
    """Weight, mean and the sum of squares about it."""
    return kernel.spread(X, sample_weight)


def _merged(
    a: tuple[float, np.ndarray, float], b: tuple[float, np.ndarray, float]
) -> tuple[float, np.ndarray, float]:
    """The same of two sets of rows."""
    if not (a[0] > 0 and b[0] > 0):
        return a if a[0] > 0 else b
    weight, delta = a[0] + b[0], b[1] - a[1]
    share = b[0] / weight
    return weight, a[1] + share * delta, a[2] + b[2] + a[0] * share * float(delta @ delta)


def _means(
    model: KMeansModel, X: Any, labels: np.ndarray, K: int, sample_weight: np.ndarray | None
) -> np.ndarray:
    """Where the centres of these clusters are; -1, and rows that are not labelled, are in none."""
    own = np.flatnonzero(labels >= 0)
    weight = np.ones(len(own)) if sample_weight is None else sample_weight[own]
    table = sparse.csr_array((weight, (labels[own], np.arange(len(own)))), shape=(K, len(own)))
    origin = model.about(X)
    rows = X[own]
    sums = (table @ rows).toarray() if sparse.issparse(rows) else table @ (rows - origin)
    counts = np.bincount(labels[own], weight, K)
    if not counts.any():
        raise ValueError(
            "init leaves out every row that has a weight; at least one must belong to a cluster."
        )
    return model.m_step(Clusters(counts, sums, origin), None)


def _block_labels(
    model: KMeansModel, centres: np.ndarray, block: Block
) -> list[tuple[np.ndarray, float]]:
    return [model.nearest(centres, block.X, block.sample_weight)]
