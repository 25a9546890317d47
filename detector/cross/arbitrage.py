"""Arbitrage: one market is markedly dearer on one venue than on another, for longer than prices need to meet.

Idea: a market is what is traded against a class of quote assets that count as one (USD, USDT and USDC). For
every pair of venues, the difference of the latest prices is compared, second by second, with the fees of
taking it, and with what is usual for this very pair.

Score: the difference after fees, in hundredths of a percent (bps): 1e4 |ln(price / price)| - `fees_bps`. From
0; an opportunity from `min_net_bps` on, if it is also far from the usual difference: by `times_usual` times
the usual deviation, and by half of what the fees and the least difference add up to. It decides by itself.

Guards: a venue that has not traded for `stale_s` has no price. An episode opens when the difference has
lasted `persist_s` seconds without a break, and both venues have traded since it began: prices that nobody
trades at are no opportunity. It begins with the first of these seconds. It stays open while the difference
before fees is at least 0.7 times what opens it, in either direction, and `quiet_s` longer: in a crash the
dearer venue changes from second to second.

Warm-up: `warm_up_min` minutes with prices on both venues. What is usual is the median of the last 360 such
minutes, and its deviation 1.4826 times their median distance from it, 2 bps at least.

Cost: some array operations per second for all pairs together. Memory: 3 KB per pair.

Blind spots: transfer times and limits, depth of the books (only what was traded since is told), and what is
listed under different names. When a quote asset loses its peg, its markets differ by that for three hours.

Reference: the law of one price; comparing with the pair's own median instead of zero is ours.
"""

from typing import Final

import msgspec
import numpy as np

from detector.arrays import BoolVector, FloatVector, IntVector, loaded, loaded_str, resized
from detector.cross.board import Board
from detector.cross.params import ArbitrageParams
from detector.cross.stories import Narrator, Sight, Story
from detector.wording import amount, duration, percent, price
from shared.codec import content_id
from shared.events import Anomaly
from shared.stream.step import State

_VERSION: Final = 1
NAME: Final = "arbitrage"
BASIS_POINTS: Final = 1e4
HISTORY_MIN: Final = 360
_HELD: Final = 0.7
_LEAST_DEVIATION_BPS: Final = 2.0
_TO_DEVIATION: Final = 1.4826
_MINUTE_S: Final = 60


class _Watch(msgspec.Struct):
    """A difference that may become, or is, an episode.

    Attributes:
        is_first_dearer: on which venue of the pair the price is higher.
        since_s: its first second.
        seconds: with the difference.
        first_traded: notional on the pair's first venue since then.
        second_traded: on its second one.
        story: None until it is told.
    """

    is_first_dearer: bool
    since_s: int
    seconds: int = 0
    first_traded: float = 0.0
    second_traded: float = 0.0
    story: Story | None = None


class _Seen(msgspec.Struct, frozen=True):
    """All pairs in one second, p of each.

    Attributes:
        gap_bps: first price over second, before fees.
        is_over: whether it is an opportunity.
        is_held: whether it holds an episode open.
    """

    gap_bps: FloatVector
    is_over: BoolVector
    is_held: BoolVector


