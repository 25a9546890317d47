"""The generated market as columns of trades and quotes, without sockets and strings: for weeks at once."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import pyarrow.parquet as pq

from shared.recordings import parquet
from shared.recordings import quotes as quote_recordings
from shared.stream.columns import TradeColumns
from shared.stream.quotes import LEVELS, QuoteColumns
from simulator.crowd import Crowd, MarketParams
from simulator.depth import DepthBlock
from simulator.executions import Block
from simulator.profiles import Profile
from simulator.source import Injected

TRADES_FILE: Final = "trades.parquet"
QUOTES_FILE: Final = "quotes.parquet"
TRUTH_FILE: Final = "truth.jsonl"
_CHUNK_S: Final = 1_800.0


class Stretch(NamedTuple):
    """A stretch of all markets.

    Attributes:
        trades: in order of the time at which they happened; their time of receipt is when the venue tells.
        truth: events that were planned in it; they may begin later.
        quotes: in order of time; None where books are not drawn.
    """

    trades: TradeColumns
    truth: list[Injected]
    quotes: QuoteColumns | None = None


def stretches(params: MarketParams) -> Iterator[Stretch]:
    """Yield the market from its start on, stretch by stretch, in order of time.

    Args:
        params: what is generated; without `chunk_s`, in stretches of half an hour; history is left out.
    """
    if params.chunk_s is None:
        params = replace(params, chunk_s=_CHUNK_S)
    crowd = Crowd(replace(params, history_trades=0))
    end_us = None if params.duration_s is None else params.start_us + round(params.duration_s * 1e6)
    number = 0
    while params.duration_s is None or number * crowd.chunk_s < params.duration_s:
        yield stretch(crowd, number, end_us=end_us)
        number += 1


class Written(NamedTuple):
    """How much was written."""

    trades: int
    events: int
    quotes: int = 0


def write_tape(params: MarketParams, folder: Path) -> Written:
    """Write a market that ends, and the truth about its events.

    Args:
        params: what is generated.
        folder: for `trades.parquet` and, with books, `quotes.parquet`, which `shared.recordings` reads, and
            `truth.jsonl`, one `Injected` a line; made where there is none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trades = events = quotes = 0
    with ExitStack() as stack:
        recording = stack.enter_context(pq.ParquetWriter(folder / TRADES_FILE, parquet.TRADE_SCHEMA))
        truth = stack.enter_context((folder / TRUTH_FILE).open("wb"))
        books: pq.ParquetWriter | None = None
        if params.has_quotes:
            books = pq.ParquetWriter(folder / QUOTES_FILE, quote_recordings.QUOTE_SCHEMA)
            stack.enter_context(books)
        for part in stretches(params):
            recording.write_batch(parquet.from_columns(part.trades))
            if books is not None and part.quotes is not None:
                books.write_batch(quote_recordings.to_batch(part.quotes))
                quotes += len(part.quotes)
            truth.writelines(msgspec.json.encode(event) + b"\n" for event in part.truth)
            trades, events = trades + len(part.trades), events + len(part.truth)
    return Written(trades, events, quotes)


def stretch(crowd: Crowd, number: int, *, end_us: int | None = None) -> Stretch:
    """Return the next stretch of a market.

    Args:
        crowd: of all markets.
        number: of its chunk.
        end_us: when the market ends; None: never.
    """
    venues = [(place.exchange, place.profile.market) for place in crowd.places]
    parts, truth, books = [], [], []
    for at, (place, drawn) in enumerate(crowd.draw(number)):
        parts.append((drawn.block, place.profile))
        truth += drawn.truth
        if drawn.depth is not None:
            books.append(_quotes(drawn.block, drawn.depth, place.profile, venues=venues, venue=at))
    counts = [len(block.ticks) for block, _ in parts]
    times_us = np.concatenate([block.times_us for block, _ in parts])
    trades = TradeColumns(
        venues=venues,
        venue=np.repeat(np.arange(len(venues)), counts),
        trade_ids=np.concatenate([block.first_id + np.arange(len(block.ticks)) for block, _ in parts]),
        prices=np.concatenate([block.prices(profile) for block, profile in parts]),
        quantities=np.concatenate([block.quantities(profile) for block, profile in parts]),
        sells=np.concatenate([block.sells for block, _ in parts]).astype(np.int64),
        times_us=times_us,
        received_us=np.concatenate([block.told_us for block, _ in parts]),
    )
    order = np.argsort(times_us, kind="stable")
    if end_us is not None:
        order = order[times_us[order] < end_us]
        truth = [event for event in truth if event.start_us < end_us]
    return Stretch(trades.take(order), truth, _merged(books, end_us))


def _quotes(
    block: Block, depth: DepthBlock, profile: Profile, *, venues: list[tuple[str, str]], venue: int
) -> QuoteColumns:
    """Return what a producer would make of a market's books."""
    n = len(depth.times_us)
    books = np.stack(
        (depth.ticks / 10.0**profile.tick_decimals, depth.steps / 10.0**profile.step_decimals), -1
    )
    quantities = np.where(block.sells, -1.0, 1.0) * block.quantities(profile)
    starts = np.concatenate(([0], depth.trades))
    return QuoteColumns.of_arrays(
        venues=venues,
        venue=np.full(n, venue),
        update_ids=depth.times_us // 1_000,
        times_us=depth.times_us,
        received_us=depth.times_us,
        books=books[:, :, :LEVELS],
        counts=np.full((n, 2), LEVELS),
        trade_starts=starts,
        traded=np.stack((block.prices(profile), quantities), -1)[: starts[-1]],
        is_continuous=np.ones(n, np.bool_),
    )


def _merged(books: list[QuoteColumns], end_us: int | None) -> QuoteColumns | None:
    if not books:
        return None
    quotes = QuoteColumns.joined(books)
    order = np.argsort(quotes.times_us, kind="stable")
    return quotes.take(order if end_us is None else order[quotes.times_us[order] < end_us])
