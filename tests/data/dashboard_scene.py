"""A made-up market scene for the dashboard's tests: five markets, anomalies with reasons, workers, a gap.

`history` is what lies on the topics; `Scene` goes on from there, one step per second of our clock.
"""

import math
import random
import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from shared.codec import anomaly_id
from shared.events import (
    Alert,
    AlertState,
    Anomaly,
    Episode,
    EpisodePhase,
    Severity,
    TapeGap,
    Trade,
    Window,
    WorkerStatus,
)

US = 1_000_000
PRICES = {
    "BTC-USDT": 67_123.4,
    "ETH-USDT": 3_456.7,
    "SOL-USDT": 151.23,
    "BNB-USDT": 612.3,
    "XRP-USDT": 0.51234,
}
HOSTILE_REASON = "<img src=x onerror=alert(1)> one trade of 312 BNB, **41** times the usual size"


LONG_REASON = (
    "price moved +0.35 % in 10 s, 5.8 standard deviations above its mean of the last 1,000 trades, "
    "on 11 times the usual volume"
)
# share of the history, market, kind, severity, rarity, reason
STORIES = (
    (0.15, "ETH-USDT", "combined", "medium", 8e-6, "price moved +0.41 % in 10 s, 6.2 standard deviations"),
    (0.32, "BTC-USDT", "whale", "high", 6e-7, "one buyer took 41.2 BTC (2,765,000 USDT) in a single order"),
    (
        0.45,
        "SOL-USDT",
        "flash_crash",
        "critical",
        1e-9,
        "price fell 10.4 % within 38 s, from 151.20 to 135.48",
    ),
    (0.62, "BTC-USDT", "combined", "medium", 3e-6, "trades came 14 times as fast as usual for 3 s"),
    (0.71, "XRP-USDT", "combined", "low", 2e-5, "unusual mix of trade size and rate: forest score 0.81"),
    (0.83, "BTC-USDT", "flash_crash", "critical", 4e-9, "price fell 10.1 % within 120 s, to 60,367.85"),
    (0.91, "BNB-USDT", "whale", "high", 9e-7, HOSTILE_REASON),
    (0.96, "BTC-USDT", "combined", "medium", 5e-6, LONG_REASON),
)


class SceneRecord(NamedTuple):
    """As `shared.stream.tail.Received`, without a place on a topic."""

    event: msgspec.Struct


def make_trade(
    symbol: str,
    price: float,
    *,
    event_us: int,
    quantity: float = 1.0,
    trade_id: int = 1,
    received_us: int | None = None,
) -> Trade:
    return Trade(
        "binance",
        symbol,
        trade_id,
        price,
        quantity,
        False,
        event_us,
        event_us + 80_000 if received_us is None else received_us,
    )


def make_anomaly(
    symbol: str,
    *,
    event_us: int,
    price: float,
    kind: str = "whale",
    severity: Severity = Severity.HIGH,
    reason: str = "a reason",
    phase: EpisodePhase = EpisodePhase.OPENED,
    episode_id: str | None = None,
    trade_id: int = 1,
    rarity: float = 1e-6,
    opened_us: int | None = None,
) -> Anomaly:
    found = anomaly_id(
        fingerprint=kind, exchange="binance", symbol=symbol, trade_id=trade_id, phase=phase.value
    )
    opened_us = event_us if opened_us is None else opened_us
    return Anomaly(
        anomaly_id=found,
        symbol=symbol,
        exchange="binance",
        kind=kind,
        detector=kind,
        fingerprint=kind,
        severity=severity,
        score=7.5,
        rarity=rarity,
        threshold=1e-5,
        event_time_us=event_us,
        trade_id=trade_id,
        price=price,
        window=Window(start_us=max(0, event_us - 10 * US), end_us=event_us),
        features={"notional": 1e6},
        contributions={"notional": 1.0},
        reason=reason,
        episode=Episode(
            episode_id=episode_id or found,
            phase=phase,
            opened_us=opened_us,
            last_us=event_us,
            trades=3,
            peak_score=9.0,
            peak_rarity=rarity,
        ),
    )


def make_status(
    worker: str,
    *,
    time_us: int,
    trades_total: float = 0.0,
    state: str = "running",
    instance: str = "1",
    detail: str = "",
    **figures: float,
) -> WorkerStatus:
    return WorkerStatus(
        worker=worker,
        instance=instance,
        state=state,
        started_us=max(0, time_us - 300 * US),
        time_us=time_us,
        figures={"trades_total": trades_total, **figures},
        detail=detail,
    )


