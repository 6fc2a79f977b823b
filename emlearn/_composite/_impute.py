"""Missing cells filled in by a fitted model: what is expected of them, or draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import check_is_fitted

from .._data import check_n_imputations
from ..em.posteriors import SOFT, PosteriorMode
from ..em.reduce import take_rows
from ..em.units import Units
from ._model import Fitted

__all__ = ["ImputeMixin", "missing_cells"]

# draws have a stream of their own in each block, which labels are drawn from as well
_CELLS = 1
# rows that are drawn at once, of several imputations where they are few
_ROWS = 16384


class ImputeMixin:
    """The engine's part of ``impute`` and ``sample_imputations``: any latent structure, any family."""

    def _imputed(self, X: Any, ends: Callable[[int], np.ndarray] | None = None) -> Any:
        """X with what is expected of its missing cells; ``ends(n)`` is where the units of n rows end."""
        return self._fill_in(X, ends, [None])[0]

    def _imputations(
        self,
        X: Any,
        n_imputations: int,
        random_state: Any,
        ends: Callable[[int], np.ndarray] | None = None,
    ) -> Any:
        """The same with draws, so many times."""
        check_is_fitted(self)
        check_n_imputations(n_imputations)
        rng = check_random_state(self.random_state if random_state is None else random_state)
        seeds = rng.randint(np.iinfo(np.int32).max, size=n_imputations).tolist()
        found = self._fill_in(X, ends, seeds)
        return np.stack(found) if isinstance(found[0], np.ndarray) else found

    def _fill_in(
        self, X: Any, ends: Callable[[int], np.ndarray] | None, seeds: list[int | None]
    ) -> list[Any]:
        """X once for each seed, cells drawn; None is what is expected of them."""
        check_is_fitted(self)
        given = self._read_rows(X, reset=False)
        rows = self._encode_rows(given, reset=False)
        missing = missing_cells(given)
        holes = np.flatnonzero(missing.any(axis=1)) if missing.size else np.empty(0, np.intp)
        if ends is not None:  # what is around a row says something of it
            data, places = Units(rows, ends(rows.shape[0])), holes
        else:
            data, places = rows[holes], np.arange(len(holes))
        if not len(holes):
            return [given.copy() if hasattr(given, "copy") else given.clone() for _ in seeds]
        cells = np.concatenate(self._drawn_cells(data, places, seeds), axis=1)
        return [_put(given, missing, holes, values) for values in cells]

    def _drawn_cells(
        self, data: Any, places: np.ndarray, seeds: list[int | None]
    ) -> list[np.ndarray]:
        """Rows with holes, which are at these places of the data, filled and decoded: (n_seeds, rows, d), in blocks."""
        parameters, model = self._recall_for(data), self._fitted_model()
        distribution, components = model.distribution, parameters.components

        def block(rows: slice) -> list[np.ndarray]:
            first, last = np.searchsorted(places, (rows.start, rows.stop))
            if first == last:
                return []
            part, inside = take_rows(data, rows), places[first:last] - rows.start
            cells = (part.rows if isinstance(part, Units) else part)[inside]
            modes = [_mode(seed, rows.start) for seed in seeds]
            shares = [p[inside] for p in model.posteriors(parameters, part, modes)]
            if seeds[0] is None:
                found = [distribution.fill(components, cells, shares[0])]
            else:
                labels = np.stack([drawn.argmax(axis=1) for drawn in shares])
                stream = _stream(seeds[0], rows.start)
                found = _draw_all(distribution, components, cells, labels, stream)
            return [np.stack([distribution.decode(table, Fitted(self)) for table in found])]

        return self._over_blocks(block, data, list.__add__)


def _draw_all(
    distribution: Any,
    components: Any,
    cells: np.ndarray,
    labels: np.ndarray,
    stream: np.random.RandomState,
) -> list[np.ndarray]:
    """Draws of the missing cells of some rows, for each row of labels (n_imputations, n); some together."""
    together = max(1, _ROWS // len(cells))
    found: list[np.ndarray] = []
    for at in range(0, len(labels), together):
        some = labels[at : at + together]
        many = np.tile(cells, (len(some), 1))
        drawn = distribution.draw_missing(components, many, some.ravel(), stream)
        found.extend(np.split(drawn, len(some)))
    return found


def _mode(seed: int | None, row: int) -> PosteriorMode:
    return SOFT if seed is None else PosteriorMode("stochastic", seed=(seed, row))


def _stream(seed: int, row: int) -> np.random.RandomState:
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence((seed, row, _CELLS))))


# ------------------------------------------------------------ tables as given


def missing_cells(X: Any) -> np.ndarray:
    """Where nothing is (n, d): NaN, None, or what a data frame calls missing."""
    if sparse.issparse(X):
        return np.zeros((X.shape[0], 0), dtype=bool)
    if hasattr(X, "isna"):
        return X.isna().to_numpy()
    if isinstance(X, np.ndarray):
        return _is_missing(X)
    columns = [_is_missing(np.asarray(_safe_indexing(X, j, axis=1))) for j in range(X.shape[1])]
    return np.stack(columns, axis=1)


def _is_missing(X: np.ndarray) -> np.ndarray:
    if X.dtype.kind == "f":
        return np.isnan(X)
    if X.dtype.kind != "O":
        return np.zeros(X.shape, dtype=bool)
    none = np.vectorize(lambda v: v is None or type(v).__name__ == "NAType", otypes=[bool])(X)
    # what is not itself is NaN, of whatever type
    return none | np.vectorize(lambda v: isinstance(v, float) and v != v, otypes=[bool])(X)


def _put(given: Any, missing: np.ndarray, holes: np.ndarray, values: np.ndarray) -> Any:
    """A copy of a table, with values (rows with holes, d) where something is missing."""
    where = missing[holes]
    if isinstance(given, np.ndarray):
        out = given.copy()
        out[missing] = values[where]
        return out
    if hasattr(given, "iloc"):
        out = given.copy()
        for j in np.flatnonzero(where.any(axis=0)):
            out.isetitem(j, _fill_series(given.iloc[:, j], missing[:, j], values[where[:, j], j]))
        return out
    # polars
    names = [given.columns[j] for j in np.flatnonzero(where.any(axis=0))]
    filled = []
    for j, name in zip(np.flatnonzero(where.any(axis=0)), names, strict=True):
        column = given.get_column(name)
        cells = np.array(column.to_list(), dtype=object)
        cells[missing[:, j]], kept = _as_kind(column, values[where[:, j], j])
        dtype = column.dtype if kept else None
        filled.append(type(column)(name, cells.tolist(), dtype=dtype, strict=False))
    return given.with_columns(filled)


def _fill_series(column: Any, missing: np.ndarray, values: np.ndarray) -> Any:
    """A column of a pandas data frame, filled in; one of whole numbers becomes one of numbers where it must."""
    cells, kept = _as_kind(column, values)
    out = column.copy() if kept else column.astype("Float64")
    out[missing] = cells
    return out


def _as_kind(column: Any, values: np.ndarray) -> tuple[list[Any], bool]:
    """Values as a column has them, and whether it can: one of whole numbers has no others."""
    cells = [v.item() if isinstance(v, np.generic) else v for v in values]
    kind = str(column.dtype).lower()
    if kind.startswith("bool"):
        return [bool(v) for v in cells], True
    return cells, not (kind.startswith(("int", "uint")) and any(v != round(v) for v in cells))
