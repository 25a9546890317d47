"""From trades of two venues to arbitrage, over a real Kafka: exactly once, whatever crashes."""

import pytest

from deploy.kafka.broker import RunningBroker
from shared.stream.kafka import KafkaBroker, KafkaParams
from tests.cross_crew import check_exactly_once

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def test_what_is_committed_is_that_of_an_undisturbed_run(
    kafka: RunningBroker, kafka_topic_prefix: str
) -> None:
    params = KafkaParams(
        bootstrap_servers=kafka.bootstrap_servers, topic_prefix=kafka_topic_prefix, partitions=3
    )
    check_exactly_once(KafkaBroker(params))