class Scene:
    """Markets that walk at random from `begin_us` on; the same seed gives the same scene."""

    def __init__(self, *, begin_us: int, seed: int = 7) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a made-up market needs no cryptographic randomness
        self._prices = dict(PRICES)
        self._ids = dict.fromkeys(PRICES, 1_000)
        self._trades = 0
        self._volatility = dict.fromkeys(PRICES, 1.0)
        self.second_us = begin_us

    def step(self) -> list[msgspec.Struct]:
        """Return the events of the next second."""
        events: list[msgspec.Struct] = []
        for symbol in PRICES:
            events += self._trades_of(symbol)
        self.second_us += US
        if self.second_us // US % 2 == 0:
            events += self._statuses()
        return sorted(events, key=lambda event: getattr(event, "event_time_us", 0))

    def _trades_of(self, symbol: str) -> list[msgspec.Struct]:
        rng = self._random
        self._volatility[symbol] = min(5.0, max(0.4, self._volatility[symbol] * math.exp(rng.gauss(0, 0.15))))
        events: list[msgspec.Struct] = []
        for _ in range(min(40, int(rng.expovariate(1 / (3 + 4 * (symbol == "BTC-USDT")))))):
            self._prices[symbol] *= math.exp(rng.gauss(0, 0.00006) * self._volatility[symbol])
            self._ids[symbol] += 1
            self._trades += 1
            quantity = rng.lognormvariate(0, 1.3) * 400 / self._prices[symbol]
            events.append(
                make_trade(
                    symbol,
                    self._prices[symbol],
                    event_us=self.second_us + rng.randrange(US),
                    quantity=quantity,
                    trade_id=self._ids[symbol],
                )
            )
        return events

    def _statuses(self) -> list[msgspec.Struct]:
        now_us = self.second_us
        return [
            make_status(
                "producer", time_us=now_us, trades_total=self._trades, gaps_total=1, latency_p99_ms=3.1
            ),
            make_status(
                "detector", time_us=now_us, trades_total=self._trades, lag_records=42, latency_p99_ms=18.4
            ),
            make_status(
                "alerter",
                time_us=now_us,
                state="degraded",
                detail="slack:#markets: refused: channel_not_found (200)",
                records_total=12,
                lag_records=0,
                dead_letters_total=0,
            ),
        ]


def history(scene: Scene, *, seconds: int) -> list[msgspec.Struct]:
    """Return the events of so many seconds, with anomalies, alerts, a gap and a recorder that fell silent."""
    begin_us = scene.second_us
    events: list[msgspec.Struct] = []
    for _ in range(seconds):
        events += scene.step()
    events += _anomalies(events, begin_us, seconds)
    gap = TapeGap(
        exchange="binance",
        symbol="SOL-USDT",
        first_missing_id=10,
        last_missing_id=21,
        reason="HTTP 418",
        detected_time_us=begin_us,
    )
    recorder = make_status(
        "recorder", time_us=begin_us + (seconds - 95) * US, trades_total=1_234, lag_records=3_120
    )
    return [*events, gap, recorder]


def _anomalies(events: Sequence[msgspec.Struct], begin_us: int, seconds: int) -> list[msgspec.Struct]:
    told: list[msgspec.Struct] = []
    for number, (share, symbol, kind, severity, rarity, reason) in enumerate(STORIES):
        at_us = begin_us + int(share * seconds) * US
        before = [
            e for e in events if isinstance(e, Trade) and e.symbol == symbol and e.event_time_us <= at_us
        ]
        if not before:
            continue
        source = before[-1]
        anomaly = make_anomaly(
            symbol,
            event_us=source.event_time_us,
            price=source.price,
            kind=kind,
            severity=Severity(severity),
            reason=reason,
            rarity=rarity,
            trade_id=source.trade_id,
        )
        told.append(anomaly)
        told += alert_life(anomaly, number)
    return told


def make_alert(anomaly: Anomaly, *, after_s: float = 0, **said: object) -> Alert:
    """Return a change in the life of an anomaly's alert."""
    given: dict[str, object] = {
        "alert_id": anomaly.anomaly_id,
        "anomaly_id": anomaly.anomaly_id,
        "symbol": anomaly.symbol,
        "kind": anomaly.kind,
        "severity": anomaly.severity,
        "state": AlertState.FIRING,
        "channels": [],
        "detail": "told",
        "time_us": anomaly.event_time_us + round(after_s * US),
        "exchange": anomaly.exchange,
        "incident_id": f"incident{anomaly.anomaly_id[:8]}",
    }
    return msgspec.convert(given | said, Alert)


def alert_life(anomaly: Anomaly, number: int) -> list[Alert]:
    """Return what became of an anomaly's alert: each number another life."""
    told = make_alert(anomaly, channels=["telegram:1001"])
    took = make_alert(anomaly, channels=["telegram:1001"], detail="delivered", after_s=0.4)
    match number:
        case 0:
            return [make_alert(anomaly, incident_id="", detail="cooldown 300 s: medium was told 100 s ago")]
        case 1:
            by = "acknowledged by ann"
            return [told, took, make_alert(anomaly, state="acknowledged", detail=by, author="ann", after_s=9)]
        case 2:
            return [
                told,
                took,
                make_alert(anomaly, state="resolved", detail="the episode is over", after_s=9),
            ]
        case 3:
            until = "snoozed by <b>bob</b> until 21:00 UTC"
            return [told, took, make_alert(anomaly, state="silenced", detail=until, author="bob", after_s=9)]
        case 5:
            unheard = "nobody acknowledged within 30 s"
            return [told, took, make_alert(anomaly, state="escalated", detail=unheard, level=1, after_s=9)]
        case _:
            return [told, took]


class SceneSource:
    """A source in this process: a history, then a second of the scene per second of our clock."""

    def __init__(self, since_us: int, *, seconds: int = 900) -> None:
        begin_us = time.time_ns() // 1_000 - seconds * US
        self._scene = Scene(begin_us=max(begin_us, since_us))
        self._waiting = history(self._scene, seconds=seconds)

    def poll(self, max_records: int = 5_000, timeout_s: float = 0.1) -> list[SceneRecord]:
        if not self._waiting and time.time_ns() // 1_000 < self._scene.second_us:
            time.sleep(timeout_s)  # as a consumer would wait for records
            return []
        if not self._waiting:
            self._waiting = self._scene.step()
        given, self._waiting = self._waiting[:max_records], self._waiting[max_records:]
        return [SceneRecord(event) for event in given]

    def close(self) -> None:
        self._waiting = []
