"""A fit that is cut short goes on where it was, and an interrupted one keeps what it has."""

import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emlearn._fit import _text
from emlearn.callbacks import Checkpoint
from emlearn.datasets import load_faithful, load_geyser
from emlearn.distributions import NormalInverseWishart
from emlearn.em.problem import ModelProblem
from emlearn.exceptions import CheckpointError
from emlearn.hmm import GaussianHMM
from emlearn.mixture import GaussianMixture

pytestmark = pytest.mark.filterwarnings("ignore", category=ConvergenceWarning)

FAITHFUL = load_faithful().data
GEYSER = load_geyser().data
FITTED = ("lower_bounds_", "restart_lower_bounds_", "n_iter_", "n_e_steps_", "stop_reason_")


class Cut(Exception):
    """Ends a fit from within."""


class Scissors(Checkpoint):
    """A checkpoint that ends the fit after so many writes."""

    writes = 3
    error = Cut

    def for_fit(self):
        mine = super().for_fit()
        mine.writes, mine.error = self.writes, self.error
        return mine

    def write(self, value):
        super().write(value)
        self.writes -= 1
        if self.writes == 0:
            raise self.error


def assert_same(a, b):
    for name in (*a._published_names, *FITTED):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


SETTINGS = {
    "plain": {},
    "restarts": {"n_init": 3, "init_params": "random"},
    "squarem": {"accelerate": "squarem", "max_iter": 60},
    "online": {"algorithm": "online", "batch_size": 50},
    "incremental": {"algorithm": "incremental", "batch_size": 50},
    "hard": {"e_step": "hard"},
    "stochastic": {"e_step": "stochastic", "tol": 1e-9},
    "annealed": {"annealing": [3, 1.5]},
    "threads": {"n_init": 4, "init_params": "random", "n_jobs": 2},
    "auto": {"n_init": "auto", "init_params": "random"},
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("model", [GaussianMixture, GaussianHMM])
def test_a_fit_goes_on_to_the_bit(tmp_path, model, name):
    settings = {"tol": 0, "max_iter": 20, "random_state": 0, **SETTINGS[name]}
    X = FAITHFUL if model is GaussianMixture else GEYSER
    whole = model(3, **settings).fit(X)
    path = tmp_path / "fit.ckpt"
    with pytest.raises(Cut):
        model(3, **settings).set_callbacks(Scissors(path, every=3)).fit(X)
    resumed = model(3, **settings).set_callbacks(Checkpoint(path, every=3)).fit(X)
    assert_same(whole, resumed)
    # and the file of a fit that has ended gives its end
    again = model(3, **settings).set_callbacks(Checkpoint(path)).fit(X)
    assert_same(whole, again)


def test_the_stream_of_random_numbers_is_that_of_the_first_time(tmp_path):
    settings = {"tol": 0, "max_iter": 15, "n_init": 3, "init_params": "random"}
    path = tmp_path / "fit.ckpt"
    np.random.seed(5)
    whole = GaussianMixture(2, **settings).fit(FAITHFUL)
    np.random.seed(5)
    with pytest.raises(Cut):
        GaussianMixture(2, **settings).set_callbacks(Scissors(path, every=4)).fit(FAITHFUL)
    np.random.seed(6)
    resumed = GaussianMixture(2, **settings).set_callbacks(Checkpoint(path)).fit(FAITHFUL)
    assert_same(whole, resumed)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_process(tmp_path):
    script = """
import os, signal, sys, warnings
import numpy as np
from emlearn._fit import _text
from emlearn.callbacks import Checkpoint
from emlearn.datasets import load_faithful
from emlearn.mixture import GaussianMixture

warnings.simplefilter("ignore")
path, writes = sys.argv[1], int(sys.argv[2])

class Killer(Checkpoint):
    def write(self, value):
        global writes
        super().write(value)
        writes -= 1
        if writes == 0:
            os.kill(os.getpid(), signal.SIGKILL)

mixture = GaussianMixture(3, tol=0, max_iter=40, n_init=2, random_state=0, accelerate="squarem")
if writes:
    mixture.set_callbacks(Killer(path, every=5))
mixture.fit(load_faithful().data)
print(mixture.means_.tobytes().hex(), mixture.lower_bounds_.tobytes().hex())
"""
    path = str(tmp_path / "fit.ckpt")

    def run(writes):
        return subprocess.run(
            [sys.executable, "-P", "-c", script, path, str(writes)], capture_output=True, text=True
        )

    whole = run(0)
    assert whole.returncode == 0, whole.stderr
    assert run(4).returncode == -signal.SIGKILL and os.path.exists(path)
    resumed = run(1000)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout == whole.stdout


def test_a_file_of_another_fit_is_an_error_that_says_so(tmp_path):
    path = tmp_path / "fit.ckpt"
    GaussianMixture(2, random_state=0).set_callbacks(Checkpoint(path)).fit(FAITHFUL)
    for model, X, word in (
        (GaussianMixture(3, random_state=0), FAITHFUL, "n_components"),
        (GaussianMixture(2, random_state=1), FAITHFUL, "random_state"),
        (GaussianHMM(2, random_state=0), FAITHFUL, "estimator"),
        (GaussianMixture(2, random_state=0), FAITHFUL[:-1], "shape"),
        (GaussianMixture(2, random_state=0), FAITHFUL + 1.0, "data"),
    ):
        with pytest.raises(CheckpointError, match=word):
            model.set_callbacks(Checkpoint(path)).fit(X)
    # what the result does not depend on may change
    GaussianMixture(2, random_state=0, n_jobs=2).set_callbacks(Checkpoint(path)).fit(FAITHFUL)
    GaussianMixture(3, random_state=0).set_callbacks(Checkpoint(path, resume=False)).fit(FAITHFUL)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_broken_file_is_an_error_that_says_so(tmp_path, content):
    path = tmp_path / "fit.ckpt"
    if content is None:
        GaussianMixture(2, random_state=0).set_callbacks(Checkpoint(path)).fit(FAITHFUL)
        content = path.read_bytes()[:-40]
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        GaussianMixture(2, random_state=0).set_callbacks(Checkpoint(path)).fit(FAITHFUL)
    assert path.read_bytes() == content


def test_each_fit_of_a_search_has_its_file(tmp_path):
    checkpoint = Checkpoint(tmp_path / "{fingerprint}.ckpt")
    mixture = GaussianMixture(random_state=0).set_callbacks(checkpoint)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), mixture), {"gaussianmixture__n_components": [1, 2]}, cv=2
    )
    search.fit(FAITHFUL)
    assert len(list(tmp_path.iterdir())) == 5  # two folds of two, and the best of all rows


