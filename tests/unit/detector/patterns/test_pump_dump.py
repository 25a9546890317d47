"""Pump and dump: what makes one, its phases, and what is said."""

import numpy as np
import pytest

from detector.engine import Engine
from detector.features import CLOCK_RESTART_US, FeatureParams, Features, Tape
from detector.kernels import pumps as kernel
from detector.patterns.pump_dump import PUMP_FEATURES, WINDOW_S, PumpDump, PumpDumpParams, confidence
from detector.runs import Runs
from shared.events import Anomaly, EpisodePhase, Trade
from tests.data.detector_tapes import altered
from tests.data.pump_tapes import PUMP_PARAMS, PUMP_US, QUIET_TRADES, pumped_market

HOUR_US = 3_600_000_000
OVER_US = PUMP_US + 10 * 60_000_000


def told(trades: list[Trade]) -> list[Anomaly]:
    events = Engine(PUMP_PARAMS).on_batch(trades)
    assert all(isinstance(event, Anomaly) for event in events)
    return [event for event in events if isinstance(event, Anomaly)]


def opened(trades: list[Trade]) -> list[Anomaly]:
    return [event for event in told(trades) if event.episode.phase == EpisodePhase.OPENED]


def later(trades: list[Trade], shift_us: int) -> list[Trade]:
    return [
        altered(t, event_time_us=t.event_time_us + shift_us, trade_id=t.trade_id + 10_000) for t in trades
    ]


def test_a_pump_opens_grows_is_dumped_and_closes_as_one_episode() -> None:
    events = told(pumped_market(until_us=OVER_US))
    first, *updates, last = events
    assert (first.kind, first.episode.phase, last.episode.phase) == (
        "pump_dump",
        EpisodePhase.OPENED,
        EpisodePhase.CLOSED,
    )
    assert {event.episode.phase for event in updates} == {EpisodePhase.UPDATED}
    assert {event.episode.episode_id for event in events} == {first.anomaly_id}
    assert PUMP_US <= first.event_time_us <= PUMP_US + 10_000_000
    assert [event.features["pump_phase"] for event in events[:-1]] == [1.0] * len(updates) + [2.0]
    assert updates[-1].event_time_us > PUMP_US + 30_000_000
    assert "turned" not in first.features


def test_the_sentences_have_the_numbers() -> None:
    first, *_, dump, _ = told(pumped_market(until_us=OVER_US))
    assert first.reason.startswith("FUEL-BTC is being pumped: up ")
    assert " in 25 s on " in first.reason
    assert " of a day's volume, " in first.reason
    assert " rush orders, " in first.reason
    assert " after 17:00" in first.reason
    assert f"(confidence {confidence(first.score) * 100:.0f} %)." in first.reason
    assert dump.reason.startswith("FUEL-BTC is being dumped: ")
    assert "16.0 % below the peak of a pump that had risen 30.0 %, 65 s after" in dump.reason
    assert sum(first.contributions.values()) == pytest.approx(1.0)


def accumulated(*, minutes: int, is_sale: bool = False) -> list[Trade]:
    """Return the pumped market with four trades a minute more, each of ten units, before the pump."""
    added = [
        altered(
            pumped_market()[0],
            trade_id=20_000 + n,
            event_time_us=PUMP_US - 90_000_000 - n * 15_000_000,
            quantity=5.0,
            is_buyer_maker=is_sale,
        )
        for n in range(4 * minutes)
    ]
    return sorted([*pumped_market(until_us=OVER_US), *added], key=lambda trade: trade.event_time_us)


def phases(trades: list[Trade]) -> list[float]:
    """Return the phase after each trade."""
    features = Features(FeatureParams(windows_s=(WINDOW_S,), columns=PUMP_FEATURES))
    features.open(0, identity="")
    runs = Runs.single(0, len(trades))
    rows, _ = features.update(
        runs,
        Tape(
            np.array([trade.price for trade in trades]),
            np.array([trade.quantity for trade in trades]),
            np.array([trade.is_buyer_maker for trade in trades], np.int64),
            np.array([trade.event_time_us for trade in trades], np.int64),
        ),
    )
    stage = PumpDump(PumpDumpParams(), features=PUMP_FEATURES)
    stage.open(0, identity="")
    found: list[float] = stage.score_learn(runs, rows).notes["pump_phase"].tolist()
    return found


def test_accumulation_comes_before_the_pump_and_is_told_with_it() -> None:
    trades = accumulated(minutes=40)
    order = [
        phase
        for phase, before in zip(phases(trades), [-1.0, *phases(trades)], strict=False)
        if phase != before
    ]
    assert order == [kernel.QUIET, kernel.ACCUMULATION, kernel.PUMP, kernel.DUMP, kernel.OVER]
    first, *_ = told(trades)
    assert first.episode.phase == EpisodePhase.OPENED
    assert 20 * 60 < first.features["pump_accumulated_s"] < 41 * 60
    assert first.features["pump_times_usual"] > 2.0
    assert "min of accumulation (" in first.reason
    assert "times the usual volume, " in first.reason
    assert "bought net in the hour before)" in first.reason


