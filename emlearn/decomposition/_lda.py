"""LatentDirichletAllocation."""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._data import check_data, check_shape, check_weights, column_name, read_array
from .._lazy import added, lazy
from ..base import EMMixin
from ..em.sources import Source
from ..em.threads import Workers, single_threaded_blas
from ._topics import TopicModel, Topics, block_totals, perplexity, read_rows, totals

__all__ = ["LatentDirichletAllocation"]

_AT_LEAST_0 = Interval(Real, 0.0, None, closed="left")
_ABOVE_0 = Interval(Real, 0.0, None, closed="neither")


class LatentDirichletAllocation(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, EMMixin, BaseEstimator
):
    """Topics of documents, by variational EM: scikit-learn's, with weights, threads and priors that are estimated.

    A document is a bag of words, each of which comes from one of ``n_components`` topics; a topic is a
    distribution of words. The E-step finds the posterior of each document's topics, and begins where the
    pass before it left off; the M-step is the posterior of the topics. Each pass raises one bound of the
    log-likelihood, ``lower_bound_``. ``scipy.sparse`` matrices stay sparse.

    Parameters
    ----------
    n_components : int, default=10
        Number of topics.
    doc_topic_prior : float, array-like of shape (n_components,), "auto" or None, default=None
        Of the topics of a document: the parameter of a Dirichlet distribution, or one for each topic.
        None is ``1 / n_components``; "auto" begins there and estimates one for each topic.
    topic_word_prior : float, "auto" or None, default=None
        Of the words of a topic. None is ``1 / n_components``; "auto" estimates it.
    learning_method : {"batch", "online"}, default="batch"
        "batch" goes through all documents between two M-steps, "online" has an M-step after each
        ``batch_size`` documents, in shuffled order.
    learning_decay : float, default=0.7
        Batch t = 1, 2, ... has the weight ``(t + learning_offset) ** -learning_decay``.
    learning_offset : float, default=10.0
        The larger, the less do the first batches count.
    max_iter : int, default=10
        Passes over the documents.
    batch_size : int, default=128
        Documents of a batch, of "online" and of ``partial_fit``.
    evaluate_every : int, default=-1
        Look at the perplexity every so many passes, and stop where it rests; 0 or less never looks.
    total_samples : float, default=1e6
        Documents there are in all, of which ``partial_fit`` sees some; and ``perplexity`` with
        ``sub_sampling``.
    perp_tol : float, default=0.1
        The perplexity rests where it changed by less.
    mean_change_tol : float, default=1e-3
        The posterior of a document rests where its parameters change by less, on average.
    max_doc_update_iter : int, default=100
        Iterations of a document in an E-step; at least one is made. A fit makes 30 at most: it comes
        back to each document in the next pass.
    n_jobs : int, default=None
        Threads. None is what BLAS may use at the call, -1 all cores. Results do not depend on it, to the
        bit.
    verbose : int, default=0
    random_state : int, RandomState instance or None, default=None
        Of the topics that a fit begins with, which are scikit-learn's, and of the order of batches.
    n_init : int, default=1
        Number of starts; the fit of the highest bound is kept.
    warm_start : bool, default=False
        Begin with the topics of the last fit.
    accelerate : {"squarem"} or None, default=None
        Extrapolate between iterations: higher bounds where many are made.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Posterior Dirichlet parameters of the words of each topic: as it were, how often a word was of the
        topic. Divided by their sums they are the topics.
    exp_dirichlet_component_ : ndarray of shape (n_components, n_features)
        ``exp(E[log(topic)])``.
    doc_topic_prior_ : float, or ndarray of shape (n_components,)
    topic_word_prior_ : float
    bound_ : float
        Perplexity of the documents of the fit, as :meth:`perplexity` has it. None after ``partial_fit``.
    n_batch_iter_ : int
        M-steps, plus 1.
    n_iter_ : int
        Passes.
    lower_bound_ : float
        The bound of the log-likelihood that was raised, with the posteriors of the documents that the fit
        ended with.
    lower_bounds_ : ndarray of shape (``n_iter_``,)
        The same after each pass.
    converged_ : bool
        Whether the perplexity came to rest, which ``evaluate_every`` looks at.
    restart_lower_bounds_ : ndarray of shape (n_init,)
    stop_reason_ : str
    n_steps_ : int
        Batches that ``partial_fit`` has taken in; a fit removes it.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (``n_features_in_``,)

    References
    ----------
    Blei, D. M., Ng, A. Y. and Jordan, M. I. (2003). Latent Dirichlet allocation. Journal of Machine
    Learning Research 3, 993-1022.

    Hoffman, M. D., Blei, D. M. and Bach, F. (2010). Online learning for latent Dirichlet allocation.
    Advances in Neural Information Processing Systems 23, 856-864.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.decomposition import LatentDirichletAllocation
    >>> words = ["goal", "team", "vote", "party"]
    >>> X = np.array([[3, 2, 0, 0], [2, 4, 0, 0], [0, 0, 3, 3], [0, 1, 4, 2]])
    >>> topics = LatentDirichletAllocation(2, random_state=0).fit(X)
    >>> sorted(" ".join(words[j] for j in row.argsort()[:-3:-1]) for row in topics.components_)
    ['team goal', 'vote party']
    >>> topics.transform(X).max(axis=1).round(1)
    array([0.9, 0.9, 0.9, 0.9])
    """

    _engine = ("batch_size", "learning_decay", "learning_offset")

    _parameter_constraints: dict = {
        **{
            name: EMMixin._parameter_constraints[name]
            for name in (
                *_engine,
                "max_iter",
                "n_jobs",
                "verbose",
                "random_state",
                "warm_start",
                "accelerate",
            )
        },
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "doc_topic_prior": [None, StrOptions({"auto"}), _ABOVE_0, "array-like"],
        "topic_word_prior": [None, StrOptions({"auto"}), _ABOVE_0],
        "learning_method": [StrOptions({"batch", "online"})],
        "evaluate_every": [Interval(Integral, None, None, closed="neither")],
        "total_samples": [_ABOVE_0],
        "perp_tol": [_AT_LEAST_0],
        "mean_change_tol": [_AT_LEAST_0],
        "max_doc_update_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        n_components: int = 10,
        *,
        doc_topic_prior: Any = None,
        topic_word_prior: Any = None,
        learning_method: str = "batch",
        learning_decay: float = 0.7,
        learning_offset: float = 10.0,
        max_iter: int = 10,
        batch_size: int = 128,
        evaluate_every: int = -1,
        total_samples: float = 1e6,
        perp_tol: float = 1e-1,
        mean_change_tol: float = 1e-3,
        max_doc_update_iter: int = 100,
        n_jobs: int | None = None,
        verbose: int = 0,
        random_state: Any = None,
        n_init: int = 1,
        warm_start: bool = False,
        accelerate: str | None = None,
    ) -> None:
        self.n_components = n_components
        self.doc_topic_prior = doc_topic_prior
        self.topic_word_prior = topic_word_prior
        self.learning_method = learning_method
        self.learning_decay = learning_decay
        self.learning_offset = learning_offset
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.evaluate_every = evaluate_every
        self.total_samples = total_samples
        self.perp_tol = perp_tol
        self.mean_change_tol = mean_change_tol
        self.max_doc_update_iter = max_doc_update_iter
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state
        self.n_init = n_init
        self.warm_start = warm_start
        self.accelerate = accelerate

    # --------------------------------------------------- what the engine asks

    def _setting(self, name: str) -> Any:
        if name == "algorithm":
            return self.learning_method
        if name in ("tol", "verbose"):  # the model has a rule, and lines, of its own
            return 0
        return super()._setting(name)

    def row_cost(self, n_features: float) -> float:
        """Arithmetic of the E-step for one document, in multiplications."""
        K, V = self.n_components, getattr(self, "n_features_in_", 0)
        # fewer and larger blocks where the table of expected counts is larger than what they read
        return min(25.0 * n_features, 2.5e7 * n_features / max(V, 1) / K) * K + 100.0 * K

    def _check_parameters(self) -> None:
        if self.accelerate is not None and self.learning_method != "batch":
            raise ValueError(
                f"accelerate={self.accelerate!r} is for learning_method='batch', whose steps follow from each other;"
                " set accelerate=None."
            )
        self._prior_of_topics()

    def _prior_of_topics(self) -> np.ndarray:
        K, given = self.n_components, self.doc_topic_prior
        if given is None or isinstance(given, str):
            return np.full(K, 1.0 / K)
        alpha = read_array(given, "doc_topic_prior")
        if alpha.ndim == 0:
            return np.full(K, float(alpha))
        check_shape(alpha, (K,), "doc_topic_prior")
        if not np.all(alpha > 0):
            raise ValueError(f"doc_topic_prior must be above 0, got {alpha.min():g}.")
        return alpha

    def _model(self) -> TopicModel:
        auto = self.topic_word_prior == "auto"
        K, eta = self.n_components, self.topic_word_prior
        return TopicModel(
            K,
            self._prior_of_topics(),
            1.0 / K if eta is None or auto else float(eta),
            auto_alpha=isinstance(self.doc_topic_prior, str),
            auto_eta=auto,
            tol=float(self.mean_change_tol),
            max_iter=int(self.max_doc_update_iter),
        )

    def _fitted_model(self) -> TopicModel:
        return self._model()

    def _model_for(self, source: Source) -> TopicModel:
        model = self._model()
        model.remembers = not source.remote
        model.watch(self.evaluate_every, self.perp_tol, self.verbose, self.max_iter)
        if source.goes_on:
            model.total_rows = float(self.total_samples)
        elif self.evaluate_every > 0:
            model.n_words = source.fold(_count_words, np.add)
        return model

    def _changed(self) -> str | None:
        known = len(self.components_)
        if known != self.n_components:
            return f"a fit of {known} topics, and n_components is now {self.n_components}"
        return super()._changed()

    def publish(self, parameters: Topics) -> dict[str, Any]:
        symmetric = self.doc_topic_prior is None or isinstance(self.doc_topic_prior, Real)
        alpha = parameters.alpha
        expected = parameters.table * np.exp(parameters.shift)[:, None]
        return {
            "components_": np.ascontiguousarray(parameters.components.T),
            "exp_dirichlet_component_": np.ascontiguousarray(expected.T),
            "doc_topic_prior_": float(alpha[0]) if symmetric else alpha,
            "topic_word_prior_": float(parameters.eta),
        }

    def recall(self) -> Topics:
        components = read_array(self.components_, "components_")
        K = len(components)
        check_shape(components, (K, self.n_features_in_), "components_")
        alpha = read_array(self.doc_topic_prior_, "doc_topic_prior_")
        alpha = np.full(K, float(alpha)) if alpha.ndim == 0 else alpha
        check_shape(alpha, (K,), "doc_topic_prior_")
        if not (np.all(components > 0) and np.all(alpha > 0) and self.topic_word_prior_ > 0):
            raise ValueError("components_ and the priors must be above 0.")
        return Topics.of(components.T, alpha, float(self.topic_word_prior_))

    def _fitted_attributes(self, result: Any, dtype: Any) -> dict[str, Any]:
        attributes = super()._fitted_attributes(result, dtype)
        return {**attributes, "n_batch_iter_": 1 + result.n_iter, "bound_": None}

    def _note_rows(self, source: Source) -> None:
        if source.goes_on:
            return
        if self.learning_method == "online":
            self.n_batch_iter_ = 1 + self.n_iter_ * -(-source.shape[0] // self.batch_size)
        model, parameters = self._fitted_model(), self.recall()
        function = partial(block_totals, source.outgoing(model), parameters)
        with single_threaded_blas(), Workers(self._n_threads(source)) as workers:
            bound, words, _ = source.map_reduce(function, np.add, workers).tolist()
        self.bound_ = perplexity(bound + parameters.bound, words)

    # ---------------------------------------------------------------- data

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _check_data(self, X: Any, *, reset: bool, finite: bool = True) -> Any:
        X = check_data(self, X, reset=reset, finite=finite, accept_sparse="csr")
        values = X.data if sparse.issparse(X) else X
        if values.size and values.min() < 0:
            rows, columns = X.nonzero()
            at = int(np.argmin(np.asarray(X[rows, columns]).ravel()))
            raise ValueError(
                f"Negative values in data passed to {type(self).__name__}: {values.min():g} in row {rows[at]},"
                f" {column_name(self, columns[at])}. It takes counts of words, or weights of at least 0."
            )
        return X

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Take in some documents, of ``total_samples`` in all: a step of online EM with each ``batch_size`` of them.

        Parameters
        ----------
        X : {array-like, CSR matrix} of shape (n_samples, n_features)
        y : Ignored
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the documents cannot be used, or parameters of the constructor contradict what is known.
        """
        X = self._check_data(X, reset="converged_" not in vars(self))
        weights = check_weights(sample_weight, X)
        for begin in range(0, X.shape[0], self.batch_size):
            rows = slice(begin, begin + self.batch_size)
            weight = None if weights is None else weights[rows]
            if weight is None or weight.any():
                self._partial_fit_data(X[rows], y, sample_weight=weight)
        return self

    # ------------------------------------------------------------- answers

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def _n_columns(self) -> int:
        return len(self.components_)

    def _score_type(self, X: Any) -> Any:
        return np.float32 if X.dtype == np.float32 else np.float64

    def _infer(self, X: Any) -> tuple[Any, np.ndarray, np.ndarray, Topics]:
        """Checked documents, posteriors (n, K), bounds (n,), and the topics."""
        check_is_fitted(self)
        X = self._check_data(X, reset=False)
        model, parameters = self._fitted_model(), self.recall()
        gamma, bounds = np.zeros((X.shape[0], len(parameters.alpha))), np.empty(X.shape[0])

        def infer(rows: slice) -> None:
            block = read_rows(X[rows])
            bounds[rows] = model.posterior(parameters, block, gamma[rows])

        self._over_blocks(infer, X, lambda a, b: None)
        return X, gamma, bounds, parameters

    @lazy("probabilities")
    def transform(self, X: Any, *, normalize: bool = True) -> np.ndarray:
        """Topics of documents.

        Parameters
        ----------
        X : {array-like, CSR matrix} of shape (n_samples, n_features)
        normalize : bool, default=True
            False gives the parameters of the posterior Dirichlet distribution instead of its mean.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
        """
        X, gamma, _, _ = self._infer(X)
        if normalize:
            gamma /= gamma.sum(axis=1)[:, None]
        return gamma.astype(X.dtype, copy=False)

    def fit_transform(
        self, X: Any, y: Any = None, *, normalize: bool = True, sample_weight: Any = None
    ) -> np.ndarray:
        """Fit, and :meth:`transform` the same documents.

        Parameters
        ----------
        X : {array-like, CSR matrix} of shape (n_samples, n_features)
        y : Ignored
        normalize : bool, default=True
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        ndarray of shape (n_samples, n_components)
        """
        return self.fit(X, y, sample_weight=sample_weight).transform(X, normalize=normalize)

    @lazy("scores")
    def score_samples(self, X: Any) -> np.ndarray:
        """A lower bound of the log-likelihood of each document.

        Parameters
        ----------
        X : {array-like, CSR matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        X, _, bounds, _ = self._infer(X)
        return bounds.astype(X.dtype, copy=False)

    @added
    def _totals(self, X: Any, sample_weight: Any = None) -> tuple[float, float, float]:
        """Bound, words and documents of some rows, which add up."""
        X, _, bounds, _ = self._infer(X)
        return totals(bounds, read_rows(X), check_weights(sample_weight, X))

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """The bound that a fit raises, of these documents together: theirs, and that of the topics.

        Parameters
        ----------
        X : {array-like, CSR matrix} of shape (n_samples, n_features)
        y : Ignored
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
            A total, in which the topics have a share that does not grow with the documents. See
            :meth:`held_out_perplexity`.
        """
        check_is_fitted(self)
        return self._totals(X, sample_weight)[0] + self.recall().bound

    def perplexity(self, X: Any, sub_sampling: bool = False, sample_weight: Any = None) -> float:
        """exp(-bound / words), of the bound that :meth:`score` gives.

        Parameters
        ----------
        X : {array-like, CSR matrix} of shape (n_samples, n_features)
        sub_sampling : bool, default=False
            Take the documents as a sample of ``total_samples``.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
            nan where there are no words.
        """
        check_is_fitted(self)
        bound, words, n = self._totals(X, sample_weight)
        ratio = self.total_samples / n if sub_sampling else 1.0
        return perplexity(bound * ratio + self.recall().bound, words * ratio)

    def held_out_perplexity(self, X: Any, sample_weight: Any = None) -> float:
        """exp(-bound / words) of documents given the topics: it does not depend on how many are scored.

        The bound of the documents alone, without the share of the topics that ``perplexity`` has: ten copies of a
        document have the perplexity of one. It is what to compare numbers of topics by, on documents that the fit
        has not seen.

        Parameters
        ----------
        X : {array-like, CSR matrix} of shape (n_samples, n_features)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
            nan where there are no words.
        """
        check_is_fitted(self)
        bound, words, _ = self._totals(X, sample_weight)
        return perplexity(bound, words)


def _count_words(X: Any, sample_weight: np.ndarray | None) -> float:
    sums = np.asarray(X.sum(axis=1, dtype=np.float64)).ravel()
    return float(sums.sum() if sample_weight is None else sums @ sample_weight)
