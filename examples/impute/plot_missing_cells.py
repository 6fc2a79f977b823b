"""
Iris with holes
===============

Four measurements of 150 irises, of which more and more are lost. Three ways to fit a mixture to what
is left: to the complete rows alone, to rows with column means in the holes, and to all that was
observed, as a :class:`~emlearn.mixture.GaussianMixture` does with NaN.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer

from emlearn.mixture import GaussianMixture

X, species = load_iris(return_X_y=True)


def mixture():
    """Three components that share a covariance, the best of ten starts."""
    return GaussianMixture(3, covariance_type="tied", n_init=10, max_iter=500, random_state=0)


# %%
# How much is lost
# ----------------
#
# Each fit is asked for the log-likelihood of all 150 complete rows, which it has not seen: what a
# method makes of the holes shows there. The mean over five draws of the holes, from 5 to 50 % of all
# cells.

shares = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5])
scores = {"complete rows": [], "column means": [], "what was observed": []}
for share in shares:
    found = {name: [] for name in scores}
    for seed in range(5):
        gone = np.random.RandomState(seed).uniform(size=X.shape) < share
        holes = np.where(gone, np.nan, X)
        rows = {
            "complete rows": X[~gone.any(axis=1)],
            "column means": SimpleImputer().fit_transform(holes),
            "what was observed": holes,
        }
        for name, given in rows.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                found[name].append(mixture().fit(given).score(X))
    for name, values in found.items():
        scores[name].append(np.mean(values))

print("missing      " + "".join(f"{share:>8.0%}" for share in shares))
for name, values in scores.items():
    print(f"{name:<18}" + "".join(f"{value:>8.2f}" for value in values))

# %%
# With a third of the cells lost, a quarter of the rows are complete; column means make columns look
# independent, and lose the shape of the species. What was observed is enough to find them.

holes = np.where(np.random.RandomState(0).uniform(size=X.shape) < 0.3, np.nan, X)
filled = SimpleImputer().fit_transform(holes)
fits = {"column means": mixture().fit(filled), "what was observed": mixture().fit(holes)}

fig, axes = plt.subplots(1, 3, figsize=(9.6, 3.2))
for name, values in scores.items():
    axes[0].plot(100 * shares, values, marker="o", markersize=4, label=name)
axes[0].set(xlabel="cells missing [%]", ylabel="mean log-likelihood", ylim=(-6, -1))
axes[0].legend(frameon=False, fontsize=8)
angle = np.linspace(0, 2 * np.pi, 100)
circle = np.c_[np.cos(angle), np.sin(angle)]
for ax, (name, fit) in zip(axes[1:], fits.items(), strict=True):
    ax.scatter(X[:, 2], X[:, 3], c=species, s=8, cmap="Set2")
    for mean in fit.means_[:, 2:]:
        root = np.linalg.cholesky(fit.covariances_[2:, 2:])
        ellipse = mean + 2 * circle @ root.T
        ax.plot(ellipse[:, 0], ellipse[:, 1], color="0.2", linewidth=1)
    ax.set(title=name, xlabel="petal length [cm]")
axes[1].set_ylabel("petal width [cm]")
fig.tight_layout()

# %%
# The points are the complete data, the ellipses two standard deviations of components that have seen
# 70 % of them.
