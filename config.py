"""Every setting of every worker: environment, `.env` and optional `config.yaml`, in that precedence.

Each setting has a unit, bounds and a default. `load()` reports unknown names and all faults at once;
`python config.py` prints the checked settings as a table and exits with 1 on a fault. Secrets never appear in
that table, in logs, events or pages. Only entry points import this module.
"""

import difflib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict
from rich.console import Console
from rich.table import Table

from shared.errors import ConfigError
from shared.events import Severity
from shared.stream.kafka import KafkaParams
from shared.topics import HOUR_MS

ALL_USDT: Final = "all-usdt"
DEFAULT_MARKETS: Final = ("BTC-USDT", "ETH-USDT", "BNB-USDT", "SOL-USDT", "XRP-USDT")

# A name in the environment that begins like this and is no setting is a typing error, and reported.
_OUR_PREFIXES: Final = (
    "PRODUCER_",
    "DETECTOR_",
    "PUMP_DUMP_",
    "ALERTER_",
    "RECORDER_",
    "DASHBOARD_",
    "TELEGRAM_",
    "SLACK_",
    "WEBHOOK_",
    "PAGERDUTY_",
    "SMTP_",
    "APPRISE_",
)

Names = Annotated[tuple[str, ...], NoDecode]


def _setting(default: object, *, unit: str, about: str, **bounds: Any) -> Any:  # noqa: ANN401 - pydantic's Field is untyped
    return Field(default, description=about, json_schema_extra={"unit": unit}, **bounds)


