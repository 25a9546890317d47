"""What the dashboard remembers of the topics: events in, bounded state out as an immutable `View`.

No threads, no I/O, no clock: `feed` owns those. Time on charts is event time, the exchange's or the
simulator's clock, which may run ahead of ours or lie years behind; only signs of life and throughput are
measured by our clock.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, TypeVar

import msgspec

from dashboard.bars import BarHistory, Bars, Budget
from dashboard.stories import AlertStories, AlertStory
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import (
    Alert,
    Anomaly,
    DeadLetter,
    EpisodePhase,
    MarketContext,
    Quarantine,
    TapeGap,
    Trade,
    WorkerStatus,
)

K = TypeVar("K")
V = TypeVar("V")

EpisodeKey = tuple[str, str]  # market, id

# Received seconds kept for throughput, skew and the speed of event time.
_PACE_S: Final = 60
_STATUSES_PER_WORKER: Final = 8
# Markets heard from this much before the newest word take no part in what time it is.
_NOW_WITHIN_US: Final = 60 * MICROSECONDS_PER_SECOND


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much is remembered.

    Attributes:
        history_s: seconds of event time per market.
        markets: markets; beyond it, the one silent for longest is forgotten.
        bars: one-second bars of all markets together.
        episodes: anomaly episodes of all markets together.
        episodes_per_market: episodes of one market.
        workers: worker instances.
        alerts: alerts, gaps and quarantines, each.
    """

    history_s: int
    markets: int = 1_000
    bars: int = 2_000_000
    episodes: int = 2_000
    episodes_per_market: int = 300
    workers: int = 64
    alerts: int = 4_000


@dataclass(frozen=True, kw_only=True)
class EpisodeView:
    """One episode: the first and the latest event that we have of it.

    Attributes:
        first: the event that opened it, or the earliest one seen.
        latest: the event with the latest word.
        worst: the most severe event.
        why: the latest event before the one that closed it: its reason tells what is strange.
        context: what the other markets did, if that is known.
        alert: the latest change of its alert, if there is one.
    """

    first: Anomaly
    latest: Anomaly
    worst: Anomaly
    why: Anomaly
    context: MarketContext | None = None
    alert: Alert | None = None

    @property
    def reason(self) -> str:
        """Why it is an anomaly, and whether it came with the market, whichever event has said so."""
        if self.context is None or self.why.context is not None:
            return self.why.reason
        return f"{self.why.reason} {self.context.sentence}"


@dataclass(frozen=True, kw_only=True)
class MarketView:
    """One market's history."""

    symbol: str
    exchange: str
    bars: Bars
    last_price: float
    previous_price: float
    last_event_us: int
    last_received_us: int
    missing_trades: int
    episodes: tuple[EpisodeView, ...]


