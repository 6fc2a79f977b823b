"""Latent Dirichlet allocation: against a slow account of the bound, direct optimisation, and its own laws."""

import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import minimize, minimize_scalar
from scipy.special import digamma, gammaln
from sklearn.decomposition import LatentDirichletAllocation as Upstream

from emlearn import LatentDirichletAllocation
from emlearn._kernels import lda as kernel
from emlearn._kernels import lda_twin
from emlearn.decomposition._dirichlet import fit_asymmetric, fit_symmetric
from emlearn.decomposition._topics import read_rows
from emlearn.em import block_rows
from emlearn.exceptions import SingularError

SETS = getattr(kernel, "instruction_sets", lambda: ["NumPy"])()


def documents(n=60, V=25, K=3, length=40, seed=0, alpha=0.2):
    """Documents of planted topics, as CSR rows, and the topics."""
    rng = np.random.default_rng(seed)
    topics = rng.dirichlet(np.full(V, 0.1), size=K)
    shares = rng.dirichlet(np.full(K, alpha), size=n)
    X = np.array([rng.multinomial(rng.poisson(length), p / p.sum()) for p in shares @ topics])
    return sparse.csr_matrix(X.astype(float)), topics


X, TOPICS = documents()


# ---------------------------------------------------------------- the bound


def slow_bound(X, components, gamma, alpha, eta):
    """E_q[log p(words, z, theta, beta)] - E_q[log q], word by word, with the best q(z)."""
    K, V = components.shape
    log_beta = digamma(components) - digamma(components.sum(axis=1, keepdims=True))
    total = 0.0
    for k in range(K):
        total += gammaln(V * eta) - V * gammaln(eta) + (eta - 1) * log_beta[k].sum()
        entropy = gammaln(components[k].sum()) - gammaln(components[k]).sum()
        total -= entropy + ((components[k] - 1) * log_beta[k]).sum()
    for x, g in zip(X, gamma, strict=True):
        log_theta = digamma(g) - digamma(g.sum())
        total += gammaln(alpha.sum()) - gammaln(alpha).sum() + ((alpha - 1) * log_theta).sum()
        total -= gammaln(g.sum()) - gammaln(g).sum() + ((g - 1) * log_theta).sum()
        for w in np.flatnonzero(x):
            joint = log_theta + log_beta[:, w]
            q = np.exp(joint - joint.max())
            q /= q.sum()
            total += x[w] * (q @ (joint - np.log(q)))
    return total


@pytest.mark.parametrize("prior", [None, 0.7, [0.1, 0.6, 1.3]])
def test_score_is_the_bound_word_by_word(prior):
    model = LatentDirichletAllocation(3, doc_topic_prior=prior, max_iter=4, random_state=0).fit(X)
    alpha = np.broadcast_to(np.asarray(model.doc_topic_prior_, dtype=float), 3)
    gamma = model.transform(X, normalize=False)
    expected = slow_bound(X.toarray(), model.components_, gamma, alpha, model.topic_word_prior_)
    assert model.score(X) == pytest.approx(expected, rel=1e-11)
    assert model.perplexity(X) == pytest.approx(np.exp(-expected / X.sum()), rel=1e-11)
    assert model.bound_ == pytest.approx(model.perplexity(X), rel=1e-12)
    # what training raised is a bound as well, of nearly the same posteriors
    assert model.lower_bound_ == pytest.approx(expected, rel=1e-3)


def test_score_and_perplexity_are_scikit_learns():
    ours = LatentDirichletAllocation(3, max_iter=3, total_samples=500, random_state=0).fit(X)
    theirs = Upstream(3, max_iter=1, total_samples=500, mean_change_tol=1e-9).fit(X)
    for name in ("components_", "exp_dirichlet_component_"):
        setattr(theirs, name, getattr(ours, name).copy())
    ours.set_params(mean_change_tol=1e-9)
    assert ours.score(X) == pytest.approx(theirs.score(X), rel=1e-8)
    for sub_sampling in (False, True):
        expected = theirs.perplexity(X, sub_sampling=sub_sampling)
        assert ours.perplexity(X, sub_sampling=sub_sampling) == pytest.approx(expected, rel=1e-8)
    np.testing.assert_allclose(ours.transform(X), theirs.transform(X), atol=1e-5)


