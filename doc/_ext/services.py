"""What works for what, from the registry that the tests run: ``.. services:: table mixture``, ``laws``, ``reasons``."""

import inspect

from docutils import nodes
from sklearn.base import BaseEstimator
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import emlearn
from emlearn.testing import EXCEPTIONS, SERVICES

REASONS = list(dict.fromkeys(EXCEPTIONS.values()))


def estimators(room: str) -> list[type]:
    """Those that the tests find, of some rooms of the package."""
    found = (getattr(emlearn, name) for name in emlearn.__all__)
    return [
        cls
        for cls in found
        if inspect.isclass(cls)
        and issubclass(cls, BaseEstimator)
        and cls.__module__.split(".")[1] in room.split("+")
    ]


def mark(service: str, cls: type) -> str:
    reason = EXCEPTIONS.get((service, cls.__name__))
    return "✓" if reason is None else rf"\({REASONS.index(reason) + 1})"


def short(name: str) -> str:
    name = {"LatentDirichletAllocation": "LDA"}.get(name, name)
    for end in ("Mixture", "HMM"):
        if name.endswith(end) and name not in ("Mixture", "HMM", "GMMHMM"):
            return name.removesuffix(end)
    return name


def table(room: str) -> list[str]:
    """A row for each service, a column for each estimator."""
    columns = estimators(room)
    lines = [".. list-table::", "   :header-rows: 1", "   :class: services", "   :widths: auto", ""]
    lines.append("   * -")
    for cls in columns:
        place = f"emlearn.{cls.__module__.split('.')[1]}.{cls.__name__}"
        lines.append(f"     - :class:`{short(cls.__name__)} <{place}>`")
    for service in SERVICES:
        lines.append(f"   * - {service}")
        lines += [f"     - {mark(service, cls)}" for cls in columns]
    return lines


def laws(_: str) -> list[str]:
    """What each mark says, in a sentence."""
    lines = [".. list-table::", "   :class: differences", "   :widths: 25 75", ""]
    for name, service in SERVICES.items():
        lines += [f"   * - {name}", f"     - {service.description}"]
    return lines


def reasons(_: str) -> list[str]:
    """Why some do not."""
    return [f"{i}. {reason}" for i, reason in enumerate(REASONS, start=1)]


class Services(SphinxDirective):
    """A part of the page of services."""

    required_arguments = 1
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        kind, *room = self.arguments
        make = {"table": table, "laws": laws, "reasons": reasons}[kind]
        return self.parse_text_to_nodes("\n".join(make(*(room or [""]))))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("services", Services)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
