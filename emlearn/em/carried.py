"""What an estimator carries from one call of partial_fit, or from a fit, to the next."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from .packing import pack, unpack
from .statistics import Statistics

__all__ = ["Carried"]


class Carried(NamedTuple):
    """Where online EM stands between two calls.

    Attributes
    ----------
    statistics : Statistics or None
        None where the parameters are all that is known.
    n_steps : int
        Batches that were taken in.
    seen : float
        Weight of all rows that were seen.
    stands_for : float
        Weight of the rows that the statistics stand for.

    Examples
    --------
    >>> from emlearn.em import Sums
    >>> from emlearn.em.carried import Carried
    >>> stored = Carried(Sums({"n": 3.0}), 1, 3.0, 3.0).written()
    >>> Carried.read(stored).statistics["n"]
    3.0
    """

    statistics: Statistics | None
    n_steps: int
    seen: float
    stands_for: float

    def written(self) -> dict[str, Any]:
        """The same in numbers, texts and arrays: whoever stores estimators can store it."""
        kinds, arrays = pack(self.statistics)
        return {**self._asdict(), "statistics": json.dumps(kinds), "arrays": arrays}

    @classmethod
    def read(cls, stored: dict[str, Any]) -> Carried:
        """Take up what :meth:`written` gave."""
        found = dict(stored)
        found["statistics"] = unpack(json.loads(found["statistics"]), found.pop("arrays"))
        return cls(**found)
