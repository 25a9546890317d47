import subprocess
import sys
from pathlib import Path

import pytest

import config
from shared.errors import ConfigError

ROOT = Path(__file__).parents[2]


def load(tmp_path: Path, **environ: str) -> config.Settings:
    return config.load(environ=environ, folder=tmp_path)


def test_defaults_are_the_five_markets_on_loopback(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.markets == ("BTC-USDT", "ETH-USDT", "BNB-USDT", "SOL-USDT", "XRP-USDT")
    assert settings.dashboard_host == settings.metrics_host == "127.0.0.1"


def test_the_environment_beats_dotenv_which_beats_yaml(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("kafka_partitions: 3\nmarkets: [ADA-USDT]\nlog_level: debug\n")
    (tmp_path / ".env").write_text("KAFKA_PARTITIONS=4\nLOG_LEVEL=warning\n")
    settings = load(tmp_path, KAFKA_PARTITIONS="5")
    assert settings.kafka_partitions == 5
    assert settings.log_level == "warning"
    assert settings.markets == ("ADA-USDT",)


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("kafka_partition: 3\n")
    (tmp_path / ".env").write_text("NO_SUCH_NAME=1\n")
    with pytest.raises(ConfigError) as raised:
        load(
            tmp_path, KAFKA_PARTITIONS="0", MARKETS="btcusdt", PRODUCER_STALE_MIN="3", DASHBOARD_PORT="99999"
        )
    text = str(raised.value)
    assert len(raised.value.faults) == 6
    assert "config.yaml: kafka_partition is no setting. Did you mean KAFKA_PARTITIONS?" in text
    assert ".env: NO_SUCH_NAME is no setting" in text
    assert "environment: PRODUCER_STALE_MIN is no setting" in text
    assert "'btcusdt' is no market" in text
    assert "DASHBOARD_PORT" in text


@pytest.mark.parametrize("markets", ["all-usdt", "BTC-USDT, ETH-USDT", "币安人生-USDT", "1000SATS-USDT"])
def test_any_list_of_markets_or_all_of_them_can_be_set(tmp_path: Path, markets: str) -> None:
    assert load(tmp_path, MARKETS=markets).markets == tuple(m.strip() for m in markets.split(","))


@pytest.mark.parametrize("markets", ["all-usdt,BTC-USDT", "BTC", "-USDT", "BTC-", "btc-usdt"])
def test_what_is_no_market_is_refused(tmp_path: Path, markets: str) -> None:
    with pytest.raises(ConfigError, match="MARKETS"):
        load(tmp_path, MARKETS=markets)


def test_contradictions_are_faults(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="TELEGRAM_CHAT_IDS"):
        load(tmp_path, TELEGRAM_BOT_TOKEN="123:abc")
    with pytest.raises(ConfigError, match="PRODUCER_STALE_MAX_S"):
        load(tmp_path, PRODUCER_STALE_MIN_S="20", PRODUCER_STALE_MAX_S="10")


def test_broken_yaml_is_a_fault_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("markets: [")
    with pytest.raises(ConfigError, match="is no YAML"):
        load(tmp_path)


def test_every_setting_has_a_unit_and_a_meaning() -> None:
    for name, field in config.Settings.model_fields.items():
        extra = field.json_schema_extra
        assert isinstance(extra, dict), name
        assert extra["unit"], name
        assert field.description, name


def run_config(tmp_path: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "config.py")],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "COLUMNS": "200", **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_prints_a_table_and_hides_secrets(tmp_path: Path) -> None:
    secret = "123456:very-secret"
    database = "postgresql://watch:hidden-password@127.0.0.1/watch"
    result = run_config(tmp_path, TELEGRAM_BOT_TOKEN=secret, TELEGRAM_CHAT_IDS="1", DATABASE_URL=database)
    assert result.returncode == 0, result.stderr
    assert "KAFKA_BOOTSTRAP_SERVERS" in result.stdout
    assert secret not in result.stdout + result.stderr
    assert "hidden-password" not in result.stdout + result.stderr


def test_the_command_exits_non_zero_on_a_fault_and_keeps_secrets(tmp_path: Path) -> None:
    result = run_config(tmp_path, KAFKA_PARTITIONS="none", TELEGRAM_BOT_TOKEN="123456:very-secret")
    assert result.returncode == 1
    assert "KAFKA_PARTITIONS" in result.stderr
    assert "very-secret" not in result.stdout + result.stderr


def test_a_venue_may_have_markets_of_its_own(tmp_path: Path) -> None:
    given = {"EXCHANGE": "kraken", "MARKETS": "BTC-USDT", "COINBASE_MARKETS": "ETH-USD"}
    assert config.load(environ=given, folder=tmp_path).exchange_markets == ("BTC-USDT",)
    given["KRAKEN_MARKETS"] = "BTC-USD, ETH-EUR"
    assert config.load(environ=given, folder=tmp_path).exchange_markets == ("BTC-USD", "ETH-EUR")
    given["KRAKEN_MARKETS"] = "btcusd"
    with pytest.raises(ConfigError, match="KRAKEN_MARKETS"):
        config.load(environ=given, folder=tmp_path)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"SLACK_APP_TOKEN": "xapp-1"}, "SLACK_BOT_TOKEN: SLACK_APP_TOKEN needs it"),
        ({"SLACK_SIGNING_SECRET": "x"}, "SLACK_BOT_TOKEN: SLACK_SIGNING_SECRET needs it"),
        ({"WEBHOOK_URL": "https://example.org/hook"}, "WEBHOOK_SECRET"),
        ({"SMTP_HOST": "mail.example.org", "SMTP_FROM": "a@example.org"}, "SMTP_FROM, SMTP_TO"),
        ({"SMTP_USER": "me", "SMTP_SECURITY": "none"}, "SMTP_SECURITY"),
        ({"SMTP_HOTS": "mail.example.org"}, "Did you mean SMTP_HOST"),
    ],
)
def test_half_a_channel_is_a_fault(tmp_path: Path, given: dict[str, str], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        load(tmp_path, **given)
