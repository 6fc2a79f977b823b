"""From a CSV file of this folder to a Bunch."""

from importlib import resources

import numpy as np
from sklearn.utils import Bunch


def load_csv(
    name: str, descr: str, *, as_frame: bool = False, apart: dict[str, str] | None = None
) -> Bunch:
    """Read ``<name>.csv`` of this package.

    Parameters
    ----------
    name : str
        The file's name without its suffix.
    descr : str
        What the data are, their units and their source.
    as_frame : bool, default=False
        Whether ``data`` is a pandas DataFrame.
    apart : dict of str to str, default=None
        Columns that are no features, and the names they have in the Bunch: how often a row was
        observed (``{"days": "sample_weight"}``), its time, its kind.

    Returns
    -------
    sklearn.utils.Bunch
        ``data``, ``feature_names``, ``DESCR``, the columns that stand apart, and ``frame`` (all
        columns) with ``as_frame=True``.
    """
    apart = apart or {}
    text = resources.files(__package__).joinpath(f"{name}.csv").read_text(encoding="utf-8")
    header, *rows = text.splitlines()
    names = header.split(",")
    table = np.loadtxt(rows, delimiter=",", ndmin=2)
    features = [column for column in names if column not in apart]

    data = np.ascontiguousarray(table[:, [names.index(column) for column in features]])
    bunch = Bunch(data=data, feature_names=features, DESCR=descr)
    for column, key in apart.items():
        bunch[key] = table[:, names.index(column)].copy()
    if as_frame:
        import pandas as pd

        bunch.frame = pd.DataFrame(table, columns=names)
        bunch.data = bunch.frame[features]
        for column, key in apart.items():
            bunch[key] = bunch.frame[column]
    return bunch
