"""Which broker is started, on machines that have much, little or nothing."""

from pathlib import Path

import pytest

from deploy.kafka.broker import BrokerChoice, BrokerParams, start_broker
from deploy.kafka.builtin import LIMITS, BuiltinCluster
from deploy.kafka.ports import free_ports, speaks_kafka
from shared.errors import PrerequisiteError, ToolMissingError


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No program is on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)


@pytest.mark.usefixtures("bare_machine")
def test_without_java_the_built_in_cluster_is_chosen_and_its_limits_are_told() -> None:
    told: list[str] = []
    with start_broker("auto", BrokerParams(partitions=2, tell=told.append)) as broker:
        assert broker.kind == "builtin"
        assert not broker.supports_transactions
        assert speaks_kafka(broker.bootstrap_servers)
    assert "Java 17 is not installed" in told[0]
    assert told[1] == LIMITS


@pytest.mark.usefixtures("bare_machine")
def test_apache_kafka_without_java_is_a_missing_tool() -> None:
    with pytest.raises(ToolMissingError, match="docker compose up"):
        start_broker("apache-kafka")


@pytest.mark.parametrize("choice", ["auto", "external"])
def test_an_external_broker_is_used_and_left_running(choice: BrokerChoice) -> None:
    with BuiltinCluster({"trades": 1}) as cluster:
        params = BrokerParams(external_servers=f"127.0.0.1:{free_ports(1)[0]},{cluster.bootstrap_servers}")
        with start_broker(choice, params) as broker:
            assert broker.kind == "external"
            assert broker.bootstrap_servers == params.external_servers
        assert speaks_kafka(cluster.bootstrap_servers)


def test_an_external_broker_that_does_not_answer_is_a_clear_sentence() -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(PrerequisiteError, match=f"no Kafka broker answers at {address}"):
        start_broker("auto", BrokerParams(external_servers=address))
    with pytest.raises(PrerequisiteError, match="set KAFKA_BOOTSTRAP_SERVERS"):
        start_broker("external")
