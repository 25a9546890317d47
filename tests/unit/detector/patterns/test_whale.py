"""Whale: orders put together, the floor, what followed, schools, and the sentences."""

from dataclasses import replace

import numpy as np
import pytest

from detector.engine import Engine
from detector.features import CLOCK_RESTART_US
from detector.online.protocol import AFTER_S, Finding, Scored
from detector.params import EngineParams
from detector.patterns.whale import WHALE_FEATURES, Whale, WhaleParams
from detector.runs import Runs
from shared.events import Anomaly, EpisodePhase, Trade
from tests.data.detector_tapes import altered, market

FLOOR = 1_000.0
MINUTE_US = 60_000_000
PARAMS = EngineParams(enabled=("whale",), whale_min_notional=FLOOR, warm_up_trades=200)
COUNT = 6_000


def judged(trades: list[tuple[float, float, float]], *, price: float = 100.0) -> Scored:
    """Judge trades of (seconds, signed quantity, logarithm of the move)."""
    rows = np.zeros((len(trades), len(WHALE_FEATURES)))
    times_s, signed, moves = np.array(trades).T
    columns = {
        "event_time_s": 1.7e9 + times_s,
        "log_return": moves,
        "notional": price * abs(signed),
        "signed_flow": price * signed,
        "quantity": abs(signed),
    }
    for name, values in columns.items():
        rows[:, WHALE_FEATURES.index(name)] = values
    whale = Whale(WhaleParams(min_notional=FLOOR), features=WHALE_FEATURES)
    whale.open(0, identity="")
    return whale.score_learn(Runs.single(0, len(rows)), rows)


def told(trades: list[Trade], params: EngineParams = PARAMS) -> list[Anomaly]:
    events = Engine(params).on_batch(trades)
    assert all(isinstance(event, Anomaly) for event in events)
    return [event for event in events if isinstance(event, Anomaly)]


def with_whales(*places: int, quantity: float = 5_000.0, count: int = COUNT) -> list[Trade]:
    return [altered(t, quantity=quantity) if t.trade_id in places else t for t in market(count)]


def test_fills_of_one_instant_and_side_are_one_order() -> None:
    scored = judged([(0, 4, 0), (1, 4, 0), (1, 5, 0), (1, 6, 0), (1, -7, 0), (2, 8, 0)])
    assert scored.scores.tolist() == [400, 400, 900, 1_500, 700, 800]
    assert scored.eligible.tolist() == [False, False, False, True, False, False]
    assert scored.notes["whale_fills"][3] == 3
    assert scored.contributions[3].tolist() == pytest.approx([0.4, 0.6, 0.0])


def test_equal_slices_are_one_order() -> None:
    slices = [(20.0 * n, -4.0, 0.0) for n in range(5)]
    others = [(20.0 * n + k, 0.1 + 0.01 * k, 0.0) for n in range(5) for k in range(1, 10)]
    scored = judged(sorted(slices + others))
    assert scored.scores[::10].tolist() == [400, 400, 1_200, 1_600, 2_000]
    assert np.flatnonzero(scored.eligible).tolist() == [20, 30, 40]
    assert scored.notes["whale_slices"][40] == 5
    assert scored.notes["whale_span_s"][40] == 80
    assert scored.contributions[40].tolist() == pytest.approx([0.2, 0.0, 0.8])


@pytest.mark.parametrize(
    "trades",
    [
        [(61.0 * n, 4.0, 0.0) for n in range(6)],  # too far apart
        [(20.0 * n, 4.0 + 1e-6 * n, 0.0) for n in range(6)],  # not equal
        [(20.0 * n, 4.0 * (-1) ** n, 0.0) for n in range(4)],  # two on each side
        [(10.0 * n, 4.0 + 3.0 * (n % 2), 0.0) for n in range(30)],  # no larger than usual
    ],
)
def test_what_are_no_slices(trades: list[tuple[float, float, float]]) -> None:
    assert judged(trades).eligible.sum() == 0


