"""What the ids of orders say where a recording has them: were both sides placed one after the other?

Reference: Binance published the ids of both orders of a trade (`b`, `a`) until June 2024; ids rise with time.
"""

from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from benchmarks.report import Row
from detector.evaluation.intervals import share_interval
from shared.recordings.frames import read_frames

_APART: Final = (1, 10, 50)
_OFTEN: Final = 200


class _Ids(msgspec.Struct, gc=False):
    """The buyer's order (`b`), the seller's (`a`), the size, and whether the buyer was first."""

    b: int
    a: int
    q: float
    m: bool


_decoder: Final = msgspec.json.Decoder(_Ids, strict=False)


def neighbours(path: Path) -> list[Row]:
    """Return how often both orders of a trade have close ids: odd sizes that are repeated, and others."""
    trades = [_decoder.decode(frame.payload) for frame in read_frames(path)]
    apart = np.array([abs(trade.b - trade.a) for trade in trades])
    resting = np.array([trade.b if trade.m else trade.a for trade in trades])
    sizes, kinds, counts = np.unique([t.q for t in trades], return_inverse=True, return_counts=True)
    is_odd = np.array([len(f"{size:.12g}".replace(".", "").strip("0")) > 2 for size in sizes])
    is_repeated = (is_odd & (counts >= _OFTEN))[kinds]
    _, orders, fills = np.unique(resting, return_inverse=True, return_counts=True)
    rows = []
    groups = {f"odd sizes of {_OFTEN} trades or more": is_repeated, "all others": ~is_repeated}
    for name, chosen in groups.items():
        total, next_to = int(chosen.sum()), int((apart[chosen] <= 1).sum())
        low, high = share_interval(next_to, total)
        shares = {f"ids {span} apart or less": float((apart[chosen] <= span).mean()) for span in _APART}
        values = {"trades": float(total), **shares, "1 apart, from": low, "1 apart, to": high}
        values["resting order filled by this trade alone"] = float((fills[orders[chosen]] == 1).mean())
        rows.append(Row(name=name, values=values))
    return rows
