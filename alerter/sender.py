"""Empties the outbox: one task per channel, each at its own pace, in its own order.

A channel's oldest notification is tried until the channel takes or refuses it, and those behind it wait, so
people read things in the order in which they happened, and `Retry-After` holds for the whole channel. Other
channels notice nothing. Waits between attempts double from `backoff_first_s` to `backoff_max_s`, unless the
channel itself says how long; they are in the store, so a restart does not shorten them. There is no last
attempt: what a channel does not refuse stays pending until it gets through.

A channel that is dead (`deaths.py`) holds up nobody: what it refuses is written down as refused, and the
other channels say so once.

An answer that is lost on its way looks like a failure, so that message is sent again; see `outbox.py` for the
only other case of a repetition. What may be one says so.

Several alerters keep a channel's pace together: each looks in the store when the channel took something last.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec
import structlog

from alerter.channels.channel import Channel
from alerter.deaths import Deaths
from alerter.notification import Notification
from alerter.outbox import Delivery, NotYet, Outbox
from alerter.tally import Tally
from shared.clock import MICROSECONDS_PER_SECOND, Clock
from shared.errors import (
    ChannelDeadError,
    DeliveryError,
    DeliveryRefusedError,
    DeliveryRetriableError,
    StoreUnavailableError,
)
from shared.metrics import histogram
from shared.stream.retry import Backoff

# Notifications already sent are written down even during a stop, but not for ever.
_RECORD_ATTEMPTS_WHEN_STOPPING: Final = 3
_NOTICE_ATTEMPTS: Final = 3
SENT_AGAIN: Final = "sent again, as nobody noted whether it arrived"
_log = structlog.get_logger()


class Pause(Protocol):
    """Waits."""

    async def __call__(self, signal: asyncio.Event, seconds: float) -> None:
        """Return when the signal is set or the time is over, whichever comes first."""
        ...


async def pause(signal: asyncio.Event, seconds: float) -> None:
    """Wait by the event loop's clock."""
    try:
        async with asyncio.timeout(seconds):
            await signal.wait()
    except TimeoutError:
        return


@dataclass(frozen=True, kw_only=True)
class SenderParams:
    """How notifications are sent.

    Attributes:
        send_timeout_s: most time for one attempt.
        lease_s: for how long a claimed notification is its claimant's; after a crash it waits that long.
        idle_poll_s: how often the outbox is looked at when nobody says that there is something new.
        backoff_first_s: wait after the first failed attempt.
        backoff_max_s: longest wait between two attempts.
    """

    send_timeout_s: float = 12.0
    lease_s: float = 15.0
    idle_poll_s: float = 2.0
    backoff_first_s: float = 1.0
    backoff_max_s: float = 60.0

    def __post_init__(self) -> None:
        if self.lease_s <= self.send_timeout_s:
            raise ValueError(
                f"lease_s {self.lease_s} must be longer than send_timeout_s {self.send_timeout_s}"
            )

    def backoff_s(self, attempts: int) -> float:
        """Return the wait after so many failed attempts."""
        doublings = min(attempts - 1, 30)
        return float(min(self.backoff_max_s, self.backoff_first_s * 2**doublings))


def _as_sent(delivery: Delivery) -> Notification:
    """Return a notification, which says when people may know it already."""
    notification = delivery.notification
    if not (delivery.may_repeat and notification.rings):
        return notification
    note = "; ".join(filter(None, [notification.note, SENT_AGAIN]))
    return msgspec.structs.replace(notification, note=note)


@dataclass
class _Lane:
    """A channel and what its task must remember."""

    channel: Channel
    signal: asyncio.Event = field(default_factory=asyncio.Event)
    ready_s: float = 0.0
    notice_attempts: int = 0
    store_backoff: Backoff = field(default_factory=Backoff)