class Arbitrage:
    """Watches every pair of venues of every market.

    Args:
        params: what is an opportunity.
    """

    def __init__(self, params: ArbitrageParams) -> None:
        self.fingerprint = content_id(NAME, _VERSION, repr(params))
        self._params = params
        self._narrator = Narrator(NAME, fingerprint=self.fingerprint, threshold=params.min_net_bps)
        self._bar_bps = params.min_net_bps + params.fees_bps
        self._groups: dict[tuple[str, str], list[int]] = {}
        self._pairs = 0
        self._first = np.zeros(0, np.int64)
        self._second = np.zeros(0, np.int64)
        self._history = np.zeros((0, HISTORY_MIN), np.float64)
        self._counts = np.zeros(0, np.int64)
        self._usual = np.zeros(0, np.float64)
        self._deviation = np.zeros(0, np.float64)
        self._watches: dict[int, _Watch] = {}

    def add(self, board: Board, row: int) -> None:
        """Pair a new listing with those of the same market on other venues."""
        listing = board.listings[row]
        quote = self._params.same_quotes[0] if listing.quote in self._params.same_quotes else listing.quote
        group = self._groups.setdefault((listing.base, quote), [])
        for other in group:
            if board.listings[other].exchange != listing.exchange:
                self._pair(other, row)
        group.append(row)

    def _pair(self, first: int, second: int) -> None:
        at, self._pairs = self._pairs, self._pairs + 1
        self._first, self._second = resized(self._first, at), resized(self._second, at)
        self._history, self._counts = resized(self._history, at), resized(self._counts, at)
        self._usual, self._deviation = resized(self._usual, at), resized(self._deviation, at)
        self._first[at], self._second[at] = first, second
        self._history[at] = np.nan

    def on_second(self, board: Board) -> list[Anomaly]:
        """Judge the board's present second, then learn it."""
        if not self._pairs:
            return []
        first, second = self._first[: self._pairs], self._second[: self._pairs]
        seen, is_live = self._see(board, first, second)
        told: list[Anomaly] = []
        for at in sorted({*np.flatnonzero(seen.is_over).tolist(), *self._watches}):
            told += self._follow(at, seen, board)
        if board.at_s % _MINUTE_S == 0:
            self._learn(np.flatnonzero(is_live), seen.gap_bps)
        return told

    def _see(self, board: Board, first: IntVector, second: IntVector) -> tuple[_Seen, BoolVector]:
        params, n = self._params, self._pairs
        has_price = board.has_traded(params.stale_s)
        is_live = has_price[first] & has_price[second]
        gap_bps = np.log(board.prices[first] / board.prices[second]) * BASIS_POINTS
        size_bps = np.abs(gap_bps)
        unusual_bps = np.sign(gap_bps) * (gap_bps - self._usual[:n])
        is_unusual = unusual_bps >= np.maximum(params.times_usual * self._deviation[:n], self._bar_bps / 2)
        is_known = self._counts[:n] >= params.warm_up_min
        is_over = is_live & is_known & is_unusual & (size_bps >= self._bar_bps)
        return _Seen(gap_bps, is_over, is_live & (size_bps >= _HELD * self._bar_bps)), is_live

    def _learn(self, live: IntVector, gap_bps: FloatVector) -> None:
        if not live.size:
            return
        self._history[live, self._counts[live] % HISTORY_MIN] = gap_bps[live]
        self._counts[live] += 1
        known = self._history[live]
        self._usual[live] = np.nanmedian(known, axis=1)
        distances = np.abs(known - self._usual[live][:, None])
        self._deviation[live] = np.maximum(
            _TO_DEVIATION * np.nanmedian(distances, axis=1), _LEAST_DEVIATION_BPS
        )

    def _follow(self, at: int, seen: _Seen, board: Board) -> list[Anomaly]:
        """Go on with one pair, in which there is something."""
        is_first_dearer, is_over = bool(seen.gap_bps[at] > 0), bool(seen.is_over[at])
        told: list[Anomaly] = []
        watch = self._watches.get(at)
        is_same = is_over and watch is not None and watch.is_first_dearer == is_first_dearer
        if watch is not None and self._is_done(watch, board, is_same=is_same):
            del self._watches[at]
            if watch.story is not None:
                told.append(self._narrator.close(watch.story, second=board.at_s))
            watch = None
        if watch is None:
            if not is_over:
                return told
            watch = self._watches[at] = _Watch(is_first_dearer, board.at_s)
        watch.is_first_dearer = is_first_dearer
        watch.first_traded += float(board.notionals[self._first[at]])
        watch.second_traded += float(board.notionals[self._second[at]])
        if is_over:
            told += self._over(at, watch, seen, board)
        elif seen.is_held[at] and watch.story is not None:
            watch.story.held_s = board.at_s
        return told

    def _is_done(self, watch: _Watch, board: Board, *, is_same: bool) -> bool:
        """Return whether an episode has been quiet, or a difference did not last until it was one."""
        if watch.story is None:
            return not is_same
        return watch.story.is_over(board.at_s, quiet_s=self._params.quiet_s)

    def _over(self, at: int, watch: _Watch, seen: _Seen, board: Board) -> list[Anomaly]:
        watch.seconds += 1
        second = board.at_s
        if watch.story is not None:
            grown = self._narrator.grow(watch.story, self._sight(at, watch, seen, board), second=second)
            return [] if grown is None else [grown]
        if watch.seconds < self._params.persist_s or not (watch.first_traded and watch.second_traded):
            return []
        sight = self._sight(at, watch, seen, board)
        name = " ".join("/".join(board.listings[row]) for row in (self._first[at], self._second[at]))
        watch.story = self._narrator.open(
            sight, name=name, since_s=watch.since_s, second=second, seconds=watch.seconds
        )
        return [watch.story.told]

    def _sight(self, at: int, watch: _Watch, seen: _Seen, board: Board) -> Sight:
        rows, traded = (
            (int(self._first[at]), int(self._second[at])),
            (watch.first_traded, watch.second_traded),
        )
        cheap, dear = (1, 0) if watch.is_first_dearer else (0, 1)
        buy, sell = rows[cheap], rows[dear]
        size_bps = abs(float(seen.gap_bps[at]))
        usual_bps = float(self._usual[at]) * (1.0 if watch.is_first_dearer else -1.0)
        features = {
            "difference_bps": size_bps,
            "fees_bps": self._params.fees_bps,
            "usual_difference_bps": usual_bps,
            "usual_deviation_bps": float(self._deviation[at]),
            "lasting_s": float(board.at_s + 1 - watch.since_s),
            "seconds_over": float(watch.seconds),
            "buy_price": float(board.prices[buy]),
            "sell_price": float(board.prices[sell]),
            "buy_traded": traded[cheap],
            "sell_traded": traded[dear],
            "buy_age_s": (board.end_us - int(board.traded_us[buy])) / 1e6,
            "sell_age_s": (board.end_us - int(board.traded_us[sell])) / 1e6,
        }
        listing = board.listings[buy]
        return Sight(
            symbol=listing.symbol,
            exchange=listing.exchange,
            price=features["buy_price"],
            trade_id=int(board.trade_ids[buy]),
            event_time_us=max(int(board.traded_us[buy]), int(board.traded_us[sell])),
            score=size_bps - self._params.fees_bps,
            window_s=features["lasting_s"],
            features=features,
            contributions={"difference_bps": 1.0},
            reason=_sentence(board, buy, sell, features),
        )

    def state(self) -> State:
        """Return a copy of what is known of all pairs."""
        n = self._pairs
        return {
            "history": self._history[:n].copy(),
            "counts": self._counts[:n].copy(),
            "usual": self._usual[:n].copy(),
            "deviation": self._deviation[:n].copy(),
            "watches": msgspec.json.encode(self._watches).decode(),
        }

    def load_state(self, state: State) -> None:
        """Go on from a state, when all listings have been added.

        Raises:
            ValueError: it is damaged.
        """
        n = self._pairs
        history = loaded(state, "history", self._history, shape=(n, HISTORY_MIN))
        counts = loaded(state, "counts", self._counts, shape=(n,))
        usual = loaded(state, "usual", self._usual, shape=(n,))
        deviation = loaded(state, "deviation", self._deviation, shape=(n,))
        try:
            watches = msgspec.json.decode(loaded_str(state, "watches"), type=dict[int, _Watch])
        except msgspec.DecodeError as error:
            raise ValueError(f"damaged watches: {error}") from error
        if not all(0 <= at < n for at in watches):
            raise ValueError("watches of pairs that are not there")
        self._history[:n], self._counts[:n] = history, counts
        self._usual[:n], self._deviation[:n] = usual, deviation
        self._watches = watches


def _sentence(board: Board, buy: int, sell: int, features: dict[str, float]) -> str:
    cheap, dear = board.listings[buy], board.listings[sell]
    net_bps = features["difference_bps"] - features["fees_bps"]
    return (
        f"{cheap.base} is {_share(features['difference_bps'])} dearer on {dear.exchange} "
        f"({dear.symbol} {price(features['sell_price'])}) than on {cheap.exchange} "
        f"({cheap.symbol} {price(features['buy_price'])}), for {duration(features['lasting_s'])}: "
        f"{_share(net_bps)} after fees, usually {_share(features['usual_difference_bps'])}; "
        f"since then {amount(features['sell_traded'])} {dear.quote} and "
        f"{amount(features['buy_traded'])} {cheap.quote} were traded there."
    )


def _share(bps: float) -> str:
    return percent(bps / BASIS_POINTS)
