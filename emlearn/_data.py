"""Checks of what the user hands in, with errors that say what to do."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn import get_config
from sklearn.utils.validation import validate_data

__all__ = [
    "check_data",
    "check_frame",
    "check_labels",
    "check_length",
    "check_mixing_weights",
    "check_n_imputations",
    "check_probabilities",
    "check_shape",
    "check_weights",
    "column_name",
    "is_dask",
    "read_array",
]


def check_data(
    estimator: Any, X: Any, *, reset: bool, finite: bool = True, **checks: Any
) -> np.ndarray:
    """X as float64 or float32, not copied where it is that already, in any memory order.

    Parameters
    ----------
    estimator : estimator
        Learns or checks number and names of features.
    X : array-like of shape (n_samples, n_features)
    reset : bool
        True in ``fit``.
    finite : bool, default=True
        False lets a plain array pass unread: the caller sees for himself whether it is finite, and calls
        again if it is not.
    **checks : dict
        Further arguments of scikit-learn's ``check_array``: other types, CSR matrices, missing cells.

    Raises
    ------
    ValueError, TypeError
        scikit-learn's, with the columns at fault.
    NotImplementedError
        If X is an array of another library and ``array_api_dispatch`` is on.
    """
    refuse_dask(X)
    name = type(estimator).__name__
    if get_config()["array_api_dispatch"] and _is_foreign_array(X):
        raise NotImplementedError(
            f"{name} does not support the array API. Disable 'array_api_dispatch' around this call"
            " (sklearn.config_context(array_api_dispatch=False)) and pass NumPy arrays."
        )
    if not reset and _is_ready(estimator, X, finite):
        return X
    try:
        X = validate_data(
            estimator,
            X,
            reset=reset,
            ensure_min_samples=1,
            **{"dtype": [np.float64, np.float32], **checks},
        )
    except (ValueError, TypeError) as error:
        advice = _explain(X, error)
        if advice:
            raise type(error)(f"{error}\n{advice}") from error
        raise
    if sparse.issparse(X):
        X.sum_duplicates()
        return X
    # a view into packed records lies between the addresses that numbers may have
    return X if _is_aligned(X) else X.copy()


def check_frame(estimator: Any, X: Any, *, reset: bool) -> Any:
    """A data frame as it is, anything else as an array of any type; number and names of features learned or checked.

    Raises
    ------
    ValueError, TypeError
        scikit-learn's.
    """
    refuse_dask(X)
    if hasattr(X, "columns") and hasattr(X, "dtypes") and hasattr(X, "shape"):
        if X.shape[0] == 0:
            raise ValueError(
                f"Found array with 0 sample(s) (shape={X.shape}) while a minimum of 1 is required."
            )
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        return X
    return check_data(estimator, X, reset=reset, dtype=None, ensure_all_finite=False)


def is_dask(X: Any) -> bool:
    """Whether X is a collection of Dask, which need not be installed to say so."""
    return type(X).__module__.partition(".")[0] == "dask"


def refuse_dask(X: Any) -> None:
    """TypeError for a Dask collection, which reading it here would bring to this machine."""
    if is_dask(X):
        raise TypeError(
            f"X is a Dask {type(X).__name__}, which fit, predict, predict_proba, score_samples, score and the"
            " information criteria take. Give this method X.compute(), if that fits in memory, or one partition."
        )


def _is_aligned(X: np.ndarray) -> bool:
    return X.flags.aligned and not any(stride % X.itemsize for stride in X.strides)


def _is_foreign_array(X: Any) -> bool:
    library = type(X).__module__.split(".")[0]
    if library in ("torch", "cupy", "jax", "jaxlib", "dpnp"):
        return True
    return hasattr(X, "__array_namespace__") and not isinstance(X, np.ndarray)


def _is_ready(estimator: Any, X: Any, finite: bool) -> bool:
    """True for a plain array that validation hands back: its many cases cost more than a small predict."""
    return (
        type(X) is np.ndarray
        and X.ndim == 2
        and X.dtype in (np.float64, np.float32)
        and len(X) > 0
        and _is_aligned(X)
        and X.shape[1] == getattr(estimator, "n_features_in_", None)
        and not hasattr(estimator, "feature_names_in_")
        and (not finite or bool(np.isfinite(X.sum(dtype=np.float64))))
    )


def check_weights(sample_weight: Any, X: np.ndarray) -> np.ndarray | None:
    """Sample weights as float64 of shape (n,), or None.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, all are zero, or their number is wrong.
    """
    if sample_weight is None:
        return None
    n = X.shape[0]
    weights = read_array(sample_weight, "sample_weight", finite=False)
    if weights.ndim == 0:
        weights = np.full(n, weights)
    weights = np.ascontiguousarray(weights)
    if weights.shape != (n,):
        raise ValueError(
            f"sample_weight.shape == {weights.shape}, expected {(n,)}: give one weight for each row of X."
        )
    if not np.all(np.isfinite(weights)):
        row = int(np.flatnonzero(~np.isfinite(weights))[0])
        raise ValueError(
            f"sample_weight contains NaN or infinity: {weights[row]} in row {row}. Use 0 to leave a row out."
        )
    if np.any(weights < 0):
        row = int(np.flatnonzero(weights < 0)[0])
        raise ValueError(
            f"Negative values in data passed to `sample_weight`: {weights[row]:g} in row {row}."
            " Use 0 to leave a row out."
        )
    if not np.isfinite(weights.sum()):
        raise ValueError(
            f"sample_weight: the sum overflows, the largest is {weights.max():g}. Divide them by it."
        )
    if not np.any(weights > 0):
        raise ValueError("sample_weight: all weights are zero; at least one row must count.")
    return weights


def check_length(values: Any, n: int, name: str) -> np.ndarray | None:
    """What belongs to the rows as an array, or None.

    Raises
    ------
    ValueError
        If there is not one value for each of ``n`` rows.
    """
    if values is None:
        return None
    array = np.asarray(values)
    if array.shape != (n,):
        raise ValueError(
            f"{name} must have one value for each of the {n} rows of X, got an array of shape {array.shape}."
        )
    return array


def check_labels(
    labels: Any, n: int, n_components: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Known components of the rows, and the classes that their numbers stand for.

    Parameters
    ----------
    labels : array-like of shape (n,) or None
        Whole numbers from 0 to ``n_components - 1``, -1 or None where the component is unknown; or texts, the classes
        in their order, with -1 or None.
    n : int
    n_components : int

    Returns
    -------
    labels : ndarray of int of shape (n,), or None
        None where no row is known.
    classes : ndarray or None
        Class i is component i of texts; the numbers that occur, of numbers.

    Raises
    ------
    ValueError
        If there is not one for each row, or they are out of range.
    """
    array = check_length(labels, n, "labels")
    if array is None:
        return None, None
    if array.dtype.kind not in "iufb":
        array = _as_numbers(array)
    if array.dtype.kind in "iufb":
        if not np.all(np.isfinite(array)) or np.any(array != np.round(array)):
            raise ValueError("labels must be whole numbers; use -1 where the component is unknown.")
        codes = array.astype(np.int64)
        classes = np.unique(codes[codes != -1])
        if len(classes) and not 0 <= classes[0] <= classes[-1] < n_components:
            raise ValueError(
                f"labels must be -1 (unknown) or from 0 to n_components - 1 = {n_components - 1}, got"
                f" {classes[0]} to {classes[-1]}. Raise n_components, or number the classes anew."
            )
    else:
        names = array.astype(object)
        known = np.array([not _is_unknown(name) for name in names.tolist()], dtype=bool)
        try:
            classes, inside = np.unique(names[known], return_inverse=True)
        except TypeError as error:
            raise TypeError(f"labels must be numbers or texts, not both: {error}") from error
        if len(classes) > n_components:
            raise ValueError(
                f"labels has {len(classes)} classes, more than n_components = {n_components}. Raise it."
            )
        codes = np.full(n, -1)
        codes[known] = inside
        classes = np.array(classes.tolist())
    return (codes, classes) if len(classes) else (None, None)


