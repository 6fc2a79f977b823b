"""EMMixin, the loop, threads and acceleration, with models of one's own."""

import dataclasses
import itertools
import json
import math
import threading
import time
import warnings
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_info

from emlearn import EMMixin, GaussianMixture
from emlearn.datasets import (
    load_earthquakes,
    load_faithful,
    load_geyser,
    load_linkage,
    load_london_deaths,
    load_tone,
)
from emlearn.em import (
    Squarem,
    StopReason,
    Sums,
    Units,
    Workers,
    block_rows,
    effective_threads,
    row_blocks,
    run,
    unit_blocks,
)
from emlearn.em.threads import single_threaded_blas
from emlearn.exceptions import ObjectiveFellWarning, SingularError

HERE = Path(__file__).parent / "reference"


def case(file, name):
    return next(c for c in json.loads((HERE / file).read_text())["cases"] if c["id"] == name)


class Linkage(EMMixin, BaseEstimator):
    """Dempster, Laird & Rubin (1977), section 1."""

    def __init__(self, tol=1e-15, max_iter=100, accelerate=None):
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate

    def initial_parameters(self, X, sample_weight, random_state):
        return {"theta": 0.5}

    def e_step(self, parameters, X, sample_weight):
        t = parameters["theta"]
        counts = X.sum(axis=0)
        hidden = counts[0] * t / (2 + t)
        p = np.array([2 + t, 1 - t, 1 - t, t]) / 4
        return Sums({"t": hidden + counts[3], "rest": counts[1] + counts[2]}), counts @ np.log(p)

    def m_step(self, statistics, parameters):
        return {"theta": statistics["t"] / (statistics["t"] + statistics["rest"])}


class BloodGroups(EMMixin, BaseEstimator):
    """Gene counting: phenotypes A, B, AB, O from genes A, B, O."""

    def __init__(self, max_iter=6, tol=0.0):
        self.max_iter = max_iter
        self.tol = tol

    def initial_parameters(self, X, sample_weight, random_state):
        return np.array([0.3, 0.2, 0.5])

    def e_step(self, parameters, X, sample_weight):
        a, b, o = parameters
        n_a, n_b, n_ab, n_o = X.sum(axis=0)
        p = np.array([a * a + 2 * a * o, b * b + 2 * b * o, 2 * a * b, o * o])
        aa, bb = n_a * a * a / p[0], n_b * b * b / p[1]
        genes = [n_a + aa + n_ab, n_b + bb + n_ab, n_a - aa + n_b - bb + 2 * n_o]
        return Sums({"genes": np.array(genes)}), X.sum(axis=0) @ np.log(p)

    def m_step(self, statistics, parameters):
        return statistics["genes"] / statistics["genes"].sum()


class PoissonMixture(EMMixin, BaseEstimator):
    """Poisson components, with every setting of the engine."""

    def __init__(
        self,
        n_components=2,
        tol=1e-3,
        max_iter=100,
        n_init=1,
        random_state=None,
        accelerate=None,
        n_jobs=None,
        warm_start=False,
    ):
        self.n_components = n_components
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.random_state = random_state
        self.accelerate = accelerate
        self.n_jobs = n_jobs
        self.warm_start = warm_start

    def initial_parameters(self, X, sample_weight, random_state):
        return {
            "weights": random_state.dirichlet(np.ones(self.n_components)),
            "rates": random_state.uniform(0.3, 5.0, self.n_components),
        }

    def e_step(self, parameters, X, sample_weight):
        x = X[:, :1]
        joint = np.log(parameters["weights"]) + (
            x * np.log(parameters["rates"]) - parameters["rates"] - gammaln(x + 1)
        )
        rows = np.logaddexp.reduce(joint, axis=1)
        w = np.ones(len(X)) if sample_weight is None else sample_weight
        resp = np.exp(joint - rows[:, None]) * w[:, None]
        return Sums({"n": resp.sum(axis=0), "x": resp.T @ x[:, 0]}), rows @ w

    def m_step(self, statistics, parameters):
        n = statistics["n"]
        return {"weights": n / n.sum(), "rates": statistics["x"] / n}


