"""What may be fixed or equal in Gaussians, read as their M-step wants it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..em.fixed import Constraints
from ..em.held import ROUNDING, Held, Space
from ..em.statistics import Moments
from .covariance import Covariance
from .covariance._structured import complete

__all__ = ["gaussian_spaces", "n_held_gaussian", "settle_gaussian"]

NAMES = ("covariances", "precisions", "precisions_cholesky")
# models of which each variance is that of all components
_SAME = ("EII", "EEI")


def gaussian_spaces(covariance: Covariance, n_components: int, n_features: int) -> dict[str, Space]:
    """Of the published parameters."""
    K, d = n_components, n_features
    shape = covariance.shape(K, d)
    axes = 0 if covariance.form == "pooled" else 1
    variances = covariance.form == "diag"
    space = Space(shape, 0.0 if variances else -np.inf, strict=variances, axes=axes)
    spaces = {"means": Space((K, d)), **dict.fromkeys(NAMES, space)}
    if covariance.low_rank:
        spaces["loadings"] = Space((K, d, covariance.rank(d)))
        spaces["noise_variances"] = Space(covariance.noise_shape(K, d), 0.0, strict=True)
    return spaces


def settle_gaussian(
    covariance: Covariance, constraints: Constraints, label: str = "covariances"
) -> Constraints:
    """``means``; ``covariances``; and ``precisions`` where only some entries are given.

    Parameters
    ----------
    covariance : Covariance
    constraints : Constraints
        By the names of :func:`gaussian_spaces`.
    label : str
        What to call the covariances in errors.

    Raises
    ------
    ValueError
        If the model cannot have them.
    """
    found: dict[str, Held] = dict(constraints.only(["means"]))
    if covariance.low_rank:
        return Constraints({**found, **_settle_factor(covariance.name, constraints, label)})
    given = [name for name in NAMES if name in constraints]
    if not given:
        return Constraints(found)
    fixed = [name for name in given if constraints[name].fixed.any()]
    if len(fixed) > 1:
        raise ValueError(f"fixed: {fixed} say the same thing; give one of them.")
    name = fixed[0] if fixed else given[0]
    held = constraints[name]
    shared = np.any([constraints[n].shared for n in given], axis=0)
    held = replace(held, shared=shared)
    if covariance.form == "diag":
        power = {"covariances": 1, "precisions": -1, "precisions_cholesky": -2}[name]
        values = held.values if power == 1 else held.values ** float(power)
        held = replace(held, values=values)
        if covariance.name in _SAME:
            held = replace(held, shared=np.ones_like(shared))
        parts = {"covariances": held.settled(label)}
    else:
        parts = _settle_matrices(covariance, held.settled(label), name, label)
    if covariance.shared and covariance.name not in _SAME:
        _check_model(covariance, parts.get("covariances"), label)
    return Constraints({**found, **parts})


def _settle_matrices(covariance: Covariance, held: Held, name: str, label: str) -> dict[str, Held]:
    if held.shared.any() and not held.shared.all():
        raise ValueError(
            f"equal: matrices of {label!r} can be equal as a whole only; give its name, without a mask."
        )
    stack = held.values.reshape(-1, *held.values.shape[-2:])
    whole, partial = np.full_like(stack, np.nan), np.full_like(stack, np.nan)
    for k, values in enumerate(stack):
        free = np.isnan(values)
        where = f"fixed: {name if name != 'covariances' else label!r}"
        where += "" if held.values.ndim == 2 else f" of component {k}"
        if free.all():
            continue
        if name == "precisions_cholesky":
            if free.any():
                raise ValueError(
                    f"{where}: give all entries of a factor, or entries of precisions."
                )
            values = covariance.read_factors(values[None])[0]
            whole[k] = covariance.invert((values @ values.T)[None])[0][0]
            continue
        if not np.allclose(values, values.T, rtol=ROUNDING, atol=0.0, equal_nan=True):
            raise ValueError(f"{where} must be symmetric, its NaN too.")
        if complete(values, np.eye(len(values))) is None:
            raise ValueError(f"{where}: no positive definite matrix has these entries.")
        if free.any():
            partial[k] = values
        else:
            whole[k] = values if name == "covariances" else covariance.invert(values[None])[0][0]
    shape = held.values.shape
    if name == "covariances":
        return {"covariances": replace(held, values=np.fmax(whole, partial).reshape(shape))}
    parts = {"covariances": replace(held, values=whole.reshape(shape))}
    if not np.isnan(partial).all():
        parts["precisions"] = replace(held, values=partial.reshape(shape))
    return parts


def _check_model(covariance: Covariance, held: Held | None, label: str) -> None:
    """Of what components have in common nothing is left to find where all is fixed."""
    if held is None or not held.fixed.all():
        raise ValueError(
            f"fixed, equal: components of the model {covariance.name} have parts of their {label} in common."
            f" Fix all of {label!r}, or choose another covariance_type: 'full' and 'diag' take any of their"
            " entries, 'EEE', 'EEI' and 'EII' are equal."
        )
    values = held.values
    moments = Moments(
        np.ones(len(values)), np.zeros(values.shape[:2]), values.copy(), covariance.form
    )
    best = covariance.m_step(moments, 0.0)
    if not np.allclose(best, values, rtol=1e-4, atol=1e-4 * np.abs(values).max()):
        raise ValueError(
            f"fixed: {label!r} are none of the model {covariance.name}, whose components have parts in common."
            " Choose another covariance_type."
        )


def _settle_factor(model: str, constraints: Constraints, label: str) -> dict[str, Held]:
    if any(name in constraints for name in NAMES):
        raise ValueError(
            f"fixed, equal: {label!r} of the model {model} are made of loadings and noise_variances. Fix these, or"
            " choose covariance_type='full'."
        )
    noise, loadings = constraints.get("noise_variances"), constraints.get("loadings")
    for name, held in (("noise_variances", noise), ("loadings", loadings)):
        if held is None:
            continue
        if held.shared.any():
            raise ValueError(
                f"equal: components of the model {model} cannot share {name!r}. Choose another covariance_type."
            )
        each = held.fixed.reshape(len(held.values), -1)
        if np.any(each.any(axis=1) & ~each.all(axis=1)):
            raise ValueError(f"fixed: {name!r} of a component can be fixed as a whole only.")
    if loadings is not None:
        whole = loadings.fixed.all(axis=(1, 2))
        if noise is None or np.any(whole & ~noise.fixed.reshape(len(whole), -1).all(axis=1)):
            raise ValueError(
                "fixed: a component whose loadings are fixed must have fixed noise_variances too."
            )
    return dict(constraints.only(["noise_variances", "loadings"]))


def n_held_gaussian(
    covariance: Covariance, n_components: int, n_features: int, constraints: Constraints
) -> int:
    """How many free parameters settled constraints take."""
    K, d = n_components, n_features
    means = constraints.get("means")
    total = 0 if means is None else means.n_held
    if "noise_variances" in constraints:
        return total + _n_held_factor(covariance, d, constraints)
    held, inverse = constraints.get("covariances"), constraints.get("precisions")
    if held is None and inverse is None:
        return total
    all_free = covariance.n_free(K, d)
    if held is not None and held.fixed.all():
        return total + all_free
    if covariance.form == "diag":
        return total + all_free - held.n_free()
    parts = [part for part in (held, inverse) if part is not None]
    fixed = np.any([part.fixed for part in parts], axis=0).reshape(-1, d, d)
    free = np.triu(~fixed).sum(axis=(1, 2))
    if parts[0].shared.any():
        return total + all_free - sum(int(free[members[0]]) for members in parts[0].groups)
    return total + all_free - int(free.sum())


def _n_held_factor(covariance: Any, d: int, constraints: Constraints) -> int:
    noise, loadings = constraints["noise_variances"], constraints.get("loadings")
    each = covariance.n_free(1, d)
    q = covariance.rank(d)
    whole = 0 if loadings is None else int(loadings.fixed.all(axis=(1, 2)).sum())
    some = int(noise.fixed.reshape(len(noise.fixed), -1).all(axis=1).sum()) - whole
    return whole * each + some * max(each - (d * q - q * (q - 1) // 2), 0)
