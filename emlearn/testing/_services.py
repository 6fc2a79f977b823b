"""The services of the engine: each of them works for every model, or there is a reason why not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any, NamedTuple

from ._hold import run_all
from ._service_case import ServiceCase
from ._service_data import DATA
from ._service_manners import MANNERS
from ._service_runs import RUNS
from ._service_ways import WAYS

__all__ = ["EXCEPTIONS", "SERVICES", "Service", "check_services", "service_checks"]


class Service(NamedTuple):
    """A service, as a law that holds for every model."""

    #: the law in a sentence
    description: str
    #: of a case: raises ``AssertionError``, or what the estimator raises, where it does not hold
    law: Callable[[ServiceCase], None]

    def check(self, estimator: Any, X: Any, arguments: Any = None) -> None:
        """Hold one estimator to it.

        Parameters
        ----------
        estimator : estimator
            Not fitted, with the settings of its example.
        X : array-like, CSR matrix or data frame of shape (n_samples, n_features)
        arguments : mapping, default=None
            What ``fit`` takes beside them.

        Raises
        ------
        AssertionError
            With what does not hold.
        """
        self.law(ServiceCase(estimator, X, arguments or {}))


#: by name, in the order of the table in the documentation
SERVICES: dict[str, Service] = {
    name: Service((law.__doc__ or "").strip(), law)
    for name, law in {**RUNS, **WAYS, **DATA, **MANNERS}.items()
}

_SELECTOR = "It is a search: its fits are those of the estimator that it is given, by whose settings they have this."

# reason -> service -> estimators
_REASONS: dict[str, dict[str, str]] = {
    "Its densities are of differences from a centre, or of logarithms, where a zero is a number like any other.": {
        "sparse rows": "GaussianMixture BayesianGaussianMixture StudentTMixture GammaMixture GaussianHMM GMMHMM"
        " StudentTHMM GammaHMM FactorAnalysis ProbabilisticPCA",
    },
    "Its columns are, or may be, categories, and a zero is the name of one.": {
        "sparse rows": "CategoricalMixture CategoricalHMM MixedMixture",
    },
    "Regressions are given their covariates: a missing cell of X has no distribution that it could be filled from.": {
        "missing cells": "MixtureRegressor",
        "imputation": "MixtureRegressor",
    },
    "Its statistics are moments of the covariates about their mean, where a zero is a number like any other.": {
        "sparse rows": "MixtureRegressor",
    },
    "It maximises a bound on the evidence; there is no likelihood of one set of parameters.": {
        "honest likelihood": "BayesianGaussianMixture",
    },
    "Its parameters are a posterior distribution, of which no value can be fixed or shared.": {
        "fixed parameters": "BayesianGaussianMixture",
        "equal parameters": "BayesianGaussianMixture",
    },
    "Categories are codes, not measurements: their probabilities are float64 whatever the type of the rows.": {
        "float32": "CategoricalMixture CategoricalHMM",
    },
    "Its fit is that of a GaussianMixture, which has this, and takes missing cells itself; an imputer has no score, and"
    " takes a table that fits in memory.": dict.fromkeys(
        (
            "restarts",
            "restarts, as many as it takes",
            "priors",
            "callbacks",
            "early stop",
            "checkpoints",
            "interrupt",
            "honest likelihood",
            "starts",
            "online",
            "incremental",
            "hard",
            "stochastic",
            "annealing",
            "labels",
            "fixed parameters",
            "equal parameters",
            "sparse rows",
            "fit_blocks",
            "mapped files",
            "partial_fit",
            "Dask",
            "GridSearchCV",
        ),
        "EMImputer",
    ),
    "Its start follows from the rows, so that all starts would be the same.": dict.fromkeys(
        ("restarts", "restarts, as many as it takes", "starts"), "FactorAnalysis ProbabilisticPCA"
    ),
    "Its factors are numbers with an exact posterior: it has no labels to know, to draw or to choose.": dict.fromkeys(
        ("hard", "stochastic", "annealing", "labels"), "FactorAnalysis ProbabilisticPCA"
    ),
    "Not implemented: GaussianMixture(1, covariance_type='factor') is the same model, and has this.": dict.fromkeys(
        ("priors", "fixed parameters"), "FactorAnalysis ProbabilisticPCA"
    ),
    "It has one component, and none to share with.": {
        "equal parameters": "FactorAnalysis ProbabilisticPCA"
    },
    "Its centres are means of whole rows, and distances from them: missing cells are not implemented.": {
        "missing cells": "KMeans",
        "imputation": "KMeans",
    },
    "n_init='auto' is scikit-learn's: one start of k-means++, ten of others, which look at no result.": {
        "restarts, as many as it takes": "KMeans",
    },
    "It has no likelihood and no posterior: its objective is minus the inertia, and each row is in one cluster.": {
        "honest likelihood": "KMeans",
        "stochastic": "KMeans",
        "annealing": "KMeans",
    },
    "Its E-step is hard and has no other mode: all laws of its fits, such as that of SQUAREM, are of a hard one.": {
        "hard": "KMeans",
    },
    "Its centres have no prior: a prior is beside a likelihood, of which the variance is known.": {
        "priors": "KMeans",
    },
    "fit takes what scikit-learn's takes: rows whose cluster is known are not implemented.": {
        "labels": "KMeans",
    },
    "Its only parameters are centres; holding some of them is not implemented, and equal ones are one cluster.": {
        "fixed parameters": "KMeans",
        "equal parameters": "KMeans",
    },
    "A document without a word and one that nobody counted are not told apart: counts that are missing are not"
    " implemented.": {
        "missing cells": "LatentDirichletAllocation",
        "imputation": "LatentDirichletAllocation",
    },
    "It has scikit-learn's parameters: topics begin at random draws, and a fit makes as many passes as it is told.": {
        "restarts, as many as it takes": "LatentDirichletAllocation",
        "starts": "LatentDirichletAllocation",
    },
    "Its priors are part of the model, doc_topic_prior and topic_word_prior, and cannot be left out.": {
        "priors": "LatentDirichletAllocation",
    },
    "It maximises a bound of the likelihood, in which documents have posteriors of their own.": {
        "honest likelihood": "LatentDirichletAllocation",
    },
    "Its posterior is of the shares of topics in each document: no row has a component to draw, to know or to name.": {
        name: "LatentDirichletAllocation" for name in ("hard", "stochastic", "annealing", "labels")
    },
    "The expected counts of all blocks would be in memory, each as large as the topics: online EM is the way.": {
        "incremental": "LatentDirichletAllocation",
    },
    "Its parameters are a posterior distribution of topics, of which no value can be fixed or shared.": {
        "fixed parameters": "LatentDirichletAllocation",
        "equal parameters": "LatentDirichletAllocation",
    },
    _SELECTOR: {
        name: "MixtureSelector"
        for name in SERVICES
        if name
        not in (
            "sample weights",
            "threads",
            "imputation",
            "pickle",
            "skops",
            "clone",
            "scikit-learn's checks",
        )
    },
}

#: (service, name of the estimator's class) -> why there is no such thing
EXCEPTIONS: dict[tuple[str, str], str] = {
    (service, name): reason
    for reason, services in _REASONS.items()
    for service, names in services.items()
    for name in names.split()
}


def check_services(estimator: Any, X: Any, *, skip: Collection[str] = (), **arguments: Any) -> None:
    """Hold an estimator to every service of the engine.

    Parameters
    ----------
    estimator : estimator
        Not fitted, with the number of components that the rows have.
    X : array-like, CSR matrix or data frame of shape (n_samples, n_features)
        Example rows, a hundred or so.
    skip : collection of str, default=()
        Names of services to leave out.
    **arguments : dict
        What ``fit`` takes beside the rows, an entry for each of them: ``groups`` of a model of sequences.

    Raises
    ------
    AssertionError
        With what does not hold, and by how much.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.mixture import PoissonMixture
    >>> from emlearn.testing import SERVICES
    >>> X = np.random.RandomState(0).poisson([[1.0, 9.0], [8.0, 2.0]] * 40)
    >>> SERVICES["warm start"].check(PoissonMixture(2), X)
    """
    run_all(service_checks(estimator, X, skip=skip, **arguments), estimator)


def service_checks(
    estimator: Any, X: Any, *, skip: Collection[str] = (), **arguments: Any
) -> Iterator[tuple[str, Callable[[], None]]]:
    """The checks of :func:`check_services`, one by one, without those that have a reason in ``EXCEPTIONS``.

    Yields
    ------
    name : str
        Of the service.
    check : callable
        Without arguments; raises ``AssertionError`` if the law does not hold.
    """
    unknown = set(skip) - set(SERVICES)
    if unknown:
        raise ValueError(
            f"skip: there are no services {sorted(unknown)}; there are {sorted(SERVICES)}."
        )
    case = ServiceCase(estimator, X, arguments)
    names = [cls.__name__ for cls in type(estimator).__mro__]
    for name, service in SERVICES.items():
        if name not in skip and not any((name, cls) in EXCEPTIONS for cls in names):
            yield name, partial(service.law, case)
