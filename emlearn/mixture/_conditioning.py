"""Marginal and conditional distributions of elliptical mixtures."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import gammaln
from sklearn.utils.validation import check_is_fitted

from .._data import read_array
from ._model import MixtureParameters

__all__ = ["ConditioningMixin"]


class ConditioningMixin:
    """What a Gaussian or Student-t mixture says of some of its features."""

    def marginal(self, features: Any) -> Self:
        """The mixture of some of the features, the others unknown.

        Parameters
        ----------
        features : array-like of int or str, slice or boolean mask
            Which to keep, in the order of the result; names where the fit had names.

        Returns
        -------
        estimator
            Fitted, of the same class.

        Raises
        ------
        ValueError
            If a feature does not exist or is named twice, or there is a noise component, whose
            marginal is not uniform.

        Examples
        --------
        >>> from emlearn.datasets import load_faithful
        >>> from emlearn.mixture import GaussianMixture
        >>> mixture = GaussianMixture(2, random_state=0).fit(load_faithful().data)
        >>> mixture.marginal([1]).means_.round(1)
        array([[54.5],
               [80. ]])
        """
        parameters, keep = self._elliptical(features)
        means, matrices, df = self._moments(parameters)
        return self._like(
            parameters.weights,
            means[:, keep],
            matrices[:, keep[:, None], keep],
            df,
            keep,
            tied=self._distribution().covariance.form == "pooled",
        )

    def condition(self, features: Any, values: Any) -> Self:
        """The mixture of the other features, given the values of some.

        Parameters
        ----------
        features : array-like of int or str, slice or boolean mask
            Which are known; names where the fit had names.
        values : array-like of shape (n_known,)

        Returns
        -------
        estimator
            Fitted, of the same class; its features are those that are not known, in their order.

        Raises
        ------
        ValueError
            If a feature does not exist or is named twice, none is left, the values do not fit, or
            there is a noise component.

        References
        ----------
        Eaton, M. L. (1983). Multivariate Statistics: A Vector Space Approach. Wiley.

        Ding, P. (2016). On the conditional distribution of the multivariate t
        distribution. The American Statistician 70(3), 293-295.

        Examples
        --------
        How long to wait after an eruption of four minutes:

        >>> from emlearn.datasets import load_faithful
        >>> from emlearn.mixture import GaussianMixture
        >>> mixture = GaussianMixture(2, random_state=0).fit(load_faithful().data)
        >>> given = mixture.condition([0], [4.0])
        >>> float((given.weights_ @ given.means_).round(1)[0])
        78.4
        """
        parameters, known = self._elliptical(features)
        x = np.atleast_1d(read_array(values, "values"))
        if x.shape != known.shape:
            raise ValueError(
                f"values must hold {len(known)} numbers, one a feature, got {x.shape}."
            )
        means, matrices, df = self._moments(parameters)
        d = means.shape[1]
        left = np.setdiff1d(np.arange(d), known)
        if not len(left):
            raise ValueError(
                "features: all are known, so that none is left to have a distribution."
            )
        K, p = len(means), len(known)
        log_weights = np.log(
            parameters.weights, where=parameters.weights > 0, out=np.full(K, -np.inf)
        )
        new_means, new_matrices = np.empty((K, len(left))), np.empty((K, len(left), len(left)))
        for k in range(K):
            inside = cho_factor(matrices[k][np.ix_(known, known)], lower=True)
            across = matrices[k][np.ix_(known, left)]
            delta = x - means[k, known]
            solved = cho_solve(inside, delta)
            distance = float(delta @ solved)
            log_det = 2.0 * np.log(np.diag(inside[0])).sum()
            new_means[k] = means[k, left] + across.T @ solved
            schur = matrices[k][np.ix_(left, left)] - across.T @ cho_solve(inside, across)
            new_matrices[k] = 0.5 * (schur + schur.T)
            if df is None:
                log_weights[k] -= 0.5 * (log_det + distance)
            else:
                log_weights[k] += (
                    gammaln((df[k] + p) / 2)
                    - gammaln(df[k] / 2)
                    - 0.5 * (p * np.log(df[k]) + log_det)
                    - (df[k] + p) / 2 * np.log1p(distance / df[k])
                )
                new_matrices[k] *= (df[k] + distance) / (df[k] + p)
        weights = np.exp(log_weights - log_weights.max())
        tied = self._distribution().covariance.form == "pooled" and df is None
        return self._like(
            weights / weights.sum(),
            new_means,
            new_matrices,
            None if df is None else df + p,
            left,
            tied=tied,
        )

    # -------------------------------------------------------------- parts

    def _elliptical(self, features: Any) -> tuple[MixtureParameters, np.ndarray]:
        check_is_fitted(self)
        if self.noise:
            raise ValueError(
                "A mixture with a noise component has no uniform marginal. Fit with noise=False."
            )
        parameters = self.recall()
        d = self._fitted_model().distribution.shape(parameters.components)[1]
        names = list(getattr(self, "feature_names_in_", ()))
        if isinstance(features, slice):
            features = np.arange(d)[features]
        mask = np.asarray(features)
        if mask.dtype == bool:
            if mask.shape != (d,):
                raise ValueError(f"features: a mask must have {d} entries, got {mask.shape}.")
            features = np.flatnonzero(mask)
        positions = []
        for feature in np.atleast_1d(np.asarray(features, dtype=object)):
            if isinstance(feature, str):
                if feature not in names:
                    raise ValueError(
                        f"features: there is no {feature!r}; the features are {names}."
                    )
                positions.append(names.index(feature))
            elif isinstance(feature, int | np.integer) and -d <= feature < d:
                positions.append(int(feature) % d)
            else:
                raise ValueError(f"features: there is no {feature!r} among {d} features.")
        if not positions or len(set(positions)) < len(positions):
            raise ValueError(
                f"features must name at least one feature, and none twice: {features!r}."
            )
        return parameters, np.array(positions)

    def _moments(
        self, parameters: MixtureParameters
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Means, matrices (K, d, d), and degrees of freedom of a Student-t mixture."""
        components = parameters.components
        scaled = getattr(components, "scaled", components)
        matrices = self._distribution().covariance.dense(scaled.covariances, *scaled.means.shape)
        return scaled.means, matrices, getattr(components, "degrees_of_freedom", None)

    def _like(
        self,
        weights: np.ndarray,
        means: np.ndarray,
        matrices: np.ndarray,
        df: np.ndarray | None,
        columns: np.ndarray,
        *,
        tied: bool,
    ) -> Self:
        """A mixture of this class with these parameters, in the most frugal shape that holds them."""
        axes = self._distribution().covariance.shape(2, 3)
        if axes == (2,):
            kind, values = "spherical", matrices[:, 0, 0]
        elif axes == (2, 3):
            kind, values = "diag", np.diagonal(matrices, axis1=1, axis2=2).copy()
        else:
            kind, values = ("tied", matrices[0]) if tied else ("full", matrices)
        more = [] if df is None else [df]
        mixture = type(self).from_parameters(
            weights, means, values, *more, covariance_type=kind, random_state=self.random_state
        )
        if hasattr(self, "feature_names_in_"):
            mixture.feature_names_in_ = self.feature_names_in_[columns]
        return mixture
