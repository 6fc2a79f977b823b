"""An iteration of each covariance model beside our own full one, and beside mclust's ``me``.

100 000 rows, 10 features, 10 components, the same start labels for all; log-likelihoods are asserted to agree.
The time of an iteration is the difference of fits of few and of more of them, divided by what lies between.
mclust's is timed inside R, which reads the data from a binary file; without R and mclust that column is left
out. ``!`` marks what is beyond what is asked: at most 1.5 times our full model, at least 5 times as fast as
mclust.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ._mixtures import make
from ._run import timed

MCLUST = (
    "VVV EEE VVI VII EII EEI VEI EVI VEE EVE VVE EEV VEV EVV"  # in the order of our COVARIANCES
).split()
FEW, MORE = 1, 6
AT_MOST, AT_LEAST = 1.5, 5.0
# models whose M-step is iterative: the two programs are at different places after a few iterations
APART = {"VEI": 1e-3, "VEE": 1e-3, "VEV": 1e-3, "EVE": 1e-2, "VVE": 1e-2}

SCRIPT = """
suppressMessages(library(mclust))
given <- commandArgs(TRUE)
sizes <- as.integer(given[2:4]); few <- as.integer(given[5]); more <- as.integer(given[6])
n <- sizes[1]; d <- sizes[2]; K <- sizes[3]
file <- file(given[1], "rb")
x <- matrix(readBin(file, "double", n * d), n, d)
z <- unmap(readBin(file, "integer", n), 1:K)
close(file)
run <- function(name, m) {
  control <- emControl(tol = c(0, 1e-5), itmax = c(m, 100))
  seconds <- system.time(fit <- me(x, name, z, control = control))[["elapsed"]]
  c(seconds, fit$loglik)
}
for (name in given[-(1:6)]) {
  run(name, few)
  a <- replicate(3, run(name, few)[1])
  b <- replicate(3, run(name, more)[1])
  value <- run(name, more)[2]
  cat(name, (median(b) - median(a)) / (more - few), format(value, digits = 17), "\\n")
}
"""


def missing() -> str | None:
    """Why mclust cannot be run, in a sentence; None where it can."""
    if shutil.which("Rscript") is None:
        return "R is not installed (no Rscript): mclust's column is left out."
    asked = subprocess.run(
        ["Rscript", "-e", "quit(status = !requireNamespace('mclust', quietly = TRUE))"],
        capture_output=True,
    )
    return "R has no package mclust: its column is left out." if asked.returncode else None


def run_mclust(
    X: np.ndarray, labels: np.ndarray, K: int, names: list[str]
) -> dict[str, tuple[float, float]]:
    """Seconds of an iteration, and the log-likelihood ``MORE`` iterations give."""
    with tempfile.TemporaryDirectory() as folder:
        script, data = Path(folder) / "me.R", Path(folder) / "data"
        script.write_text(SCRIPT)
        data.write_bytes(
            np.asfortranarray(X).tobytes(order="F") + (labels + 1).astype(np.int32).tobytes()
        )
        sizes = [str(number) for number in (*X.shape, K, FEW, MORE)]
        command = ["Rscript", str(script), str(data), *sizes, *names]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {
        name: (float(seconds), float(value))
        for name, seconds, value in map(str.split, out.splitlines())
    }


def main(arguments: list[str]) -> None:
    from emlearn.distributions.covariance import COVARIANCES
    from emlearn.mixture import GaussianMixture as Ours

    parser = argparse.ArgumentParser(prog="python -m benchmarks covariance", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each (default 5)")
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    n, d, K = options.rows, 10, 10
    X = make(n, d, K)
    rng = np.random.RandomState(1)
    # near the clusters that there are: far from them, two programs take different turns
    seeds = X[rng.choice(n, K, replace=False)]
    labels = ((X[:, None, :] - seeds) ** 2).sum(axis=2).argmin(axis=1)
    names = list(dict.fromkeys(model.name for model in COVARIANCES.values()))

    def fitter(name: str, n_iter: int) -> Callable[[], object]:
        model = Ours(
            K, covariance_type=name, reg_covar=0, tol=0, max_iter=n_iter, init_params=labels
        )
        return lambda: model.fit(X)

    fits = {name: (fitter(name, FEW), fitter(name, FEW + 20)) for name in names}
    # our start is an M-step already, that mclust counts
    values = {name: fitter(name, MORE - 1)().lower_bound_ * n for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(options.repeats):
        for name, (short, long) in fits.items():
            seconds[name].append((timed(long) - timed(short)) / 20)
    ours = {name: statistics.median(times) for name, times in seconds.items()}

    why = missing()
    peers = {} if why else run_mclust(X, labels, K, MCLUST)
    short = 0
    print(f"an iteration at {n}, {d}, {K}")
    print(f"{'model':>10}{'ms':>9}{'/ full':>8}{'mclust ms':>11}{'ratio':>7}")
    codes = dict(zip(names, MCLUST, strict=False))
    for name in names:
        relative = ours[name] / ours["full"]
        slow = relative > AT_MOST
        line = f"{name:>10}{1e3 * ours[name]:>9.2f}{relative:>7.2f}{'!' if slow else ' '}"
        if codes.get(name) in peers:
            theirs, value = peers[codes[name]]
            below = theirs / ours[name] < AT_LEAST
            slow |= below
            line += f"{1e3 * theirs:>11.1f}{theirs / ours[name]:>6.1f}{'!' if below else ' '}"
            apart = abs(value / values[name] - 1)
            assert apart < APART.get(name, 1e-9), (name, value, values[name])
            line += f"  log-likelihoods differ by {apart:.0e}"
        short += slow
        print(line, flush=True)
    if why:
        print(why)
    if short:
        raise SystemExit(f"{short} models beyond what is asked")
