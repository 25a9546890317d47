"""Whether news is taken for a pump: natural spikes and drawdowns of large markets, known by features only.

The set has no trades, only the twelve features of La Morgia et al. in chunks of 25 s around 264 spikes of
BTC, ETH and XRP. So it is put to
- the random forest of `detector/evaluation/la_morgia.py`, trained on the recorded pumps; and once more with
  the published features of the 317 labelled chunks as its pumps. A spike is called when one of its chunks is;
- the evidence of `pump_dump`, as far as it can be made from features: see `evidence`. What the features do
  not tell is taken in favour of a pump.
Beside it stands the same of the labelled pumps: whoever calls nothing a pump calls no news one either.
"""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np
import pandas as pd

from benchmarks.report import Row, Table
from detector.arrays import BoolVector, FloatMatrix, FloatVector
from detector.evaluation import la_morgia
from detector.evaluation.events import Truth
from detector.evaluation.intervals import share_interval
from detector.evaluation.tapes import MarketTape
from detector.patterns.pump_dump import PumpDumpParams

_CHUNKS_PER_DAY: Final = 86_400 / 25
_RISE, _BOUGHT, _TRADES, _RUSHED, _ONE_SIDED, _ROUND = range(6)
# What the features do not tell, in favour of a pump. A chunk of a busy market has that many rush orders at
# the most; trades vary by twice their mean; takers bought as much as they sold.
_RUSH_ORDERS: Final = 100.0
_TRADES_VARY: Final = 2.0
_IMBALANCE: Final = 0.0


class Recorded(Protocol):
    """A recorded market with its pumps."""

    @property
    def tape(self) -> MarketTape:
        """What was traded."""
        ...

    @property
    def truths(self) -> list[Truth]:
        """Labelled starts on the market."""
        ...


class Rows(NamedTuple):
    """Chunks with features, of several events; n.

    Attributes:
        features: (n, 12).
        event: n, which one.
        clock_s: n, times of day at which the chunks begin.
    """

    features: FloatMatrix
    event: FloatVector
    clock_s: FloatVector


def read_rows(path: Path) -> Rows:
    """Return the rows of a published table of features."""
    table = pd.read_csv(path, parse_dates=["date"])
    clock_s = np.asarray(
        table["date"].dt.hour * 3_600 + table["date"].dt.minute * 60 + table["date"].dt.second
    )
    return Rows(
        table[list(la_morgia.FEATURES)].to_numpy(np.float64),
        table["pump_index"].to_numpy(np.float64),
        clock_s.astype(np.float64),
    )


def tables(data: Path, markets: Sequence[Recorded]) -> list[Table]:
    """Return which share of news, and of pumps, is called a pump; nothing where there is no such set.

    Args:
        data: folder of the real data.
        markets: recordings with labelled pumps.
    """
    news_path, label_path = data / "news-spikes" / "features_25S.csv", data / "pumps/labels/label_25S.csv"
    if not news_path.exists() or not label_path.exists():
        return []
    news, pumps = read_rows(news_path), read_rows(label_path)
    calls = {
        name: (call(news.features), call(pumps.features)) for name, call in _forests(markets, pumps).items()
    }
    threshold = PumpDumpParams().threshold
    calls["evidence of pump_dump, generous"] = evidence(news) >= threshold, evidence(pumps) >= threshold
    return [
        Table(
            title=f"called pumps by features alone, {_events(news)} news spikes and {_events(pumps)} pumps",
            rows=[_row(name, *of_both, news, pumps) for name, of_both in calls.items()],
            note="The forests have learned the pumps of the last column, the first one those recorded only."
            if len(calls) > 1
            else "La Morgia's forest needs scikit-learn, which is not installed.",
        )
    ]


def _forests(markets: Sequence[Recorded], pumps: Rows) -> dict[str, Callable[[FloatMatrix], BoolVector]]:
    """Return what calls features pumps, by name; nothing without scikit-learn."""
    if importlib.util.find_spec("sklearn") is None:
        return {}
    sys.stderr.write("training on pumps, to score news\n")
    chunks = [la_morgia.chunks_of(market.tape) for market in markets]
    truths = [truth for market in markets for truth in market.truths]
    features, is_start = la_morgia.examples(chunks, truths)
    published = np.concatenate([features[~is_start], pumps.features])
    is_published = np.arange(len(published)) >= np.count_nonzero(~is_start)
    return {
        "La Morgia's forest, recorded pumps": partial(la_morgia.called, la_morgia.forest(features, is_start)),
        "La Morgia's forest, published pumps": partial(
            la_morgia.called, la_morgia.forest(published, is_published)
        ),
    }


def evidence(rows: Rows) -> FloatVector:
    """Return the evidence of `pump_dump` as far as features tell it, and in favour of a pump beyond.

    A mean over w chunks that changes by r with a new one says that it is 1 + w r times the mean, if the one
    that leaves is usual; in a market that trades in every chunk a mean chunk is one in 3,456 of a day. A
    standard deviation that changes by s says that the new value is sqrt(w ((1 + s)² - 1)) of them away.
    Prices are averaged over 10 chunks: 10 r is the rise within 250 s. Chunks are fixed, not sliding, and know
    takers' purchases only.
    """
    params = PumpDumpParams()
    column = {name: rows.features[:, at] for at, name in enumerate(la_morgia.FEATURES)}
    rise = la_morgia.PRICE_CHUNKS * np.maximum(column["avg_price"], column["avg_price_max"])
    bought = np.maximum(1.0 + la_morgia.WINDOW_CHUNKS * column["avg_volume"], 1e-9)
    away = np.sqrt(la_morgia.WINDOW_CHUNKS * np.maximum((1.0 + column["std_trades"]) ** 2 - 1.0, 0.0))
    trades = 1.0 + _TRADES_VARY * away
    clock = _clock(rows.clock_s)
    terms = np.zeros((len(rows.features), 6))
    terms[:, _RISE] = np.log(np.maximum(rise, 1e-9) / 0.02)
    terms[:, _BOUGHT] = np.log(bought / _CHUNKS_PER_DAY / 0.02)
    terms[:, _TRADES] = np.log(trades / _CHUNKS_PER_DAY / 0.01)
    terms[:, _RUSHED] = np.log((_RUSH_ORDERS + 1.0) / 5.0)
    terms[:, _ONE_SIDED] = -_IMBALANCE
    terms[:, _ROUND] = clock
    total: FloatVector = terms @ np.array(params.weights)
    return np.where(rise >= params.min_rise_pct / 100.0, total, 0.0)


def _clock(starts_s: FloatVector) -> FloatVector:
    """Return 1 near a full hour, a half near a half one; a chunk is near when a part of it is."""
    worth = np.zeros(len(starts_s))
    for period_s, value in ((1_800.0, 0.5), (3_600.0, 1.0)):
        since_s = (starts_s + 60.0 + 25.0) % period_s
        worth[since_s <= 60.0 + 90.0 + 25.0] = value
    return worth


def _events(rows: Rows) -> int:
    return len(np.unique(rows.event))


def _row(name: str, of_news: BoolVector, of_pumps: BoolVector, news: Rows, pumps: Rows) -> Row:
    called = len(np.unique(news.event[of_news]))
    low, high = share_interval(called, _events(news))
    return Row(
        name=name,
        values={
            "news_called": called / _events(news),
            "news_from": low,
            "news_to": high,
            "pumps_called": len(np.unique(pumps.event[of_pumps])) / _events(pumps),
        },
    )
