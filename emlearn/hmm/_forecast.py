"""What comes after the end of a sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from ..mixture import Mixture

__all__ = ["Forecast"]

# fitted attributes of a hidden Markov model that a mixture of its states has not
_OWN = {
    "startprob_",
    "transmat_",
    "converged_",
    "lower_bound_",
    "lower_bounds_",
    "n_best_restarts_",
    "n_e_steps_",
    "n_iter_",
    "n_parameters_",
    "n_sequences_",
    "restart_lower_bounds_",
    "stop_reason_",
}


class Forecast:
    """What a hidden Markov model says of the rows after the end of some sequences.

    Parameters
    ----------
    model : fitted hidden Markov model
    state_proba : ndarray of shape (n_sequences, steps, n_components)

    Attributes
    ----------
    state_proba : ndarray of shape (n_sequences, steps, n_components)
        Probabilities of the state 1, 2, ... rows after the last.

    References
    ----------
    Zucchini, W. and MacDonald, I. L. (2009). Hidden Markov Models for Time Series, section 5.2.
    Chapman and Hall.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.hmm import PoissonHMM
    >>> hmm = PoissonHMM.from_parameters([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], rates=[[2.0], [9.0]])
    >>> forecast = hmm.forecast([[3], [2], [3]], steps=2)
    >>> forecast.state_proba.round(2)
    array([[[0.89, 0.11],
            [0.83, 0.17]]])
    >>> np.exp(forecast.distribution(step=2).score_samples([[2], [10]])).round(3)
    array([0.224, 0.021])
    """

    def __init__(self, model: Any, state_proba: np.ndarray) -> None:
        self._model = model
        self.state_proba = state_proba

    def __repr__(self) -> str:
        n, steps, K = self.state_proba.shape
        return f"Forecast({type(self._model).__name__}, n_sequences={n}, steps={steps}, n_components={K})"

    def distribution(self, step: int = 1, sequence: int = -1) -> Mixture:
        """The distribution of a row, as a fitted mixture of the states: densities, samples and all.

        Parameters
        ----------
        step : int, default=1
            How many rows after the last.
        sequence : int, default=-1
            Of which sequence.

        Returns
        -------
        Mixture
            Its weights are the probabilities of the states.

        Raises
        ------
        ValueError
            If the forecast does not go so far.
        """
        n, steps, K = self.state_proba.shape
        if not 1 <= step <= steps:
            raise ValueError(f"step must be 1 to {steps}, the steps of the forecast, got {step}.")
        if not -n <= sequence < n:
            raise ValueError(f"sequence must be a number below {n}, got {sequence}.")
        model = self._model
        mixture = Mixture(K, distribution=clone(model._distribution()))
        for name, value in vars(model).items():
            if name.endswith("_") and not name.startswith("_") and name not in _OWN:
                setattr(mixture, name, value)
        mixture.weights_ = self.state_proba[sequence, step - 1]
        mixture.n_parameters_ = mixture._n_parameters()
        return mixture
