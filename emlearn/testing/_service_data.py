"""Laws of data of many kinds: sparse, in single precision, in blocks, in files, on other machines."""

from __future__ import annotations

import copy
import importlib.util
import pickle
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from scipy import sparse

from .. import _blocks
from ..em.reduce import block_rows, row_blocks, unit_blocks
from ._hold import close, hold, same_fit
from ._service_case import FORGETTING, PASSES, ServiceCase, at_least, published
from ._service_missing import MISSING


def check_sparse(case: ServiceCase) -> None:
    """CSR rows are the same rows."""
    tags = case.estimator.__sklearn_tags__().input_tags
    hold(tags.sparse, f"{type(case.estimator).__name__} takes no sparse rows.")
    dense = case.X.toarray() if sparse.issparse(case.X) else case.X
    rows = sparse.csr_array(dense)
    ours, theirs = (case.fit(X, **case.start) for X in (rows, dense))
    same_fit(ours, theirs, "CSR and dense", 1e-9)
    close(case.score(ours, rows), case.score(ours, dense), "score of CSR and dense rows")


def check_float32(case: ServiceCase) -> None:
    """float32 rows give float32 attributes, near those of float64."""
    numbers = isinstance(case.X, np.ndarray) and case.X.dtype.kind in "iuf"
    hold(numbers, "the rows are no numbers.")
    X = case.X.astype(np.float32)
    single = case.fit(X, **case.start)
    same_fit(single, case.fit(X.astype(np.float64), **case.start), "float32 and float64", 1e-3)
    for name, value in published(single).items():
        for array in value if isinstance(value, list) else [value]:
            if isinstance(array, np.ndarray):
                hold(array.dtype == np.float32, f"of float32 rows {name} is {array.dtype}.")


def check_fit_blocks(case: ServiceCase) -> None:
    """A fit of blocks is the fit of all rows; to the bit where the blocks are those of the engine."""
    with block_rows(case.part_rows):
        whole = case.fit(**case.start)
        slices = (
            unit_blocks(case.ends, 1.0, 1.0)
            if case.beside
            else row_blocks(case.n, case.X.shape[1], 1.0)
        )
        blocks = [_block(case, rows) for rows in slices]
        hold(len(blocks) > 1, "the example is one block.")
        ours = case.refit(case.new(**case.start), blocks, {}, "fit_blocks")
        same_fit(ours, whole, "fit_blocks of the engine's blocks")
    uneven = [slice(0, case.ends[0]), slice(case.ends[0], case.n)]
    others = case.new(**case.start)
    case.refit(others, lambda: iter([_block(case, rows) for rows in uneven]), {}, "fit_blocks")
    same_fit(others, case.fit(**case.start), "fit_blocks of other blocks", 1e-10)


def _block(case: ServiceCase, rows: slice) -> tuple[Any, dict[str, Any]]:
    X = case.X.iloc[rows] if hasattr(case.X, "iloc") else case.X[rows]
    return X, {name: value[rows] for name, value in case.given.items()}


def check_memmap(case: ServiceCase) -> None:
    """A file that is mapped into memory, and read in blocks, gives the same fit to the bit."""
    hold(isinstance(case.X, np.ndarray) and case.X.dtype != object, "the rows are no array.")
    with tempfile.TemporaryDirectory() as folder, block_rows(case.part_rows):
        whole = case.fit(**case.start)
        file = Path(folder) / "rows.npy"
        np.save(file, case.X)
        mapped = np.load(file, mmap_mode="r")
        with mock.patch.object(_blocks, "_MAPPED_BYTES", 0):
            hold(_blocks.is_mapped(mapped), "the file is not mapped.")
            with mock.patch.object(
                type(case.estimator), "_source", _told(type(case.estimator)._source, told := [])
            ):
                ours = case.fit(mapped, **case.start)
        del mapped
    hold(told == ["MappedFile"], f"the rows of a mapped file came from {told}.")
    same_fit(ours, whole, "a mapped file and an array")


def _told(function: Any, names: list[str]) -> Any:
    def method(self: Any, *arguments: Any) -> Any:
        source = function(self, *arguments)
        names.append(type(source).__name__)
        return source

    return method


def check_partial_fit(case: ServiceCase) -> None:
    """partial_fit reaches batch EM's likelihood within 0.1 % in 40 passes; weights are repetitions, pickles go on."""
    begun = case.fit(**case.start, **FORGETTING, max_iter=1)
    parts = case.parts(6)
    model = copy.deepcopy(begun)
    for number in range(PASSES * len(parts)):
        if number == PASSES * len(parts) - 3:
            stored = pickle.loads(pickle.dumps(model))
        X, given, _ = parts[number % len(parts)]
        case.refit(model, X, given, "partial_fit")
    at_least(case.score(model), case.score(case.optimum), 1e-3, f"partial_fit in {PASSES} passes")
    hold(model.n_steps_ == PASSES * len(parts), f"n_steps_ is {model.n_steps_}.")
    for X, given, _ in parts[-3:]:
        case.refit(stored, X, given, "partial_fit")
    same_fit(stored, model, "a pickle that goes on with partial_fit")
    _weighed_parts(case, begun)
    fresh = case.new()
    for X, given, _ in parts:
        case.refit(fresh, X, given, "partial_fit")
    hold(np.isfinite(case.score(fresh)), "partial_fit from nothing has no likelihood.")


def _weighed_parts(case: ServiceCase, begun: Any) -> None:
    counts = np.random.RandomState(5).randint(0, 4, size=len(case.units))
    weights = np.repeat(counts, [len(unit) for unit in case.units]).astype(float)
    X, given, _ = case.take(np.repeat(np.arange(len(counts)), counts))
    ours = case.refit(
        copy.deepcopy(begun), None, {**case.given, "sample_weight": weights}, "partial_fit"
    )
    theirs = case.refit(copy.deepcopy(begun), X, given, "partial_fit")
    plain = case.refit(copy.deepcopy(begun), method="partial_fit")
    same_fit(ours, theirs, "partial_fit of weights 0 to 3 and of repetitions", 1e-9)
    hold(ours.lower_bound_ != plain.lower_bound_, "partial_fit takes no notice of weights.")


def check_dask(case: ServiceCase) -> None:
    """A Dask array gives the same fit, and is never made into one table."""
    if importlib.util.find_spec("dask") is None:
        raise unittest.SkipTest("dask is not installed")
    import dask.array as da

    hold(isinstance(case.X, np.ndarray) and case.X.dtype != object, "the rows are no array.")
    with block_rows(case.part_rows):
        slices = unit_blocks(case.ends, 1.0, 1.0)
    sizes = tuple(rows.stop - rows.start for rows in slices)
    hold(len(sizes) > 1, "the example is one block.")
    lazy = da.from_array(case.X, chunks=(sizes, case.X.shape[1]))

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a Dask array is made into one table.")

    with mock.patch.multiple(da.Array, __array__=refuse, compute=refuse):
        ours = case.fit(lazy, **case.start)
    same_fit(ours, case.fit(**case.start), "a Dask array and an array", 1e-10)


DATA = {
    **MISSING,
    "sparse rows": check_sparse,
    "float32": check_float32,
    "fit_blocks": check_fit_blocks,
    "mapped files": check_memmap,
    "partial_fit": check_partial_fit,
    "Dask": check_dask,
}
