"""A generated market's order book: what stands around its trades, ten times a second.

The best prices are those at which orders trade (`executions.py`), and what a trade takes was there and is
gone after it. The rest is noise: levels change, and every other second, on each side, an order of more than
ordinary size comes, an eighth to twice what stands on ten levels, and goes again within seconds, untraded, or
moves to another price. Events add walls (`events/spoofing.py`): orders of a size, at a distance from the best
price, from one time to another. An order that walks through the book takes a wall with it; whoever wanted
it seen puts it back before the next instant, so that it stands for its time however busy the market is.

The books are those of the orders, however these are cut into chunks (of whole instants).

Measured on the depth of BTCUSDT and ETHUSDT of 2024-08-08 (REAL_DATA_DIR, 345 s): the ten best levels of a
side hold 55 and 30 mean orders; used: 40. `docs/patterns.md` says how the two compare.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numba import njit

from shared import kernel_cache
from simulator.arrivals import Floats, Ints
from simulator.effects import Bools, Walls
from simulator.executions import Block, Orders, best_bids
from simulator.profiles import Profile, TapeShape
from simulator.source import MarketBook

kernel_cache.install()

LEVELS: Final = 30
INSTANT_S: Final = 0.1

# Depth of ten levels, in mean orders; spread of the size of a level, and its bound; and what a level holds
# over the median that is drawn, larger orders included, found by simulation.
DEPTH_ORDERS: Final = 40.0
_SIGMA: Final = 1.1
_SIGMAS_MOST: Final = 1.5
_MEAN_OF_LEVEL: Final = 3.0
_LEVEL_CHANGES: Final = 0.1
# Larger orders: a second and side; least size, in depths of ten levels; Pareto's index; most; how long they
# stand; share that moves instead of going; steps from the best price.
_LARGE_PER_S: Final = 0.5
_LARGE_LEAST: Final = 0.12
_LARGE_INDEX: Final = 1.9
_LARGE_MOST: Final = 2.0
_LARGE_STANDS_S: Final = 6.0
_LARGE_MOVES: Final = 0.5
_LARGE_OFFSETS: Final = 8
_RESTING: Final = 128
# A wall of which less is left was swept away, as trades at its price are small beside it.
_IS_SWEPT: Final = 0.5
# A resting order: side (0: none, 1: bid, 2: ask), price, quantity, until when, whether it is an event's.
_SIDE, _PRICE, _QUANTITY, _UNTIL, _OURS = range(5)


class DepthBlock(NamedTuple):
    """A market's m books of a chunk, one per instant at which it changed.

    Attributes:
        times_us: m, when.
        ticks: m, bids and asks, `LEVELS`, best first.
        steps: m, what stands there.
        trades: m, how many trades of the chunk had happened.
    """

    times_us: Ints
    ticks: Ints
    steps: Ints
    trades: Ints


@njit(cache=True)
def _instant(time_s: float) -> int:
    """Return the number of the last instant that is not after a time."""
    return int(np.floor(time_s / INSTANT_S + 1e-6))


@njit(cache=True)
def _draw(rng: np.random.Generator, median: float) -> int:
    return 1 + int(median * np.exp(_SIGMA * min(rng.standard_normal(), _SIGMAS_MOST)))


@njit(cache=True)
def _remove(book: Ints, at: int) -> None:
    for i in range(at, LEVELS - 1):
        book[i] = book[i + 1]
    book[LEVELS - 1] = 0


@njit(cache=True)
def _add(book: Ints, sign: int, price: int, quantity: int) -> None:
    """Put more on a level; one that is worse than all that are kept is forgotten."""
    for i in range(LEVELS):
        if book[i, 1] > 0 and book[i, 0] == price:
            book[i, 1] += quantity
            return
        if book[i, 1] == 0 or sign * book[i, 0] > sign * price:
            for j in range(LEVELS - 1, i, -1):
                book[j] = book[j - 1]
            book[i, 0], book[i, 1] = price, quantity
            return


@njit(cache=True)
def _take(book: Ints, price: int, quantity: int) -> None:
    for i in range(LEVELS):
        if book[i, 1] > 0 and book[i, 0] == price:
            book[i, 1] -= quantity
            if book[i, 1] <= 0:
                _remove(book, i)
            return


@njit(cache=True)
def _begin_at(book: Ints, sign: int, price: int, quantity: int) -> None:
    """Make a price the best one: what is better is gone, and something stands there."""
    while book[0, 1] > 0 and sign * book[0, 0] < sign * price:
        _remove(book, 0)
    if book[0, 1] == 0 or book[0, 0] != price:
        _add(book, sign, price, quantity)


@njit(cache=True)
def _fill_up(rng: np.random.Generator, book: Ints, sign: int, grid: int, median: float) -> None:
    for i in range(1, LEVELS):
        if book[i, 1] == 0:
            gap = 1 + int(rng.exponential(0.6))
            book[i, 0], book[i, 1] = max(1, book[i - 1, 0] + sign * grid * gap), _draw(rng, median)


@njit(cache=True)
def _rest(resting: Floats, side: int, price: int, quantity: int, until_s: float, ours: float) -> None:
    for i in range(_RESTING):
        if resting[i, _SIDE] == 0.0:
            resting[i, _SIDE], resting[i, _PRICE] = side + 1.0, price
            resting[i, _QUANTITY], resting[i, _UNTIL], resting[i, _OURS] = quantity, until_s, ours
            return


@njit(cache=True)
def _make_noise(
    rng: np.random.Generator, books: Ints, resting: Floats, now_s: float, grid: int, median: float
) -> None:
    depth = 10.0 * _MEAN_OF_LEVEL * median
    for side in range(2):
        sign, book = 2 * side - 1, books[side]
        for i in range(LEVELS):
            if book[i, 1] > 0 and rng.random() < _LEVEL_CHANGES:
                is_held = False
                for j in range(_RESTING):
                    is_held |= resting[j, _SIDE] == side + 1.0 and resting[j, _PRICE] == book[i, 0]
                if not is_held:
                    book[i, 1] = _draw(rng, median)
        if rng.random() < _LARGE_PER_S * INSTANT_S:
            times = min(_LARGE_LEAST * (1.0 - rng.random()) ** (-1.0 / _LARGE_INDEX), _LARGE_MOST)
            price = book[0, 0] + sign * grid * int(_LARGE_OFFSETS * rng.random() ** 2)
            quantity = 1 + int(times * depth)
            _add(book, sign, price, quantity)
            _rest(resting, side, price, quantity, now_s + rng.exponential(_LARGE_STANDS_S), 0.0)


@njit(cache=True)
def _let_go(rng: np.random.Generator, books: Ints, resting: Floats, now_s: float, grid: int) -> None:
    """Take back resting orders whose time has come; some that are no event's come again elsewhere."""
    for i in range(_RESTING):
        if resting[i, _SIDE] == 0.0 or resting[i, _UNTIL] > now_s:
            continue
        side, price, quantity = (
            int(resting[i, _SIDE]) - 1,
            int(resting[i, _PRICE]),
            int(resting[i, _QUANTITY]),
        )
        sign, book = 2 * side - 1, books[side]
        if sign * book[0, 0] > sign * price:
            # The best price has passed it: it was traded, or has gone before.
            resting[i, _SIDE] = 0.0
            continue
        _take(book, price, quantity)
        if resting[i, _OURS] == 0.0 and rng.random() < _LARGE_MOVES:
            moved = book[0, 0] + sign * grid * int(_LARGE_OFFSETS * rng.random() ** 2)
            _add(book, sign, moved, quantity)
            resting[i, _PRICE], resting[i, _UNTIL] = moved, now_s + rng.exponential(_LARGE_STANDS_S)
        else:
            resting[i, _SIDE] = 0.0


