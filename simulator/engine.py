"""The exchange without sockets: source, playback, faults, subscribers and REST in one place.

Time is an argument. A subscriber is written to through a `Link`; `server.py` has the one made of WebSockets.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from simulator.binance import Binance, BinanceSession
from simulator.coinbase import Coinbase
from simulator.faults import FaultCommand, FaultCounts, Faults, FaultSettings, Framed, FrameFaults
from simulator.kraken import Kraken
from simulator.playback import Playback, Played
from simulator.source import Injected, MarketBook, MarketTrade, Source
from simulator.subscribers import Link, Subscriber
from simulator.tape import Tape
from simulator.venue import Request, Response, Session, Venue, VenueName
from simulator.weights import WeightLimiter, WeightParams

# Playback waits while more than this lies unsent at a connection: a client that is slower than the chosen
# speed gets everything later, instead of losing what the faults did not mean to lose.
_HIGH_WATER_BYTES: Final = 4 * 1024 * 1024

_LONGEST_PAUSE_US: Final = 50_000
_HEARTBEAT_US: Final = 1_000_000

VENUES: Final[Mapping[str, Callable[..., Venue]]] = {
    VenueName.BINANCE: Binance,
    VenueName.COINBASE: Coinbase,
    VenueName.KRAKEN: Kraken,
}


@dataclass(frozen=True, kw_only=True)
class EngineParams:
    """How the exchange behaves.

    Attributes:
        venues: whose protocols it speaks, each at an address of its own; names of `VENUES`. Each tells the
            trades that the source has for it, and those that it has for all.
        speed: seconds of source time per second of wall time.
        seed: of the faults.
        starts_at_once: whether time runs before the first client subscribes.
        connection_lifetime_s: age at which a connection is closed; the exchange's is 24 h.
        slow_client_s: how long a client may leave data unread, with playback waiting, before it is cut.
        history_trades: trades per market and venue that REST knows, at least.
        weights: how strict REST is.
        faults: in force from the beginning.
    """

    venues: tuple[str, ...] = (VenueName.BINANCE,)
    speed: float = 1.0
    seed: int = 1
    starts_at_once: bool = False
    connection_lifetime_s: float = 86_400.0
    slow_client_s: float = 30.0
    history_trades: int = 100_000
    weights: WeightParams = field(default_factory=WeightParams)
    faults: FaultSettings = field(default_factory=FaultSettings)


class SymbolState(msgspec.Struct, frozen=True, kw_only=True):
    """What has happened on one market of a venue. Ids are those still on the tape."""

    trades: int
    first_id: int | None
    last_id: int | None


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What `GET /simulator/state` answers.

    Attributes:
        started: whether time runs.
        finished: whether the source has ended and all of it has been played.
        connections: open ones.
        trades_total: played on all markets of all venues, history not included.
        rest_weight_used: in this minute.
        rest_weight_total: since the start.
        counts: of frames, connections and requests, by name.
        symbols: per market of the venue that was asked.
    """

    started: bool
    finished: bool
    connections: int
    trades_total: int
    rest_weight_used: int
    rest_weight_total: int
    counts: dict[str, int]
    symbols: dict[str, SymbolState]


