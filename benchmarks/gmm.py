"""GaussianMixture against scikit-learn's.

Each cell is scikit-learn's median time divided by ours, then the ratio that is
asked of it, then our own time; ``!`` marks a cell below what is asked. Both
run on all cores that they may use, in turn, in one process, and the fitted
parameters are asserted to agree before anything is timed.
"""

from __future__ import annotations

from sklearn.mixture import GaussianMixture as Theirs

from ._mixtures import compare


def main(arguments: list[str]) -> None:
    from emlearn.mixture import GaussianMixture as Ours

    compare("gmm", __doc__, Ours, Theirs, arguments, asked_mean=10)
