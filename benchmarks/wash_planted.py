"""Washing that we planted into ordinary markets: how strong it must be to be found, by how it is done."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from benchmarks.wash_windows import batches, judge
from detector.arrays import BoolVector, FloatVector, IntVector
from shared.stream.columns import TradeColumns

SHARES: Final = (0.1, 0.2, 0.3, 0.5)
_LENGTH: Final = 3_072
_SECOND_US: Final = 1e6


class _Planted(NamedTuple):
    """Trades of one hand: event times, sizes, and whether the taker sells."""

    times_us: FloatVector
    sizes: FloatVector
    sells: BoolVector


def _few_sizes(rng: np.random.Generator, count: int, usual: float, start: int, end: int) -> _Planted:
    """Two odd sizes, either side, at any time."""
    sizes = usual * np.array([2.13, 1.87])
    return _Planted(rng.uniform(start, end, count), sizes[rng.integers(0, 2, count)], rng.random(count) < 0.5)


def _there_and_back(rng: np.random.Generator, count: int, usual: float, start: int, end: int) -> _Planted:
    """Any size, and seconds later the same one back."""
    half = count // 2
    times = rng.uniform(start, end, half)
    sizes, sells = usual * rng.lognormal(0.7, 0.8, half), rng.random(half) < 0.5
    back = times + rng.uniform(0.2 * _SECOND_US, 5.0 * _SECOND_US, half)
    return _Planted(np.concatenate([times, back]), np.tile(sizes, 2), np.concatenate([sells, ~sells]))


def _clockwork(rng: np.random.Generator, count: int, usual: float, start: int, end: int) -> _Planted:
    """Any size, sides in turn, at regular times."""
    gap = (end - start) / (count + 1)
    times = start + gap * (1.0 + np.arange(count)) + rng.normal(0.0, 0.03 * gap, count)
    return _Planted(times, usual * rng.uniform(0.5, 5.0, count), np.arange(count) % 2 == 0)


def _at_random(rng: np.random.Generator, count: int, usual: float, start: int, end: int) -> _Planted:
    """Any size, either side, at any time."""
    return _Planted(
        rng.uniform(start, end, count), usual * rng.uniform(0.5, 5.0, count), rng.random(count) < 0.5
    )


WAYS: Final = {
    "few odd sizes, either side": _few_sizes,
    "there and back in one size": _there_and_back,
    "clockwork, sides in turn": _clockwork,
    "sizes, sides and times at random": _at_random,
}


def planted(tape: TradeColumns, *, way: str, share: float, seed: int) -> TradeColumns:
    """Return the middle of a tape, its second half washed at the prices of the tape.

    Args:
        tape: of a market with a few thousand trades at least.
        way: one of `WAYS`.
        share: of the trades in the second half that are of one hand.
        seed: of the generator.
    """
    rng = np.random.default_rng(seed)
    middle = len(tape) // 2
    part = tape.take(np.arange(max(0, middle - _LENGTH), min(len(tape), middle + _LENGTH)))
    half = len(part) // 2
    start, end = int(part.times_us[half]), int(part.times_us[-1])
    count = round((len(part) - half) * share / (1.0 - share))
    lot = _lot(part.quantities)
    hand = WAYS[way](rng, count, float(np.median(part.quantities)), start, end)
    times_us: IntVector = np.minimum(hand.times_us, end).astype(np.int64)
    before = np.searchsorted(part.times_us, times_us, side="right") - 1
    together = np.concatenate([part.times_us, times_us])
    order = np.argsort(together, kind="stable")
    return TradeColumns(
        venues=part.venues,
        venue=np.zeros(len(order), np.int64),
        trade_ids=np.arange(len(order)),
        prices=np.concatenate([part.prices, part.prices[before]])[order],
        quantities=np.concatenate([part.quantities, np.maximum(np.rint(hand.sizes / lot), 1.0) * lot])[order],
        sells=np.concatenate([part.sells, hand.sells.astype(np.int64)])[order],
        times_us=together[order],
        received_us=together[order],
    )


def _lot(sizes: FloatVector) -> float:
    """Return the finest power of ten that all sizes are multiples of."""
    for digits in range(8):
        scaled = sizes * 10.0**digits
        if (np.abs(scaled - np.rint(scaled)) <= 1e-6 * np.maximum(scaled, 1.0)).all():
            return 10.0**-digits
    return 1e-8


def found(markets: Sequence[TradeColumns], *, way: str, share: float) -> int:
    """Return on how many markets planted washing is told."""
    told = 0
    for seed, tape in enumerate(markets):
        windows = judge("planted", batches(planted(tape, way=way, share=share, seed=seed)))
        told += windows is not None and windows.alarms > 0
    return told
