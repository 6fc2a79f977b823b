"""
After a short eruption, a long one
==================================

Old Faithful has short eruptions and long ones. A mixture says so much; what it cannot say is that
their order is no chance. A :class:`~emlearn.hmm.GaussianHMM` of two states can, and so it knows
something of the next eruption before it begins.
"""

# sphinx_gallery_thumbnail_number = 1
import matplotlib.pyplot as plt
import numpy as np

from emlearn.datasets import load_geyser
from emlearn.hmm import GaussianHMM
from emlearn.mixture import GaussianMixture

X = load_geyser().data
print(f"{len(X)} successive eruptions, {X.min():.1f} to {X.max():.1f} minutes long")

fig, (left, right) = plt.subplots(1, 2, width_ratios=[3, 2])
left.plot(X[:60, 0], color="0.75", linewidth=1)
left.scatter(np.arange(60), X[:60, 0], s=12)
left.set(xlabel="eruption", ylabel="duration, minutes", title="The first sixty")
right.scatter(X[:-1, 0], X[1:, 0], s=12, alpha=0.6)
right.set(xlabel="duration", ylabel="duration of the next", title="One after the other")
plt.show()

# %%
# The corner of short after short is empty. (Many of exactly 2, 3 and 4 minutes were not timed, but
# noted as short, medium and long in the night.)
#
# Two states
# ----------

model = GaussianHMM(2, tol=1e-8, max_iter=1000, random_state=0).fit(X)
short, long = np.argsort(model.means_[:, 0])
for name, k in (("short", short), ("long", long)):
    mean, deviation = model.means_[k, 0], np.sqrt(model.covariances_[k, 0, 0])
    print(
        f"{name:<6}{mean:.2f} ± {deviation:.2f} min; then short {model.transmat_[k, short]:.2f}, "
        f"long {model.transmat_[k, long]:.2f}"
    )

mixture = GaussianMixture(2, random_state=0).fit(X)
print(f"log-likelihood of an eruption: HMM {model.score(X):.3f}, mixture {mixture.score(X):.3f}")

# %%
# After a short eruption there was always a long one; after a long one the two are about as likely.
# The mixture has nearly the same two bells, and loses a fifth of a nat with each eruption, because it
# takes them for independent.
#
# Now, or in hindsight
# --------------------
#
# ``filter_proba`` is what is known when an eruption ends, from it and those before it.
# ``predict_proba`` also knows what came after. Most durations speak for themselves. Those of about
# three minutes do not, and there the neighbours decide.

now = model.filter_proba(X)[:, long]
hindsight = model.predict_proba(X)[:, long]
grid = np.linspace(0.5, 5.6, 500)[:, np.newaxis]
alone = mixture.predict_proba(grid)[:, mixture.means_[:, 0].argmax()]

fig, ax = plt.subplots()
ax.plot(grid[:, 0], alone, color="0.75", label="mixture: the duration alone")
ax.scatter(X[:, 0], now, s=26, facecolors="none", edgecolors="C0", label="filtered: and the past")
ax.scatter(X[:, 0], hindsight, s=9, color="C2", label="smoothed: and the future")
ax.set(xlabel="duration, minutes", ylabel="probability of a long eruption", xlim=(2.3, 3.9))
ax.legend()
plt.show()

moved = np.argsort(-np.abs(now - hindsight))[:4]
print("eruption  duration  before  after  filtered  smoothed")
for t in np.sort(moved):
    before, after = X[max(t - 1, 0), 0], X[min(t + 1, len(X) - 1), 0]
    print(f"{t:>8}{X[t, 0]:>10.2f}{before:>8.2f}{after:>7.2f}{now[t]:>10.3f}{hindsight[t]:>10.3f}")

# %%
# By itself, an eruption of three minutes is long. These came after a long one and before a long one,
# where a short one fits: the chain takes them for short, in hindsight even more so.
#
# One eruption at a time
# ----------------------
#
# ``step`` filters one eruption at a time: it takes the probabilities that it returned before, and
# needs no past rows. The log-densities that come with them add up to the score.

proba, total = None, 0.0
for x in X:
    proba, log_density = model.step(x, proba)
    total += log_density
print(f"{total / len(X):.6f} = {model.score(X):.6f}")
print("the last eruption:", X[-1, 0].round(2), "min, long with probability", proba[long].round(3))

# %%
# The next one
# ------------
#
# ``forecast`` gives the law of the next duration, here once at the end of the series and once an
# eruption earlier. Behind it are all eruptions that followed one of the same kind.

kinds = model.predict(X)
fig, axes = plt.subplots(1, 2, sharex=True, sharey=True)
for ax, rows in zip(axes, (X, X[:-1]), strict=True):
    law = model.forecast(rows).distribution()
    kind = kinds[len(rows) - 1]
    name = "long" if kind == long else "short"
    ax.hist(X[1:, 0][kinds[:-1] == kind], np.arange(0.5, 5.8, 0.25), density=True, color="0.85")
    ax.plot(grid[:, 0], np.exp(law.score_samples(grid)), color="C2" if kind == long else "C0")
    ax.set(title=f"After a {name} eruption", xlabel="duration of the next, minutes")
axes[0].set_ylabel("density")
plt.show()

# %%
# References
# ----------
#
# Azzalini, A. and Bowman, A. W. (1990). A look at some data on the Old Faithful geyser. *Applied
# Statistics* 39, 357-365.
