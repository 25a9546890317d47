"""Wash trading: what is told of a washed market, when, and what is none."""

import numpy as np
import pytest

from detector.engine import Engine
from detector.params import EngineParams
from detector.patterns.wash_trading import (
    WASH_FEATURES,
    WASH_TESTS,
    WashTrading,
    WashTradingParams,
    ordinary_markets,
)
from shared.events import Anomaly, EpisodePhase, Severity, Trade
from tests.data.wash_tapes import WASH_PARAMS, thin_market

COUNT = 5_000
WASHED = thin_market(COUNT, washed=(2_000, 4_000))


def told(trades: list[Trade], params: EngineParams = WASH_PARAMS) -> list[Anomaly]:
    events = Engine(params).on_batch(trades)
    assert all(isinstance(event, Anomaly) for event in events)
    return [event for event in events if isinstance(event, Anomaly)]


def opened(trades: list[Trade]) -> list[Anomaly]:
    return [event for event in told(trades) if event.episode.phase == EpisodePhase.OPENED]


@pytest.mark.parametrize("seed", range(3))
def test_a_thin_market_is_not_washed(seed: int) -> None:
    assert told(thin_market(COUNT, seed=seed)) == []


def test_a_wash_is_told_once_while_it_lasts() -> None:
    events = told(WASHED)
    assert events[0].episode.phase == EpisodePhase.OPENED
    assert 2_000 < events[0].trade_id < 3_000
    assert [event.episode.phase for event in events].count(EpisodePhase.OPENED) == 1
    assert {event.episode.episode_id for event in events} == {events[0].anomaly_id}
    assert {event.severity for event in events} == {Severity.MEDIUM}


def test_it_says_what_each_test_found_and_how_rare_that_is() -> None:
    event = opened(WASHED)[0]
    assert set(event.contributions) == set(WASH_TESTS)
    assert sum(event.contributions.values()) == pytest.approx(1.0)
    for test in WASH_TESTS:
        assert 0 < event.features[f"p_{test}"] <= 1
    assert max(event.contributions, key=lambda name: event.contributions[name]) == "round_trips"
    assert event.features["p_round_trips"] < 0.01
    assert event.reason.startswith("ALPINE-BTC looks wash-traded (all tests together: p = 0.00")
    assert "% of the volume bought and sold again in the very same sizes (p = " in event.reason


def test_hours_without_a_trade_do_not_end_it_but_a_day_does() -> None:
    washed = thin_market(3_000, washed=(1_000, 3_000))
    pauses_h = {2_400: 3, 2_700: 24}
    waited_us, later = 0, []
    for trade in washed:
        waited_us += pauses_h.get(trade.trade_id, 0) * 3_600_000_000
        later.append(
            Trade(
                trade.exchange,
                trade.symbol,
                trade.trade_id,
                trade.price,
                trade.quantity,
                trade.is_buyer_maker,
                trade.event_time_us + waited_us,
                trade.event_time_us + waited_us,
            )
        )
    ends = [(event.trade_id, event.episode.phase) for event in told(later)]
    assert [end for end in ends if end[1] == EpisodePhase.CLOSED] == [(2_700, EpisodePhase.CLOSED)]


def test_minutes_of_it_are_none() -> None:
    assert told(thin_market(COUNT, seconds=0.05, washed=(2_000, 4_000))) == []


def test_equal_slices_of_an_order_are_none() -> None:
    sliced = [
        replace_trade(trade, quantity=47.58, sell=False) if 2_000 <= n < 4_000 and n % 3 == 0 else trade
        for n, trade in enumerate(thin_market(COUNT))
    ]
    assert told(sliced) == []


def replace_trade(trade: Trade, *, quantity: float, sell: bool) -> Trade:
    return Trade(
        trade.exchange,
        trade.symbol,
        trade.trade_id,
        trade.price,
        quantity,
        sell,
        trade.event_time_us,
        trade.received_time_us,
    )


def test_it_says_nothing_before_a_window_is_full() -> None:
    washed = thin_market(1_200, washed=(0, 1_200))
    assert [event.trade_id for event in told(washed)] == [1_023]


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": 0.0},
        {"window_trades": 1_000},
        {"window_trades": 32},
        {"window_trades": 2_048},
        {"lasting_s": 0.0},
        {"weights": (1.0,) * 7},
        {"weights": (-1.0, *(1.0,) * 7)},
        {"weights": (0.0,) * 8},
    ],
)
def test_params_are_checked(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        WashTradingParams(**changes)  # type: ignore[arg-type]


def test_the_reference_is_what_a_table_must_be() -> None:
    reference = ordinary_markets(WashTradingParams().weights)
    assert (np.diff(reference.values, axis=1)[:, 1:] > 0).all()
    assert (np.diff(reference.logs) > 0).all()
    assert (reference.slopes > 0).all()
    # Dependence makes the sum vary more than independent tests would.
    weights = reference.weights
    assert reference.shape * reference.scale == pytest.approx(weights.sum())
    assert reference.shape * reference.scale**2 > (weights**2).sum()


class TestDamagedState:
    @pytest.mark.parametrize(
        ("name", "place", "value"),
        [
            ("memory", (0,), -1.0),
            ("memory", (0,), 1.5),
            ("memory", (0,), 9.0),
            ("memory", (2,), np.nan),
            ("ring", (3, 0), np.inf),
            ("ring", (3, 0), 0.0),
            ("ring", (3, 1), np.nan),
            ("ring", (3, 2), np.inf),
            ("ring", (3, 3), -2.0),
            ("ring", (3, 3), 1_024.0),
        ],
    )
    def test_is_refused(self, name: str, place: tuple[int, ...], value: float) -> None:
        detector = WashTrading(WashTradingParams(window_trades=64), features=WASH_FEATURES)
        detector.open(0, identity="x")
        memory, ring = detector.state(0)["memory"], np.ones((8, 4))
        assert isinstance(memory, np.ndarray)
        memory[0] = 8.0
        detector.load_state(0, {"memory": memory, "ring": ring})
        {"memory": memory, "ring": ring}[name][place] = value
        with pytest.raises(ValueError, match=r"memory|ring"):
            detector.load_state(0, {"memory": memory, "ring": ring})
