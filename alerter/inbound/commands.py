"""The words that people type (pure): a line in, what is wanted out, or a sentence that says how to write it.

status                                   how the alerter is
alerts                                   what fires
silence market=BTC-USDT 2h some reason   nothing of this market for two hours
silence                                  the silences that there are
silence off ID                           ends one
mute 30m, mute off                       nothing at all for half an hour; everything again
help
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import ValidationError

from alerter.rules.matching import match_of
from alerter.rules.times import microseconds
from shared.clock import MICROSECONDS_PER_DAY

HELP: Final = """\
status - how the alerter and its channels are
alerts - what fires now
silence market=BTC-USDT kind=whale 2h because ... - tell nothing of that for two hours
silence - the silences that there are
silence off ID - end one
mute 30m - tell nothing at all for half an hour
mute off - end that
Labels of a silence: market, kind, exchange, severity; * stands for any text, ! in front for not."""
LONGEST_US: Final = 30 * MICROSECONDS_PER_DAY
MUTE: Final[Mapping[str, list[str]]] = {"market": ["*"]}

_LONGEST_LINE: Final = 500
_OFF: Final = "off"


@dataclass(frozen=True, kw_only=True)
class Status:
    """How the alerter is."""


@dataclass(frozen=True, kw_only=True)
class Alerts:
    """What fires."""


@dataclass(frozen=True, kw_only=True)
class Silences:
    """Which silences there are."""


@dataclass(frozen=True, kw_only=True)
class Silence:
    """Tell nothing of some alerts for a time.

    Attributes:
        matchers: patterns by label.
        duration_us: how long.
        comment: why.
    """

    matchers: Mapping[str, list[str]] = field(default_factory=dict)
    duration_us: int
    comment: str = ""


@dataclass(frozen=True, kw_only=True)
class Unsilence:
    """End a silence; those of everything when there is no id."""

    silence_id: str


@dataclass(frozen=True, kw_only=True)
class Help:
    """Say what can be said.

    Attributes:
        fault: what was wrong with the words; empty when nothing was.
    """

    fault: str = ""


Wish = Status | Alerts | Silences | Silence | Unsilence | Help


def parse(line: str) -> Wish:
    """Return what a line asks for.

    Args:
        line: with or without the slash in front; `/status@some_bot` is the same as `status`.
    """
    words = line[:_LONGEST_LINE].split()
    name = words[0].removeprefix("/").partition("@")[0].lower() if words else ""
    rest = words[1:]
    match name:
        case "status":
            return Status()
        case "alerts":
            return Alerts()
        case "silence":
            return _silence(rest)
        case "mute":
            return _mute(rest)
        case "" | "help" | "start":
            return Help()
    return Help(fault=f"{name[:32]} is nothing that I know.")


def _silence(words: list[str]) -> Wish:
    if not words:
        return Silences()
    if words[0].lower() == _OFF:
        return Unsilence(silence_id=words[1]) if len(words) == 2 else Help(fault="Write: silence off ID")
    matchers: dict[str, list[str]] = {}
    while words and "=" in words[0]:
        label, _, patterns = words.pop(0).partition("=")
        matchers[label.lower()] = [pattern for pattern in patterns.split(",") if pattern]
    if not matchers:
        return Help(fault="Say what is to be silent: silence market=BTC-USDT 2h")
    try:
        match_of(matchers)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        label = str(first["loc"][0]) if first["loc"] else "labels"
        return Help(fault=f"{label[:32]}: {first['msg'].removeprefix('Value error, ')}.")
    return _timed(matchers, words)


def _mute(words: list[str]) -> Wish:
    if [word.lower() for word in words] == [_OFF]:
        return Unsilence(silence_id="")
    return _timed(dict(MUTE), words)


def _timed(matchers: Mapping[str, list[str]], words: list[str]) -> Wish:
    if not words:
        return Help(fault="Say for how long: 30m, 2h or 1d.")
    try:
        duration_us = microseconds(words[0])
    except ValueError as error:
        return Help(fault=f"{error}.")
    if not 0 < duration_us <= LONGEST_US:
        return Help(fault="A silence lasts 30 days at most.")
    return Silence(matchers=matchers, duration_us=duration_us, comment=" ".join(words[1:]))
