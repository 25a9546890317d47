"""A small step whose output depends on everything that the runtime must keep: order, state, ids, repeats."""

from collections.abc import Iterable, Sequence

import numpy as np

from shared.codec import anomaly_id
from shared.events import Anomaly, Episode, EpisodePhase, Severity, Trade, Window
from shared.stream.step import OutputEvent, State


def make_trade(symbol: str, trade_id: int, *, price: float = 100.0, quantity: float = 1.0) -> Trade:
    """Return a sound trade, one second after its predecessor."""
    return Trade(
        exchange="binance",
        symbol=symbol,
        trade_id=trade_id,
        price=price,
        quantity=quantity,
        is_buyer_maker=trade_id % 2 == 0,
        event_time_us=1_700_000_000_000_000 + trade_id * 1_000_000,
        received_time_us=1_700_000_000_000_000 + trade_id * 1_000_000,
    )


class HashStep:
    """Emits an anomaly for every third trade of a market; its score digests the market's whole history."""

    def __init__(self, fingerprint: str = "hash-1", every: int = 3) -> None:
        self._fingerprint = fingerprint
        self._every = every
        self._digests: dict[str, np.ndarray] = {}
        self.shed_to: list[int] = []

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def on_batch(self, trades: Sequence[Trade]) -> list[OutputEvent]:
        events: list[OutputEvent] = []
        for trade in trades:
            digest = self._digests.setdefault(trade.symbol, np.zeros(2, dtype=np.int64))
            digest[0] = (digest[0] * 31 + trade.trade_id + 7) % 1_000_003
            digest[1] += 1
            if digest[1] % self._every == 0:
                events.append(self._anomaly(trade, float(digest[0])))
        return events

    def _anomaly(self, trade: Trade, score: float) -> Anomaly:
        identity = anomaly_id(
            fingerprint=self._fingerprint,
            exchange=trade.exchange,
            symbol=trade.symbol,
            trade_id=trade.trade_id,
            phase="opened",
        )
        return Anomaly(
            anomaly_id=identity,
            symbol=trade.symbol,
            exchange=trade.exchange,
            kind="hash",
            detector="hash",
            fingerprint=self._fingerprint,
            severity=Severity.LOW,
            score=score,
            rarity=0.5,
            threshold=0.5,
            event_time_us=trade.event_time_us,
            trade_id=trade.trade_id,
            price=trade.price,
            window=Window(start_us=trade.event_time_us, end_us=trade.event_time_us),
            features={"digest": score},
            contributions={"digest": 1.0},
            reason=f"digest {score:.0f}",
            episode=Episode(
                episode_id=identity,
                phase=EpisodePhase.OPENED,
                opened_us=trade.event_time_us,
                last_us=trade.event_time_us,
                trades=1,
                peak_score=score,
                peak_rarity=0.5,
            ),
        )

    @property
    def shed_levels(self) -> int:
        return 2

    def shed(self, level: int) -> None:
        self.shed_to.append(level)

    def symbols(self) -> Iterable[str]:
        return list(self._digests)

    def snapshot(self, symbol: str) -> State:
        return {"digest": self._digests[symbol].copy(), "fingerprint": self._fingerprint}

    def restore(self, symbol: str, state: State) -> None:
        digest = state["digest"]
        assert isinstance(digest, np.ndarray)
        self._digests[symbol] = digest

    def evict(self, symbol: str) -> None:
        self._digests.pop(symbol, None)
