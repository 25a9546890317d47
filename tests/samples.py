"""Events to test with: one of each kind, every field overridable through `msgspec.structs.replace`."""

from shared.events import (
    Alert,
    AlertState,
    Anomaly,
    DeadLetter,
    Episode,
    EpisodePhase,
    Quarantine,
    Severity,
    TapeGap,
    Trade,
    Window,
)

START_US = 1_723_161_255_000_000


def trade(trade_id: int, *, symbol: str = "BTC-USDT", at_us: int | None = None) -> Trade:
    """Return a trade; without a time, one millisecond per id after `START_US`."""
    at_us = START_US + trade_id * 1_000 if at_us is None else at_us
    return Trade(
        exchange="binance",
        symbol=symbol,
        trade_id=trade_id,
        price=61_837.63 + trade_id % 7,
        quantity=0.02 * (1 + trade_id % 5),
        is_buyer_maker=trade_id % 2 == 0,
        event_time_us=at_us,
        received_time_us=at_us + 150_000,
    )


def trades(count: int, *, first_id: int = 0, symbol: str = "BTC-USDT") -> list[Trade]:
    """Return trades with continuous ids."""
    return [trade(first_id + number, symbol=symbol) for number in range(count)]


def anomaly(
    anomaly_id: str = "0123456789abcdef0123",
    *,
    symbol: str = "BTC-USDT",
    kind: str = "whale",
    severity: Severity = Severity.HIGH,
    at_us: int = START_US,
) -> Anomaly:
    """Return an anomaly whose rarity is not known yet."""
    return Anomaly(
        anomaly_id=anomaly_id,
        symbol=symbol,
        exchange="binance",
        kind=kind,
        detector=kind,
        fingerprint="f00d",
        severity=severity,
        score=12.5,
        rarity=None,
        threshold=10.0,
        threshold_on="score",
        event_time_us=at_us,
        trade_id=42,
        price=61_837.63,
        window=Window(start_us=at_us - 10_000_000, end_us=at_us),
        features={"notional": 1_250_000.0, "log_return_10s": -0.004},
        contributions={"notional": 0.9, "log_return_10s": 0.1},
        reason="A trade of 1.25 M USDT, 12.5 times the largest of the last hour.",
        episode=Episode(
            episode_id=anomaly_id,
            phase=EpisodePhase.OPENED,
            opened_us=at_us,
            last_us=at_us,
            trades=1,
            peak_score=12.5,
            peak_rarity=1.0,
        ),
    )


def tape_gap(first_missing_id: int = 100, *, symbol: str = "BTC-USDT") -> TapeGap:
    """Return a gap of ten trades."""
    return TapeGap(
        exchange="binance",
        symbol=symbol,
        first_missing_id=first_missing_id,
        last_missing_id=first_missing_id + 9,
        reason="larger than PRODUCER_BACKFILL_MAX_TRADES",
        detected_time_us=START_US,
    )


def quarantine(*, symbol: str = "BTC-USDT", error: str = "ZeroDivisionError: division by zero") -> Quarantine:
    """Return a detector's stop."""
    return Quarantine(
        symbol=symbol,
        detector="combined",
        fingerprint="f00d",
        error=error,
        event_time_us=START_US,
        trade_id=42,
    )


def alert(anomaly_id: str = "0123456789abcdef0123") -> Alert:
    """Return an alert that begins to fire."""
    return Alert(
        alert_id=anomaly_id,
        anomaly_id=anomaly_id,
        symbol="BTC-USDT",
        kind="whale",
        severity=Severity.HIGH,
        state=AlertState.FIRING,
        channels=["telegram"],
        detail="delivered",
        time_us=START_US,
    )


def dead_letter(payload: bytes = b"\x00not json\xff") -> DeadLetter:
    """Return a record that no reader could use."""
    return DeadLetter(
        source="trades",
        partition=3,
        offset=17,
        key=b"BTC-USDT",
        payload=payload,
        reason="JSON is malformed",
        time_us=START_US,
    )
