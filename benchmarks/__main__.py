"""``python -m benchmarks [name] [options]``: gmm by default; a name that there is none of lists them."""

import importlib
import sys

from ._run import refuse_unfit

NAMES = (
    "gmm",
    "bayesian",
    "covariance",
    "families",
    "hmm",
    "squarem",
    "overhead",
    "likelihood",
    "mapped",
    "variants",
    "dask",
    "starts",
    "kmeans",
    "lda",
    "missing",
    "impute",
)


def main() -> None:
    name, *rest = sys.argv[1:] or ["gmm"]
    if name.startswith("-"):
        name, rest = "gmm", [name, *rest]
    if name not in NAMES:
        raise SystemExit(f"there is no benchmark {name!r}: choose from {', '.join(NAMES)}")
    refuse_unfit()
    importlib.import_module(f".{name}", __package__).main(rest)


main()