# ------------------------------------------------------------------ published examples


def test_linkage_iterates():
    expected = case("dlr1977.json", "linkage_dlr")["expected"]
    X = load_linkage().data
    for n, theta in enumerate(expected["iterates"]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = Linkage(max_iter=n, tol=0).fit(X)
        assert model.theta_ == pytest.approx(theta, abs=1e-12)
    # the likelihood is flat to the last bit before theta is: no tol > 0 goes on to the end
    with pytest.warns(ConvergenceWarning):
        fitted = Linkage(tol=0, max_iter=40).fit(X)
    assert fitted.theta_ == pytest.approx(expected["theta_mle"], abs=1e-12)
    assert fitted.theta_ == pytest.approx((15 + math.sqrt(53809)) / 394, abs=1e-14)
    assert fitted.score(X) == fitted.lower_bound_
    assert Linkage().fit(X).converged_


def test_gene_counting():
    expected = case("dlr1977.json", "abo_clarke")["expected"]
    X = np.array([[186.0, 38.0, 13.0, 284.0]])
    with pytest.warns(ConvergenceWarning):
        model = BloodGroups().fit(X)
    np.testing.assert_allclose(model.parameters_, expected["iterates"][-1], atol=1e-10)
    np.testing.assert_allclose(
        BloodGroups(max_iter=200, tol=1e-15).fit(X).parameters_, expected["mle"], atol=1e-10
    )


@pytest.mark.parametrize("accelerate", [None, "squarem"])
def test_london_deaths(accelerate):
    expected = case("poisson_mixture.json", "london_times_mle")["expected"]
    data = load_london_deaths()
    model = PoissonMixture(
        tol=1e-14, max_iter=50_000, random_state=0, accelerate=accelerate, n_init=3
    )
    model.fit(data.data, sample_weight=data.sample_weight)
    order = np.argsort(model.rates_)
    # the likelihood is so flat that a gain of 1e-14 stops plain EM this far from the maximum
    atol = 1e-4 if accelerate is None else 1e-5
    np.testing.assert_allclose(model.rates_[order], expected["rate"], atol=atol)
    np.testing.assert_allclose(model.weights_[order], expected["weight"], atol=atol)
    n = data.sample_weight.sum()
    assert model.lower_bound_ * n == pytest.approx(expected["loglik"], abs=1e-8)


# ------------------------------------------------------------------------------- loop


class Scripted:
    """A problem whose objectives are given in advance; parameters count the M-steps."""

    def __init__(self, objectives, singular_at=None):
        self.objectives = objectives
        self.singular_at = singular_at

    def e_step(self, parameters):
        return Sums({"n": float(parameters + 1)}), self.objectives[parameters]

    def m_step(self, statistics, parameters):
        if self.singular_at == parameters + 1:
            raise SingularError("scripted")
        return parameters + 1

    def ascent(self, old, new, statistics):
        return 0.0


def test_the_rule_compares_the_two_objectives_before_the_last_step():
    result = run(Scripted([0.0, 1.0, 1.05, 1.06, 1.07]), 0, tol=0.1, max_iter=10)
    # after M-step 3 the objectives of parameters 2 and 1 are compared; parameters 3 are returned
    assert (result.n_iter, result.parameters, result.objective) == (3, 3, 1.06)
    assert result.reason is StopReason.CONVERGED
    assert result.n_e_steps == 4
    np.testing.assert_array_equal(result.objectives, [1.0, 1.05, 1.06])
    assert result.previous_objective == 1.05


def test_a_bound_is_compared_step_by_step():
    class Bounded(Scripted):
        def bound(self, old, new, statistics, objective):
            assert (new, statistics["n"], objective) == (old + 1, old + 1, self.objectives[old])
            return [0.5, 1.5, 1.55, 1.56][old]

    objectives = [0.0, 1.0, 2.0, 3.0, 4.0]
    result = run(Bounded(objectives), 0, tol=0.1, max_iter=10)
    assert (result.n_iter, result.objective, result.previous_objective) == (3, 3.0, 1.55)
    first = run(Bounded(objectives), 0, tol=0.1, max_iter=2)
    second = run(Bounded(objectives), 2, tol=0.1, max_iter=9, previous=first.previous_objective)
    assert second.converged and second.n_iter == 1


def test_max_iter_and_a_continued_run():
    problem = Scripted([0.0, 1.0, 1.05, 1.06, 1.07])
    first = run(problem, 0, tol=0.1, max_iter=2)
    assert first.reason is StopReason.MAX_ITER
    second = run(problem, first.parameters, tol=0.1, max_iter=2, previous=first.previous_objective)
    assert second.converged
    assert second.parameters == 3


def test_a_run_that_turns_singular_keeps_its_last_sound_parameters():
    result = run(Scripted([0.0, 1.0, 2.0], singular_at=2), 0, tol=0.1, max_iter=10)
    assert (result.reason, result.parameters) == (StopReason.SINGULAR, 1)
    assert not result.converged
    assert "M-step 2" in result.detail


def test_an_objective_that_is_not_a_number_is_singular():
    with pytest.raises(SingularError, match="not a number"):
        run(Scripted([math.nan]), 0, tol=0.1, max_iter=10)
    result = run(Scripted([0.0, 1.0, math.nan]), 0, tol=0.1, max_iter=10)
    assert (result.reason, result.parameters) == (StopReason.SINGULAR, 1)


def test_the_loop_says_when_the_objective_falls():
    assert run(Scripted([0.0, 1.0, 0.5, 0.5, 0.5]), 0, tol=0.1, max_iter=3).fell == (2, 0.5)
    assert run(Scripted([0.0, 1.0, 1.5, 1.6, 1.6]), 0, tol=0.1, max_iter=3).fell is None

    class Wrong(PoissonMixture):
        def m_step(self, statistics, parameters):
            return {"weights": parameters["weights"], "rates": parameters["rates"] * 1.1}

    X = np.full((30_000, 1), 2.0)
    model = Wrong(random_state=0, max_iter=30, n_init=3, n_jobs=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X)
    fell = [w for w in caught if w.category is ObjectiveFellWarning]
    assert len(fell) == 1
    assert fell[0].filename == __file__


def test_a_monitor_stops_the_run():
    seen = []

    def monitor(state, change):
        seen.append((state.n_iter, state.objective))
        return state.n_iter == 2

    result = run(Scripted([0.0, 1.0, 2.0, 3.0]), 0, tol=0.1, max_iter=9, monitor=monitor)
    assert result.reason is StopReason.CALLBACK
    assert seen == [(1, 1.0), (2, 2.0)]


# ---------------------------------------------------------------------------- EMMixin


def test_a_start_may_be_statistics():
    class FromStatistics(Linkage):
        def initial_parameters(self, X, sample_weight, random_state):
            return Sums({"t": 1.0, "rest": 1.0})

    X = load_linkage().data
    assert FromStatistics().fit(X).theta_ == Linkage().fit(X).theta_


def test_methods_that_are_missing_are_named():
    class Empty(EMMixin, BaseEstimator):
        pass

    with pytest.raises(NotImplementedError, match="Empty must define initial_parameters"):
        Empty().fit([[1.0]])


def test_parameters_may_be_a_dataclass():
    @dataclasses.dataclass(frozen=True)
    class Theta:
        theta: float

    class WithClass(Linkage):
        def initial_parameters(self, X, sample_weight, random_state):
            return Theta(0.5)

        def e_step(self, parameters, X, sample_weight):
            return super().e_step({"theta": parameters.theta}, X, sample_weight)

        def m_step(self, statistics, parameters):
            return Theta(**super().m_step(statistics, None))

    X = load_linkage().data
    with pytest.raises(TypeError, match="parameters_class = Theta"):
        WithClass().fit(X)
    WithClass.parameters_class = Theta
    model = WithClass().fit(X)
    assert model.score(X) == model.lower_bound_


def test_settings_are_validated():
    data = load_london_deaths()
    for bad in ({"tol": -1.0}, {"max_iter": -1}, {"n_init": 0}, {"accelerate": "faster"}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            PoissonMixture(**bad).fit(data.data)


def test_blocks_threads_and_weights_change_nothing_for_a_model_of_ones_own():
    rng = np.random.RandomState(0)
    X = rng.poisson(rng.choice([1.0, 6.0], size=60_000))[:, None].astype(float)
    fits = [PoissonMixture(random_state=0, n_init=3, n_jobs=n, tol=1e-6).fit(X) for n in (1, 2, 4)]
    for other in fits[1:]:
        np.testing.assert_array_equal(other.rates_, fits[0].rates_)
        assert other.lower_bound_ == fits[0].lower_bound_
    values, counts = np.unique(X, return_counts=True)
    weighted = PoissonMixture(random_state=0, n_init=3, tol=1e-6)
    weighted.fit(values[:, None], sample_weight=counts)
    np.testing.assert_allclose(weighted.rates_, fits[0].rates_, rtol=1e-9)


def test_warm_start_of_a_model_of_ones_own():
    data = load_london_deaths()
    once = PoissonMixture(random_state=0, max_iter=20, tol=1e-12)
    often = PoissonMixture(random_state=0, max_iter=1, tol=1e-12, warm_start=True)
    with pytest.warns(ConvergenceWarning):
        once.fit(data.data, sample_weight=data.sample_weight)
    for _ in range(20):
        with pytest.warns(ConvergenceWarning):
            often.fit(data.data, sample_weight=data.sample_weight)
    np.testing.assert_array_equal(once.rates_, often.rates_)


# ------------------------------------------------------------------------ acceleration


def test_squarem_of_a_linear_map_lands_on_its_fixed_point():
    # S -> c + 0.9 (S - c): the extrapolation of one mode is exact
    c = np.array([3.0, 5.0])
    path = [Sums({"n": c + 0.9**i * np.array([1.0, 2.0])}) for i in range(3)]
    squarem = Squarem()
    assert squarem.propose(path[0], 0.0) is None
    assert squarem.propose(path[1], 0.0) is None
    np.testing.assert_allclose(squarem.propose(path[2], 0.0)["n"], c, rtol=1e-12)


def test_squarem_waits_for_small_steps_and_stays_in_the_domain():
    path = [Sums({"n": np.array([1.0, 1.0 - 0.3 * i])}) for i in range(3)]
    eager, patient = Squarem(), Squarem()
    for statistics in path[:2]:
        eager.propose(statistics, 0.0)
        patient.propose(statistics, 1.0)
    assert patient.propose(path[2], 1.0) is None
    proposal = eager.propose(path[2], 0.0)
    assert proposal is None or np.all(proposal["n"] >= 0)


def test_squarem_on_the_london_deaths():
    data = load_london_deaths()
    ratios, gains = [], []
    for seed in range(40):
        fits = [
            PoissonMixture(tol=1e-10, max_iter=20_000, random_state=seed, accelerate=a).fit(
                data.data, sample_weight=data.sample_weight
            )
            for a in (None, "squarem")
        ]
        assert np.all(np.diff(fits[1].lower_bounds_) >= -1e-12)
        ratios.append(fits[0].n_e_steps_ / fits[1].n_e_steps_)
        gains.append(fits[1].lower_bound_ - fits[0].lower_bound_)
    assert np.median(ratios) >= 10
    assert np.min(gains) > -1e-7


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_squarem_never_falls_and_is_no_worse(covariance_type):
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(m, 1.0, size=(150, 2)) for m in (-1.0, 0.5, 2.0)])
    ratios = []
    for seed in range(8):
        fits = [
            GaussianMixture(
                3,
                covariance_type=covariance_type,
                init_params=lambda X, K, rng: rng.randint(K, size=len(X)),
                random_state=seed,
                reg_covar=0,
                tol=1e-9,
                max_iter=20_000,
                accelerate=a,
            ).fit(X)
            for a in (None, "squarem")
        ]
        assert np.all(np.diff(fits[1].lower_bounds_) >= -1e-12)
        assert fits[1].lower_bounds_[-1] == fits[1].lower_bound_
        assert fits[1].n_e_steps_ >= fits[1].n_iter_ + 1
        ratios.append(fits[0].n_e_steps_ / fits[1].n_e_steps_)
    assert np.median(ratios) >= 1.3


