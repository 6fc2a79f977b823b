"""Small real data sets of the field, each with its units and its source."""

from sklearn.utils import Bunch

from ._base import load_csv

__all__ = [
    "load_airquality",
    "load_earthquakes",
    "load_faithful",
    "load_geyser",
    "load_linkage",
    "load_london_deaths",
]

_AIRQUALITY = """\
Air quality in New York, May to September 1973
----------------------------------------------

153 rows, one day each, in their order; 37 values of ozone and 7 of solar radiation are missing.

ozone             mean from 1 to 3 p.m., Roosevelt Island, parts per billion
solar_radiation   from 8 a.m. to noon, Central Park, 4000 to 7700 angstroms, langleys
wind              mean at 7 and 10 a.m., LaGuardia Airport, miles per hour
temperature       maximum of the day, LaGuardia Airport, degrees Fahrenheit

Source: the data set `airquality` of R, from
J. M. Chambers, W. S. Cleveland, B. Kleiner and P. A. Tukey (1983), Graphical Methods for Data
Analysis, Wadsworth, Belmont, CA. They have the ozone from the New York State Department of
Conservation, the weather from the National Weather Service.
"""

_FAITHFUL = """\
Eruptions of the Old Faithful geyser, Yellowstone National Park
---------------------------------------------------------------

272 rows, one eruption each, in the order of observation; none missing.

eruptions   duration of the eruption, minutes
waiting     time to the next eruption, minutes

Many durations are multiples of five seconds: they were rounded when observed.

Source: the data set `faithful` of R, from
W. Härdle (1991), Smoothing Techniques with Implementation in S, Springer, New York.
A more complete version is in
A. Azzalini and A. W. Bowman (1990), A look at some data on the Old Faithful geyser,
Applied Statistics 39, 357-365.
"""

_EARTHQUAKES = """\
Major earthquakes of the world per year, 1900-2006
--------------------------------------------------

107 rows, one year each, in their order; none missing.

earthquakes   earthquakes of magnitude 7 or more in the world, count
year          the year (`year`)

Their mean is 19.4 and their variance 51.6, too much for one Poisson distribution; and busy years
follow busy years. The standard example of a hidden Markov model of counts.

Source: W. Zucchini and I. L. MacDonald (2009), Hidden Markov Models for Time Series: An
Introduction Using R, Chapman & Hall/CRC, Boca Raton, Table 1.1. They have the counts from the
U.S. Geological Survey.
"""

_GEYSER = """\
Successive eruptions of the Old Faithful geyser, 1-15 August 1985
----------------------------------------------------------------

299 rows, one eruption each, in the order of observation; none missing. They follow each other
without a gap, day and night.

duration   duration of the eruption, minutes
long       1 if it took 3 minutes or more, 0 if less (`long`)

Some eruptions of the night were not timed but called short, medium or long: their duration is
2, 3 or 4 minutes. 23 durations are exactly 2, two are 3 and 53 are 4.

Source: A. Azzalini and A. W. Bowman (1990), A look at some data on the Old Faithful geyser,
Applied Statistics 39, 357-365. The data set `geyser` of R's package MASS, without its waiting
times. The two kinds as a hidden Markov model:
I. L. MacDonald and W. Zucchini (1997), Hidden Markov and Other Models for Discrete-valued Time
Series, Chapman & Hall, London.
"""

_LONDON_DEATHS = """\
Deaths per day of women over 80, The Times, London, 1910-1912
-------------------------------------------------------------

10 rows: a number of deaths and the number of days with so many; 1096 days in all, which is
every day of the three years.

deaths   deaths of women of 80 years and over reported on a day, count
days     days with that number of deaths, count (`sample_weight`)

One Poisson distribution fits badly; two fit well, and are often read as summer and winter.
They overlap so much that EM takes thousands of iterations, which made these counts the
standard example of its acceleration.

Source: V. Hasselblad (1969), Estimation of finite mixtures of distributions from the
exponential family, Journal of the American Statistical Association 64, 1459-1471.
"""