class Sender:
    """Sends what the outbox holds.

    Args:
        outbox: what is to be sent.
        channels: where to; their names must differ.
        params: how.
        clock: the time.
        on_sent: called in the sender's thread for each notification that a channel took, with the time.
        waiting: how to wait; a test advances its clock instead.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        channels: Sequence[Channel],
        params: SenderParams,
        clock: Clock,
        on_sent: Callable[[Delivery, int], None] = lambda _delivery, _now_us: None,
        waiting: Pause = pause,
    ) -> None:
        self._outbox = outbox
        self._lanes = [_Lane(channel) for channel in channels]
        self._params = params
        self._clock = clock
        self._on_sent = on_sent
        self._pause = waiting
        self._is_stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self.tally = Tally()
        self._deaths = Deaths(channel.name for channel in channels)

    async def run(self) -> None:
        """Send until `stop`; what is in flight then is finished and written down.

        Raises:
            StoreError: the store reported an error that will not pass.
        """
        with self._lock:
            self._loop = asyncio.get_running_loop()
        try:
            others = await asyncio.to_thread(
                self._outbox.refuse_others, [lane.channel.name for lane in self._lanes]
            )
            if others:
                _log.warning("deliveries_refused", count=others, reason="channels no longer configured")
            async with asyncio.TaskGroup() as tasks:
                for lane in self._lanes:
                    tasks.create_task(self._serve(lane), name=lane.channel.name)
        except ExceptionGroup as group:
            # The first to fail has ended the others.
            raise group.exceptions[0] from group
        finally:
            with self._lock:
                self._loop = None
            for lane in self._lanes:
                await lane.channel.close()

    def stop(self) -> None:
        """Ask `run` to return soon. From any thread."""
        self._is_stopping = True
        self.wake()

    def wake(self) -> None:
        """Say that the outbox has something new. From any thread."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._signal_all)

    def _signal_all(self) -> None:
        for lane in self._lanes:
            lane.signal.set()

    async def _serve(self, lane: _Lane) -> None:
        while not self._is_stopping:
            # Cleared before looking, so that what comes while we look is not slept over.
            lane.signal.clear()
            wait_s = await self._step(lane)
            if wait_s > 0 and not self._is_stopping:
                await self._pause(lane.signal, wait_s)

    async def _step(self, lane: _Lane) -> float:
        """Try the oldest notification of a channel; return how long to wait before the next look."""
        early_s = lane.ready_s - self._clock.monotonic_s()
        if early_s > 0:
            return early_s
        if (text := self._deaths.to_say(lane.channel.name)) is not None:
            await self._tell(lane, text)
            return 0.0
        try:
            claimed = await asyncio.to_thread(
                self._outbox.claim,
                lane.channel.name,
                now_us=self._clock.now_us(),
                lease_s=self._params.lease_s,
                min_interval_s=lane.channel.min_interval_s,
            )
        except StoreUnavailableError as error:
            return self._store_wait_s(lane, error)
        lane.store_backoff.reset()
        match claimed:
            case None:
                return self._params.idle_poll_s
            case NotYet(until_us=until_us):
                wait_s = (until_us - self._clock.now_us()) / MICROSECONDS_PER_SECOND
                # Not longer than that in one piece: the clock may be set meanwhile.
                return min(max(wait_s, 0.001), self._params.backoff_max_s)
            case Delivery() as delivery:
                await self._deliver(lane, delivery)
                return 0.0

    async def _deliver(self, lane: _Lane, delivery: Delivery) -> None:
        if not delivery.notification.rings and not lane.channel.edits:
            skip = "the channel cannot change a message"
            await self._record(lane, lambda: self._outbox.mark_skipped(delivery, reason=skip))
            return
        try:
            message_ref = await self._attempt(lane, delivery)
        except DeliveryRetriableError as error:
            await self._failed(lane, delivery, error)
        except DeliveryRefusedError as error:
            await self._refused(lane, delivery, error)
        else:
            await self._sent(lane, delivery, message_ref)

    async def _tell(self, lane: _Lane, text: str) -> None:
        """Say something about another channel; after some attempts not any more, as alerts wait behind it."""
        name = lane.channel.name
        lane.ready_s = self._clock.monotonic_s() + lane.channel.min_interval_s
        try:
            async with asyncio.timeout(self._params.send_timeout_s):
                await lane.channel.tell(text)
        except (DeliveryError, TimeoutError) as error:
            lane.notice_attempts += 1
            if isinstance(error, DeliveryRefusedError) or lane.notice_attempts >= _NOTICE_ATTEMPTS:
                _log.error("notice_given_up", channel=name, detail=str(error), notice=text)
            else:
                lane.ready_s += self._params.backoff_s(lane.notice_attempts)
                return
        lane.notice_attempts = 0
        self._deaths.said(name)

    async def _attempt(self, lane: _Lane, delivery: Delivery) -> str:
        name, started_s = lane.channel.name, self._clock.monotonic_s()
        try:
            async with asyncio.timeout(self._params.send_timeout_s):
                return await lane.channel.send(_as_sent(delivery), thread_ref=delivery.thread_ref)
        except TimeoutError:
            detail = f"no answer within {self._params.send_timeout_s:g} s"
            raise DeliveryRetriableError(name, detail=detail, may_have_arrived=True) from None
        finally:
            # The pace counts from the answer, for only then the message has certainly arrived.
            answered_s = self._clock.monotonic_s()
            lane.ready_s = answered_s + lane.channel.min_interval_s
            histogram("tapewatch_delivery_seconds").labels(channel=name).observe(answered_s - started_s)

    async def _sent(self, lane: _Lane, delivery: Delivery, message_ref: str) -> None:
        now_us = self._clock.now_us()
        await self._record(
            lane, lambda: self._outbox.mark_sent(delivery, message_ref=message_ref, now_us=now_us)
        )
        self.tally.sent(delivery.channel, latency_ms=(now_us - delivery.created_us) / 1_000)
        self._deaths.took(delivery.channel)
        self._on_sent(delivery, now_us)

    async def _failed(self, lane: _Lane, delivery: Delivery, error: DeliveryRetriableError) -> None:
        wait_s = error.retry_after_s
        if wait_s is None:
            wait_s = self._params.backoff_s(delivery.attempts)
        due_us = self._clock.now_us() + round(wait_s * MICROSECONDS_PER_SECOND)
        _log.warning(
            "delivery_failed",
            channel=error.channel,
            notification_id=delivery.notification.notification_id,
            attempts=delivery.attempts,
            detail=error.detail,
            retry_in_s=wait_s,
        )
        self.tally.failed(delivery.channel, error.detail)
        await self._record(
            lane,
            lambda: self._outbox.mark_failed(
                delivery,
                reason=error.detail,
                next_attempt_us=due_us,
                may_have_arrived=error.may_have_arrived,
            ),
        )

    async def _refused(self, lane: _Lane, delivery: Delivery, error: DeliveryRefusedError) -> None:
        _log.error(
            "delivery_refused",
            channel=error.channel,
            notification_id=delivery.notification.notification_id,
            detail=error.detail,
        )
        self.tally.refused(delivery.channel, error.detail)
        if isinstance(error, ChannelDeadError):
            self._deaths.died(delivery.channel, error.detail)
            self._signal_all()
        await self._record(lane, lambda: self._outbox.mark_refused(delivery, reason=error.detail))

    async def _record(self, lane: _Lane, write: Callable[[], None]) -> None:
        """Write an outcome down; while the store is away, keep trying that, and do not send again."""
        attempts = 0
        while True:
            try:
                await asyncio.to_thread(write)
            except StoreUnavailableError as error:
                attempts += 1
                if self._is_stopping and attempts >= _RECORD_ATTEMPTS_WHEN_STOPPING:
                    raise
                await self._pause(asyncio.Event(), self._store_wait_s(lane, error))
            else:
                lane.store_backoff.reset()
                return

    def _store_wait_s(self, lane: _Lane, error: StoreUnavailableError) -> float:
        wait_s = lane.store_backoff.next_s()
        _log.warning(
            "store_unavailable", channel=lane.channel.name, detail=str(error), retry_in_s=round(wait_s, 2)
        )
        return wait_s
