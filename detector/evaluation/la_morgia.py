"""Pumps by the features of La Morgia et al., and a random forest that knows other pumps.

Time is cut into chunks of 25 s; those in which takers bought have a row of twelve features: how much the
standard deviation or mean of something over the last 900 chunks (10 for prices) changed with this chunk, and
the clock. The forest (200 trees, depth 5) learns which chunks are the labelled starts of pumps, from a day
before to a day after each. A chunk with a probability of a half or more is called a pump when it ends.

Written from the paper and its published code's definitions: rush orders are instants with several buys; the
standard deviations are those of samples; hours are on a circle of 23, minutes of 59, as published.

Reference: M. La Morgia, A. Mei, F. Sassi, J. Stefa, "Pump and Dumps in the Bitcoin Era: Real Time Detection
of Cryptocurrency Market Manipulations", ICCCN 2020.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pandas as pd

from detector.arrays import BoolVector, FloatMatrix, FloatVector, IntVector
from detector.evaluation.baselines import openings, require_scikit_learn
from detector.evaluation.events import Alarm, Label, Truth
from detector.evaluation.tapes import MarketTape
from shared.clock import MICROSECONDS_PER_DAY, MICROSECONDS_PER_SECOND
from shared.errors import TapewatchError

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

FEATURES: Final = (
    "std_rush_order",
    "avg_rush_order",
    "std_trades",
    "std_volume",
    "avg_volume",
    "std_price",
    "avg_price",
    "avg_price_max",
    "hour_sin",
    "hour_cos",
    "minute_sin",
    "minute_cos",
)
CHUNK_US: Final = 25 * MICROSECONDS_PER_SECOND
WINDOW_CHUNKS: Final = 900
PRICE_CHUNKS: Final = 10
_FOLDS: Final = 5
_KIND: Final = "pump_dump"
_SURE: Final = 0.5
# What a labelled start may precede the first buy of its pump by.
_NEAR_CHUNKS: Final = 2


class Chunks(NamedTuple):
    """The chunks of one market that have features; n.

    Attributes:
        exchange: venue.
        symbol: market.
        starts_us: n, ascending.
        features: (n, 12), all finite.
    """

    exchange: str
    symbol: str
    starts_us: IntVector
    features: FloatMatrix


def chunks_of(tape: MarketTape) -> Chunks:
    """Return the features of a market, chunk by chunk."""
    parts = [_part(part) for part in tape.parts()]
    starts_us = np.concatenate([starts for starts, _ in parts])
    features = np.concatenate([rows for _, rows in parts])
    known = np.isfinite(features).all(axis=1)
    return Chunks(tape.exchange, tape.symbol, starts_us[known], features[known])


def forest(features: FloatMatrix, is_start: BoolVector) -> "RandomForestClassifier":
    """Return a random forest that has learned which chunks are starts of pumps.

    Raises:
        ToolMissingError: scikit-learn is not installed.
    """
    require_scikit_learn()
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - a second to load, and needed by few

    return RandomForestClassifier(n_estimators=200, max_depth=5, random_state=1).fit(features, is_start)


def called(trained: "RandomForestClassifier", features: FloatMatrix) -> BoolVector:
    """Return which chunks are called starts of pumps."""
    return np.asarray(trained.predict_proba(features)[:, 1] >= _SURE, np.bool_)


def examples(markets: Iterable[Chunks], truths: Iterable[Truth]) -> tuple[FloatMatrix, BoolVector]:
    """Return the chunks within a day of each labelled start, and which of them are the starts."""
    rows, starts = [np.empty((0, len(FEATURES)))], [np.empty(0, np.bool_)]
    events = _events(truths)
    for market in markets:
        is_near = np.zeros(len(market.starts_us), np.bool_)
        is_start = is_near.copy()
        for event in events:
            if event.symbol == market.symbol and event.exchange in {"", market.exchange}:
                is_near |= np.abs(market.starts_us - event.start_us) <= MICROSECONDS_PER_DAY
                _mark(market.starts_us, event.start_us, is_start)
        rows.append(market.features[is_near])
        starts.append(is_start[is_near])
    return np.concatenate(rows), np.concatenate(starts)


def alarms(tapes: Sequence[MarketTape], truths: Sequence[Truth]) -> list[Alarm]:
    """Return when pumps were called, on each market by a forest that knows none of its events.

    Raises:
        TapewatchError: there are not at least two markets with labelled pumps to learn from.
        ToolMissingError: scikit-learn is not installed.
    """
    require_scikit_learn()
    markets = [chunks_of(tape) for tape in tapes]
    pumped = {event.symbol for event in _events(truths)} & {market.symbol for market in markets}
    if len(pumped) < 2:
        raise TapewatchError("la_morgia learns from the pumps of other markets: label those of two at least")
    found = []
    for fold in _folds(sorted({market.symbol for market in markets}), sorted(pumped)):
        rows, is_start = examples([market for market in markets if market.symbol not in fold], truths)
        if not is_start.any():
            raise TapewatchError("la_morgia learns from the pumps of other markets: there are too few")
        trained = forest(rows, is_start)
        for market in markets:
            if market.symbol in fold and len(market.starts_us):
                found += _alarms(market, called(trained, market.features))
    return found


def _alarms(market: Chunks, flags: BoolVector) -> list[Alarm]:
    return [
        Alarm(
            _KIND, market.exchange, market.symbol, begin_us + CHUNK_US, end_us + CHUNK_US, "like other pumps"
        )
        for begin_us, end_us in openings(market.starts_us, flags)
    ]


def _events(truths: Iterable[Truth]) -> list[Truth]:
    return [truth for truth in truths if truth.kind == _KIND and truth.label is Label.EVENT]


def _folds(symbols: Sequence[str], pumped: Sequence[str]) -> list[set[str]]:
    """Return the markets in parts, so that those with pumps are spread evenly."""
    count = min(_FOLDS, len(pumped))
    rng = np.random.default_rng(1)
    others = [symbol for symbol in symbols if symbol not in pumped]
    dealt = [*rng.permutation(list(pumped)).tolist(), *others]
    return [set(dealt[number::count]) for number in range(count)]


def _mark(starts_us: IntVector, event_us: int, is_start: BoolVector) -> None:
    """Mark the chunk of an event, or the first one after it that is near."""
    at = int(np.searchsorted(starts_us, event_us - CHUNK_US + 1))
    if at < len(starts_us) and starts_us[at] <= event_us + _NEAR_CHUNKS * CHUNK_US:
        is_start[at] = True


def _part(tape: MarketTape) -> tuple[IntVector, FloatMatrix]:
    bought = tape.bought > 0.0
    times_us, prices = tape.times_us[bought], tape.prices[bought]
    if not times_us.size:
        return np.empty(0, np.int64), np.empty((0, len(FEATURES)))
    chunk, first, trades = np.unique(times_us // CHUNK_US, return_index=True, return_counts=True)
    instants_us, at_once = np.unique(times_us, return_counts=True)
    rushes = np.zeros(len(chunk))
    np.add.at(rushes, np.searchsorted(chunk, instants_us // CHUNK_US), at_once > 1)
    volumes = np.add.reduceat(prices * tape.bought[bought], first)
    means, highest = np.add.reduceat(prices, first) / trades, np.maximum.reduceat(prices, first)
    starts_us = chunk * CHUNK_US
    return starts_us, np.column_stack(
        [
            _change_of_std(rushes),
            _change_of_mean(rushes, WINDOW_CHUNKS),
            _change_of_std(trades.astype(np.float64)),
            _change_of_std(volumes),
            _change_of_mean(volumes, WINDOW_CHUNKS),
            _change_of_std(means),
            _change_of_mean(means, PRICE_CHUNKS),
            _change_of_mean(highest, PRICE_CHUNKS),
            *_circle(starts_us // (3_600 * MICROSECONDS_PER_SECOND) % 24, 23),
            *_circle(starts_us // (60 * MICROSECONDS_PER_SECOND) % 60, 59),
        ]
    )


def _change_of_std(values: FloatVector) -> FloatVector:
    return _change(pd.Series(values).rolling(WINDOW_CHUNKS).std())


def _change_of_mean(values: FloatVector, window: int) -> FloatVector:
    return _change(pd.Series(values).rolling(window).mean())


def _change(values: "pd.Series[float]") -> FloatVector:
    before = values.shift(1)
    return np.asarray((values - before) / before.where(before != 0.0), np.float64)


def _circle(values: IntVector, length: int) -> tuple[FloatVector, FloatVector]:
    angles = 2.0 * np.pi * values / length
    return np.sin(angles), np.cos(angles)
