"""Views of odd layouts are read right; a fit resumes from what a callback was given."""

import numpy as np
import pytest

from emlearn import _kernels
from emlearn.datasets import load_faithful
from emlearn.mixture import GaussianMixture

X = load_faithful().data


def packed(dtype):
    """The data inside records that put them between the addresses numbers may have."""
    records = np.zeros(len(X), dtype=[("flag", "u1"), ("x", dtype, (2,))])
    records["x"] = X
    return records["x"]


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_rows_inside_packed_records(dtype):
    view = packed(dtype)
    plain = np.ascontiguousarray(view)
    settings = {"n_components": 2, "random_state": 0}
    a, b = GaussianMixture(**settings).fit(view), GaussianMixture(**settings).fit(plain)
    np.testing.assert_array_equal(a.means_, b.means_)
    np.testing.assert_array_equal(a.predict_proba(view), b.predict_proba(plain))
    assert a.score(view) == b.score(plain)


@pytest.mark.parametrize("kernel", [_kernels.gaussian] if _kernels.COMPILED["gaussian"] else [])
def test_the_kernel_refuses_what_it_would_misread(kernel):
    with pytest.raises(ValueError, match="item size"):
        kernel.scores(
            packed("f8"), 2, np.zeros(1), np.zeros((1, 2)), np.ones(2), log_density=np.empty(272)
        )
    with pytest.raises(ValueError, match="272 rows"):
        kernel.scores(X, 2, np.zeros(1), np.zeros((1, 2)), np.ones(2), log_density=np.empty(1))
    for density, form in ((7, 2), (2, 7)):
        with pytest.raises(ValueError, match="7 is no"):
            kernel.e_step(X, None, density, form, np.zeros(1), np.zeros((1, 2)), np.ones(2))


@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "score_samples", "score", "bic", "icl"]
)
@pytest.mark.parametrize("beside", [0.0, np.nan])
def test_scores_refuse_what_is_infinite(method, beside):
    model = GaussianMixture(2, random_state=0).fit(X)
    bad = np.repeat(X, 300, axis=0)
    bad[10, 0] = beside  # a missing cell is none
    assert np.isfinite(getattr(model, method)(bad)).all()
    bad[70_000, 1] = np.inf
    with pytest.raises(ValueError, match="column 1"):
        getattr(model, method)(bad)


class Keep:
    """Keeps the model of each iteration."""

    def __init__(self):
        self.models = []

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.task_name == "iteration":
            self.models.append(fitted_estimator)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_fit_resumes_from_what_a_callback_was_given(dtype):
    data, keep = X.astype(dtype), Keep()
    settings = {"n_components": 3, "random_state": 0, "tol": 1e-6, "max_iter": 500}
    whole = GaussianMixture(**settings).set_callbacks(keep).fit(data)
    early = keep.models[3]
    assert early.n_iter_ == 4
    assert early.means_.dtype == dtype
    # statistics for partial_fit are kept at the end only
    assert vars(whole).keys() <= vars(early).keys() | {"_skl_callbacks", "_online"}
    early.set_callbacks().set_params(warm_start=True).fit(data)
    assert early.converged_
    if dtype == np.float64:
        np.testing.assert_array_equal(early.means_, whole.means_)
        assert early.n_iter_ + 4 == whole.n_iter_
    np.testing.assert_allclose(early.means_, whole.means_, rtol=1e-3)


def test_a_warm_start_of_a_model_set_by_hand():
    fitted = GaussianMixture(2, random_state=0).fit(X)
    model = GaussianMixture(2, warm_start=True)
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_", "converged_"):
        setattr(model, name, getattr(fitted, name))
    model.n_features_in_ = 2
    assert model.fit(X).lower_bound_ >= fitted.lower_bound_


def test_a_warm_start_keeps_its_model():
    model = GaussianMixture(2, covariance_type="tied", warm_start=True, random_state=0).fit(X)
    with pytest.raises(ValueError, match="covariance_type='tied'"):
        model.set_params(covariance_type="diag").fit(X)
    with pytest.raises(ValueError, match="n_components = 3"):
        model.set_params(covariance_type="tied", n_components=3).fit(X)


def test_weights_whose_sum_overflows_are_named():
    with pytest.raises(ValueError, match="sample_weight: the sum overflows"):
        GaussianMixture(2).fit(X, sample_weight=np.full(len(X), 1e307))


def test_a_start_that_leaves_out_all_that_counts_is_named():
    weight = np.r_[np.zeros(100), np.ones(172)]
    labels = np.r_[np.zeros(50, int), np.ones(50, int), np.full(172, -1)]
    with pytest.raises(ValueError, match="init_params leaves out every row"):
        GaussianMixture(2, init_params=labels).fit(X, sample_weight=weight)
