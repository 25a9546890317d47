"""Labelled events: what happened when on which market, as a table that people can write.

    symbol,kind,start,end,exchange,label,id
    BTC-USDT,flash_crash,2025-10-10T20:45:00Z,2025-10-10T21:30:00Z,,event,the crash
    POL-USDT,pump_dump,1760129100000000,,binance,negative,

Needed are `symbol` (in any spelling that names base and quote), `kind` (as the detectors have it; `any` is
found by alarms of all kinds) and `start`. Times are ISO 8601, UTC where they name no zone, or numbers of
milli-, micro- or nanoseconds since 1970. `end` may be empty. `exchange` says on which venue; empty: on all.
`label` is `event`; `negative` for what must not be taken for one; or `unlabelled` for a time about which the
table says nothing. Elsewhere the table is complete: where it names no event of a kind, there was none.

The forms of known data sets and of the simulator are taken as they are (`truth_forms.py`).
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from detector.evaluation.events import Label, Truth
from detector.evaluation.truth_forms import FORMS, Fault, of_injected, time_us
from shared.errors import RecordingError
from shared.recordings.markets import market_of

_NEEDED: Final = ("symbol", "kind", "start")
_COLUMNS: Final = (*_NEEDED, "end", "exchange", "label", "id")
# As columns of microseconds are called elsewhere in the project.
_ALIASES: Final = {"start_us": "start", "end_us": "end", "market": "symbol", "name": "id"}


def read_truth(paths: Iterable[Path]) -> list[Truth]:
    """Return what the files say, in order of time; what several lines say alike comes once.

    Raises:
        RecordingError: a file cannot be read, or a line makes no sense; the message names line and column.
    """
    found = dict.fromkeys(truth for path in paths for truth in _read(path))
    return sorted(found, key=lambda truth: (truth.start_us, truth.symbol, truth.kind))


def _read(path: Path) -> Iterator[Truth]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            if lines.read(1) == "{":
                lines.seek(0)
                yield from _injected(path, lines)
            else:
                lines.seek(0)
                yield from _table(path, csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordingError(str(path), reason=f"cannot be read as a table: {error}") from error


def _injected(path: Path, lines: Iterable[str]) -> Iterator[Truth]:
    for number, line in enumerate(lines, 1):
        try:
            if line.strip():
                yield of_injected(json.loads(line))
        except (ValueError, Fault) as error:
            raise RecordingError(str(path), reason=f"line {number}: {error}") from error


def _table(path: Path, rows: "csv.DictReader[str]") -> Iterator[Truth]:
    names = {name: _ALIASES.get(name, name) for name in map(str.strip, rows.fieldnames or ())}
    form = next((form for columns, form in FORMS.items() if set(columns) <= set(names)), None)
    if form is None:
        _check_columns(path, names)
    for row in rows:
        if None in row or None in row.values():
            reason = f"line {rows.line_num}: {len(names)} columns are named, and there are more or fewer"
            raise RecordingError(str(path), reason=reason)
        try:
            if form is not None:
                yield from form(row)
            else:
                yield _truth({names[name.strip()]: value.strip() for name, value in row.items()})
        except Fault as error:
            raise RecordingError(str(path), reason=f"line {rows.line_num}, {error}") from error


def _check_columns(path: Path, names: Mapping[str, str]) -> None:
    missing = [name for name in _NEEDED if name not in names.values()]
    if missing:
        reason = f"line 1: column {' and '.join(missing)} missing; there is {', '.join(names) or 'nothing'}"
        raise RecordingError(str(path), reason=reason)
    unknown = [name for name, meant in names.items() if meant not in _COLUMNS]
    if unknown:
        reason = f"line 1: no column is called {', '.join(unknown)}; known are {', '.join(_COLUMNS)}"
        raise RecordingError(str(path), reason=reason)


def _truth(row: Mapping[str, str]) -> Truth:
    for name in _NEEDED:
        if not row[name]:
            raise Fault(name, "is empty")
    label = row.get("label") or Label.EVENT
    if label not in list(Label):
        raise Fault("label", f"takes {', '.join(Label)}, not {label!r}")
    start_us = time_us("start", row["start"])
    end_us = time_us("end", row["end"]) if row.get("end") else None
    if end_us is not None and end_us < start_us:
        raise Fault("end", f"lies before the start: {row['end']}")
    if label == Label.UNLABELLED and end_us is None:
        raise Fault("end", "is needed where nothing is labelled")
    market = market_of(row["symbol"])
    if "-" not in market:
        raise Fault("symbol", f"names no base and quote: {row['symbol']!r}; write BTC-USDT")
    return Truth(
        row["kind"], market, start_us, end_us, row.get("exchange", ""), Label(label), row.get("id", "")
    )
