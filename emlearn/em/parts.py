"""Starts of components that are made of parts: a start, divided."""

from __future__ import annotations

from typing import Any

import numpy as np

from .starts import LabelStart, RandomStart, SeedStart, ShareStart, Start, draw_start, nearest_seed

__all__ = ["divide_start"]


def divide_start(
    start: Start,
    parts: int,
    method: str,
    X: Any,
    random_state: np.random.RandomState,
    sample_weight: np.ndarray | None = None,
) -> Start:
    """A start of ``parts`` times as many components: part m of component k is number ``k * parts + m``.

    Parameters
    ----------
    start : Start
    parts : int
    method : {"kmeans", "k-means++", "random", "random_from_data"}
        How the rows of a component are divided into clusters, one for each part; a component of fewer
        rows has parts without any. "random" draws shares, with no look at the rows.
    X : ndarray or CSR matrix of shape (n, d)
        Where distances are measured.
    random_state : RandomState
    sample_weight : ndarray of shape (n,) or None

    Returns
    -------
    Start
        Where shares were given, those of the parts add up to them; a row is in one part of the component
        that has most of it, and spread evenly over the parts of the others.
    """
    if isinstance(start, RandomStart):
        return RandomStart(start.n_components * parts, start.random_state)
    if isinstance(start, SeedStart):  # one row cannot be divided, those around it can
        start = nearest_seed(X, start.rows)
    if isinstance(start, LabelStart):
        labels, n_components = start.labels, start.n_components
        part = _parts_of_rows(labels, n_components, parts, method, X, random_state, sample_weight)
        divided = np.where(labels >= 0, labels * parts + part, -1)
        return LabelStart(divided, n_components * parts)
    shares = _table(start, X)
    labels = np.where(shares.any(axis=1), shares.argmax(axis=1), -1)
    part = _parts_of_rows(labels, shares.shape[1], parts, method, X, random_state, sample_weight)
    divided = np.repeat(shares[:, :, None] / parts, parts, axis=2)
    rows = np.flatnonzero(labels >= 0)
    own = labels[rows]
    divided[rows, own] = 0.0
    divided[rows, own, part[rows]] = shares[rows, own]
    return ShareStart(divided.reshape(len(shares), -1))


def _parts_of_rows(
    labels: np.ndarray,
    n_components: int,
    parts: int,
    method: str,
    X: Any,
    random_state: np.random.RandomState,
    sample_weight: np.ndarray | None,
) -> np.ndarray:
    """The part (n,) of its component that each row begins in."""
    out = np.zeros(len(labels), dtype=np.int64)
    weight = None if sample_weight is None else sample_weight[: len(labels)]
    method = "kmeans" if method == "random" else method
    for k in range(n_components):
        rows = np.flatnonzero(labels == k if weight is None else (labels == k) & (weight > 0))
        if not len(rows):
            continue
        weights = None if weight is None else weight[rows]
        clusters = draw_start(
            method, X[rows], min(parts, len(rows)), random_state, weights, partition=True
        )
        out[rows] = clusters.labels
    return out


def _table(start: Start, X: Any) -> np.ndarray:
    """The shares (n, K) of all rows."""
    table: np.ndarray | None = None
    for rows, shares in start.shares(X):
        if table is None:
            table = np.zeros((X.shape[0], shares.shape[1]))
        table[rows] = shares
    assert table is not None
    return table
