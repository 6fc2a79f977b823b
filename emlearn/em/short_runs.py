"""Short runs from many starts, of which the better half goes on (em-EM, with successive halving)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..exceptions import SingularError
from .loop import Result, StopReason
from .sources import Block
from .units import Units

__all__ = ["Contestant", "choose_rows", "short_runs", "sound"]

# objectives this close, in nats a row, are the same optimum: only one run to it goes on
_SAME = 1e-6
# iterations that a run is believed to go on gaining as much as in its last
_HORIZON = 15
# rows of the pieces of a long sequence
_PIECE = 1000


@dataclass
class Contestant:
    """A start that is still in the race.

    Attributes
    ----------
    number : int
        Of the candidate.
    parameters : object
        Where its run stands.
    objective : float
        Of these parameters.
    n_iter : int
        Iterations made so far.
    result : Result
        Of the last of its runs.
    """

    number: int
    parameters: Any
    objective: float = -math.inf
    n_iter: int = 0
    result: Result | None = None

    @property
    def ended(self) -> bool:
        """Whether the run came to rest: it is not continued."""
        return self.result is not None and self.result.reason is not StopReason.MAX_ITER

    def promises(self, target: float) -> bool:
        """Whether the target is within reach."""
        assert self.result is not None
        ends = self.result.objectives[-2:]
        rise = float(ends[-1] - ends[0]) if len(ends) == 2 else math.inf
        return self.objective + (0 if self.ended else _HORIZON * rise) >= target

    def advance(self, outcome: Any) -> bool:
        """Take note of a run; False where it leads nowhere."""
        if not sound(outcome):
            return False
        self.result, self.parameters = outcome, outcome.parameters
        self.objective = float(outcome.objective)
        self.n_iter += outcome.n_iter
        return True


def short_runs(
    candidates: Iterable[Any],
    run: Callable[[Any, int], Result | SingularError],
    *,
    n_best: int = 2,
    n_iterations: int = 3,
    keep: float = 0.5,
    target: float = -math.inf,
    map_calls: Callable[[list[Callable[[], Any]]], list[Any]] | None = None,
) -> list[Contestant]:
    """The best of many starts, by short runs that get longer as starts drop out.

    Each candidate is run for some iterations; the better half goes on from where it stands, for twice
    as many, and so on until ``n_best`` are left. One whose run is singular drops out.

    Parameters
    ----------
    candidates : iterable of parameters
        A :class:`~emlearn.exceptions.SingularError` among them is left out.
    run : callable
        ``run(parameters, n_iterations)`` returns a :class:`~emlearn.em.Result`, or the error of a start that
        is singular.
    n_best : int, default=2
        How many are left for the caller to finish.
    n_iterations : int, default=3
        Of the first round; each round makes twice as many as the one before.
    keep : float, default=0.5
        The share that goes on.
    target : float, default=-inf
        An objective that is known already: a run that would not get there in 15 iterations more, each of which
        gained as much as its last, drops out.
    map_calls : callable, default=None
        Runs a list of functions and returns their values in order, in threads perhaps. None runs one after
        the other.

    Returns
    -------
    list of Contestant
        At most ``n_best``, the best first; empty if all candidates are singular. Runs that reached one
        optimum count once.

    References
    ----------
    Biernacki, C., Celeux, G. and Govaert, G. (2003). Choosing starting values for the EM algorithm for getting
    the highest likelihood in multivariate Gaussian mixture models. Computational Statistics & Data Analysis
    41(3-4), 561-575.

    Jamieson, K. and Talwalkar, A. (2016). Non-stochastic best arm identification and hyperparameter
    optimization. AISTATS.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.em import loop
    >>> from emlearn.em.short_runs import short_runs
    >>> def climb(x, n_iterations):
    ...     # to the nearest even number; the objective is minus its square
    ...     for _ in range(n_iterations):
    ...         x += (2 * round(x / 2) - x) / 2
    ...     return loop.Result(x, -x * x, np.array([-x * x]), 0, 1, 1, loop.StopReason.MAX_ITER, "")
    >>> best = short_runs([5.2, -2.9, 1.1, 0.7, 3.3], climb, n_best=1)
    >>> best[0].number, abs(best[0].parameters) < 0.01
    (3, True)
    """
    map_calls = map_calls or _one_after_the_other
    racing = [
        Contestant(i, parameters)
        for i, parameters in enumerate(candidates)
        if not isinstance(parameters, SingularError)
    ]
    length = n_iterations
    while racing:
        going = [c for c in racing if not c.ended]
        outcomes = map_calls([_call(run, c.parameters, length) for c in going])
        lost = {c.number for c, o in zip(going, outcomes, strict=True) if not c.advance(o)}
        racing = _ranked([c for c in racing if c.number not in lost and c.promises(target)])
        if not all(c.ended for c in racing):
            racing = racing[: max(n_best, math.ceil(keep * len(racing)))]
        if len(racing) <= n_best or all(c.ended for c in racing):
            return racing[:n_best]
        length *= 2
    return []


def _call(run: Callable[..., Any], parameters: Any, length: int) -> Callable[[], Any]:
    return lambda: run(parameters, length)


def _one_after_the_other(calls: list[Callable[[], Any]]) -> list[Any]:
    return [call() for call in calls]


def sound(outcome: Any) -> bool:
    """Whether a run ended at parameters that may be used."""
    return (
        isinstance(outcome, Result)
        and outcome.reason is not StopReason.SINGULAR
        and outcome.objective > -math.inf
    )


def _ranked(racing: list[Contestant]) -> list[Contestant]:
    """The best first, of equals the first; of those at one optimum only one."""
    order = np.argsort([-c.objective for c in racing], kind="stable")
    out: list[Contestant] = []
    for contestant in (racing[i] for i in order):
        if not out or out[-1].objective - contestant.objective > _SAME:
            out.append(contestant)
    return out


def choose_rows(
    block: Block, n_rows: int, random_state: np.random.RandomState, *, whole_units: bool = False
) -> Block:
    """Some of the rows for short runs, or all where they are no more than ``n_rows``.

    Parameters
    ----------
    block : Block
        Of rows or :class:`~emlearn.em.Units`.
    n_rows : int
        About how many.
    random_state : RandomState
    whole_units : bool, default=False
        Choose units as they are. They are cut into pieces of at most 1000 rows otherwise, each of which is then a
        unit.

    Returns
    -------
    Block
        Without rows of weight 0, if some are left out.
    """
    if block.n_rows <= n_rows:
        return block
    weight = np.ones(block.n_rows) if block.sample_weight is None else block.sample_weight
    if not isinstance(block.X, Units):
        rows = np.flatnonzero(weight > 0)
        if len(rows) > n_rows:
            rows = np.sort(random_state.choice(rows, n_rows, replace=False))
        return _taken(block, block.X[rows], rows)
    begins, ends = block.X.begins, block.X.ends
    if not whole_units:
        pieces = [np.arange(a, b, _PIECE) for a, b in zip(begins, ends, strict=True)]
        begins = np.concatenate(pieces)
        ends = np.append(begins[1:], ends[-1])
    counts = np.flatnonzero(np.add.reduceat(weight, begins) > 0)
    order = random_state.permutation(counts)
    lengths = (ends - begins)[order]
    enough = int(np.searchsorted(np.cumsum(lengths), n_rows)) + 1
    chosen = np.sort(order[:enough])
    rows = np.concatenate([np.arange(begins[u], ends[u]) for u in chosen])
    return _taken(block, Units(block.X.rows[rows], np.cumsum((ends - begins)[chosen])), rows)


def _taken(block: Block, X: Any, rows: np.ndarray) -> Block:
    weight, labels = block.sample_weight, block.labels
    return Block(
        X,
        None if weight is None else weight[rows],
        None if labels is None else labels[rows],
    )
