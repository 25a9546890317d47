"""`SettingsFeed`: the latest settings on `detector-config`, for whoever judges by them."""

from collections.abc import Callable
from typing import Final, NamedTuple

from shared import topics
from shared.codec import decode
from shared.errors import BrokerRetriableError, InvalidRecordError
from shared.events import DetectorConfig
from shared.stream.broker import Broker, Consumer, Message, TopicPartition

_PARTITION: Final = TopicPartition(topics.DETECTOR_CONFIG, 0)
_SILENCE_S: Final = 10.0
_MOST_RECORDS: Final = 1_000

Check = Callable[[DetectorConfig], list[str]]


class Refusal(NamedTuple):
    """A record that is no settings, and why."""

    message: Message
    error: InvalidRecordError


class SettingsFeed:
    """Follows the topic from its first record on.

    Args:
        broker: where the topic is.
        check: returns what is wrong with an event, in sentences; one with faults counts as not written.

    Attributes:
        configs: the latest of every scope, in the order of their scopes.
    """

    def __init__(self, broker: Broker, *, check: Check) -> None:
        self._broker = broker
        self._check = check
        self._consumer: Consumer | None = None
        self._by_scope: dict[str, DetectorConfig] = {}
        self.configs: tuple[DetectorConfig, ...] = ()

    @property
    def version(self) -> int:
        """The highest version so far; 0 before the first."""
        return max((config.version for config in self.configs), default=0)

    @property
    def is_open(self) -> bool:
        """Whether all there was has been read."""
        return self._consumer is not None

    def poll(self) -> list[Refusal]:
        """Take in what has come since the last call; the first one takes all there is.

        Raises:
            BrokerRetriableError: the broker is unreachable for now.
        """
        if self._consumer is None:
            return self._open()
        return self._take(self._consumer.consume(_MOST_RECORDS, 0.0))

    def close(self) -> None:
        """Release the connection."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _open(self) -> list[Refusal]:
        messages = list(self._broker.read_all([_PARTITION], give_up_after_s=_SILENCE_S))
        consumer = self._broker.consumer(group=None)
        if not consumer.partitions_of(topics.DETECTOR_CONFIG):
            consumer.close()
            raise BrokerRetriableError(
                "settings", detail=f"topic {topics.DETECTOR_CONFIG} does not exist yet"
            )
        consumer.assign(
            {_PARTITION: messages[-1].offset() + 1 if messages else consumer.bounds(_PARTITION)[0]}
        )
        self._consumer = consumer
        return self._take(messages)

    def _take(self, messages: list[Message]) -> list[Refusal]:
        refusals: list[Refusal] = []
        for message in messages:
            try:
                config = decode(message.value(), DetectorConfig)
            except InvalidRecordError as error:
                refusals.append(Refusal(message, error))
                continue
            if faults := self._check(config):
                refusals.append(
                    Refusal(message, InvalidRecordError("; ".join(faults), payload=message.value()))
                )
                continue
            self._by_scope[config.scope] = config
        if messages:
            self.configs = tuple(self._by_scope[scope] for scope in sorted(self._by_scope))
        return refusals


def no_check(config: DetectorConfig) -> list[str]:
    """Find no fault with any settings: for steps that take all."""
    del config
    return []
