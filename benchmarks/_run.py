"""Alternating measurements of two contestants, and the table they give."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable

__all__ = ["Row", "alternate", "geometric_mean", "refuse_unfit", "timed"]


def refuse_unfit() -> None:
    """Exit unless the installed package with all its kernels is what would be measured."""
    try:
        import emlearn
    except ImportError as error:
        raise SystemExit(f"emlearn is not installed ({error}): pip install . first") from error
    from pathlib import Path

    from emlearn import _kernels

    root = Path(__file__).resolve().parent.parent
    if root in Path(emlearn.__file__).resolve().parents and "site-packages" not in emlearn.__file__:
        raise SystemExit(
            f"{emlearn.__file__} is the source tree; install the package (pip install .) and run again"
        )
    missing = [name for name, compiled in _kernels.COMPILED.items() if not compiled]
    if missing:
        raise SystemExit(f"kernels not compiled: {', '.join(missing)}; install with a C compiler")


def timed(function: Callable[[], object]) -> float:
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def alternate(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    repeats: int,
    first: tuple[float, float] | None = None,
    least_s: float = 0.02,
) -> tuple[float, float]:
    """Median seconds of each, measured in turn; short calls are repeated inside a measurement.

    ``first`` are the seconds of a call of each, where they are known already.
    """
    functions = ours, theirs
    first = first or (timed(ours), timed(theirs))
    calls = [max(1, int(least_s / max(seconds, 1e-9))) for seconds in first]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for measured, function, n_calls in zip(times, functions, calls, strict=True):
            gc.collect()
            begun = time.perf_counter()
            for _ in range(n_calls):
                function()
            measured.append((time.perf_counter() - begun) / n_calls)
    return statistics.median(times[0]), statistics.median(times[1])


def geometric_mean(values: list[float]) -> float:
    return statistics.geometric_mean(values)


class Row:
    """One line of a table: ratios with the least that is asked of each."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.cells: list[tuple[float, float | None, float]] = []

    def add(self, ours: float, theirs: float, least: float | None) -> None:
        self.cells.append((theirs / ours, least, ours))

    @property
    def short(self) -> int:
        """Cells below what is asked."""
        return sum(least is not None and ratio < least for ratio, least, _ in self.cells)

    def __str__(self) -> str:
        text = f"{self.title:>18}"
        for ratio, least, ours in self.cells:
            mark = " " if least is None or ratio >= least else "!"
            asked = "" if least is None else f"/{least:g}"
            text += f"  {f'{ratio:.1f}{asked}':>10}{mark} {1e3 * ours:>8.2f} ms"
        return text
