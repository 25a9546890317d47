"""Books that belong to their trades: uncrossed, whole, the same every time; and what events show in them."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from shared.recordings import read
from shared.recordings.quotes import read_quotes
from simulator.crowd import MarketParams
from simulator.depth import INSTANT_S, Asked, Depth
from simulator.effects import Walls
from simulator.executions import Block, Orders, best_bids
from simulator.profiles import TapeShape, profile_of
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


@pytest.mark.parametrize(
    ("rate", "seed", "chunk_s"),
    [
        (5.0, 3, None),
        # Orders that walk through the book come several times a second.
        (30.0, 3, None),
        # The price goes away from the wall as far as it may.
        (30.0, 12, None),
        # The price would be beyond the wall as soon as that is gone.
        (30.0, 11, None),
        # The event begins with a chunk.
        (5.0, 3, 10.0),
    ],
)
def test_a_wall_stands_for_as_long_as_its_event_says(rate: float, seed: int, chunk_s: float | None) -> None:
    event = Scheduled("spoofing", "BTCUSDT", 300.0, 20.0)
    params = MarketParams(
        symbols=("BTCUSDT",),
        rate=rate,
        seed=seed,
        duration_s=600.0,
        chunk_s=chunk_s,
        has_quotes=True,
        scenarios=replace(CALM, scheduled=(event,)),
    )
    parts = list(stretches(params))
    (truth,) = [each for part in parts for each in part.truth]
    assert (truth.kind, truth.scenario, truth.strength) == ("manipulation", "spoofing", 20.0)
    quotes = [part.quotes for part in parts if part.quotes is not None]
    side = 1 if truth.parameters["is_ask"] else 0
    sizes = np.concatenate([each.books[:, side, :, 1] for each in quotes])
    times_s = (np.concatenate([each.times_us for each in quotes]) - params.start_us) / 1e6
    largest, usual = sizes.max(axis=1), np.median(sizes.sum(axis=1))
    is_shown = largest > 5.0 * usual
    assert not is_shown[times_s < 300.0].any()
    assert not is_shown[times_s > (truth.end_us - params.start_us) / 1e6 + 0.2].any()
    stood_s = truth.parameters["stands_s"] * truth.parameters["cycles"]
    assert is_shown.sum() / 10.0 == pytest.approx(stood_s, rel=0.1)
    # Nobody goes through its price before books show that it is gone.
    prices = np.concatenate([each.books[:, side, :, 0] for each in quotes])
    lasts = np.flatnonzero(is_shown[:-1] & ~is_shown[1:])
    assert len(lasts) == truth.parameters["cycles"]
    walls = prices[lasts, sizes[lasts].argmax(axis=1)]
    sign = 2 * side - 1
    assert (sign * prices[lasts + 1, 0] <= sign * walls).all()


WALLS = Walls(
    times_s=np.array([10.0, 12.34, 30.0]),
    until_s=np.array([14.0, 15.0, 36.0]),
    asks=np.array([True, False, True]),
    offsets=np.array([1.0, 2.0, 1.0]),
    quantities=np.array([500.0, 400.0, 600.0]),
)


def played(edges_s: list[float]) -> tuple[list[int], list[list[int]], list[int]]:
    """Return the books of the same minute of orders: when, what, and how many trades had happened."""
    profile, shape, rng = profile_of("BTCUSDT"), TapeShape(), np.random.default_rng(5)
    depth = Depth(profile=profile, shape=shape, rng=np.random.default_rng(6), mean_notional=1e4, start_us=0)
    n = 1_200
    times_s = np.sort(rng.uniform(0.0, 60.0, n))
    sells = rng.random(n) < 0.5
    prices = profile.price * np.exp(np.cumsum(rng.normal(0.0, 2e-6, n)))
    bids, _ = best_bids(prices, profile, shape)
    ticks = (bids + np.where(sells, 0, 1) + np.where(sells, -1, 1) * rng.integers(0, 300, n)).astype(np.int64)
    books, told_us, happened = list[list[int]](), list[int](), list[int]()
    for start_s, end_s in pairwise(edges_s):
        at = np.flatnonzero((times_s >= start_s) & (times_s < end_s))
        none = np.zeros(len(at), np.int64)
        block = Block(np.arange(len(at)), 0, ticks[at], none + 1_000, sells[at], none, none)
        orders = Orders(times_s=times_s[at], sells=sells[at], prices=prices[at], planned=none - 1)
        walls = WALLS.between(start_s - INSTANT_S, end_s)
        shown = depth.block(
            Asked(start_s=start_s, end_s=end_s, orders=orders, block=block, walls=walls),
        )
        told_us += shown.times_us.tolist()
        books += np.concatenate((shown.ticks, shown.steps), axis=1).reshape(len(shown.ticks), -1).tolist()
        happened += (shown.trades + np.searchsorted(times_s, start_s)).tolist()
    return told_us, books, happened


@pytest.mark.parametrize(
    "edges_s", [[0.0, 10.0, 30.0, 60.0], [0.0, 0.1, 9.9, 10.0, 12.3, 12.4, 47.7, 60.0], [*range(61)]]
)
def test_books_are_the_same_however_orders_are_cut_into_chunks(edges_s: list[float]) -> None:
    whole = played([0.0, 60.0])
    assert len(whole[0]) > 590
    assert played(edges_s) == whole


def test_a_tape_holds_quotes_where_they_are_asked_for(tmp_path: Path) -> None:
    params = MarketParams(symbols=("BTCUSDT",), rate=5.0, duration_s=60.0, has_quotes=True, scenarios=CALM)
    written = write_tape(params, tmp_path)
    assert written.quotes > 500
    assert sum(map(len, read_quotes([tmp_path / "quotes.parquet"]))) == written.quotes
    # As a folder it is one of trades.
    assert sum(map(len, read([tmp_path]))) == written.trades
