"""Calibration: honest in the tail, deaf to one spike, silent until it knows, counting stories, not trades."""

from collections.abc import Callable

import numpy as np
import pytest

from detector.arrays import FloatVector, IntVector
from detector.calibration import RESOLUTION, Calibrated, CalibrationParams, Calibrator
from detector.online.protocol import Scale
from detector.runs import Runs
from shared.stream.step import State

MINUTE_US = 60_000_000


class OneMarket:
    """A calibrator of one market whose trades come at a steady rate; by default too far apart for bursts."""

    def __init__(self, *, scale: Scale = "log", gap_us: int = 2 * MINUTE_US, **params: float) -> None:
        # Days mean nothing where the gap between two trades is chosen freely.
        known = {"horizon_days": 1e6} | params
        self.stage = Calibrator(CalibrationParams(**known), scale=scale)  # type: ignore[arg-type]
        self.stage.open(0, identity="")
        self.now_us, self.gap_us = 10**15, gap_us

    def learn(self, scores: FloatVector) -> Calibrated:
        times = self.now_us + self.gap_us * np.arange(1, len(scores) + 1)
        self.now_us = int(times[-1])
        return self.stage.calibrate(Runs.single(0, len(scores)), scores, times)

    def ask(self, *scores: float) -> list[float]:
        """Return rarities without learning."""
        copy = OneMarket(gap_us=self.gap_us)
        copy.stage = Calibrator(self.stage._params, scale="log" if self.stage._is_log else "unit")
        found = []
        for score in scores:
            copy.stage.open(0, identity="")
            copy.stage.load_state(0, self.stage.state(0))
            times = np.array([self.now_us + self.gap_us])
            found.append(float(copy.stage.calibrate(Runs.single(0, 1), np.array([score]), times).rarities[0]))
        return found


def lognormal(n: int, *, seed: int, mean: float = 0.0) -> FloatVector:
    return np.random.default_rng(seed).lognormal(mean, 1, n)


def test_nothing_is_said_before_the_warm_up_ends() -> None:
    rarities, usual = OneMarket(warm_up_trades=300).learn(lognormal(302, seed=1))
    assert np.isnan(rarities[:300]).all()
    assert np.isnan(usual[:300]).all()
    assert np.isfinite(rarities[300:]).all()
    assert usual[300] == pytest.approx(1.0, rel=0.2)


def test_scores_that_are_none_are_passed_over() -> None:
    scores = np.full(600, np.nan)
    scores[::2] = lognormal(300, seed=1)
    rarities = OneMarket(warm_up_trades=300).learn(np.append(scores, [np.nan, 1.0])).rarities
    assert np.isnan(rarities[:-1]).all()
    assert np.isfinite(rarities[-1])


Draw = Callable[[np.random.Generator, int], FloatVector]
TAILS: dict[str, tuple[Scale, int, Draw]] = {
    "exponential": ("log", 200_000, lambda rng, n: rng.standard_exponential(n)),
    "pareto": ("log", 2 * MINUTE_US, lambda rng, n: 1.0 + np.expm1(rng.standard_exponential(n) / 2.0)),
    "gaussian": ("log", 2 * MINUTE_US, lambda rng, n: np.abs(rng.standard_normal(n))),
    "lognormal": ("log", 200_000, lambda rng, n: np.exp(rng.standard_normal(n))),
    "bounded": ("unit", 2 * MINUTE_US, lambda rng, n: 1.0 - rng.random(n) ** 0.2),
}


