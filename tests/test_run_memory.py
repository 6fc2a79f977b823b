"""What a run keeps of the rows from one E-step to the next."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from emlearn import EMMixin, LatentDirichletAllocation
from emlearn.callbacks import Checkpoint
from emlearn.em import Block, InMemory, Sums, block_rows, loop
from emlearn.em.memory import Memory
from emlearn.em.problem import ModelProblem

X = np.arange(40.0)[:, None]


class Visits(EMMixin, BaseEstimator):
    """Counts in its memory how often each row was seen; the objective is the number of the run's E-steps."""

    def __init__(self, n_init=1, max_iter=4, n_jobs=None, algorithm="batch", random_state=None):
        self.n_init = n_init
        self.max_iter = max_iter
        self.n_jobs = n_jobs
        self.algorithm = algorithm
        self.random_state = random_state

    tol, batch_size = 0.0, 10

    def initial_parameters(self, X, sample_weight, random_state):
        return {"visits": random_state.uniform(), "none": 0.0}

    def new_memory(self, X):
        return np.zeros(len(X))

    def e_step(self, parameters, X, sample_weight, memory=None):
        if memory is None:
            return Sums({"visits": 0.0, "n": float(len(X)), "none": 1.0}), 0.0
        memory += 1
        sums = {"visits": memory.sum(), "n": float(len(X)), "none": 0.0}
        return Sums(sums), memory.sum() - parameters["none"]

    def m_step(self, statistics, parameters):
        return {"visits": statistics["visits"] / statistics["n"], "none": statistics["none"]}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("settings", [{}, {"n_init": 4}, {"n_init": 4, "n_jobs": 3}])
def test_each_run_has_a_memory_of_its_own(settings):
    with block_rows(7):
        model = Visits(**settings).fit(X)
        blocks = Visits(**settings).fit_blocks([X[:15], X[15:]])
    for fitted in (model, blocks):
        # the last M-step is of the E-step before the last
        assert fitted.visits_ == 4.0 and fitted.lower_bound_ == 5.0
        np.testing.assert_array_equal(fitted.lower_bounds_, [2, 3, 4, 5])
        np.testing.assert_array_equal(fitted.restart_lower_bounds_, 5.0)
        assert fitted.score(X) == 0.0  # which is no run


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_blocks_that_are_the_same_in_each_pass_have_memory_and_random_batches_have_none():
    online = Visits(algorithm="online").fit(X)
    assert online.visits_ == 0.0 and online.none_ > 0
    incremental = Visits(algorithm="incremental").fit(X)
    assert incremental.visits_ > 3.0 and incremental.none_ == 0.0


class Fixed:
    """An accelerator whose one proposal is taken back."""

    proposed = False

    def propose(self, statistics, rise):
        asked, self.proposed = not self.proposed, True
        return statistics * 2.0 if asked else None

    def judge(self, accepted, path):
        self.accepted = accepted


class Rising(Visits):
    """An objective that falls with what was proposed."""

    def e_step(self, parameters, X, sample_weight, memory=None):
        memory += 1
        n = len(X) * (1 + parameters["none"])  # what is wrong stays wrong
        sums = {"visits": memory.sum(), "n": n, "none": n}
        return Sums(sums), memory[0] - 100 * parameters["none"]

    def m_step(self, statistics, parameters):
        return {"visits": float(statistics["visits"]), "none": float(statistics["n"] > 40)}


def problem(model):
    return ModelProblem(model, InMemory(Block(X), lambda X: [slice(0, len(X))]), None)


def test_what_a_proposal_did_that_was_not_kept_is_undone():
    accelerator, seen = Fixed(), []
    result = loop.run(
        problem(Rising()),
        {"visits": 0.0, "none": 0.0},
        tol=0.0,
        max_iter=3,
        accelerator=accelerator,
        boundary=lambda state, _: seen.append(state.saved(None)["memory"][0].copy()),
    )
    assert accelerator.accepted is False and result.n_e_steps > 4
    assert [memory[0] for memory in seen] == [2, 3, 4]
    np.testing.assert_array_equal(result.objectives * len(X), [2, 3, 4])


class Anew(Visits):
    """Begins anew in each E-step, which is worth less and less, until it is told to go on."""

    def new_memory(self, X):
        return {"value": np.zeros(1), "settled": np.zeros(1), "n": np.zeros(1)}

    def settle(self, memory):
        memory["settled"][:] = 1

    def e_step(self, parameters, X, sample_weight, memory=None):
        memory["n"] += 1
        if memory["settled"]:
            memory["value"] += 0.5
        else:
            memory["value"][:] = 10 - (memory["n"] - 3) ** 2
        return Sums({"visits": 1.0, "n": 1.0, "none": 0.0}), float(memory["value"][0])


def test_an_e_step_that_began_anew_and_fell_short_is_made_again_from_what_was_kept():
    result = loop.run(problem(Anew()), {"visits": 0.0, "none": 0.0}, tol=0.0, max_iter=5)
    np.testing.assert_allclose(result.objectives * len(X), [9, 10, 10.5, 11, 11.5])
    assert result.fell is None and result.n_e_steps == 7


class CutError(Exception):
    pass


class Cut:
    def __init__(self, after):
        self.n, self.after = 0, after

    def setup(self, estimator, context):
        pass

    teardown = setup

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if context.task_name == "iteration":
            self.n += 1
            if self.n == self.after:
                raise CutError
        return False


@pytest.mark.parametrize("accelerate", [None, "squarem"])
def test_a_checkpoint_has_the_memory(tmp_path, accelerate):
    rows = np.random.default_rng(0).poisson(0.7, size=(50, 12)).astype(float)
    settings = {"max_iter": 16, "accelerate": accelerate, "random_state": 0}
    whole = LatentDirichletAllocation(3, **settings).fit(rows)
    file = tmp_path / "fit.ckpt"
    model = LatentDirichletAllocation(3, **settings)
    with pytest.raises(CutError):
        model.set_callbacks(Checkpoint(file, every=1), Cut(13)).fit(rows)
    rest = Cut(100)
    model.set_callbacks(Checkpoint(file, every=1), rest).fit(rows)
    np.testing.assert_array_equal(model.components_, whole.components_)
    np.testing.assert_array_equal(model.lower_bounds_, whole.lower_bounds_)
    assert 0 < rest.n < 6


def test_nothing_is_copied_once_documents_go_on(monkeypatch):
    """A pass that cannot begin anew is not taken back."""
    copies = []
    saved = Memory.saved
    monkeypatch.setattr(Memory, "saved", lambda memory: copies.append(1) or saved(memory))
    rows = np.random.RandomState(0).poisson(1.0, size=(30, 12))
    model = LatentDirichletAllocation(3, max_iter=40, random_state=0).fit(rows)
    assert model.n_iter_ == 40 and len(copies) <= 10
