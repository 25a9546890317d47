"""Reading all there is, with the ends of partitions coming in an order that a real broker seldom gives."""

from collections.abc import Iterator

import confluent_kafka as ck
import pytest

from shared import topics
from shared.stream.broker import TopicPartition
from shared.stream.kafka import KafkaBroker, KafkaParams

BUSY, LONG = (TopicPartition(topics.TRADES, number) for number in (0, 1))


class Record:
    """What the library hands out: a record, or the news that a partition's end was reached."""

    def __init__(self, partition: TopicPartition, value: bytes | None) -> None:
        self._partition = partition
        self._value = value

    def error(self) -> ck.KafkaError | None:
        return None if self._value is not None else ck.KafkaError(ck.KafkaError._PARTITION_EOF)

    def topic(self) -> str:
        return self._partition.topic

    def partition(self) -> int:
        return self._partition.partition

    def value(self) -> bytes | None:
        return self._value


class ScriptedConsumer:
    """Gives what the script says, one at a time."""

    script: Iterator[Record]

    def __init__(self, config: dict[str, object]) -> None:
        assert config["enable.partition.eof"]

    def assign(self, partitions: object) -> None:
        """Read whatever the script says."""

    def consume(self, *, num_messages: int, timeout: float) -> list[Record]:
        del timeout
        return [next(self.script)] if num_messages == 1 else []

    def close(self) -> None:
        """Hold nothing."""


def test_a_partition_that_reaches_its_end_again_and_again_does_not_stand_for_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.stream.kafka.ck.Consumer", ScriptedConsumer)
    ScriptedConsumer.script = iter(
        [
            *(Record(BUSY, value) for value in (b"1", None, b"2", None, b"3", None)),
            *(Record(LONG, value) for value in (b"4", b"5", None)),
            # Nobody asks for more once both ends were seen.
        ]
    )
    broker = KafkaBroker(KafkaParams(bootstrap_servers="nowhere:9092"))
    found = [message.value() for message in broker.read_all([BUSY, LONG])]
    assert found == [b"1", b"2", b"3", b"4", b"5"]
