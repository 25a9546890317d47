"""The promises of `shared.stream.broker`, kept by the in-memory broker and by a real one."""

import threading
import uuid
from collections.abc import Callable

import pytest

from shared import topics
from shared.errors import BrokerAbortableError, BrokerError
from shared.stream.broker import Broker, Consumer, Message, RebalanceListener, TopicPartition
from shared.stream.kafka import KafkaBroker, KafkaConsumer, KafkaParams
from shared.stream.memory import MemoryBroker
from tests.deadlines import eventually

MakeBroker = Callable[[], Broker]


@pytest.fixture(
    params=[
        "memory",
        pytest.param("classic", marks=pytest.mark.integration, id="kafka"),
        pytest.param("consumer", marks=pytest.mark.integration, id="kafka-kip848"),
    ]
)
def broker(request: pytest.FixtureRequest) -> Broker:
    if request.param == "memory":
        made: Broker = MemoryBroker(partitions=3)
    else:
        running = request.getfixturevalue("kafka")
        made = KafkaBroker(
            KafkaParams(
                bootstrap_servers=running.bootstrap_servers,
                topic_prefix=f"contract-{uuid.uuid4().hex[:8]}-",
                partitions=3,
                group_protocol=request.param,
            )
        )
    made.ensure_topics()
    return made


def read(consumer: Consumer, count: int) -> list[Message]:
    messages: list[Message] = []

    def has_all() -> bool:
        messages.extend(consumer.consume(100, 0.1))
        return len(messages) >= count

    eventually(has_all, seconds=30, about=f"{count} records")
    return messages


def publish(broker: Broker, values: list[bytes], *, key: bytes = b"BTC-USDT") -> None:
    producer = broker.producer()
    for value in values:
        producer.produce(topics.TRADES, value, key=key)
    assert producer.flush(30) == 0


def starts(broker: Broker, topic: str) -> dict[TopicPartition, int]:
    consumer = broker.consumer(group=None)
    partitions = consumer.partitions_of(topic)
    consumer.close()
    return dict.fromkeys(partitions, 0)


def test_topics_have_the_partitions_of_their_specification(broker: Broker) -> None:
    consumer = broker.consumer(group=None)
    for spec in topics.TOPICS:
        assert len(consumer.partitions_of(spec.name)) == spec.partitions(3)
    assert consumer.partitions_of("no-such-topic") == []
    consumer.close()


def test_making_sure_of_topics_twice_is_harmless(broker: Broker) -> None:
    broker.ensure_topics()


def test_records_of_one_key_share_a_partition_and_keep_their_order(broker: Broker) -> None:
    values = [str(number).encode() for number in range(50)]
    publish(broker, values)
    consumer = broker.consumer(group=None)
    consumer.assign(starts(broker, topics.TRADES))
    messages = read(consumer, 50)
    assert [m.value() for m in messages] == values
    assert len({m.partition() for m in messages}) == 1
    assert {consumer.topic_of(m) for m in messages} == {topics.TRADES}
    consumer.close()


def test_a_transaction_shows_its_records_and_offsets_at_once_or_never(broker: Broker) -> None:
    publish(broker, [b"a", b"b"])
    producer = broker.producer(transactional_id="t1")
    consumer = broker.consumer(group="g")
    consumer.subscribe([topics.TRADES])
    [first, *_] = read(consumer, 2)
    partition = TopicPartition(topics.TRADES, first.partition())

    producer.begin()
    producer.produce(topics.ANOMALIES, b"aborted", key=b"BTC-USDT")
    producer.abort()
    assert consumer.committed([partition]) == {}

    producer.begin()
    producer.produce(topics.ANOMALIES, b"committed", key=b"BTC-USDT")
    producer.commit({partition: 2}, consumer)
    assert consumer.committed([partition]) == {partition: 2}

    reader = broker.consumer(group=None)
    reader.assign(starts(broker, topics.ANOMALIES))
    assert [m.value() for m in read(reader, 1)] == [b"committed"]
    reader.close()
    consumer.close()
    producer.close()


def test_a_second_producer_of_one_transactional_id_fences_the_first(broker: Broker) -> None:
    elder = broker.producer(transactional_id="t2")
    elder.begin()
    broker.producer(transactional_id="t2").close()
    consumer = broker.consumer(group="fenced")

    def commit_as_elder() -> None:
        elder.produce(topics.ANOMALIES, b"zombie", key=b"BTC-USDT")
        elder.commit({}, consumer)

    with pytest.raises(BrokerError):
        commit_as_elder()
    consumer.close()
    values = [m.value() for m in broker.read_all(list(starts(broker, topics.ANOMALIES)))]
    assert values == []


def test_reading_everything_may_begin_at_an_offset(broker: Broker) -> None:
    publish(broker, [str(number).encode() for number in range(5)])
    [(partition, _)] = [
        (partition, end)
        for partition in starts(broker, topics.TRADES)
        if (end := broker.consumer(group=None).bounds(partition)[1])
    ]
    everywhere = list(starts(broker, topics.TRADES))
    found = broker.read_all(everywhere, starts={partition: 3}, give_up_after_s=30)
    assert [(message.offset(), message.value()) for message in found] == [(3, b"3"), (4, b"4")]


def test_reading_a_partition_ends_at_its_end(broker: Broker) -> None:
    publish(broker, [b"1", b"2", b"3"])
    found = [m.value() for m in broker.read_all(list(starts(broker, topics.TRADES)))]
    assert found == [b"1", b"2", b"3"]


