"""How mixture estimators are fitted: data, starts, and what a fit publishes."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions

from .._data import (
    check_data,
    check_frame,
    check_mixing_weights,
    check_shape,
    column_name,
    read_array,
)
from ..base import EMMixin
from ..distributions import Distribution, Prior, WithNoise
from ..em.reduce import take_rows
from ..em.starts import METHODS, Start, draw_start, given_start
from ..em.statistics import Joint, Statistics, Sums
from ..exceptions import DegenerateComponentsWarning, warn_user
from ..latent import Labels
from ._model import Fitted, MixtureModel, MixtureParameters
from ._scores import ScoresMixin

__all__ = ["NOISE", "NOISE_NAMES", "BaseMixture"]

#: the parameters of a noise component, beside those of the family
NOISE_NAMES = ("noise_weight", "noise_origin", "noise_edges")

#: what ``noise`` may be, in the mixtures of continuous families
NOISE = ["boolean", Interval(Real, 0.0, None, closed="neither")]

# rows times runs up to which a start tries every alternative that its family knows
_SMALL = 100_000

# share of the rows that a noise component begins with where the start says nothing of it
_NOISE_SHARE = 0.05


class BaseMixture(ScoresMixin, EMMixin, DensityMixin, BaseEstimator, ABC):
    """A finite mixture: what does not depend on the family.

    A subclass names its family, whose hyper-parameters are among its own.
    """

    _family: ClassVar[type[Distribution]]
    #: a parameter of the mixtures of continuous families; the others have no noise component
    noise: bool | float = False

    _parameter_constraints: dict = {
        **EMMixin._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions(set(METHODS)), "array-like", dict, callable],
        "prior": [StrOptions({"default"}), Prior, None],
        "weight_concentration_prior": [Interval(Real, 1.0, None, closed="left"), None],
    }

    def __init__(
        self,
        n_components: int,
        *,
        prior: Any,
        weight_concentration_prior: float | None,
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
    ) -> None:
        self.n_components = n_components
        self.prior = prior
        self.weight_concentration_prior = weight_concentration_prior
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

    # --------------------------------------------------- what a family says

    def _distribution(self) -> Distribution:
        """The family, with the estimator's hyper-parameters."""
        return self._family(
            **{name: getattr(self, name) for name in self._family._get_param_names()}
        )

    def _with_noise(self) -> Distribution:
        """The family, and the noise component where there is one."""
        noise = self.noise
        if isinstance(noise, np.bool_):  # a grid of arrays has these, and they are no volume
            noise = bool(noise)
        return WithNoise(self._distribution(), noise) if noise else self._distribution()

    def _resolved(self) -> Distribution:
        """The same, with what was learned of the data."""
        return self._with_noise().resolve(Fitted(self))

    def publish(self, parameters: MixtureParameters) -> dict[str, Any]:
        """The fitted attributes, by name."""
        weights, noise = parameters.weights, {}
        if self.noise:
            weights, noise = weights[:-1], {"noise_weight_": float(weights[-1])}
        components = self._resolved().publish(parameters.components)
        return {
            "weights_": weights,
            **noise,
            **{f"{name}_": value for name, value in components.items()},
        }

    def recall(self) -> MixtureParameters:
        """Parameters from the public fitted attributes, whoever set them."""
        weights = np.ascontiguousarray(self.weights_, dtype=np.float64)
        if self.noise:
            weights = np.append(weights, self.noise_weight_)
        distribution = self._resolved()
        components = distribution.recall(Fitted(self))
        K = distribution.shape(components)[0]
        if weights.shape != (K,):
            raise ValueError(
                f"The parameter 'weights_' should have the shape of {(K,)}, but got {weights.shape}"
            )
        return MixtureParameters(weights, components)

    @classmethod
    def from_parameters(cls, weights: Any, **parameters: Any) -> Self:
        """A mixture with given parameters, ready for use without a fit.

        A later ``fit`` starts from them.

        Parameters
        ----------
        weights : array-like of shape (n_components,)
        **parameters : dict
            The parameters of the components, by the names of the fitted attributes without their
            underscore; and parameters of the constructor. With a noise component ``noise_weight``,
            ``noise_origin`` and ``noise_edges`` are among them, and all weights sum to 1.

        Returns
        -------
        estimator

        Raises
        ------
        ValueError
            If a parameter is missing or out of its domain, or the weights do not sum to 1.
        """
        own = set(cls._get_param_names())
        given = {name: value for name, value in parameters.items() if name not in own}
        settings = {name: value for name, value in parameters.items() if name in own}
        return cls._from_given(weights, given, settings)

    @classmethod
    def _from_given(cls, weights: Any, given: dict[str, Any], settings: dict[str, Any]) -> Self:
        given = {"weights": weights, **given}
        mixture = cls(np.size(weights), **{"init_params": given, **settings})
        learned = mixture._with_noise().assume(given)
        for name, value in learned.items():
            setattr(mixture, f"{name}_", value)
        fitted = mixture._given_parameters()
        for name, value in mixture.publish(fitted).items():
            setattr(mixture, name, value)
        columns = [j for *_, block in learned.get("blocks", ()) for j in block]
        d = mixture._resolved().shape(fitted.components)[1]
        mixture.n_features_in_ = 1 + max(columns) if columns else d
        mixture.n_parameters_ = mixture._n_parameters()
        return mixture

    # ---------------------------------------------------------------- model

    def _fit_model(self, X: Any, sample_weight: np.ndarray | None) -> MixtureModel:
        distribution = self._resolved()
        if self.noise and not distribution.continuous:
            raise ValueError(
                "noise needs a family with a density per unit of volume, such as Gaussian, StudentT or Gamma;"
                f" {type(self._distribution()).__name__} is none. Set noise=False."
            )
        distribution = distribution.bind(X, sample_weight)
        prior = getattr(self, "prior", None)
        if prior == "default":
            if distribution.default_prior is None:
                raise ValueError(
                    f"prior='default': {type(distribution).__name__} has no prior. Set prior=None."
                )
            prior = distribution.default_prior()
        if prior is not None:
            prior = distribution.bind_prior(prior, X, sample_weight, self.n_components)
        model = MixtureModel(
            Labels(), distribution, prior, getattr(self, "weight_concentration_prior", None)
        )
        model.initial_parameters = partial(self._first_parameters, model)
        return model

    def _fitted_model(self) -> MixtureModel:
        return MixtureModel(Labels(), self._resolved())

    def row_cost(self, n_features: float) -> float:
        return self._resolved().row_cost(self.n_components, n_features)

    def e_step(
        self, parameters: MixtureParameters, X: Any, sample_weight: np.ndarray | None = None
    ) -> tuple[Statistics, float]:
        model = self._fitted_model()
        return model.e_step(parameters, model.prepare(X), sample_weight)

    def m_step(self, statistics: Joint, parameters: MixtureParameters | None) -> MixtureParameters:
        return self._fitted_model().m_step(statistics, parameters)

    # ---------------------------------------------------------------- start

    def initial_parameters(
        self, X: Any, sample_weight: np.ndarray | None, random_state: np.random.RandomState
    ) -> MixtureParameters:
        return self._fit_model(X, sample_weight).initial_parameters(X, sample_weight, random_state)

    def _first_parameters(
        self,
        model: MixtureModel,
        X: Any,
        sample_weight: np.ndarray | None,
        random_state: np.random.RandomState,
    ) -> MixtureParameters:
        if not self._needs_start():
            given = self._given_parameters()
            d = model.distribution.shape(given.components)[1]
            if d != X.shape[1]:
                raise ValueError(
                    f"The parameters to begin with are of {d} features, but X has {X.shape[1]}."
                )
            return given
        start = self._draw(X, sample_weight, random_state, model.distribution)
        noise = self.noise
        soft = model.distribution.start_softness if isinstance(self.init_params, str) else 0.0
        statistics: Joint | None = None
        for rows, shares in start.shares(X):
            block = model.prepare(take_rows(X, rows) if isinstance(rows, slice) else X[rows])
            if soft:
                shares = (1.0 - soft) * shares + soft / self.n_components * shares.sum(
                    axis=1, keepdims=True
                )
            if noise:  # what no component begins with is noise
                rest = 1.0 - shares.sum(axis=1)
                rest[rest < 1e-6] = 0.0  # rounding
                shares = np.column_stack([shares, rest])
            if sample_weight is not None and not start.one_row:
                shares = shares * sample_weight[rows, None]
            labels = Sums({"counts": shares.sum(axis=0)})
            part = Joint(
                {"labels": labels, "components": model.distribution.statistics(None, block, shares)}
            )
            statistics = part if statistics is None else statistics + part
        assert statistics is not None
        counts = statistics["labels"]["counts"]
        if not (counts[:-1] if noise else counts).any():
            raise ValueError(
                "init_params leaves out every row that has a weight; at least one must belong to a"
                " component."
            )
        if noise and counts[-1] == 0:
            counts[-1] = counts.sum() * _NOISE_SHARE / (1 - _NOISE_SHARE)
        return self._start_parameters(model, start, statistics, X, sample_weight)

    def _start_parameters(
        self,
        model: MixtureModel,
        start: Start,
        statistics: Joint,
        X: Any,
        sample_weight: np.ndarray | None,
    ) -> MixtureParameters | list[MixtureParameters]:
        """What the first statistics become: their M-step, unless the user gave some of the parameters."""
        first = model.m_step(statistics, None)
        others = model.distribution.alternatives(
            statistics["components"], first.components, model.prior
        )
        if X.shape[0] * len(others) > _SMALL:
            return first
        return [first, *(MixtureParameters(first.weights, other) for other in others)]

    def _given_parameters(self) -> MixtureParameters:
        """The parameters that the user gave, where these are all."""
        given, K = dict(self.init_params), self.n_components
        distribution = self._resolved()
        try:
            weights = given.pop("weights")
            if self.noise:  # its weight is one of those that sum to 1
                check_shape(read_array(weights, "weights"), (K,), "weights")
                weights, K = np.append(weights, given.pop("noise_weight")), K + 1
            weights = check_mixing_weights(weights, K, "weights")
            components = distribution.recall(given)
        except KeyError as error:
            raise ValueError(
                f"init_params: the parameter {error} is missing; give all of them by name, or labels."
            ) from error
        if distribution.shape(components)[0] != K:
            raise ValueError(
                f"init_params: {K} weights, but parameters of {distribution.shape(components)[0]} components."
            )
        unknown = set(given) - set(distribution.publish(components))
        if unknown:
            raise ValueError(
                f"init_params: there is no parameter {sorted(unknown)} of {type(self).__name__}; its"
                f" parameters are {['weights', *distribution.publish(components)]}."
            )
        distribution.check_parameters(components)
        return MixtureParameters(weights, components)

    def _needs_start(self) -> bool:
        """False where the user gave all parameters."""
        return not isinstance(self.init_params, Mapping)

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
        if isinstance(self.init_params, str):
            return draw_start(
                self.init_params,
                X if self.init_params == "random" else distribution.embed(X),
                self.n_components,
                random_state,
                sample_weight,
                partition=self._partitions(),
            )
        return given_start(self.init_params, X, self.n_components, random_state)

    def _repeatable_start(self) -> bool:
        given = not isinstance(self.init_params, str) and not callable(self.init_params)
        return given or not self._needs_start()

    # ----------------------------------------------------------------- data

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags = self._distribution().input_tags(tags.input_tags)
        return tags

    def _check_data(self, X: Any, *, reset: bool, finite: bool = True) -> Any:
        distribution = self._with_noise()
        if distribution.takes_frames:
            X = check_frame(self, X, reset=reset)
        else:
            if sparse.issparse(X) and X.format == "csr" and not X.has_canonical_format:
                X = X.copy()  # validation sums duplicates in place
            finite = finite or not distribution.checks_finite
            X = check_data(self, X, reset=reset, finite=finite, **distribution.check_arguments)
        X, learned = distribution.encode(
            X, None if reset else Fitted(self), partial(column_name, self)
        )
        if reset:
            for name, value in learned.items():
                setattr(self, f"{name}_", value)
        return X

    def _check_fit_data(self, X: Any, sample_weight: Any) -> tuple[Any, np.ndarray | None]:
        self._distribution()._validate_params()
        X, sample_weight = super()._check_fit_data(X, sample_weight)
        noise = bool(self.noise)
        if self._continues() and noise != ("noise_weight_" in vars(self)):
            raise ValueError(
                f"warm_start continues a fit with noise={not noise}. Set it back, or fit with"
                " warm_start=False."
            )
        if self._continues() and len(self.weights_) != self.n_components:
            raise ValueError(
                f"warm_start continues a fit of {len(self.weights_)} components, but n_components ="
                f" {self.n_components}. Set it back, or fit with warm_start=False."
            )
        n = X.shape[0]
        if sample_weight is not None:  # a weight of 2 is two rows, a weight of 0 is none
            n = max(int(np.count_nonzero(sample_weight)), int(min(sample_weight.sum(), 2.0**53)))
        if n < 2:
            raise ValueError(
                f"Found array with {n} sample(s) (shape={X.shape}) while a minimum of 2 is required by"
                f" {type(self).__name__}. n_samples = {n}."
            )
        if n < self.n_components:
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, n_samples = {n}."
                " Lower n_components, or give more rows."
            )
        return X, sample_weight

    def _set_fitted(self, result: Any, dtype: Any) -> None:
        for name in (*NOISE_NAMES, "noise_volume"):  # of an earlier fit
            vars(self).pop(f"{name}_", None)
        super()._set_fitted(result, dtype)
        found = self._degeneracies(result.parameters)
        if found:
            warn_user(" ".join(found), DegenerateComponentsWarning)

    def _fitted_attributes(self, result: Any, dtype: Any) -> dict[str, Any]:
        n_free = self._fitted_model().n_free(result.parameters)
        return {**super()._fitted_attributes(result, dtype), "n_parameters_": n_free}

    def _degeneracies(self, parameters: MixtureParameters) -> list[str]:
        """What is wrong with which components, in sentences."""
        noise = self.noise
        weights = parameters.weights[:-1] if noise else parameters.weights
        empty = np.flatnonzero(weights == 0)
        found = self._resolved().degeneracies(parameters.components, parameters.weights)
        if not len(empty):
            return found
        return [
            f"Components {empty.tolist()} are empty: no row belongs to them, their weight is 0. There"
            " may be fewer distinct rows than components; try fewer components.",
            *found,
        ]
