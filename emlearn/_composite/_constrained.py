"""What of an estimator is fixed, or equal in all components: from what the user said to the model of a fit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..distributions import Distribution
from ..em.fixed import Constraints
from ..em.held import Space
from ._model import CompositeModel

__all__ = ["ConstrainedMixin"]


class ConstrainedMixin:
    """Reads ``fixed`` and ``equal``."""

    fixed: Any
    equal: Any

    def _is_constrained(self) -> bool:
        given = self.fixed, self.equal
        return any(value is not None and len(value) > 0 for value in given)

    def _constrain(self, model: CompositeModel, n_features: int) -> CompositeModel:
        """The model of a fit with what is fixed or equal in it."""
        if self._is_constrained():
            if not self._continues():
                said = self._said(model.distribution, n_features)
                said.check_start(self._given_start(), "init_params")
            found = self._constraints(model.distribution, n_features)
            model.latent_constraints, model.constraints = found
        return model

    @abstractmethod
    def _latent_spaces(self) -> dict[str, Space]:
        """Those of the published parameters of the latent structure."""

    def _settle_latent(self, constraints: Constraints) -> Constraints:
        """Constraints of the latent structure's published parameters, in its own terms."""
        return constraints.settled()

    def _said(self, distribution: Distribution, n_features: int) -> Constraints:
        """``fixed`` and ``equal``, read."""
        spaces = {
            **self._latent_spaces(),
            **distribution.parameter_spaces(self.n_components, n_features),
        }
        return Constraints.read(self.fixed, self.equal, spaces)

    def _constraints(
        self, distribution: Distribution, n_features: int
    ) -> tuple[Constraints, Constraints]:
        """Those of the latent structure and those of the components, as their M-steps read them."""
        said = self._said(distribution, n_features)
        latent = said.only(list(self._latent_spaces()))
        components = Constraints({name: said[name] for name in said if name not in latent})
        settled = components.settled()
        if settled:
            settled = distribution.settle(settled, self.n_components, n_features)
        return self._settle_latent(latent), settled

    def _check_known(self, how: str) -> None:
        """ValueError where the parameters that are known are other than those that are fixed."""
        if not self._is_constrained():
            return
        model, parameters = self._fitted_model(), self.recall()
        n_features = model.distribution.shape(parameters.components)[1]
        published = {name[:-1]: value for name, value in self.publish(parameters).items()}
        self._said(model.distribution, n_features).check_start(published, how)

    def _given_start(self) -> dict[str, Any]:
        """Parameters that the user gave to begin with, by their published names."""
        if not isinstance(self.init_params, Mapping):
            return {}
        if not self._needs_start():
            published = self.publish(self._given_parameters())
            return {name[:-1]: value for name, value in published.items()}
        return dict(self.init_params)

    def _matches(self, model: CompositeModel) -> bool:
        """True where a start has no order, but fixed parameters give the components one."""
        if not self._is_constrained():
            return False
        held = [*(model.latent_constraints or {}).values(), *(model.constraints or {}).values()]
        apart = any(part.space.axes and part.fixed.any() for part in held)
        return apart and self.n_components > 1 and isinstance(self._start_method(), str)

    def _publish_fixed(
        self, attributes: dict[str, Any], distribution: Distribution, n_features: int
    ) -> None:
        """What is fixed is what the user said, to the bit, in the type of the attributes."""
        said = self._said(distribution, n_features)
        names = [name for name in said if f"{name}_" in attributes]
        for name, value in said.publish({n: attributes[f"{n}_"] for n in names}).items():
            before = attributes[f"{name}_"]
            if isinstance(before, np.ndarray):
                value = value.astype(before.dtype, copy=False)
            attributes[f"{name}_"] = value