@njit(cache=True)
def _put_back(books: Ints, resting: Floats) -> None:
    """Put walls that were swept away where they were, unless the other side has come there."""
    for i in range(_RESTING):
        if resting[i, _SIDE] == 0.0 or resting[i, _OURS] == 0.0:
            continue
        side, price, quantity = (
            int(resting[i, _SIDE]) - 1,
            int(resting[i, _PRICE]),
            int(resting[i, _QUANTITY]),
        )
        sign = 2 * side - 1
        if sign * price <= sign * books[1 - side, 0, 0]:
            continue
        left = 0
        for j in range(LEVELS):
            if books[side, j, 1] > 0 and books[side, j, 0] == price:
                left = books[side, j, 1]
        if left < _IS_SWEPT * quantity:
            _add(books[side], sign, price, quantity)


@njit(cache=True)
def _execute(  # noqa: PLR0917 - compiled; buffers come by position
    rng: np.random.Generator,
    done: Ints,
    now_s: float,
    times_s: Floats,
    bids: Ints,
    trade_order: Ints,
    trade_ticks: Ints,
    trade_steps: Ints,
    sells: Bools,
    median: float,
    books: Ints,
) -> None:
    """Let the orders until now come; `done` counts orders and trades."""
    order, trade = done
    while order < times_s.shape[0] and times_s[order] <= now_s:
        _begin_at(books[0], -1, bids[order], _draw(rng, median))
        _begin_at(books[1], 1, bids[order] + 1, _draw(rng, median))
        while trade < trade_order.shape[0] and trade_order[trade] == order:
            side = 0 if sells[trade] else 1
            if side == 0 or trade_ticks[trade] > bids[order]:
                # What it takes stood there, and nothing better did. At prices between the usual ones nothing
                # else did, or busy books would fill up with odd levels.
                _begin_at(books[side], 2 * side - 1, trade_ticks[trade], trade_steps[trade])
                books[side, 0, 1] = max(books[side, 0, 1], trade_steps[trade])
                _take(books[side], trade_ticks[trade], trade_steps[trade])
            trade += 1
        _begin_at(books[0], -1, bids[order], _draw(rng, median))
        _begin_at(books[1], 1, bids[order] + 1, _draw(rng, median))
        order += 1
    done[0], done[1] = order, trade


