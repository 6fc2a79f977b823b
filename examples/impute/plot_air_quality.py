"""
The ozone that was not measured
===============================

In the summer of 1973 New York's air was measured on 153 days: ozone, sunshine, wind and heat. On 37 of them there is no
ozone. Leaving these days out, filling in what is expected, drawing what may have been: several answers to what the
ozone was like.
"""

# sphinx_gallery_thumbnail_number = 2
import matplotlib.pyplot as plt
import numpy as np

from emlearn.datasets import load_airquality
from emlearn.impute import EMImputer
from emlearn.mixture import GammaMixture

air = load_airquality()
X = air.data
ozone, wind, heat = X[:, 0], X[:, 2], X[:, 3]
gone = np.isnan(ozone)
print("missing:", dict(zip(air.feature_names, np.isnan(X).sum(axis=0).tolist(), strict=True)))

fig, (left, right) = plt.subplots(1, 2, sharey=True)
for ax, x, name in ((left, heat, "temperature, °F"), (right, wind, "wind, miles per hour")):
    ax.scatter(x[~gone], ozone[~gone], s=12)
    ax.plot(x[gone], np.full(gone.sum(), -8.0), "|", color="C3")
    ax.set(xlabel=name)
left.set(ylabel="ozone, parts per billion", title="Measured")
right.set(title="Marks below: days without ozone")
plt.show()

# %%
# Hot and still days have the most ozone, and the days without are of all kinds. What is missing can be told, to
# some extent, from what is there.
#
# One normal distribution, and a mixture that knows better
# ----------------------------------------------------------
#
# :class:`~emlearn.impute.EMImputer` regresses, in one fit, everything on everything. A
# :class:`~emlearn.mixture.GammaMixture` takes the same holes: its components are hot days, mild days, cool
# days, and nothing in it is negative.

normal = EMImputer(prior=None).fit(X)
mixture = GammaMixture(3, init_params="short-runs", n_init=3, random_state=0).fit(X)
by_normal, by_mixture = normal.transform(X)[gone, 0], mixture.impute(X)[gone, 0]
print(f"expected ozone, normal: {by_normal.min():.0f} to {by_normal.max():.0f} ppb")
print(f"expected ozone, gamma:  {by_mixture.min():.0f} to {by_mixture.max():.0f} ppb")

draws = mixture.sample_imputations(X, 200, random_state=0)[:, gone, 0]
fig, (left, right) = plt.subplots(1, 2, sharex=True, sharey=True)
for ax, filled, name in (
    (left, by_mixture, "Expected"),
    (right, draws[0], "Drawn"),
):
    ax.scatter(heat[~gone], ozone[~gone], s=12, color="0.8")
    ax.scatter(heat[gone], filled, s=16, color="C3")
    ax.set(xlabel="temperature, °F", title=name)
left.set(ylabel="ozone, parts per billion")
plt.show()

# %%
# What is expected lies in the middle of what might have been. A draw looks like a day. For a mean either will do; for
# anything that depends on spread, only draws.
#
# How many days were bad?
# -----------------------
#
# Say, above 80 ppb. Each of 200 drawn tables has its own number, and their spread is what the missing days leave open.

limit = 80.0
seen = int(np.sum(ozone > limit))
counts = seen + np.sum(draws > limit, axis=1)
low, high = np.quantile(counts, [0.05, 0.95])
print(f"measured: {seen} of {np.sum(~gone)} days")
print(f"mean filled in: {seen + gone.sum() * (np.nanmean(ozone) > limit)} of {len(X)}")
print(f"expected, normal: {seen + np.sum(by_normal > limit)} of {len(X)}")
print(f"expected, gamma: {seen + np.sum(by_mixture > limit)} of {len(X)}")
print(f"drawn, gamma: {counts.mean():.1f} of {len(X)}, between {low:.0f} and {high:.0f}")

fig, ax = plt.subplots()
values, times = np.unique(counts, return_counts=True)
ax.bar(values, times / len(counts))
ax.axvline(seen, color="0.4", linestyle="--", label="measured; also with means filled in")
ax.set(xlabel=f"days above {limit:.0f} ppb", ylabel="share of the tables")
ax.margins(y=0.25)
ax.legend()
plt.show()

# %%
# Leaving days out, or filling in means, says that none of the 37 was bad. So does the regression, which never gets so
# high. By the mixture, some of them almost certainly were.

# %%
# References
# ----------
#
# Chambers, J. M., Cleveland, W. S., Kleiner, B. and Tukey, P. A. (1983). *Graphical Methods for Data Analysis*.
# Wadsworth.
#
# Rubin, D. B. (1987). *Multiple Imputation for Nonresponse in Surveys*. Wiley.
