"""BayesianGaussianMixture against scikit-learn's: the table of ``gmm``, with the same asked of it row by row."""

from __future__ import annotations

from sklearn.mixture import BayesianGaussianMixture as Theirs

from ._mixtures import compare


def main(arguments: list[str]) -> None:
    from emlearn.mixture import BayesianGaussianMixture as Ours

    compare("bayesian", __doc__, Ours, Theirs, arguments, asked_mean=8)
