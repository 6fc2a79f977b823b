"""
A photograph in sixteen colours
===============================

Each pixel of a photograph is a point in the space of colours. :class:`~emlearn.cluster.KMeans` puts
a few centres there so that the pixels are near them: the colours with which a picture can be painted
again, at the smallest mean squared error that a start leads to.
"""

# sphinx_gallery_thumbnail_number = 1
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from emlearn.cluster import KMeans
from emlearn.mixture import GaussianMixture

picture = load_sample_image("china.jpg") / 255.0
X = picture.reshape(-1, 3)
print(f"{len(X)} pixels, {len(np.unique(X, axis=0))} colours")

# %%
# The pixels are fitted at once; ``labels_`` and ``cluster_centers_`` make the picture. With few
# colours k-means spends them where most pixels are: on the sky.

few = [4, 16]
palettes = {K: KMeans(K, random_state=0).fit(X) for K in few}
fig, axes = plt.subplots(2, 3, figsize=(10, 3.6), height_ratios=[8, 1], layout="constrained")
axes[0, 0].imshow(picture)
axes[0, 0].set_title("the photograph")
axes[1, 0].axis("off")
for column, (K, kmeans) in enumerate(palettes.items(), start=1):
    centres = kmeans.cluster_centers_.clip(0, 1)
    axes[0, column].imshow(centres[kmeans.labels_].reshape(picture.shape))
    error = np.sqrt(kmeans.inertia_ / X.size)
    axes[0, column].set_title(f"{K} colours, error {255 * error:.1f} of 255")
    share = np.bincount(kmeans.labels_) / len(X)
    left = 0.0
    for k in np.argsort(centres.sum(axis=1)):
        axes[1, column].barh(0, share[k], left=left, color=centres[k])
        left += share[k]
    axes[1, column].set(xlim=(0, 1), yticks=[], xlabel="share of the pixels")
for ax in axes[0]:
    ax.axis("off")
plt.show()

# %%
# How many colours
# ----------------
#
# ``lower_bound_`` is minus the inertia, as a share of what it is with one colour. It never says
# "enough": the likelihood of a mixture, which has a criterion for that, knows the noise, and k-means
# does not.

numbers = [2, 4, 8, 16, 32, 64]
sample = X[::20]
left_over = [-KMeans(K, random_state=0).fit(sample).lower_bound_ for K in numbers]
fig, ax = plt.subplots()
ax.loglog(numbers, left_over, "o-", base=2)
ax.set(xlabel="colours", ylabel="share of the variance that is left")
ax.set_xticks(numbers, numbers)
plt.show()

# %%
# Rows as they come
# -----------------
#
# ``partial_fit`` takes some pixels at a time, here a hundredth of the picture in random order. With
# ``learning_decay=1`` and ``learning_offset=0`` all parts count alike.

online = KMeans(16, learning_decay=1.0, learning_offset=0.0, random_state=0)
for part in np.array_split(np.random.RandomState(0).permutation(X), 100):
    online.partial_fit(part)
whole = palettes[16]
for name, kmeans in (("one pass, part by part", online), (f"{whole.n_iter_} passes", whole)):
    print(f"error of {name}: {255 * np.sqrt(-kmeans.score(X) / X.size):.2f} of 255")

# %%
# What k-means is
# ---------------
#
# It is hard EM of Gaussians that are spheres of one size and equally likely. From the same start a
# :class:`~emlearn.mixture.GaussianMixture` that is held to be that ends with the same labels.

kmeans = KMeans(4, tol=0.0, random_state=0).fit(sample)
spheres = GaussianMixture(
    4,
    covariance_type="EII",
    e_step="hard",
    fixed={"weights": np.full(4, 0.25)},
    init_params=kmeans.labels_,
).fit(sample)
print(f"the same cluster: {np.mean(spheres.predict(sample) == kmeans.labels_):.1%} of the pixels")
ellipses = GaussianMixture(4, random_state=0).fit(sample)
print(
    "log-likelihood of a pixel:"
    f" spheres of one size {spheres.score(sample):.2f}, any ellipsoids {ellipses.score(sample):.2f}"
)
