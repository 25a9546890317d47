import io
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from PIL import Image

from alerter.charts import HEIGHT_PX, WIDTH_PX, Moment, bars, draw
from alerter.pictures import AFTER_US, BEFORE_US, LONGEST_US, moment_of
from shared.events import Trade
from tests.unit.alerter.examples import EVENT_US
from tests.unit.alerter.notices import notification

RED = (213, 94, 0)
S = 1_000_000


def trade(second: float, price: float, quantity: float = 1.0, *, is_sold: bool = False) -> Trade:
    return Trade("binance", "BTC-USDT", round(second * 10), price, quantity, is_sold, round(second * S), 0)


def moment(*, price: float = 95.0, event_s: int = 60) -> Moment:
    return Moment(
        title="CRITICAL: flash crash on BTC-USDT (binance)",
        subtitle="Fell 5 %",
        since_us=0,
        until_us=100 * S,
        opened_us=50 * S,
        closed_us=70 * S,
        event_us=event_s * S,
        price=price,
        quote="USDT",
    )


def drawn(trades: list[Trade], what: Moment) -> Image.Image:
    png = draw(trades, what)
    assert png is not None
    return Image.open(io.BytesIO(png)).convert("RGB")


def is_red(pixel: object) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(value - wanted) < 40 for value, wanted in zip(pixel, RED, strict=True))


TAPE = [trade(second, 100 - (5 if 55 <= second < 65 else 0) + second % 3 / 10) for second in range(100)]


def test_bars_hold_every_trade_of_the_span_once() -> None:
    trades = [
        trade(-1, 1.0),
        trade(0, 10.0, 2.0),
        trade(4, 12.0, is_sold=True),
        trade(9, 9.0),
        trade(10, 5.0),
    ]
    found = bars(trades, since_us=0, until_us=10 * S, count=2)
    assert found.low.tolist() == [10.0, 9.0]
    assert found.high.tolist() == [12.0, 9.0]
    assert found.last.tolist() == [12.0, 9.0]
    assert found.bought.tolist() == [20.0, 9.0]
    assert found.sold.tolist() == [12.0, 0.0]


def test_an_interval_without_trades_has_no_price_and_no_volume() -> None:
    found = bars([trade(1, 10.0)], since_us=0, until_us=10 * S, count=5)
    assert np.isnan(found.last).tolist() == [False, True, True, True, True]
    assert found.bought.sum() == 10.0


def test_the_event_is_marked_where_it_was() -> None:
    columns = []
    for event_s in (30, 60):
        picture = drawn(TAPE, moment(event_s=event_s, price=0.0))
        row = [is_red(picture.getpixel((x, 300))) for x in range(WIDTH_PX)]
        assert sum(row) in range(1, 5)
        columns.append(row.index(True))
    # 30 of 100 seconds, on an axis of 692 pixels.
    assert columns[1] - columns[0] == pytest.approx(0.3 * 692, abs=2)


def test_a_picture_is_light_enough_for_a_phone() -> None:
    png = draw(TAPE, moment())
    assert png is not None
    assert len(png) < 40_000
    assert drawn(TAPE, moment()).size == (WIDTH_PX, HEIGHT_PX)


@pytest.mark.parametrize(
    "trades",
    [
        [trade(50, 100.0)],
        [trade(second, 100.0) for second in range(100)],
        [trade(50, 1e-12), trade(51, 2e-12)],
        [trade(50, 1e15), trade(51, 1e15 + 1)],
    ],
    ids=["one trade", "a price that stands still", "tiny", "huge"],
)
def test_any_prices_can_be_drawn(trades: list[Trade]) -> None:
    assert drawn(trades, moment(price=trades[0].price)).size == (WIDTH_PX, HEIGHT_PX)


def test_an_event_without_a_price_is_marked_by_its_time_alone() -> None:
    assert drawn(TAPE, moment(price=0.0)).size == (WIDTH_PX, HEIGHT_PX)


def test_without_trades_there_is_no_picture() -> None:
    assert draw([], moment()) is None
    assert draw([trade(1_000, 100.0)], moment()) is None


def test_a_title_of_any_length_and_any_characters_fits() -> None:
    assert draw(TAPE, replace(moment(), title="币安人生\n" * 100, subtitle="x" * 10_000)) is not None


def test_the_minutes_around_the_episode_are_shown_up_to_now() -> None:
    shown = moment_of(notification(), now_us=EVENT_US + 30 * S)
    assert (shown.since_us, shown.until_us) == (EVENT_US - BEFORE_US, EVENT_US + 30 * S)
    later = moment_of(notification(), now_us=EVENT_US + 3_600 * S)
    assert later.until_us == EVENT_US + AFTER_US


def test_of_an_episode_of_hours_only_the_end_is_shown() -> None:
    first = notification()
    episode = msgspec.structs.replace(first.anomaly.episode, opened_us=EVENT_US - 10 * LONGEST_US)
    long = msgspec.structs.replace(first, anomaly=msgspec.structs.replace(first.anomaly, episode=episode))
    assert moment_of(long, now_us=EVENT_US).since_us == EVENT_US - LONGEST_US - BEFORE_US
