"""How mixture estimators are fitted: weights, noise, and what a fit publishes."""

from __future__ import annotations

from abc import ABC
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import DensityMixin, _fit_context
from sklearn.utils._param_validation import Interval

from .._composite import CompositeEstimator, Fitted
from .._data import check_mixing_weights, check_shape, read_array
from .._parameters import set_engine_parameters
from ..distributions import Distribution, Prior, WithNoise
from ..em.fixed import Constraints
from ..em.held import Held, Space
from ..em.sources import Source
from ..em.starts import Start
from ..em.statistics import Joint
from ..latent import Labels
from ._model import MixtureModel, MixtureParameters
from ._scores import ScoresMixin

__all__ = ["NOISE", "NOISE_NAMES", "BaseMixture"]

#: the parameters of a noise component, beside those of the family
NOISE_NAMES = ("noise_weight", "noise_origin", "noise_edges")

#: what ``noise`` may be, in the mixtures of continuous families
NOISE = ["boolean", Interval(Real, 0.0, None, closed="neither")]

# share of the rows that a noise component begins with where the start says nothing of it
_NOISE_SHARE = 0.05


class BaseMixture(ScoresMixin, DensityMixin, CompositeEstimator, ABC):
    """A finite mixture: what does not depend on the family.

    A subclass names its family, whose hyper-parameters are among its own.
    """

    _family: ClassVar[type[Distribution]]
    #: a parameter of the mixtures of continuous families; the others have no noise component
    noise: bool | float = False

    _parameter_constraints: dict = {
        **CompositeEstimator._parameter_constraints,
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
        **engine: Any,
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
        set_engine_parameters(self, engine)

    # ----------------------------------------------------------------- fit

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None) -> Self:
        """Fit the model by EM.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            An array, or a file that is mapped into memory (``numpy.memmap``), of which a large one is read in blocks;
            or a Dask array or data frame.
        y : Ignored
            Present by scikit-learn's convention.
        sample_weight : array-like of shape (n_samples,), default=None
            A weight of 2 counts a row twice, a weight of 0 leaves it out.
        labels : array-like of shape (n_samples,), default=None
            Known components: their numbers, -1 where a row's is unknown; or texts, the classes in their order.
            ``classes_`` keeps the labels that occur; texts in order are the classes of components 0, 1, ..., whose
            numbers ``predict`` returns.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the data cannot be used, labels are out of range, or every start is singular.
        """
        return self._fit_data(X, y, sample_weight=sample_weight, labels=labels)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, labels: Any = None
    ) -> Self:
        """Take in some rows: one step of online EM.

        The first call draws a start from its rows; what is relative to the data, such as a default prior, is so to
        these. After a fit it goes on from that. ``lower_bound_`` is the objective of the batch under the parameters
        before it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored
        sample_weight : array-like of shape (n_samples,), default=None
        labels : array-like of shape (n_samples,), default=None
            As in :meth:`fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the rows cannot be used, or parameters of the constructor contradict what is known.
        """
        return self._partial_fit_data(X, y, sample_weight=sample_weight, labels=labels)

    # --------------------------------------------------- what a family says

    def _full_distribution(self) -> Distribution:
        """The family, and the noise component where there is one."""
        noise = self.noise
        if isinstance(noise, np.bool_):  # a grid of arrays has these, and they are no volume
            noise = bool(noise)
        return WithNoise(self._distribution(), noise) if noise else self._distribution()

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
        given, settings = cls._split(parameters)
        return cls._from_given(np.size(weights), {"weights": weights, **given}, settings)

    # ---------------------------------------------------------------- model

    def _assemble(
        self, distribution: Distribution, prior: Prior | None = None, latent_prior: Any = None
    ) -> MixtureModel:
        return MixtureModel(Labels(), distribution, prior, latent_prior)

    def _latent_spaces(self) -> dict[str, Space]:
        K = self.n_components
        spaces = {"weights": Space((K,), 0.0, 1.0, sizes=(K,))}
        return spaces | {"noise_weight": Space((), 0.0, 1.0, axes=0)} if self.noise else spaces

    def _settle_latent(self, constraints: Constraints) -> Constraints:
        if not self.noise or not constraints:
            return constraints.settled()
        # the weight of the noise is one of those that sum to 1, and is never shared
        spaces = self._latent_spaces()
        weights, noise = (constraints.get(n, Held.nothing(space)) for n, space in spaces.items())
        K = self.n_components
        held = Held(
            Space((K + 1,), 0.0, 1.0, sizes=(K + 1,)),
            np.append(weights.values, noise.values),
            np.append(weights.shared, False),
            (np.arange(K),),
        )
        return Constraints({"weights": held}).settled()

    def _latent_prior(self) -> float | None:
        return getattr(self, "weight_concentration_prior", None)

    def _fit_model(self, X: Any, sample_weight: np.ndarray | None, **fold: Any) -> MixtureModel:
        if self.noise and not self._distribution().continuous:
            raise ValueError(
                "noise needs a family with a density per unit of volume, such as Gaussian, StudentT or Gamma;"
                f" {type(self._distribution()).__name__} is none. Set noise=False."
            )
        return super()._fit_model(X, sample_weight, **fold)

    # ---------------------------------------------------------------- start

    def _share_with_others(self, shares: np.ndarray) -> np.ndarray:
        if not self.noise:  # what no component begins with is noise
            return shares
        rest = 1.0 - shares.sum(axis=1)
        rest[rest < 1e-6] = 0.0  # rounding
        return np.column_stack([shares, rest])

    def _first_statistics(
        self, model: MixtureModel, start: Start, X: Any, sample_weight: np.ndarray | None
    ) -> Joint:
        statistics = super()._first_statistics(model, start, X, sample_weight)
        counts = statistics["labels"]["counts"]
        if self.noise and counts[-1] == 0:
            counts[-1] = counts.sum() * _NOISE_SHARE / (1 - _NOISE_SHARE)
        return statistics

    def _given_parameters(self) -> MixtureParameters:
        """The parameters that the user gave, where these are all."""
        given, K = dict(self.init_params), self.n_components
        try:
            weights = given.pop("weights")
            if self.noise:  # its weight is one of those that sum to 1
                check_shape(read_array(weights, "weights"), (K,), "weights")
                weights, K = np.append(weights, given.pop("noise_weight")), K + 1
            weights = check_mixing_weights(weights, K, "weights")
            components = self._read_given_components(given, ("weights",))
        except KeyError as error:
            raise ValueError(
                f"init_params: the parameter {error} is missing; give all of them by name, or labels."
            ) from error
        found = self._resolved().shape(components)[0]
        if found != K:
            raise ValueError(f"init_params: {K} weights, but parameters of {found} components.")
        return MixtureParameters(weights, components)

    # ----------------------------------------------------------------- data

    def _check_against(self, source: Source) -> None:
        self._check_enough_rows(source, 2)

    def _changed(self) -> str | None:
        noise = bool(self.noise)
        if noise != ("noise_weight_" in vars(self)):
            return f"a fit with noise={not noise}, which is now {noise}"
        if len(self.weights_) != self.n_components:
            return (
                f"a fit of {len(self.weights_)} components, but n_components = {self.n_components}"
            )
        return super()._changed()

    def _set_fitted(self, result: Any, dtype: Any) -> None:
        for name in (*NOISE_NAMES, "noise_volume"):  # of an earlier fit
            vars(self).pop(f"{name}_", None)
        super()._set_fitted(result, dtype)

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
