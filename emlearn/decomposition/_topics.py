"""Latent Dirichlet allocation as a model of the engine: parameters, E-step, M-step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from .._kernels import lda as kernel
from ..em.sources import Block, Source
from ..em.statistics import Statistics, Sums
from ..exceptions import SingularError
from ._dirichlet import fit_asymmetric, fit_symmetric

__all__ = ["Rows", "TopicModel", "Topics", "block_totals", "perplexity", "read_rows", "totals"]

# iterations of a document in a pass of a fit: topics that are still vague should not bind it
_MOST = 30

# passes in which documents begin anew, before they go on from where the last pass left them
_ANEW = 10

#: CSR rows as the kernel takes them: where each ends, words, counts
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Topics:
    """A posterior of topics, and the priors.

    Attributes
    ----------
    components : ndarray of shape (V, K)
        Dirichlet parameters of the words of each topic, the topics of a word side by side.
    alpha : ndarray of shape (K,)
        Of the prior of the topics of a document.
    eta : float
        Of the prior of the words of a topic.
    table, shift : ndarray
        exp E[log beta], each row divided by its largest entry, and the logarithm of that.
    bound : float
        E[log p(beta)] - E[log q(beta)]: the part of the topics in the objective.
    """

    components: np.ndarray
    alpha: np.ndarray
    eta: float
    table: np.ndarray
    shift: np.ndarray
    bound: float

    @classmethod
    def of(cls, components: np.ndarray, alpha: np.ndarray, eta: float) -> Topics:
        """The same from what it depends on."""
        components = np.ascontiguousarray(components)
        return cls(components, alpha, eta, *kernel.topics(components, eta))


@dataclass
class Posteriors:
    """What a run keeps of the documents of a block.

    Attributes
    ----------
    gamma : ndarray of shape (n, K)
        Dirichlet parameters of the topics of each document; zeros where it has none yet.
    n_passes : int
        E-steps that were made with these.
    """

    gamma: np.ndarray
    n_passes: int = 0


def read_rows(X: Any) -> Rows:
    """Rows (n, V), dense or CSR, for the kernel."""
    rows = X if sparse.issparse(X) else sparse.csr_array(X)
    if rows.nnz and not 0 <= rows.indices.min() <= rows.indices.max() < rows.shape[1]:
        raise ValueError("X is no sound CSR matrix: some of its indices are not those of columns.")
    return (
        np.ascontiguousarray(rows.indptr, dtype=np.int64),
        np.ascontiguousarray(rows.indices, dtype=np.int32),
        np.ascontiguousarray(rows.data, dtype=np.float64),
    )


class TopicModel:
    """Variational EM: documents' posteriors in the E-step, those of the topics in the M-step.

    Parameters
    ----------
    n_components : int
    alpha : ndarray of shape (K,)
        Prior, or where its estimate begins.
    eta : float
    auto_alpha, auto_eta : bool
        Estimate them.
    tol : float
        A document rests where its topics change by less.
    max_iter : int
        Iterations of a document.
    """

    total_scale = True
    #: beside a prior, the unit of the weights counts
    unit_free = False
    #: a fit takes as many iterations as the user says
    waits_for_rest = False
    #: how many documents there will be, in online EM of unknown length
    total_rows: float | None = None

    def __init__(
        self,
        n_components: int,
        alpha: np.ndarray,
        eta: float,
        *,
        auto_alpha: bool,
        auto_eta: bool,
        tol: float,
        max_iter: int,
    ) -> None:
        self.n_components, self.alpha, self.eta = n_components, alpha, eta
        self.auto_alpha, self.auto_eta = auto_alpha, auto_eta
        self.tol, self.max_iter = tol, max_iter
        self.evaluate_every, self.perp_tol, self.verbose, self.n_iter = -1, 0.0, 0, 0
        self.n_words, self.remembers = math.nan, True

    def watch(self, evaluate_every: int, perp_tol: float, verbose: int, n_iter: int) -> None:
        """Say how a run is told to stop, and what is printed meanwhile."""
        self.evaluate_every, self.perp_tol = evaluate_every, perp_tol
        self.verbose, self.n_iter = verbose, n_iter

    # ------------------------------------------------------------- EM

    def initial_parameters(
        self, X: Any, sample_weight: np.ndarray | None, random_state: np.random.RandomState
    ) -> Topics:
        """Topics near the uniform one, drawn as scikit-learn draws them."""
        drawn = random_state.gamma(100.0, 0.01, (self.n_components, X.shape[1]))
        return Topics.of(drawn.T, self.alpha, self.eta)

    def prepare(self, X: Any) -> Rows:
        """The rows of a block, for the kernel."""
        return read_rows(X)

    def new_memory(self, rows: Rows) -> Posteriors:
        """The documents' posteriors."""
        return Posteriors(np.zeros((len(rows[0]) - 1, self.n_components)))

    def settled(self, memory: Posteriors) -> bool:
        """Whether documents go on from what is kept of them."""
        return memory.n_passes >= _ANEW

    def settle(self, memory: Posteriors) -> None:
        """Let documents go on from what is kept of them."""
        memory.n_passes = _ANEW

    def e_step(
        self,
        parameters: Topics,
        rows: Rows,
        sample_weight: np.ndarray | None,
        *,
        memory: Posteriors | None = None,
    ) -> tuple[Statistics, float]:
        """Expected counts of words, and the bound of the log-likelihood of the documents.

        In the first passes documents begin anew: those that went on would stay where topics that are hardly there
        yet have put them, and the fit in a worse optimum.
        """
        memory = self.new_memory(rows) if memory is None else memory
        gamma = memory.gamma
        if memory.n_passes < _ANEW:
            gamma[:] = 0.0
        memory.n_passes += 1
        bounds, words, log_theta = kernel.documents(
            rows,
            parameters.table,
            parameters.shift,
            parameters.alpha,
            gamma,
            sample_weight,
            self.tol,
            min(self.max_iter, _MOST),
            with_log_theta=self.auto_alpha,
        )
        n = float(len(bounds) if sample_weight is None else sample_weight.sum())
        value = float(bounds.sum() if sample_weight is None else bounds @ sample_weight)
        return self._statistics(words, log_theta, n), value

    def _statistics(self, words: np.ndarray, log_theta: np.ndarray | None, n: float) -> Sums:
        # an extrapolated count below 0 is one of 0 to the M-step: most counts are about 0
        arrays = {"words": words}
        if self.auto_alpha:
            arrays |= {"log_theta": log_theta, "documents": np.array(n)}
        return Sums(arrays, signed=("words", "log_theta"))

    def m_step(self, statistics: Statistics, parameters: Topics) -> Topics:
        """Posterior of the topics, and the priors that are estimated."""
        words = np.maximum(statistics["words"], 0.0)
        if not np.isfinite(words.sum()):
            raise SingularError("the expected counts of words are not finite")
        alpha, eta = parameters.alpha, parameters.eta
        if self.auto_alpha:
            alpha = fit_asymmetric(statistics["log_theta"], float(statistics["documents"]), alpha)
        if self.auto_eta:
            eta = fit_symmetric(words, eta)
        words += eta
        return Topics.of(words, alpha, eta)

    def log_prior(self, parameters: Topics) -> float:
        """The part of the topics in the bound."""
        return parameters.bound

    def ascent(self, old: Topics, new: Topics, statistics: Statistics) -> float:
        """Documents that begin anew in each pass may end in another optimum."""
        return 0.0 if self.remembers else -math.inf

    def expected_statistics(self, parameters: Topics, source: Source) -> Statistics:
        """What stands for the topics that online EM begins with."""
        n = source.weight if self.total_rows is None else self.total_rows
        alpha = parameters.alpha
        digammas = kernel.special(np.append(alpha, alpha.sum()))[1]
        return self._statistics(
            parameters.components - parameters.eta, n * (digammas[:-1] - digammas[-1]), n
        )

    def at_rest(self, old: Topics, new: Topics, objectives: list[float]) -> str | None:
        """scikit-learn's rule: perplexities ``evaluate_every`` iterations apart differ by less than ``perp_tol``."""
        n, every = len(objectives), self.evaluate_every
        seen = every > 0 and n > 0 and n % every == 0
        if self.verbose and n:
            line = f"iteration: {n} of max_iter: {self.n_iter}"
            print(f"{line}, perplexity: {self._perplexity(objectives[-1]):.4f}" if seen else line)
        if not seen or n < 2 * every:
            return None
        change = self._perplexity(objectives[-1]) - self._perplexity(objectives[-1 - every])
        if abs(change) >= self.perp_tol:
            return None
        return f"the perplexity changed by less than perp_tol={self.perp_tol:g}"

    def _perplexity(self, objective: float) -> float:
        return perplexity(objective, self.n_words)

    # ------------------------------------------------------ fitted models

    def posterior(self, parameters: Topics, rows: Rows, gamma: np.ndarray) -> np.ndarray:
        """Bounds (n,) of the log-likelihood of documents, whose posteriors are written to ``gamma``."""
        return kernel.documents(
            rows,
            parameters.table,
            parameters.shift,
            parameters.alpha,
            gamma,
            None,
            self.tol,
            self.max_iter,
            counted=False,
        )[0]


def perplexity(bound: float, n_words: float) -> float:
    """exp(-bound / words); nan where there are no words."""
    if not n_words > 0:
        return math.nan
    with np.errstate(over="ignore"):
        return float(np.exp(-bound / n_words))


def block_totals(model: TopicModel, parameters: Topics, block: Block) -> np.ndarray:
    """Bound, number of words and number of documents of a block, from posteriors that are begun anew."""
    rows, weight = block.prepared(model), block.sample_weight
    bounds = model.posterior(parameters, rows, model.new_memory(rows).gamma)
    return np.array(totals(bounds, rows, weight))


def totals(
    bounds: np.ndarray, rows: Rows, sample_weight: np.ndarray | None
) -> tuple[float, float, float]:
    """Bound, words and documents, weighed."""
    if sample_weight is None:
        return float(bounds.sum()), float(rows[2].sum()), float(len(bounds))
    words = rows[2] @ np.repeat(sample_weight, np.diff(rows[0]))
    return float(bounds @ sample_weight), float(words), float(sample_weight.sum())
