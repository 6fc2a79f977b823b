"""Sequences as users give them: groups, lengths, or a list of arrays."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from scipy import sparse

__all__ = ["check_y", "read_ends", "read_list", "spread_weights"]


def read_list(X: Any, groups: Any, lengths: Any) -> tuple[Any, Any]:
    """The rows of a list of sequences as one table, with their lengths; anything else as it is.

    Raises
    ------
    ValueError
        If the sequences do not fit together, or there are groups or lengths beside them.
    """
    if getattr(X, "ndim", 2) == 3:
        raise ValueError(
            "X has three axes. Sequences of the same length are a list of tables: give list(X)."
        )
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1 and any(map(_is_table, X)):
        X = X.tolist()
    if not isinstance(X, list | tuple):
        return X, lengths
    if not len(X):
        raise ValueError(
            "X is an empty list: there is no sequence in it. Give at least one table of shape (n_rows, n_features)."
        )
    if not any(_is_table(x) for x in X) and not _are_columns(X):
        return X, lengths
    if groups is not None or lengths is not None:
        given = "lengths" if groups is None else "groups"
        raise ValueError(
            f"X is a list of sequences, which says where each ends; give no {given} beside it."
        )
    flat = [i for i, x in enumerate(X) if not _is_table(x)]
    if flat:
        raise ValueError(
            f"X is a list of sequences, but its element {flat[0]} is not 2D. Give each as an array of shape"
            " (n_rows, n_features); reshape(-1, 1) makes one of a single feature."
        )
    lengths = [x.shape[0] if hasattr(x, "shape") else len(x) for x in X]
    if min(lengths) == 0:
        raise ValueError(f"X: sequence {lengths.index(0)} of the list is empty. Leave it out.")
    return _stack(list(X)), lengths


def _are_columns(X: Any) -> bool:
    """True where these are arrays of one axis that differ in length: sequences of a single feature, no rows."""
    return all(getattr(x, "ndim", 0) == 1 for x in X) and len({len(x) for x in X}) > 1


def _is_table(x: Any) -> bool:
    if hasattr(x, "ndim"):
        return x.ndim == 2
    if hasattr(x, "shape"):  # data frames without ndim
        return len(x.shape) == 2
    return (
        isinstance(x, (list, tuple))
        and bool(len(x))
        and hasattr(x[0], "__len__")
        and not isinstance(x[0], str | bytes)
    )


def _stack(tables: list[Any]) -> Any:
    frames = [hasattr(x, "columns") for x in tables]
    if all(frames):
        names = [list(x.columns) for x in tables]
        odd = [i for i, n in enumerate(names) if n != names[0]]
        if odd:
            raise ValueError(
                f"X: sequence {odd[0]} of the list has the columns {names[odd[0]]}, sequence 0 has"
                f" {names[0]}."
            )
        library = sys.modules[type(tables[0]).__module__.split(".")[0]]
        if library.__name__ == "pandas":
            return library.concat(tables, ignore_index=True)
        return library.concat(tables)
    some_sparse = any(sparse.issparse(x) for x in tables)
    arrays = tables if some_sparse else [np.asarray(x) for x in tables]
    widths = [x.shape[1] for x in arrays]
    odd = [i for i, width in enumerate(widths) if width != widths[0]]
    if odd:
        raise ValueError(
            f"X: sequence {odd[0]} of the list has {widths[odd[0]]} features, sequence 0 has {widths[0]}."
        )
    return sparse.vstack(arrays, format="csr") if some_sparse else np.concatenate(arrays)


def check_y(y: Any, n: int) -> None:
    """ValueError where ``y``, which is ignored, cannot be meant so: hmmlearn has lengths in its place."""
    if y is None:
        return
    shape = y.shape if hasattr(y, "shape") else np.asarray(y).shape
    if not shape or shape[0] != n:
        raise ValueError(
            f"y is ignored, and here only for scikit-learn; it should have {n} values, one for each row of X, got"
            f" {shape[0] if shape else 'a single value'}. Lengths of sequences are given by name: lengths=..."
        )


def read_ends(n: int, groups: Any, lengths: Any) -> np.ndarray:
    """Where each sequence ends (n_sequences,); one sequence without groups and lengths.

    Raises
    ------
    ValueError
        If these do not fit ``n`` rows, or the rows of a group are not together.
    """
    if groups is not None and lengths is not None:
        raise ValueError("groups and lengths say the same thing; give one of them.")
    if lengths is not None:
        return _ends_of_lengths(lengths, n)
    if groups is not None:
        return _ends_of_groups(groups, n)
    return np.array([n], dtype=np.intp)


def _ends_of_lengths(lengths: Any, n: int) -> np.ndarray:
    array = np.atleast_1d(np.asarray(lengths))
    whole = array.ndim == 1 and array.dtype.kind in "iuf" and array.size > 0
    if (
        not whole
        or not np.all(np.isfinite(array))
        or np.any(array != np.floor(array))
        or np.any(array < 1)
    ):
        raise ValueError(
            f"lengths must hold the number of rows of each sequence, whole numbers from 1 on, got {lengths!r}."
        )
    total = sum(map(int, array.tolist()))  # which cannot overflow
    if total != n:
        raise ValueError(
            f"lengths sum to {total}, but X has {n} rows: each row belongs to one sequence."
        )
    return np.cumsum(array.astype(np.intp))


def _ends_of_groups(groups: Any, n: int) -> np.ndarray:
    # a list of texts and NaN would become texts
    array = np.asarray(groups, dtype=object if isinstance(groups, list | tuple) else None)
    if array.shape != (n,):
        raise ValueError(
            f"groups must hold the sequence of each of the {n} rows of X, got an array of shape {array.shape}."
            " Numbers of rows are given as lengths."
        )
    if array.dtype.kind in "fOM" and any(map(_is_missing, array.tolist())):
        raise ValueError("groups has missing values; each row belongs to a sequence.")
    last = np.append(np.flatnonzero(array[1:] != array[:-1]), n - 1)
    names = array[last].tolist()
    if len(set(names)) != len(names):
        seen: set[Any] = set()
        split = next(name for name in names if name in seen or seen.add(name))
        raise ValueError(
            f"groups: the rows of sequence {split!r} are not together, {len(names)} runs of rows have"
            f" {len(set(names))} names. Sort the rows by sequence, within each by time; the order of rows is"
            " the order in time."
        )
    return (last + 1).astype(np.intp)


def _is_missing(name: Any) -> bool:
    """True for None, NaN, NaT and pandas' NA."""
    return name is None or type(name).__name__ in ("NAType", "NaTType") or name != name


def spread_weights(sample_weight: Any, ends: np.ndarray) -> Any:
    """Weights of sequences as weights of their rows; weights of rows as they are."""
    n, n_sequences = int(ends[-1]), len(ends)
    if sample_weight is None or n == n_sequences:
        return sample_weight
    weights = np.asarray(sample_weight)
    if weights.shape != (n_sequences,):
        return sample_weight
    return np.repeat(weights, np.diff(ends, prepend=0))


def check_even(sample_weight: np.ndarray | None, ends: np.ndarray) -> None:
    """ValueError where a weight changes within a sequence."""
    if sample_weight is None:
        return
    inside = np.ones(len(sample_weight), dtype=bool)
    inside[np.r_[0, ends[:-1]]] = False
    change = np.flatnonzero(inside[1:] & (sample_weight[1:] != sample_weight[:-1]))
    if len(change):
        row = int(change[0])
        raise ValueError(
            f"sample_weight changes within a sequence: {sample_weight[row]:g} in row {row},"
            f" {sample_weight[row + 1]:g} in row {row + 1}. A sequence counts as a whole; give all its rows the same"
            " weight, or one weight for each sequence."
        )