class Engine:
    """The exchange.

    Args:
        params: how it behaves.
        source: what it plays.
        on_injected: told of each injected event when it begins.
        now_us: wall-clock time.
    """

    def __init__(
        self,
        params: EngineParams,
        source: Source,
        *,
        on_injected: Callable[[Injected], None],
        now_us: int,
    ) -> None:
        self._params = params
        self._on_injected = on_injected
        self._playback = Playback(source, speed=params.speed)
        self._symbols = tuple(info.symbol for info in source.symbols)
        self._tapes = {
            name: {symbol: Tape(capacity=params.history_trades) for symbol in self._symbols}
            for name in params.venues
        }
        self._played = {name: dict.fromkeys(self._symbols, 0) for name in params.venues}
        self._played_total = 0
        self._limiters = {name: WeightLimiter(params.weights) for name in params.venues}
        self._venues = {
            name: VENUES[name](symbols=source.symbols, tapes=self._tapes[name], limiter=limiter)
            for name, limiter in self._limiters.items()
        }
        self._faults = Faults(settings=params.faults)
        self._subscribers: set[Subscriber] = set()
        self._connections_total = 0
        self._pumped_us = self._beat_us = now_us
        for name, trades in self._told(self._playback.history(now_us=now_us)).items():
            for trade in trades:
                self._tapes[name][trade.symbol].append(trade)
        if params.starts_at_once:
            self.start(now_us=now_us)

    @property
    def counts(self) -> FaultCounts:
        """What was done to frames, connections and requests."""
        return self._faults.counts

    @property
    def venues(self) -> Mapping[str, Venue]:
        """The venues by name."""
        return self._venues

    def start(self, *, now_us: int) -> None:
        """Let time run, unless it does."""
        self._playback.start(now_us=now_us)

    def connect(self, venue: Venue, session: Session, link: Link, *, now_us: int) -> Subscriber:
        """Take a new connection to a venue."""
        faults = FrameFaults(seed=self._params.seed, connection=self._connections_total, counts=self.counts)
        self._connections_total += 1
        self.counts.connections_opened += 1
        subscriber = Subscriber(venue=venue, session=session, link=link, faults=faults, opened_us=now_us)
        self._subscribers.add(subscriber)
        self._start_if_subscribed(subscriber, now_us)
        return subscriber

    def disconnect(self, subscriber: Subscriber) -> None:
        """Forget a connection that is gone."""
        self._subscribers.discard(subscriber)

    def control(self, subscriber: Subscriber, message: str | bytes, *, now_us: int) -> list[bytes]:
        """Take a message of a client and return the frames that answer it."""
        answer = subscriber.session.control(message)
        self._start_if_subscribed(subscriber, now_us)
        return answer

    def request(self, venue: Venue, request: Request, *, now_us: int) -> Response:
        """Answer a REST request to a venue."""
        refusal = self._faults.refusal(now_us=now_us)
        if refusal is not None:
            return venue.refuse(refusal)
        market_time_us = self._playback.market_time_us(now_us=now_us)
        return venue.answer(request, now_us=now_us, market_time_us=market_time_us)

    def command(self, command: FaultCommand, *, now_us: int) -> None:
        """Misbehave as told.

        Raises:
            ValueError: the command names a market or a status that does not exist.
        """
        if command.stall_symbol is not None and command.stall_symbol not in self._symbols:
            raise ValueError(
                f"{command.stall_symbol!r} is no market here; there are {', '.join(self._symbols)}"
            )
        if command.status_symbol is not None:
            self._set_status(command.status_symbol, command.status)
        self._faults.command(command, now_us=now_us)
        if command.server_shutdown:
            self._announce_shutdown(command.close_after_s, now_us)
        if command.cut_now:
            for subscriber in list(self._subscribers):
                self._cut(subscriber)

    def pump(self, *, now_us: int) -> int:
        """Do what is due; return the wall time in µs after which to call again, 0 for at once."""
        elapsed_us, self._pumped_us = now_us - self._pumped_us, now_us
        self._age(now_us)
        self._beat(now_us)
        if self._is_client_slow(now_us):
            self._playback.hold(us=elapsed_us)
            return 1_000
        was_finished = self._playback.is_finished
        played = self._playback.take(now_us=now_us)
        self._publish(played, now_us)
        if self._playback.is_finished and not was_finished:
            for subscriber in self._subscribers:
                subscriber.link.write(list(subscriber.faults.release()))
        due_in_us = self._playback.due_in_us(now_us=now_us)
        return _LONGEST_PAUSE_US if due_in_us is None else min(due_in_us, _LONGEST_PAUSE_US)

    def state(self, venue: Venue | None = None) -> State:
        """Return what has happened so far.

        Args:
            venue: whose markets to tell; None: those of the first.
        """
        name = next(name for name, one in self._venues.items() if venue in {one, None})
        return State(
            started=self._playback.is_started,
            finished=self._playback.is_finished,
            connections=len(self._subscribers),
            trades_total=self._played_total,
            rest_weight_used=sum(limiter.used for limiter in self._limiters.values()),
            rest_weight_total=sum(limiter.used_total for limiter in self._limiters.values()),
            counts={name: getattr(self.counts, name) for name in FaultCounts.__dataclass_fields__},
            symbols={
                symbol: SymbolState(
                    trades=self._played[name][symbol], first_id=tape.first_id, last_id=tape.last_id
                )
                for symbol, tape in self._tapes[name].items()
            },
        )

    def _set_status(self, symbol: str, status: str) -> None:
        """Change a market's status on the venues that have such a status; on none is an error."""
        faults = []
        for venue in self._venues.values():
            try:
                venue.set_status(symbol, status)
            except ValueError as error:
                faults.append(error)
        if len(faults) == len(self._venues):
            raise faults[0]

    def _start_if_subscribed(self, subscriber: Subscriber, now_us: int) -> None:
        if not self._playback.is_started and any(map(subscriber.session.wants, self._symbols)):
            self.start(now_us=now_us)

    def _publish(self, played: Played, now_us: int) -> None:
        for event in played.injected:
            self._on_injected(event)
        self._show(played.books)
        if not played.trades:
            return
        self._played_total += len(played.trades)
        told = self._told(played.trades)
        for name, trades in told.items():
            for trade in trades:
                self._tapes[name][trade.symbol].append(trade)
                self._played[name][trade.symbol] += 1
        trades_of = {self._venues[name]: trades for name, trades in told.items()}
        encoded: dict[tuple[Venue, Hashable], list[bytes]] = {}
        stalled = {name for name in self._symbols if self._faults.is_stalled(name, now_us=now_us)}
        for subscriber in self._subscribers:
            self._send(subscriber, trades_of[subscriber.venue], encoded, stalled)

    def _show(self, books: list[MarketBook]) -> None:
        """Tell the changes of order books to those who want quotes."""
        venue = self._venues.get(VenueName.BINANCE)
        if not books or not isinstance(venue, Binance):
            return
        changes = venue.show(books)
        for subscriber in self._subscribers:
            if isinstance(subscriber.session, BinanceSession):
                frames = venue.quotes(changes, subscriber.session)
                subscriber.link.write(list(subscriber.faults.apply(frames, self._faults.settings)))

    def _told(self, trades: list[MarketTrade]) -> dict[str, list[MarketTrade]]:
        """Return by venue the trades that it tells."""
        return {name: [trade for trade in trades if trade.exchange in {name, ""}] for name in self._venues}

    def _send(
        self,
        subscriber: Subscriber,
        trades: list[MarketTrade],
        encoded: dict[tuple[Venue, Hashable], list[bytes]],
        stalled: set[str],
    ) -> None:
        session = subscriber.session
        wanted = {symbol for symbol in self._symbols if session.wants(symbol)}
        if not wanted:
            return
        kind = subscriber.venue, session.form
        if kind not in encoded:
            # Encoded once for all connections of one form.
            encoded[kind] = [subscriber.venue.encode(trade, session.form) for trade in trades]
        frames = []
        for trade, payload in zip(trades, encoded[kind], strict=True):
            if trade.symbol not in wanted:
                continue
            if trade.symbol in stalled:
                self.counts.frames_stalled += 1
            else:
                frames.append(Framed(trade.symbol, payload))
        subscriber.link.write(list(subscriber.faults.apply(frames, self._faults.settings)))

    def _announce_shutdown(self, close_after_s: float | None, now_us: int) -> None:
        market_time_us = self._playback.market_time_us(now_us=now_us)
        for subscriber in self._subscribers:
            subscriber.link.write(
                subscriber.venue.shutdown(subscriber.session.form, market_time_us=market_time_us)
            )
            if close_after_s is not None:
                subscriber.close_at_us = now_us + round(close_after_s * 1e6)

    def _beat(self, now_us: int) -> None:
        """Send the venue's signs of life, once a second of the wall clock."""
        if now_us < self._beat_us + _HEARTBEAT_US:
            return
        self._beat_us = now_us
        market_time_us = self._playback.market_time_us(now_us=now_us)
        for subscriber in self._subscribers:
            subscriber.link.write(
                subscriber.venue.heartbeats(subscriber.session, market_time_us=market_time_us)
            )

    def _age(self, now_us: int) -> None:
        """Cut, close and give up connections whose time has come."""
        cut_us = self._faults.settings.cut_every_s * 1e6
        lifetime_us = self._params.connection_lifetime_s * 1e6
        for subscriber in list(self._subscribers):
            age_us = now_us - subscriber.opened_us
            if 0 < cut_us <= age_us:
                self._cut(subscriber)
            elif age_us >= lifetime_us or (
                subscriber.close_at_us is not None and now_us >= subscriber.close_at_us
            ):
                self.disconnect(subscriber)
                subscriber.link.close()

    def _cut(self, subscriber: Subscriber) -> None:
        self.counts.connections_cut += 1
        self.disconnect(subscriber)
        subscriber.link.cut()

    def _is_client_slow(self, now_us: int) -> bool:
        for subscriber in list(self._subscribers):
            if subscriber.link.unsent_bytes() <= _HIGH_WATER_BYTES:
                subscriber.slow_since_us = None
                continue
            if subscriber.slow_since_us is None:
                subscriber.slow_since_us = now_us
            if now_us - subscriber.slow_since_us > self._params.slow_client_s * 1e6:
                self.counts.connections_slow += 1
                self._cut(subscriber)
            else:
                return True
        return False
