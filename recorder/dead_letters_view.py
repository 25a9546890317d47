"""Dead letters as people read them; they hold anything, so nothing unprintable is let out to the terminal."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recorder.dead_letters import Listing, Outcome, StoredLetter
from recorder.times import shown_time

_FIRST_BYTES: Final = 48
_HEX_BYTES_PER_LINE: Final = 16


def show_list(listing: Listing, console: Console) -> None:
    """Print the newest dead letters, oldest first, and how many there are."""
    if listing.newest:
        table = Table()
        table.add_column("offset", justify="right")
        for name in ("time (UTC)", "source", "reason"):
            table.add_column(name, overflow="fold")
        table.add_column("first bytes", no_wrap=True)
        for offset, letter in listing.newest:
            start = printable(letter.payload[:_FIRST_BYTES])
            cells = (
                str(offset),
                shown_time(letter.time_us),
                _safe(letter.source),
                _safe(letter.reason),
                start,
            )
            # As text: what looks like markup is the record's own.
            table.add_row(*(Text(cell) for cell in cells))
        console.print(table)
    _line(console, f"{len(listing.newest):,} of {listing.total:,} dead letters")


def show_letter(stored: StoredLetter, console: Console) -> None:
    """Print everything about one dead letter."""
    letter = stored.letter
    where = "" if letter.partition < 0 else f", partition {letter.partition}, offset {letter.offset}"
    _line(console, f"dead letter   {stored.offset}")
    _line(console, f"time          {shown_time(letter.time_us)} UTC")
    _line(console, f"source        {_safe(letter.source)}{where}")
    _line(console, f"reason        {_safe(letter.reason)}")
    _line(console, f"set aside by  {_safe(letter.reader) or '(a producer)'}")
    _line(console, f"key           {printable(letter.key) or '(none)'}")
    missing = f", {letter.cut_bytes:,} more are missing here" if letter.cut_bytes else ""
    _line(console, f"payload       {len(letter.payload):,} bytes{missing}")
    for line in _payload(letter.payload):
        _line(console, f"  {line}")


def show_outcomes(outcomes: Sequence[Outcome], console: Console) -> None:
    """Print what became of each replay."""
    for outcome in outcomes:
        if outcome.refusal:
            _line(console, f"{outcome.offset}: not replayed: {_safe(outcome.refusal)}")
            continue
        what = f"{outcome.size_bytes:,} bytes with key {printable(outcome.key) or '(none)'}"
        why = f", although {_safe(outcome.still_invalid)}" if outcome.still_invalid else ""
        _line(console, f"{outcome.offset}: replayed to {outcome.topic}: {what}{why}")
    replayed = sum(not outcome.refusal for outcome in outcomes)
    _line(console, f"{replayed:,} replayed, {len(outcomes) - replayed:,} refused")


def printable(data: bytes) -> str:
    """Return bytes in one line: printable ASCII as it is, all else (and the backslash) escaped."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}" for byte in data)


def hex_lines(data: bytes) -> Iterator[str]:
    """Yield lines of offset, bytes in hexadecimal, and what of them is printable."""
    for start in range(0, len(data), _HEX_BYTES_PER_LINE):
        part = data[start : start + _HEX_BYTES_PER_LINE]
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        yield f"{start:08x}  {part.hex(' '):<47}  {shown}"


def _payload(payload: bytes) -> Iterator[str]:
    try:
        lines = payload.decode().split("\n")
    except UnicodeDecodeError:
        yield from hex_lines(payload)
        return
    if all(line.replace("\t", "").isprintable() for line in lines):
        yield from lines
    else:
        yield from hex_lines(payload)


def _safe(text: str) -> str:
    return text if text.isprintable() else printable(text.encode(errors="backslashreplace"))


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)