def test_a_proposal_that_breaks_a_step_costs_nothing():
    class Fragile(PoissonMixture):
        def m_step(self, statistics, parameters):
            if parameters is not None and np.any(statistics["x"] > 1e4):
                raise np.linalg.LinAlgError("outside")
            return super().m_step(statistics, parameters)

    class Wild:
        def propose(self, statistics, rise):
            return statistics * 1e6

        def judge(self, accepted, path):
            assert not accepted

    data = load_london_deaths()
    model = Fragile()
    start = model.initial_parameters(None, None, np.random.RandomState(0))

    class Bound:
        def e_step(self, parameters):
            return model.e_step(parameters, data.data, data.sample_weight)

        m_step = staticmethod(model.m_step)
        ascent = staticmethod(lambda old, new, statistics: 0.0)

    plain = run(Bound(), start, tol=0.0, max_iter=5)
    wild = run(Bound(), start, tol=0.0, max_iter=5, accelerator=Wild())
    np.testing.assert_array_equal(plain.objectives, wild.objectives)


# ---------------------------------------------------------------------------- threads


@pytest.mark.parametrize("first_out", [0, 1])
def test_overlapping_fits_put_the_threads_back(first_out):
    before = [(i["filepath"], i["num_threads"]) for i in threadpool_info()]
    inside, leave = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]
    seen = []

    def hold(i):
        with single_threaded_blas():
            openmp = [x for x in threadpool_info() if x["user_api"] == "openmp"]
            seen.append({x["num_threads"] for x in openmp})
            inside[i].set()
            leave[i].wait(10)

    threads = [threading.Thread(target=hold, args=(i,)) for i in (0, 1)]
    for thread, entered in zip(threads, inside, strict=True):
        thread.start()
        entered.wait(10)
    for i in (first_out, 1 - first_out):
        leave[i].set()
        threads[i].join()
    assert seen == [{1}, {1}]
    assert [(i["filepath"], i["num_threads"]) for i in threadpool_info()] == before


