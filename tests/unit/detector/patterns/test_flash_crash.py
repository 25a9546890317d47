"""Flash crash and spike: the two rules, the phases, what the market's own moves change, and what is said."""

import math

import numpy as np
import pytest

from detector.engine import Engine
from detector.features import CLOCK_RESTART_US
from detector.kernels import crashes as kernel
from detector.params import EngineParams
from detector.patterns.flash_crash import FlashCrash, FlashCrashParams, Spike, crash_features
from detector.runs import Runs
from shared.events import Anomaly, EpisodePhase, Trade
from tests.data.detector_tapes import START_US, altered

PARAMS = EngineParams(enabled=("flash_crash", "spike"))
FEATURES = ("event_time_s", "log_return", *crash_features(300.0))
SECOND_US = 1_000_000
# Two hours of a trade a second, after which things begin to happen.
CALM_S = 7_200


def tape(moves: list[float], *, volatility: float = 2e-5, seed: int = 1) -> list[Trade]:
    """Return a trade a second: a calm market, and then one that moves by so much each second (logarithms)."""
    rng = np.random.default_rng(seed)
    steps = np.concatenate([rng.normal(0.0, volatility, CALM_S), moves])
    prices = 100.0 * np.exp(np.cumsum(steps))
    return [
        Trade("binance", "SKY-USDT", at, price, 1.0, at % 2 == 0, START_US + at * SECOND_US, 0)
        for at, price in enumerate(prices.round(4).tolist())
    ]


def fall(depth: float, *, seconds: int) -> list[float]:
    return [math.log1p(-depth) / seconds] * seconds


def rise(height: float, *, seconds: int) -> list[float]:
    return [math.log1p(height) / seconds] * seconds


def told(trades: list[Trade], params: EngineParams = PARAMS) -> list[Anomaly]:
    events = Engine(params).on_batch(trades)
    assert all(isinstance(event, Anomaly) for event in events)
    return [event for event in events if isinstance(event, Anomaly)]


def opened(trades: list[Trade], params: EngineParams = PARAMS) -> list[str]:
    return [event.kind for event in told(trades, params) if event.episode.phase == EpisodePhase.OPENED]


def judged(rows: np.ndarray[tuple[int, int], np.dtype[np.float64]], **changes: float) -> list[float]:
    crash = FlashCrash(FlashCrashParams(**changes), features=FEATURES)  # type: ignore[arg-type]
    crash.open(0, identity="")
    return [float(score) for score in crash.score_learn(Runs.single(0, len(rows)), rows).scores]


def test_a_fall_recovers_and_is_over_as_one_episode() -> None:
    moves = fall(0.08, seconds=60) + [0.0] * 30 + rise(0.08, seconds=60) + [0.0] * 900
    first, *updates, sequel, last = told(tape(moves))
    assert (first.kind, first.episode.phase) == ("flash_crash", EpisodePhase.OPENED)
    assert (sequel.episode.phase, last.episode.phase) == (EpisodePhase.UPDATED, EpisodePhase.CLOSED)
    assert {event.episode.episode_id for event in (first, *updates, sequel, last)} == {first.anomaly_id}
    assert first.reason.startswith("SKY-USDT fell 3.4 % within ")
    assert ", from 99.9" in first.reason
    assert "times its usual move within" in first.reason
    assert sequel.features["crash_phase"] == kernel.FOLLOWED
    assert "SKY-USDT fell 8.0 % within 84 s, from 99.9323 to 91.9273; " in sequel.reason
    assert "of that is recovered, at" in sequel.reason
    assert 50 <= sequel.features["crash_recovered"] * 100 <= 75
    assert "turned" not in first.features
    assert sum(first.contributions.values()) == pytest.approx(1.0)


def test_a_rise_is_a_spike_with_the_same_words() -> None:
    moves = rise(0.08, seconds=60) + [0.0] * 700
    first, *_, sequel = told(tape(moves))
    assert (first.kind, sequel.kind) == ("spike", "spike")
    assert first.reason.startswith("SKY-USDT rose 3.4 % within ")
    assert (
        "SKY-USDT rose 8.0 % within 63 s, from 99.9146 to 107.9146; 10 min later 0.00 % of that"
        in sequel.reason
    )
    assert "is given back, at 107.9146" in sequel.reason


@pytest.mark.parametrize(
    ("depth", "seconds", "is_crash"),
    [
        (0.035, 30, True),  # 3 % within a minute
        (0.025, 30, False),
        (0.045, 280, True),  # 4 % within five
        (0.035, 280, False),
        (0.055, 1_500, True),  # 5 % within thirty
        (0.045, 1_500, False),
    ],
)
def test_how_deep_depends_on_how_fast(depth: float, seconds: int, *, is_crash: bool) -> None:
    moves = fall(depth, seconds=seconds) + [0.0] * 20
    assert opened(tape(moves)) == (["flash_crash"] if is_crash else [])


def test_what_is_usual_on_a_wild_market_is_no_crash() -> None:
    moves = fall(0.06, seconds=60) + [0.0] * 20
    assert opened(tape(moves, volatility=1e-4)) == ["flash_crash"]
    assert opened(tape(moves, volatility=2e-3)) == []


def test_the_fixed_rule_holds_on_any_market_and_from_the_first_minutes() -> None:
    young = tape(fall(0.12, seconds=100) + [0.0] * 20)[CALM_S - 60 :]
    assert opened(young) == ["flash_crash"]
    assert opened(tape(fall(0.07, seconds=60) + [0.0] * 20)[CALM_S - 60 :]) == []