def test_the_start_is_scikit_learns():
    start = LatentDirichletAllocation(4, max_iter=0, random_state=7).fit(X)
    drawn = np.random.RandomState(7).gamma(100.0, 0.01, (4, X.shape[1]))
    np.testing.assert_array_equal(start.components_, drawn)
    expected = np.exp(digamma(drawn) - digamma(drawn.sum(axis=1, keepdims=True)))
    np.testing.assert_allclose(start.exp_dirichlet_component_, expected, rtol=1e-12)


# ------------------------------------------------------------------ kernel


@pytest.mark.parametrize("name", SETS)
def test_special_functions(name):
    if name != "NumPy":
        kernel.use_instruction_set(name)
    x = np.r_[np.logspace(-12, 12, 3001), np.linspace(0.5, 3, 500)]
    try:
        exp_digamma, psi, log_gamma = kernel.special(x)
    finally:
        if name != "NumPy":
            kernel.use_instruction_set(SETS[0])
    for ours, theirs in ((psi, digamma(x)), (log_gamma, gammaln(x))):
        assert np.max(np.abs(ours - theirs) / np.maximum(1, abs(theirs))) < 2e-14
    inside = x > 2e-3
    error = exp_digamma[inside] / np.exp(digamma(x[inside])) - 1
    assert np.max(np.abs(error) / np.maximum(1, abs(digamma(x[inside])))) < 1e-14


@settings(max_examples=40, deadline=None)
@given(
    K=st.integers(1, 17),
    seed=st.integers(0, 10_000),
    scale=st.sampled_from([1e-3, 0.1, 1.0, 30.0]),
    name=st.sampled_from(SETS),
    max_iter=st.sampled_from([1, 3, 100]),
)
def test_kernel_and_twin(K, seed, scale, name, max_iter):
    rng = np.random.default_rng(seed)
    n, V = 7, 11
    rows = read_rows(rng.poisson(0.8, size=(n, V)) * rng.choice([1.0, 2.5], size=(n, 1)))
    components = rng.gamma(0.3, scale, size=(V, K)) + 1e-3
    alpha, weights = rng.uniform(0.01, 2, size=K), rng.integers(0, 3, size=n).astype(float)
    if name != "NumPy":
        kernel.use_instruction_set(name)
    try:
        table, shift, bound = kernel.topics(components, 0.3)
        expected = lda_twin.topics(components, 0.3)
        np.testing.assert_allclose(table, expected[0], rtol=1e-9, atol=1e-13)
        np.testing.assert_allclose(shift, expected[1], rtol=1e-12)
        assert bound == pytest.approx(expected[2], rel=1e-10, abs=1e-9)
        begin = np.where(rng.uniform(size=(n, 1)) < 0.5, rng.gamma(1.0, 1.0, size=(n, K)), 0.0)
        for weight in (None, weights):
            for options in ({"with_log_theta": True}, {"counted": False}):
                a, b = begin.copy(), begin.copy()
                given = (rows, table, shift, alpha)
                ours = kernel.documents(*given, a, weight, 0.0, max_iter, **options)
                theirs = lda_twin.documents(*given, b, weight, 0.0, max_iter, **options)
                np.testing.assert_allclose(a, b, rtol=1e-8)
                for one, other in zip(ours, theirs, strict=True):
                    assert (one is None) == (other is None)
                    if one is not None:
                        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-9)
    finally:
        if name != "NumPy":
            kernel.use_instruction_set(SETS[0])


# -------------------------------------------------------------------- laws


