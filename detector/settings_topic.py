"""What `python -m detector config` does: read the settings from their topic, change them, show them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.table import Table

from detector.params import EngineParams
from detector.settings import CLASS, DEFAULT, MARKET, SETTINGS, config_faults, effective
from shared import topics
from shared.clock import MICROSECONDS_PER_SECOND
from shared.codec import encode
from shared.errors import BrokerRetriableError, ConfigError
from shared.events import DetectorConfig, SettingValue
from shared.stream.broker import Broker
from shared.stream.settings_feed import SettingsFeed
from shared.stream.timeline import Configs

_FLUSH_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Who changes settings, when, and why."""

    time_us: int
    author: str = ""
    comment: str = ""


def read(broker: Broker) -> Configs:
    """Return the latest settings of every scope, without those that are faulty.

    Raises:
        BrokerError: the broker cannot be reached.
    """
    feed = SettingsFeed(broker, check=config_faults)
    try:
        feed.poll()
        return feed.configs
    finally:
        feed.close()


def publish(broker: Broker, config: DetectorConfig) -> None:
    """Write settings to the topic, and wait until the broker has them.

    Raises:
        BrokerError: it cannot be reached.
    """
    producer = broker.producer()
    producer.produce(topics.DETECTOR_CONFIG, encode(config), key=config.scope.encode())
    try:
        if producer.flush(_FLUSH_S):
            raise BrokerRetriableError("flush", detail=f"settings not acknowledged within {_FLUSH_S:g} s")
    finally:
        producer.close()


def scope_of(*, market: str | None, class_name: str | None, is_default: bool) -> str:
    """Return the scope that was asked for.

    Raises:
        ConfigError: none was, or more than one, or the market's name is none.
    """
    asked = [f"{MARKET}{market}"] if market else []
    asked += [f"{CLASS}{class_name}"] if class_name else []
    asked += [DEFAULT] if is_default else []
    if len(asked) != 1:
        raise ConfigError(["say for what: one of --market BASE-QUOTE, --class NAME, --default"])
    if market is not None:
        base, hyphen, quote = market.partition("-")
        if not (hyphen and base and quote and market == market.upper()):
            raise ConfigError([f"--market: {market!r} is no market; write BASE-QUOTE in capitals"])
    return asked[0]


def with_changes(
    configs: Configs,
    scope: str,
    signature: Signature,
    *,
    values: Mapping[str, SettingValue] | None = None,
    without: Collection[str] = (),
    markets: Sequence[str] = (),
) -> DetectorConfig:
    """Return what a scope is to be: as it was, with some settings set, and others left to wider scopes.

    Args:
        configs: the latest of every scope.
        scope: that changes.
        signature: of the change.
        values: to set.
        without: names to unset.
        markets: of a class; none: as they were.

    Raises:
        ConfigError: the outcome is faulty, or a name to unset is not set.
    """
    former = next((config for config in configs if config.scope == scope), None)
    kept = dict(former.settings) if former else {}
    if missing := [name for name in without if name not in kept]:
        raise ConfigError([f"{name} is not set for {scope}" for name in missing])
    merged = {name: value for name, value in {**kept, **(values or {})}.items() if name not in without}
    config = DetectorConfig(
        scope=scope,
        settings=merged,
        markets=list(markets) or (former.markets if former else []),
        version=max((config.version for config in configs), default=0) + 1,
        time_us=signature.time_us,
        author=signature.author,
        comment=signature.comment,
    )
    if found := config_faults(config):
        raise ConfigError(found)
    return config


def market_table(base: EngineParams, configs: Configs, symbol: str) -> Table:
    """Return what a market is judged by, and where each value comes from."""
    params, sources = effective(base, configs, symbol)
    table = Table("setting", "value", "unit", "from", title=symbol)
    for name, setting in SETTINGS.items():
        table.add_row(name, _shown(getattr(params, name)), setting.unit, sources[name])
    return table


def scopes_table(configs: Configs) -> Table:
    """Return what every scope sets, and who set it last."""
    table = Table("scope", "markets", "settings", "version", "since", "by", "why")
    for config in configs:
        since = datetime.fromtimestamp(config.time_us / MICROSECONDS_PER_SECOND, UTC)
        table.add_row(
            config.scope,
            ", ".join(config.markets),
            "\n".join(f"{name}={_shown(value)}" for name, value in sorted(config.settings.items())),
            str(config.version),
            f"{since:%Y-%m-%d %H:%M:%S}",
            config.author,
            config.comment,
        )
    return table


def _shown(value: SettingValue | tuple[str, ...]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, (list, tuple)) else f"{value}"
