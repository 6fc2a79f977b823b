"""Parameters that every estimator has: their defaults, what they may be and what is said of them, once."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any, NamedTuple

from sklearn.utils._param_validation import Interval, StrOptions

__all__ = ["ENGINE", "declare", "set_engine_parameters"]


class Parameter(NamedTuple):
    """A parameter of the constructors."""

    default: Any
    annotation: Any
    allowed: list[Any]
    text: str


#: by name, in the order of signatures and docstrings
ENGINE: dict[str, Parameter] = {
    "algorithm": Parameter(
        "batch",
        str,
        [StrOptions({"batch", "online", "incremental"})],
        """
        algorithm : {"batch", "online", "incremental"}, default="batch"
            "batch" goes through all rows between two M-steps. "online" has an M-step after each
            ``batch_size`` rows, in shuffled order, of statistics that forget; "incremental" one after
            each block of so many, whose share of the statistics it replaces.
        """,
    ),
    "batch_size": Parameter(
        4096,
        int,
        [Interval(Integral, 1, None, closed="left")],
        """
        batch_size : int, default=4096
            Rows of a batch of "online" and "incremental"; of whole sequences where these are the unit.
            "incremental" keeps two statistics, each as large as the parameters, for each block, and takes
            more rows together where there would be more than 1024 blocks.
        """,
    ),
    "learning_decay": Parameter(
        0.7,
        float,
        [Interval(Real, 0.0, 1.0, closed="both")],
        """
        learning_decay : float, default=0.7
            Batch t = 1, 2, ... enters the statistics with the weight
            ``(t + learning_offset) ** -learning_decay``. Above 0.5, up to 1, for a fit that comes to
            rest; with 0 each batch replaces them.
        """,
    ),
    "learning_offset": Parameter(
        10.0,
        float,
        [Interval(Real, 0.0, None, closed="left")],
        """
        learning_offset : float, default=10.0
            The larger, the less do the first batches count.
        """,
    ),
    "e_step": Parameter(
        "soft",
        str,
        [StrOptions({"soft", "hard", "stochastic"})],
        """
        e_step : {"soft", "hard", "stochastic"}, default="soft"
            What becomes of the posterior: it is taken as it is, or its mode (classification EM: the
            objective is the likelihood with the labels), or a draw from it.
        """,
    ),
    "annealing": Parameter(
        None,
        Any,
        ["array-like", None],
        """
        annealing : sequence of float or None, default=None
            Temperatures to go through before the last, 1, as in ``[4, 2]``: at temperature T the posterior
            has the power 1 / T, and EM runs until it rests.
        """,
    ),
    "fixed": Parameter(
        None,
        Any,
        [dict, None],
        """
        fixed : dict or None, default=None
            Values of parameters that the fit keeps: ``{"means": array}`` by the names of the fitted
            attributes without underscore, NaN where the fit is free. They are no free parameters.
        """,
    ),
    "equal": Parameter(
        None,
        Any,
        ["array-like", str, dict, None],
        """
        equal : str, sequence of str, dict or None, default=None
            Name, or names, of parameters that all components share; or by name an array of bool, in the shape of one
            component's, True where they share an element.
        """,
    ),
}


def set_engine_parameters(estimator: Any, given: Mapping[str, Any]) -> None:
    """Store what an ``__init__`` took as ``**engine``.

    Raises
    ------
    TypeError
        In Python's words, if there is another name among them.
    """
    names = type(estimator)._engine
    unknown = set(given) - set(names)
    if unknown:
        raise TypeError(
            f"{type(estimator).__name__}.__init__() got an unexpected keyword argument {min(unknown)!r}"
        )
    for name in names:
        setattr(estimator, name, given.get(name, ENGINE[name].default))


def declare(cls: Any) -> None:
    """Write these parameters into signature and docstring of a class whose ``__init__`` takes ``**engine``.

    They are those that the class names in ``_engine``.
    """
    init: Callable[..., None] | None = vars(cls).get("__init__")
    if init is None:
        return
    signature = inspect.signature(init)
    own = list(signature.parameters.values())
    if not own or own[-1].kind is not inspect.Parameter.VAR_KEYWORD or own[-1].name != "engine":
        return
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=parameter.default,
            annotation=parameter.annotation,
        )
        for name, parameter in ENGINE.items()
        if name in cls._engine and name not in signature.parameters
    ]
    init.__signature__ = signature.replace(parameters=[*own[:-1], *added])  # type: ignore[attr-defined]
    if cls.__doc__ and "    Parameters\n" in cls.__doc__:
        cls.__doc__ = _with_parameters(cls.__doc__, (p.name for p in added))


def _with_parameters(doc: str, names: Iterable[str]) -> str:
    """A docstring with the parameters of the engine at the end of its parameters."""
    text = "".join(
        textwrap.indent(textwrap.dedent(ENGINE[name].text[1:]), "    ") for name in names
    )
    head, rest = doc.split("    Parameters\n    ----------\n", 1)
    parameters, blank, others = rest.partition("\n\n")
    return f"{head}    Parameters\n    ----------\n{parameters}\n{text.rstrip(' ').rstrip()}{blank}{others}"
