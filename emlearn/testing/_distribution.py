"""The laws of a distribution."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import numbers
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import logsumexp
from sklearn.base import clone

from ..distributions import Distribution, Prior
from ..em.statistics import Statistics, combine, difference_norms
from ..exceptions import SingularError
from ..latent import Labels
from ..mixture._model import MixtureParameters
from ._case import LARGE, Case, column, dense
from ._hold import (
    close,
    hold,
    one_by_one,
    pickled,
    rank_gap,
    run_all,
    same_statistics,
    snapshot,
)

__all__ = ["check_distribution", "distribution_checks"]

# z-scores: with fixed seeds a sound family is far below, and stays there
_FAR = 5.5


def check_distribution(
    distribution: Distribution,
    X: Any,
    *,
    n_components: int = 3,
    prior: Prior | None = None,
    support: Any = None,
    reference: Callable[[np.random.RandomState, int], tuple[np.ndarray, np.ndarray]] | None = None,
    skip: Collection[str] = (),
) -> None:
    """Hold a distribution to all laws of the contract.

    Parameters
    ----------
    distribution : Distribution
    X : array-like, CSR matrix or data frame of shape (n, d), or callable
        Example rows, as a user would give them: a hundred or so, of one or two columns. They should
        vary enough for ``n_components`` components with parameters inside their domain, or be
        a callable ``X(random_state)`` that draws such rows.
    n_components : int, default=3
    prior : Prior or None, default=None
        Of the parameters, not bound; None is the family's default prior, where it has one.
    support : array-like, default=None
        Where the density is. Of a discrete family: all rows that have a probability worth
        mentioning, as a user would give them. Of a continuous one: lower and upper bound of each
        column, (d, 2) or (2,), which may be infinite. None takes the real line, its positive part
        where the family refuses negative values, and counts the rows of samples where the family is
        discrete.
    reference : callable, default=None
        For densities with respect to another measure: ``reference(random_state, n)`` draws rows that
        reach wherever the density is, and returns them with the logarithm of the density they
        were drawn with, by the same measure.
    skip : collection of str, default=()
        Names of checks to leave out.

    Raises
    ------
    AssertionError
        With the laws that do not hold, and by how much.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.distributions import Poisson
    >>> from emlearn.testing import check_distribution
    >>> X = np.random.RandomState(0).poisson([[1.0], [4.0], [9.0]] * 40)
    >>> check_distribution(Poisson(), X.astype(float), support=np.arange(60.0)[:, None])
    """
    checks = distribution_checks(
        distribution,
        X,
        n_components=n_components,
        prior=prior,
        support=support,
        reference=reference,
        skip=skip,
    )
    run_all(checks, distribution)


def distribution_checks(
    distribution: Distribution,
    X: Any,
    *,
    n_components: int = 3,
    prior: Prior | None = None,
    support: Any = None,
    reference: Callable[[np.random.RandomState, int], tuple[np.ndarray, np.ndarray]] | None = None,
    skip: Collection[str] = (),
) -> Iterator[tuple[str, Callable[[], None]]]:
    """The checks of :func:`check_distribution`, one by one.

    Parameters are those of :func:`check_distribution`. What the checks have in common is computed
    by the first that needs it.

    Yields
    ------
    name : str
    check : callable
        Without arguments; raises ``AssertionError`` if the law does not hold.

    Examples
    --------
    In a test of your own, with ``pytest``::

        @pytest.mark.parametrize(("name", "check"), distribution_checks(MyFamily(), X))
        def test_my_family(name, check):
            check()
    """
    case = Case(
        distribution,
        X,
        n_components=n_components,
        prior=prior,
        support=support,
        reference=reference,
    )
    yield from one_by_one(CHECKS, case, skip)


# ------------------------------------------------------------------- shapes


def check_shapes_and_types(case: Case) -> None:
    """Every method returns what the contract says, in shape and type."""
    distribution, n, K = case.bound, case.n, case.K
    parameters = case.parameters
    hold(
        dataclasses.is_dataclass(parameters) and type(parameters).__dataclass_params__.frozen,
        f"parameters: a frozen dataclass is expected, got {type(parameters).__name__}.",
    )
    shape = distribution.shape(parameters)
    d = case.data.shape[1]
    hold(tuple(shape) == (K, d), f"shape: {(K, d)} is expected of {K} components, got {shape}.")
    answer = distribution.log_density(parameters, case.features)
    hold(
        isinstance(answer, tuple) and len(answer) == 2,
        "log_density: the log-densities and a memo are expected (None where there is none).",
    )
    log_density, memo = answer
    hold(
        log_density.shape == (n, K) and log_density.dtype == np.float64,
        f"log_density: float64 of shape {(n, K)} is expected, got {log_density.dtype} of shape"
        f" {log_density.shape}.",
    )
    hold(not np.isnan(log_density).any(), "log_density: it is NaN at example rows.")
    hold(
        np.isfinite(log_density).all(),
        "log_density: example rows are impossible under parameters that are their own M-step.",
    )
    start = case.statistics(case.features, case.weights, None)
    hold(
        isinstance(start, Statistics),
        f"statistics: Statistics are expected, got {type(start).__name__}.",
    )
    later = distribution.statistics(parameters, case.features, case.weights, memo)
    hold(
        set(later.coordinates(start)) == set(start.coordinates(later)),
        "statistics: at a start they are of another kind than later.",
    )
    one = distribution.features(case.data[:1])
    close(
        distribution.log_density(parameters, one)[0],
        log_density[:1],
        "log_density of one row alone",
    )
    cost = distribution.row_cost(K, float(d))
    hold(np.isfinite(cost) and cost > 0, f"row_cost: a positive number is expected, got {cost}.")
    n_free = distribution.n_free(parameters)
    hold(isinstance(n_free, numbers.Integral), f"n_free: an int is expected, got {n_free!r}.")
    hold(
        distribution.embed(case.data).shape[0] == n,
        "embed: an array with as many rows as the data is expected.",
    )
    wrong = [s for s in distribution.degeneracies(parameters, np.full(K, 1 / K)) if not s]
    hold(not wrong, "degeneracies: there are empty sentences.")


def check_sample_shapes(case: Case) -> None:
    """Samples are sorted by component, as many rows as asked; none and one are numbers too."""
    d = case.data.shape[1]
    for counts in (
        [5] * case.K,
        [0] * (case.K - 1) + [4],
        [1] + [0] * (case.K - 1),
        list(range(case.K)),
    ):
        rows = case.fresh.sample(case.parameters, np.array(counts), case.rng())
        hold(
            rows.shape == (sum(counts), d),
            f"sample: {(sum(counts), d)} is the shape for counts {counts}, got {rows.shape}.",
        )
    a, b = (case.fresh.sample(case.parameters, np.full(case.K, 6), case.rng(3)) for _ in range(2))
    hold(np.array_equal(a, b), "sample: the same random state gives other rows at a second call.")


# ------------------------------------------------------------------ density


def check_density_sums_to_one(case: Case) -> None:
    """The density sums or integrates to one."""
    if case.rules is None:
        _atoms(case, each=False)
        return
    for k, rule in enumerate(case.rules):
        log_density = case.rule_density(rule)[:, k]
        hold(not np.isnan(log_density).any(), f"the density of component {k} is NaN somewhere.")
        mass, error = rule.mass(log_density)
        hold(
            error < 0.05,
            f"the integral of component {k} is {mass:.4g} ± {error:.2g}: too rough to tell. Give rows of"
            " one or two columns, or a reference that reaches wherever the density is.",
        )
        exact = 1e-4 if not case.fresh.continuous and case.reference is None else 1e-6
        hold(
            abs(mass - 1.0) <= exact + _FAR * error,
            f"the density of component {k} does not {'integrate' if rule.drawn else 'sum'} to 1 but to"
            f" {mass:.8g}" + (f" ± {error:.2g}." if rule.drawn else "."),
        )


def _atoms(case: Case, *, each: bool) -> None:
    """Probabilities of rows that samples hold are the shares of fresh samples that hold them."""
    fresh = np.split(dense(case.sample(np.full(case.K, LARGE), 21)), case.K)
    for k in range(case.K):
        rows = np.unique(case.large_sample[k], axis=0)
        hold(
            len(rows) < LARGE / 4,
            f"component {k}: {len(rows)} of {LARGE} sampled rows are distinct, so that counting them"
            " says nothing of their probability. Give support or reference.",
        )
        p = np.exp(case.density(case.parameters, case.bound.features(rows))[:, k])
        found, counts = np.unique(fresh[k], axis=0, return_counts=True)
        position = {row.tobytes(): count for row, count in zip(found, counts, strict=True)}
        share = np.array([position.get(row.tobytes(), 0) for row in rows]) / LARGE
        if each:
            z = (share - p) / np.sqrt(np.maximum(p, 1 / LARGE) / LARGE)
            worst = int(np.abs(z).argmax())
            hold(
                np.abs(z[worst]) < _FAR,
                f"sample: component {k} draws the row {rows[worst].tolist()} with a share of"
                f" {share[worst]:.4g} of {LARGE}, where the density says {p[worst]:.4g} ({z[worst]:+.1f}"
                " standard errors).",
            )
            continue
        total = share.sum()
        error = np.sqrt(max(total * (1 - total), 1 / LARGE) / LARGE)
        hold(
            abs(p.sum() - total) < _FAR * error + 1e-6,
            f"the density of component {k} does not sum to 1: rows that it gives a probability of"
            f" {p.sum():.6g} have a share of {total:.6g} ± {error:.2g} in its samples.",
        )


def check_sample_follows_density(case: Case) -> None:
    """Samples are drawn from the density: their characteristic functions agree."""
    if case.rules is None:
        _atoms(case, each=True)
        return
    rng = case.rng(5)
    for k, (sample, rule) in enumerate(zip(case.large_sample, case.rules, strict=True)):
        sample = sample.astype(np.float64)
        middle = np.median(sample, axis=0)
        scale = np.where(sample.std(axis=0) > 0, sample.std(axis=0), 1.0)
        directions = rng.standard_normal((sample.shape[1], 24)) * np.geomspace(0.3, 3.0, 24)
        phases = rng.uniform(0, 2 * np.pi, size=24)

        def waves(
            x: np.ndarray,
            middle: np.ndarray = middle,
            scale: np.ndarray = scale,
            directions: np.ndarray = directions,
            phases: np.ndarray = phases,
        ) -> np.ndarray:
            return np.cos((x - middle) / scale @ directions + phases)

        drawn = waves(sample)
        expected, error = rule.integrate(case.rule_density(rule)[:, k], waves(rule.points))
        spread = np.sqrt(drawn.var(axis=0) / len(sample) + error**2) + 1e-9
        z = (drawn.mean(axis=0) - expected) / spread
        worst = int(np.abs(z).argmax())
        hold(
            np.abs(z[worst]) < _FAR,
            f"sample: component {k} is not drawn from its density: the mean of a cosine is"
            f" {drawn.mean(axis=0)[worst]:.5f} in {len(sample)} rows and {expected[worst]:.5f} by the density"
            f" ({z[worst]:+.1f} standard errors).",
        )


def check_recovers_parameters(case: Case) -> None:
    """The M-step of a large sample finds the parameters: the gain in likelihood is chi-squared."""
    n_free = case.bound.n_free(case.parameters)
    small, n_small = 20, 300
    total = 0.0
    for replicate in range(small):
        total += _likelihood_ratio(case, n_small, 100 + replicate)
    mean, error = total / small, np.sqrt(2.0 * n_free / small)
    hold(
        abs(mean - n_free) < _FAR * error + 0.1 * n_free,
        f"maximum likelihood gains {mean:.2f} in twice the log-likelihood of {n_small} rows of each"
        f" component, drawn from known parameters ({small} samples); n_free = {n_free} is what is expected, ±"
        f" {error:.2f}. The M-step, sample, the density or n_free is wrong.",
    )
    large = LARGE if case.fresh.exact else LARGE // 4  # many M-steps take their time
    gain = _likelihood_ratio(case, large, 99)
    low, high = -1e-3, n_free + 6.0 * np.sqrt(2.0 * n_free) + 20.0
    hold(
        low <= gain <= high,
        f"from {large} rows of each component the M-step finds parameters whose likelihood ratio to those"
        f" they were drawn from is {gain:.4g}, where 0 to {high:.3g} is expected: sample and M-step disagree.",
    )


def _likelihood_ratio(case: Case, n: int, seed: int) -> float:
    rows = case.sample(np.full(case.K, n), seed)
    features = case.bound.features(rows)
    known = np.repeat(np.eye(case.K), n, axis=0)
    found = case.settle(features, known, case.parameters, None, 100)
    return 2.0 * (
        case.expected(features, known, found) - case.expected(features, known, case.parameters)
    )


# ------------------------------------------------------------------- M-step

_SIZES = (1.0, 0.3, 0.1, 0.03, 0.01, 1e-3, -1e-3, -0.01, -0.03)


def check_m_step_maximises(case: Case) -> None:
    """No parameters nearby or far away have a higher expected log-likelihood than those of the M-step."""
    distribution, features, weights = case.bound, case.features, case.weights
    for prior in case.priors:
        best = case.settle(features, weights, case.parameters, prior, 2000)
        statistics = case.statistics(features, weights, best)
        value = case.expected(features, weights, best, prior)
        slack = (1e-9 if case.fresh.exact else 1e-7) * (1.0 + abs(value))
        rng = case.rng(2)
        for _ in range(6):
            other = case.statistics(features, case.other_weights(rng), best)
            for size in _SIZES:
                if not case.fresh.exact and abs(size) > 0.1:
                    continue  # an M-step that only improves may have left a better mode far away
                moved = case.perturbed(statistics, other, size)
                rival = None if moved is None else case.try_m_step(moved, best, prior)
                if rival is None:
                    continue
                gain = case.expected(features, weights, rival, prior) - value
                allowed = -distribution.ascent(rival, best, statistics)
                hold(
                    not gain > max(allowed, 0.0) + slack,
                    f"the M-step{' under the prior' if prior is not None else ''} is no maximiser: other"
                    f" parameters (its own, of statistics moved by {size:g}) have an expected log-likelihood"
                    f" higher by {gain:.4g}; it is {value:.8g}.",
                )


def check_m_step_improves(case: Case) -> None:
    """An M-step from anywhere does not lower the expected log-likelihood."""
    distribution, features, weights = case.bound, case.features, case.weights
    rng = case.rng(3)
    for prior in case.priors:
        for _ in range(4):
            other = case.other_weights(rng)
            start = case.statistics(features, other, None)
            old = distribution.m_step(start, None, prior)
            for _ in range(4):
                statistics = case.statistics(features, weights, old)
                new = distribution.m_step(statistics, old, prior)
                before = case.expected(features, weights, old, prior)
                gain = case.expected(features, weights, new, prior) - before
                least = distribution.ascent(old, new, statistics)
                hold(
                    gain >= least - 1e-9 * (1.0 + abs(before)),
                    f"an M-step{' under the prior' if prior is not None else ''} lowers the expected"
                    f" log-likelihood of {before:.8g} by {least - gain:.4g}.",
                )
                old = new


def check_em_is_monotone(case: Case) -> None:
    """In a mixture, the objective never falls, with the prior and without."""
    rng = case.rng(4)
    starts = [case.weights, case.other_weights(rng), 0.1 + 0.9 * np.eye(case.K)[case.labels]]
    starts[-1] /= starts[-1].sum(axis=1, keepdims=True)
    for prior in case.priors:
        model = case.model(prior)
        for weights in starts:
            old, before = case.start(model, weights), -np.inf
            statistics, ascent = None, 0.0
            for iteration in range(25):
                statistics, value = model.plain_e_step(old, case.features, None)
                value += model.log_prior(old)
                fall = before + ascent - value
                hold(
                    not fall > 1e-9 * (1.0 + abs(value)),
                    f"EM{' under the prior' if prior is not None else ''}: the objective falls by"
                    f" {fall:.4g} at iteration {iteration}, to {value:.8g}.",
                )
                try:
                    new = model.m_step(statistics, old)
                except SingularError:
                    break
                ascent, before, old = model.ascent(old, new, statistics), value, new


def check_prior(case: Case) -> None:
    """The M-step reads the prior, whose log-density is finite there and high where data weigh nothing."""
    if case.prior is None:
        return
    statistics = case.statistics(case.features, case.weights, case.parameters)
    found = case.bound.m_step(statistics, case.parameters, case.prior)
    value = case.bound.log_prior(found, case.prior)
    hold(
        isinstance(value, float) and np.isfinite(value),
        f"log_prior: a finite float is expected, got {value!r}.",
    )
    moved = np.abs(case.density(found) - case.density(case.parameters)).max()
    hold(moved > 1e-12, "m_step does not read the prior: its parameters are the same without it.")
    strong = case.bound.m_step(statistics * 1e-6, case.parameters, case.prior)
    low, high = (case.bound.log_prior(p, case.prior) for p in (case.parameters, strong))
    hold(
        high >= low - 1e-9 * (1.0 + abs(low)),
        f"where the data weigh next to nothing, the M-step has a log-prior of {high:.6g}, lower than"
        f" {low:.6g} of other parameters.",
    )


def check_empty_component(case: Case) -> None:
    """A component without weight leaves the M-step finite, and the others as they are."""
    weights = case.weights.copy()
    weights[:, 0] = 0.0
    empty = np.zeros_like(weights)
    for prior in case.priors:
        for parameters in (None, case.parameters):
            statistics = case.statistics(case.features, weights, parameters)
            nothing = case.statistics(case.features, empty, parameters)
            for merged in (statistics, statistics + nothing, nothing + statistics):
                found = case.bound.m_step(merged, parameters, prior)
                log_density = case.density(found)
                hold(
                    not np.isnan(log_density).any() and np.isfinite(log_density[:, 1:]).all(),
                    "m_step: after a component without weight, log-densities are NaN or -inf"
                    f" ({'at a start' if parameters is None else 'later'}).",
                )
                hold(
                    np.isfinite(logsumexp(log_density[:, :1], axis=0)).all(),
                    "m_step: a component without weight gives no row a density, so that it stays empty.",
                )


# --------------------------------------------------------------- statistics


def _far_statistics(case: Case) -> Statistics:
    """A reference that is none of the statistics compared."""
    return case.statistics(case.features, case.other_weights(case.rng(77)), case.parameters)


def check_weights_are_repeats(case: Case) -> None:
    """A weight of 2 is a row given twice, a weight of 0 a row left out."""
    distribution = case.bound
    counts = case.rng(6).randint(0, 4, size=case.n)
    repeated = np.repeat(np.arange(case.n), counts)
    reference = _far_statistics(case)
    for parameters in (None, case.parameters):
        whole = case.statistics(case.features, case.weights * counts[:, None], parameters)
        rows = distribution.features(case.data[repeated])
        again = case.statistics(rows, case.weights[repeated], parameters, repeated)
        same_statistics(
            whole, again, reference, "statistics of rows with weights 0 to 3 and of repeated rows"
        )
        found = distribution.m_step(whole, parameters)
        expected = distribution.m_step(again, parameters)
        close(
            case.density(found),
            case.density(expected),
            "log-densities after weights 0 to 3 and after repeated rows",
            1e-7,
        )


def check_blocks_add_up(case: Case) -> None:
    """Features, densities and statistics of blocks are those of the whole."""
    distribution = case.bound
    reference = _far_statistics(case)
    edges = [0, 1, case.n // 3, case.n // 3 + 2, case.n]
    blocks = [slice(a, b) for a, b in itertools.pairwise(edges)]
    for parameters in (None, case.parameters):
        whole = case.statistics(case.features, case.weights, parameters)
        parts, densities = [], []
        for block in blocks:
            features = distribution.features(case.data[block])
            if parameters is not None:
                densities.append(distribution.log_density(parameters, features)[0])
            parts.append(case.statistics(features, case.weights[block], parameters, block))
        merged = parts[0]
        for part in parts[1:]:
            merged = merged + part
        same_statistics(merged, whole, reference, "statistics merged from blocks and of all rows")
        if parameters is not None:
            close(np.vstack(densities), case.density(parameters), "log-densities of blocks", 1e-9)
            found, expected = (distribution.m_step(s, parameters) for s in (merged, whole))
            close(
                case.density(found),
                case.density(expected),
                "log-densities after the M-step of blocks",
                1e-7,
            )


def check_statistics_merge(case: Case) -> None:
    """Merging commutes and associates, weighing distributes, combinations are exact in coordinates."""
    rng = case.rng(7)
    reference = _far_statistics(case)
    a, b, c = (
        case.statistics(case.features, case.other_weights(rng), case.parameters) for _ in range(3)
    )
    same_statistics(a + b, b + a, reference, "a + b and b + a")
    same_statistics((a + b) + c, a + (b + c), reference, "(a + b) + c and a + (b + c)")
    same_statistics((a + b) * 1.7, a * 1.7 + b * 1.7, reference, "(a + b) * 1.7 and its parts")
    same_statistics(2.0 * a, a + a, reference, "2 * a and a + a")
    same_statistics(a + b * 0.0, a, reference, "a + 0 * b and a")
    same_statistics(
        combine([0.3, 0.7], [a, b]),
        a * 0.3 + b * 0.7,
        reference,
        "combine([0.3, 0.7]) and a sum",
        1e-8,
    )
    same_statistics(
        combine([-1.0, 2.0], [a, a]), a, reference, "combine([-1, 2], [a, a]) and a", 1e-8
    )
    coordinates = a.coordinates(reference)
    same_statistics(
        reference.from_coordinates(coordinates),
        a,
        reference,
        "from_coordinates of coordinates",
        1e-8,
    )
    norms = difference_norms([1.0, -2.0, 1.0], [a, a, a])
    for name, norm in norms.items():
        size = float(np.linalg.norm(coordinates[name])) + 1e-300
        hold(
            norm <= 1e-9 * size,
            f"difference_norms: a - 2a + a has the norm {norm:.3g} in {name!r}.",
        )
    # the unit of the weights decides nothing
    before = case.bound.m_step(a, case.parameters)
    for factor in (1e-3, 1e3):
        close(
            case.density(case.bound.m_step(a * factor, case.parameters)),
            case.density(before),
            f"log-densities after the M-step of statistics times {factor:g}",
            1e-6,
        )


# --------------------------------------------------------------- parameters


def check_n_free(case: Case) -> None:
    """n_free is the rank of what statistics can do to the density."""
    distribution, parameters = case.bound, case.parameters
    declared = int(distribution.n_free(parameters))
    weights, rng, size = case.weights, case.rng(8), 1e-4
    directions = []
    for _ in range(declared + 8):
        noise = rng.standard_normal(weights.shape)
        ends = [
            case.density(
                case.settle(
                    case.features, weights * (1.0 + sign * size * noise), parameters, None, 3
                )
            )
            for sign in (1.0, -1.0)
        ]
        difference = (ends[0] - ends[1]).ravel()
        length = np.linalg.norm(difference)
        directions.append(difference / length if length > 0 else difference)
    rank, values = rank_gap(np.array(directions))
    near = ", ".join(f"{value:.1e}" for value in values[max(0, rank - 2) : rank + 2])
    hold(
        rank == declared,
        f"n_free is {declared}, but the density has {rank} free parameters: the rank of its derivatives"
        f" along the M-step (singular values about the gap: {near}).",
    )


def check_publish_and_recall(case: Case) -> None:
    """Parameters survive as attributes, also in float32."""
    values = case.bound.publish(case.parameters)
    for name, value in values.items():
        hold(
            not name.endswith("_") and _plain(value),
            f"publish: {name!r} is a {type(value).__name__}; arrays, numbers and strings are expected, under"
            " names without the underscore.",
        )
    expected = case.density(case.parameters)
    recalled = case.fresh.recall(values)
    hold(
        type(recalled) is type(case.parameters),
        f"recall returns {type(recalled).__name__}, not {type(case.parameters).__name__}.",
    )
    close(case.density(recalled), expected, "log-densities after publish and recall", 1e-12)
    hold(
        case.fresh.n_free(recalled) == case.bound.n_free(case.parameters),
        "n_free is another after publish and recall.",
    )
    single = {name: _as_single(value) for name, value in values.items()}
    log_density = case.density(case.fresh.recall(single))
    hold(
        log_density.dtype == np.float64,
        "log-densities of parameters recalled from float32 attributes are not float64.",
    )
    close(log_density, expected, "log-densities after publish in float32 and recall", 1e-3)


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_plain(item) for item in value)
    return value is None or isinstance(value, np.ndarray | np.generic | numbers.Number | str)


def _as_single(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_as_single(item) for item in value]
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        return value.astype(np.float32)
    return value


# --------------------------------------------------------------------- data


def check_encode_and_decode(case: Case) -> None:
    """Encoding again changes nothing, decoded samples encode to themselves, no binding is needed to predict."""
    data, learned = case.encoded
    hold(
        isinstance(learned, dict),
        f"encode: a dict of what was learned is expected, got {learned!r}.",
    )
    again, relearned = case.distribution.encode(case.X, learned, column)
    hold(
        again.shape == data.shape and np.array_equal(dense(again), dense(data), equal_nan=True),
        "encode: what was learned in fit gives other numbers for the same rows afterwards.",
    )
    hold(
        set(relearned) == set(learned),
        f"encode: it learned {sorted(learned)} in fit and {sorted(relearned)} afterwards.",
    )
    rows = case.fresh.sample(case.parameters, np.full(case.K, 20), case.rng(9))
    back = dense(case.encode(case.fresh.decode(rows, learned)))
    close(back, rows, "sampled rows, and these decoded and encoded again", 1e-12)
    expected = case.density(case.parameters)
    unbound = case.fresh.log_density(case.parameters, case.fresh.features(data))[0]
    close(unbound, expected, "log-densities of a distribution that was never bound", 1e-12)


def check_types_and_layouts(case: Case) -> None:
    """float32, Fortran order, strides and CSR matrices give what float64 in C order gives."""
    X = case.X
    if sparse.issparse(X):
        X = X.toarray()
    if not isinstance(X, np.ndarray) or X.dtype.kind not in "iufb":
        return
    rounded = X.astype(np.float32).astype(np.float64)  # the same numbers in either type
    try:
        case.encode(rounded)
        X, single = rounded, 1e-5
    except ValueError:  # rows on a surface are on it to their own precision
        X, single = X.astype(np.float64), 1e-4
    expected = _answers(case, X)
    variants: dict[str, tuple[Any, float]] = {
        "in Fortran order": (np.asfortranarray(X), 1e-9),
        "strided": (np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3], 1e-9),
        "in float32": (X.astype(np.float32), single),
    }
    if case.distribution.check_arguments.get("accept_sparse") and not np.isnan(X).any():
        variants["in a CSR matrix"] = (sparse.csr_matrix(X), 1e-9)
    for name, (variant, tolerance) in variants.items():
        log_density, after = _answers(case, variant)
        hold(
            log_density.dtype == np.float64,
            f"log-densities of rows {name} are {log_density.dtype}.",
        )
        close(log_density, expected[0], f"log-densities of rows {name}", tolerance)
        close(after, expected[1], f"log-densities after the M-step of rows {name}", tolerance * 10)


def _answers(case: Case, X: Any) -> tuple[np.ndarray, np.ndarray]:
    data = case.distribution.encode(X, case.learned, column)[0]
    features = case.bound.features(data)
    log_density, memo = case.bound.log_density(case.parameters, features)
    statistics = case.bound.statistics(case.parameters, features, case.weights, memo)
    return log_density, case.density(case.bound.m_step(statistics, case.parameters))


def check_fused(case: Case) -> None:
    """The fused pass is density, posterior and statistics, one after the other."""
    parameters = MixtureParameters(case.rng(10).dirichlet(np.full(case.K, 5.0)), case.parameters)
    log_weights = Labels().log_weights(parameters.weights)
    for sample_weight in (None, case.rng(10).gamma(1.0, size=case.n)):
        fused = case.bound.fused(case.parameters, log_weights, case.features, sample_weight)
        if fused is None:
            break
        counts, statistics, value = fused
        plain, expected = case.model().plain_e_step(parameters, case.features, sample_weight)
        close(value, expected, "fused: the log-likelihood and that of the plain path")
        close(counts, plain["labels"]["counts"], "fused: the counts and those of the plain path")
        same_statistics(
            statistics,
            plain["components"],
            _far_statistics(case),
            "fused statistics and plain ones",
        )
    n, K = case.n, case.K
    outputs = {
        "joint": np.full((n, K), np.nan),
        "posterior": np.full((n, K), np.nan),
        "log_density": np.full(n, np.nan),
        "label": np.full(n, -1),
    }
    if case.fresh.fused_scores(case.parameters, log_weights, case.data, **outputs) is None:
        return
    joint = case.density(case.parameters) + log_weights
    rows = logsumexp(joint, axis=1)
    close(outputs["joint"], joint, "fused_scores: joint")
    close(outputs["log_density"], rows, "fused_scores: log_density")
    close(outputs["posterior"], np.exp(joint - rows[:, None]), "fused_scores: posterior")
    close(outputs["label"], joint.argmax(axis=1), "fused_scores: label")


# ---------------------------------------------------------------- manners


def check_nothing_is_changed(case: Case) -> None:
    """No method writes to its arguments or to the hyper-parameters, and a clone is as good."""
    distribution = clone(case.distribution)
    X = copy.deepcopy(case.X)
    settings, state = snapshot(distribution.get_params()), snapshot(vars(distribution))
    before = snapshot(X)
    data, learned = distribution.encode(X, None, column)
    given = {"the data": data, "what was learned": learned}
    known = {name: snapshot(value) for name, value in given.items()}
    resolved = distribution.resolve(learned)
    bound = resolved.bind(data, None)
    hold(
        snapshot(vars(distribution)) == state,
        "encode, resolve or bind writes to the distribution; they return new ones.",
    )
    bound_state = snapshot(vars(bound))
    parameters, weights = copy.deepcopy(case.parameters), case.weights.copy()
    kept = {"parameters": snapshot(parameters), "weights": snapshot(weights)}
    prior_state = snapshot(case.prior)
    features = bound.features(data)
    features_before = snapshot(features) if not sparse.issparse(features) else None
    log_density, memo = bound.log_density(parameters, features)
    kept_density = snapshot(log_density)
    statistics = bound.statistics(parameters, features, weights, memo)
    hold(snapshot(log_density) == kept_density, "statistics writes to log-densities.")
    second = bound.statistics(None, features, case.divided(weights))
    kept_statistics = snapshot(statistics), snapshot(second)
    _ = statistics + second, statistics * 0.5, combine([0.5, 0.5], [statistics, second])
    hold(
        (snapshot(statistics), snapshot(second)) == kept_statistics,
        "merging statistics writes to them.",
    )
    for prior in case.priors:
        bound.m_step(statistics, parameters, prior)
        bound.m_step(second, None, prior)
    hold(
        (snapshot(statistics), snapshot(second)) == kept_statistics,
        "m_step writes to the statistics.",
    )
    hold(snapshot(case.prior) == prior_state, "m_step writes to the prior.")
    bound.fused(parameters, np.zeros(case.K), features, None)
    bound.embed(data)
    bound.recall(bound.publish(parameters))
    bound.n_free(parameters), bound.shape(parameters)
    bound.degeneracies(parameters, np.full(case.K, 1 / case.K))
    rows = bound.sample(parameters, np.full(case.K, 3), case.rng())
    bound.decode(rows, learned)
    hold(snapshot(X) == before, "a method writes to the user's X.")
    if features_before is not None:
        hold(snapshot(features) == features_before, "a method writes to the features.")
    for name, value in given.items():
        hold(snapshot(value) == known[name], f"a method writes to {name}.")
    hold(snapshot(parameters) == kept["parameters"], "a method writes to the parameters.")
    hold(snapshot(weights) == kept["weights"], "a method writes to the weights.")
    hold(
        snapshot(distribution.get_params()) == settings and snapshot(vars(bound)) == bound_state,
        "a method writes to the hyper-parameters or to what bind has learned.",
    )
    twin = pickled(clone(distribution))
    hold(
        snapshot(twin.get_params()) == settings,
        "a clone, pickled and read back, has other hyper-parameters.",
    )
    twin = twin.resolve(learned).bind(data, None)
    close(
        twin.log_density(parameters, twin.features(data))[0],
        case.density(case.parameters),
        "log-densities of a clone",
        1e-12,
    )


CHECKS: tuple[Callable[[Case], None], ...] = (
    check_shapes_and_types,
    check_sample_shapes,
    check_density_sums_to_one,
    check_sample_follows_density,
    check_recovers_parameters,
    check_m_step_maximises,
    check_m_step_improves,
    check_em_is_monotone,
    check_prior,
    check_empty_component,
    check_weights_are_repeats,
    check_blocks_add_up,
    check_statistics_merge,
    check_n_free,
    check_publish_and_recall,
    check_encode_and_decode,
    check_types_and_layouts,
    check_fused,
    check_nothing_is_changed,
)
