"""The events on the topics: immutable, JSON on the wire, one JSON Schema file each in `docs/schemas/`.

Rules: times are integer microseconds since the Unix epoch, UTC (`_us`); prices and quantities are float64 (we
detect, we do not settle: ADR 0003); readers ignore unknown fields; a new field comes with a default.
`symbol` is venue-independent, base and quote joined by a hyphen (`BTC-USDT`), and is the Kafka key, so that
every venue's trades of one market meet in one partition.
"""

from enum import StrEnum
from typing import Annotated

import msgspec

PositiveFloat = Annotated[float, msgspec.Meta(gt=0, lt=1e300)]
Symbol = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Exchange = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
# The databases' largest integer: what is beyond it could be published and then never be stored.
_LARGEST = 2**63 - 1
TimeUs = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST)]
TradeId = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST)]


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of everything that is written to a topic."""


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One public trade, as a venue reported it.

    Attributes:
        exchange: venue, lower case (`binance`).
        symbol: market, venue-independent (`BTC-USDT`).
        trade_id: the venue's id of the trade, increasing by one within venue and market.
        price: quote units per base unit.
        quantity: base units.
        is_buyer_maker: true when the taker sold.
        event_time_us: when the trade happened, by the venue's clock.
        received_time_us: when we received it, by our clock.
    """

    exchange: Exchange
    symbol: Symbol
    trade_id: TradeId
    price: PositiveFloat
    quantity: PositiveFloat
    is_buyer_maker: bool
    event_time_us: TimeUs
    received_time_us: TimeUs


class Quote(Event, frozen=True, kw_only=True, gc=False):
    """What stood in a venue's order book at a moment: the best bid and ask, and, where depth is kept, more.

    Attributes:
        exchange: venue, lower case.
        symbol: market; the Kafka key.
        update_id: the venue's id of the book's last change, increasing within venue and market, not by one.
        event_time_us: when the book changed, by the venue's clock; when we received it where the venue does
            not say (`book_ticker`).
        received_time_us: when we received it, by our clock.
        bid: highest price that is bid, in quote units per base unit.
        bid_quantity: base units at that price.
        ask: lowest price that is asked.
        ask_quantity: base units at that price.
        bids: with depth, the best levels as price and quantity, best first, `bid` among them; else empty.
        asks: the same of the asks.
        is_continuous: false when quotes of this market may be missing before this one: the first one, after
            a hole in the venue's changes, or after quotes that were dropped because Kafka was too slow.
        traded: what has traded since the quote before, as far as it was known when this one was made: price
            and base units, negative where the taker sold.
    """

    exchange: Exchange
    symbol: Symbol
    update_id: TradeId
    event_time_us: TimeUs
    received_time_us: TimeUs
    bid: PositiveFloat
    bid_quantity: PositiveFloat
    ask: PositiveFloat
    ask_quantity: PositiveFloat
    bids: list[tuple[float, float]] = msgspec.field(default_factory=list)
    asks: list[tuple[float, float]] = msgspec.field(default_factory=list)
    is_continuous: bool = True
    traded: list[tuple[float, float]] = msgspec.field(default_factory=list)


class Severity(StrEnum):
    """How much a person should care, lowest first. Derived from rarity and kind in `detector/severity.py`."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Position in the order, 0 for the lowest."""
        return list(Severity).index(self)


class EpisodePhase(StrEnum):
    """Where an episode stands when an anomaly event is emitted."""

    OPENED = "opened"
    UPDATED = "updated"
    CLOSED = "closed"


class Window(Event, frozen=True, kw_only=True, gc=False):
    """A span of event time, both ends included."""

    start_us: TimeUs
    end_us: TimeUs


class Episode(Event, frozen=True, kw_only=True, gc=False):
    """Consecutive anomalies of one kind on one market, told as one story.

    Attributes:
        episode_id: the `anomaly_id` of the event that opened it.
        phase: opened, updated or closed.
        opened_us: event time of its first anomalous trade.
        last_us: event time of its latest anomalous trade.
        trades: anomalous trades so far.
        peak_score: highest score so far.
        peak_rarity: lowest rarity so far.
    """

    episode_id: str
    phase: EpisodePhase
    opened_us: TimeUs
    last_us: TimeUs
    trades: Annotated[int, msgspec.Meta(ge=1)]
    peak_score: float
    peak_rarity: Annotated[float, msgspec.Meta(ge=0, le=1)]


class MarketContext(Event, frozen=True, kw_only=True, gc=False):
    """What the other markets did when an episode opened.

    Attributes:
        window_s: within which.
        market_return_pct: median over the other markets, in percent.
        moved_with: how many of them moved as the episode's own market did.
        markets: how many of them there were.
        is_market_wide: whether the episode came with the market, and not alone.
        sentence: the same in words; it ends the reason of the event that brings it.
    """

    window_s: float
    market_return_pct: float
    moved_with: Annotated[int, msgspec.Meta(ge=0)]
    markets: Annotated[int, msgspec.Meta(ge=0)]
    is_market_wide: bool
    sentence: str


