"""The conformance suite finds what is broken, and says so."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from emlearn.distributions import Categorical, Gaussian, Poisson, PoissonParameters
from emlearn.em import Sums
from emlearn.em.posteriors import SOFT
from emlearn.latent import Chain, ChainParameters, Labels
from emlearn.mixture import PoissonMixture
from emlearn.testing import (
    check_distribution,
    check_latent,
    check_mixture,
    distribution_checks,
    latent_checks,
    mixture_checks,
)
from emlearn.testing._modes import MODE_CHECKS

RNG = np.random.RandomState(0)
Z = np.repeat([0, 1, 2], 40)
COUNTS = RNG.poisson(np.array([[1.0, 8.0], [6.0, 2.0], [12.0, 12.0]])[Z]).astype(float)
NUMBERS = 3.0 * Z[:, None] + RNG.standard_normal((120, 2))
NAMES = np.array(list("abc"))[(Z[:, None] + (RNG.uniform(size=(120, 2)) < 0.5)) % 3]
GRID = np.indices((50, 50)).reshape(2, -1).T.astype(float)


def broken_laws(checks):
    """Names of the checks that fail, with what they say."""
    found = {}
    for name, check in checks:
        try:
            check()
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


# ------------------------------------------------------------ broken families


class DensityTooLarge(Poisson):
    def log_density(self, parameters, features):
        log_density, memo = super().log_density(parameters, features)
        return log_density + 1e-3, memo


class DensityInSinglePrecision(Poisson):
    def log_density(self, parameters, features):
        log_density, memo = super().log_density(parameters, features)
        return log_density.astype(np.float32), memo


class MStepOnePercentOff(Poisson):
    def m_step(self, statistics, parameters, prior=None):
        return PoissonParameters(1.01 * super().m_step(statistics, parameters, prior).rates)


class MStepTooFar(Poisson):
    """Twice the way to the maximum, and a little."""

    def m_step(self, statistics, parameters, prior=None):
        new = super().m_step(statistics, parameters, prior)
        if parameters is None:
            return new
        return PoissonParameters(new.rates * (new.rates / parameters.rates) ** 1.3)


class MStepWithoutPrior(Poisson):
    def m_step(self, statistics, parameters, prior=None):
        return super().m_step(statistics, parameters, None)


class PriorOfAnother(Poisson):
    def log_prior(self, parameters, prior):
        return 2.0 * super().log_prior(parameters, prior)


class MStepDividesByZero(Poisson):
    def m_step(self, statistics, parameters, prior=None):
        with np.errstate(all="ignore"):
            return PoissonParameters(statistics["sum"] / statistics["weight"][:, None])


class StatisticsWithoutWeights(Poisson):
    def statistics(self, parameters, features, weights, memo=None):
        return super().statistics(parameters, features, np.ceil(weights), memo)


class StatisticsOfAMean(Poisson):
    def statistics(self, parameters, features, weights, memo=None):
        return super().statistics(parameters, features, weights / len(weights), memo)


class LeftOnly(Sums):
    def __add__(self, other):
        return LeftOnly({**(Sums.__add__(self, other)).arrays, "weight": self["weight"]})


class StatisticsThatDoNotMerge(Poisson):
    def statistics(self, parameters, features, weights, memo=None):
        return LeftOnly(super().statistics(parameters, features, weights, memo).arrays)


class OneParameterMore(Poisson):
    def n_free(self, parameters):
        return super().n_free(parameters) + 1


class OneParameterLess(Poisson):
    def n_free(self, parameters):
        return super().n_free(parameters) - 1


class SamplesOfOthers(Poisson):
    def sample(self, parameters, counts, rng):
        return super().sample(PoissonParameters(1.05 * parameters.rates), counts, rng)


class SamplesTooWide(Poisson):
    """The right means: only the whole distribution tells."""

    def sample(self, parameters, counts, rng):
        rates = np.repeat(parameters.rates, counts, axis=0)
        return rng.poisson(rates * rng.gamma(20.0, 1 / 20.0, size=rates.shape)).astype(float)


class SamplesInDisorder(Poisson):
    def sample(self, parameters, counts, rng):
        return rng.permutation(super().sample(parameters, counts, rng))


class SamplesAtLeastOne(Poisson):
    def sample(self, parameters, counts, rng):
        return super().sample(parameters, np.maximum(counts, 1), rng)


class SamplesFromAnotherStream(Poisson):
    def sample(self, parameters, counts, rng):
        return super().sample(parameters, counts, np.random.RandomState())


class PublishesRounded(Poisson):
    def publish(self, parameters):
        return {"rates": parameters.rates.round(2)}


class RecallsInSinglePrecision(Poisson):
    def recall(self, values):
        return PoissonParameters(values["rates"])

    def natural(self, parameters):
        natural, offsets = super().natural(parameters)
        return natural, offsets.astype(parameters.rates.dtype)

    def log_density(self, parameters, features):
        log_density, memo = super().log_density(parameters, features)
        return log_density.astype(parameters.rates.dtype), memo


class LearnsAtEveryCall(Categorical):
    def encode(self, X, learned, column):
        X, found = super().encode(X, None, column)
        return X, found


class DensityNeedsBinding(Poisson):
    def bind(self, X, sample_weight):
        bound = type(self)()
        bound.offset = 0.0
        return bound

    def log_density(self, parameters, features):
        log_density, memo = super().log_density(parameters, features)
        return log_density + self.offset, memo


class BindWritesToItself(Poisson):
    def bind(self, X, sample_weight):
        self.size = len(X)
        return self


class WritesToX(Poisson):
    def features(self, X):
        features = super().features(X.copy())
        X += 1.0
        return features


class WritesToParameters(Poisson):
    def n_free(self, parameters):
        n = super().n_free(parameters)
        parameters.rates[0, 0] += 1e-7
        return n


class WritesToStatistics(Poisson):
    def m_step(self, statistics, parameters, prior=None):
        new = super().m_step(statistics, parameters, prior)
        statistics["weight"][...] *= 1.0 + 1e-9
        return new


class FortranOrderIsMisread(Poisson):
    def features(self, X):
        if isinstance(X, np.ndarray) and X.flags.f_contiguous and not X.flags.c_contiguous:
            X = X.ravel(order="K").reshape(X.shape)
        return super().features(X)


class FusedForgetsSampleWeights(Gaussian):
    def fused(self, parameters, log_weights, X, sample_weight):
        return super().fused(parameters, log_weights, X, None)


@dataclass
class Thawed:
    rates: np.ndarray


class ParametersThatCanBeWrittenTo(Poisson):
    parameters_class = Thawed

    def m_step(self, statistics, parameters, prior=None):
        return Thawed(super().m_step(statistics, parameters, prior).rates)


BROKEN = [
    (DensityTooLarge(), "check_density_sums_to_one"),
    (DensityInSinglePrecision(), "check_shapes_and_types"),
    (ParametersThatCanBeWrittenTo(), "check_shapes_and_types"),
    (MStepOnePercentOff(), "check_m_step_maximises"),
    (MStepTooFar(), "check_m_step_improves"),
    (MStepTooFar(), "check_em_is_monotone"),
    (MStepWithoutPrior(), "check_prior"),
    (MStepWithoutPrior(), "check_m_step_maximises"),
    (PriorOfAnother(), "check_m_step_maximises"),
    (MStepDividesByZero(), "check_empty_component"),
    (StatisticsWithoutWeights(), "check_weights_are_repeats"),
    (StatisticsWithoutWeights(), "check_m_step_maximises"),
    (StatisticsOfAMean(), "check_blocks_add_up"),
    (StatisticsThatDoNotMerge(), "check_statistics_merge"),
    (OneParameterMore(), "check_n_free"),
    (OneParameterLess(), "check_n_free"),
    (SamplesOfOthers(), "check_sample_follows_density"),
    (SamplesOfOthers(), "check_recovers_parameters"),
    (SamplesTooWide(), "check_sample_follows_density"),
    (SamplesInDisorder(), "check_sample_follows_density"),
    (SamplesAtLeastOne(), "check_sample_shapes"),
    (SamplesFromAnotherStream(), "check_sample_shapes"),
    (PublishesRounded(), "check_publish_and_recall"),
    (RecallsInSinglePrecision(), "check_publish_and_recall"),
    (DensityNeedsBinding(), "check_encode_and_decode"),
    (BindWritesToItself(), "check_nothing_is_changed"),
    (WritesToX(), "check_nothing_is_changed"),
    (WritesToParameters(), "check_nothing_is_changed"),
    (WritesToStatistics(), "check_nothing_is_changed"),
    (FortranOrderIsMisread(), "check_types_and_layouts"),
]


# a thousandth too much is within the errors of counting
BOTH_WAYS = [
    pytest.param(d, law, support, id=f"{type(d).__name__}-{law}-{way}")
    for d, law in BROKEN
    for support, way in ((GRID, "enumerated"), (None, "counted"))
    if support is not None or not isinstance(d, DensityTooLarge)
]


@pytest.mark.parametrize(("distribution", "law", "support"), BOTH_WAYS)
def test_a_broken_family_is_found(distribution, law, support):
    only = dict(distribution_checks(distribution, COUNTS.copy(), support=support))[law]
    with pytest.raises(Exception) as caught:
        only()
    assert str(caught.value)


def test_every_check_finds_something():
    names = {name for name, _ in distribution_checks(Poisson(), COUNTS)}
    assert names == {law for _, law in BROKEN} | {"check_fused"}


def test_a_small_mistake_breaks_its_law_only():
    for distribution, law in [
        (OneParameterMore(), {"check_n_free", "check_recovers_parameters"}),
        (SamplesTooWide(), {"check_sample_follows_density", "check_recovers_parameters"}),
        (FortranOrderIsMisread(), {"check_types_and_layouts"}),
        (WritesToStatistics(), {"check_nothing_is_changed"}),
    ]:
        found = broken_laws(distribution_checks(distribution, COUNTS.copy(), support=GRID))
        assert found and set(found) <= law, found


def test_a_wrong_kernel_is_found():
    assert set(broken_laws(distribution_checks(FusedForgetsSampleWeights(), NUMBERS))) == {
        "check_fused"
    }


def test_learning_at_predict_time_is_found():
    class ForgetsACategory(LearnsAtEveryCall):
        def encode(self, X, learned, column):
            X, found = super().encode(X, learned, column)
            return X, found if learned is None else {}

    checks = dict(distribution_checks(ForgetsACategory(), NAMES))
    with pytest.raises(AssertionError, match="it learned"):
        checks["check_encode_and_decode"]()


def test_a_continuous_density_that_does_not_integrate_is_found():
    class Wide(Gaussian):
        def log_density(self, parameters, features):
            log_density, memo = super().log_density(parameters, features)
            return log_density + 1e-5, memo

    for X in (NUMBERS, NUMBERS[:, :1]):
        check = dict(distribution_checks(Wide(), X))["check_density_sums_to_one"]
        with pytest.raises(AssertionError, match=r"1\.00001"):
            check()


def test_one_error_tells_of_all_laws():
    with pytest.raises(
        AssertionError, match=r"(?s)breaks \d laws.*check_sample_follows.*check_recovers"
    ):
        check_distribution(SamplesOfOthers(), COUNTS, support=GRID)


def test_rows_may_be_drawn():
    check_distribution(
        Poisson(), lambda rng: rng.poisson([[1.0], [5.0], [12.0]] * 30).astype(float)
    )


def test_checks_may_be_left_out():
    check_distribution(
        OneParameterMore(), COUNTS, skip=["check_n_free", "check_recovers_parameters"]
    )
    with pytest.raises(ValueError, match="there are no checks"):
        check_distribution(Poisson(), COUNTS, skip=["check_nothing"])


# -------------------------------------------------------------- broken labels


class PosteriorForgetsSampleWeights(Labels):
    def posterior(self, weights, log_density, sample_weight=None):
        return super().posterior(weights, log_density, None)


class PosteriorWithoutWeights(Labels):
    def posterior(self, weights, log_density, sample_weight=None):
        return super().posterior(
            np.full_like(weights, 1 / len(weights)), log_density, sample_weight
        )


class PosteriorOverflows(Labels):
    def posterior(self, weights, log_density, sample_weight=None):
        with np.errstate(all="ignore"):
            joint = np.exp(log_density) * weights
            total = joint.sum(axis=1)
            given = 1.0 if sample_weight is None else sample_weight
            posterior = joint / total[:, None] * np.reshape(given, (-1, 1))
            return posterior, Sums({"counts": posterior.sum(axis=0)}), np.log(total)


class MStepForgetsConcentration(Labels):
    def m_step(self, statistics, concentration=None):
        return super().m_step(statistics, None)


class SamplesEvenly(Labels):
    def sample(self, weights, n_samples, rng):
        return super().sample(np.full(len(weights), 1 / len(weights)), n_samples, rng)


class CountsAllWeights(Labels):
    def n_free(self, weights):
        return len(weights)


class WritesToLogDensity(Labels):
    def posterior(self, weights, log_density, sample_weight=None):
        answer = super().posterior(weights, log_density, sample_weight)
        log_density -= 1.0
        return answer


@pytest.mark.parametrize(
    ("latent", "law"),
    [
        (PosteriorForgetsSampleWeights(), "check_posterior_sums_to_sample_weight"),
        (PosteriorForgetsSampleWeights(), "check_latent_statistics_add_up"),
        (PosteriorWithoutWeights(), "check_posterior_agrees_with_enumeration"),
        (PosteriorWithoutWeights(), "check_component_of_weight_zero"),
        (PosteriorOverflows(), "check_posterior_of_extreme_rows"),
        (MStepForgetsConcentration(), "check_latent_m_step_maximises"),
        (SamplesEvenly(), "check_latent_sample"),
        (CountsAllWeights(), "check_latent_n_free"),
        (WritesToLogDensity(), "check_latent_changes_nothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_broken_labels_are_found(latent, law):
    assert law in broken_laws(latent_checks(latent))
    with pytest.raises(AssertionError, match=law):
        check_latent(latent)


# -------------------------------------------------------------- broken chains


THREE = ChainParameters(
    np.array([0.2, 0.5, 0.3]),
    np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.05, 0.15, 0.8]]),
)


class ChainForgetsSampleWeights(Chain):
    def posterior(self, parameters, log_density, sample_weight=None, ends=None, **more):
        return super().posterior(parameters, log_density, None, ends, **more)


class ChainForgetsWhereSequencesEnd(Chain):
    def posterior(self, parameters, log_density, sample_weight=None, ends=None, **more):
        if ends is not None:
            ends = ends[-1:]
        return super().posterior(parameters, log_density, None, ends, **more)


class ChainForwardOnly(Chain):
    def posterior(self, parameters, log_density, sample_weight=None, ends=None, **more):
        _, statistics, rows = super().posterior(parameters, log_density, sample_weight, ends)
        return self.filter(parameters, log_density, ends)[0], statistics, rows


class ChainOfLikelihoodOfTheWhole(Chain):
    """All of it in the first row."""

    def posterior(self, parameters, log_density, sample_weight=None, ends=None, **more):
        posterior, statistics, rows = super().posterior(
            parameters, log_density, sample_weight, ends
        )
        return posterior, statistics, np.r_[rows.sum(), np.zeros(len(rows) - 1)]


class ChainOverflows(Chain):
    def posterior(self, parameters, log_density, sample_weight=None, ends=None, **more):
        with np.errstate(all="ignore"):
            plain = np.log(np.exp(log_density))
        return super().posterior(parameters, plain, sample_weight, ends)


class FilterLooksAhead(Chain):
    def filter(self, parameters, log_density, ends=None, **more):
        _, rows = super().filter(parameters, log_density, ends)
        return super().posterior(parameters, log_density, None, ends)[0], rows


class DecodesRowByRow(Chain):
    def decode(self, parameters, log_density, ends=None):
        return log_density.argmax(axis=1), super().decode(parameters, log_density, ends)[1]


class TransitionsBackwards(Chain):
    def posterior(self, parameters, log_density, sample_weight=None, ends=None, **more):
        posterior, sums, rows = super().posterior(parameters, log_density, sample_weight, ends)
        sums = Sums({"start": sums["start"], "transitions": sums["transitions"].T})
        return posterior, sums, rows


class ChainMStepForgetsPrior(Chain):
    def m_step(self, statistics, prior=None, current=None):
        return super().m_step(statistics, None, current)


class ChainMStepAddsOne(Chain):
    def m_step(self, statistics, prior=None, current=None):
        more = {name: value + 1.0 for name, value in statistics.arrays.items()}
        return super().m_step(Sums(more), prior, current)


class ChainSamplesEachRowAlone(Chain):
    def sample(self, parameters, lengths, rng):
        return rng.choice(
            len(parameters.startprob), size=int(np.sum(lengths)), p=parameters.startprob
        )


class ChainCountsAllProbabilities(Chain):
    def n_free(self, parameters):
        return parameters.startprob.size + parameters.transmat.size


class UniformIsStationary(Chain):
    def stationary(self, parameters):
        return np.full(len(parameters.startprob), 1 / len(parameters.startprob))


class ChainWritesToLogDensity(Chain):
    def filter(self, parameters, log_density, ends=None, **more):
        return super().filter(parameters, log_density, ends, overwrite=True)


@pytest.mark.parametrize(
    ("chain", "law"),
    [
        (ChainForgetsSampleWeights(), "check_posterior_sums_to_weight_of_sequence"),
        (ChainForgetsSampleWeights(), "check_chain_statistics_add_up"),
        (ChainForgetsWhereSequencesEnd(), "check_chain_statistics_add_up"),
        (ChainForwardOnly(), "check_sequences_agree_with_enumeration"),
        (ChainOfLikelihoodOfTheWhole(), "check_sequences_agree_with_enumeration"),
        (ChainOverflows(), "check_posterior_of_extreme_sequences"),
        (FilterLooksAhead(), "check_filter_never_looks_ahead"),
        (DecodesRowByRow(), "check_sequences_agree_with_enumeration"),
        (DecodesRowByRow(), "check_impossible_transitions"),
        (TransitionsBackwards(), "check_step_of_em_gains"),
        (ChainMStepForgetsPrior(), "check_chain_m_step_maximises"),
        (ChainMStepAddsOne(), "check_chain_m_step_maximises"),
        (ChainSamplesEachRowAlone(), "check_chain_sample"),
        (ChainCountsAllProbabilities(), "check_chain_n_free"),
        (UniformIsStationary(), "check_stationary_distribution"),
        (ChainWritesToLogDensity(), "check_chain_changes_nothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_broken_chains_are_found(chain, law):
    assert law in broken_laws(latent_checks(chain, THREE))
    with pytest.raises(AssertionError, match=law):
        check_latent(chain, THREE)


# ------------------------------------------------- broken modes of a posterior


class Broken:
    """Labels and chains whose posterior does as it is told, but for one thing; both are told alike."""

    def posterior(self, parameters, log_density, *args, mode=SOFT, labels=None, **more):
        answer = super().posterior(
            parameters,
            log_density,
            *args,
            mode=self.mode_of(mode),
            labels=self.labels_of(labels, log_density),
            **more,
        )
        return self.spoil(answer, mode, labels)

    def mode_of(self, mode):
        return mode

    def labels_of(self, labels, log_density):
        return labels

    def spoil(self, answer, mode, labels):
        return answer


class ForgetsTheTemperature(Broken):
    def mode_of(self, mode):
        return replace(mode, temperature=1.0)


class RowsAreNotTheFreeEnergy(Broken):
    def spoil(self, answer, mode, labels):
        posterior, statistics, rows = answer
        return posterior, statistics, rows / mode.temperature


class HardIsSoft(Broken):
    def mode_of(self, mode):
        return SOFT if mode.kind == "hard" else mode


class HardIsDrawn(Broken):
    def mode_of(self, mode):
        return replace(mode, kind="stochastic", seed=(1,)) if mode.kind == "hard" else mode


class HardHasTheValueOfSoft(Broken):
    def posterior(self, parameters, log_density, *args, **more):
        answer = super().posterior(parameters, log_density, *args, **more)
        if more.get("mode", SOFT).kind != "hard":
            return answer
        soft = super().posterior(parameters, log_density, *args, **{**more, "mode": SOFT})
        return *answer[:2], soft[2]


class HardHasTheStatisticsOfSoft(Broken):
    def posterior(self, parameters, log_density, *args, **more):
        answer = super().posterior(parameters, log_density, *args, **more)
        if more.get("mode", SOFT).kind != "hard":
            return answer
        soft = super().posterior(parameters, log_density, *args, **{**more, "mode": SOFT})
        return answer[0], soft[1], answer[2]


class DrawsTheMode(Broken):
    def mode_of(self, mode):
        return replace(mode, kind="hard") if mode.kind == "stochastic" else mode


class DrawsFromAnotherTemperature(Broken):
    def mode_of(self, mode):
        return replace(mode, temperature=1.4) if mode.kind == "stochastic" else mode


class HasOneSeed(Broken):
    def mode_of(self, mode):
        return replace(mode, seed=(1,))


class HasNoSeed(Broken):
    count = 0

    def mode_of(self, mode):
        self.count += 1
        return mode.drawn(self.count)


class ForgetsLabels(Broken):
    def labels_of(self, labels, log_density):
        return None


class ForgetsLabelsUnlessSoft(Broken):
    def posterior(self, parameters, log_density, *args, mode=SOFT, labels=None, **more):
        labels = labels if mode.kind == "soft" else None
        return super().posterior(parameters, log_density, *args, mode=mode, labels=labels, **more)


class ValueWithoutLabels(Broken):
    """The value of a known row is that without its label."""

    def posterior(self, parameters, log_density, *args, **more):
        answer = super().posterior(parameters, log_density, *args, **more)
        plain = super().posterior(parameters, log_density, *args, **{**more, "labels": None})
        return *answer[:2], plain[2]


class LeavesImpossibleRowsOut(Broken):
    def labels_of(self, labels, log_density):
        if labels is None:
            return None
        own = log_density[np.arange(len(labels)), labels]
        return np.where(own > -np.inf, labels, -1)


class ImpossibleRowsAreWorthALot(Broken):
    def spoil(self, answer, mode, labels):
        return *answer[:2], np.maximum(answer[2], -1e200) if labels is not None else answer[2]


class OneHotOnlyAlmost(Broken):
    def spoil(self, answer, mode, labels):
        if mode.kind == "soft":
            return answer
        return answer[0] * 0.999 + 0.001 * answer[0].sum(axis=1, keepdims=True) / 3, *answer[1:]


class WritesToLabels(Broken):
    def spoil(self, answer, mode, labels):
        if labels is not None:
            labels[0] = -1
        return answer


BROKEN_MODES = [
    (ForgetsTheTemperature, "check_tempered_posterior"),
    (RowsAreNotTheFreeEnergy, "check_tempered_posterior"),
    (HardIsSoft, "check_hard_posterior"),
    (HardIsSoft, "check_modes_of_extreme_rows"),
    (HardIsDrawn, "check_hard_posterior"),
    (HardHasTheValueOfSoft, "check_hard_posterior"),
    (HardHasTheStatisticsOfSoft, "check_hard_posterior"),
    (DrawsTheMode, "check_drawn_posterior"),
    (DrawsFromAnotherTemperature, "check_drawn_posterior"),
    (HasOneSeed, "check_drawn_posterior"),
    (HasNoSeed, "check_drawn_posterior"),
    (ForgetsLabels, "check_known_labels"),
    (ForgetsLabelsUnlessSoft, "check_known_labels"),
    (ValueWithoutLabels, "check_known_labels"),
    (LeavesImpossibleRowsOut, "check_label_of_impossible_row"),
    (ImpossibleRowsAreWorthALot, "check_label_of_impossible_row"),
    (OneHotOnlyAlmost, "check_modes_of_extreme_rows"),
    (WritesToLabels, "check_modes_change_nothing"),
]


@pytest.mark.parametrize(("latent", "parameters"), [(Labels, (0.2, 0.5, 0.3)), (Chain, THREE)])
@pytest.mark.parametrize(
    ("wrong", "law"), BROKEN_MODES, ids=lambda value: getattr(value, "__name__", value)
)
def test_broken_modes_are_found(wrong, law, latent, parameters):
    broken = type(wrong.__name__, (wrong, latent), {})()
    checks = dict(latent_checks(broken, parameters))
    with pytest.raises(AssertionError):
        checks[law]()


def test_every_check_of_modes_finds_something():
    assert {check.__name__ for check in MODE_CHECKS} == {law for _, law in BROKEN_MODES}


class LabelsWithoutModes(Labels):
    def posterior(self, weights, log_density, sample_weight=None):
        return super().posterior(weights, log_density, sample_weight)


class ChainWithModesOnly(Chain):
    def posterior(self, parameters, log_density, sample_weight=None, ends=None, *, mode=SOFT):
        return super().posterior(parameters, log_density, sample_weight, ends, mode=mode)


def test_a_latent_structure_need_not_have_modes():
    check_latent(LabelsWithoutModes())
    check_latent(ChainWithModesOnly(), THREE)

    class HardAlways(Chain):
        def posterior(self, parameters, log_density, sample_weight=None, ends=None, *, mode=SOFT):
            hard = replace(mode, kind="hard")
            return super().posterior(parameters, log_density, sample_weight, ends, mode=hard)

    found = broken_laws(latent_checks(HardAlways(), THREE))
    assert "check_tempered_posterior" in found and "check_known_labels" not in found


# ------------------------------------------------------------- broken mixtures


class BicOfAic(PoissonMixture):
    def bic(self, X, sample_weight=None):
        return self.aic(X, sample_weight)


class ScoreForgetsSampleWeights(PoissonMixture):
    def score(self, X, y=None, sample_weight=None):
        return super().score(X)


class FitForgetsSampleWeights(PoissonMixture):
    def fit(self, X, y=None, sample_weight=None):
        return super().fit(X, y)


class FitWritesToItsParameters(PoissonMixture):
    def fit(self, X, y=None, sample_weight=None):
        self.random_state = 1
        return super().fit(X, y, sample_weight=sample_weight)


class WarmStartBeginsAnew(PoissonMixture):
    def _continues(self):
        return False


class PredictsTheLeastProbable(PoissonMixture):
    def predict(self, X):
        return self.predict_proba(X).argmin(axis=1)


class SamplesFirstComponent(PoissonMixture):
    def sample(self, n_samples=1, random_state=None):
        X, y = super().sample(n_samples, random_state)
        return X, np.zeros_like(y)


@pytest.mark.parametrize(
    ("estimator", "law"),
    [
        (BicOfAic(3), "check_criteria"),
        (ScoreForgetsSampleWeights(3), "check_likelihood"),
        (FitForgetsSampleWeights(3), "check_sample_weights"),
        (FitWritesToItsParameters(3), "check_fit_changes_nothing"),
        (WarmStartBeginsAnew(3), "check_warm_start"),
        (PredictsTheLeastProbable(3), "check_answers"),
        (SamplesFirstComponent(3), "check_sample"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_broken_mixture_is_found(estimator, law):
    assert law in broken_laws(mixture_checks(estimator, COUNTS))


def test_one_error_tells_what_a_mixture_breaks():
    with pytest.raises(AssertionError, match=r"breaks 1 law:\ncheck_criteria: AssertionError: bic"):
        check_mixture(BicOfAic(3), COUNTS)