def test_the_limit_nests_in_one_thread_and_beside_another():
    before = [(i["filepath"], i["num_threads"]) for i in threadpool_info()]
    done = threading.Event()

    def other():
        with single_threaded_blas():
            done.wait(10)

    thread = threading.Thread(target=other)
    with single_threaded_blas():
        thread.start()
        with single_threaded_blas():
            assert {i["num_threads"] for i in threadpool_info()} == {1}
        assert {i["num_threads"] for i in threadpool_info()} == {1}
    done.set()
    thread.join()
    assert [(i["filepath"], i["num_threads"]) for i in threadpool_info()] == before


def test_a_failure_ends_the_calls_that_are_under_way():
    steps = []
    with pytest.raises(KeyError), Workers(2) as workers:

        def long():
            for i in range(10_000):
                workers.check()
                steps.append(i)
                time.sleep(0.001)
            return [0]

        def broken():
            time.sleep(0.02)
            raise KeyError("broken")

        workers.map_reduce([long, broken], list.__add__, bounded=False)
    assert len(steps) < 5_000


def test_jobs_nest_and_merge_in_order():
    with Workers(3) as workers:

        def inner(i):
            calls = [lambda j=j: [(i, j)] for j in range(7)]
            return workers.map_reduce(calls, list.__add__)

        result = workers.map_reduce([lambda i=i: inner(i) for i in range(5)], list.__add__)
    assert result == [(i, j) for i in range(5) for j in range(7)]


