"""Books that belong to their trades: uncrossed, whole, the same every time; and what events show in them."""

from pathlib import Path

import numpy as np

from shared.recordings import read
from shared.recordings.quotes import read_quotes
from simulator.crowd import MarketParams
from simulator.scenarios import ScenarioParams, Scheduled
from simulator.tapes import Stretch, stretches, write_tape
from tests.data.quote_market import busy

CALM = ScenarioParams(whales_per_hour=0.0, crashes_per_hour=0.0)


def one(params: MarketParams) -> Stretch:
    (stretch,) = stretches(params)
    return stretch


def test_books_are_never_crossed_and_always_whole() -> None:
    books = busy("layering").books
    assert (books[:, 0, 0, 0] < books[:, 1, 0, 0]).all()
    assert (np.diff(books[:, 0, :, 0], axis=1) < 0).all()
    assert (np.diff(books[:, 1, :, 0], axis=1) > 0).all()
    assert (books > 0).all()


def test_quotes_tell_every_trade_once() -> None:
    params = MarketParams(symbols=("BTCUSDT",), rate=5.0, duration_s=600.0, has_quotes=True, scenarios=CALM)
    stretch = one(params)
    assert stretch.quotes is not None
    told = np.abs(stretch.quotes.traded[:, 1])
    last_us = int(stretch.quotes.times_us[-1])
    happened = stretch.trades.quantities[stretch.trades.times_us <= last_us]
    np.testing.assert_allclose(told, happened)
    signs = np.where(stretch.trades.sells[: len(told)] == 1, -1.0, 1.0)
    np.testing.assert_array_equal(np.sign(stretch.quotes.traded[:, 1]), signs)


def test_trades_are_the_same_without_books() -> None:
    params = MarketParams(symbols=("ETHUSDT",), rate=5.0, duration_s=600.0, scenarios=CALM)
    plain = one(params)
    with_books = one(
        MarketParams(symbols=("ETHUSDT",), rate=5.0, duration_s=600.0, scenarios=CALM, has_quotes=True)
    )
    assert plain.quotes is None
    np.testing.assert_array_equal(plain.trades.prices, with_books.trades.prices)


def test_a_wall_stands_for_as_long_as_its_event_says() -> None:
    event = Scheduled("spoofing", "BTCUSDT", 300.0, 20.0)
    scenarios = ScenarioParams(whales_per_hour=0.0, crashes_per_hour=0.0, scheduled=(event,))
    params = MarketParams(
        symbols=("BTCUSDT",), rate=5.0, seed=3, duration_s=600.0, has_quotes=True, scenarios=scenarios
    )
    stretch = one(params)
    (truth,) = stretch.truth
    assert (truth.kind, truth.scenario, truth.strength) == ("manipulation", "spoofing", 20.0)
    quotes = stretch.quotes
    assert quotes is not None
    side = 1 if truth.parameters["is_ask"] else 0
    largest = quotes.books[:, side, :, 1].max(axis=1)
    usual = np.median(quotes.books[:, side, :, 1].sum(axis=1))
    is_shown = largest > 5.0 * usual
    times_s = (quotes.times_us - params.start_us) / 1e6
    assert not is_shown[times_s < 300.0].any()
    assert not is_shown[times_s > (truth.end_us - params.start_us) / 1e6 + 0.2].any()
    shown_s = is_shown.sum() / 10.0
    stood_s = truth.parameters["stands_s"] * truth.parameters["cycles"]
    assert 0.5 * stood_s < shown_s < 1.2 * stood_s


def test_a_tape_holds_quotes_where_they_are_asked_for(tmp_path: Path) -> None:
    params = MarketParams(symbols=("BTCUSDT",), rate=5.0, duration_s=60.0, has_quotes=True, scenarios=CALM)
    written = write_tape(params, tmp_path)
    assert written.quotes > 500
    assert sum(map(len, read_quotes([tmp_path / "quotes.parquet"]))) == written.quotes
    # As a folder it is one of trades.
    assert sum(map(len, read([tmp_path]))) == written.trades
