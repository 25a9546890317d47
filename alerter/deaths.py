"""Channels that take nothing any more, and what the others are told about them.

A channel is dead from the first refusal that no later attempt can mend (a revoked token, an unknown chat)
until it takes something again. Each change is told on every other channel, once. That is kept in memory:
after a restart a channel that is still dead is told of again, at its first refusal.
"""

from collections import deque
from collections.abc import Iterable

from shared.metrics import gauge


class Deaths:
    """Which channels are dead, and what is still to be said about that, where.

    Args:
        channels: names of all.
    """

    def __init__(self, channels: Iterable[str]) -> None:
        self._said: dict[str, deque[str]] = {name: deque() for name in channels}
        self._dead: set[str] = set()
        for name in self._said:
            gauge("tapewatch_channel_up").labels(channel=name).set(1)

    def died(self, channel: str, detail: str) -> None:
        """Note that a channel takes nothing."""
        if channel not in self._dead:
            self._dead.add(channel)
            gauge("tapewatch_channel_up").labels(channel=channel).set(0)
            self._say(channel, f"Tapewatch: alerts do not reach {channel} any more: {detail}")

    def took(self, channel: str) -> None:
        """Note that a channel took something."""
        if channel in self._dead:
            self._dead.remove(channel)
            gauge("tapewatch_channel_up").labels(channel=channel).set(1)
            self._say(channel, f"Tapewatch: alerts reach {channel} again.")

    def to_say(self, channel: str) -> str | None:
        """Return what is to be said on a channel next, if anything is."""
        return self._said[channel][0] if self._said[channel] else None

    def said(self, channel: str) -> None:
        """Note that it was said, or that it cannot be."""
        self._said[channel].popleft()

    def _say(self, about: str, text: str) -> None:
        for name, waiting in self._said.items():
            if name != about and name not in self._dead:
                waiting.append(text)
