"""Joins the parts: anomalies and commands into the outbox, notifications and events out of it.

Two threads share the store and nothing else: the worker's own reads Kafka, decides and publishes, the
sender's waits for the channels. What happens to an alert is an event on `alerts`; it waits in the outbox
until it is there, so it is published at least once and a repetition is equal to the byte. That a channel took
a notification is published afterwards and from memory: a crash can lose that event, never the notification
or its row.
"""

import asyncio
import queue
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from alerter.channels.channel import Channel
from alerter.inbound.service import Inbound, InboundParams
from alerter.outbox import Delivery, Outbox
from alerter.pictures import Pictures
from alerter.rules.file import DEFAULT, WatchedRules, load
from alerter.rules.model import RulesFile
from alerter.rules.tree import Rules
from alerter.sender import Sender, SenderParams
from alerter.tally import Tally
from alerter.tape import Tape
from shared import topics
from shared.clock import Clock
from shared.codec import encode
from shared.errors import BrokerRetriableError, ConfigError, StoreUnavailableError
from shared.events import Alert, AlertCommand, AlertState, Anomaly, EpisodePhase
from shared.metrics import Health, counter, gauge
from shared.status import StatusReporter
from shared.store.database import Database
from shared.stream.broker import Broker, Producer
from shared.stream.sink import SinkParams, SinkRunner
from shared.stream.tail import Received

WORKER: Final = "alerter"
GROUP: Final = "alerter"
TOPICS: Final = (topics.ANOMALIES, topics.ALERT_COMMANDS)

_FLUSH_S: Final = 30.0
# How exact times of the life cycle are, and how soon changed rules count.
_LOOK_S: Final = 1.0
_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class AlerterParams:
    """How an alerter works.

    Attributes:
        instance: this process, in its signs of life.
        rules: what people want to hear, as the file says it.
        watched: the file, if it may change while the alerter runs; its rules count instead of `rules`.
        sender: how notifications are sent.
        sink: how anomalies are read.
        inbound: whom we listen to.
    """

    instance: str = "1"
    rules: RulesFile = field(default_factory=lambda: load(DEFAULT))
    watched: WatchedRules | None = None
    sender: SenderParams = field(default_factory=SenderParams)
    sink: SinkParams = field(default_factory=SinkParams)
    inbound: InboundParams = field(default_factory=InboundParams)


def run(
    *,
    broker: Broker,
    database: Database,
    channels: Sequence[Channel],
    params: AlerterParams,
    clock: Clock,
    health: Health,
    stop: threading.Event,
    pictures: Pictures | None = None,
) -> None:
    """Tell people about anomalies until `stop` is set.

    Args:
        broker: with its topics made.
        database: migrated.
        channels: where people are told; closed on return.
        params: how.
        clock: the time.
        health: beaten as long as Kafka is read.
        stop: set it to return; what is in flight is finished.
        pictures: draws alerts; by default from the store and the broker.

    Raises:
        BrokerError: Kafka reported an error that will not pass.
        StoreError: the store did.
        DeadLetterLimitError: too many invalid records.
    """
    sent: queue.SimpleQueue[tuple[Delivery, int]] = queue.SimpleQueue()
    names = tuple(channel.name for channel in channels)
    feed = RulesFeed(params, channels=names)
    outbox = Outbox(database, rules=feed.rules)
    sender = Sender(
        outbox=outbox,
        channels=channels,
        params=params.sender,
        clock=clock,
        on_sent=lambda delivery, sent_us: sent.put((delivery, sent_us)),
    )
    producer = broker.producer()
    sending = SenderThread(sender)
    inbound = Inbound(
        params.inbound,
        broker=broker,
        database=database,
        pictures=pictures or Pictures(Tape(database, broker, clock=clock), clock),
        status=lambda: status_lines(sender.tally, outbox.pending(), inbound.faults()),
        instance=params.instance,
        clock=clock,
    )
    sink = AlerterSink(
        outbox=outbox,
        sender=sending,
        sent=sent,
        feed=feed,
        inbound=inbound,
        producer=producer,
        status=StatusReporter(producer, worker=WORKER, instance=params.instance, clock=clock),
        clock=clock,
    )
    runner = SinkRunner(
        broker=broker,
        sink=sink,
        group=GROUP,
        topic_names=TOPICS,
        params=params.sink,
        clock=clock,
        health=health,
    )
    sink.start()
    inbound.start()
    try:
        runner.run(stop)
    finally:
        # Whatever happened: a thread that goes on would keep the process alive.
        inbound.stop()
        sending.stop()
    # It may have failed after the last look, while everything was being stopped.
    sending.check()