_LINKAGE = """\
Genetic linkage: 197 animals in four phenotypes
-----------------------------------------------

1 row, one multinomial observation: how many animals showed each phenotype.

AB, Ab, aB, ab   animals of the phenotype, count: 125, 18, 20, 34

Their probabilities are 1/2 + t/4, (1 - t)/4, (1 - t)/4 and t/4. The first cell is two that
could not be told apart, of probability 1/2 and t/4; EM restores the split.

Source: C. R. Rao (1965), Linear Statistical Inference and Its Applications, Wiley, New York,
pp. 368-369. The first example of
A. P. Dempster, N. M. Laird and D. B. Rubin (1977), Maximum likelihood from incomplete data via
the EM algorithm, Journal of the Royal Statistical Society B 39, 1-38.
"""


def load_faithful(*, as_frame: bool = False) -> Bunch:
    """Load 272 eruptions of the Old Faithful geyser.

    Parameters
    ----------
    as_frame : bool, default=False
        Whether ``data`` is a pandas DataFrame (needs pandas) instead of an array.

    Returns
    -------
    sklearn.utils.Bunch
        data : ndarray or DataFrame of shape (272, 2)
            ``eruptions``, the duration of the eruption in minutes, and ``waiting``, the time to
            the next eruption in minutes.
        feature_names : list of str
            ``["eruptions", "waiting"]``.
        frame : DataFrame of shape (272, 2)
            All columns; only with ``as_frame=True``.
        DESCR : str
            The data, their units and their source.

    Examples
    --------
    >>> from emlearn.datasets import load_faithful
    >>> faithful = load_faithful()
    >>> faithful.data.shape
    (272, 2)
    >>> faithful.feature_names
    ['eruptions', 'waiting']
    """
    return load_csv("faithful", _FAITHFUL, as_frame=as_frame)


def load_london_deaths(*, as_frame: bool = False) -> Bunch:
    """Load the deaths per day of women over 80 reported in The Times, 1910-1912.

    Parameters
    ----------
    as_frame : bool, default=False
        Whether ``data`` is a pandas DataFrame and ``sample_weight`` a Series (needs pandas)
        instead of arrays.

    Returns
    -------
    sklearn.utils.Bunch
        data : ndarray or DataFrame of shape (10, 1)
            ``deaths``, the number of deaths on a day, 0 to 9.
        sample_weight : ndarray or Series of shape (10,)
            ``days``, the number of days with so many deaths; they sum to 1096.
        feature_names : list of str
            ``["deaths"]``.
        frame : DataFrame of shape (10, 2)
            Both columns; only with ``as_frame=True``.
        DESCR : str
            The data, their units and their source.

    Examples
    --------
    >>> from emlearn.datasets import load_london_deaths
    >>> london = load_london_deaths()
    >>> int(london.sample_weight.sum())
    1096
    >>> round(float(london.sample_weight @ london.data[:, 0]) / 1096, 3)  # deaths a day
    2.157
    """
    return load_csv(
        "london_deaths", _LONDON_DEATHS, as_frame=as_frame, apart={"days": "sample_weight"}
    )


def load_linkage(*, as_frame: bool = False) -> Bunch:
    """Load the phenotypes of 197 animals, the linkage example of the paper on EM.

    Parameters
    ----------
    as_frame : bool, default=False
        Whether ``data`` is a pandas DataFrame (needs pandas) instead of an array.

    Returns
    -------
    sklearn.utils.Bunch
        data : ndarray or DataFrame of shape (1, 4)
            The number of animals of the phenotypes ``AB``, ``Ab``, ``aB`` and ``ab``: one row,
            because they are one multinomial observation.
        feature_names : list of str
            ``["AB", "Ab", "aB", "ab"]``.
        frame : DataFrame of shape (1, 4)
            All columns; only with ``as_frame=True``.
        DESCR : str
            The data, their model and their source.

    Examples
    --------
    >>> from emlearn.datasets import load_linkage
    >>> AB, Ab, aB, ab = load_linkage().data[0].tolist()
    >>> AB, Ab, aB, ab
    (125.0, 18.0, 20.0, 34.0)

    Here EM's limit is the root of a quadratic:

    >>> n, b = AB + Ab + aB + ab, AB - 2 * (Ab + aB) - ab
    >>> round((b + (b**2 + 8 * n * ab) ** 0.5) / (2 * n), 6)
    0.626821
    """
    return load_csv("linkage", _LINKAGE, as_frame=as_frame)


