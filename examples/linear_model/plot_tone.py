"""
Two ways to tune a tone
=======================

A musician tunes a tone to the octave above another one, whose overtones were stretched. Sometimes
he tunes to the octave, sometimes he follows the overtones. Nobody noted when: a mixture of two
regressions finds out.
"""

# sphinx_gallery_thumbnail_number = 1
import matplotlib.pyplot as plt
import numpy as np

from emlearn.datasets import load_tone
from emlearn.linear_model import MixtureRegressor

tone = load_tone()
X, y = tone.data, tone.target
model = MixtureRegressor(2, random_state=0).fit(X, y)
follows, octave = np.argsort(model.weights_)
for name, k in (("follows", follows), ("octave", octave)):
    print(
        f"{name:<8}in {model.weights_[k]:.0%} of the trials: "
        f"{model.intercept_[k]:.2f} + {model.coef_[k, 0]:.2f} x, "
        f"give or take {np.sqrt(model.variances_[k]):.3f}"
    )

grid = np.linspace(1.3, 3.05, 200)[:, np.newaxis]
lines = model.predict_components(grid)
share = model.responsibilities(X, y)[:, octave]
one = MixtureRegressor(1).fit(X, y)

fig, (left, right) = plt.subplots(1, 2, sharex=True, sharey=True)
left.scatter(X[:, 0], y, s=12, color="0.5")
left.plot(grid[:, 0], one.predict(grid), color="C2")
left.set(title="One regression", xlabel="ratio of the overtones", ylabel="ratio that was tuned")
points = right.scatter(X[:, 0], y, c=share, s=12, cmap="cividis", vmin=0, vmax=1)
for k in (follows, octave):
    right.plot(grid[:, 0], lines[:, k], color="C2")
right.set(title="A mixture of two", xlabel="ratio of the overtones")
fig.colorbar(points, ax=right, label="probability of the octave")
plt.show()

# %%
# One line has a slope of 1, nearly, and an intercept of 0: the overtones, as they are. The other is
# flat, at 2: the octave. Where the lines cross, at harmonic overtones, nothing tells them apart.
#
# How many
# --------
#
# ``restart_lower_bounds_`` says where each of the starts ended.

for K in (1, 2, 3):
    found = MixtureRegressor(K, n_init=20, random_state=0).fit(X, y)
    tops = np.sum(found.restart_lower_bounds_ > found.lower_bound_ - 1e-4)
    print(
        f"K = {K}: BIC {found.bic(X, y):6.1f}, the best of 20 starts found {tops} times, "
        f"smallest standard deviation {np.sqrt(found.variances_.min()):.3f}"
    )

# %%
# The second regression is worth much, the third little: it goes through a few trials with next to no
# error, which pays where each component has a variance of its own. Such fits are to be mistrusted;
# ``variance_type="tied"`` rules them out.
#
# The mean is not the answer
# --------------------------
#
# ``predict`` is the mean of the response, as it is of every regressor. Where the lines are far apart
# nobody tunes to it. The whole density has the two ways.

tuned = np.linspace(0.9, 3.2, 700)
fig, axes = plt.subplots(1, 3, sharey=True, figsize=(7.2, 2.8))
for ax, ratio in zip(axes, (1.5, 2.0, 2.6), strict=True):
    rows = np.full((len(tuned), 1), ratio)
    ax.fill_between(tuned, np.exp(model.log_likelihood_samples(rows, tuned)), alpha=0.4)
    ax.axvline(model.predict([[ratio]])[0], color="C2")
    ax.set(title=f"Overtones {ratio}", xlabel="ratio that was tuned")
axes[0].set_ylabel("density; line: the mean")
plt.show()

# %%
# References
# ----------
#
# Cohen, E. A. (1980). *Inharmonic Tone Perception*. Ph.D. dissertation, Stanford University.
#
# De Veaux, R. D. (1989). Mixtures of linear regressions. *Computational Statistics & Data Analysis*
# 8(3), 227-245.
