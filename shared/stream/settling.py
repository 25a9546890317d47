"""`Settler`: brings settings into effect, at the same record however often a partition is read.

A change that comes while trades flow takes effect at a commit: after what was judged until then, before what
comes next. What is read again changes its settings where its timeline says.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import structlog

from shared import topics
from shared.metrics import gauge
from shared.stream.broker import Producer
from shared.stream.eviction import EvictionPolicy
from shared.stream.restore import PartitionState
from shared.stream.settings_feed import Refusal, SettingsFeed
from shared.stream.step import OutputEvent, Step
from shared.stream.timeline import TIMELINE_KEY, Change, Configs

_POLL_S: Final = 0.5
_log = structlog.get_logger()


class Settler:
    """Applies settings to the markets of a process's partitions.

    Args:
        step: that judges by them.
        feed: where new ones come from; None: they never change.
        eviction: when markets are forgotten.
        is_atomic: what is written becomes visible together with the input offsets.
    """

    def __init__(
        self, step: Step, feed: SettingsFeed | None, *, eviction: EvictionPolicy, is_atomic: bool
    ) -> None:
        self._eviction = eviction
        self._is_atomic = is_atomic
        self._step = step
        self._feed = feed
        self._next_poll_s = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether all settings there are have been read."""
        return self._feed is None or self._feed.is_open

    @property
    def _latest(self) -> Configs:
        return self._feed.configs if self._feed else ()

    def poll(self, now_s: float) -> list[Refusal]:
        """Look for new settings from time to time; return records that are none.

        Raises:
            BrokerRetriableError: the broker is unreachable for now.
        """
        if self._feed is None or now_s < self._next_poll_s:
            return []
        self._next_poll_s = now_s + _POLL_S if self._feed.is_open else now_s
        refusals = self._feed.poll()
        gauge("tapewatch_settings_version").set(self._feed.version)
        return refusals

    def is_due(self, states: Mapping[int, PartitionState]) -> bool:
        """Return whether a commit would bring settings into effect."""
        return any(self._is_behind(state) for state in states.values())

    def settle(self, states: Mapping[int, PartitionState]) -> list[OutputEvent]:
        """Bring the latest settings into effect where each partition stands; return what that ended."""
        events: list[OutputEvent] = []
        for number, state in states.items():
            if not self._is_behind(state):
                continue
            events += self.catch_up(state, state.timeline.due(state.position))
            change = state.timeline.change(state.position, self._latest)
            events += self._apply(state, change, list(state.traded_us))
            _log.info("settings_changed", partition=number, offset=state.position, version=self._version)
        return events

    def _is_behind(self, state: PartitionState) -> bool:
        timeline = state.timeline
        if self._feed is None or timeline.current is self._latest or state.is_replaying:
            return False
        if not self._is_atomic and state.position < state.end_at_start:
            # Somebody may have told, without a commit, what these records hold: it is told again as it was.
            return False
        if any(offset > state.position for offset in timeline.offsets_ahead()):
            # Somebody has set the group's offset back: what was judged then is judged again as it was.
            return False
        if timeline.current != self._latest:
            return True
        timeline.current = self._latest
        return False

    @property
    def _version(self) -> int:
        return self._feed.version if self._feed else 0

    def catch_up(self, state: PartitionState, changes: Iterable[Change]) -> list[OutputEvent]:
        """Repeat changes of the past for the markets whose snapshots do not contain them.

        What they ended was published with them, or, if that is not one transaction, before anything after
        them was committed; it is returned where that may not have come to be.
        """
        events: list[OutputEvent] = []
        for change in changes:
            behind = [s for s in state.traded_us if state.contained.get(s, 0) <= change.offset]
            ended = self._apply(state, change, behind)
            if not self._is_atomic and change.offset >= state.committed:
                events += ended
        return events

    def _apply(self, state: PartitionState, change: Change, symbols: Iterable[str]) -> list[OutputEvent]:
        events: list[OutputEvent] = []
        for symbol in symbols:
            if self._eviction.is_gone(state, symbol):
                # It begins anew if it ever trades again, whether or not its memory has been given back.
                continue
            configured = self._step.configure(symbol, change.configs)
            events += configured.events
            if configured.has_changed:
                state.changed(symbol)
        return events

    @staticmethod
    def write(producer: Producer, states: Mapping[int, PartitionState]) -> None:
        """Queue the timelines that have changed; they must come before the snapshots made under them.

        Raises:
            BrokerError: an earlier record could not be delivered.
        """
        for number, state in states.items():
            if state.timeline.is_unsaved:
                value = state.timeline.encode(resume_offset=state.resume_offset)
                producer.produce(topics.SNAPSHOTS, value, key=TIMELINE_KEY, partition=number)
                state.timeline.is_unsaved = False

    def close(self) -> None:
        """Release the feed's connection."""
        if self._feed is not None:
            self._feed.close()
