"""Families around another one, whose data are the other's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.utils import InputTags

from ._base import Distribution

__all__ = ["Around"]


class Around(Distribution):
    """What a family says of its data, said by the family that it is made of, its attribute ``family``."""

    family: Distribution

    @property
    def continuous(self) -> bool:
        return self.family.continuous

    @property
    def default_prior(self) -> Any:
        return self.family.default_prior

    @property
    def check_arguments(self) -> Mapping[str, Any]:
        return self.family.check_arguments

    @property
    def exact(self) -> bool:
        return self.family.exact

    @property
    def start_softness(self) -> float:
        return self.family.start_softness

    @property
    def start_parts(self) -> int:
        return self.family.start_parts

    @property
    def takes_frames(self) -> bool:
        return self.family.takes_frames

    @property
    def uses_blas(self) -> bool:
        return self.family.uses_blas

    @property
    def shared_parameters(self) -> tuple[str, ...]:
        return self.family.shared_parameters

    @property
    def column_parameters(self) -> tuple[str, ...]:
        return self.family.column_parameters

    def input_tags(self, tags: InputTags) -> InputTags:
        return self.family.input_tags(tags)

    def encode(
        self, X: Any, learned: Mapping[str, Any] | None, column: Callable[[int], str]
    ) -> tuple[Any, dict[str, Any]]:
        return self.family.encode(X, learned, column)

    @property
    def learns(self) -> bool:
        return self.family.learns

    def merge_learned(self, a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
        return self.family.merge_learned(a, b)

    def decode(self, X: np.ndarray, learned: Mapping[str, Any]) -> np.ndarray:
        return self.family.decode(X, learned)

    def assume(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return self.family.assume(values)

    def in_support(self, X: np.ndarray) -> np.ndarray:
        return self.family.in_support(X)

    def features(self, X: Any) -> Any:
        return self.family.features(X)

    def embed(self, X: Any) -> Any:
        return self.family.embed(X)