@pytest.mark.parametrize("settings", [{}, {"doc_topic_prior": "auto", "topic_word_prior": "auto"}])
@pytest.mark.parametrize("accelerate", [None, "squarem"])
def test_no_pass_lowers_the_bound(settings, accelerate):
    for seed in range(3):
        model = LatentDirichletAllocation(
            4, max_iter=40, accelerate=accelerate, random_state=seed, **settings
        ).fit(X)
        steps = np.diff(model.lower_bounds_)
        assert steps.min() >= -1e-9 * abs(model.lower_bound_)
        assert steps[:5].min() > 0
        assert model.lower_bounds_[-1] == model.lower_bound_


def test_documents_in_another_order():
    order = np.random.RandomState(1).permutation(X.shape[0])
    ours, theirs = (
        LatentDirichletAllocation(3, max_iter=15, random_state=0).fit(rows)
        for rows in (X, X[order])
    )
    np.testing.assert_allclose(ours.components_, theirs.components_, rtol=1e-7)
    np.testing.assert_allclose(ours.transform(X)[order], theirs.transform(X[order]), rtol=1e-6)


def test_weights_are_repetitions():
    counts = np.random.RandomState(0).randint(0, 4, size=X.shape[0])
    repeated = X[np.repeat(np.arange(X.shape[0]), counts)]
    priors = {"doc_topic_prior": "auto", "topic_word_prior": "auto"}
    ours = LatentDirichletAllocation(3, max_iter=14, random_state=0, **priors)
    theirs = pickle.loads(pickle.dumps(ours)).fit(repeated)
    ours.fit(X, sample_weight=counts)
    np.testing.assert_allclose(ours.components_, theirs.components_, rtol=1e-6)
    np.testing.assert_allclose(ours.doc_topic_prior_, theirs.doc_topic_prior_, rtol=1e-6)
    assert ours.bound_ == pytest.approx(theirs.bound_, rel=1e-9)
    for name in ("score", "perplexity", "held_out_perplexity"):
        weighed = getattr(ours, name)(X, sample_weight=counts)
        assert weighed == pytest.approx(getattr(ours, name)(repeated), rel=1e-10)


def test_planted_topics_are_found():
    rows, planted = documents(n=400, V=40, K=4, length=120, seed=3)
    model = LatentDirichletAllocation(4, max_iter=60, n_init=3, random_state=0).fit(rows)
    found = model.components_ / model.components_.sum(axis=1, keepdims=True)
    distance = np.abs(found[:, None] - planted[None]).sum(axis=2) / 2
    assert sorted(distance.argmin(axis=1)) == [0, 1, 2, 3]
    assert distance.min(axis=1).max() < 0.1


def test_threads_and_types():
    with block_rows(13):
        one, two = (
            LatentDirichletAllocation(3, n_jobs=n_jobs, max_iter=14, random_state=0).fit(X)
            for n_jobs in (1, 3)
        )
    np.testing.assert_array_equal(one.components_, two.components_)
    assert one.bound_ == two.bound_
    np.testing.assert_array_equal(one.transform(X), two.transform(X))
    dense = LatentDirichletAllocation(3, max_iter=14, random_state=0).fit(X.toarray())
    np.testing.assert_allclose(dense.components_, one.components_, rtol=1e-7)
    single = LatentDirichletAllocation(3, random_state=0).fit(X.astype(np.float32))
    assert single.transform(X.astype(np.float32)).dtype == np.float32
    assert single.components_.dtype == single.exp_dirichlet_component_.dtype == np.float32


# ------------------------------------------------------------------ priors


