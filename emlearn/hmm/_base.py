"""How hidden Markov models are fitted: sequences, topology, and what a fit publishes."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import DensityMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions

from .._composite import CompositeEstimator, Fitted, Parameters
from .._data import check_length, check_probabilities, check_shape, check_weights, read_array
from .._parameters import set_engine_parameters
from ..distributions import Distribution, Prior
from ..em.fixed import Constraints
from ..em.held import Space
from ..em.reduce import unit_blocks
from ..em.sources import Block, Source
from ..em.starts import LabelStart, Start
from ..em.units import Units
from ..latent import Chain, ChainParameters, ChainPrior
from ._inference import InferenceMixin
from ._model import HMMModel, chain_cost
from ._sequences import check_even, check_y, read_ends, read_list, spread_weights

__all__ = ["BaseHMM"]

_TOPOLOGIES = ("ergodic", "left-right", "linear")
_CONCENTRATION = [Interval(Real, 1.0, None, closed="left"), "array-like", None]


class BaseHMM(InferenceMixin, DensityMixin, CompositeEstimator, ABC):
    """A hidden Markov model: what does not depend on the family.

    A subclass names its family, whose hyper-parameters are among its own.
    """

    _family: ClassVar[type[Distribution]]

    # the sequences of rows are metadata that every method wants: no set_*_request is needed
    __metadata_request__fit = {"groups": True}
    __metadata_request__partial_fit = {"groups": True}
    __metadata_request__score = {"groups": True}
    __metadata_request__predict = {"groups": True, "method": True}
    __metadata_request__predict_proba = {"groups": True}

    _parameter_constraints: dict = {
        **CompositeEstimator._parameter_constraints,
        "topology": [StrOptions(set(_TOPOLOGIES)), "array-like"],
        "startprob_prior": _CONCENTRATION,
        "transmat_prior": _CONCENTRATION,
    }

    def __init__(
        self,
        n_components: int,
        *,
        topology: Any,
        prior: Any,
        startprob_prior: Any,
        transmat_prior: Any,
        tol: float,
        max_iter: int,
        n_init: int,
        init_params: Any,
        random_state: Any,
        warm_start: bool,
        verbose: int,
        verbose_interval: int,
        n_jobs: int | None,
        accelerate: str | None,
        **engine: Any,
    ) -> None:
        self.n_components = n_components
        self.topology = topology
        self.prior = prior
        self.startprob_prior = startprob_prior
        self.transmat_prior = transmat_prior
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_jobs = n_jobs
        self.accelerate = accelerate
        set_engine_parameters(self, engine)

    # ----------------------------------------------------------------- fit

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        lengths: Any = None,
        labels: Any = None,
    ) -> Self:
        """Fit the model by EM (Baum and Welch).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of such
            One row for each step in time; a list has a sequence in each element.
        y : Ignored
            Present by scikit-learn's convention.
        sample_weight : array-like of shape (n_samples,) or (n_sequences,), default=None
            A sequence of weight 2 counts twice, one of weight 0 is left out; all rows of a sequence
            have the same weight.
        groups : array-like of shape (n_samples,), default=None
            The sequence that each row belongs to, by any name; the rows of one are together.
        lengths : array-like of shape (n_sequences,), default=None
            The same as numbers of rows. Without groups and lengths X is one sequence.
        labels : array-like of shape (n_samples,), default=None
            Known states: their numbers, -1 where a row's is unknown; or texts, the classes in their order.
            ``classes_`` keeps the labels that occur; texts in order are the classes of states 0, 1, ..., whose
            numbers ``predict`` returns.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the data cannot be used, groups or lengths do not fit them, or every start is singular.
        """
        metadata = {"sample_weight": sample_weight, "groups": groups, "lengths": lengths}
        return self._fit_data(X, y, labels=labels, **metadata)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        lengths: Any = None,
        labels: Any = None,
    ) -> Self:
        """Take in some sequences, which are whole: one step of online EM.

        The first call draws a start from its rows. After a fit it goes on from that. ``lower_bound_`` is the objective
        of the batch under the parameters before it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of such
        y : Ignored
        sample_weight : array-like of shape (n_samples,) or (n_sequences,), default=None
        groups : array-like of shape (n_samples,), default=None
        lengths : array-like of shape (n_sequences,), default=None
        labels : array-like of shape (n_samples,), default=None
            All as in :meth:`fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the rows cannot be used, or parameters of the constructor contradict what is known.
        """
        metadata = {"sample_weight": sample_weight, "groups": groups, "lengths": lengths}
        return self._partial_fit_data(X, y, labels=labels, **metadata)

    def _read_block(
        self,
        X: Any,
        y: Any = None,
        *,
        reset: bool,
        sample_weight: Any = None,
        labels: Any = None,
        groups: Any = None,
        lengths: Any = None,
    ) -> Block:
        X, lengths = read_list(X, groups, lengths)
        X = self._check_data(X, reset=reset)
        check_y(y, X.shape[0])
        ends = read_ends(X.shape[0], groups, lengths)
        sample_weight = check_weights(spread_weights(sample_weight, ends), X)
        check_even(sample_weight, ends)
        labels = self._read_labels(labels, X.shape[0], reset)
        return Block(Units(X, ends), sample_weight, labels)

    def _pieces(self, X: Any, metadata: dict[str, Any]) -> list[tuple[slice, dict[str, Any]]]:
        given = dict(metadata)
        n, d = X.shape
        ends = read_ends(n, given.pop("groups", None), given.pop("lengths", None))
        weights = given.get("sample_weight")
        weights = np.full(n, weights) if weights is not None and np.ndim(weights) == 0 else weights
        given["sample_weight"] = spread_weights(weights, ends)
        given = {name: check_length(value, n, name) for name, value in given.items()}
        begins = np.r_[0, ends[:-1]]
        pieces = []
        for rows in unit_blocks(ends, d, self.row_cost(d)):
            inside = (begins >= rows.start) & (begins < rows.stop)
            own = {name: value[rows] for name, value in given.items() if value is not None}
            pieces.append((rows, {**own, "lengths": (ends - begins)[inside]}))
        return pieces

    def _check_partitions(self, n: int, metadata: dict[str, Any]) -> None:
        if metadata.get("lengths") is not None:
            raise ValueError(
                "lengths do not say what is in a partition of Dask. Give groups: an array or a series with the sequence"
                " of each row."
            )
        if n > 1 and metadata.get("groups") is None:
            raise ValueError(
                f"X has {n} partitions, and a sequence may not be in two. Give groups, the sequence of each row, as an"
                " array or a series with the same partitions; if X is one sequence, make one partition of it:"
                " X.rechunk(-1), or repartition(1) of a data frame."
            )

    def _check_parameters(self) -> None:
        super()._check_parameters()
        self._allowed()

    def _check_against(self, source: Source) -> None:
        self._check_enough_rows(source, 2)

    def _note_rows(self, source: Source) -> None:
        before = vars(self).get("n_sequences_", 0) if source.goes_on else 0
        self.n_sequences_ = before + source.n_units

    def _changed(self) -> str | None:
        if len(self.startprob_) != self.n_components:
            return f"a fit of {len(self.startprob_)} states, but n_components = {self.n_components}"
        start, square = self._allowed() or (True, True)
        if np.any((self.startprob_ > 0) > start) or np.any((self.transmat_ > 0) > square):
            return (
                "a fit that has transitions, or first states, which topology or init_params exclude"
                " now"
            )
        return super()._changed()

    # ---------------------------------------------------------- parameters

    def publish(self, parameters: Parameters) -> dict[str, Any]:
        """The fitted attributes, by name."""
        components = self._resolved().publish(parameters.components)
        return {
            "startprob_": parameters.latent.startprob,
            "transmat_": parameters.latent.transmat,
            **{f"{name}_": value for name, value in components.items()},
        }

    def recall(self) -> Parameters:
        """Parameters from the public fitted attributes, whoever set them."""
        distribution = self._resolved()
        components = distribution.recall(Fitted(self))
        K = distribution.shape(components)[0]
        startprob, transmat = (
            np.ascontiguousarray(value, dtype=np.float64)
            for value in (self.startprob_, self.transmat_)
        )
        # whoever set them by hand
        check_probabilities(startprob, (K,), "startprob_")
        check_probabilities(transmat, (K, K), "transmat_")
        return Parameters(ChainParameters(startprob, transmat), components)

    @classmethod
    def from_parameters(cls, startprob: Any, transmat: Any, **parameters: Any) -> Self:
        """A model with given parameters, ready for use without a fit.

        A later ``fit`` starts from them. Transitions of probability 0 stay impossible.

        Parameters
        ----------
        startprob : array-like of shape (n_components,)
        transmat : array-like of shape (n_components, n_components)
            Row i holds the probabilities of the state after state i.
        **parameters : dict
            The parameters of the states, by the names of the fitted attributes without their
            underscore; and parameters of the constructor.

        Returns
        -------
        estimator

        Raises
        ------
        ValueError
            If a parameter is missing or out of its domain, or probabilities do not sum to 1.
        """
        given, settings = cls._split(parameters)
        given = {"startprob": startprob, "transmat": transmat, **given}
        made = cls._from_given(np.size(startprob), given, settings)
        made.n_sequences_ = 1
        return made

    # ---------------------------------------------------------------- model

    def _assemble(
        self, distribution: Distribution, prior: Prior | None = None, latent_prior: Any = None
    ) -> HMMModel:
        model = HMMModel(Chain(self._allowed), distribution, prior, latent_prior)
        model.cost = partial(chain_cost, distribution, self.n_components)
        return model

    def _latent_spaces(self) -> dict[str, Space]:
        K = self.n_components
        return {
            "startprob": Space((K,), 0.0, 1.0, sizes=(K,)),
            "transmat": Space((K, K), 0.0, 1.0, sizes=(K,)),
        }

    def _settle_latent(self, constraints: Constraints) -> Constraints:
        """What is not allowed is fixed to 0."""
        allowed, held = self._allowed() or (True, True), {}
        for (name, space), mask in zip(self._latent_spaces().items(), allowed, strict=True):
            part, may = constraints.get(name), np.broadcast_to(mask, space.shape)
            if part is None:
                continue
            if np.any((part.values > 0) & ~may):
                raise ValueError(
                    f"fixed: {name!r} has a probability above 0 where topology or init_params have none. Change"
                    " one of them."
                )
            if np.any(may != may.min(axis=0), where=part.shared):
                raise ValueError(
                    f"equal: states cannot share {name!r} where topology or init_params leave it to some only."
                )
            held[name] = replace(part, values=np.where(may, part.values, 0.0))
        return Constraints(held).settled()

    def _allowed(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Which first states and transitions there are, by the topology and by zeros that were given."""
        K, start = self.n_components, np.ones(self.n_components, dtype=bool)
        if isinstance(self.topology, str):
            square = np.ones((K, K), dtype=bool)
            if self.topology != "ergodic":
                start = np.arange(K) == 0
                square = np.triu(square)
            if self.topology == "linear":
                square = np.tril(square, 1)
        else:
            mask = read_array(self.topology, "topology")
            check_shape(mask, (K, K), "topology")
            square = mask != 0
            if not square.any(axis=1).all():
                state = int(np.flatnonzero(~square.any(axis=1))[0])
                raise ValueError(
                    f"topology: state {state} has no transition; each state needs one."
                )
        chain = self._given_chain()
        for name, may in (("startprob", start), ("transmat", square)):
            given = chain.get(name)
            if given is not None:
                if given[~may].any():
                    raise ValueError(
                        f"init_params: {name} has a probability above 0 where the topology has none. Change one of"
                        " them."
                    )
                may &= given > 0
        return None if start.all() and square.all() else (start, square)

    def _given_chain(self) -> dict[str, np.ndarray]:
        """``startprob`` and ``transmat`` of ``init_params``, where it has them."""
        if not isinstance(self.init_params, Mapping):
            return {}
        K = self.n_components
        shapes = {"startprob": (K,), "transmat": (K, K)}
        return {
            name: check_probabilities(self.init_params[name], shape, name)
            for name, shape in shapes.items()
            if name in self.init_params
        }

    def _latent_prior(self) -> ChainPrior | None:
        if self.startprob_prior is None and self.transmat_prior is None:
            return None
        K = self.n_components
        arrays = []
        for name, shape in (("startprob_prior", (K,)), ("transmat_prior", (K, K))):
            value = getattr(self, name)
            array = read_array(1.0 if value is None else value, name)
            if np.any(array < 1):
                raise ValueError(
                    f"{name} must be at least 1, so that there is a posterior mode, got {array.min():g}."
                )
            if array.ndim and array.shape != shape:
                raise ValueError(
                    f"{name} must be a number or have the shape {shape}, got {array.shape}."
                )
            arrays.append(np.broadcast_to(array, shape))
        return ChainPrior(*arrays)

    def row_cost(self, n_features: float) -> float:
        return chain_cost(self._resolved(), self.n_components, n_features)

    # ---------------------------------------------------------------- start

    def _matches(self, model: HMMModel) -> bool:
        # a topology has put the states in order already; transitions say nothing of rows
        return bool(model.constraints) and self._allowed() is None and super()._matches(model)

    def _needs_start(self) -> bool:
        return not (isinstance(self.init_params, Mapping) and self._gives_components())

    def _gives_components(self) -> bool:
        return bool(set(self.init_params) - {"startprob", "transmat"})

    def _start_method(self) -> Any:
        return "kmeans" if isinstance(self.init_params, Mapping) else self.init_params

    def _given_parameters(self) -> Parameters:
        given, K = dict(self.init_params), self.n_components
        chain = self._given_chain()
        allowed = self._allowed()
        start, square = allowed or (np.ones(K, dtype=bool), np.ones((K, K), dtype=bool))
        for name in ("startprob", "transmat"):
            given.pop(name, None)
        try:
            components = self._read_given_components(given, ("startprob", "transmat"))
        except KeyError as error:
            raise ValueError(
                f"init_params: the parameter {error} is missing among {list(given)}; give all those of the states,"
                " or none."
            ) from error
        found = self._resolved().shape(components)[0]
        if found != K:
            raise ValueError(f"init_params: {K} states, but parameters of {found} components.")
        startprob = chain.get("startprob", start / start.sum())
        transmat = chain.get("transmat", square / square.sum(axis=1, keepdims=True))
        return Parameters(ChainParameters(startprob, transmat), components)

    def _draw(
        self,
        X: Any,
        sample_weight: np.ndarray | None,
        random_state: np.random.RandomState,
        distribution: Distribution,
    ) -> Start:
        start = super()._draw(X, sample_weight, random_state, distribution)
        return self._arranged(start, X) if isinstance(self._start_method(), str) else start

    def _arranged(self, start: Start, X: Any) -> Start:
        ordered = isinstance(self.topology, str) and self.topology != "ergodic"
        if not (ordered and isinstance(start, LabelStart)):
            return start
        # states that follow each other: clusters by the time at which they occur
        lengths = np.diff(X.ends, prepend=0)
        time = (np.arange(X.shape[0]) - np.repeat(X.begins, lengths)) / np.repeat(lengths, lengths)
        labels, K = start.labels, self.n_components
        time, labels = time[: len(labels)][labels >= 0], labels[labels >= 0]
        counts = np.bincount(labels, minlength=K)
        means = np.bincount(labels, time, minlength=K) / np.maximum(counts, 1)
        rank = np.empty(K + 1, dtype=start.labels.dtype)
        rank[np.argsort(np.where(counts > 0, means, np.inf), kind="stable")] = np.arange(K)
        rank[K] = -1  # rows that were left out
        return LabelStart(rank[start.labels], K)

    def _start_parameters(self, model: HMMModel, start: Start, statistics: Any, *data: Any) -> Any:
        firsts = super()._start_parameters(model, start, statistics, *data)
        chain = self._given_chain()
        if not chain:
            return firsts
        several = isinstance(firsts, list)
        found = [
            Parameters(
                ChainParameters(
                    chain.get("startprob", first.latent.startprob),
                    chain.get("transmat", first.latent.transmat),
                ),
                first.components,
            )
            for first in (firsts if several else [firsts])
        ]
        return found if several else found[0]

    # ----------------------------------------------------------------- data

    def _degeneracies(self, parameters: Parameters) -> list[str]:
        startprob, transmat = parameters.latent.startprob, parameters.latent.transmat
        reached = startprob > 0
        for _ in range(len(startprob)):
            reached = reached | (transmat[reached] > 0).any(axis=0)
        found = self._resolved().degeneracies(parameters.components, reached.astype(np.float64))
        lost = np.flatnonzero(~reached)
        if not len(lost):
            return found
        return [
            f"States {lost.tolist()} are never visited: no transition that has a probability leads there."
            " There may be fewer distinct rows than states; try fewer states.",
            *found,
        ]
