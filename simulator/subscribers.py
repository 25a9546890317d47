"""A client's connection, as the exchange sees it."""

from typing import Protocol

from simulator.faults import FrameFaults
from simulator.venue import Session, Venue


class Link(Protocol):
    """The way to one client."""

    def write(self, payloads: list[bytes]) -> None:
        """Send text frames, in order, without waiting."""
        ...

    def unsent_bytes(self) -> int:
        """Return what the client has not taken yet."""
        ...

    def close(self) -> None:
        """Say goodbye and close."""
        ...

    def cut(self) -> None:
        """Break the connection without a word; what is unsent is lost."""
        ...


class Subscriber:
    """One connection, as the exchange sees it."""

    def __init__(
        self, *, venue: Venue, session: Session, link: Link, faults: FrameFaults, opened_us: int
    ) -> None:
        self.venue = venue
        self.session = session
        self.link = link
        self.faults = faults
        self.opened_us = opened_us
        self.close_at_us: int | None = None
        self.slow_since_us: int | None = None