class Settings(BaseSettings):
    """The checked settings. Field names in capitals are the names in the environment."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", case_sensitive=False)

    # Kafka
    kafka_bootstrap_servers: str = _setting(
        "127.0.0.1:9092", unit="host:port, ...", about="where the broker listens", min_length=3
    )
    kafka_topic_prefix: str = _setting("", unit="text", about="put before every topic's name", max_length=64)
    kafka_partitions: int = _setting(
        12, unit="partitions", about="of the trades topic and its kin", ge=1, le=1_000
    )
    kafka_replication_factor: int = _setting(1, unit="replicas", about="of every topic", ge=1, le=7)
    kafka_compression: Literal["lz4", "zstd"] = _setting("lz4", unit="codec", about="of produced batches")
    kafka_trades_retention_hours: int = _setting(
        24, unit="h", about="how long trades are kept", ge=1, le=8_760
    )
    kafka_session_timeout_s: float = _setting(
        15.0, unit="s", about="silence after which a worker is taken for dead", ge=1, le=45
    )
    kafka_group_protocol: Literal["classic", "consumer"] = _setting(
        "classic", unit="protocol", about="of consumer groups; consumer is KIP-848, for brokers from 4.0 on"
    )
    kafka_fast_reads: Literal["off", "scan", "auto"] = _setting(
        "auto",
        unit="mode",
        about="off: an object per record and trade; scan: per record; auto: neither, where that was tested",
    )
    processing_guarantee: Literal["exactly_once", "at_least_once"] = _setting(
        "exactly_once", unit="mode", about="how the detector commits"
    )

    # Markets
    exchange: Literal["binance", "coinbase", "kraken"] = _setting(
        "binance", unit="venue", about="where the trades of this producer come from"
    )
    markets: Names = _setting(
        DEFAULT_MARKETS, unit="BASE-QUOTE, ...", about=f"markets to watch, or {ALL_USDT}", min_length=1
    )
    coinbase_markets: Names = _setting(
        (), unit="BASE-QUOTE, ...", about="markets to watch on Coinbase; empty: those of MARKETS"
    )
    kraken_markets: Names = _setting(
        (), unit="BASE-QUOTE, ...", about="markets to watch on Kraken; empty: those of MARKETS"
    )

    # Producer
    producer_ws_url: str = _setting(
        "", unit="URL", about="WebSocket endpoint; empty: the exchange's own", pattern=r"^(wss?://.+)?$"
    )
    producer_rest_url: str = _setting(
        "",
        unit="URL",
        about="REST endpoint, for gaps; empty: the exchange's own",
        pattern=r"^(https?://.+)?$",
    )
    producer_streams_per_connection: int = _setting(
        200, unit="streams", about="markets on one connection", ge=1, le=1_024
    )
    producer_reconnect_after_hours: float = _setting(
        23.0, unit="h", about="age at which a connection is replaced", gt=0, lt=24
    )
    producer_healthy_after_s: float = _setting(
        60.0, unit="s", about="time of data after which back-off resets", gt=0, le=3_600
    )
    producer_backoff_max_s: float = _setting(
        60.0, unit="s", about="longest wait between connection attempts", ge=1, le=3_600
    )
    producer_stale_min_s: float = _setting(
        10.0, unit="s", about="shortest silence of a market that is checked", ge=1, le=600
    )
    producer_stale_max_s: float = _setting(
        300.0, unit="s", about="longest silence of a market that is not checked", ge=1, le=86_400
    )
    producer_backfill_on_start_trades: int = _setting(
        1_000, unit="trades", about="fetched per market before the first live one", ge=0, le=100_000
    )
    producer_backfill_max_trades: int = _setting(
        100_000,
        unit="trades",
        about="largest gap that is filled; a larger one is published as a gap",
        ge=0,
        le=10_000_000,
    )
    producer_rest_weight_per_minute: int = _setting(
        3_000,
        unit="weight/min",
        about="that we use of Binance's 6,000; Coinbase and Kraken have slower limits of their own",
        ge=50,
        le=6_000,
    )
    producer_queue_trades: int = _setting(
        200_000,
        unit="trades",
        about="held while Kafka is slow, before the oldest connection is paused",
        ge=1_000,
        le=10_000_000,
    )

    producer_quotes: Literal["off", "book_ticker", "depth"] = _setting(
        "off", unit="mode", about="quotes read beside the trades (Binance): the best ones, or order books"
    )
    producer_quote_levels: int = _setting(
        20, unit="levels", about="of each side of an order book that are published", ge=1, le=200
    )

    # Detector
    detector_enabled: Names = _setting(
        ("combined", "whale", "flash_crash", "spike", "pump_dump", "wash_trading", "manipulation"),
        unit="names",
        about="detectors whose anomalies are published",
    )
    detector_shadow: Names = _setting(
        (), unit="names", about="detectors on trial: their anomalies are kept, marked, and alert nobody"
    )
    detector_budget_per_day: float = _setting(
        5.0, unit="alerts/day", about="anomalies per market, day and calibrated detector", gt=0, le=10_000
    )
    detector_min_move_pct: float = _setting(
        0.3, unit="%", about="moves over 10 s below this are never price anomalies", ge=0, le=100
    )
    detector_zscore_window_trades: int = _setting(
        1_000, unit="trades", about="length of the sliding z-score", ge=50, le=100_000
    )
    detector_zscore_robust: bool = _setting(
        False, unit="true, false", about="the z-score takes median and median absolute deviation"
    )
    detector_zscore_seasonal: bool = _setting(
        False,
        unit="true, false",
        about="the z-score takes the rhythm of day and week from volume, rate and volatility",
    )
    detector_forest_trees: int = _setting(32, unit="trees", about="of the online forest", ge=1, le=500)
    detector_forest_window_trades: int = _setting(
        2_048, unit="trades", about="that the online forest remembers", ge=128, le=65_536
    )
    detector_warm_up_trades: int = _setting(
        1_000, unit="trades", about="before a calibrated detector speaks", ge=200, le=1_000_000
    )
    detector_flash_crash_drop_pct: float = _setting(
        10.0, unit="%", about="fall that always is a flash crash, and rise that is a spike", gt=0, lt=100
    )
    detector_flash_crash_min_drop_pct: float = _setting(
        4.0, unit="%", about="smaller ones within 300 s never are, however calm the market", gt=0, lt=50
    )
    detector_flash_crash_window_s: float = _setting(
        300.0, unit="s", about="within which it must happen", ge=1, le=3_600
    )
    pump_dump_scorer: str = _setting(
        "", unit="folder", about="of a scorer for pumps, trained by `python -m training pumps`; empty: none"
    )
    pump_dump_confirm_at: float = _setting(
        0.0, unit="share", about="its probability that makes less evidence a pump; 0: never", ge=0, le=1
    )
    pump_dump_veto_below: float = _setting(
        0.0, unit="share", about="its probability under which no evidence is a pump", ge=0, le=1
    )
    detector_whale_min_notional: float = _setting(
        100_000.0, unit="quote", about="smaller orders are never whales", ge=0
    )
    detector_whale_quiet_s: float = _setting(
        5_400.0, unit="s", about="time without another whale that ends their episode", ge=1, le=86_400
    )
    detector_episode_quiet_s: float = _setting(
        60.0, unit="s", about="silence that closes any other episode", ge=1, le=86_400
    )
    detector_parole_s: float = _setting(
        600.0,
        unit="s",
        about="of event time after which a detector that raised on a market is tried again",
        ge=1,
        le=86_400,
    )
    detector_snapshot_interval_s: float = _setting(
        30.0, unit="s", about="between two snapshots of a market", ge=1, le=3_600
    )
    detector_forget_after_h: float = _setting(
        24.0,
        unit="h",
        about="silence, in event time, after which a market's state is dropped",
        ge=0.1,
        le=8_760,
    )
    detector_shed_above_lag_s: float = _setting(
        0.0, unit="s", about="delay above which costly detectors pause; 0: never", ge=0, le=3_600
    )
    detector_seed: int = _setting(1, unit="number", about="of all randomness", ge=0, le=2**31 - 1)

    # What concerns several markets
    detector_tick_interval_s: float = _setting(
        1.0, unit="s", about="between two ticks of a market for the cross-market step", ge=0.1, le=60
    )
    detector_tick_move_bps: float = _setting(
        5.0, unit="bps", about="move of a price that makes a tick sooner", gt=0, le=1_000
    )
    detector_cross_enabled: Names = _setting(
        ("arbitrage", "market_move", "layered_burst", "context"),
        unit="names",
        about="what the cross-market worker looks for",
    )
    detector_cross_lateness_s: float = _setting(
        2.0, unit="s", about="for which ticks of other markets are waited for", ge=0, le=60
    )
    detector_market_move_pct: float = _setting(
        1.0, unit="%", about="median move in 60 s that is one of the whole market", gt=0, le=100
    )
    detector_arbitrage_min_net_bps: float = _setting(
        80.0,
        unit="bps",
        about="difference between venues, after fees, that is an opportunity",
        gt=0,
        le=10_000,
    )
    detector_arbitrage_fees_bps: float = _setting(
        20.0, unit="bps", about="of buying on one venue and selling on the other", ge=0, le=1_000
    )
    detector_arbitrage_stale_s: float = _setting(
        30.0, unit="s", about="silence after which a venue has no price", ge=1, le=600
    )
    detector_arbitrage_persist_s: int = _setting(
        3, unit="s", about="for which a difference must last", ge=1, le=600
    )
    detector_arbitrage_same_quotes: Names = _setting(
        ("USD", "USDT", "USDC"), unit="assets, ...", about="quote assets that count as one", min_length=1
    )

    # Alerter
    alerter_rules: str = _setting(
        "", unit="file", about="rules of alerting (docs/alerting.md); empty: alerter/rules/default.yaml"
    )
    alerter_min_severity: Severity | None = _setting(
        None, unit="severity", about="lower ones are not sent; empty: as the rules say"
    )
    alerter_cooldown_s: float | None = _setting(
        None,
        unit="s",
        about="between two alerts of one market and kind; empty: as the rules say",
        ge=0,
        le=86_400,
    )
    telegram_bot_token: SecretStr | None = _setting(None, unit="secret", about="from @BotFather")
    telegram_chat_ids: Names = _setting((), unit="ids, ...", about="chats that are told")
    telegram_user_ids: Names = _setting(
        (), unit="ids or @names, ...", about="who in these chats may press and command; empty: everybody"
    )
    telegram_buttons: bool = _setting(
        True, unit="true, false", about="buttons and commands; false where another program reads the bot"
    )
    telegram_api_url: str = _setting(
        "https://api.telegram.org", unit="URL", about="Bot API server", pattern=r"^https?://"
    )
    slack_bot_token: SecretStr | None = _setting(None, unit="secret", about="xoxb-...")
    slack_channel: str = _setting("", unit="id or #name", about="channel that is told, with slack_bot_token")
    slack_app_token: SecretStr | None = _setting(
        None, unit="secret", about="xapp-..., for buttons and commands through Socket Mode"
    )
    slack_signing_secret: SecretStr | None = _setting(
        None, unit="secret", about="of the app, for buttons and commands at an endpoint of ours"
    )
    slack_endpoint_host: str = _setting("127.0.0.1", unit="address", about="where the endpoint listens")
    slack_endpoint_port: int = _setting(8_510, unit="port", about="of the endpoint", ge=1, le=65_535)
    slack_user_ids: Names = _setting(
        (), unit="ids, ...", about="who in the channel may press and command; empty: everybody"
    )
    slack_api_url: str = _setting(
        "https://slack.com/api/", unit="URL", about="Web API", pattern=r"^https?://"
    )
    slack_webhook_url: SecretStr | None = _setting(None, unit="secret", about="incoming webhook")
    webhook_url: SecretStr | None = _setting(
        None, unit="secret", about="receiver of every notification as JSON"
    )
    webhook_secret: SecretStr | None = _setting(None, unit="secret", about="with which it is signed")
    pagerduty_routing_key: SecretStr | None = _setting(
        None, unit="secret", about="of an Events API v2 integration"
    )
    pagerduty_api_url: str = _setting(
        "https://events.pagerduty.com", unit="URL", about="Events API", pattern=r"^https?://"
    )
    smtp_host: str = _setting("", unit="name", about="server for e-mail; empty: none")
    smtp_port: int = _setting(587, unit="port", about="of the server", ge=1, le=65_535)
    smtp_security: Literal["starttls", "tls", "none"] = _setting(
        "starttls", unit="mode", about="encryption; none only for a relay without login"
    )
    smtp_user: str = _setting("", unit="text", about="to log in as; empty: no login")
    smtp_password: SecretStr | None = _setting(None, unit="secret", about="of the user")
    smtp_from: str = _setting("", unit="address", about="sender of e-mail")
    smtp_to: Names = _setting((), unit="addresses, ...", about="who gets e-mail")
    apprise_urls: SecretStr | None = _setting(
        None, unit="secret", about="addresses of other services, separated by blanks; needs the extra apprise"
    )

    # Store and recordings
    database_url: SecretStr = _setting(
        SecretStr("sqlite:///data/tapewatch.db"), unit="SQLAlchemy URL", about="SQLite or PostgreSQL"
    )
    postgres_password: SecretStr | None = _setting(
        None, unit="secret", about="of the database in docker-compose.yml, which alone reads it"
    )
    recorder_parquet_dir: str = _setting("", unit="folder", about="for Parquet recordings; empty: none")
    recorder_batch_records: int = _setting(
        2_000, unit="records", about="stored in one database transaction", ge=1, le=100_000
    )

    # Dashboard, metrics, logs
    dashboard_host: str = _setting("127.0.0.1", unit="address", about="where the dashboard listens")
    dashboard_port: int = _setting(8_501, unit="port", about="of the dashboard", ge=1, le=65_535)
    dashboard_history_s: float = _setting(
        900.0, unit="s", about="of event time kept per market", ge=60, le=86_400
    )
    metrics_host: str = _setting("127.0.0.1", unit="address", about="where metrics and health are served")
    metrics_port: int = _setting(0, unit="port", about="of metrics and health; 0: none", ge=0, le=65_535)
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info", unit="level", about="least severe log"
    )

    @field_validator(
        "markets",
        "coinbase_markets",
        "kraken_markets",
        "detector_enabled",
        "detector_shadow",
        "detector_cross_enabled",
        "detector_arbitrage_same_quotes",
        "telegram_chat_ids",
        "telegram_user_ids",
        "slack_user_ids",
        "smtp_to",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        if isinstance(value, list):
            return tuple(str(part) for part in value)
        return value

    @field_validator("markets", "coinbase_markets", "kraken_markets")
    @classmethod
    def _check_markets(cls, markets: tuple[str, ...]) -> tuple[str, ...]:
        if ALL_USDT in markets and len(markets) > 1:
            raise ValueError(f"{ALL_USDT} stands alone; remove the other markets or it")
        for market in markets:
            base, hyphen, quote = market.partition("-")
            if market != ALL_USDT and not (hyphen and base and quote and market == market.upper()):
                raise ValueError(
                    f"{market!r} is no market; write BASE-QUOTE in capitals, like BTC-USDT, or {ALL_USDT}"
                )
        return tuple(dict.fromkeys(markets))

    @property
    def exchange_markets(self) -> tuple[str, ...]:
        """The markets to watch on the exchange of these settings."""
        own = {"coinbase": self.coinbase_markets, "kraken": self.kraken_markets}
        return own.get(self.exchange) or self.markets

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's, here and below
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values only from what `load` has gathered and checked for unknown names."""
        return (init_settings,)