def test_few_values_are_alive():
    alive, most, lock = set(), [0], threading.Lock()

    class Value:
        def __init__(self):
            with lock:
                alive.add(id(self))
                most[0] = max(most[0], len(alive))

        def __del__(self):
            with lock:
                alive.discard(id(self))

    def slow_first(i):
        if i == 0:
            time.sleep(0.05)
        return Value()

    with Workers(2) as workers:
        workers.map_reduce([lambda i=i: slow_first(i) for i in range(50)], lambda a, b: a)
    assert most[0] <= 2 + 2


@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_an_error_in_a_call_reaches_the_caller(n_threads):
    def call(i):
        if i == 3:
            raise KeyError(i)
        return i

    with Workers(n_threads) as workers, pytest.raises(KeyError, match="3"):
        workers.map_reduce([lambda i=i: call(i) for i in range(9)], lambda a, b: a + b)


def test_number_of_threads():
    assert effective_threads(3) == 3
    assert effective_threads(-1) >= 1
    with pytest.raises(ValueError, match="n_jobs=0"):
        effective_threads(0)


def test_blocks_cover_the_rows_once():
    for n in (1, 2, 1000, 16385, 100_000):
        blocks = row_blocks(n, 10, 1000.0)
        assert [i for b in blocks for i in (b.start, b.stop)][::2][0] == 0
        assert sum(b.stop - b.start for b in blocks) == n
        assert all(a.stop == b.start for a, b in itertools.pairwise(blocks))