def test_fills_at_two_instants_are_not_three() -> None:
    assert judged([(0, 4, 0), (0, 4, 0), (0, 4, 0)]).scores[-1] == 1_200
    assert judged([(0, 4, 0), (0, 4, 0), (5, 4, 0)]).scores[-1] == 400


def test_what_followed_is_measured_from_before_the_order() -> None:
    scored = judged([(0, 1, 0), (9, 8, 0.002), (9, 8, 0.002), (30, -1, -0.001), (69, -1, -0.001)])
    assert scored.notes[AFTER_S].tolist() == pytest.approx([0, 0, 0, 0, 60])
    assert scored.notes["after_order"][4] == 1_600
    assert scored.notes["after_at_once"][4] == pytest.approx(np.expm1(0.004))
    assert scored.notes["after_left"][4] == pytest.approx(np.expm1(0.002))


def test_of_several_orders_the_largest_is_followed() -> None:
    scored = judged([(0, 20, 0), (10, -30, 0), (20, 15, 0), (65, 1, 0), (70, 1, 0), (80, 1, 0)])
    assert scored.notes[AFTER_S].tolist() == pytest.approx([0, 0, 0, 0, 60, 0])
    assert scored.notes["after_order"][4] == -3_000


def test_a_long_silence_follows_nothing() -> None:
    assert judged([(0, 20, 0), (601, 1, 0), (700, 1, 0)]).notes[AFTER_S].tolist() == [0, 0, 0]


def test_a_whale_is_told_and_what_followed_and_its_end() -> None:
    trades = with_whales(5_000)
    end = altered(trades[-1], trade_id=COUNT, event_time_us=trades[-1].event_time_us + 91 * MINUTE_US)
    first, sequel, closed = told([*trades, end])
    assert (first.trade_id, first.episode.phase) == (5_000, EpisodePhase.OPENED)
    assert first.features["notional"] == pytest.approx(5_000 * trades[5_000].price)
    assert AFTER_S not in first.features
    assert (sequel.episode.phase, sequel.score) == (EpisodePhase.UPDATED, first.score)
    assert sequel.event_time_us - first.event_time_us >= MINUTE_US
    assert sequel.window.start_us == first.event_time_us
    assert sequel.reason.startswith("BTC-USDT, after a ")
    assert sequel.anomaly_id != first.anomaly_id
    assert sequel.episode.episode_id == closed.episode.episode_id == first.anomaly_id
    assert closed.episode.phase == EpisodePhase.CLOSED
    assert first.reason in closed.reason


def test_whales_within_the_quiet_time_are_one_school_and_each_is_told() -> None:
    trades = with_whales(3_000, 4_000, 5_000)
    params = replace(PARAMS, budget_per_day=100.0)
    events = told(trades, params)
    assert len({event.episode.episode_id for event in events}) == 1
    followed = [event.window.start_us for event in events if AFTER_S in event.features]
    assert set(followed) >= {trades[at].event_time_us for at in (3_000, 4_000, 5_000)}
    apart = told(trades, replace(params, whale_quiet_s=100.0))
    at = [e.trade_id for e in apart if e.episode.phase == EpisodePhase.OPENED]
    assert {3_000, 4_000} <= set(at)


def test_what_an_order_grows_to_is_told() -> None:
    trades = with_whales(5_000, quantity=2_000.0)
    at_us = trades[5_000].event_time_us
    more = [altered(trades[5_000], trade_id=10_000 + n, quantity=40_000.0) for n in range(2)]
    events = told([*trades[:5_001], *more, *trades[5_001:]])
    assert {event.event_time_us for event in events[:-1]} == {at_us}
    assert len(events) > 2
    assert (
        " in 3 fills at one instant" in events[-2].reason or " in 2 fills at one instant" in events[1].reason
    )


def test_below_the_floor_nothing_is_told_though_it_is_rare() -> None:
    assert told(with_whales(5_000), replace(PARAMS, whale_min_notional=1e9)) == []