def load(
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Settings:
    """Return the checked settings.

    Args:
        environ: the environment; the process's own by default.
        folder: where `.env` and `config.yaml` may lie; the current folder by default.
        overrides: what beats them all, by name; none by default.

    Raises:
        ConfigError: with one sentence per fault: unknown names, wrong types, values out of bounds.
    """
    environ = os.environ if environ is None else environ
    folder = Path() if folder is None else folder
    faults: list[str] = []
    known = set(Settings.model_fields)
    values: dict[str, object] = {}
    from_env = {k: v for k, v in environ.items() if k.lower() in known or k.upper().startswith(_OUR_PREFIXES)}
    for source, entries in (
        ("config.yaml", _read_yaml(folder / "config.yaml", faults)),
        (".env", dotenv_values(folder / ".env")),
        ("environment", from_env),
        ("overrides", overrides or {}),
    ):
        for name, value in entries.items():
            field = str(name).lower()
            if field not in known:
                faults.append(f"{source}: {name} is no setting.{_suggestion(field, known)}")
            elif value is not None and value != "":
                values[field] = value
    settings: Settings | None = None
    try:
        settings = Settings(**values)  # type: ignore[arg-type]  # checked by pydantic, not by mypy
    except ValidationError as error:
        faults += [_sentence(fault) for fault in error.errors(include_url=False, include_context=False)]
    if settings is not None:
        faults += _contradictions(settings)
    if faults or settings is None:
        raise ConfigError(faults)
    return settings


def read_settings(path: Path) -> dict[str, object]:
    """Return the settings of a file in the form of `config.yaml`, unchecked.

    Raises:
        ConfigError: it is no mapping.
    """
    faults: list[str] = []
    values = _read_yaml(path, faults)
    if faults:
        raise ConfigError(faults)
    return values


def _read_yaml(path: Path, faults: list[str]) -> dict[str, object]:
    if not path.exists():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        faults.append(f"{path.name}: is no YAML: {error}")
        return {}
    if content is None:
        return {}
    if not isinstance(content, dict):
        faults.append(f"{path.name}: must be a mapping of setting names to values")
        return {}
    return content


def _suggestion(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {close[0].upper()}?" if close else " Run `python config.py` to see all settings."


def _sentence(fault: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    name = str(fault["loc"][0]) if fault["loc"] else "settings"
    message = str(fault["msg"]).removeprefix("Value error, ")
    is_secret = name in _secret_names()
    given = "" if is_secret or "input" not in fault else f" (given: {str(fault['input'])[:80]!r})"
    return f"{name.upper()}: {message}{given}"


def _contradictions(settings: Settings) -> list[str]:
    faults = []
    if settings.producer_stale_max_s < settings.producer_stale_min_s:
        faults.append("PRODUCER_STALE_MAX_S: must not be below PRODUCER_STALE_MIN_S")
    if settings.producer_quotes != "off" and settings.exchange != "binance":
        faults.append("PRODUCER_QUOTES: quotes are read from Binance only; remove it, or EXCHANGE")
    if settings.telegram_bot_token and not settings.telegram_chat_ids:
        faults.append("TELEGRAM_CHAT_IDS: name at least one chat, or remove TELEGRAM_BOT_TOKEN")
    if settings.slack_bot_token and not settings.slack_channel:
        faults.append("SLACK_CHANNEL: name the channel, or remove SLACK_BOT_TOKEN")
    return faults + _channel_contradictions(settings)


def _channel_contradictions(settings: Settings) -> list[str]:
    faults = []
    for name, secret in (
        ("SLACK_APP_TOKEN", settings.slack_app_token),
        ("SLACK_SIGNING_SECRET", settings.slack_signing_secret),
    ):
        if secret and not settings.slack_bot_token:
            faults.append(f"SLACK_BOT_TOKEN: {name} needs it, to answer; or remove {name}")
    if settings.webhook_url and not settings.webhook_secret:
        faults.append("WEBHOOK_SECRET: name the secret that requests are signed with, or remove WEBHOOK_URL")
    if settings.smtp_host and not (settings.smtp_from and settings.smtp_to):
        faults.append("SMTP_FROM, SMTP_TO: name sender and recipients, or remove SMTP_HOST")
    if settings.smtp_user and settings.smtp_security == "none":
        faults.append("SMTP_SECURITY: a password is not sent without encryption; write starttls or tls")
    return faults


def _secret_names() -> set[str]:
    return {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}


def table(settings: Settings) -> Table:
    """Return the settings as a table: name, value (secrets hidden), unit, bounds, default, meaning."""
    rows = Table(title="Settings (environment > .env > config.yaml > default)", show_lines=False)
    for column in ("setting", "value", "unit", "bounds", "meaning"):
        rows.add_column(column, overflow="fold")
    secrets = _secret_names()
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        shown = ("set" if value else "not set") if name in secrets else _shown(value)
        changed = value != field.default
        extra = field.json_schema_extra
        unit = extra["unit"] if isinstance(extra, dict) else ""
        bounds = " ".join(part for part in map(_bound, field.metadata) if part)
        rows.add_row(
            name.upper(),
            f"[bold]{shown}[/bold]" if changed else shown,
            str(unit),
            bounds,
            field.description or "",
        )
    return rows


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _bound(constraint: object) -> str:
    for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
        if hasattr(constraint, name):
            return f"{sign} {getattr(constraint, name):g}"
    return ""


def kafka_params(settings: Settings, *, bootstrap_servers: str | None = None) -> KafkaParams:
    """Return how to reach the broker of the settings, or another one with the same topics."""
    return KafkaParams(
        bootstrap_servers=bootstrap_servers or settings.kafka_bootstrap_servers,
        topic_prefix=settings.kafka_topic_prefix,
        partitions=settings.kafka_partitions,
        replication_factor=settings.kafka_replication_factor,
        compression=settings.kafka_compression,
        trades_retention_ms=settings.kafka_trades_retention_hours * HOUR_MS,
        session_timeout_s=settings.kafka_session_timeout_s,
        group_protocol=settings.kafka_group_protocol,
    )


def load_or_exit() -> Settings:
    """Return the checked settings, or print every fault and exit with 1. For entry points."""
    try:
        return load()
    except ConfigError as error:
        Console(stderr=True).print(f"{len(error.faults)} fault(s) in the settings:", style="bold red")
        for fault in error.faults:
            print(f"  - {fault}", file=sys.stderr)  # noqa: T201 - this is the entry points' only voice before logging
        raise SystemExit(1) from error


if __name__ == "__main__":
    Console().print(table(load_or_exit()))
