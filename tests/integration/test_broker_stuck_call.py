"""A call of the library that never returns: its producer is replaced, and fenced should it wake up again."""

import threading

import confluent_kafka as ck
import pytest

from deploy.kafka.broker import RunningBroker
from shared import topics
from shared.errors import BrokerAbortableError
from shared.stream.broker import Message, TopicPartition
from shared.stream.kafka import KafkaBroker, KafkaParams, KafkaProducer
from tests.deadlines import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

PARTITION = TopicPartition(topics.TRADES, 0)


class Sleeper(ck.Producer):
    """Does with offsets what librdkafka may do when their coordinator died: nothing, until it is woken."""

    waking = threading.Event()
    woken: list[str]

    def send_offsets_to_transaction(
        self, positions: list[ck.TopicPartition], group_metadata: object, timeout: float = -1
    ) -> None:
        self.waking.wait()
        try:
            super().send_offsets_to_transaction(positions, group_metadata, timeout)
        except ck.KafkaException as error:
            self.woken.append(error.args[0].name())


def test_a_producer_whose_call_never_returns_is_replaced(
    kafka: RunningBroker, kafka_topic_prefix: str
) -> None:
    broker = KafkaBroker(
        KafkaParams(bootstrap_servers=kafka.bootstrap_servers, topic_prefix=kafka_topic_prefix, partitions=1)
    )
    broker.ensure_topics()
    feed = broker.producer()
    feed.produce(topics.TRADES, b"1", key=b"BTC-USDT")
    assert feed.flush(30) == 0
    consumer = broker.consumer(group="heir")
    consumer.subscribe([topics.TRADES])
    taken: list[Message] = []

    def has_read() -> bool:
        taken.extend(consumer.consume(1, 0.1))
        return bool(taken)

    eventually(has_read, seconds=60, about="a record")

    producer = broker.producer(transactional_id="heir")
    assert isinstance(producer, KafkaProducer)
    sleeper = Sleeper(producer._config)
    sleeper.woken = []
    sleeper.init_transactions(30)
    producer._client = sleeper
    producer.begin()
    producer.produce(topics.ANOMALIES, b"left open", key=b"BTC-USDT")
    with pytest.raises(BrokerAbortableError, match="no answer"):
        producer.commit({PARTITION: 1}, consumer)
    producer.abort()
    assert consumer.committed([PARTITION]) == {}

    producer.begin()
    producer.produce(topics.ANOMALIES, b"again", key=b"BTC-USDT")
    producer.commit({PARTITION: 1}, consumer)
    sleeper.waking.set()
    eventually(lambda: bool(sleeper.woken), seconds=60, about="the end of the old call")
    assert "FENCED" in sleeper.woken[0] or "PRODUCER_EPOCH" in sleeper.woken[0], sleeper.woken
    found = [message.value() for message in broker.read_all([TopicPartition(topics.ANOMALIES, 0)])]
    assert found == [b"again"]
    assert consumer.committed([PARTITION]) == {PARTITION: 1}
    producer.close()
    consumer.close()