def test_a_clock_that_is_set_back_forgets_orders() -> None:
    trades = with_whales(5_000)
    back = [altered(t, event_time_us=t.event_time_us - 2 * CLOCK_RESTART_US) for t in trades[5_001:]]
    assert all(AFTER_S not in event.features for event in told([*trades[:5_001], *back]))


def finding(
    features: dict[str, float] | None = None, *, usual: float = 30_111.0, symbol: str = "BTC-USDT"
) -> Finding:
    return Finding(
        symbol=symbol,
        price=100.0,
        features={"signed_flow": 1.0} | (features or {}),
        contributions={"notional": 1.0},
        score=1_234_567.0,
        usual_score=usual,
        rarity=1e-5 / 3,
        trades_per_day=100_000.0,
    )


@pytest.mark.parametrize(
    ("features", "order"),
    [
        ({}, "one buy of 1,234,567 USDT"),
        ({"whale_fills": 1.0, "signed_flow": -1.0}, "one sell of 1,234,567 USDT"),
        ({"whale_fills": 7.0}, "a buy of 1,234,567 USDT in 7 fills at one instant"),
        (
            {"whale_fills": 1.0, "whale_slices": 12.0, "whale_span_s": 95.0},
            "a buy of 1,234,567 USDT in 12 equal slices within 95 s",
        ),
    ],
)
def test_the_sentence_says_how_it_was_split(features: dict[str, float], order: str) -> None:
    whale = Whale(WhaleParams(), features=WHALE_FEATURES)
    assert whale.sentence(finding(features)) == (
        f"BTC-USDT: {order}, 41 times the usual size; something this large happens about once in 3 days."
    )


def test_the_usual_size_and_the_quote_may_be_unknown() -> None:
    whale = Whale(WhaleParams(), features=WHALE_FEATURES)
    assert whale.sentence(finding(usual=float("nan"), symbol="BTC")) == (
        "BTC: one buy of 1,234,567 quote units; something this large happens about once in 3 days."
    )


@pytest.mark.parametrize(
    ("at_once", "left", "words"),
    [
        (0.004, 0.0008, "+0.40 % at once, 80.0 % of it given back within 60 s"),
        (-0.004, -0.004, "-0.40 % at once, nothing of it given back within 60 s"),
        (0.004, -0.001, "+0.40 % at once, all of it given back within 60 s"),
        (-0.004, -0.0092, "-0.40 % at once, -0.92 % 60 s later"),
        (0.0, 0.0, "no move at once, no move 60 s later"),
    ],
)
def test_the_sequel_says_what_the_price_did(at_once: float, left: float, words: str) -> None:
    whale = Whale(WhaleParams(), features=WHALE_FEATURES)
    after = {AFTER_S: 60.0, "after_order": -1_143_000.0, "after_at_once": at_once, "after_left": left}
    assert whale.sentence(finding(after)) == f"BTC-USDT, after a sell of 1,143,000 USDT: {words}."


def test_odd_numbers_stay_finite() -> None:
    rng = np.random.default_rng(1)
    rows = rng.choice([0.0, -1.0, 1e-300, 1.0, 1e12, 1e200], (2_000, len(WHALE_FEATURES)))
    stage = Whale(WhaleParams(), features=WHALE_FEATURES)
    stage.open(0, identity="")
    scored = stage.score_learn(Runs.single(0, len(rows)), rows, explain_all=True)
    assert np.isfinite(scored.scores).all()
    assert np.isfinite(scored.contributions).all()


def test_a_damaged_state_is_refused() -> None:
    stage = Whale(WhaleParams(), features=WHALE_FEATURES)
    stage.open(0, identity="")
    memory = stage.state(0)["memory"]
    with pytest.raises(ValueError, match="memory"):
        stage.load_state(0, {"memory": np.full_like(memory, np.nan)})


def test_params_are_checked() -> None:
    with pytest.raises(ValueError, match="min_notional"):
        WhaleParams(min_notional=-1.0)
