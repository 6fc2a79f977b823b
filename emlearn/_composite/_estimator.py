"""How estimators made of a latent structure and a distribution are fitted: data, starts, what a fit publishes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache, partial
from numbers import Integral
from typing import Any, ClassVar, Self

import joblib
import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions

from .._blocks import BlockReader
from .._data import check_data, check_frame, check_labels, check_weights, column_name
from ..base import EMMixin
from ..distributions import Distribution, Prior
from ..em.parts import divide_start
from ..em.reduce import take_rows
from ..em.seeded import pinned_start, seeded_start
from ..em.sources import Block, Source
from ..em.starts import METHODS, Start, draw_start, given_start
from ..em.statistics import Joint, Statistics
from ..em.units import Units
from ..exceptions import DegenerateComponentsWarning, warn_user
from ._constrained import ConstrainedMixin
from ._impute import ImputeMixin
from ._match import match_start
from ._model import CompositeModel, Fitted, Parameters
from ._short_runs import ShortRuns

__all__ = ["CompositeEstimator"]

# rows times runs up to which a start tries every alternative that its family knows
_SMALL = 100_000


class CompositeEstimator(ImputeMixin, ConstrainedMixin, EMMixin, BaseEstimator, ABC):
    """What depends neither on the latent structure nor on the family.

    A subclass names its family, whose hyper-parameters are among its own, and assembles the model.
    """

    _family: ClassVar[type[Distribution]]

    _parameter_constraints: dict = {
        **EMMixin._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions(set(METHODS)), "array-like", dict, callable],
        "prior": [StrOptions({"default"}), Prior, None],
    }

    # --------------------------------------------------- what a family says

    def _distribution(self) -> Distribution:
        """The family, with the estimator's hyper-parameters."""
        return self._family(
            **{name: getattr(self, name) for name in _parameter_names(self._family)}
        )

    def _full_distribution(self) -> Distribution:
        """The family, and what an estimator puts beside it."""
        return self._distribution()

    def _resolved(self) -> Distribution:
        """The same, with what was learned of the data."""
        return self._full_distribution().resolve(Fitted(self))

    # ---------------------------------------------------------------- model

    @abstractmethod
    def _assemble(
        self, distribution: Distribution, prior: Prior | None = None, latent_prior: Any = None
    ) -> CompositeModel:
        """The model of a latent structure and this distribution."""

    def _latent_prior(self) -> Any:
        """The prior of the latent structure, in its own terms; None without one."""
        return None

    def _fit_model(self, X: Any, sample_weight: np.ndarray | None, **fold: Any) -> CompositeModel:
        rows = _rows(X)
        distribution = self._resolved().bind(rows, sample_weight, **fold)
        prior = getattr(self, "prior", None)
        if isinstance(prior, str):  # "default"
            if distribution.default_prior is None:
                raise ValueError(
                    f"prior='default': {type(distribution).__name__} has no prior. Set prior=None."
                )
            prior = distribution.default_prior()
        if prior is not None:
            prior = distribution.bind_prior(prior, rows, sample_weight, self.n_components, **fold)
        model = self._assemble(distribution, prior, self._latent_prior())
        model.initial_parameters = partial(self._first_parameters, model)
        return self._constrain(model, rows.shape[1])

    def _fitted_model(self) -> CompositeModel:
        model = self._assemble(self._resolved())
        if self._is_constrained():
            model.read_constraints = partial(self._constraints, model.distribution)
        return model

    def _continued_model(self, source: Source) -> CompositeModel:
        prior = None
        if getattr(self, "prior", None) is not None:
            prior = vars(self).get("_bound_prior")
            if prior is None or self._bound_from != _mark(self.prior):
                return self._model_for(source)
        # nothing is bound to the new rows: they may say nothing of some column
        model = self._assemble(self._resolved(), prior, self._latent_prior())
        if not self._is_constrained():
            return model
        return self._constrain(model, model.distribution.shape(self.recall().components)[1])

    def _keep_bound(self, model: CompositeModel) -> None:
        # what was said relative to the data is so to the first rows, until another is said
        prior = getattr(model, "prior", None)
        if isinstance(prior, Prior):
            self._bound_prior, self._bound_from = prior, _mark(self.prior)
        else:
            for name in ("_bound_prior", "_bound_from"):
                vars(self).pop(name, None)

    def row_cost(self, n_features: float) -> float:
        return self._resolved().row_cost(self.n_components, n_features)

    # ---------------------------------------------------------------- start

    def initial_parameters(
        self, X: Any, sample_weight: np.ndarray | None, random_state: np.random.RandomState
    ) -> Parameters:
        return self._fit_model(X, sample_weight).initial_parameters(X, sample_weight, random_state)

    def _first_parameters(
        self,
        model: CompositeModel,
        X: Any,
        sample_weight: np.ndarray | None,
        random_state: np.random.RandomState,
        labels: np.ndarray | None = None,
    ) -> Parameters | list[Parameters]:
        if not self._needs_start():
            given = self._given_parameters()
            d = model.distribution.shape(given.components)[1]
            if d != X.shape[1]:
                raise ValueError(
                    f"The parameters to begin with are of {d} features, but X has {X.shape[1]}."
                )
            return given
        method = self._start_method()
        if isinstance(method, str) and method == "short-runs" and labels is None:
            return ShortRuns(self, model, Block(X, sample_weight), random_state).best()
        if labels is None:
            start = self._draw(X, sample_weight, random_state, model.distribution)
        else:
            start = self._draw_labelled(X, labels, sample_weight, random_state, model.distribution)
        if labels is None and self._matches(model):
            start = match_start(model, start, _rows(X), sample_weight, self._share_with_others)
        if model.distribution.start_parts > 1:
            start = self._divide(start, X, sample_weight, random_state, model.distribution)
        statistics = self._first_statistics(model, start, X, sample_weight)
        return self._start_parameters(model, start, statistics, X, sample_weight)

    def _first_statistics(
        self, model: CompositeModel, start: Start, X: Any, sample_weight: np.ndarray | None
    ) -> Joint:
        """Statistics of the rows under the shares that the start gives them."""
        data = _rows(X)
        soft = model.distribution.start_softness if isinstance(self._start_method(), str) else 0.0
        parts = model.distribution.start_parts
        latent = model.latent.first_statistics(X.ends if isinstance(X, Units) else None)
        components: Statistics | None = None
        some = False
        for rows, shares in start.shares(data):
            block = take_rows(data, rows) if isinstance(rows, slice) else data[rows]
            if soft:
                shares = (1.0 - soft) * shares + soft / shares.shape[1] * shares.sum(
                    axis=1, keepdims=True
                )
            tables = [shares]
            if parts > 1:  # the latent structure knows of none
                tables.insert(0, shares.reshape(len(shares), -1, parts).sum(axis=2))
            tables = [self._share_with_others(table) for table in tables]
            if sample_weight is not None and not start.one_row:
                tables = [table * sample_weight[rows, None] for table in tables]
            some = some or bool(tables[0][:, : self.n_components].any())
            latent.add(rows, tables[0])
            features = model.distribution.features(block)
            part = model.distribution.statistics(None, features, tables[-1])
            components = part if components is None else components + part
        assert components is not None
        if not some:
            raise ValueError(
                "init_params leaves out every row that has a weight; at least one must belong to a"
                " component."
            )
        return Joint({model.latent.name: latent.statistics, "components": components})

    def _share_with_others(self, shares: np.ndarray) -> np.ndarray:
        """Shares (n, K) with columns for what an estimator puts beside its components."""
        return shares

    def _start_parameters(
        self,
        model: CompositeModel,
        start: Start,
        statistics: Joint,
        X: Any,
        sample_weight: np.ndarray | None,
    ) -> Parameters | list[Parameters]:
        """What the first statistics become: their M-step, unless the user gave some of the parameters."""
        first = model.m_step(statistics, None)
        if model.constraints:  # the others do not know of them
            return first
        others = model.distribution.alternatives(
            statistics["components"], first.components, model.prior
        )
        if X.shape[0] * len(others) > _SMALL:
            return first
        return [first, *(Parameters(first.latent, other) for other in others)]

    @abstractmethod
    def _given_parameters(self) -> Parameters:
        """The parameters that the user gave, where these are all."""

    def _read_given_components(self, given: dict[str, Any], latent: tuple[str, ...]) -> Any:
        """The components' parameters of those that the user gave by name, checked; ``latent`` names the others."""
        distribution = self._resolved()
        components = distribution.recall(given)
        names = distribution.publish(components)
        unknown = set(given) - set(names)
        if unknown:
            raise ValueError(
                f"init_params: there is no parameter {sorted(unknown)} of {type(self).__name__}; its"
                f" parameters are {[*latent, *names]}."
            )
        distribution.check_parameters(components)
        return components

    def _needs_start(self) -> bool:
        """False where the user gave all parameters."""
        return not isinstance(self.init_params, Mapping)

    def _start_method(self) -> Any:
        """How a start is drawn, or what it is: ``init_params``."""
        return self.init_params

    def _partitions(self) -> bool:
        """Whether seeds stand for their nearest rows; scikit-learn's mixtures begin with the seeds alone."""
        return True

    def _draw(
        self,
        X: Any,
        sample_weight: np.ndarray | None,
        random_state: np.random.RandomState,
        distribution: Distribution,
    ) -> Start:
        X, method = _rows(X), self._start_method()
        if isinstance(method, str):
            return draw_start(
                method,
                X if method == "random" else distribution.embed(X),
                self.n_components,
                random_state,
                sample_weight,
                partition=self._partitions(),
            )
        return given_start(method, X, self.n_components, random_state)

    def _draw_labelled(
        self,
        X: Any,
        labels: np.ndarray,
        sample_weight: np.ndarray | None,
        random_state: np.random.RandomState,
        distribution: Distribution,
    ) -> Start:
        """A start where component k has the rows whose label is k."""
        rows, method, K = _rows(X), self._start_method(), self.n_components
        if isinstance(method, str):
            space = distribution.embed(rows)
            return seeded_start(space, labels, K, method, random_state, sample_weight)
        return pinned_start(given_start(method, rows, K, random_state), labels)

    def _arranged(self, start: Start, X: Any) -> Start:
        """A start that was drawn, its components in the order that the latent structure wants them in."""
        return start

    def _divide(
        self,
        start: Start,
        X: Any,
        sample_weight: np.ndarray | None,
        random_state: np.random.RandomState,
        distribution: Distribution,
    ) -> Start:
        """A start with the parts that the components are made of, by the method of the start."""
        X, method = _rows(X), self._start_method()
        method = method if isinstance(method, str) and method != "short-runs" else "kmeans"
        space = X if method == "random" else distribution.embed(X)
        return divide_start(
            start, distribution.start_parts, method, space, random_state, sample_weight
        )

    def _repeatable_start(self) -> bool:
        method = self._start_method()
        given = not isinstance(method, str) and not callable(method)
        if not self._needs_start():
            return True
        # the parts of a component are drawn, whatever its rows are
        return given and self._resolved().start_parts == 1

    # ----------------------------------------------------------------- data

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags = self._distribution().input_tags(tags.input_tags)
        return tags

    def _check_data(self, X: Any, *, reset: bool, finite: bool = True) -> Any:
        return self._encode_rows(self._read_rows(X, reset=reset, finite=finite), reset=reset)

    def _read_rows(self, X: Any, *, reset: bool, finite: bool = True) -> Any:
        """The rows as the user has them, checked."""
        distribution = self._full_distribution()
        if distribution.takes_frames:
            return check_frame(self, X, reset=reset)
        if sparse.issparse(X) and X.format == "csr" and not X.has_canonical_format:
            X = X.copy()  # validation sums duplicates in place
        finite = finite or not distribution.checks_finite
        return check_data(self, X, reset=reset, finite=finite, **distribution.check_arguments)

    def _encode_rows(self, X: Any, *, reset: bool) -> Any:
        """The same as numbers that the family computes with."""
        X, learned = self._full_distribution().encode(
            X, None if reset else Fitted(self), partial(column_name, self)
        )
        if reset:
            self._set_learned(learned)
        return X

    def _set_learned(self, learned: dict[str, Any]) -> None:
        self._learned_names = list(learned)
        for name, value in learned.items():
            setattr(self, f"{name}_", value)

    def _learn(self, reader: BlockReader) -> bool:
        distribution, merged = self._full_distribution(), {}
        if not distribution.learns:
            return False
        for number, _ in enumerate(reader(reset=True, each=True)):
            found = {name: getattr(self, f"{name}_") for name in self._learned_names}
            try:
                merged = distribution.merge_learned(merged, found) if number else found
            except ValueError as error:
                raise ValueError(f"Block {number}: {error}") from error
        self._set_learned(merged)
        return True

    def _check_parameters(self) -> None:
        self._distribution()._validate_params()

    def _changed(self) -> str | None:
        kind = getattr(self, "covariance_type", None)
        before = vars(self).get("_fitted_covariance_type", kind)
        if before != kind:
            return f"a fit with covariance_type={before!r}, which is now {kind!r}"
        return super()._changed()

    def _check_continues(self, how: str) -> None:
        super()._check_continues(how)
        self._check_known(how)

    def _read_block(
        self,
        X: Any,
        y: Any = None,
        *,
        reset: bool,
        sample_weight: Any = None,
        labels: Any = None,
    ) -> Block:
        X = self._check_data(X, reset=reset)
        return Block(
            X, check_weights(sample_weight, X), self._read_labels(labels, X.shape[0], reset)
        )

    def _read_labels(self, labels: Any, n: int, reset: bool) -> np.ndarray | None:
        codes, classes = check_labels(labels, n, self.n_components)
        if reset:
            vars(self).pop("classes_", None)
        if classes is None:
            return None
        before = vars(self).get("classes_")
        if before is not None and classes.dtype.kind in "US":
            if not set(classes.tolist()) <= set(before.tolist()):
                raise ValueError(
                    f"labels has the classes {classes.tolist()}, those before are {before.tolist()}. Give the numbers"
                    " of the components instead."
                )
            found = np.searchsorted(before, classes)
            return np.where(codes >= 0, found[codes], -1)
        self.classes_ = classes if before is None else np.union1d(before, classes)
        return codes

    def _set_classes(self, classes: np.ndarray) -> None:
        if len(classes) > self.n_components:
            raise ValueError(
                f"labels has {len(classes)} classes, more than n_components = {self.n_components}. Raise it."
            )
        self.classes_ = classes

    def _check_start(self, source: Source) -> None:
        n, method = source.sample.n_rows, self._start_method()
        given = not (method is None or isinstance(method, str | Mapping) or callable(method))
        if given and n < source.shape[0] and self._needs_start() and not self._continues():
            raise ValueError(
                f"init_params has a value for each row, but a start is drawn from a sample of {n} of the"
                f" {source.shape[0]} rows, as they are not all in memory. Name a method such as 'kmeans', or give a"
                " function of the rows of the sample, or the labels that are known: labels=..."
            )

    def _check_enough_rows(self, source: Source, least: int) -> None:
        """ValueError where there are fewer rows than ``least``, or than components."""
        if source.goes_on and not self._needs_start():
            return
        n = self._check_least_rows(source, least)
        if n < self.n_components:
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, n_samples = {n}."
                " Lower n_components, or give more rows."
            )

    # -------------------------------------------------------------- fitted

    @classmethod
    def _from_given(
        cls, n_components: int, given: dict[str, Any], settings: dict[str, Any]
    ) -> Self:
        """An estimator with these parameters, by name, which are also where a fit begins."""
        if settings.pop("n_components", n_components) != n_components:
            raise ValueError(
                f"n_components: the parameters given are of {n_components} components."
            )
        made = cls(n_components, **{"init_params": given, **settings})
        learned = made._full_distribution().assume(given)
        for name, value in learned.items():
            setattr(made, f"{name}_", value)
        fitted = made._given_parameters()
        for name, value in made.publish(fitted).items():
            setattr(made, name, value)
        columns = [j for *_, block in learned.get("blocks", ()) for j in block]
        d = made._resolved().shape(fitted.components)[1]
        made.n_features_in_ = 1 + max(columns) if columns else d
        made.n_parameters_ = made._n_parameters()
        return made

    @classmethod
    def _split(cls, parameters: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Parameters of the components, and those of the constructor."""
        own = set(cls._get_param_names())
        if hasattr(cls, "_family"):
            own -= cls._family.also_parameters
        given = {name: value for name, value in parameters.items() if name not in own}
        return given, {name: value for name, value in parameters.items() if name in own}

    def _n_parameters(self) -> int:
        """Number of free parameters."""
        return self._fitted_model().n_free(self.recall())

    def _set_fitted(self, result: Any, dtype: Any) -> None:
        super()._set_fitted(result, dtype)
        found = self._degeneracies(result.parameters)
        if found:
            warn_user(" ".join(found), DegenerateComponentsWarning)

    def _fitted_attributes(self, result: Any, dtype: Any) -> dict[str, Any]:
        model = self._fitted_model()
        attributes = super()._fitted_attributes(result, dtype)
        if self._is_constrained():
            n_features = model.distribution.shape(result.parameters.components)[1]
            self._publish_fixed(attributes, model.distribution, n_features)
        if hasattr(self, "covariance_type"):
            attributes["_fitted_covariance_type"] = self.covariance_type
        return {**attributes, "n_parameters_": model.n_free(result.parameters)}

    @abstractmethod
    def _degeneracies(self, parameters: Parameters) -> list[str]:
        """What is wrong with which components, in sentences."""

    def _recall_for(self, X: Any) -> Parameters:
        """Parameters from the fitted attributes, for rows of as many features."""
        parameters = self.recall()
        n_features = self._fitted_model().distribution.shape(parameters.components)[1]
        if X.shape[1] != n_features:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting {n_features} features as input."
            )
        return parameters


@cache
def _parameter_names(family: type[Distribution]) -> list[str]:
    """Names of the hyper-parameters: reading a signature takes longer than a step of a small model."""
    return family._get_param_names()


def _mark(prior: Any) -> str | None:
    """By what a prior that was said is known again."""
    return prior if prior is None or isinstance(prior, str) else joblib.hash(prior)


def _rows(X: Any) -> Any:
    """The rows, where they come in units."""
    return X.rows if isinstance(X, Units) else X
