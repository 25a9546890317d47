"""Every topic: its name, what is on it, how it is partitioned, kept and compacted.

Names are fixed; a deployment that shares a broker sets `KAFKA_TOPIC_PREFIX`. `trades`, `anomalies` and
`snapshots` have the same number of partitions and the same key (the market), so that the state of a partition
of `trades` lives in the partition of `snapshots` with the same number.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from shared.events import (
    Alert,
    AlertCommand,
    Anomaly,
    DeadLetter,
    DetectorConfig,
    MarketTick,
    Quarantine,
    Quote,
    TapeGap,
    Trade,
    WorkerStatus,
)

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS

TRADES: Final = "trades"
QUOTES: Final = "quotes"
ANOMALIES: Final = "anomalies"
SNAPSHOTS: Final = "snapshots"
QUOTE_SNAPSHOTS: Final = "quote-snapshots"
MARKET_TICKS: Final = "market-ticks"
CROSS_SNAPSHOTS: Final = "cross-snapshots"
DETECTOR_CONFIG: Final = "detector-config"
TAPE_GAPS: Final = "tape-gaps"
QUARANTINES: Final = "quarantines"
DEAD_LETTERS: Final = "dead-letters"
ALERTS: Final = "alerts"
ALERT_COMMANDS: Final = "alert-commands"
WORKER_STATUS: Final = "worker-status"


@dataclass(frozen=True, kw_only=True)
class TopicSpec:
    """How one topic is created.

    Attributes:
        name: without the deployment's prefix.
        purpose: one line for the README and `kcat` users.
        event: what a record's value decodes to; None for binary state.
        key: what the record's key is.
        per_market: true when it has one partition per partition of `trades`, false when it has one in all.
        retention_ms: how long a record is kept; -1 for ever.
        compacted: only the latest record of a key is kept.
    """

    name: str
    purpose: str
    event: type[msgspec.Struct] | None
    key: str
    per_market: bool
    retention_ms: int
    compacted: bool = False

    def partitions(self, trade_partitions: int) -> int:
        """Return the number of partitions, given that of `trades`."""
        return trade_partitions if self.per_market else 1

    def broker_config(self, *, trades_retention_ms: int) -> dict[str, str]:
        """Return the topic's configuration for the broker, values as text."""
        if self.compacted:
            return {
                "cleanup.policy": "compact",
                # Small segments, or the broker would never compact what it still writes to.
                "segment.bytes": str(64 * 1024 * 1024),
                "segment.ms": str(HOUR_MS),
                "min.cleanable.dirty.ratio": "0.2",
            }
        retention_ms = trades_retention_ms if self.name == TRADES else self.retention_ms
        return {"cleanup.policy": "delete", "retention.ms": str(retention_ms)}


TOPICS: Final[tuple[TopicSpec, ...]] = (
    TopicSpec(
        name=TRADES,
        purpose="every public trade, once, in order of id per venue and market",
        event=Trade,
        key="symbol",
        per_market=True,
        retention_ms=DAY_MS,
    ),
    TopicSpec(
        name=QUOTES,
        purpose="best bids and asks, or the best levels of order books, if PRODUCER_QUOTES asks for them",
        event=Quote,
        key="symbol",
        per_market=True,
        retention_ms=6 * HOUR_MS,
    ),
    TopicSpec(
        name=ANOMALIES,
        purpose="what the detectors found",
        event=Anomaly,
        key="symbol",
        per_market=True,
        retention_ms=30 * DAY_MS,
    ),
    TopicSpec(
        name=SNAPSHOTS,
        purpose="detector state, for restarts and hand-over",
        event=None,
        key="symbol",
        per_market=True,
        retention_ms=-1,
        compacted=True,
    ),
    TopicSpec(
        name=QUOTE_SNAPSHOTS,
        purpose="state of the detector of quotes, for restarts and hand-over",
        event=None,
        key="symbol",
        per_market=True,
        retention_ms=-1,
        compacted=True,
    ),
    TopicSpec(
        name=MARKET_TICKS,
        purpose="every market in short, at most about once a second, for what concerns several markets",
        event=MarketTick,
        key="symbol",
        per_market=False,
        retention_ms=DAY_MS,
    ),
    TopicSpec(
        name=CROSS_SNAPSHOTS,
        purpose="state of the cross-market step, for restarts",
        event=None,
        key="symbol",
        per_market=False,
        retention_ms=-1,
        compacted=True,
    ),
    TopicSpec(
        name=DETECTOR_CONFIG,
        purpose="settings of the detector per market, changed while it runs",
        event=DetectorConfig,
        key="scope",
        per_market=False,
        retention_ms=-1,
        compacted=True,
    ),
    TopicSpec(
        name=TAPE_GAPS,
        purpose="trades that could not be had from the venue",
        event=TapeGap,
        key="symbol",
        per_market=False,
        retention_ms=30 * DAY_MS,
    ),
    TopicSpec(
        name=QUARANTINES,
        purpose="detectors stopped on a market after an error",
        event=Quarantine,
        key="symbol",
        per_market=False,
        retention_ms=30 * DAY_MS,
    ),
    TopicSpec(
        name=DEAD_LETTERS,
        purpose="records that could not be used, with their original bytes",
        event=DeadLetter,
        key="source",
        per_market=False,
        retention_ms=30 * DAY_MS,
    ),
    TopicSpec(
        name=ALERTS,
        purpose="changes in the life of alerts",
        event=Alert,
        key="symbol",
        per_market=False,
        retention_ms=30 * DAY_MS,
    ),
    TopicSpec(
        name=ALERT_COMMANDS,
        purpose="what people ask for: acknowledge, snooze, silence, resolve",
        event=AlertCommand,
        key="target",
        per_market=False,
        retention_ms=30 * DAY_MS,
    ),
    TopicSpec(
        name=WORKER_STATUS,
        purpose="signs of life of every worker",
        event=WorkerStatus,
        key="worker/instance",
        per_market=False,
        retention_ms=6 * HOUR_MS,
    ),
)

_BY_NAME: Final = {spec.name: spec for spec in TOPICS}
_BY_EVENT: Final = {spec.event: spec for spec in TOPICS if spec.event is not None}


def spec(name: str) -> TopicSpec:
    """Return a topic's specification.

    Raises:
        KeyError: no topic has this name.
    """
    return _BY_NAME[name]


def topic_of(event_type: type[msgspec.Struct]) -> str:
    """Return the topic that events of this type go to.

    Raises:
        KeyError: events of this type go to no topic.
    """
    return _BY_EVENT[event_type].name
