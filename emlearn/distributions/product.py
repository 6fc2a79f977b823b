"""A product of families: blocks of columns that are independent given the component."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.utils import InputTags, _safe_indexing, check_array
from sklearn.utils._indexing import _get_column_indices
from sklearn.utils._param_validation import StrOptions

from ..em.fixed import Constraints
from ..em.held import Held, Space
from ..em.statistics import Joint
from ..exceptions import UnobservedColumnsError
from ._base import Distribution, Fold, Prior, m_step_beside
from .bernoulli import Bernoulli
from .categorical import Categorical
from .gamma import Gamma
from .gaussian import Gaussian
from .multinomial import Multinomial
from .poisson import Poisson
from .student_t import StudentT
from .von_mises_fisher import VonMisesFisher

__all__ = ["Product", "ProductParameters", "ProductPrior"]

# families by the names that blocks may call them
FAMILIES: dict[str, Callable[[], Distribution]] = {
    "gaussian": lambda: Gaussian("diag", reg_covar=1e-6),
    "student_t": lambda: StudentT("diag", reg_covar=1e-6),
    "gamma": Gamma,
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "poisson": Poisson,
    "multinomial": Multinomial,
    "von_mises_fisher": VonMisesFisher,
}

# ------------------------------------------------------------ parameters


@dataclass(frozen=True)
class ProductParameters:
    """Parameters of each block.

    Attributes
    ----------
    parts : dict of str to object
        The blocks' parameters by their names.
    """

    parts: dict[str, Any]


class ProductPrior(Prior):
    """The blocks' own priors.

    Parameters
    ----------
    priors : dict of str to Prior, default=None
        By the names of the blocks; a block that is not there has none. None gives each block the
        default of its family.
    """

    def __init__(self, priors: Mapping[str, Prior] | None = None) -> None:
        self.priors = priors

    def bind(
        self,
        X: Any,
        sample_weight: np.ndarray | None,
        n_components: int,
        distribution: Any,
        fold: Fold | None = None,
    ) -> Self:
        priors = self.priors
        if priors is None:
            priors = {
                name: family.default_prior()
                for name, family in distribution.families.items()
                if family.default_prior is not None
            }
        unknown = set(priors) - set(distribution.families)
        if unknown:
            raise ValueError(
                f"prior: there is no block {sorted(unknown)}; the blocks are {list(distribution.families)}."
            )
        bound = {
            name: distribution.families[name].bind_prior(
                prior,
                distribution.block(X, name),
                sample_weight,
                n_components,
                **_of_block(distribution, name, fold),
            )
            for name, prior in priors.items()
        }
        return type(self)(bound)


def _of_block(distribution: Any, name: str, fold: Fold | None) -> dict[str, Fold]:
    """A fold over the columns of a block."""
    if fold is None:
        return {}

    def of_block(function: Any, merge: Any) -> Any:
        return fold(partial(_apply_to_block, function, distribution, name), merge)

    return {"fold": of_block}


def _apply_to_block(
    function: Any, distribution: Any, name: str, X: Any, sample_weight: np.ndarray | None
) -> Any:
    return function(distribution.block(X, name), sample_weight)


class Product(Distribution):
    """Blocks of columns, each of a family of its own, independent given the component.

    Parameters
    ----------
    blocks : "auto" or list of tuple, default="auto"
        ``(name, distribution, columns)`` each, as in scikit-learn's ColumnTransformer: columns are
        names, positions, a slice, a boolean mask, or a callable of the data; the distribution is one,
        or "gaussian", "student_t", "gamma", "bernoulli", "categorical", "poisson", "multinomial" or
        "von_mises_fisher", with its usual hyper-parameters. Columns in no block are left out.
        "auto" goes by the types of a data frame: categories, strings and objects are categorical,
        booleans Bernoulli, whole numbers of at least 0 Poisson, other numbers Gaussian with a
        variance each.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.distributions import Product
    >>> product = Product([("size", "gaussian", [0]), ("kind", "categorical", [1])])
    >>> X, learned = product.encode(np.array([[1.5, 0], [2.5, 1]]), None, str)
    >>> learned["kind_categories"]
    [array([0., 1.])]
    """

    parameters_class = ProductParameters
    takes_frames = True
    default_prior = ProductPrior

    _parameter_constraints: dict = {"blocks": [StrOptions({"auto"}), list]}

    def __init__(self, blocks: Any = "auto") -> None:
        self.blocks = blocks

    def input_tags(self, tags: InputTags) -> InputTags:
        tags.categorical = True
        tags.string = True
        if isinstance(self.blocks, str):
            tags.allow_nan = True
            return tags
        families = [b[1] for b in self.blocks if isinstance(b, tuple) and len(b) == 3]
        families = [
            f
            for f in families
            if isinstance(f, Distribution) or (isinstance(f, str) and f in FAMILIES)
        ]
        tags.allow_nan = any(_family(f).input_tags(InputTags()).allow_nan for f in families)
        return tags

    @property
    def continuous(self) -> bool:
        """True where all blocks are."""
        families = getattr(self, "families", {}).values()
        return bool(families) and all(family.continuous for family in families)

    # --------------------------------------------------------------- data

    def encode(
        self, X: Any, learned: Mapping[str, Any] | None, column: Callable[[int], str]
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The blocks' columns side by side, as numbers; learned are ``blocks`` and what each block learns."""
        blocks = self._find_blocks(X, column) if learned is None else learned["blocks"]
        parts, found = [], {}
        for name, family, columns in blocks:
            family = _family(family)
            try:
                part = _read(X, columns, family)
                part, more = family.encode(
                    part,
                    None if learned is None else _Part(learned, name),
                    lambda j, columns=columns: column(columns[j]),
                )
            except (TypeError, ValueError) as error:
                bad = [j for j in columns if not _is_readable(X, j, family)]
                listed = ", ".join(column(j) for j in (bad or columns)[:5])
                raise type(error)(f"Block {name!r} ({listed}): {error}{_advice(bad)}") from error
            parts.append(part.toarray() if sparse.issparse(part) else part)
            found |= {f"{name}_{key}": value for key, value in more.items()}
        floats = {part.dtype for part in parts if part.dtype.kind == "f"}
        dtype = np.float32 if floats == {np.dtype(np.float32)} else np.float64
        X = np.hstack([np.asarray(part, dtype=dtype) for part in parts])
        return X, {"blocks": blocks, **found}

    learns = True

    def merge_learned(self, a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
        merged: dict[str, Any] = {"blocks": a["blocks"]}
        for (name, family, columns), (other, _, others) in zip(
            a["blocks"], b["blocks"], strict=False
        ):
            if name != other or columns != others or len(a["blocks"]) != len(b["blocks"]):
                raise ValueError(
                    f"the types of the columns differ: {columns} were {name!r} before, here {others} are {other!r}."
                    " Say what they are: blocks=[...]."
                )
            mine, theirs = (
                {key[len(name) + 1 :]: v for key, v in found.items() if key.startswith(f"{name}_")}
                for found in (a, b)
            )
            if mine:
                more = _family(family).merge_learned(mine, theirs)
                merged |= {f"{name}_{key}": value for key, value in more.items()}
        return merged

    def _find_blocks(
        self, X: Any, column: Callable[[int], str]
    ) -> list[tuple[str, Any, list[int]]]:
        if isinstance(self.blocks, str):
            if self.blocks != "auto":
                raise ValueError(f"blocks must be 'auto' or a list, got {self.blocks!r}.")
            kinds: dict[str, list[int]] = {}
            for j in range(X.shape[1]):
                kinds.setdefault(_kind(X, j), []).append(j)
            return [(name, name, columns) for name, columns in kinds.items()]
        blocks, taken = [], {}
        for entry in self.blocks:
            try:
                name, family, columns = entry
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"Each of blocks must be (name, distribution, columns), got {entry!r}."
                ) from error
            named = isinstance(family, str) and family in FAMILIES
            if not isinstance(family, Distribution) and not named:
                raise ValueError(
                    f"Block {name!r}: the distribution must be one, or of {sorted(FAMILIES)}, got {family!r}."
                )
            if not str(name).isidentifier() or name in (b[0] for b in blocks):
                raise ValueError(
                    f"blocks: names must be distinct and fit for attributes, got {name!r}."
                )
            _family(family)._validate_params()
            columns = columns(X) if callable(columns) else columns
            try:
                columns = [int(j) for j in _get_column_indices(X, columns)]
            except (TypeError, ValueError) as error:
                raise type(error)(f"Block {name!r}: {error}") from error
            for j in columns:
                if j in taken:
                    raise ValueError(
                        f"{column(j)} is in block {name!r} and in block {taken[j]!r}; it may be in one,"
                        " once."
                    )
                taken[j] = name
            if columns:
                # what is learned must not change with what the user does to his own
                own = clone(family) if isinstance(family, Distribution) else family
                blocks.append((name, own, columns))
        if not blocks:
            raise ValueError("blocks: no column is in any block.")
        return blocks

    def assume(self, values: Mapping[str, Any]) -> dict[str, Any]:
        if isinstance(self.blocks, str):
            raise ValueError("blocks: give the list of blocks; 'auto' needs data to look at.")
        blocks, learned = [], {}
        for name, family, columns in self.blocks:
            if not all(isinstance(j, int | np.integer) for j in np.atleast_1d(columns).tolist()):
                raise ValueError(
                    f"Block {name!r}: without data, columns are positions, got {columns!r}."
                )
            blocks.append((name, family, [int(j) for j in np.atleast_1d(columns)]))
            more = _family(family).assume(_Part(values, name))
            learned |= {f"{name}_{key}": value for key, value in more.items()}
        return {"blocks": blocks, **learned}

    def resolve(self, learned: Mapping[str, Any]) -> Self:
        resolved = type(self)(self.blocks)
        resolved.families, resolved._slices, start = {}, {}, 0
        resolved._columns = {name: columns for name, _, columns in learned["blocks"]}
        for name, family, columns in learned["blocks"]:
            resolved.families[name] = _family(family).resolve(_Part(learned, name))
            resolved._slices[name] = slice(start, start + len(columns))
            start += len(columns)
        return resolved

    def bind(self, X: Any, sample_weight: np.ndarray | None, fold: Fold | None = None) -> Self:
        bound = type(self)(self.blocks)
        bound._slices, bound._columns = self._slices, self._columns
        bound.families = {
            name: self._bind_block(name, X, sample_weight, fold) for name in self.families
        }
        bound._scales = {}
        for name, family in bound.families.items():
            part = family.embed(bound.block(X, name))
            if not sparse.issparse(part):
                mean = np.average(part, axis=0, weights=sample_weight)
                scale = np.sqrt(np.average((part - mean) ** 2, axis=0, weights=sample_weight))
                bound._scales[name] = mean, np.where(scale > 0, scale, 1.0)
        return bound

    def _bind_block(
        self, name: str, X: np.ndarray, sample_weight: np.ndarray | None, fold: Fold | None
    ) -> Distribution:
        family, more = self.families[name], _of_block(self, name, fold)
        try:
            return family.bind(self.block(X, name), sample_weight, **more)
        except UnobservedColumnsError as error:
            columns = [self._columns[name][j] for j in error.columns]
            raise UnobservedColumnsError(columns) from error

    def block(self, X: np.ndarray, name: str) -> np.ndarray:
        """The encoded columns of a block."""
        return X[:, self._slices[name]]

    def features(self, X: np.ndarray) -> dict[str, Any]:
        return {
            name: family.features(self.block(X, name)) for name, family in self.families.items()
        }

    def row_cost(self, n_components: int, n_features: float) -> float:
        families = getattr(self, "families", None)
        if families is None:
            return n_components * (40 + 8 * n_features)
        return sum(
            family.row_cost(n_components, self._slices[name].stop - self._slices[name].start)
            for name, family in families.items()
        )

    @property
    def exact(self) -> bool:
        """True where all families' M-steps are."""
        return all(family.exact for family in self.families.values())

    @property
    def start_softness(self) -> float:
        """The largest of the families'."""
        return max(family.start_softness for family in self.families.values())

    @property
    def start_parts(self) -> int:
        """So many that each family has a whole number of them."""
        return math.lcm(*(family.start_parts for family in self.families.values()))

    def embed(self, X: np.ndarray) -> np.ndarray:
        """All blocks, each column of numbers at unit variance, each of categories at distance 1."""
        parts = []
        for name, family in self.families.items():
            part = family.embed(self.block(X, name))
            if sparse.issparse(part):
                parts.append(part.toarray() / np.sqrt(2.0))
            else:
                mean, scale = self._scales[name]
                parts.append((part - mean) / scale)
        return np.hstack(parts)

    # ------------------------------------------------------------ density

    def log_density(
        self, parameters: ProductParameters, features: dict[str, Any]
    ) -> tuple[np.ndarray, dict[str, Any]]:
        total, memo = None, {}
        for name, family in self.families.items():
            part, memo[name] = family.log_density(parameters.parts[name], features[name])
            total = part if total is None else total + part
        return total, memo

    # --------------------------------------------------------- statistics

    def statistics(
        self,
        parameters: ProductParameters | None,
        features: dict[str, Any],
        weights: np.ndarray,
        memo: dict[str, Any] | None = None,
    ) -> Joint:
        if parameters is None:
            parts = self.start_parts
            return Joint(
                {
                    name: family.statistics(
                        None, features[name], _fewer(weights, parts // family.start_parts)
                    )
                    for name, family in self.families.items()
                }
            )
        return Joint(
            {
                name: family.statistics(
                    parameters.parts[name],
                    features[name],
                    weights,
                    None if memo is None else memo[name],
                )
                for name, family in self.families.items()
            }
        )

    def expected_statistics(
        self, parameters: ProductParameters, weights: np.ndarray
    ) -> Joint | None:
        parts = {
            name: family.expected_statistics(parameters.parts[name], weights)
            for name, family in self.families.items()
        }
        return None if any(part is None for part in parts.values()) else Joint(parts)

    # ------------------------------------------------------------- M-step

    def m_step(
        self,
        statistics: Joint,
        parameters: ProductParameters | None,
        prior: ProductPrior | None = None,
    ) -> ProductParameters:
        priors = {} if prior is None else prior.priors
        return ProductParameters(
            {
                name: family.m_step(
                    statistics[name],
                    None if parameters is None else parameters.parts[name],
                    priors.get(name),
                )
                for name, family in self.families.items()
            }
        )

    def parameter_spaces(self, n_components: int, n_features: int) -> dict[str, Space]:
        return {
            f"{name}_{key}": space
            for name, family in self.families.items()
            for key, space in family.parameter_spaces(n_components, self._width(name)).items()
        }

    def _width(self, name: str) -> int:
        return self._slices[name].stop - self._slices[name].start

    def settle(self, constraints: Constraints, n_components: int, n_features: int) -> Constraints:
        """What each family makes of its own, with the name of its block and a point in front."""
        settled: dict[str, Held] = {}
        for name, family in self.families.items():
            width = self._width(name)
            keys = family.parameter_spaces(n_components, width)
            own = constraints.only([f"{name}_{key}" for key in keys]).inside(f"{name}_")
            if own:
                settled |= family.settle(own, n_components, width).under(f"{name}.")
        return Constraints(settled)

    def constrained_m_step(
        self,
        statistics: Joint,
        parameters: ProductParameters | None,
        prior: ProductPrior | None,
        constraints: Constraints,
    ) -> ProductParameters:
        priors = {} if prior is None else prior.priors
        return ProductParameters(
            {
                name: m_step_beside(
                    family,
                    statistics[name],
                    None if parameters is None else parameters.parts[name],
                    priors.get(name),
                    constraints.inside(f"{name}."),
                )
                for name, family in self.families.items()
            }
        )

    def n_held(self, parameters: ProductParameters, constraints: Constraints) -> int:
        inner = {name: constraints.inside(f"{name}.") for name in self.families}
        return sum(
            self.families[name].n_held(parameters.parts[name], own)
            for name, own in inner.items()
            if own
        )

    def log_prior(self, parameters: ProductParameters, prior: ProductPrior) -> float:
        return sum(
            self.families[name].log_prior(parameters.parts[name], part)
            for name, part in prior.priors.items()
        )

    def ascent(self, old: ProductParameters, new: ProductParameters, statistics: Joint) -> float:
        return sum(
            family.ascent(old.parts[name], new.parts[name], statistics[name])
            for name, family in self.families.items()
        )

    # ----------------------------------------------------------- sampling

    def sample(
        self, parameters: ProductParameters, counts: np.ndarray, rng: np.random.RandomState
    ) -> np.ndarray:
        return np.hstack(
            [
                family.sample(parameters.parts[name], counts, rng)
                for name, family in self.families.items()
            ]
        )

    def decode(self, X: np.ndarray, learned: Mapping[str, Any]) -> np.ndarray:
        """The columns in their places; one that is in no block is NaN."""
        parts = {
            name: family.decode(self.block(X, name), _Part(learned, name))
            for name, family in self.families.items()
        }
        width = learned.get("n_features_in") or X.shape[1]
        plain = all(np.issubdtype(part.dtype, np.number) for part in parts.values())
        out = np.full((len(X), width), np.nan, dtype=np.float64 if plain else object)
        for name, _, columns in learned["blocks"]:
            out[:, columns] = parts[name]
        return out

    # ------------------------------------------------------ missing cells

    def fill(self, parameters: ProductParameters, X: np.ndarray, shares: np.ndarray) -> np.ndarray:
        return self._by_block(
            X, lambda name, part: self.families[name].fill(parameters.parts[name], part, shares)
        )

    def draw_missing(
        self,
        parameters: ProductParameters,
        X: np.ndarray,
        labels: np.ndarray,
        rng: np.random.RandomState,
    ) -> np.ndarray:
        def draw(name: str, part: np.ndarray) -> np.ndarray:
            return self.families[name].draw_missing(parameters.parts[name], part, labels, rng)

        return self._by_block(X, draw)

    def _by_block(
        self, X: np.ndarray, function: Callable[[str, np.ndarray], np.ndarray]
    ) -> np.ndarray:
        out = np.array(X, copy=True)
        for name, columns in self._slices.items():
            out[:, columns] = function(name, X[:, columns])
        return out

    # --------------------------------------------------------- parameters

    def check_parameters(self, parameters: ProductParameters) -> None:
        for name, family in self.families.items():
            family.check_parameters(parameters.parts[name])

    def shape(self, parameters: ProductParameters) -> tuple[int, int]:
        shapes = [family.shape(parameters.parts[name]) for name, family in self.families.items()]
        return shapes[0][0], sum(d for _, d in shapes)

    def n_free(self, parameters: ProductParameters) -> int:
        return sum(family.n_free(parameters.parts[name]) for name, family in self.families.items())

    @property
    def shared_parameters(self) -> tuple[str, ...]:
        return self._named("shared_parameters")

    @property
    def column_parameters(self) -> tuple[str, ...]:
        return self._named("column_parameters")

    def _named(self, attribute: str) -> tuple[str, ...]:
        return tuple(
            f"{name}_{key}"
            for name, family in self.families.items()
            for key in getattr(family, attribute)
        )

    def publish(self, parameters: ProductParameters) -> dict[str, Any]:
        """The blocks' parameters, each with the name of its block in front."""
        return {
            f"{name}_{key}": value
            for name, family in self.families.items()
            for key, value in family.publish(parameters.parts[name]).items()
        }

    def recall(self, values: Mapping[str, Any]) -> ProductParameters:
        return ProductParameters(
            {name: family.recall(_Part(values, name)) for name, family in self.families.items()}
        )

    def degeneracies(self, parameters: ProductParameters, weights: np.ndarray) -> list[str]:
        return [
            f"Block {name!r}: {sentence}"
            for name, family in self.families.items()
            for sentence in family.degeneracies(parameters.parts[name], weights)
        ]


class _Part(Mapping):
    """What belongs to one block, without its name in front."""

    def __init__(self, values: Mapping[str, Any], name: str) -> None:
        self._values, self._prefix = values, f"{name}_"

    def __getitem__(self, key: str) -> Any:
        return self._values[self._prefix + key]

    def __iter__(self) -> Any:
        n = len(self._prefix)
        return (key[n:] for key in self._values if key.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _fewer(weights: np.ndarray, together: int) -> np.ndarray:
    """Weights of which so many neighbouring columns are taken together."""
    if together == 1:
        return weights
    return weights.reshape(len(weights), -1, together).sum(axis=2)


def _family(family: Any) -> Distribution:
    return FAMILIES[family]() if isinstance(family, str) else family


def _read(X: Any, columns: list[int], family: Distribution) -> Any:
    """Columns as the family takes them."""
    part = _safe_indexing(X, columns, axis=1)
    return check_array(part, **{"dtype": [np.float64, np.float32], **family.check_arguments})


def _is_readable(X: Any, j: int, family: Distribution) -> bool:
    try:
        _read(X, [j], family)
    except (TypeError, ValueError):
        return False
    return True


def _advice(bad: list[int]) -> str:
    """What to do about columns that are none of their family, where it is not said already."""
    if not bad:
        return ""
    return "\nDrop such rows, fill the cells in, encode the column as numbers, or give it another family."


def _kind(X: Any, j: int) -> str:
    """The family that a column's type stands for."""
    column = _safe_indexing(X, j, axis=1) if hasattr(X, "columns") else X[:, j]
    name = str(getattr(column, "dtype", "object")).lower()
    if name.startswith(("datetime", "date", "time", "duration")):
        raise TypeError(
            f"blocks='auto': a column of type {name} is of no family. Make a number of it, such as days"
            " since a date, or leave it out."
        )
    if name.startswith("bool"):
        return "bernoulli"
    if name.startswith(("int", "uint")):
        return "poisson" if column.min() >= 0 else "gaussian"
    if name.startswith(("float", "double")):
        return "gaussian"
    if name == "object" and not hasattr(X, "columns"):
        try:
            np.asarray(column, dtype=np.float64)
            return "gaussian"
        except (TypeError, ValueError):
            return "categorical"
    return "categorical"
