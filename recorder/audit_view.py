"""An audit's report as people read it: two tables, a sentence per finding, and a verdict."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recorder.audit import MarketReport
from recorder.audit_topics import TapeReport
from recorder.times import shown_time
from shared.clock import MICROSECONDS_PER_SECOND

# How many missing ranges of one market are told; `--json` has them all.
_TOLD_RANGES: Final = 20


def show(report: TapeReport, console: Console) -> None:
    """Print a report."""
    if report.markets:
        console.print(_ids_table(report.markets))
        console.print(_times_table(report.markets))
    for market in report.markets:
        for finding in findings(market):
            _line(console, f"{market.exchange} {market.symbol}: {finding}")
    for symbol in report.markets_absent:
        _line(console, f"{symbol}: no trade in what was read")
    if report.invalid_records:
        _line(
            console,
            f"{_counted(report.invalid_records, 'record')} cannot be read as trades; see `dead-letters list`",
        )
    _line(console, verdict(report))


def verdict(report: TapeReport) -> str:
    """Return the one sentence that says whether the tape is whole."""
    trades = sum(market.trades for market in report.markets)
    if not trades:
        return f"Nothing to audit: {report.records:,} records were read, none of them a trade asked for."
    seen = f"{_counted(trades, 'trade')} in {_counted(len(report.markets), 'market')}"
    if report.is_whole:
        return f"The tape is whole: {seen}, each once, in order of id, none missing in between."
    missing = sum(market.missing_announced + market.missing_unannounced for market in report.markets)
    announced = sum(market.missing_announced for market in report.markets)
    return f"The tape is NOT whole: {seen}, {missing:,} missing ({announced:,} of them announced)."


def findings(market: MarketReport) -> Iterator[str]:
    """Yield a sentence for everything that keeps a market from being whole."""
    for part in islice(market.missing, _TOLD_RANGES):
        ids = str(part.first_id) if part.trades == 1 else f"{part.first_id} to {part.last_id}"
        why = f"announced: {part.reason}" if part.is_announced else "not announced"
        yield f"missing {ids} ({_counted(part.trades, 'trade')}), {why}"
    if len(market.missing) > _TOLD_RANGES:
        more = _counted(len(market.missing) - _TOLD_RANGES, "further range")
        yield f"missing {more}; --json names them all"
    if market.duplicates:
        verb = "repeats" if market.duplicates == 1 else "repeat"
        ids = _ids(market.duplicate_ids, market.duplicates)
        yield f"{_counted(market.duplicates, 'record')} {verb} an id: {ids}"
    if market.out_of_order:
        ids = _ids(market.out_of_order_ids, market.out_of_order)
        verb = "comes" if market.out_of_order == 1 else "come"
        yield f"{_counted(market.out_of_order, 'trade')} {verb} behind a higher id: {ids}"
    for anew in market.counted_anew:
        at = shown_time(anew.event_time_us)
        yield f"ids count anew at {at}: {anew.next_id} after {anew.last_id}; nothing is proved across that"
    if len(market.partitions) > 1:
        numbers = ", ".join(map(str, market.partitions))
        yield f"lies in several partitions ({numbers}), so its order is not defined"


def _ids_table(markets: list[MarketReport]) -> Table:
    table = _table("whole")
    for name in ("first id", "last id", "trades", "missing", "announced", "twice", "late"):
        table.add_column(name, justify="right")
    for market in markets:
        table.add_row(
            escape(f"{market.exchange} {market.symbol}"),
            "[green]yes[/]" if market.is_whole else "[bold red]NO[/]",
            str(market.first_id),
            str(market.last_id),
            f"{market.trades:,}",
            f"{market.missing_announced + market.missing_unannounced:,}",
            f"{market.missing_announced:,}",
            f"{market.duplicates:,}",
            f"{market.out_of_order:,}",
        )
    return table


def _times_table(markets: list[MarketReport]) -> Table:
    table = _table("longest silence")
    for name in ("skew in ms: median", "p99", "min", "max"):
        table.add_column(name, justify="right")
    for market in markets:
        silence_s = market.silence_us / MICROSECONDS_PER_SECOND
        skew = market.skew
        table.add_row(
            escape(f"{market.exchange} {market.symbol}"),
            f"{silence_s:,.1f} s from {shown_time(market.silence_from_us)}",
            *(f"{us / 1_000:,.1f}" for us in (skew.median_us, skew.p99_us, skew.min_us, skew.max_us)),
        )
    return table


def _table(second: str) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("market", no_wrap=True)
    table.add_column(second, no_wrap=True)
    return table


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _ids(named: list[int], count: int) -> str:
    return ", ".join(map(str, named)) + (", ..." if count > len(named) else "")


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)
