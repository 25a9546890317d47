"""docker-compose.yml keeps the Compose specification, and names nothing that the code does not have."""

import ast
import hashlib
import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main
from jsonschema import Draft202012Validator, ValidationError
from typer.core import TyperGroup

import config
from deploy.kafka.java import KAFKA_VERSION
from shared.topics import TOPICS
from tests.unit.deploy.compose_file import (
    COMPOSE_VARIABLES,
    ROOT,
    compose,
    effective_environment,
    is_ours,
    text,
    variables,
)

SCHEMA = ROOT / "tests" / "data" / "compose-spec.json"
GIVEN = {"POSTGRES_PASSWORD": "correcthorse"}
SIMULATED = {**GIVEN, "COMPOSE_PROFILES": "simulator"}
SERVICES: dict[str, Any] = compose(GIVEN)["services"]
OUR_SERVICES = sorted(name for name, service in SERVICES.items() if is_ours(service))
VENUES = {"producer-coinbase", "producer-kraken"}
WORKERS = {"producer", "detector", "cross", "quotes", "alerter", "recorder", "dashboard"}
SECRETS = frozenset(
    name for name, field in config.Settings.model_fields.items() if "SecretStr" in str(field.annotation)
)
# What the images of others read. Kafka's takes any KAFKA_ name as a property of the server.
FOREIGN_NAMES = re.compile(r"KAFKA_[A-Z_]+|CLUSTER_ID|POSTGRES_(USER|DB|PASSWORD)")


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def test_the_schema_is_the_one_its_record_names() -> None:
    record = json.loads(SCHEMA.with_name("compose-spec.source.json").read_text(encoding="utf-8"))
    assert hashlib.sha256(SCHEMA.read_bytes()).hexdigest() == record["sha256"]


def test_the_file_keeps_the_compose_specification(validator: Draft202012Validator) -> None:
    for values in (GIVEN, SIMULATED):
        validator.validate(compose(values))


@pytest.mark.parametrize(
    ("key", "value"), [("port", ["9092"]), ("restart", 3), ("healthcheck", {"retry": 3}), ("tmpfs", {"a": 1})]
)
def test_the_schema_refuses_a_service_with_a_fault(
    validator: Draft202012Validator, key: str, value: object
) -> None:
    broken = compose(GIVEN)
    broken["services"]["producer"][key] = value
    with pytest.raises(ValidationError):
        validator.validate(broken)


def test_every_worker_has_a_service() -> None:
    assert set(OUR_SERVICES) == WORKERS | VENUES | {"simulator"}


@pytest.mark.parametrize("name", sorted(VENUES))
def test_another_venue_runs_only_when_asked_for_and_never_on_the_simulator(name: str, tmp_path: Path) -> None:
    service = compose({**SIMULATED, "PRODUCER_WS_URL": "wss://elsewhere"})["services"][name]
    assert service["deploy"]["replicas"] == 0
    settings = config.load(environ=effective_environment(service, GIVEN), folder=tmp_path)
    assert f"producer-{settings.exchange}" == name
    assert not settings.producer_ws_url + settings.producer_rest_url


@pytest.mark.parametrize("name", OUR_SERVICES)
def test_every_command_runs_a_module_that_exists(name: str) -> None:
    interpreter, flag, module, *_ = SERVICES[name]["command"]
    assert (interpreter, flag) == ("python", "-m")
    assert (ROOT / module / "__main__.py").is_file()


def test_the_simulators_command_line_is_understood() -> None:
    subcommand, *arguments = SERVICES["simulator"]["command"][3:]
    group = typer.main.get_command(importlib.import_module("simulator.__main__").app)
    assert isinstance(group, TyperGroup)
    with group.commands[subcommand].make_context(subcommand, arguments) as context:
        chosen = context.params
    assert chosen["host"] == "0.0.0.0"  # noqa: S104 - inside a container
    urls = compose(SIMULATED)["services"]["producer"]["environment"]
    assert urls["PRODUCER_WS_URL"] == f"ws://simulator:{chosen['port']}"
    assert urls["PRODUCER_REST_URL"] == f"http://simulator:{chosen['rest_port']}"
    assert f"127.0.0.1:{chosen['rest_port']}/simulator/state" in str(
        SERVICES["simulator"]["healthcheck"]["test"]
    )


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_variable_is_one_that_its_image_reads(name: str) -> None:
    service = SERVICES[name]
    names = set(service.get("environment", {}))
    if is_ours(service):
        assert {variable.lower() for variable in names} <= set(config.Settings.model_fields)
    else:
        assert all(FOREIGN_NAMES.fullmatch(variable) for variable in names), names