def test_the_prior_of_topics_is_the_maximum():
    rng = np.random.default_rng(0)
    for alpha in ([0.05, 0.5, 3.0], [20.0, 1.0, 0.01], [1e-3] * 3):
        gamma = rng.gamma(2.0, 2.0, size=(50, 3)) * np.array(alpha) + np.array(alpha)
        means = (digamma(gamma) - digamma(gamma.sum(axis=1, keepdims=True))).mean(axis=0)

        def loss(log_alpha, means=means):
            a = np.exp(log_alpha)
            return -(gammaln(a.sum()) - gammaln(a).sum() + a @ means)

        best = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-9})
        found = fit_asymmetric(50 * means, 50.0, np.ones(3))
        np.testing.assert_allclose(found, np.exp(best.x), rtol=1e-4)
    assert np.array_equal(fit_asymmetric(np.zeros(2), 0.0, np.ones(2)), np.ones(2))
    with pytest.raises(SingularError, match="above 0"):
        fit_asymmetric(np.array([1.0, -1.0]), 1.0, np.ones(2))


def test_the_prior_of_words_is_the_maximum():
    counts = np.random.default_rng(0).gamma(0.2, 5.0, size=(30, 4))
    V, K = counts.shape

    def loss(log_eta):
        eta = np.exp(log_eta)
        value = K * (gammaln(V * eta) - V * gammaln(eta)) + gammaln(eta + counts).sum()
        return gammaln(V * eta + counts.sum(axis=0)).sum() - value

    best = minimize_scalar(loss, bounds=(-8, 3), method="bounded", options={"xatol": 1e-9})
    assert fit_symmetric(counts, 1.0, 500) == pytest.approx(np.exp(best.x), rel=1e-4)
    steps = [fit_symmetric(counts, 1.0, n) for n in range(6)]
    assert np.all(np.diff([loss(np.log(eta)) for eta in steps]) < 0)
    assert fit_symmetric(np.zeros((3, 2)), 0.5) == 0.5


def test_estimated_priors_raise_the_bound():
    rows, _ = documents(n=300, V=40, K=3, length=60, seed=5, alpha=0.3)
    fixed = LatentDirichletAllocation(3, max_iter=60, random_state=0).fit(rows)
    auto = LatentDirichletAllocation(
        3, doc_topic_prior="auto", topic_word_prior="auto", max_iter=60, random_state=0
    ).fit(rows)
    assert auto.lower_bound_ > fixed.lower_bound_ + 1
    assert auto.doc_topic_prior_.shape == (3,)
    np.testing.assert_allclose(auto.doc_topic_prior_, 0.3, atol=0.15)
    assert auto.topic_word_prior_ == pytest.approx(0.1, abs=0.05)
    # at rest: the bound of the fit is flat in the prior of words, all else as it is
    gamma = auto.transform(rows, normalize=False)

    def bound(eta):
        return slow_bound(rows.toarray(), auto.components_, gamma, auto.doc_topic_prior_, eta)

    eta = auto.topic_word_prior_
    assert bound(eta) > max(bound(eta * 1.1), bound(eta / 1.1))


# ------------------------------------------------------------------- online


def test_partial_fit_is_hoffmans_step():
    kappa, tau, D = 0.6, 3.0, 500
    model = LatentDirichletAllocation(
        3, learning_decay=kappa, learning_offset=tau, total_samples=D, batch_size=20, random_state=0
    )
    components = np.random.RandomState(0).gamma(100.0, 0.01, (3, X.shape[1]))
    for t in range(3):
        batch = X[20 * t : 20 * t + 20]
        model.partial_fit(batch)
        table, shift, _ = lda_twin.topics(np.ascontiguousarray(components.T), 1 / 3)
        gamma = np.zeros((20, 3))
        words = lda_twin.documents(
            read_rows(batch), table, shift, np.full(3, 1 / 3), gamma, None, 1e-3, 30
        )[1]
        rho = (tau + t + 1) ** -kappa
        components = (1 - rho) * components + rho * (1 / 3 + D / 20 * words.T)
        np.testing.assert_allclose(model.components_, components, rtol=1e-7)
    assert model.n_steps_ == 3 and model.n_batch_iter_ == 4 and model.bound_ is None
    at_once = LatentDirichletAllocation(**{**model.get_params(), "random_state": 0})
    np.testing.assert_array_equal(at_once.partial_fit(X).components_, model.components_)


