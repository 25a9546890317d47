"""The trades of one market and venue of a recording around a moment, or what is wrong with the question."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from shared.clock import MICROSECONDS_PER_SECOND
from shared.errors import RecordingError
from shared.events import Trade
from shared.recordings import read

# A recording that ends so much before the moment says nothing about it.
_LONGEST_GAP_US: Final = 300 * MICROSECONDS_PER_SECOND


def trades_of(
    paths: Sequence[Path], *, market: str, exchange: str | None, at_us: int
) -> Iterator[list[Trade]]:
    """Yield the trades of a market on one venue, in batches, from the beginning of the recordings.

    Args:
        paths: recordings in any known form.
        market: our name of it.
        exchange: the venue; None when the recordings hold only one.
        at_us: the moment of interest, event time.

    Raises:
        RecordingError: there is no such market or venue, there are several venues and none was chosen, or the
            moment lies outside the recordings.
    """
    name = ", ".join(map(str, paths))
    others: set[str] = set()
    venues: set[str] = set()
    last_us: int | None = None
    for batch in read(paths):
        others.update(trade.symbol for trade in batch)
        of_market = [trade for trade in batch if trade.symbol == market]
        venues.update(trade.exchange for trade in of_market)
        if exchange is None and len(venues) > 1:
            raise RecordingError(name, reason=f"{market} is on {_listed(venues)}; choose with --exchange")
        wanted = [trade for trade in of_market if exchange in {None, trade.exchange}]
        if not wanted:
            continue
        if last_us is None and wanted[0].event_time_us > at_us:
            first = utc(wanted[0].event_time_us)
            raise RecordingError(name, reason=f"{market} begins at {first}, after {utc(at_us)}")
        last_us = wanted[-1].event_time_us
        yield wanted
    if last_us is None:
        missing = f"{market} on {exchange}" if venues else market
        there = _listed(venues or others) or "nothing"
        raise RecordingError(name, reason=f"there is no trade of {missing}; there is {there}")
    if last_us < at_us - _LONGEST_GAP_US:
        raise RecordingError(name, reason=f"{market} ends at {utc(last_us)}, before {utc(at_us)}")


def with_progress(batches: Iterable[list[Trade]], *, until_us: int) -> Iterator[list[Trade]]:
    """Yield the batches, and show on stderr which part of the time up to a moment has been judged."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("compiling, or loading what was compiled", total=None)
        first_us: int | None = None
        for batch in batches:
            yield batch
            now_us = batch[-1].event_time_us
            first_us = batch[0].event_time_us if first_us is None else first_us
            progress.update(
                task,
                description=f"judged until {utc(now_us)[:19]}",
                completed=now_us - first_us,
                total=max(until_us - first_us, 1),
            )


def utc(time_us: int) -> str:
    """Return an event time as people write it, to the microsecond."""
    return f"{datetime.fromtimestamp(time_us / MICROSECONDS_PER_SECOND, UTC):%Y-%m-%d %H:%M:%S.%f} UTC"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
