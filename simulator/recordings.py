"""Recordings as a source: what `shared.recordings` reads, and recorded streams in CSV, on their own timeline.

A trade plays at the time when it happened. Recordings do not tell more of a frame than `Trade` holds, so `E`
on the wire is `T`. Ids that are missing or repeated in a recording are so here; REST has each id once.
"""

import csv
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from operator import attrgetter
from pathlib import Path
from typing import Final

from shared import recordings
from shared.codec import trade_fault
from shared.errors import RecordingError
from shared.events import Trade
from shared.recordings.frames import EXCHANGE, to_us
from shared.recordings.markets import market_of
from simulator.source import Chunk, MarketTrade, SymbolInfo

_CHUNK_TRADES: Final = 2_000
_STREAM_HEADER: Final = b"TimestampOfReceive,Stream,"


@dataclass(frozen=True, kw_only=True)
class RecordingParams:
    """What is played.

    Attributes:
        paths: raw frames, files of Binance's archive, Parquet recordings (or folders of them), CSV streams.
        is_restamped: whether playback moves the first trade to now; else trades keep their times.
        exchange: the venue whose trades are played.
    """

    paths: tuple[Path, ...]
    is_restamped: bool = False
    exchange: str = EXCHANGE


class RecordingSource:
    """Recordings as a source. They are read twice: for their markets when this is made, and when played.

    Args:
        params: what is played.

    Raises:
        RecordingError: a file is missing, damaged, of no known form, or none holds a trade of the venue.
    """

    def __init__(self, params: RecordingParams) -> None:
        self._params = params
        symbols: dict[str, SymbolInfo] = {}
        first_us: int | None = None
        for trade in self._trades():
            if first_us is None:
                first_us = trade.event_time_us
            if trade.symbol not in symbols:
                symbols[trade.symbol] = _symbol_info(trade.symbol)
        if first_us is None:
            names = ", ".join(str(path) for path in params.paths)
            raise RecordingError(names, reason=f"no trade of {params.exchange} in it")
        self._start_us = first_us
        self._symbols = tuple(info for _, info in sorted(symbols.items()))

    @property
    def symbols(self) -> tuple[SymbolInfo, ...]:
        """The markets that occur."""
        return self._symbols

    @property
    def start_us(self) -> int:
        """The time of the first trade."""
        return self._start_us

    @property
    def is_restamped(self) -> bool:
        """Whether playback moves the first trade to now."""
        return self._params.is_restamped

    def history(self) -> list[MarketTrade]:
        """Return nothing: a recording says nothing about the time before it."""
        return []

    def chunks(self) -> Iterator[Chunk]:
        """Yield the trades in order of time.

        Raises:
            RecordingError: a file has changed since its markets were read.
        """
        trades = map(_as_on_wire, self._trades())
        while chunk := list(islice(trades, _CHUNK_TRADES)):
            yield Chunk(chunk, [])

    def _trades(self) -> Iterator[Trade]:
        streams = [path for path in self._params.paths if _is_stream_csv(path)]
        others = [path for path in self._params.paths if path not in streams]
        sources = [_stream_trades(path) for path in streams]
        if others:
            sources.append(chain.from_iterable(recordings.read(others)))
        merged = heapq.merge(*sources, key=attrgetter("event_time_us"))
        return (trade for trade in merged if trade.exchange == self._params.exchange)


def _is_stream_csv(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_STREAM_HEADER)) == _STREAM_HEADER


def _stream_trades(path: Path) -> Iterator[Trade]:
    """Yield the trades of a recorded stream: one frame's fields a row, under a header."""
    with path.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            if row["EventType"] != "trade":
                continue
            try:
                trade = _stream_trade(row)
            except (KeyError, TypeError, ValueError) as error:
                raise RecordingError(str(path), reason=f"line {number}: {error}") from error
            if (fault := trade_fault(trade)) is not None:
                raise RecordingError(str(path), reason=f"line {number}: {fault}")
            yield trade


def _stream_trade(row: dict[str, str]) -> Trade:
    return Trade(
        EXCHANGE,
        market_of(row["Symbol"]),
        int(row["TradeId"]),
        float(row["Price"]),
        float(row["Quantity"]),
        row["IsBuyerMarketMaker"] == "1",
        to_us(int(row["TransactionTime"])),
        to_us(int(row["TimestampOfReceive"])),
    )


def _as_on_wire(trade: Trade) -> MarketTrade:
    return MarketTrade(
        trade.symbol.replace("-", ""),
        trade.trade_id,
        f"{trade.price:.8f}",
        f"{trade.quantity:.8f}",
        trade.is_buyer_maker,
        trade.event_time_us,
        trade.event_time_us,
    )


def _symbol_info(market: str) -> SymbolInfo:
    base, _, quote = market.partition("-")
    return SymbolInfo(symbol=market.replace("-", ""), base_asset=base, quote_asset=quote)