def test_online_learns_as_much():
    rows, _ = documents(n=400, V=40, K=4, length=60, seed=3)
    batch = LatentDirichletAllocation(4, max_iter=30, random_state=0).fit(rows)
    online = LatentDirichletAllocation(
        4, learning_method="online", batch_size=50, max_iter=10, random_state=0
    ).fit(rows)
    assert online.bound_ < 1.02 * batch.bound_
    assert online.n_batch_iter_ == 81 and online.n_iter_ == 10


def test_evaluate_every_stops_where_the_perplexity_rests():
    settings = {"max_iter": 200, "perp_tol": 1e-3, "random_state": 0}
    for every in (1, 4):
        model = LatentDirichletAllocation(3, evaluate_every=every, **settings).fit(X)
        perplexities = np.exp(-model.lower_bounds_ / X.sum())[every - 1 :: every]
        changes = np.abs(np.diff(perplexities))
        assert model.converged_ and model.n_iter_ % every == 0 and model.n_iter_ < 200
        assert changes[-1] < 1e-3 and np.all(changes[:-1] >= 1e-3)
        assert model.stop_reason_.startswith("converged")


# ------------------------------------------------------------- odd documents


def test_empty_documents_and_unused_words():
    rows = sparse.hstack(
        [sparse.vstack([X, sparse.csr_matrix((5, X.shape[1]))]), np.zeros((65, 4))]
    )
    rows = sparse.csr_matrix(rows)
    model = LatentDirichletAllocation(3, max_iter=30, random_state=0).fit(rows)
    np.testing.assert_allclose(model.components_[:, -4:], 1 / 3)
    np.testing.assert_allclose(model.transform(rows)[-5:], 1 / 3)
    np.testing.assert_array_equal(model.score_samples(rows)[-5:], 0.0)
    seen = rows[:-5]
    assert model.score(rows) == pytest.approx(model.score(seen), rel=1e-12)
    assert np.diff(model.lower_bounds_).min() > -1e-9 * abs(model.lower_bound_)
    # a document of nothing but words that no topic has
    strange = np.zeros((1, rows.shape[1]))
    strange[0, -2:] = 2
    assert np.isfinite(model.score_samples(strange)[0])
    assert model.transform(strange).sum() == pytest.approx(1.0)


def test_no_words_at_all():
    model = LatentDirichletAllocation(2, doc_topic_prior="auto", topic_word_prior="auto")
    model.fit(np.zeros((3, 4)))
    np.testing.assert_allclose(model.components_, 0.5)
    assert np.isnan(model.bound_) and np.isnan(model.held_out_perplexity(np.zeros((2, 4))))


def test_the_prior_of_an_only_topic_says_nothing():
    settings = {"topic_word_prior": "auto", "max_iter": 30}
    model = LatentDirichletAllocation(1, doc_topic_prior="auto", **settings).fit(X)
    given = LatentDirichletAllocation(1, doc_topic_prior=1.0, **settings).fit(X)
    assert model.n_iter_ == given.n_iter_ == 30 and model.doc_topic_prior_ == 1.0
    np.testing.assert_array_equal(model.components_, given.components_)


@pytest.mark.parametrize("prior", [1e-8, 1e-3, 50.0])
def test_extreme_priors(prior):
    model = LatentDirichletAllocation(
        5, doc_topic_prior=prior, topic_word_prior=prior, max_iter=25, random_state=0
    ).fit(X)
    assert np.isfinite(model.components_).all() and np.isfinite(model.bound_)
    assert np.diff(model.lower_bounds_).min() >= -1e-9 * abs(model.lower_bound_)
    assert np.isfinite(model.transform(X)).all()
    scaled = model.transform(X * 1e12)
    assert np.isfinite(scaled).all()


