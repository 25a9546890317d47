"""Takes what people ask on the pages to the topic `alert-commands`."""

import threading
from typing import Final, Protocol

from shared import topics
from shared.codec import encode
from shared.errors import BrokerRetriableError
from shared.events import AlertCommand
from shared.stream.broker import Broker

_FLUSH_S: Final = 5.0


class Desk(Protocol):
    """What pages need."""

    def publish(self, command: AlertCommand) -> None:
        """Publish a command, and return when the broker has it.

        Raises:
            BrokerError: it did not take it in time; it may still get there, and then counts once.
        """
        ...


class TopicDesk:
    """Publishes to the broker; safe for use by several threads.

    Args:
        broker: with the topic.
    """

    def __init__(self, broker: Broker) -> None:
        self._producer = broker.producer()
        self._lock = threading.Lock()

    def publish(self, command: AlertCommand) -> None:
        """Publish a command, as `Desk` says."""
        with self._lock:
            self._producer.produce(topics.ALERT_COMMANDS, encode(command), key=command.target.encode())
            if self._producer.flush(_FLUSH_S):
                raise BrokerRetriableError("flush", detail=f"a command unacknowledged after {_FLUSH_S:g} s")
