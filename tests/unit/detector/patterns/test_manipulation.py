"""Market manipulation: what makes it, what does not, and what is said."""

import numpy as np
import pytest

from detector.engine import Engine
from detector.features import CLOCK_RESTART_US
from detector.kernels import driven_moves as kernel
from detector.patterns.manipulation import MANIPULATION_FEATURES, Manipulation, ManipulationParams
from shared.events import Anomaly, EpisodePhase, Trade
from tests.data.detector_tapes import altered
from tests.data.driven_tapes import CLOSE_US, DRIVEN_PARAMS, DRIVEN_US, QUIET_TRADES, driven_market

END = QUIET_TRADES + 30


def opened(trades: list[Trade]) -> list[Anomaly]:
    events = Engine(DRIVEN_PARAMS).on_batch(trades)
    assert all(isinstance(event, Anomaly) for event in events)
    return [
        event for event in events if isinstance(event, Anomaly) and event.episode.phase == EpisodePhase.OPENED
    ]


@pytest.mark.parametrize(("move", "way", "side"), [(0.02, "up", "buys"), (-0.02, "down", "sells")])
def test_a_driven_move_that_is_taken_back_is_told_when_it_is(move: float, way: str, side: str) -> None:
    [found] = opened(driven_market(move=move))
    assert found.kind == "manipulation"
    assert DRIVEN_US + 15_000_000 <= found.event_time_us <= DRIVEN_US + 30_000_000
    assert found.features["driven_move"] == pytest.approx(move, rel=0.05)
    assert found.reason.startswith(f"POL-USDT looks like momentum ignition: driven 1.9 % {way} within ")
    assert f" times the usual volume, 100 % of it {side}; " in found.reason
    assert found.reason.endswith(".")
    assert sum(found.contributions.values()) == pytest.approx(1.0)


def test_before_a_full_hour_it_is_a_mark() -> None:
    [found] = opened(driven_market(at_us=CLOSE_US - 8_000_000))
    assert found.reason.startswith("POL-USDT may have been marked at the 14:00 close: driven 1.9 % up ")
    [elsewhere] = opened(driven_market())
    assert found.score == pytest.approx(elsewhere.score + 2.0, abs=0.3)


@pytest.mark.parametrize(
    ("move", "returns", "why"),
    [
        (0.02, 0.3, "most of it stays"),
        (0.0004, 0.8, "it is a usual move"),
        (-0.12, 0.8, "it is a crash"),
    ],
)
def test_other_moves_are_none(move: float, returns: float, why: str) -> None:
    assert opened(driven_market(move=move, returns=returns)) == [], why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"is_buyer_maker": True}, "takers sell into the rise"),
        ({"quantity": 0.001}, "hardly anything is traded"),
    ],
)
def test_it_takes_one_side_and_volume(change: dict[str, float], why: str) -> None:
    trades = [
        altered(trade, **change) if QUIET_TRADES <= at < END else trade
        for at, trade in enumerate(driven_market())
    ]
    assert opened(trades) == [], why


def test_a_few_orders_are_no_burst() -> None:
    trades = driven_market()
    assert opened(trades[:QUIET_TRADES] + trades[QUIET_TRADES:END:2] + trades[END:]) == []


def test_one_order_that_eats_through_the_book_is_no_burst() -> None:
    trades = driven_market()
    top = trades[END - 1].price
    jumped = [
        altered(trade, price=top) if QUIET_TRADES < at < END else trade for at, trade in enumerate(trades)
    ]
    assert opened(jumped) == []


def test_a_return_for_a_moment_is_the_bounce_between_both_sides() -> None:
    trades = driven_market(returns=0.0)
    bounced = [
        altered(trade, price=100.2) if at in {END + 2, END + 6} else trade for at, trade in enumerate(trades)
    ]
    assert opened(bounced) == []


def test_what_goes_on_growing_is_a_trend() -> None:
    tape = driven_market(returns=0.0)[:END]
    top = tape[-1]

    def later(seconds: int, price: float) -> Trade:
        time_us = top.event_time_us + seconds * 1_000_000
        return altered(top, price=price, event_time_us=time_us, trade_id=top.trade_id + seconds)

    grown = [later(n, top.price + 0.05 * n) for n in range(1, 90)]
    fallen = [later(n, 100.0) for n in range(90, 110)]
    assert opened([*tape, *fallen]) != [], "without the growth it is one"
    assert opened([*tape, *grown, *fallen]) == []


def test_a_clock_set_back_begins_nothing() -> None:
    trades = driven_market()
    back = [altered(t, event_time_us=t.event_time_us - 2 * CLOCK_RESTART_US) for t in trades[END:]]
    assert opened([*trades[:END], *back]) == []


def test_nothing_is_said_before_it_knows_six_hours() -> None:
    assert opened(driven_market()[500:]) == []


@pytest.mark.parametrize(
    "params",
    [
        {"threshold": 0.0},
        {"min_close_move": 0.1},
        {"min_close_sigmas": 9.0},
        {"taken_back": 0.0},
        {"max_move": 0.001},
    ],
)
def test_parameters_that_make_no_sense_are_refused(params: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(params))):
        ManipulationParams(**params)


def test_a_damaged_state_is_refused() -> None:
    stage = Manipulation(ManipulationParams(), features=MANIPULATION_FEATURES)
    stage.open(0, identity="")
    state = stage.state(0)
    memory = np.array(state["memory"])
    memory[kernel.PHASE] = 7.0
    with pytest.raises(ValueError, match="phase"):
        stage.load_state(0, {"memory": memory})