@njit(cache=True)
def _show(books: Ints, resting: Floats, walls: Floats, instant: int, grid: int) -> None:
    """Put up the walls that came since the instant before."""
    for w in range(walls.shape[0]):
        if _instant(walls[w, 0]) == instant - 1:
            side, quantity = int(walls[w, 2]), int(walls[w, 4])
            sign = 2 * side - 1
            price = int(books[side, 0, 0] + sign * grid * walls[w, 3])
            _add(books[side], sign, price, quantity)
            _rest(resting, side, price, quantity, walls[w, 1], 1.0)


@njit(cache=True)
def _play(  # noqa: PLR0917 - compiled; buffers come by position
    rng: np.random.Generator,
    first: int,
    times_s: Floats,
    bids: Ints,
    grids: Ints,
    trade_order: Ints,
    trade_ticks: Ints,
    trade_steps: Ints,
    sells: Bools,
    walls: Floats,
    median: float,
    books: Ints,
    resting: Floats,
    latest: Ints,
    out: Ints,
    happened: Ints,
) -> None:
    """Write a book for every instant from number `first` on, and how many trades had happened.

    `latest` is the grid of the latest order.
    """
    done = np.zeros(2, np.int64)
    for k in range(out.shape[0]):
        now_s = (first + k) * INSTANT_S
        _execute(rng, done, now_s, times_s, bids, trade_order, trade_ticks, trade_steps, sells, median, books)
        happened[k] = done[1]
        if books[0, 0, 1] > 0:
            if done[0] > 0:
                latest[0] = grids[done[0] - 1]
            grid = latest[0]
            _let_go(rng, books, resting, now_s, grid)
            _put_back(books, resting)
            _make_noise(rng, books, resting, now_s, grid, median)
            _show(books, resting, walls, first + k, grid)
            for side in range(2):
                _fill_up(rng, books[side], 2 * side - 1, grid, median)
            out[k] = books
    # What comes after the last instant of a chunk.
    _execute(rng, done, np.inf, times_s, bids, trade_order, trade_ticks, trade_steps, sells, median, books)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a chunk's books are made of.

    Attributes:
        start_s: of the chunk, in seconds of the source.
        end_s: of the chunk.
        orders: of the chunk.
        block: their trades.
        walls: that events add in it, or in the instant before.
    """

    start_s: float
    end_s: float
    orders: Orders
    block: Block
    walls: Walls


class Depth:
    """One market's book, from chunk to chunk.

    Args:
        profile: of the market.
        shape: what all markets share.
        rng: of this book: trades are the same with and without it.
        mean_notional: of an order, in quote units.
        start_us: source time of second 0.
    """

    def __init__(
        self,
        *,
        profile: Profile,
        shape: TapeShape,
        rng: np.random.Generator,
        mean_notional: float,
        start_us: int,
    ) -> None:
        self._profile, self._shape, self._rng, self._start_us = profile, shape, rng, start_us
        self._median = usual_depth(mean_notional) / profile.price / profile.step / (10.0 * _MEAN_OF_LEVEL)
        self._books = np.zeros((2, LEVELS, 2), np.int64)
        self._resting = np.zeros((_RESTING, 5), np.float64)
        self._grid = np.ones(1, np.int64)
        self._shown = self._books.copy()

    def block(self, asked: Asked) -> DepthBlock:
        """Return the books of a chunk."""
        first, last = _instant(asked.start_s), _instant(asked.end_s)
        out = np.zeros((last - first, 2, LEVELS, 2), np.int64)
        happened = np.zeros(last - first, np.int64)
        bids, grids = best_bids(asked.orders.prices, self._profile, self._shape)
        block = asked.block
        _play(
            self._rng,
            first + 1,
            asked.orders.times_s,
            bids.astype(np.int64),
            grids.astype(np.int64),
            block.order,
            block.ticks,
            block.steps,
            block.sells,
            asked.walls.columns(self._profile.step),
            max(self._median, 1.0),
            self._books,
            self._resting,
            self._grid,
            out,
            happened,
        )
        is_other = (np.diff(out, axis=0, prepend=self._shown[None]) != 0).any(axis=(1, 2, 3))
        self._shown = out[-1] if len(out) else self._shown
        at = np.flatnonzero(is_other & (out[:, 0, 0, 1] > 0))
        times_us = self._start_us + np.round((first + 1 + at) * INSTANT_S * 1e6).astype(np.int64)
        return DepthBlock(times_us, out[at, :, :, 0], out[at, :, :, 1], happened[at])


def shown(depth: DepthBlock, profile: Profile) -> list[MarketBook]:
    """Return books as Binance tells them."""
    price_form, size_form = 10.0**profile.tick_decimals, 10.0**profile.step_decimals
    sides = [
        [
            [
                (f"{tick / price_form:.8f}", f"{steps / size_form:.8f}")
                for tick, steps in zip(*row, strict=True)
            ]
            for row in zip(depth.ticks[:, side].tolist(), depth.steps[:, side].tolist(), strict=True)
        ]
        for side in (0, 1)
    ]
    return [
        MarketBook(profile.symbol, time_us, bids, asks)
        for time_us, bids, asks in zip(depth.times_us.tolist(), *sides, strict=True)
    ]


def usual_depth(mean_notional: float) -> float:
    """Return about what stands on the ten best levels of a side, in quote units.

    Args:
        mean_notional: of an order, in quote units.
    """
    return DEPTH_ORDERS * mean_notional
