"""
A century of earthquakes
========================

How many earthquakes of magnitude 7 or more the world had in each year from 1900 to 2006: too
variable for one Poisson distribution, and busy years follow busy years. A
:class:`~emlearn.hmm.PoissonHMM` has a few rates, and a Markov chain that moves between them. The
data and the question are those of Zucchini and MacDonald (2009).
"""

# sphinx_gallery_thumbnail_number = 2
import matplotlib.pyplot as plt
import numpy as np

from emlearn.datasets import load_earthquakes
from emlearn.hmm import PoissonHMM

earthquakes = load_earthquakes()
X, year = earthquakes.data, earthquakes.year
print(f"{len(X)} years, mean {X.mean():.1f}, variance {X.var(ddof=1):.1f}")

# %%
# How many states?
# ----------------
#
# One to five, each from thirty starts drawn at random, because EM climbs to the nearest top. The whole
# series is one sequence, which is what ``fit(X)`` means. The rates are put in order: which state is the
# first is chance.

settings = dict(n_init=30, init_params="random_from_data", random_state=0)
settings |= dict(tol=1e-7, max_iter=2000)
models = {}
print("states  -log L    AIC    BIC    BIC*  rates")
for K in range(1, 6):
    model = PoissonHMM(K, **settings).fit(X)
    models[K] = model
    loss = -model.score(X) * len(X)
    start = (K - 1) * np.log(len(X))
    rates = "  ".join(f"{rate:.1f}" for rate in np.sort(model.rates_[:, 0]))
    print(
        f"{K:>6}{loss:>8.1f}{model.aic(X):>7.1f}{model.bic(X):>7.1f}"
        f"{model.bic(X) - start:>8.1f}  {rates}"
    )

# %%
# AIC takes three states. BIC is about equal for two and three, and takes two, as it also charges for
# ``startprob_``: K - 1 parameters of which a single sequence has seen a single draw. Without that
# charge (BIC*) it takes three as well, as in the book, whose chain begins in its stationary
# distribution.
#
# What the models say of each year: the rate of its state, on the most probable path through the
# states.

fig, axes = plt.subplots(2, 2, figsize=(7.2, 4.6), sharex=True, sharey=True)
for ax, K in zip(axes.flat, (1, 2, 3, 4), strict=True):
    model = models[K]
    ax.plot(year, X[:, 0], color="0.7", linewidth=1)
    ax.step(year, model.rates_[model.predict(X), 0], where="mid", color="C2")
    ax.set_title(f"K = {K}, BIC {model.bic(X):.0f}")
fig.supylabel("earthquakes in a year")
plt.show()

# %%
# Three states
# ------------
#
# Calm, middling and busy years. Each kind lasts: most of the probability of ``transmat_`` is on its
# diagonal. ``stationary_distribution`` is the share of years of each.

model = models[3]
order = np.argsort(model.rates_[:, 0])
names = ["calm", "middling", "busy"]
print(f"{'':<9}{'rate':>5}{'share':>7}" + "".join(f"{'to ' + name:>13}" for name in names))
for name, k in zip(names, order, strict=True):
    share = model.stationary_distribution()[k]
    moves = "".join(f"{p:>13.3f}" for p in model.transmat_[k, order])
    print(f"{name:<9}{model.rates_[k, 0]:>5.1f}{share:>7.2f}{moves}")

# %%
# ``predict_proba`` gives each year its probabilities, from all years before and after it. The
# years when they are shared are those where the path of ``predict``, the most probable one as a
# whole, may leave the most probable state of the year.

proba = model.predict_proba(X)[:, order]
path = model.predict(X)
each = model.predict(X, method="smooth")
print("years of another state:", year[path != each].astype(int))

fig, (top, bottom) = plt.subplots(2, 1, figsize=(7.2, 4.4), sharex=True, height_ratios=[3, 2])
top.plot(year, X[:, 0], color="0.75", linewidth=1, zorder=1)
for name, k, color in zip(names, order, ("C0", "C1", "C2"), strict=True):
    here = path == k
    top.scatter(year[here], X[here, 0], s=14, color=color, label=name, zorder=2, clip_on=False)
top.legend(ncols=3, loc="upper right")
top.set_ylabel("earthquakes")
bottom.stackplot(year, proba.T, colors=["C0", "C1", "C2"], linewidth=0, alpha=0.85)
bottom.set(ylabel="probability", ylim=(0, 1), xlim=(year[0], year[-1]))
plt.show()

# %%
# The years to come
# -----------------
#
# ``forecast`` carries the last year's probabilities forward. Its ``distribution`` is a mixture, that
# of the earthquakes in that year. The memory of 2006, a calm year, fades; far ahead nothing is left
# but how often each state occurs.

forecast = model.forecast(X, steps=40)
counts = np.arange(46)[:, np.newaxis]

fig, ax = plt.subplots()
for step, style in ((1, "-"), (5, "--"), (40, ":")):
    density = np.exp(forecast.distribution(step).score_samples(counts))
    ax.step(counts[:, 0], density, where="mid", linestyle=style, label=f"{int(year[-1]) + step}")
ax.set(xlabel="earthquakes in a year", ylabel="probability", ylim=(0, None))
ax.legend()
plt.show()

for step in (1, 5, 40):
    shares = forecast.state_proba[-1, step - 1, order]
    print(int(year[-1]) + step, dict(zip(names, shares.round(2).tolist(), strict=True)))

# %%
# References
# ----------
#
# Zucchini, W. and MacDonald, I. L. (2009). *Hidden Markov Models for Time Series: An Introduction
# Using R*. Chapman & Hall/CRC.