def test_accumulation_alone_is_no_alarm() -> None:
    before = [trade for trade in accumulated(minutes=40) if trade.event_time_us < PUMP_US]
    assert phases(before)[-1] == kernel.ACCUMULATION
    assert told(before) == []


def test_who_sells_gathers_nothing_and_what_just_began_may_be_the_pump_itself() -> None:
    assert kernel.ACCUMULATION not in phases(accumulated(minutes=40, is_sale=True))
    for trades in (accumulated(minutes=40, is_sale=True), pumped_market()):
        first, *_ = told(trades)
        assert first.features["pump_accumulated_s"] == 0.0
        assert "accumulation" not in first.reason


def test_accumulation_ends_when_volume_is_usual_again() -> None:
    calm = [
        altered(pumped_market()[0], event_time_us=PUMP_US + n * 60_000_000, trade_id=30_000 + n)
        for n in range(240)
    ]
    before = [trade for trade in accumulated(minutes=40) if trade.event_time_us < PUMP_US]
    assert phases([*before, *calm])[-1] == kernel.QUIET


def test_nothing_is_said_before_it_knows_a_few_hours() -> None:
    young = pumped_market()[QUIET_TRADES - 300 :]
    assert opened(young) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"is_buyer_maker": True}, "takers sell"),
        ({"price": 100.0}, "the price stands still"),
        ({"quantity": 1e-6}, "nothing is traded"),
    ],
)
def test_what_is_no_pump(change: dict[str, float], why: str) -> None:
    trades = [
        altered(trade, **change) if at >= QUIET_TRADES else trade for at, trade in enumerate(pumped_market())
    ]
    assert opened(trades) == [], why


def test_a_day_of_large_volume_makes_the_same_burst_nothing() -> None:
    trades = pumped_market()
    busy = [
        altered(t, quantity=t.quantity * 2_000.0) if at < QUIET_TRADES else t for at, t in enumerate(trades)
    ]
    assert len(opened(trades)) == 1
    assert opened(busy) == []


def test_the_clock_is_evidence() -> None:
    aside = later(pumped_market(), 10 * 60_000_000)
    scores = [max(event.score for event in told(trades)) for trades in (pumped_market(), aside)]
    assert scores[0] - scores[1] == pytest.approx(3.0)


@pytest.mark.parametrize(("after_us", "episodes"), [(HOUR_US // 2, 1), (2 * HOUR_US, 2)])
def test_another_needs_an_hour_without(after_us: int, episodes: int) -> None:
    trades = pumped_market()
    assert len(opened([*trades, *later(trades[QUIET_TRADES:], after_us)])) == episodes


def test_a_silence_or_a_clock_that_is_set_back_ends_it() -> None:
    trades = pumped_market()
    half = trades[: QUIET_TRADES + 100]
    for shift_us in (61_000_000, -2 * CLOCK_RESTART_US):
        events = told([*half, *later(trades[QUIET_TRADES + 100 :], shift_us)])
        phases = [event.episode.phase for event in events]
        assert phases.count(EpisodePhase.OPENED) == phases.count(EpisodePhase.CLOSED) == 1
        assert events[-1].trade_id == half[-1].trade_id + 10_001


def test_calm_ends_it_though_trades_go_on() -> None:
    trades = pumped_market()
    end_us = trades[-1].event_time_us
    calm = [
        altered(trades[0], event_time_us=end_us + n * 30_000_000, trade_id=1_000 + n) for n in range(1, 60)
    ]
    closed = told([*trades, *calm])[-1]
    assert closed.episode.phase == EpisodePhase.CLOSED
    assert 900 <= (closed.event_time_us - PUMP_US) / 1e6 <= 1_100


def test_odd_numbers_stay_finite() -> None:
    stage = PumpDump(PumpDumpParams(warm_up_s=0.0), features=PUMP_FEATURES)
    stage.open(0, identity="")
    rng = np.random.default_rng(1)
    rows = rng.choice([0.0, -1.0, 1e-300, 1.0, 1e12, 1e200], (2_000, len(PUMP_FEATURES)))
    scored = stage.score_learn(Runs.single(0, len(rows)), rows, explain_all=True)
    assert np.isfinite(scored.scores).all()
    assert np.isfinite(scored.contributions).all()


def test_a_state_without_a_phase_is_refused() -> None:
    stage = PumpDump(PumpDumpParams(), features=PUMP_FEATURES)
    stage.open(0, identity="")
    with pytest.raises(ValueError, match="phase"):
        stage.load_state(0, {"memory": np.full_like(stage.state(0)["memory"], np.nan)})


def test_params_are_checked() -> None:
    with pytest.raises(ValueError, match="threshold"):
        PumpDumpParams(threshold=0.0)
    with pytest.raises(ValueError, match="given_back"):
        PumpDumpParams(given_back=1.0)
    with pytest.raises(ValueError, match="weights"):
        PumpDumpParams(weights=(1.0,))