def test_the_example_data_are_what_they_say():
    assert load_faithful().data.shape == (272, 2)
    assert load_london_deaths().sample_weight.sum() == 1096
    np.testing.assert_array_equal(load_linkage().data, [[125, 18, 20, 34]])
    earthquakes = load_earthquakes()
    assert earthquakes.data.shape == (107, 1) and earthquakes.data.sum() == 2072
    np.testing.assert_array_equal(earthquakes.year, np.arange(1900, 2007))
    geyser = load_geyser()
    np.testing.assert_array_equal(geyser.long, geyser.data[:, 0] >= 3)
    assert geyser.data.shape == (299, 1) and geyser.long.sum() == 194
    tone = load_tone()
    assert tone.data.shape == (150, 1) and tone.target.shape == (150,)


def test_columns_that_stand_apart():
    pytest.importorskip("pandas")
    for load, apart in (
        (load_london_deaths, "sample_weight"),
        (load_earthquakes, "year"),
        (load_geyser, "long"),
    ):
        arrays, frames = load(), load(as_frame=True)
        assert list(frames.data) == frames.feature_names == arrays.feature_names
        np.testing.assert_array_equal(frames.data, arrays.data)
        np.testing.assert_array_equal(frames[apart], arrays[apart])
        assert frames[apart].name in frames.frame and frames[apart].name not in frames.data


# ------------------------------------------------------------------- units


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=60),
    size=st.one_of(st.none(), st.integers(1, 50)),
)
def test_blocks_of_units_are_whole_units(lengths, size):
    ends = np.cumsum(lengths)
    with block_rows(size) if size else nullcontext():
        blocks = unit_blocks(ends, 1.0, 1.0)
    units = Units(np.arange(ends[-1])[:, None], ends)
    parts = [units.take(rows) for rows in blocks]
    np.testing.assert_array_equal(np.concatenate([part.rows for part in parts]), units.rows)
    np.testing.assert_array_equal(
        np.concatenate([np.diff(part.ends, prepend=0) for part in parts]), lengths
    )
    if size:  # no block could take the next unit as well
        for part in parts:
            assert part.shape[0] <= size or len(part.ends) == 1
