"""The conformance suite: the laws that a distribution, a latent structure or an estimator of your own must keep.

Each law is a check, a function that raises ``AssertionError`` with what was broken, by how much. The
``check_*`` functions run all of them; the ``*_checks`` generators yield them one by one, for pytest.
"""

from ._distribution import check_distribution, distribution_checks
from ._latent import check_latent, latent_checks
from ._mixture import check_mixture, mixture_checks
from ._services import EXCEPTIONS, SERVICES, check_services, service_checks

__all__ = [
    "EXCEPTIONS",
    "SERVICES",
    "check_distribution",
    "check_latent",
    "check_mixture",
    "check_services",
    "distribution_checks",
    "latent_checks",
    "mixture_checks",
    "service_checks",
]