def test_reading_all_ends_while_somebody_writes(broker: Broker) -> None:
    partitions = list(starts(broker, topics.TRADES))
    producer = broker.producer()
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            producer.produce(topics.TRADES, b"x", key=str(number % 7).encode())
            producer.flush(30)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            before = sum(1 for _ in broker.read_all(partitions))
            assert sum(1 for _ in broker.read_all(partitions)) >= before
    finally:
        stop.set()
        writer.join()
    producer.close()


def test_a_new_consumer_goes_on_where_the_group_committed(broker: Broker) -> None:
    publish(broker, [b"1", b"2", b"3"])
    first = broker.consumer(group="resume")
    first.subscribe([topics.TRADES])
    messages = read(first, 3)
    partition = TopicPartition(topics.TRADES, messages[0].partition())
    first.commit({partition: messages[1].offset()})
    first.close()

    second = broker.consumer(group="resume")
    second.subscribe([topics.TRADES])
    assert [m.value() for m in read(second, 2)] == [b"2", b"3"]
    second.close()


def test_the_listener_decides_where_reading_starts(broker: Broker) -> None:
    publish(broker, [b"1", b"2", b"3"])
    consumer = broker.consumer(group="listener")
    assigned: list[TopicPartition] = []
    revoked: list[TopicPartition] = []

    def on_assigned(partitions: object) -> dict[TopicPartition, int]:
        assert isinstance(partitions, list)
        assigned.extend(partitions)
        return dict.fromkeys(partitions, 2)

    consumer.subscribe(
        [topics.TRADES],
        RebalanceListener(assigned=on_assigned, revoked=revoked.extend, lost=revoked.extend),
    )
    assert [m.value() for m in read(consumer, 1)] == [b"3"]
    assert sorted(assigned) == sorted(starts(broker, topics.TRADES))
    consumer.close()
    assert sorted(revoked) == sorted(assigned)


def test_two_members_share_the_partitions_and_none_has_two_owners(broker: Broker) -> None:
    owners: dict[TopicPartition, str] = {}

    def member(name: str) -> Consumer:
        def assigned(partitions: object) -> dict[TopicPartition, int]:
            assert isinstance(partitions, list)
            for partition in partitions:
                assert partition not in owners, f"{partition} still belongs to {owners[partition]}"
                owners[partition] = name
            return {}

        def released(partitions: object) -> None:
            assert isinstance(partitions, list)
            for partition in partitions:
                del owners[partition]

        consumer = broker.consumer(group="share")
        consumer.subscribe(
            [topics.TRADES], RebalanceListener(assigned=assigned, revoked=released, lost=released)
        )
        return consumer

    first, second = member("first"), member("second")

    def is_shared() -> bool:
        first.consume(10, 0.1)
        second.consume(10, 0.1)
        return len(owners) == 3 and set(owners.values()) == {"first", "second"}

    eventually(is_shared, seconds=60, about="both members to have partitions")
    second.close()

    def first_has_all() -> bool:
        first.consume(10, 0.1)
        return list(owners.values()) == ["first"] * 3

    eventually(first_has_all, seconds=60, about="the first member to take over")
    first.close()


def test_one_who_is_no_member_cannot_commit_for_the_group(broker: Broker) -> None:
    # A member that the group has dropped looks like this until it has heard of it: no id, no generation.
    publish(broker, [b"1", b"2"])
    member, outsider = broker.consumer(group="fenced"), broker.consumer(group="fenced")
    member.subscribe([topics.TRADES])
    [first, _] = read(member, 2)
    partition = TopicPartition(topics.TRADES, first.partition())
    assert (member.is_member(), outsider.is_member()) == (True, False)
    producer = broker.producer(transactional_id="fenced")
    producer.begin()
    producer.produce(topics.ANOMALIES, b"stale", key=b"BTC-USDT")
    with pytest.raises(BrokerAbortableError):
        producer.commit({partition: 2}, outsider)
    producer.abort()
    assert member.committed([partition]) == {}
    member.close()
    outsider.close()


def test_a_broker_of_the_consumer_protocol_refuses_one_who_is_no_member(broker: Broker) -> None:
    # There a consumer cannot tell that it was dropped (`KafkaConsumer.is_member`), so the broker must.
    publish(broker, [b"1"])
    member, outsider = broker.consumer(group="checked"), broker.consumer(group="checked")
    if not (isinstance(broker, KafkaBroker) and isinstance(outsider, KafkaConsumer)):
        pytest.skip("about Kafka only")
    member.subscribe([topics.TRADES])
    [first] = read(member, 1)
    partition = TopicPartition(topics.TRADES, first.partition())
    producer = broker.producer(transactional_id="checked")
    producer.begin()
    outsider._is_subscribed = True
    with pytest.raises(BrokerAbortableError):
        producer.commit({partition: 1}, outsider)
    producer.abort()
    assert member.committed([partition]) == {}
    member.close()
    outsider.close()


def test_a_record_without_a_value_reads_as_none(broker: Broker) -> None:
    producer = broker.producer()
    producer.produce(topics.SNAPSHOTS, None, key=b"BTC-USDT#0", partition=0)
    assert producer.flush(30) == 0
    [message] = broker.read_all([TopicPartition(topics.SNAPSHOTS, 0)])
    assert message.value() is None


def test_bounds_and_lag_count_records(broker: Broker) -> None:
    publish(broker, [b"1", b"2", b"3"])
    consumer = broker.consumer(group=None)
    consumer.assign(starts(broker, topics.TRADES))
    [first, *_] = read(consumer, 3)
    partition = TopicPartition(topics.TRADES, first.partition())
    assert consumer.bounds(partition) == (0, 3)
    assert consumer.lag(partition, 1) == 2
    consumer.close()
