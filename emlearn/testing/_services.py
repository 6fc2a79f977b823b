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
        " StudentTHMM GammaHMM",
    },
    "Its columns are, or may be, categories, and a zero is the name of one.": {
        "sparse rows": "CategoricalMixture CategoricalHMM MixedMixture",
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
