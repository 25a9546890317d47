"""Everything that listens to people, in threads beside the one that reads Kafka and the sender's."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from alerter.inbound.desk import Desk
from alerter.inbound.endpoint import SlackEndpoint
from alerter.inbound.lease import Lease
from alerter.inbound.slack import SlackAnswers, SlackInboundParams, SlackSocket
from alerter.inbound.telegram import LEASE, LEASE_S, TelegramInbound, TelegramInboundParams
from alerter.pictures import Pictures
from shared import topics
from shared.clock import Clock
from shared.codec import encode
from shared.errors import BrokerRetriableError
from shared.events import AlertCommand
from shared.store.database import Database
from shared.stream.broker import Broker

_FLUSH_S: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class InboundParams:
    """What is listened to; None for what is not.

    Attributes:
        telegram: a bot's updates.
        slack: a bot's channel.
        slack_signing_secret: of the Slack app; with it, the endpoint listens.
        slack_endpoint_host: address that the endpoint listens on.
        slack_endpoint_port: of the endpoint; 0 for any.
    """

    telegram: TelegramInboundParams | None = None
    slack: SlackInboundParams | None = None
    slack_signing_secret: str = field(default="", repr=False)
    slack_endpoint_host: str = "127.0.0.1"
    slack_endpoint_port: int = 0


class Inbound:
    """Listens to people from `start` to `stop`.

    Args:
        params: to whom.
        broker: with the topic `alert-commands`.
        database: the store, migrated.
        pictures: draws alerts.
        status: how the alerter is, in lines.
        instance: this process, for the lease.
        clock: the time.

    Raises:
        PortInUseError: another process listens where the endpoint should.
    """

    def __init__(
        self,
        params: InboundParams,
        *,
        broker: Broker,
        database: Database,
        pictures: Pictures,
        status: Callable[[], list[str]],
        instance: str,
        clock: Clock,
    ) -> None:
        self._publishing = Publishing(broker)
        desk = Desk(
            database=database,
            publish=self._publishing.publish,
            pictures=pictures,
            status=status,
            clock=clock,
        )
        self._telegram: TelegramThread | None = None
        self._answers: SlackAnswers | None = None
        self._socket: SlackSocket | None = None
        self.endpoint: SlackEndpoint | None = None
        if params.telegram is not None:
            lease = Lease(database, name=LEASE, holder=instance, length_s=LEASE_S, clock=clock)
            self._telegram = TelegramThread(params.telegram, desk=desk, lease=lease, clock=clock)
        if params.slack is not None:
            self._listen_to_slack(params, params.slack, desk)

    def start(self) -> None:
        """Begin to listen."""
        for listener in (self._telegram, self._socket, self.endpoint):
            if listener is not None:
                listener.start()

    def check(self) -> None:
        """Raise what has ended a listener, if anything has."""
        for listener in (self._telegram, self._answers):
            if listener is not None:
                listener.check()

    def faults(self) -> dict[str, str]:
        """Return what is wrong with each listener of which something is."""
        listeners = {"telegram-updates": self._telegram, "slack-socket": self._socket}
        return {name: found.fault for name, found in listeners.items() if found is not None and found.fault}

    def stop(self) -> None:
        """Stop listening, and finish what was taken."""
        for listener in (self._telegram, self._socket, self.endpoint):
            if listener is not None:
                listener.stop()
        if self._answers is not None:
            self._answers.close()
        self._publishing.close()

    def _listen_to_slack(self, params: InboundParams, slack: SlackInboundParams, desk: Desk) -> None:
        self._answers = SlackAnswers(slack, desk=desk)
        if slack.app_token:
            self._socket = SlackSocket(slack, answers=self._answers)
        if params.slack_signing_secret:
            self.endpoint = SlackEndpoint(
                host=params.slack_endpoint_host,
                port=params.slack_endpoint_port,
                signing_secret=params.slack_signing_secret,
                answers=self._answers,
            )


class Publishing:
    """Puts commands on their topic; safe for use by several threads.

    Args:
        broker: with the topic.
    """

    def __init__(self, broker: Broker) -> None:
        self._producer = broker.producer()
        self._lock = threading.Lock()

    def publish(self, command: AlertCommand) -> None:
        """Publish a command, and return when the broker has it.

        Raises:
            BrokerRetriableError: it did not take it in time; it may still get there, and then counts once.
        """
        with self._lock:
            self._producer.produce(topics.ALERT_COMMANDS, encode(command), key=command.target.encode())
            if self._producer.flush(_FLUSH_S):
                raise BrokerRetriableError("flush", detail=f"a command unacknowledged after {_FLUSH_S:g} s")

    def close(self) -> None:
        """Release the connection."""
        with self._lock:
            self._producer.close()


class TelegramThread:
    """Runs the reading of Telegram in a thread with an event loop of its own."""

    def __init__(self, params: TelegramInboundParams, *, desk: Desk, lease: Lease, clock: Clock) -> None:
        self._inbound: TelegramInbound | None = None
        self._make: Callable[[], TelegramInbound] = lambda: TelegramInbound(
            params, desk=desk, lease=lease, clock=clock
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._is_stopping = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="telegram-updates")

    @property
    def fault(self) -> str:
        """What is wrong; empty when nothing is."""
        return "" if self._inbound is None else self._inbound.fault

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def check(self) -> None:
        """Raise what has ended the reading, if anything has."""
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Stop, and wait until what is being answered is."""
        with self._lock:
            self._is_stopping = True
            if self._loop is not None and self._inbound is not None:
                self._loop.call_soon_threadsafe(self._inbound.stop)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._read())
        except Exception as error:  # noqa: BLE001 - raised again by `check`, in the worker's own thread
            self._error = error

    async def _read(self) -> None:
        with self._lock:
            self._inbound, self._loop = self._make(), asyncio.get_running_loop()
            if self._is_stopping:
                self._inbound.stop()
        try:
            await self._inbound.run()
        finally:
            with self._lock:
                self._loop = None
