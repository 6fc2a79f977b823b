"""From a CSV file of this folder to a Bunch."""

from importlib import resources

import numpy as np
from sklearn.utils import Bunch


def load_csv(name: str, descr: str, *, as_frame: bool = False, weight: str | None = None) -> Bunch:
    """Read ``<name>.csv`` of this package.

    Parameters
    ----------
    name : str
        The file's name without its suffix.
    descr : str
        What the data are, their units and their source.
    as_frame : bool, default=False
        Whether ``data`` is a pandas DataFrame.
    weight : str, default=None
        The column that says how often a row was observed. It leaves ``data`` and becomes
        ``sample_weight``.

    Returns
    -------
    sklearn.utils.Bunch
        ``data``, ``feature_names``, ``DESCR``, ``sample_weight`` where there is a weight, and
        ``frame`` (all columns) with ``as_frame=True``.
    """
    text = resources.files(__package__).joinpath(f"{name}.csv").read_text(encoding="utf-8")
    header, *rows = text.splitlines()
    names = header.split(",")
    table = np.loadtxt(rows, delimiter=",", ndmin=2)
    features = [column for column in names if column != weight]

    data = np.ascontiguousarray(table[:, [names.index(column) for column in features]])
    bunch = Bunch(data=data, feature_names=features, DESCR=descr)
    if weight is not None:
        bunch.sample_weight = table[:, names.index(weight)].copy()
    if as_frame:
        import pandas as pd

        bunch.frame = pd.DataFrame(table, columns=names)
        bunch.data = bunch.frame[features]
        if weight is not None:
            bunch.sample_weight = bunch.frame[weight]
    return bunch