def test_blocks_resume_as_well(tmp_path):
    settings = {"tol": 0, "max_iter": 12, "random_state": 0}
    blocks = [FAITHFUL[:100], FAITHFUL[100:]]
    path = tmp_path / "fit.ckpt"
    whole = GaussianMixture(3, **settings).fit_blocks(blocks)
    with pytest.raises(Cut):
        GaussianMixture(3, **settings).set_callbacks(Scissors(path, every=3)).fit_blocks(blocks)
    resumed = GaussianMixture(3, **settings).set_callbacks(Checkpoint(path)).fit_blocks(blocks)
    assert_same(whole, resumed)


# -------------------------------------------------------------- interrupted


class Interrupt:
    """Ctrl-C in some iteration."""

    def __init__(self, after):
        self.after = after

    def setup(self, estimator, context):
        self.count = 0

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "iteration":
            self.count += 1
            if self.count == self.after:
                raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["plain", "squarem", "online", "incremental", "hard"])
@pytest.mark.parametrize("model", [GaussianMixture, GaussianHMM])
def test_ctrl_c_keeps_the_best_so_far(model, name):
    settings = {"tol": 0, "max_iter": 20, "random_state": 0, **SETTINGS[name]}
    X = FAITHFUL if model is GaussianMixture else GEYSER
    fit = model(3, **settings).set_callbacks(Interrupt(5))
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        fit.fit(X)
    assert fit.stop_reason_.startswith("interrupted") and not fit.converged_
    assert fit.n_iter_ == 5
    until = model(3, **{**settings, "max_iter": 5}).fit(X)
    for name in until._published_names:
        np.testing.assert_array_equal(getattr(fit, name), getattr(until, name))
    assert np.all(np.isfinite(fit.score_samples(X)))
    pickle.loads(pickle.dumps(fit)).predict(X)


def test_ctrl_c_after_a_better_run_keeps_that():
    settings = {"tol": 0, "max_iter": 20, "random_state": 0, "n_init": 3, "init_params": "random"}
    first = GaussianMixture(3, **{**settings, "n_init": 1}).fit(FAITHFUL)
    fit = GaussianMixture(3, n_jobs=1, **settings).set_callbacks(Interrupt(22))
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        fit.fit(FAITHFUL)
    np.testing.assert_array_equal(fit.means_, first.means_)
    assert "interrupted" in fit.stop_reason_