def _as_numbers(names: np.ndarray) -> np.ndarray:
    """Labels that are numbers, though some are None, as numbers; others as they are."""
    values = names.tolist()
    known = [not _is_unknown(value) for value in values]
    if not all(isinstance(v, Real) for v, k in zip(values, known, strict=True) if k):
        return names
    return np.array([v if k else -1 for v, k in zip(values, known, strict=True)], dtype=np.float64)


def _is_unknown(name: Any) -> bool:
    return name is None or name != name or name in (-1, "-1")


def read_array(value: Any, name: str, *, finite: bool = True) -> np.ndarray:
    """Real numbers that the user gave, as float64.

    Parameters
    ----------
    value : array-like
    name : str
        What to call it in errors.
    finite : bool, default=True
        Refuse NaN and infinity.

    Raises
    ------
    ValueError, TypeError
        If these are no real numbers, or not finite ones.
    """
    try:
        array = np.asarray(value)
        if np.iscomplexobj(array):
            raise ValueError("Complex data not supported")
        array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} must hold real numbers: {error}") from error
    if finite and not np.all(np.isfinite(array)):
        raise ValueError(f"{name} contains NaN or infinity; give finite numbers.")
    return array


def check_shape(array: np.ndarray, shape: tuple[int, ...], name: str) -> None:
    """ValueError unless the array has this shape."""
    if array.shape != shape:
        raise ValueError(
            f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}"
        )


