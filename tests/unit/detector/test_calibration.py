"""Calibration: honest in the tail, deaf to one spike, silent until it knows."""

import numpy as np
import pytest

from detector.arrays import FloatVector
from detector.calibration import RESOLUTION, CalibrationParams, Calibrator


def made(**params: int) -> Calibrator:
    return Calibrator(CalibrationParams(**params), scale="log")


def test_nothing_is_said_before_the_warm_up_ends() -> None:
    rarities, usual = made(warm_up_trades=300).calibrate(np.random.default_rng(1).lognormal(0, 1, 302))
    assert np.isnan(rarities[:300]).all()
    assert np.isnan(usual[:300]).all()
    assert np.isfinite(rarities[300:]).all()
    assert usual[300] == pytest.approx(1.0, rel=0.2)


def test_scores_that_are_none_are_passed_over() -> None:
    scores = np.full(600, np.nan)
    scores[::2] = np.random.default_rng(1).lognormal(0, 1, 300)
    rarities = made(warm_up_trades=300).calibrate(np.append(scores, [np.nan, 1.0])).rarities
    assert np.isnan(rarities[:-1]).all()
    assert np.isfinite(rarities[-1])


@pytest.mark.parametrize("tail", ["lognormal", "pareto", "exponential"])
@pytest.mark.parametrize("nominal", [1e-2, 1e-3, 1e-4, 1e-5])
def test_the_observed_rate_is_the_nominal_one(tail: str, nominal: float) -> None:
    rng = np.random.default_rng(5)

    def draw(n: int) -> FloatVector:
        if tail == "pareto":
            return 1.0 + rng.pareto(2.0, n)
        return rng.lognormal(0.0, 1.0, n) if tail == "lognormal" else rng.exponential(1.0, n)

    calibrator = made()
    calibrator.calibrate(draw(200_000))
    rarities = calibrator.calibrate(draw(1_000_000)).rarities
    observed = float((rarities <= nominal).mean())
    # Thinner tails than a Pareto one of shape -0.1 are not believed in: such rarities err on the safe side.
    least = nominal / 4 if tail == "exponential" else nominal / 2
    assert least <= observed <= nominal * 2


def test_scores_between_0_and_1_are_calibrated_too() -> None:
    rng = np.random.default_rng(5)
    calibrator = Calibrator(CalibrationParams(), scale="unit")
    calibrator.calibrate(rng.beta(2, 8, 100_000))
    rarities = calibrator.calibrate(rng.beta(2, 8, 500_000)).rarities
    for nominal in (1e-2, 1e-3, 1e-4):
        assert nominal / 2 <= float((rarities <= nominal).mean()) <= nominal * 2


@pytest.mark.parametrize("spike", [1e3, 1e12, 1e300])
@pytest.mark.parametrize("at", [10, 900, 5_000])
def test_one_spike_poisons_nothing(spike: float, at: int) -> None:
    scores = np.random.default_rng(2).lognormal(0, 1, 30_000)
    spiked = scores.copy()
    spiked[at] = spike
    clean, poisoned = made(), made()
    clean.calibrate(scores)
    poisoned.calibrate(spiked)
    ladder = np.array([1.0, 10.0, 30.0, 60.0])
    expected = [made_from(clean).calibrate(np.array([s])).rarities[0] for s in ladder]
    found = [made_from(poisoned).calibrate(np.array([s])).rarities[0] for s in ladder]
    ratios = np.array(found) / np.array(expected)
    assert ((ratios > 0.5) & (ratios < 2.0)).all(), ratios


def made_from(calibrator: Calibrator) -> Calibrator:
    copy = made()
    copy.load_state(calibrator.state())
    return copy


def test_a_new_regime_becomes_usual() -> None:
    rng = np.random.default_rng(3)
    calibrator = made(horizon_trades=20_000)
    calibrator.calibrate(rng.lognormal(0, 1, 50_000))
    first = calibrator.calibrate(rng.lognormal(2, 1, 1_000)).rarities
    calibrator.calibrate(rng.lognormal(2, 1, 100_000))
    later = calibrator.calibrate(rng.lognormal(2, 1, 1_000)).rarities
    assert (first <= 1e-3).mean() > 0.01
    assert (later <= 1e-3).mean() < 0.01


def test_what_was_usual_long_ago_becomes_rare_again() -> None:
    rng = np.random.default_rng(4)
    calibrator = made(horizon_trades=10_000)
    calibrator.calibrate(rng.lognormal(4, 1, 20_000))
    calibrator.calibrate(rng.lognormal(0, 1, 200_000))
    assert calibrator.calibrate(np.array([np.exp(6.0)])).rarities[0] < 1e-5


def test_rarity_has_a_resolution() -> None:
    calibrator = Calibrator(CalibrationParams(), scale="unit")
    calibrator.calibrate(np.random.default_rng(1).beta(2, 50, 10_000))
    assert calibrator.calibrate(np.array([1.0])).rarities[0] == RESOLUTION


def test_constant_scores_are_usual_and_anything_above_is_rare() -> None:
    calibrator = made()
    calibrator.calibrate(np.full(5_000, 3.0))
    rarities = calibrator.calibrate(np.array([3.0, 30.0])).rarities
    assert rarities[0] > 0.1
    assert rarities[1] < 1e-6


def test_a_damaged_state_is_refused() -> None:
    calibrator = made()
    calibrator.calibrate(np.ones(10))
    with pytest.raises(ValueError, match="base_bins"):
        made().load_state({})
    with pytest.raises(ValueError, match="bin that does not exist"):
        made().load_state(calibrator.state() | {"fresh_bins": np.array([99_999])})


def test_params_are_checked() -> None:
    with pytest.raises(ValueError, match="warm_up"):
        CalibrationParams(warm_up_trades=10)
    with pytest.raises(ValueError, match="horizon"):
        CalibrationParams(horizon_trades=10)
