"""
What SciPy is about
===================

The documentation of SciPy's functions and classes is text that is on this machine already: about
a thousand documents. A topic model that knows nothing of the packages they are in finds what they
are about.
"""

# %%
import importlib
import inspect
import re

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from emlearn.decomposition import LatentDirichletAllocation

# %%
# Documents and words
# -------------------
#
# A document is the docstring of a public function or class, without its examples and references.
# Its package is kept aside: the fit does not see it.

PACKAGES = "fft interpolate linalg ndimage optimize signal sparse spatial special stats".split()


def docstring(name, thing):
    text = inspect.getdoc(thing) or ""
    text = re.split(r"\n(?:References|Examples|See Also)\n-+", text)[0]
    return text.replace(name, " ")


texts, packages = {}, []
for package in PACKAGES:
    module = importlib.import_module(f"scipy.{package}")
    for name in module.__all__:
        thing = getattr(module, name)
        if callable(thing) and not isinstance(thing, np.ufunc):
            text = docstring(name, thing)
            if len(text.split()) > 40 and text not in texts:
                texts[text] = name
                packages.append(package)
packages = np.array(packages)
names = list(texts.values())

# %%
# Words that are in many documents whatever they are about, such as *array* and *returns*, would be in
# every topic; those in a few only are in none.

vectorizer = CountVectorizer(
    stop_words="english", min_df=8, max_df=0.15, token_pattern=r"(?u)\b[a-z][a-z]{2,}\b"
)
X = vectorizer.fit_transform(list(texts))
words = vectorizer.get_feature_names_out()
print(f"{X.shape[0]} documents, {X.shape[1]} words, {X.nnz / X.shape[0]:.0f} of them in a document")

# %%
# How many topics
# ---------------
#
# ``held_out_perplexity`` of documents that a fit has not seen: the next word is as hard to guess as one
# among so many. It compares numbers of topics, as it has no share of the topics' own distribution in
# it. Both priors are estimated: how many topics a document has, how common each is, and how many words
# a topic has.

order = np.random.RandomState(0).permutation(X.shape[0])
train, test = order[: len(order) * 4 // 5], order[len(order) * 4 // 5 :]
priors = {"doc_topic_prior": "auto", "topic_word_prior": "auto"}
numbers = [2, 5, 10, 20, 40]
held_out = []
for K in numbers:
    model = LatentDirichletAllocation(K, max_iter=60, random_state=0, **priors).fit(X[train])
    held_out.append(model.held_out_perplexity(X[test]))
    print(f"{K:>3} topics: {held_out[-1]:.0f}")

# %%
# What they are
# -------------
#
# Forty guess better, as many docstrings are copies of others but for a few words. Ten topics are few
# enough to look at. ``components_`` are, as it were, how often each word was of the topic; those that
# are more typical of it than of the rest tell most. Before each topic stands its part of the prior.

K = 10
model = LatentDirichletAllocation(K, max_iter=100, n_init=3, random_state=0, **priors).fit(X)
shares = model.transform(X)
of_topic = model.components_ / model.components_.sum(axis=1, keepdims=True)
typical = of_topic * np.log(of_topic / of_topic.mean(axis=0))
first = [" ".join(words[typical[k].argsort()[::-1][:6]]) for k in range(K)]
for k in np.argsort(-model.doc_topic_prior_):
    print(f"{model.doc_topic_prior_[k]:.2f}  {first[k]}")

# %%
# The packages, which the fit has not seen: the mean share of each topic in their documents. Topics
# stand in the order of the package that has most of them.

table = np.array([shares[packages == package].mean(axis=0) for package in PACKAGES])
columns = np.lexsort((-table.max(axis=0), table.argmax(axis=0)))

fig, (left, right) = plt.subplots(
    1, 2, figsize=(9.6, 4.6), width_ratios=[1, 2.4], layout="constrained"
)
left.plot(numbers, held_out, "o-", color="C0")
left.set(xscale="log", xlabel="topics", ylabel="held-out perplexity")
left.set_xticks(numbers, [str(n) for n in numbers])
left.minorticks_off()
image = right.imshow(table[:, columns].T, cmap="Blues", vmin=0, vmax=1, aspect="auto")
right.set_xticks(range(len(PACKAGES)), PACKAGES, rotation=45, ha="right")
right.set_yticks(range(K), [first[k] for k in columns], fontsize=8)
fig.colorbar(image, ax=right, label="mean share of the topic")
plt.show()

# %%
# A document
# ----------
#
# Documents are of several topics. One that is divided between two:

two = np.sort(shares, axis=1)[:, -2]
i = int(np.argmax(np.where(np.asarray(X.sum(axis=1)).ravel() > 60, two, 0)))
print(f"scipy.{packages[i]}.{names[i]}")
for k in np.argsort(-shares[i])[:3]:
    print(f"  {shares[i, k]:.2f}  {first[k]}")