def test_held_out_perplexity_does_not_depend_on_how_many():
    model = LatentDirichletAllocation(3, random_state=0).fit(X[:40])
    held = X[40:]
    many = sparse.vstack([held] * 10).tocsr()
    assert model.held_out_perplexity(held) == pytest.approx(model.held_out_perplexity(many))
    assert model.perplexity(held) > 1.05 * model.perplexity(many)
    total = model.score_samples(held).sum()
    assert model.held_out_perplexity(held) == pytest.approx(np.exp(-total / held.sum()))


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"doc_topic_prior": [0.1, 0.2]}, "doc_topic_prior"),
        ({"doc_topic_prior": [0.1, 0.2, 0.0]}, "above 0"),
        ({"doc_topic_prior": -1.0}, "doc_topic_prior"),
        ({"topic_word_prior": 0.0}, "topic_word_prior"),
        ({"learning_method": "incremental"}, "learning_method"),
        ({"learning_method": "online", "accelerate": "squarem"}, "learning_method='batch'"),
    ],
)
def test_parameters_out_of_their_domain(change, words):
    with pytest.raises(ValueError, match=words):
        LatentDirichletAllocation(3, **change).fit(X)


def test_data_that_are_no_counts():
    bad = X.toarray()
    bad[4, 6] = -1.0
    for rows in (bad, sparse.csr_matrix(bad)):
        with pytest.raises(ValueError, match=r"Negative values.* in row 4, column 6"):
            LatentDirichletAllocation(3).fit(rows)
    model = LatentDirichletAllocation(3, random_state=0).fit(X)
    with pytest.raises(ValueError, match="Negative values"):
        model.transform(bad)
    bad[4, 6] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        model.transform(bad)
    with pytest.raises(ValueError, match="features"):
        model.transform(bad[:, :5])
    model.set_params(n_components=5, warm_start=True)
    with pytest.raises(ValueError, match="a fit of 3 topics"):
        model.fit(X)
    broken = X.copy()
    broken.indices = broken.indices + X.shape[1]
    with pytest.raises(ValueError, match=r"CSR|index"):
        LatentDirichletAllocation(3).fit(broken)


def test_memory_is_that_of_non_zeros_topics_and_documents():
    rng = np.random.default_rng(0)
    n, V, K, m = 2000, 20_000, 8, 10
    indices = rng.integers(V, size=n * m)
    rows = sparse.csr_matrix((np.ones(n * m), indices, np.arange(0, n * m + 1, m)), shape=(n, V))
    rows.sum_duplicates()
    model = LatentDirichletAllocation(K, max_iter=3, random_state=0, n_jobs=1)
    tracemalloc.start()
    model.fit(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    held = 20 * rows.nnz + 8 * n * K + 8 * V * K
    assert peak < 10 * held < 8 * n * V / 10


def test_collections_of_dask():
    da = pytest.importorskip("dask.array")
    dense = X.toarray()
    lazy = da.from_array(dense, chunks=(20, dense.shape[1]))
    model = LatentDirichletAllocation(3, max_iter=14, random_state=0).fit(lazy)
    here = LatentDirichletAllocation(3, max_iter=14, random_state=0).fit(dense)
    # documents begin anew in each pass there, and go on after the tenth here
    assert model.bound_ == pytest.approx(here.bound_, rel=1e-2)
    np.testing.assert_array_equal(model.transform(lazy).compute(), model.transform(dense))
    assert model.score(lazy) == pytest.approx(model.score(dense), rel=1e-12)
    expected = model.held_out_perplexity(dense)
    assert model.held_out_perplexity(lazy) == pytest.approx(expected, rel=1e-12)


def test_pandas_out_and_names():
    pytest.importorskip("pandas")
    model = LatentDirichletAllocation(3, random_state=0).set_output(transform="pandas")
    table = model.fit_transform(X.toarray())
    assert list(table.columns) == [f"latentdirichletallocation{k}" for k in range(3)]
    np.testing.assert_allclose(table.sum(axis=1), 1.0)
