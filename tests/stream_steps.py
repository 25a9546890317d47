"""A small step whose output depends on everything that the runtime must keep: order, state, ids, repeats."""

from collections.abc import Iterable, Sequence

import numpy as np

from shared.codec import anomaly_id
from shared.events import Anomaly, DetectorConfig, Episode, EpisodePhase, Severity, Trade, Window
from shared.stream.step import Configured, OutputEvent, State


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
        self._salts: dict[str, int] = {}
        self.shed_to: list[int] = []

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def on_batch(self, trades: Sequence[Trade]) -> list[OutputEvent]:
        events: list[OutputEvent] = []
        for trade in trades:
            digest = self._digests.setdefault(trade.symbol, np.zeros(2, dtype=np.int64))
            digest[0] = (digest[0] * 31 + trade.trade_id + 7 + self._salts.get(trade.symbol, 0)) % 1_000_003
            digest[1] += 1
            if digest[1] % self._every == 0:
                events.append(self._anomaly(trade, float(digest[0])))
        return events

    def configure(self, symbol: str, configs: Sequence[DetectorConfig]) -> Configured:
        """Take the setting `salt` into the digests; a negative one also starts a market afresh."""
        salts = {config.scope: config.settings["salt"] for config in configs}
        salt = salts.get(f"market:{symbol}", salts.get("default", 0))
        assert isinstance(salt, int)
        digest = self._digests.get(symbol)
        if salt == self._salts.get(symbol, 0):
            return Configured(has_changed=False, events=[])
        self._salts[symbol] = salt
        if digest is None:
            return Configured(has_changed=False, events=[])
        ended = make_trade(symbol, int(digest[1]))
        events: list[OutputEvent] = [self._anomaly(ended, float(digest[0]), phase="closed")]
        if salt < 0:
            digest[:] = 0
        return Configured(has_changed=True, events=events)

    def _anomaly(self, trade: Trade, score: float, *, phase: str = "opened") -> Anomaly:
        identity = anomaly_id(
            fingerprint=f"{self._fingerprint}/{self._salts.get(trade.symbol, 0)}",
            exchange=trade.exchange,
            symbol=trade.symbol,
            trade_id=trade.trade_id,
            phase=phase,
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
        salt = self._salts.get(symbol, 0)
        return {"digest": self._digests[symbol].copy(), "fingerprint": self._fingerprint, "salt": salt}

    def restore(self, symbol: str, state: State) -> None:
        digest = state["digest"]
        assert isinstance(digest, np.ndarray)
        self._digests[symbol] = digest
        salt = state["salt"]
        assert isinstance(salt, int)
        self._salts[symbol] = salt

    def evict(self, symbol: str) -> None:
        self._digests.pop(symbol, None)
        self._salts.pop(symbol, None)
