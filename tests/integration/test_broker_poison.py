"""Records that no writer of ours would put on a topic, on a real Kafka: set aside, nothing else disturbed."""

from collections import Counter

import pytest

from deploy.kafka.broker import RunningBroker
from shared import topics
from shared.codec import decode
from shared.errors import BrokerFatalError
from shared.events import DeadLetter
from shared.stream.broker import TopicPartition
from shared.stream.dead_letters import KEPT_PAYLOAD_BYTES
from shared.stream.kafka import KafkaBroker, KafkaParams
from tests.chaos.poison import PADDED_MARKET, Poisoner
from tests.deadlines import eventually
from tests.stream_crew import Crew, Tape, committed_anomalies

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT")


@pytest.fixture
def broker(kafka: RunningBroker, kafka_topic_prefix: str) -> KafkaBroker:
    broker = KafkaBroker(
        KafkaParams(bootstrap_servers=kafka.bootstrap_servers, topic_prefix=kafka_topic_prefix, partitions=2)
    )
    broker.ensure_topics()
    return broker


def test_exactly_the_invalid_records_are_set_aside(broker: KafkaBroker) -> None:
    tape = Tape(broker, SYMBOLS)
    tape.write(300)
    poisoner = Poisoner(broker.producer(), SYMBOLS)
    with Crew(broker) as crew:
        for _ in range(3):
            poisoner.dose()
            tape.write(300)
        poisoner.close()
        eventually(tape.is_judged, seconds=120, about="everything to be judged", every_s=0.2)
    tape.close()
    assert (crew.crashes, crew.faults) == (0, [])
    letters = [
        decode(message.value(), DeadLetter)
        for message in broker.read_all([TopicPartition(topics.DEAD_LETTERS, 0)])
    ]
    expected: Counter[bytes] = Counter()
    for value, count in poisoner.invalid.items():
        expected[value[:KEPT_PAYLOAD_BYTES]] += count
    assert Counter(letter.payload for letter in letters) == expected
    assert {letter.reader for letter in letters} == {"detector"}
    # Three of a kind were larger than a letter can be.
    assert sum(letter.cut_bytes > 0 for letter in letters) == 3
    found, repeated = committed_anomalies(broker)
    ours = {i: anomaly for i, anomaly in found.items() if anomaly.symbol != PADDED_MARKET}
    # The padded trades, as large as a record can be, were judged like any other: the third was an anomaly.
    assert len(found) == len(ours) + 1
    assert (ours, repeated) == (tape.expected(), 0)


def test_a_record_that_is_too_large_is_refused_where_it_is_written_and_the_writer_goes_on(
    broker: KafkaBroker,
) -> None:
    producer = broker.producer()
    with pytest.raises(BrokerFatalError, match="MSG_SIZE_TOO_LARGE"):
        producer.produce(topics.TRADES, b"x" * 1_100_000, key=b"BTC-USDT", partition=0)
    producer.produce(topics.TRADES, b"small", key=b"BTC-USDT", partition=0)
    assert producer.flush(30) == 0
    assert [m.value() for m in broker.read_all([TopicPartition(topics.TRADES, 0)])] == [b"small"]
    producer.close()