@dataclass(frozen=True, kw_only=True)
class WorkerView:
    """One worker process: its latest sign of life, and some before it."""

    latest: WorkerStatus
    earlier: tuple[WorkerStatus, ...]


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How events come in, by our clock.

    Attributes:
        trades_by_second: trades received in each second since the epoch, over the last minute with trades.
        skew_s: receive time minus event time of the newest trade; negative when the venue's clock is ahead.
        speed: seconds of event time per second of ours; None while unknown.
        last_received_us: when the newest trade was received.
    """

    trades_by_second: Mapping[int, int]
    skew_s: float | None
    speed: float | None
    last_received_us: int | None


@dataclass(frozen=True, kw_only=True)
class View:
    """Everything a page needs, unchanging.

    Attributes:
        now_us: the latest event time; None before the first trade.
        history_s: seconds of event time that are kept.
        markets: by symbol, in order of the alphabet.
        episodes: all episodes, latest event first.
        workers: in order of role and instance.
        pace: how trades come in.
        alerts: the latest change per anomaly, latest first.
        stories: alerts with what became of them, the one that changed last first.
        gaps: latest first.
        quarantines: latest first.
        dead_letters: invalid records seen on the topic.
        trades: trades seen.
    """

    now_us: int | None
    history_s: int
    markets: Mapping[str, MarketView]
    episodes: tuple[EpisodeView, ...]
    workers: tuple[WorkerView, ...]
    pace: Pace
    alerts: tuple[Alert, ...]
    stories: tuple[AlertStory, ...]
    gaps: tuple[TapeGap, ...]
    quarantines: tuple[Quarantine, ...]
    dead_letters: int
    trades: int


@dataclass(slots=True)
class _Market:
    history: BarHistory
    exchange: str
    price: float
    previous_price: float
    event_us: int
    received_us: int
    missing_trades: int = 0


class State:
    """Folds events into bounded memory. Not safe for use by several threads."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._budget = Budget(limits.bars)
        self._markets: OrderedDict[str, _Market] = OrderedDict()  # the longest silent first
        self._missing_trades: OrderedDict[str, int] = OrderedDict()
        self._episodes = _Episodes(limits)
        self._workers: OrderedDict[tuple[str, str], deque[WorkerStatus]] = OrderedDict()
        self._alerts: OrderedDict[str, Alert] = OrderedDict()  # by the anomaly that caused it
        self._stories = AlertStories(limits.alerts)
        self._gaps: deque[TapeGap] = deque(maxlen=limits.alerts)
        self._quarantines: deque[Quarantine] = deque(maxlen=limits.alerts)
        self._pace = _PaceMeter()
        self._dead_letters = 0
        self._trades = 0

    def apply(self, events: Iterable[msgspec.Struct]) -> None:
        """Take in events, in the order of their topics. Events of other kinds are left aside."""
        for event in events:
            if isinstance(event, Trade):
                self._on_trade(event)
            elif isinstance(event, Anomaly):
                self._episodes.add(event)
            elif isinstance(event, WorkerStatus):
                self._on_status(event)
            elif isinstance(event, TapeGap):
                self._on_gap(event)
            elif isinstance(event, Alert):
                _remember(self._alerts, event.anomaly_id, event, limit=self._limits.alerts)
                self._stories.add(event)
            elif isinstance(event, Quarantine):
                self._quarantines.appendleft(event)
            elif isinstance(event, DeadLetter):
                self._dead_letters += 1

    def view(self) -> View:
        """Return what is known now."""
        episodes = self._episodes.latest_first(self._alerts)
        by_market: dict[str, list[EpisodeView]] = {}
        for episode in episodes:
            by_market.setdefault(episode.latest.symbol, []).append(episode)
        markets = {
            symbol: self._market_view(symbol, market, tuple(by_market.get(symbol, ())))
            for symbol, market in sorted(self._markets.items())
        }
        return View(
            now_us=self._now_us(),
            history_s=self._limits.history_s,
            markets=markets,
            episodes=episodes,
            workers=tuple(
                WorkerView(latest=statuses[-1], earlier=tuple(statuses)[:-1])
                for _, statuses in sorted(self._workers.items())
            ),
            pace=self._pace.view(),
            alerts=tuple(reversed(self._alerts.values())),
            stories=self._stories.latest_first(),
            gaps=tuple(self._gaps),
            quarantines=tuple(self._quarantines),
            dead_letters=self._dead_letters,
            trades=self._trades,
        )

    def held(self) -> dict[str, int]:
        """Return how much is held of each kind; every number has a bound that follows from the limits."""
        return {
            "markets": len(self._markets),
            "bars": sum(len(market.history) for market in self._markets.values()),
            "bar_capacity": sum(market.history.capacity for market in self._markets.values()),
            "episodes": len(self._episodes),
            "workers": len(self._workers),
            "alerts": len(self._alerts),
            "stories": len(self._stories),
            "gaps": len(self._gaps),
            "quarantines": len(self._quarantines),
            "missing_trades": len(self._missing_trades),
        }

    def _on_trade(self, trade: Trade) -> None:
        market = self._markets.get(trade.symbol)
        if market is None:
            market = self._new_market(trade)
        elif market.price != trade.price:
            market.previous_price = market.price
        market.history.add(trade.event_time_us // MICROSECONDS_PER_SECOND, trade.price, trade.quantity)
        market.price = trade.price
        market.exchange = trade.exchange
        market.event_us = trade.event_time_us
        market.received_us = trade.received_time_us
        self._markets.move_to_end(trade.symbol)
        self._pace.add(trade)
        self._trades += 1

    def _new_market(self, trade: Trade) -> _Market:
        if len(self._markets) >= self._limits.markets:
            _, silent = self._markets.popitem(last=False)
            silent.history.release()
        market = _Market(
            history=BarHistory(history_s=self._limits.history_s, budget=self._budget),
            exchange=trade.exchange,
            price=trade.price,
            previous_price=trade.price,
            event_us=trade.event_time_us,
            received_us=trade.received_time_us,
        )
        self._markets[trade.symbol] = market
        return market

    def _on_status(self, status: WorkerStatus) -> None:
        key = (status.worker, status.instance)
        statuses = self._workers.get(key) or deque(maxlen=_STATUSES_PER_WORKER)
        statuses.append(status)
        _remember(self._workers, key, statuses, limit=self._limits.workers)

    def _on_gap(self, gap: TapeGap) -> None:
        self._gaps.appendleft(gap)
        missing = max(0, gap.last_missing_id - gap.first_missing_id + 1)
        total = self._missing_trades.get(gap.symbol, 0) + missing
        _remember(self._missing_trades, gap.symbol, total, limit=self._limits.markets)

    def _market_view(self, symbol: str, market: _Market, episodes: tuple[EpisodeView, ...]) -> MarketView:
        return MarketView(
            symbol=symbol,
            exchange=market.exchange,
            bars=market.history.bars(),
            last_price=market.price,
            previous_price=market.previous_price,
            last_event_us=market.event_us,
            last_received_us=market.received_us,
            missing_trades=self._missing_trades.get(symbol, 0),
            episodes=episodes,
        )

    def _now_us(self) -> int | None:
        if not self._markets:
            return None
        newest_us = max(market.received_us for market in self._markets.values())
        return max(
            market.event_us
            for market in self._markets.values()
            if market.received_us >= newest_us - _NOW_WITHIN_US
        )


class _Episodes:
    """The latest episodes, overall and per market, each told by few events."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_key: OrderedDict[EpisodeKey, EpisodeView] = OrderedDict()  # the longest unchanged first
        self._keys_of: dict[str, OrderedDict[EpisodeKey, None]] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def add(self, anomaly: Anomaly) -> None:
        key = (anomaly.symbol, anomaly.episode.episode_id)
        self._by_key[key] = _grown(self._by_key.get(key), anomaly)
        self._by_key.move_to_end(key)
        keys = self._keys_of.setdefault(anomaly.symbol, OrderedDict())
        keys[key] = None
        keys.move_to_end(key)
        if len(keys) > self._limits.episodes_per_market:
            self._drop(next(iter(keys)))
        if len(self._by_key) > self._limits.episodes:
            self._drop(next(iter(self._by_key)))

    def latest_first(self, alerts: Mapping[str, Alert]) -> tuple[EpisodeView, ...]:
        told = [_with_alert(episode, alerts) for episode in self._by_key.values()]
        return tuple(sorted(told, key=lambda episode: episode.latest.event_time_us, reverse=True))

    def _drop(self, key: EpisodeKey) -> None:
        del self._by_key[key]
        keys = self._keys_of[key[0]]
        del keys[key]
        if not keys:
            del self._keys_of[key[0]]


class _PaceMeter:
    """Trades per received second over the last minute that had any, with the event time they reached."""

    def __init__(self) -> None:
        self._counts: OrderedDict[int, int] = OrderedDict()
        self._event_us_at: dict[int, int] = {}
        self._newest: Trade | None = None

    def add(self, trade: Trade) -> None:
        second = trade.received_time_us // MICROSECONDS_PER_SECOND
        if second in self._counts:
            self._counts[second] += 1
        else:
            self._counts[second] = 1
            self._event_us_at[second] = trade.event_time_us
            if len(self._counts) > _PACE_S:
                oldest, _ = self._counts.popitem(last=False)
                del self._event_us_at[oldest]
        if self._newest is None or trade.received_time_us >= self._newest.received_time_us:
            self._newest = trade

    def view(self) -> Pace:
        newest = self._newest
        skew_s = None
        if newest is not None:
            skew_s = (newest.received_time_us - newest.event_time_us) / MICROSECONDS_PER_SECOND
        return Pace(
            trades_by_second=dict(self._counts),
            skew_s=skew_s,
            speed=self._speed(),
            last_received_us=newest.received_time_us if newest is not None else None,
        )

    def _speed(self) -> float | None:
        seconds = sorted(self._event_us_at)
        if len(seconds) < 4:
            return None
        # The median of single steps: a backfilled trade or a pause of the feed moves it little.
        steps = sorted(
            (self._event_us_at[after] - self._event_us_at[before]) / ((after - before) * 1e6)
            for before, after in pairwise(seconds)
        )
        return steps[len(steps) // 2]


def _grown(known: EpisodeView | None, anomaly: Anomaly) -> EpisodeView:
    if known is None:
        return EpisodeView(first=anomaly, latest=anomaly, worst=anomaly, why=anomaly, context=anomaly.context)
    is_worse = (anomaly.severity.rank, anomaly.score) > (known.worst.severity.rank, known.worst.score)
    return EpisodeView(
        first=min(known.first, anomaly, key=_event_time_us),
        # Of events at one time the one that came later has the latest word.
        latest=max(anomaly, known.latest, key=_event_time_us),
        worst=anomaly if is_worse else known.worst,
        why=max(anomaly, known.why, key=_telling),
        context=anomaly.context or known.context,
    )


def _telling(anomaly: Anomaly) -> tuple[bool, int]:
    return anomaly.episode.phase is not EpisodePhase.CLOSED, anomaly.event_time_us


def _event_time_us(anomaly: Anomaly) -> int:
    return anomaly.event_time_us


def _with_alert(episode: EpisodeView, alerts: Mapping[str, Alert]) -> EpisodeView:
    found = [
        alerts[anomaly.anomaly_id]
        for anomaly in (episode.first, episode.worst, episode.latest)
        if anomaly.anomaly_id in alerts
    ]
    if not found:
        return episode
    latest = max(found, key=lambda alert: alert.time_us)
    return replace(episode, alert=latest)


def _remember(memory: OrderedDict[K, V], key: K, value: V, *, limit: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > limit:
        memory.popitem(last=False)
