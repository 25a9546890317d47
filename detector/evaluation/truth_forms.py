"""Truth in the forms of known data sets and of the simulator, told by their columns.

- Labelled pumps of La Morgia et al. (`label_25S.csv`): each row marked `gt` is the chunk in which a pump of
  SYMBOL/BTC on Binance starts.
- Their list of announcements (`pump_binance_telegram.csv`): several groups may announce one pump.
- Flash crashes of minute bars (`flash_crash_events.csv`): `pos` from start to trough; near misses and the
  quiet days of the same table are what must not be taken for one.
- Natural spikes and drawdowns (`natural_spikes_drawdowns.csv`): minutes that are no pumps.
- The simulator's truth (`python -m simulator market --truth FILE`): one JSON object a line.

Reference: M. La Morgia, A. Mei, F. Sassi, J. Stefa, "Pump and Dumps in the Bitcoin Era", ICCCN 2020.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from detector.evaluation.events import Label, Truth
from shared.clock import MICROSECONDS_PER_DAY
from shared.recordings.frames import to_us
from shared.recordings.markets import market_of

Row: TypeAlias = Mapping[str, str]
_BINANCE: Final = "binance"
# Scenarios of the simulator that leave orders in the book, and hardly anything among trades.
_IN_QUOTES: Final = frozenset({"spoofing", "layering"})
_BETWEEN_VENUES: Final = frozenset({"arbitrage"})
_MINUTE_US: Final = 60_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Fault(Exception):  # noqa: N818 - it is told as part of a RecordingError, which names file and line
    """A value that makes no sense."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(f"column {column}: {reason}")


def time_us(column: str, text: str) -> int:
    """Return a time in microseconds.

    Args:
        column: where it stands.
        text: ISO 8601, UTC where it names no zone; or milli-, micro- or nanoseconds since 1970.

    Raises:
        Fault: it is no time.
    """
    if text.isdecimal():
        return to_us(int(text))
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise Fault(column, f"{text!r} is no time; write 2025-10-10T20:45:00Z") from error
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)


def of_injected(line: object) -> Truth:
    """Return what a line of the simulator's truth says.

    An event is one of its venue, except what lies between venues: that is told of the one to buy on,
    whichever it was that drifted away.

    Raises:
        Fault: a part of it is missing.
    """
    if not isinstance(line, dict):
        raise Fault("kind", "there is no object with kind, market and start_us")
    for name, kind in (("kind", str), ("market", str), ("start_us", int), ("end_us", int)):
        if not isinstance(line.get(name), kind):
            raise Fault(name, f"is no {kind.__name__}: {line.get(name)!r}")
    for name in ("exchange", "id"):
        if not isinstance(line.get(name, ""), str):
            raise Fault(name, f"is no str: {line[name]!r}")
    return Truth(
        line["kind"],
        line["market"],
        line["start_us"],
        line["end_us"],
        exchange="" if line["kind"] in _BETWEEN_VENUES else line.get("exchange", ""),
        name=line.get("id", ""),
        needs_quotes=line.get("scenario") in _IN_QUOTES,
    )


def _labelled_chunk(row: Row) -> Iterator[Truth]:
    if row["gt"] == "1":
        yield Truth("pump_dump", f"{row['symbol']}-BTC", time_us("date", row["date"]), exchange=_BINANCE)


def _announcement(row: Row) -> Iterator[Truth]:
    if row["exchange"] == _BINANCE:
        start_us = time_us("date or hour", f"{row['date']}T{row['hour']}")
        yield Truth("pump_dump", f"{row['symbol']}-BTC", start_us, exchange=_BINANCE)


def _minute_crash(row: Row) -> Iterator[Truth]:
    market, role = market_of(row["asset"]), row["role"]
    start_us, day_us = time_us("t_star", row["t_star"]), time_us("date", row["date"])
    if role == "pos":
        yield Truth("flash_crash", market, start_us, time_us("t_trough", row["t_trough"]))
    elif role == "near_miss":
        end_us = time_us("t_rebound_end", row["t_rebound_end"])
        yield Truth("flash_crash", market, start_us, end_us, label=Label.NEGATIVE, name="near miss")
    elif role == "quiet":
        end_us = day_us + MICROSECONDS_PER_DAY
        yield Truth("flash_crash", market, day_us, end_us, label=Label.NEGATIVE, name="quiet day")
    else:
        raise Fault("role", f"takes pos, near_miss, quiet, not {role!r}")


def _natural_spike(row: Row) -> Iterator[Truth]:
    start_us = time_us("timestamp", row["timestamp"])
    yield Truth(
        "pump_dump",
        market_of(row["symbol"]),
        start_us,
        start_us + _MINUTE_US,
        label=Label.NEGATIVE,
        name=row["Type"],
    )


# By the columns that tell the form.
FORMS: Final[Mapping[tuple[str, ...], Callable[[Row], Iterator[Truth]]]] = {
    ("date", "pump_index", "symbol", "gt"): _labelled_chunk,
    ("symbol", "group", "date", "hour", "exchange"): _announcement,
    ("asset", "date", "role", "t_star", "t_trough", "t_rebound_end"): _minute_crash,
    ("timestamp", "symbol", "return", "Type"): _natural_spike,
}
