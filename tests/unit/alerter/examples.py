"""Anomalies, channels and time for the alerter's tests."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from alerter.notification import Notification
from alerter.rules.model import RouteRule, RulesFile
from alerter.rules.tree import Rules
from alerter.sender import Pause, Sender
from shared.clock import Clock, ManualClock
from shared.errors import DeliveryError
from shared.events import Anomaly, Episode, EpisodePhase, Severity, Window

EVENT_US = 1_790_000_000_123_456
_DEADLINE_S = 20.0


def anomaly(
    anomaly_id: str = "a1",
    *,
    symbol: str = "BTC-USDT",
    exchange: str = "binance",
    kind: str = "whale",
    severity: Severity = Severity.HIGH,
    phase: EpisodePhase = EpisodePhase.OPENED,
    episode_id: str | None = None,
    reason: str = "A single trade of 1,250,000 USDT, 40 times the median.",
    rarity: float | None = 1e-6,
    price: float = 64_231.5,
    contributions: Mapping[str, float] | None = None,
) -> Anomaly:
    """Return an anomaly; one that opens an episode gives it its id."""
    return Anomaly(
        anomaly_id=anomaly_id,
        symbol=symbol,
        exchange=exchange,
        kind=kind,
        detector=kind,
        fingerprint="f" * 20,
        severity=severity,
        score=12.5,
        rarity=rarity,
        threshold=1e-5,
        event_time_us=EVENT_US,
        trade_id=4_711,
        price=price,
        window=Window(start_us=EVENT_US - 10_000_000, end_us=EVENT_US),
        features={"notional": 1_250_000.0},
        contributions=dict({"notional": 0.7, "rush": 0.3} if contributions is None else contributions),
        reason=reason,
        episode=Episode(
            episode_id=episode_id or anomaly_id,
            phase=phase,
            opened_us=EVENT_US,
            last_us=EVENT_US,
            trades=1,
            peak_score=12.5,
            peak_rarity=1e-6 if rarity is None else min(max(rarity, 0.0), 1.0),
        ),
    )


def notification(*args: str, **kwargs: Any) -> Notification:  # noqa: ANN401 - those of `anomaly`
    """Return the notification of a single anomaly."""
    return Notification.of(anomaly(*args, **kwargs), channels=("chat",), now_us=EVENT_US)


def plain_rules(*channels: str, min_severity: Severity = Severity.MEDIUM, cooldown_s: float = 300) -> Rules:
    """Return rules without escalation, inhibition and floods: each market is told on every channel."""
    file = RulesFile(min_severity=min_severity, route=RouteRule(repeat_interval=0))
    return Rules(file.overridden(min_severity=None, cooldown_s=cooldown_s), channels=channels)


@dataclass
class RecordingChannel:
    """A channel in memory.

    Attributes:
        name: in the outbox.
        clock: the time.
        min_interval_s: between two messages.
        failures: raised by the next attempts, one each.
        hold: while it is set, attempts wait.
        sent: what was taken: anomaly and time in seconds.
        attempted: anomaly ids, in order.
        told: words about the system.
        edits: whether it changes messages that are there.
        threads: references that came with the attempts.
    """

    name: str
    clock: Clock
    min_interval_s: float = 0.0
    failures: list[DeliveryError] = field(default_factory=list)
    hold: asyncio.Event | None = None
    sent: list[tuple[str, float]] = field(default_factory=list)
    attempted: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    is_closed: bool = False
    edits: bool = False
    threads: list[str] = field(default_factory=list)

    async def send(self, notification: Notification, *, thread_ref: str) -> str:
        """Take the notification, or fail as told."""
        self.threads.append(thread_ref)
        anomaly = notification.anomaly
        self.attempted.append(anomaly.anomaly_id)
        if self.hold is not None:
            await self.hold.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append((anomaly.anomaly_id, self.clock.monotonic_s()))
        return f"ref-{len(self.sent)}"

    async def tell(self, text: str) -> None:
        """Take a word about the system, or fail as told."""
        if self.failures:
            raise self.failures.pop(0)
        self.told.append(text)

    async def close(self) -> None:
        """Note it."""
        self.is_closed = True

    def ids(self) -> list[str]:
        """Return what was taken."""
        return [anomaly_id for anomaly_id, _ in self.sent]


def advancing(clock: ManualClock) -> Pause:
    """Return a way to wait that moves the clock instead."""

    async def wait(signal: asyncio.Event, seconds: float) -> None:
        if not signal.is_set():
            clock.advance(seconds=seconds)
        await asyncio.sleep(0)

    return wait


async def until(is_true: Callable[[], bool]) -> None:
    """Return when a condition holds; it may be about a server's thread or the store, so it is polled.

    Raises:
        AssertionError: it did not come true within the deadline.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _DEADLINE_S
    while not is_true():
        assert loop.time() < deadline, "the deadline has passed"
        await asyncio.sleep(0.002)


async def run_until(sender: Sender, is_done: Callable[[], bool]) -> None:
    """Run a sender until a condition holds, then stop it in order.

    Raises:
        AssertionError: the condition did not come true within the deadline.
    """
    running = asyncio.create_task(sender.run())
    await until(lambda: is_done() or running.done())
    sender.stop()
    await running
    assert is_done(), "the sender ended too early"
