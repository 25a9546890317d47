"""Labelled events, alarms, and when markets were recorded: what is matched."""

from enum import StrEnum
from typing import Final, NamedTuple

ANY_KIND: Final = "any"


class Label(StrEnum):
    """What a line of the truth says about a time."""

    EVENT = "event"
    NEGATIVE = "negative"
    UNLABELLED = "unlabelled"


class Truth(NamedTuple):
    """What is known about a market at a time.

    Attributes:
        kind: of the event.
        symbol: market.
        start_us: when it begins.
        end_us: when it ends; None where that is not known.
        exchange: venue; empty: all.
        label: an event; a negative (something that must not be taken for one); or a time without labels.
        name: how people call it; may be empty.
        needs_quotes: whether it shows in quotes alone.
    """

    kind: str
    symbol: str
    start_us: int
    end_us: int | None = None
    exchange: str = ""
    label: Label = Label.EVENT
    name: str = ""
    needs_quotes: bool = False


class Alarm(NamedTuple):
    """The opening of an episode.

    Attributes:
        kind: of the anomaly; `any` where it has none.
        exchange: venue.
        symbol: market.
        time_us: event time at which it was told.
        until_us: event time of the last that was told of the episode.
        reason: why, in words.
    """

    kind: str
    exchange: str
    symbol: str
    time_us: int
    until_us: int = 0
    reason: str = ""


class Span(NamedTuple):
    """A time, its end not included."""

    start_us: int
    end_us: int


class Watch(NamedTuple):
    """What is recorded of a market on a venue.

    Attributes:
        exchange: venue.
        symbol: market.
        spans: in order and apart; it begins anew at each.
        quoted: from the first of its quotes to the last, where some are recorded.
    """

    exchange: str
    symbol: str
    spans: tuple[Span, ...]
    quoted: Span | None = None