class Anomaly(Event, frozen=True, kw_only=True, gc=False):
    """Something abnormal, why we think so, and how rare it is.

    Attributes:
        anomaly_id: derived from content (`shared.codec.anomaly_id`), so a replay repeats it.
        symbol: market.
        exchange: venue of the source trade.
        kind: what it is (`whale`, `flash_crash`, `combined`, ...).
        detector: name of the detector that found it.
        fingerprint: of the detector's configuration and version.
        severity: derived from rarity and kind.
        score: the detector's raw score, higher is stranger; its unit is in the detector's docstring.
        rarity: how often something at least this strange begins, per trade of the market; null while the
            calibrator is warming up (only detectors with absolute thresholds speak before that).
        threshold: the rarity or score that was exceeded; `threshold_on` says which.
        threshold_on: `rarity` or `score`.
        event_time_us: of the source trade.
        trade_id: of the source trade.
        price: of the source trade, in quote units.
        window: the span of event time that the judgement rests on.
        features: the values that were judged.
        contributions: per feature, the share of the score (adds up to 1, never negative).
        reason: one English sentence with numbers in it.
        episode: the episode that this event opens, updates or closes.
        shadow: found by a detector on trial: kept and shown, never alerted.
        context: what the other markets did; in the update of an episode that says so, else null.
    """

    anomaly_id: str
    symbol: Symbol
    exchange: Exchange
    kind: str
    detector: str
    fingerprint: str
    severity: Severity
    score: float
    rarity: float | None
    threshold: float
    threshold_on: str = "rarity"
    event_time_us: TimeUs
    trade_id: TradeId
    price: float
    window: Window
    features: dict[str, float]
    contributions: dict[str, float]
    reason: str
    episode: Episode
    shadow: bool = False
    context: MarketContext | None = None


class MarketTick(Trade, frozen=True, kw_only=True, gc=False):
    """What happened on one market of one venue since its tick before; for the cross-market step.

    A tick is the trade at which it is told, with sums over the trades since the tick before, itself included.

    Attributes:
        trades: how many.
        notional: of them, in quote units.
        signed_flow: of them, in quote units; what takers sold counts as negative.
        opened: anomalies that opened episodes at this trade.
    """

    trades: Annotated[int, msgspec.Meta(ge=1)] = 1
    notional: float = 0.0
    signed_flow: float = 0.0
    opened: tuple[Anomaly, ...] = ()


class Quarantine(Event, frozen=True, kw_only=True, gc=False):
    """A detector raised on valid data: it stops for this market, the others go on; later it is tried again.

    Attributes:
        symbol: market.
        detector: name of the detector.
        fingerprint: of the detector's configuration and version.
        error: what it said; empty when it was released.
        event_time_us: of the source trade.
        trade_id: at which it raised, or the first that it judged again.
        released: whether this tells the end of a quarantine, and not its beginning.
        until_us: event time from which it is tried again; 0 when it was released.
    """

    symbol: Symbol
    detector: str
    fingerprint: str
    error: str
    event_time_us: TimeUs
    trade_id: TradeId
    released: bool = False
    until_us: TimeUs = 0


SettingValue = bool | int | float | str | list[str]


class DetectorConfig(Event, frozen=True, kw_only=True, gc=False):
    """Settings of the detector for all markets, a class of them, or one; the latest of a scope counts.

    Attributes:
        scope: `default`, `class:<name>` or `market:<BASE-QUOTE>`; the Kafka key.
        settings: all that this scope sets, by the names of `detector/settings.py`; empty: nothing any more.
        markets: of a class: names of markets, or patterns in which `*` stands for any text (`*-BTC`).
        version: one more than the highest version on the topic before.
        time_us: when it was set, by the author's clock.
        author: who set it.
        comment: why.
    """

    scope: Annotated[str, msgspec.Meta(pattern="^(default|class:.+|market:.+)$", max_length=128)]
    settings: dict[str, SettingValue]
    markets: list[str] = msgspec.field(default_factory=list)
    version: Annotated[int, msgspec.Meta(ge=1, le=_LARGEST)]
    time_us: TimeUs
    author: str = ""
    comment: str = ""


class TapeGap(Event, frozen=True, kw_only=True, gc=False):
    """Trades that the venue made and that we could not get: never hidden.

    Attributes:
        exchange: venue.
        symbol: market.
        first_missing_id: first id that is missing.
        last_missing_id: last id that is missing, included.
        reason: why it could not be filled.
        detected_time_us: when we gave up, by our clock.
    """

    exchange: Exchange
    symbol: Symbol
    first_missing_id: TradeId
    last_missing_id: TradeId
    reason: str
    detected_time_us: TimeUs


