"""What a run keeps of the rows from one E-step to the next."""

from __future__ import annotations

import copy
from typing import Any

__all__ = ["Memory"]


class Memory:
    """Per-row arrays of a model, which belong to one run: several runs go over the same blocks side by side.

    A model that wants them has ``new_memory(X)``, of a prepared block: arrays, or a container of arrays, that its
    ``e_step`` is then handed as ``memory`` and writes to in place. A model whose E-step may take no notice of it and
    begin anew has ``settle(memory)``, too, after which it goes on from there: where beginning anew lets the objective
    fall, the loop takes that E-step back. For that it copies all there is before each pass, unless ``settled(memory)``
    says that the model goes on from there anyway.

    Parameters
    ----------
    model : object

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.em import Block
    >>> from emlearn.em.memory import Memory
    >>> class Model:
    ...     def new_memory(self, X):
    ...         return np.zeros(len(X))
    >>> memory, block = Memory(Model()), Block(np.eye(3), first=6)
    >>> memory.of(block, block.X)[1] = 5.0
    >>> memory.of(block, block.X)
    array([0., 5., 0.])
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._kept: dict[int, Any] = {}
        self._settled = not hasattr(model, "settle")

    @property
    def restless(self) -> bool:
        """Whether an E-step may begin anew."""
        if self._settled:
            return False
        settled = getattr(self.model, "settled", None)
        return settled is None or not self._kept or not all(map(settled, self._kept.values()))

    def of(self, block: Any, prepared: Any) -> Any:
        """That of a block, which is known by the number of its first row."""
        kept = self._kept.get(block.first)
        if kept is None:
            kept = self._kept[block.first] = self.model.new_memory(prepared)
        return kept

    def settle(self) -> None:
        """Let all go on from what is kept."""
        for kept in self._kept.values():
            self.model.settle(kept)
        self._settled = True

    def saved(self) -> dict[int, Any]:
        """A copy, for :meth:`restore`."""
        return copy.deepcopy(self._kept)

    def restore(self, saved: dict[int, Any]) -> None:
        """Be as the memory was that said this, once: arrays are taken over and written to."""
        self._kept = dict(saved)