@pytest.mark.parametrize("tail", TAILS)
def test_independent_scores_of_known_tails_are_as_rare_as_said(tail: str) -> None:
    """Whether a minute holds 300 trades or one: at 1e-5 an episode is a trade if trades are independent."""
    scale, gap_us, draw = TAILS[tail]
    rng = np.random.default_rng(5)
    market = OneMarket(scale=scale, gap_us=gap_us)
    market.learn(draw(rng, 1_000_000))
    counts = dict.fromkeys((1e-4, 1e-5), 0)
    trades = 10_000_000
    for _ in range(10):
        rarities = market.learn(draw(rng, trades // 10)).rarities
        for nominal in counts:
            counts[nominal] += int((rarities <= nominal).sum())
    for nominal, count in counts.items():
        assert nominal / 1.5 <= count / trades <= nominal * 1.5, (nominal, count)


def bursts(n: int, *, seed: int) -> tuple[FloatVector, IntVector]:
    """Return scores and times of a market that is calm but for bursts of a hundred like scores a second."""
    rng = np.random.default_rng(seed)
    peaks = rng.exponential(1.0, n // 100)
    scores = np.repeat(np.exp(0.3 * peaks), 100) * rng.uniform(0.9, 1.0, n)
    times = (
        10**15
        + np.repeat(np.arange(n // 100) * 3 * MINUTE_US, 100)
        + np.tile(np.arange(100) * 10_000, n // 100)
    )
    return scores, times


@pytest.mark.parametrize("nominal", [1e-3, 1e-4, 1e-5])
def test_a_burst_is_counted_once(nominal: float) -> None:
    scores, times = bursts(5_000_000, seed=1)
    market = OneMarket()
    rarities = market.stage.calibrate(Runs.single(0, len(scores)), scores, times).rarities[1_000_000:]
    begun = (rarities.reshape(-1, 100) <= nominal).any(axis=1).sum()
    assert nominal / 1.6 <= begun / len(rarities) <= nominal * 1.6
    assert (rarities <= nominal).mean() > 3 * nominal, "trades of one burst are strange together"


@pytest.mark.parametrize("spike", [1e3, 1e12, 1e300])
@pytest.mark.parametrize("at", [10, 900, 5_000])
@pytest.mark.parametrize("gap_us", [200_000, 2 * MINUTE_US])
def test_one_spike_poisons_nothing(spike: float, at: int, gap_us: int) -> None:
    scores = lognormal(30_000, seed=2)
    spiked = scores.copy()
    spiked[at] = spike
    clean, poisoned = OneMarket(gap_us=gap_us), OneMarket(gap_us=gap_us)
    clean.learn(scores)
    poisoned.learn(spiked)
    ladder = (1.0, 10.0, 30.0, 60.0, 200.0)
    ratios = np.array(poisoned.ask(*ladder)) / np.array(clean.ask(*ladder))
    assert ((ratios > 0.5) & (ratios < 2.0))[:-1].all(), ratios
    assert 0.25 < ratios[-1] < 4.0, "far beyond all that is known, every peak counts for more"


def test_a_burst_of_huge_scores_poisons_no_more_than_one_spike() -> None:
    scores = lognormal(100_000, seed=2)
    spiked = scores.copy()
    spiked[50_000:50_250] = 1e9
    scores[50_000] = 1e9
    once, burst = OneMarket(gap_us=200_000), OneMarket(gap_us=200_000)
    once.learn(scores)
    burst.learn(spiked)
    assert burst.ask(30.0, 100.0, 300.0) == pytest.approx(once.ask(30.0, 100.0, 300.0), rel=0.05)


def test_what_happened_twice_is_not_rarer_than_one_in_all_trades_so_far() -> None:
    scores = np.ones(100_000)
    scores[[40_000, 90_000]] = 1e6
    market = OneMarket()
    market.learn(np.append(scores, lognormal(1_024, seed=1)))
    assert market.ask(9e5)[0] == pytest.approx(1e-5, rel=0.1)


def test_a_new_regime_becomes_usual() -> None:
    market = OneMarket(horizon_trades=20_000)
    market.learn(lognormal(50_000, seed=3))
    first = market.learn(lognormal(1_000, seed=4, mean=2.0)).rarities
    market.learn(lognormal(100_000, seed=5, mean=2.0))
    later = market.learn(lognormal(1_000, seed=6, mean=2.0)).rarities
    assert (first <= 1e-3).mean() > 0.01
    assert (later <= 1e-3).mean() < 0.005


def test_what_was_usual_long_ago_becomes_rare_again() -> None:
    market = OneMarket(horizon_trades=10_000)
    market.learn(lognormal(20_000, seed=4, mean=4.0))
    market.learn(lognormal(200_000, seed=5))
    assert market.ask(np.exp(6.0))[0] < 1e-5


def test_days_fade_too() -> None:
    market = OneMarket(gap_us=10_000_000, horizon_days=1.0)
    market.learn(lognormal(20_000, seed=4, mean=4.0))
    market.now_us += 20 * 86_400_000_000
    market.learn(lognormal(2_000, seed=5))
    assert market.ask(np.exp(2.5))[0] < 0.05
    assert OneMarket(horizon_days=1.0).stage.state(0)["trades"] == 0.0


def test_a_silence_of_years_leaves_sound_answers() -> None:
    market = OneMarket(horizon_days=1.0)
    market.learn(lognormal(5_000, seed=1))
    for _ in range(20):
        market.now_us += 10 * 365 * 86_400_000_000
        rarities = market.learn(lognormal(300, seed=2)).rarities
        assert ((rarities > 0) & (rarities <= 1)).all()


def test_a_clock_set_back_is_survived() -> None:
    market = OneMarket(gap_us=1_000_000)
    market.learn(lognormal(3_000, seed=1))
    market.now_us -= 86_400_000_000
    assert np.isfinite(market.learn(lognormal(3_000, seed=2)).rarities).all()


def test_rarity_has_a_resolution() -> None:
    market = OneMarket(scale="unit")
    market.learn(np.random.default_rng(1).beta(2, 50, 1_000_000))
    assert market.ask(1.0)[0] == RESOLUTION


def test_constant_scores_are_usual_and_anything_above_is_rare() -> None:
    for gap_us in (1_000, 2 * MINUTE_US):
        market = OneMarket(gap_us=gap_us)
        market.learn(np.full(5_000, 3.0))
        usual, rare = market.ask(3.0, 30.0)
        assert usual > 0.1
        assert rare < 1e-5


def test_a_score_that_many_trades_reach_is_usual_however_few_bursts_it_takes() -> None:
    market = OneMarket(gap_us=1_000)
    market.learn(np.tile(np.repeat([1.0, 20.0], 5_000), 10))
    assert market.ask(19.0)[0] > 0.05


def test_a_market_of_few_bursts_promises_little() -> None:
    """Three minutes of trades are no ground to call anything one in a hundred million."""
    market = OneMarket(gap_us=150_000)
    market.learn(lognormal(1_200, seed=1))
    assert market.ask(200.0)[0] > 1e-6


def damaged(state: State, **changes: object) -> State:
    return state | changes  # type: ignore[return-value]


def test_a_damaged_state_is_refused() -> None:
    market = OneMarket()
    market.learn(lognormal(2_000, seed=1))
    state = market.stage.state(0)
    ends = np.asarray(state["reached_ends"])
    other = OneMarket().stage
    for changes, message in (
        ({"body_bins": np.array([999])}, "bin that does not exist"),
        ({"reached_ends": ends[::-1].copy()}, "does not rise"),
        ({"table_ends": np.array([99_999])}, "table"),
        ({"heights": np.full(8, 5_000)}, "heights"),
        ({"places": np.array([-1, 0, 0, 0])}, "negative"),
        ({"fit": np.zeros(2)}, "fit"),
        ({"unit": "1"}, "unit"),
    ):
        with pytest.raises(ValueError, match=message):
            other.load_state(0, damaged(state, **changes))
    with pytest.raises(ValueError, match="body_bins"):
        other.load_state(0, {})


def test_params_are_checked() -> None:
    for name, value in (("warm_up_trades", 10), ("horizon_trades", 10), ("horizon_days", 0), ("quiet_s", 0)):
        with pytest.raises(ValueError, match=name):
            CalibrationParams(**{name: value})