class SenderThread:
    """Runs a sender's event loop in a thread of its own, beside the one that reads Kafka."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sender")

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def check(self) -> None:
        """Raise what has ended the sender, if anything has."""
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Stop, and wait until what is in flight is written down."""
        self.sender.stop()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self.sender.run())
        except Exception as error:  # noqa: BLE001 - raised again by `check`, in the worker's own thread
            self._error = error


class RulesFeed:
    """The rules in force, and new ones when their file has changed.

    Args:
        params: what is in force at first.
        channels: names of those that are set up.
    """

    def __init__(self, params: AlerterParams, *, channels: Sequence[str]) -> None:
        self._watched = params.watched
        self._channels = channels
        self.fault = ""
        self.rules = Rules(params.watched.file if params.watched else params.rules, channels=channels)

    def changed(self) -> Rules | None:
        """Return new rules, if there are any; a file with a fault changes nothing but `fault`."""
        try:
            file = self._watched.changed() if self._watched is not None else None
        except ConfigError as error:
            self.fault = f"rules not taken over: {error}"
            _log.error("rules_refused", detail=str(error))
            return None
        if file is None:
            return None
        self.fault = ""
        self.rules = Rules(file, channels=self._channels)
        _log.info("rules_taken_over")
        return self.rules


class AlerterSink:
    """Takes anomalies and commands into the outbox, and publishes what becomes of alerts; a `Sink`.

    Args:
        outbox: where decisions are kept.
        sender: empties the outbox.
        sent: what the sender has delivered, put there by its `on_sent`.
        feed: the rules.
        inbound: who listens to people.
        producer: for `alerts`; closed here.
        status: signs of life.
        clock: the time.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        sender: SenderThread,
        sent: queue.SimpleQueue[tuple[Delivery, int]],
        feed: RulesFeed,
        inbound: Inbound,
        producer: Producer,
        status: StatusReporter,
        clock: Clock,
    ) -> None:
        self._outbox = outbox
        self._sender = sender
        self._sent = sent
        self._feed = feed
        self._inbound = inbound
        self._producer = producer
        self._status = status
        self._clock = clock
        self._known: set[str] = set()
        self._suppressed = 0
        self._next_look_s = 0.0

    def start(self) -> None:
        """Begin to send; what an earlier process left is sent first."""
        self._sender.start()

    def on_events(self, batch: Sequence[Received]) -> None:
        """Decide about anomalies and commands, durably, and tell the sender.

        Raises:
            StoreUnavailableError: not now; nothing of the batch was taken.
            BrokerRetriableError: the decisions are stored but could not be published.
        """
        self._sender.check()
        events = [
            received.event
            for received in batch
            # What a detector on trial finds alerts nobody, and takes nobody's turn by a cooldown.
            if isinstance(received.event, AlertCommand)
            or (isinstance(received.event, Anomaly) and not received.event.shadow)
        ]
        self._take(events)

    def on_idle(self) -> None:
        """Do what is due by the clock; publish deliveries and a sign of life.

        Raises:
            StoreError: the sender ended with it.
            BrokerError: an event could not be delivered.
        """
        self._sender.check()
        self._inbound.check()
        if self._clock.monotonic_s() >= self._next_look_s:
            self._next_look_s = self._clock.monotonic_s() + _LOOK_S
            self._look()
        self._publish_sent()
        self._producer.poll(0)
        self._report()

    def close(self) -> None:
        """Stop sending, and publish what was delivered last."""
        self._sender.stop()
        self._publish_sent()
        self._report(is_stopping=True)
        self._flush()
        self._producer.close()

    def _look(self) -> None:
        if (rules := self._feed.changed()) is not None:
            self._outbox.use(rules)
        try:
            if self._outbox.is_due(self._clock.now_us()):
                self._take([])
            else:
                self._publish_waiting()
        except StoreUnavailableError as error:
            # The next look finds the same due.
            _log.warning("store_unavailable", detail=str(error), retry_in_s=_LOOK_S)

    def _take(self, events: Sequence[Anomaly | AlertCommand]) -> None:
        alerts = self._outbox.take(events, now_us=self._clock.now_us())
        self._sender.sender.wake()
        for alert in alerts:
            if not alert.channels:
                self._suppressed += 1
                counter("tapewatch_notifications_total").labels(channel="none", outcome="suppressed").inc()
        self._publish_waiting()

    def _publish_waiting(self) -> None:
        while waiting := self._outbox.unpublished():
            for _, alert in waiting:
                self._publish(alert)
            self._flush()
            self._outbox.mark_published([identity for identity, _ in waiting], now_us=self._clock.now_us())

    def _publish_sent(self) -> None:
        while True:
            try:
                delivery, sent_us = self._sent.get_nowait()
            except queue.Empty:
                return
            self._publish(delivered(delivery, sent_us))

    def _publish(self, alert: Alert) -> None:
        self._producer.produce(topics.ALERTS, encode(alert), key=alert.symbol.encode())

    def _flush(self) -> None:
        if left := self._producer.flush(_FLUSH_S):
            raise BrokerRetriableError(
                "flush", detail=f"{left} events on {topics.ALERTS} unacknowledged after {_FLUSH_S:g} s"
            )

    def _report(self, *, is_stopping: bool = False) -> None:
        tally = self._sender.sender.tally
        faults = tally.faults()
        if self._feed.fault:
            faults["rules"] = self._feed.fault
        faults |= self._inbound.faults()
        state = "stopping" if is_stopping else "degraded" if faults else "running"
        if not self._status.is_due(state):
            return
        figures = {**tally.figures(), "suppressed_total": float(self._suppressed)}
        try:
            pending = self._outbox.pending()
        except StoreUnavailableError as error:
            faults["store"] = error.detail
        else:
            figures["pending"] = float(sum(pending.values()))
            self._show_pending(pending)
        detail = "; ".join(f"{channel}: {fault}" for channel, fault in sorted(faults.items()))
        self._status.report(figures=figures, state=state, detail=detail)

    def _show_pending(self, pending: Mapping[str, int]) -> None:
        # A channel that has nothing pending any more must fall to 0, not keep its last number.
        self._known |= pending.keys()
        for channel in self._known:
            gauge("tapewatch_notifications_pending").labels(channel=channel).set(pending.get(channel, 0))


def delivered(delivery: Delivery, sent_us: int) -> Alert:
    """Return the event of a delivery."""
    notification = delivery.notification
    anomaly = notification.anomaly
    has_closed = anomaly.episode.phase is EpisodePhase.CLOSED
    return Alert(
        alert_id=anomaly.episode.episode_id,
        anomaly_id=anomaly.anomaly_id,
        symbol=anomaly.symbol,
        kind=anomaly.kind,
        severity=anomaly.severity,
        state=AlertState.RESOLVED if has_closed else notification.state,
        channels=[delivery.channel],
        detail="delivered",
        time_us=sent_us,
        exchange=anomaly.exchange,
        incident_id=notification.incident_id,
        level=notification.level,
    )


def status_lines(tally: Tally, pending: Mapping[str, int], listening: Mapping[str, str]) -> list[str]:
    """Return how the alerter is, in lines for people.

    Args:
        tally: what became of notifications.
        pending: how many wait, by channel.
        listening: what is wrong with those who listen.
    """
    figures = tally.figures()
    faults = {**tally.faults(), **listening}
    waiting = ", ".join(f"{count} for {channel}" for channel, count in sorted(pending.items()) if count)
    return [
        "The alerter works." if not faults else "The alerter works, but not everything does.",
        f"Sent since its start: {figures['notifications_sent_total']:,.0f}; waiting: {waiting or 'nothing'}.",
        *(f"{name}: {fault}" for name, fault in sorted(faults.items())),
    ]