def load_earthquakes(*, as_frame: bool = False) -> Bunch:
    """Load the number of major earthquakes in the world in each year from 1900 to 2006.

    Parameters
    ----------
    as_frame : bool, default=False
        Whether ``data`` is a pandas DataFrame and ``year`` a Series (needs pandas) instead of
        arrays.

    Returns
    -------
    sklearn.utils.Bunch
        data : ndarray or DataFrame of shape (107, 1)
            ``earthquakes``, the number of earthquakes of magnitude 7 or more in a year, 6 to 41;
            one series, in time order.
        year : ndarray or Series of shape (107,)
            The years, 1900 to 2006.
        feature_names : list of str
            ``["earthquakes"]``.
        frame : DataFrame of shape (107, 2)
            Both columns; only with ``as_frame=True``.
        DESCR : str
            The data, their units and their source.

    Examples
    --------
    >>> from emlearn.datasets import load_earthquakes
    >>> earthquakes = load_earthquakes()
    >>> earthquakes.data.shape, earthquakes.feature_names
    ((107, 1), ['earthquakes'])
    >>> X = earthquakes.data[:, 0]
    >>> round(float(X.mean()), 1), round(float(X.var(ddof=1)), 1)  # of a Poisson count: equal
    (19.4, 51.6)
    >>> int(earthquakes.year[X.argmax()])
    1943
    """
    return load_csv("earthquakes", _EARTHQUAKES, as_frame=as_frame, apart={"year": "year"})


def load_geyser(*, as_frame: bool = False) -> Bunch:
    """Load 299 successive eruptions of the Old Faithful geyser, in time order.

    :func:`load_faithful` has durations and waiting times of other eruptions, for mixtures. This
    is an unbroken series, for models of how one eruption follows another.

    Parameters
    ----------
    as_frame : bool, default=False
        Whether ``data`` is a pandas DataFrame and ``long`` a Series (needs pandas) instead of
        arrays.

    Returns
    -------
    sklearn.utils.Bunch
        data : ndarray or DataFrame of shape (299, 1)
            ``duration``, the duration of the eruption in minutes; one series, in time order.
        long : ndarray or Series of shape (299,)
            1 for a duration of 3 minutes or more, 0 for a shorter one.
        feature_names : list of str
            ``["duration"]``.
        frame : DataFrame of shape (299, 2)
            Both columns; only with ``as_frame=True``.
        DESCR : str
            The data, their units and their source.

    Examples
    --------
    >>> from emlearn.datasets import load_geyser
    >>> geyser = load_geyser()
    >>> geyser.data.shape, geyser.feature_names
    ((299, 1), ['duration'])

    No short eruption was ever followed by another:

    >>> short = geyser.long == 0
    >>> int(short.sum()), int((short[1:] & short[:-1]).sum())
    (105, 0)
    """
    return load_csv("geyser", _GEYSER, as_frame=as_frame, apart={"long": "long"})


def load_airquality(*, as_frame: bool = False) -> Bunch:
    """Load 153 days of air quality in New York, some of whose values are missing.

    Parameters
    ----------
    as_frame : bool, default=False
        Whether ``data`` is a pandas DataFrame (needs pandas) instead of an array.

    Returns
    -------
    sklearn.utils.Bunch
        data : ndarray or DataFrame of shape (153, 4)
            Ozone, solar radiation, wind and temperature of each day from 1 May to 30 September
            1973, in their order; NaN where a value is missing.
        feature_names : list of str
            ``["ozone", "solar_radiation", "wind", "temperature"]``.
        frame : DataFrame of shape (153, 4)
            The same; only with ``as_frame=True``.
        DESCR : str
            The data, their units and their source.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.datasets import load_airquality
    >>> air = load_airquality()
    >>> air.data.shape, np.isnan(air.data).sum(axis=0)
    ((153, 4), array([37,  7,  0,  0]))
    """
    return load_csv("airquality", _AIRQUALITY, as_frame=as_frame)
