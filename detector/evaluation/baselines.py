"""What is often done instead, as a measure: one function each, of the tape of one market."""

import importlib.util
from typing import Final

import numpy as np
import pandas as pd

from detector.arrays import BoolVector, FloatVector, IntVector
from detector.evaluation.tapes import MarketTape
from shared.clock import MICROSECONDS_PER_SECOND
from shared.errors import ToolMissingError

_QUIET_US: Final = 60_000_000
_WINDOW_TRADES: Final = 1_000
_REFIT_TRADES: Final = 100
_SHARE: Final = 0.01


def require_scikit_learn() -> None:
    """Raise when scikit-learn is not installed.

    Raises:
        ToolMissingError: it is not.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise ToolMissingError("scikit-learn", remedy="This baseline needs it: pip install scikit-learn.")


def openings(times_us: IntVector, flags: BoolVector, *, quiet_us: int = _QUIET_US) -> list[tuple[int, int]]:
    """Return begin and end of each episode.

    Args:
        times_us: n, ascending.
        flags: n, whether something is strange.
        quiet_us: time without, after which an episode is over.
    """
    strange_us = times_us[flags]
    if not strange_us.size:
        return []
    breaks = np.flatnonzero(np.diff(strange_us) > quiet_us)
    begins_us, ends_us = strange_us[np.append(0, breaks + 1)], strange_us[np.append(breaks, -1)]
    return list(zip(begins_us.tolist(), ends_us.tolist(), strict=True))


def zscores(tape: MarketTape, *, window_trades: int = _WINDOW_TRADES) -> FloatVector:
    """Return how many standard deviations each log return is from the mean of those before it.

    Returns:
        n; NaN for the first ones, and where nothing had moved.
    """
    returns = pd.Series(_log_returns(tape))
    before = returns.shift(1).rolling(window_trades)
    spread = before.std()
    return np.asarray((returns - before.mean()) / spread.where(spread > 0.0), np.float64)


def change_in(tape: MarketTape, *, seconds: float) -> FloatVector:
    """Return how far the price is from the last one that is at least so old; n fractions, NaN at first."""
    age_us = round(seconds * MICROSECONDS_PER_SECOND)
    then = np.searchsorted(tape.times_us, tape.times_us - age_us, side="right") - 1
    return np.where(then >= 0, tape.prices / tape.prices[then] - 1.0, np.nan)


def isolated(tape: MarketTape) -> BoolVector:
    """Return what an Isolation Forest takes for an anomaly that is fitted anew every 100 trades.

    The forest is that of scikit-learn with its defaults, on log return, log volume and log waiting time of
    the last 1,000 trades, of which 1 % are taken for anomalies.

    Raises:
        ToolMissingError: scikit-learn is not installed.
    """
    require_scikit_learn()
    from sklearn.ensemble import IsolationForest  # noqa: PLC0415 - a second to load, and needed by few

    waits_s = np.diff(tape.times_us, prepend=tape.times_us[:1]) / MICROSECONDS_PER_SECOND
    volumes = np.log(np.abs(tape.bought) * tape.prices)
    rows = np.column_stack([_log_returns(tape), volumes, np.log1p(waits_s)])
    flags = np.zeros(len(rows), np.bool_)
    for at in range(_WINDOW_TRADES, len(rows), _REFIT_TRADES):
        forest = IsolationForest(contamination=_SHARE, random_state=1).fit(rows[at - _WINDOW_TRADES : at])
        flags[at : at + _REFIT_TRADES] = forest.predict(rows[at : at + _REFIT_TRADES]) < 0
    return flags


def _log_returns(tape: MarketTape) -> FloatVector:
    logs = np.log(tape.prices)
    return np.diff(logs, prepend=logs[:1])
