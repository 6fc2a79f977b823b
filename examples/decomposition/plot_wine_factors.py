"""
What thirteen measurements of a wine have in common
===================================================

A chemist measured thirteen quantities of 178 Italian wines. Many of them go together, and a
:class:`~emlearn.decomposition.FactorAnalysis` says along which lines: a few factors that all
features share, and noise of each feature's own.
"""

# sphinx_gallery_thumbnail_number = 2
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine

from emlearn.decomposition import FactorAnalysis, ProbabilisticPCA
from emlearn.exceptions import HeywoodWarning
from emlearn.mixture import GaussianMixture

wine = load_wine(as_frame=True)
X = (wine.data - wine.data.mean()) / wine.data.std()
print(f"{X.shape[0]} wines, {X.shape[1]} features, in standard deviations")

# %%
# How many factors
# ----------------
#
# Both factor models lie between independent features and a covariance with all its entries. BIC counts
# their parameters. One noise variance for all, as in
# :class:`~emlearn.decomposition.ProbabilisticPCA`, is not enough here. (With four factors and more the
# noise of ash comes to its least, half a percent of the variance: a Heywood case, of which fits warn.)

warnings.simplefilter("ignore", HeywoodWarning)
counts = range(1, 7)
fitted = {q: FactorAnalysis(q, noise_floor=0.005).fit(X) for q in counts}
criteria = {
    "factor analysis": [fitted[q].bic(X) for q in counts],
    "probabilistic PCA": [ProbabilisticPCA(q).fit(X).bic(X) for q in counts],
}
fig, ax = plt.subplots()
for name, values in criteria.items():
    ax.plot(counts, values, "o-", label=name)
for kind, style in (("full", "--"), ("diag", ":")):
    value = GaussianMixture(covariance_type=kind, reg_covar=0.0).fit(X).bic(X)
    ax.axhline(value, color="0.5", linestyle=style, label=f"Gaussian, {kind}")
ax.set(xlabel="factors", ylabel="BIC (the lower the better)")
ax.legend()
plt.show()

best = int(np.argmin(criteria["factor analysis"])) + 1
print(f"lowest BIC with {best} factors")

# %%
# What they are
# -------------
#
# Loadings can be turned without any change of the likelihood. Varimax turns them so that each is large
# for few features; promax lets the factors be correlated as well, for loadings that are simpler still.

names = [name.replace("_", " ") for name in X.columns]
names[names.index("od280/od315 of diluted wines")] = "OD280/OD315"
fig, axes = plt.subplots(1, 3, sharey=True, figsize=(9, 5), layout="constrained")
for ax, rotation in zip(axes, (None, "varimax", "promax"), strict=True):
    model = FactorAnalysis(3, rotation=rotation, noise_floor=0.005).fit(X)
    image = ax.imshow(model.components_.T, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    ax.set(title=rotation or "as fitted", xticks=range(3), xticklabels=[1, 2, 3], xlabel="factor")
axes[0].set_yticks(range(13), names)
fig.colorbar(image, ax=axes, label="loading")
plt.show()

print("correlations of the factors of promax:")
print(model.factor_correlation_.round(2))

# %%
# The first has the phenols and the flavanoids, the second alcohol, colour and proline, the third the
# ash and its alkalinity. What these are noisy measurements of, nobody measured.
#
# With cells missing
# ------------------
#
# Scores of the factors are what is expected of them, given what is there. We take out a quarter of the
# cells: the fit uses all that is left, and the scores move little. No wine is left out, though hardly
# any has all its cells. The colours are the cultivars, of which the fit knows nothing.

holes = X.mask(np.random.RandomState(0).uniform(size=X.shape) < 0.25)
partial = FactorAnalysis(3, rotation="varimax", noise_floor=0.005).fit(holes)
whole = FactorAnalysis(3, rotation="varimax", noise_floor=0.005).fit(X)
print(f"{int(holes.notna().all(axis=1).sum())} of {len(X)} wines are complete")
print(f"{partial.n_iter_} iterations, {whole.n_iter_} with all cells")

fig, axes = plt.subplots(1, 2, sharex=True, sharey=True, figsize=(8, 4), layout="constrained")
for ax, model, rows, title in zip(
    axes, (whole, partial), (X, holes), ("all cells", "a quarter missing"), strict=True
):
    scores = model.transform(rows)
    for kind, name in enumerate(wine.target_names):
        ax.scatter(*scores[wine.target == kind, :2].T, s=14, label=name.replace("_", " "))
    ax.set(title=title, xlabel="factor 1")
axes[0].set_ylabel("factor 2")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
plt.show()

# %%
# The same model fills the cells in: with what is expected, or with draws.

filled = partial.impute(holes)
missing = holes.isna().to_numpy()
error = np.sqrt(np.mean((filled - X.to_numpy())[missing] ** 2))
print(f"error of imputed cells: {error:.2f} standard deviations; of the means of columns, 1.0")