class DeadLetter(Event, frozen=True, kw_only=True, gc=False):
    """A record that could not be decoded or was invalid, with its original bytes.

    Attributes:
        source: topic, or exchange stream, that it came from.
        partition: its Kafka partition, -1 when it did not come from Kafka.
        offset: its Kafka offset, -1 when it did not come from Kafka.
        key: original key (base64 on the wire).
        payload: original bytes (base64 on the wire).
        reason: what is wrong with it.
        time_us: when it was refused, by our clock.
        reader: the consumer group that set it aside, as each that reads the topic does; empty for a producer.
        cut_bytes: how much of the end of the payload is missing here, because the whole would not fit into a
            record; the source has it for as long as it is retained.
    """

    source: str
    partition: int
    offset: int
    key: bytes
    payload: bytes
    reason: str
    time_us: TimeUs
    reader: str = ""
    cut_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0


class AlertState(StrEnum):
    """Where an alert stands in its life."""

    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    ESCALATED = "escalated"
    RESOLVED = "resolved"
    SILENCED = "silenced"


class Alert(Event, frozen=True, kw_only=True, gc=False):
    """A change in the life of an alert.

    Attributes:
        alert_id: stable over the alert's life.
        anomaly_id: the anomaly that caused this change.
        symbol: market.
        kind: of the anomaly.
        severity: of the anomaly.
        state: the state entered.
        channels: where notifications went; empty when none was due.
        detail: why, in words (`cooldown 300 s`, `delivered`).
        time_us: of the change, by the alerter's clock.
        exchange: venue of the anomaly.
        fingerprint: of venue, market and kind: the same for every alert about the same thing.
        incident_id: of the group of alerts that people are told about together; a target of commands.
        level: of escalation, from 0.
        author: who acknowledged, snoozed, silenced or resolved it; empty when nobody did.
        until_us: end of a snooze or silence; 0 when there is none.
    """

    alert_id: str
    anomaly_id: str
    symbol: Symbol
    kind: str
    severity: Severity
    state: AlertState
    channels: list[str]
    detail: str
    time_us: TimeUs
    exchange: str = ""
    fingerprint: str = ""
    incident_id: str = ""
    level: int = 0
    author: str = ""
    until_us: TimeUs = 0


class AlertAction(StrEnum):
    """What a person wants done about alerts."""

    ACKNOWLEDGE = "acknowledge"
    UNACKNOWLEDGE = "unacknowledge"
    SNOOZE = "snooze"
    RESOLVE = "resolve"
    SILENCE = "silence"
    UNSILENCE = "unsilence"


class AlertCommand(Event, frozen=True, kw_only=True, gc=False):
    """What a person asked for, on a channel or on the dashboard; every alerter acts on it once.

    Attributes:
        command_id: derived from what the person did (a button press, a message), so that it counts once.
        action: what is wanted.
        target: an `incident_id` or `alert_id`; for unsilence the silence's id, which is the id of the command
            that made it; empty for silence.
        matchers: for silence: what alerts it is about: patterns by label (`market`, `kind`, `severity`,
            `exchange`), any of several, as in the alerter's rules.
        start_us: beginning of a silence; 0: now.
        until_us: end of a silence or snooze.
        author: who, as the channel knows them.
        channel: where it was asked (`telegram:1`, `dashboard`).
        comment: why.
        time_us: when, by the clock of the channel's reader.
    """

    command_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    action: AlertAction
    target: Annotated[str, msgspec.Meta(max_length=128)] = ""
    matchers: dict[str, list[str]] = msgspec.field(default_factory=dict)
    start_us: TimeUs = 0
    until_us: TimeUs = 0
    author: str = ""
    channel: str = ""
    comment: str = ""
    time_us: TimeUs


class WorkerStatus(Event, frozen=True, kw_only=True, gc=False):
    """A worker's sign of life, once every few seconds.

    Attributes:
        worker: role (`producer`, `detector`, ...).
        instance: one process of that role.
        state: `starting`, `running`, `degraded` or `stopping`.
        started_us: when the process began.
        time_us: when this was said.
        figures: named numbers, the unit in the name (`trades_total`, `lag_records`, `latency_p99_ms`).
        markets: per market, named numbers (`last_trade_id`, `gaps_total`, `silence_s`).
        detail: one sentence when the state is not `running`.
    """

    worker: str
    instance: str
    state: str
    started_us: TimeUs
    time_us: TimeUs
    figures: dict[str, float]
    markets: dict[str, dict[str, float]] = msgspec.field(default_factory=dict)
    detail: str = ""
