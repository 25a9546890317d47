"""What a consumer answers without asking a broker."""

import pytest

from shared.stream.kafka import KafkaBroker, KafkaParams


@pytest.mark.timeout(30)
def test_nothing_is_asked_about_no_partitions() -> None:
    # Nobody listens there: a question would wait for longer than this test may take.
    broker = KafkaBroker(KafkaParams(bootstrap_servers="127.0.0.1:1"))
    consumer = broker.consumer(group="detector")
    assert consumer.committed([]) == {}
    consumer.close()