def check_mixing_weights(values: Any, n_components: int, name: str = "weights_init") -> np.ndarray:
    """Weights that sum to 1, as float64.

    Raises
    ------
    ValueError
        In scikit-learn's words, which its tests expect.
    """
    weights = read_array(values, name)
    check_shape(weights, (n_components,), "weights")
    low, high = weights.min(), weights.max()
    if low < 0.0 or high > 1.0:
        raise ValueError(
            "The parameter 'weights' should be in the range [0, 1], but got max value"
            f" {low:.5f}, min value {high:.5f}"
        )
    total = weights.sum()
    if abs(1.0 - total) > (1e-6 if getattr(values, "dtype", None) == np.float32 else 1e-8):
        raise ValueError(
            f"The parameter 'weights' should be normalized, but got sum(weights) = {total:.5f}"
        )
    return weights / total


def check_probabilities(values: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Probabilities whose last axis sums to 1, as float64.

    Raises
    ------
    ValueError
        If the shape is another, one is negative, or they do not sum to 1.
    """
    array = read_array(values, name)
    check_shape(array, shape, name)
    if array.min() < 0:
        raise ValueError(f"{name} must hold probabilities, got {array.min():g}.")
    totals = array.sum(axis=-1, keepdims=True)
    if np.any(np.abs(totals - 1.0) > 1e-6):
        worst = totals.ravel()[np.abs(totals - 1.0).argmax()]
        raise ValueError(
            f"{name} must sum to 1{' in each row' if len(shape) > 1 else ''}, got {worst:g}."
        )
    return array / totals


def column_name(estimator: Any, j: int) -> str:
    """How errors call a column."""
    names = getattr(estimator, "feature_names_in_", None)
    return f"column {j}" if names is None else f"column {names[j]!r}"


def _explain(X: Any, error: Exception) -> str:
    """Which columns made scikit-learn's validation fail, and what to do; empty where it is clear already."""
    message = str(error)
    try:
        names = [str(name) for name in X.columns] if hasattr(X, "columns") else None
        columns = [np.asarray(X[name]) for name in X.columns] if names else list(np.asarray(X).T)
    except Exception:
        return ""
    if not columns or np.ndim(columns[0]) != 1:
        return ""
    labels = [repr(name) for name in names] if names else [str(j) for j in range(len(columns))]
    if "NaN" in message or "infinity" in message:
        bad = [_count_bad(column, "NaN" in message) for column in columns]
        listed = ", ".join(
            f"{label} ({b} of {len(columns[0])} rows)"
            for label, b in zip(labels, bad, strict=True)
            if b
        )
        return (
            f"Found in column {listed}. Drop these rows, or fill the cells in before the fit."
            if listed
            else ""
        )
    if "Complex" in message:
        listed = [label for label, c in zip(labels, columns, strict=True) if np.iscomplexobj(c)]
        return (
            f"Not real: column {', '.join(listed)}. Take the real and imaginary parts as columns."
        )
    if "convert" in message or "numeric" in message or "string" in message:
        bad_labels = [label for label, c in zip(labels, columns, strict=True) if not _is_numeric(c)]
        if bad_labels:
            return f"Not numbers: column {', '.join(bad_labels)}. Drop them, or encode them as numbers before the fit."
    return ""


def _count_bad(column: np.ndarray, missing: bool) -> int:
    """How many cells are infinite, or missing where these are refused."""
    try:
        numbers = column.astype(np.float64)
        return int(np.sum(np.isinf(numbers) | (missing & np.isnan(numbers))))
    except (TypeError, ValueError):
        return 0


def _is_numeric(column: np.ndarray) -> bool:
    try:
        column.astype(np.float64)
    except (TypeError, ValueError):
        return False
    return True


def check_n_imputations(n_imputations: Any) -> None:
    """ValueError if it is no whole number from 1 on."""
    if not isinstance(n_imputations, Integral) or n_imputations < 1:
        raise ValueError(f"n_imputations must be a whole number from 1 on, got {n_imputations!r}.")