@pytest.mark.parametrize("name", OUR_SERVICES)
@pytest.mark.parametrize("given", [GIVEN, SIMULATED], ids=["exchange", "simulator"])
def test_every_environment_is_a_sound_configuration(name: str, given: dict[str, str], tmp_path: Path) -> None:
    environment = effective_environment(compose(given)["services"][name], GIVEN)
    settings = config.load(environ=environment, folder=tmp_path)
    assert settings.kafka_bootstrap_servers == "kafka:19092"
    exchange = config.Settings.model_fields["producer_ws_url"].default
    is_simulated = name == "producer" and given is SIMULATED
    assert (settings.producer_ws_url == exchange) is not is_simulated


def test_a_source_of_trades_in_the_env_file_goes_before_the_profile() -> None:
    urls = compose({**SIMULATED, "PRODUCER_WS_URL": "wss://elsewhere"})["services"]["producer"]["environment"]
    assert urls["PRODUCER_WS_URL"] == "wss://elsewhere"


@pytest.mark.parametrize("name", OUR_SERVICES)
def test_a_secret_reaches_only_the_workers_that_read_it(name: str) -> None:
    env_file = {secret.upper(): "secret" for secret in SECRETS}
    environment = effective_environment(compose(env_file)["services"][name], env_file)
    given = {secret for secret in SECRETS if environment.get(secret.upper())}
    package = ROOT / SERVICES[name]["command"][2]
    # The dashboard's settings are read where Streamlit begins as well.
    entries = [path for path in (package / "__main__.py", package / "app.py") if _reads_settings(path)]
    assert given == {name for entry in entries for name in _attributes(entry)} & SECRETS


def _reads_settings(path: Path) -> bool:
    return path.exists() and "\nimport config" in path.read_text(encoding="utf-8")


def _attributes(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_every_variable_from_outside_is_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    named = set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))
    assert variables() - COMPOSE_VARIABLES <= named
    assert variables() >= {"POSTGRES_PASSWORD", "DASHBOARD_PORT"}


def test_a_missing_password_is_a_clear_sentence() -> None:
    with pytest.raises(KeyError, match=re.escape("write POSTGRES_PASSWORD=... into .env")):
        compose({})


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_published_ports_are_on_loopback(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), port


def test_the_ports_are_those_the_processes_listen_on() -> None:
    kafka = SERVICES["kafka"]
    advertised = kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    default = config.Settings.model_fields["kafka_bootstrap_servers"].default
    assert f"PLAINTEXT_HOST://{default}" in advertised
    assert "PLAINTEXT://kafka:19092" in advertised
    assert kafka["ports"] == [f"{default}:9092"]
    for name in WORKERS - {"dashboard"}:
        port = SERVICES[name]["environment"]["METRICS_PORT"]
        assert f"127.0.0.1:{port}/healthz" in str(SERVICES[name]["healthcheck"]["test"])
    dashboard = SERVICES["dashboard"]
    port = dashboard["environment"]["DASHBOARD_PORT"]
    assert f"127.0.0.1:{port}/_stcore/health" in str(dashboard["healthcheck"]["test"])
    assert dashboard["ports"] == [f"127.0.0.1:8501:{port}"]
    assert compose({**GIVEN, "DASHBOARD_PORT": "9000"})["services"]["dashboard"]["ports"] == [
        f"127.0.0.1:9000:{port}"
    ]


def test_health_probes_are_python_that_compiles() -> None:
    for name in OUR_SERVICES:
        *_, flag, code = SERVICES[name]["healthcheck"]["test"]
        assert flag == "-c"
        compile(code, name, "exec")


def test_topics_come_from_the_workers_and_never_by_accident() -> None:
    assert SERVICES["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    words = set(re.findall(r"[a-z][a-z-]+", " ".join(_options(text(), "--topic"))))
    assert words <= {spec.name for spec in TOPICS}


def _options(content: str, option: str) -> list[str]:
    return re.findall(rf"{option}[ =,]+(\S+)", content)


def test_kafka_is_the_version_that_the_tests_run_on() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_recovers_reports_and_is_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"]
    assert service["deploy"]["resources"]["limits"]["memory"]
    for needed, how in service.get("depends_on", {}).items():
        assert how["condition"] == "service_healthy"
        assert "profiles" not in SERVICES[needed] or how["required"] is False


@pytest.mark.parametrize("name", OUR_SERVICES)
def test_our_containers_may_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_paths_and_volumes_exist() -> None:
    content = compose(GIVEN)
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    assert {mount.partition(":")[0] for mount in mounts} == set(content["volumes"])
    for name in OUR_SERVICES:
        assert (ROOT / SERVICES[name]["build"]["dockerfile"]).is_file()