def test_ctrl_c_before_there_is_anything_is_ctrl_c():
    def start(X, n_components, random_state):
        raise KeyboardInterrupt

    fit = GaussianMixture(2, init_params=start)
    with pytest.raises(KeyboardInterrupt):
        fit.fit(FAITHFUL)
    assert not hasattr(fit, "means_")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_real_signal_in_threads():
    script = """
import os, signal, threading, time, warnings
import numpy as np
from emlearn.mixture import GaussianMixture

X = np.random.default_rng(0).normal(size=(60_000, 4))
threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    fit = GaussianMixture(6, tol=0, max_iter=10**7, random_state=0, n_jobs=2).fit(X)
assert any("interrupted" in str(w.message) for w in caught)
print(fit.stop_reason_, fit.n_iter_, np.isfinite(fit.score(X)))
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("interrupted") and "True" in done.stdout


def test_warm_start_goes_on_from_what_an_interrupted_fit_kept():
    settings = {"tol": 0, "max_iter": 12, "random_state": 0, "warm_start": True}
    whole = GaussianMixture(3, **settings).fit(FAITHFUL)
    fit = GaussianMixture(3, **settings).set_callbacks(Interrupt(5))
    fit.fit(FAITHFUL)
    fit._skl_callbacks = []
    fit.set_params(max_iter=7).fit(FAITHFUL)
    np.testing.assert_array_equal(fit.means_, whole.means_)


def test_a_warm_start_is_a_fit_of_its_own(tmp_path):
    settings = {"tol": 0, "max_iter": 3, "random_state": 0, "warm_start": True}
    plain = GaussianMixture(3, **settings)
    kept = GaussianMixture(3, **settings).set_callbacks(Checkpoint(tmp_path / "{fingerprint}.ckpt"))
    for _ in range(3):
        plain.fit(FAITHFUL)
        kept.fit(FAITHFUL)
        np.testing.assert_array_equal(plain.means_, kept.means_)
    assert len(list(tmp_path.iterdir())) == 3


def test_parameters_that_differ_deep_inside_are_of_another_fit(tmp_path):
    mean = np.zeros(2)
    path = tmp_path / "fit.ckpt"
    long = np.zeros(1500)
    other = long.copy()
    other[700] = 1.0
    first = GaussianMixture(2, prior=NormalInverseWishart(mean=mean), random_state=0)
    first.set_callbacks(Checkpoint(path)).fit(FAITHFUL)
    texts = [_text(NormalInverseWishart(mean=m)) for m in (long, long.copy(), other)]
    assert texts[0] == texts[1] != texts[2]
    assert _text(lambda x: x + 1) != _text(lambda x: x + 2)
    changed = GaussianMixture(2, prior=NormalInverseWishart(mean=mean + 1e-9), random_state=0)
    with pytest.raises(CheckpointError, match="prior"):
        changed.set_callbacks(Checkpoint(path)).fit(FAITHFUL)


@pytest.mark.parametrize("after", [1, 2])
def test_free_energies_are_no_likelihoods(after):
    settings = {"tol": 1e-6, "max_iter": 30, "random_state": 0, "annealing": [4]}
    whole = GaussianMixture(2, **settings).fit(FAITHFUL)
    assert np.all(whole.lower_bounds_ <= whole.lower_bound_ + 1e-9)
    assert len(whole.lower_bounds_) == whole.n_iter_
    last = whole.n_e_steps_ - whole.n_iter_ - 2
    for number in (after, last + after):  # at the high temperature, and after it
        fit = GaussianMixture(2, **settings).set_callbacks(Interrupt(number))
        with pytest.warns(ConvergenceWarning, match="interrupted"):
            fit.fit(FAITHFUL)
        assert fit.lower_bound_ == pytest.approx(fit.score(FAITHFUL), rel=1e-9)


def test_a_callback_that_stops_at_a_high_temperature():
    class Stop(Interrupt):
        def on_fit_task_end(self, estimator, context):
            self.count += context.task_name == "iteration"
            return self.count >= self.after

    fit = GaussianMixture(2, annealing=[4], tol=0, random_state=0).set_callbacks(Stop(3))
    fit.fit(FAITHFUL)
    assert fit.lower_bound_ == pytest.approx(fit.score(FAITHFUL), rel=1e-9)
    assert fit.stop_reason_.startswith("callback")


@pytest.mark.parametrize("algorithm", ["online", "incremental"])
def test_ctrl_c_within_the_first_pass_keeps_what_the_batches_gave(monkeypatch, algorithm):
    calls = []
    batch_step = ModelProblem.batch_step

    def interrupted(self, *arguments):
        calls.append(1)
        if len(calls) == (4 if algorithm == "online" else 10):
            raise KeyboardInterrupt
        return batch_step(self, *arguments)

    monkeypatch.setattr(ModelProblem, "batch_step", interrupted)
    fit = GaussianMixture(2, algorithm=algorithm, batch_size=40, random_state=0)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        fit.fit(FAITHFUL)
    start = GaussianMixture(2, max_iter=0, random_state=0).fit(FAITHFUL)
    assert not np.array_equal(fit.means_, start.means_)
    assert np.isfinite(fit.score(FAITHFUL))


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_runs_in_other_threads_too():
    script = """
import os, signal, threading, time, warnings
import numpy as np
from emlearn.distributions import Gaussian
from emlearn.mixture import Mixture

class Slow(Gaussian):
    def fused(self, *arguments, **more):
        return None
    def log_density(self, *arguments):
        time.sleep(0.2 if threading.current_thread() is not threading.main_thread() else 0.001)
        return super().log_density(*arguments)

X = np.random.default_rng(0).normal(size=(4000, 2))
warnings.simplefilter("ignore")
threading.Timer(2.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
begun = time.monotonic()
fit = Mixture(30, distribution=Slow(), tol=0, max_iter=200, n_init=2, n_jobs=2, random_state=0,
              init_params="random_from_data").fit(X)
print(fit.stop_reason_, time.monotonic() - begun < 20)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("interrupted") and "True" in done.stdout