def test_a_print_off_the_market_is_no_crash() -> None:
    trades = tape([0.0] * 600)
    off = [altered(t, price=t.price * 0.92) if t.trade_id == CALM_S + 100 else t for t in trades]
    high = [altered(t, price=t.price * 1.08) if t.trade_id == CALM_S + 100 else t for t in trades]
    assert opened(off) == []
    assert opened(high) == []


def test_what_one_order_does_to_an_empty_book_must_last() -> None:
    dip = fall(0.035, seconds=3) + [0.0] * 2 + rise(0.035, seconds=1) + [0.0] * 100
    assert opened(tape(dip)) == []
    assert opened(tape(fall(0.035, seconds=3) + [0.0] * 10)) == ["flash_crash"]


def test_a_deeper_low_is_told_again_and_so_is_what_follows_it() -> None:
    moves = fall(0.08, seconds=60) + [0.0] * 650 + fall(0.10, seconds=60) + [0.0] * 650
    phases = [event.features["crash_phase"] for event in told(tape(moves))]
    assert phases[0] == kernel.FALLING
    assert phases.count(kernel.FOLLOWED) == 2


def test_a_silence_or_a_clock_that_is_set_back_ends_it() -> None:
    trades = tape(fall(0.08, seconds=60) + [0.0] * 120)
    half = CALM_S + 90
    for shift_us in (61 * SECOND_US, -2 * CLOCK_RESTART_US):
        later = [altered(t, event_time_us=t.event_time_us + shift_us) for t in trades[half:]]
        phases = [event.episode.phase for event in told([*trades[:half], *later])]
        assert phases.count(EpisodePhase.OPENED) == phases.count(EpisodePhase.CLOSED) == 1


def test_too_few_trades_are_no_crash() -> None:
    thin = [t for t in tape(fall(0.2, seconds=60) + [0.0] * 60) if t.trade_id % 40 == 0]
    assert opened(thin) == []


def test_the_rules_are_set_by_parameters() -> None:
    moves = fall(0.03, seconds=200) + [0.0] * 20
    assert opened(tape(moves)) == []
    assert opened(tape(moves), EngineParams(enabled=("flash_crash",), flash_crash_drop_pct=2.0)) != []
    assert opened(tape(moves), EngineParams(enabled=("flash_crash",), flash_crash_min_drop_pct=2.0)) != []


def test_the_score_is_the_share_of_what_is_required() -> None:
    rows = np.zeros((3, len(FEATURES)))
    rows[:, FEATURES.index("count_300s")] = [50, 50, 9]
    rows[:, FEATURES.index("drawdown_300s")] = [-0.01, -0.1, -0.19]
    assert judged(rows) == [0.0, pytest.approx(1.0), pytest.approx(2.0)]
    assert judged(rows, drop_pct=19.0)[2] == pytest.approx(1.0)


def test_odd_numbers_stay_finite() -> None:
    rng = np.random.default_rng(1)
    rows = rng.choice([0.0, -1.0, 1e-300, 1.0, 1e12, 1e200], (2_000, len(FEATURES)))
    for kind in (FlashCrash, Spike):
        stage = kind(FlashCrashParams(), features=FEATURES)
        stage.open(0, identity="")
        scored = stage.score_learn(Runs.single(0, len(rows)), rows, explain_all=True)
        assert np.isfinite(scored.scores).all()
        assert np.isfinite(scored.contributions).all()


def test_the_short_way_of_a_calm_market_gives_what_the_long_way_gives() -> None:
    rng = np.random.default_rng(3)
    n = 20_000
    rows = np.zeros((n, len(FEATURES)))
    gaps_s = np.where(rng.random(n) < 0.01, rng.exponential(40.0, n), rng.exponential(0.5, n))
    rows[:, 0] = 1.7e9 + np.cumsum(gaps_s)
    rows[:, 1] = rng.normal(0.0, 1e-4, n)
    rows[5_000:5_030, 1] = rows[15_000:15_030, 1] = -0.003
    rows[:, 2] = np.where(rng.random(n) < 0.001, -0.11, -0.02)
    rows[:, FEATURES.index("count_300s")] = 50.0
    short, long = (FlashCrash(FlashCrashParams(), features=FEATURES) for _ in range(2))
    for crash in (short, long):
        crash.open(0, identity="")
    quick = short.score_learn(Runs.single(0, n), rows)
    slow = long.score_learn(Runs.single(0, n), rows, explain_all=True)
    assert quick.eligible.any()
    assert quick.scores.tolist() == slow.scores.tolist()
    assert quick.eligible.tolist() == slow.eligible.tolist()
    assert np.array_equal(short.state(0)["memory"], long.state(0)["memory"])


def test_a_damaged_state_is_refused() -> None:
    stage = Spike(FlashCrashParams(), features=FEATURES)
    stage.open(0, identity="")
    memory = stage.state(0)["memory"]
    assert isinstance(memory, np.ndarray)
    for at, value, why in ((kernel.PHASE, 9.0, "phase"), (kernel.HEIGHT, math.nan, "no number")):
        damaged = memory.copy()
        damaged[at] = value
        with pytest.raises(ValueError, match=why):
            stage.load_state(0, {"memory": damaged})


def test_params_are_checked() -> None:
    with pytest.raises(ValueError, match="drop_pct"):
        FlashCrashParams(drop_pct=100.0)
    with pytest.raises(ValueError, match="min_drop_pct"):
        FlashCrashParams(min_drop_pct=0.0)
