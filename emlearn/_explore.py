"""What goes to the partitions of a Dask collection to read them, and what a first pass over them finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ._blocks import read_part
from ._partitions import n_rows
from .em.sources import Block, Survey

__all__ = ["Found", "Reader", "check_whole", "explore", "merge_found", "sendable", "survey_of"]

# what an estimator knows that its partitions need not
_STAYS = {
    "_skl_callbacks",
    "_skl_callbacks_to_teardown",
    "_callback_fit_ctx",
    "_parent_callback_ctx",
    "_online",
    "_bound_prior",
    "lower_bounds_",
    "restart_lower_bounds_",
}


def sendable(estimator: Any, fresh: bool = False) -> Any:
    """A copy of an estimator without what is of no use elsewhere: callbacks, traces, where fits begin.

    Parameters
    ----------
    estimator : EMMixin
    fresh : bool, default=False
        Leave out fitted attributes, too.
    """
    made = type(estimator).__new__(type(estimator))
    for name, value in vars(estimator).items():
        if name not in _STAYS and not (fresh and name.endswith("_") and name[0] != "_"):
            vars(made)[name] = value
    for name, value in (("n_jobs", 1), ("random_state", None)):  # Dask has the threads
        if name in vars(made):
            vars(made)[name] = value
    # labels or responsibilities of all rows
    if hasattr(made, "_start_method") and not isinstance(made.init_params, str | Mapping):
        made.init_params = "kmeans"
    return made


class Reader:
    """Makes a block of a partition, where that is.

    Parameters
    ----------
    estimator : EMMixin
        Sendable, with what was learned of the data.
    lengths : list of int
        Rows of each partition that was read before.
    """

    def __init__(self, estimator: Any, lengths: list[int] | None = None) -> None:
        self.estimator = estimator
        self.lengths = lengths
        self.firsts = None if lengths is None else np.cumsum([0, *lengths[:-1]])

    def read(self, number: int, part: Any, metadata: dict[str, Any]) -> Block:
        """The block."""
        n = n_rows(part)
        if self.lengths is not None and n != self.lengths[number]:
            raise ValueError(
                f"Partition {number} has {n} rows, and had {self.lengths[number]} before. A partition that is computed"
                " anew must be the same; persist the collection if it is drawn at random."
            )
        with told(number):
            block = read_part(self.estimator._read_block, part, False, metadata)
        block.first = 0 if self.firsts is None else int(self.firsts[number])
        return block

    def split(self, block: Block) -> list[Block]:
        """Its parts that go through an E-step together."""
        return [block.take(rows) for rows in self.estimator._blocks(block.X)]


class told:
    """Errors inside say which partition they are about."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if type(error) in (ValueError, TypeError):
            raise type(error)(f"Partition {self.number}: {error}") from error


@dataclass
class Found:
    """What a first pass finds; values of several partitions are merged.

    Attributes
    ----------
    lengths : dict of int to int
        Rows of each partition.
    columns : int
    names : list of str or None
        Of the columns.
    learned : dict
        What the family learned.
    classes : ndarray or None
        Of the labels.
    groups : list of ndarray
        Names of the sequences in each partition.
    survey : Survey or None
        None where what was learned of all rows is needed first.
    """

    lengths: dict[int, int]
    columns: int = 0
    names: list[str] | None = None
    learned: dict[str, Any] = field(default_factory=dict)
    classes: np.ndarray | None = None
    groups: list[np.ndarray] = field(default_factory=list)
    survey: Survey | None = None


def explore(
    estimator: Any, most: int, known: bool, number: int, part: Any, metadata: dict[str, Any]
) -> Found:
    """What one partition says."""
    own = sendable(estimator)
    found = Found({number: n_rows(part)})
    if not known:
        with told(number):
            own._check_data(part, reset=True)
            if metadata.get("labels") is not None:
                own._read_labels(metadata["labels"], n_rows(part), True)
        found.learned = {name: vars(own)[f"{name}_"] for name in getattr(own, "_learned_names", ())}
        found.classes = vars(own).get("classes_")
    found.columns = getattr(own, "n_features_in_", part.shape[1])
    names = getattr(own, "feature_names_in_", None)
    found.names = None if names is None else list(names)
    if known or not (found.learned or _are_texts(found.classes)):
        block = Reader(own).read(number, part, metadata)
        found.survey = own._survey((0, number), most)
        found.survey.add(block)
        found.survey.prune()
    if "groups" in metadata:
        names = np.asarray(metadata["groups"])
        found.groups = [names[np.r_[True, names[1:] != names[:-1]]]]
    return found


def _are_texts(classes: np.ndarray | None) -> bool:
    return classes is not None and classes.dtype.kind in "US"


def merge_found(estimator: Any, a: Found, b: Found) -> Found:
    """What two partitions, or several, say together."""
    first, second = min(a.lengths), min(b.lengths)
    if a.columns != b.columns or a.names != b.names:
        ours, theirs = (x.columns if x.names is None else x.names for x in (a, b))
        raise ValueError(
            f"Partitions have different columns: partition {first} has {ours}, partition {second} has {theirs}."
        )
    classes = a.classes if b.classes is None else b.classes
    if a.classes is not None and b.classes is not None:
        classes = np.union1d(a.classes, b.classes)
    learned = a.learned
    if a.learned or b.learned:
        learned = estimator._full_distribution().merge_learned(a.learned, b.learned)
    survey = None if a.survey is None or b.survey is None else a.survey.merge(b.survey)
    lengths, groups = {**a.lengths, **b.lengths}, a.groups + b.groups
    return Found(lengths, a.columns, a.names, learned, classes, groups, survey)


def survey_of(
    reader: Reader, most: int, number: int, part: Any, metadata: dict[str, Any]
) -> Survey:
    """The survey of a partition."""
    survey = reader.estimator._survey((0, number), most)
    survey.add(reader.read(number, part, metadata))
    return survey.prune()


def check_whole(groups: list[np.ndarray]) -> None:
    """ValueError where a sequence is in two partitions."""
    if not groups:
        return
    names, counts = np.unique(np.concatenate(groups), return_counts=True)
    if counts.max() > 1:
        raise ValueError(
            f"groups: group {names[counts > 1].tolist()[0]!r} is in more than one partition, or its rows are not"
            " together. Divide X so that each group is whole in a partition, sequences in the order of time."
        )
