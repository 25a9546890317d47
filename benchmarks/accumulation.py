"""Whether pumps can be seen coming: how often takers accumulate before one, and how often anyway."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from benchmarks.report import Row, Table
from detector.arrays import BoolVector, FloatVector, IntVector
from detector.evaluation.events import Alarm
from detector.evaluation.intervals import share_interval
from detector.evaluation.matching import match
from detector.evaluation.rules import RULES
from detector.kernels.pumps import ACCUMULATION
from detector.patterns.pump_dump import PUMP_FEATURES, PumpDump, PumpDumpParams
from detector.runs import Runs

if TYPE_CHECKING:
    from benchmarks.pumps import Pumped

_DAY_US: Final = 86_400_000_000
_STEP_US: Final = 60_000_000
_BEFORE_US: Final = 30_000_000
# Ordinary is what is further from a start than this, before and after it.
_NEAR_US: Final = (43_200_000_000, 8 * _DAY_US)
_SAME_TIME_US: Final = 600_000_000
# With so little evidence about every second alarm is false: enough of them to compare with.
_WEAK: Final = 4.6


class _Seen(NamedTuple):
    """One market; in which of its ordinary minutes, and before which of its starts, takers accumulated."""

    ordinary: BoolVector
    at_same_time: BoolVector
    before: BoolVector
    spells: int


def table(markets: Sequence["Pumped"]) -> Table:
    """Return the phase before pumps beside that of ordinary days, and beside that before false alarms."""
    seen = [_seen(market) for market in markets]
    ordinary = np.concatenate([one.ordinary for one in seen])
    days = len(ordinary) * _STEP_US / _DAY_US
    shares = {
        f"ordinary minutes ({days:.0f} market days)": ordinary,
        "ordinary minutes within 10 min of the same time of day": np.concatenate(
            [one.at_same_time for one in seen]
        ),
        "30 s before a labelled start": np.concatenate([one.before for one in seen]),
    }
    rows = [_row(name, flags) for name, flags in shares.items()]
    for threshold in (PumpDumpParams().threshold, _WEAK):
        led = _led(markets, replace(PumpDumpParams(), threshold=threshold))
        rows += [_row(f"{name} at {threshold}", flags) for name, flags in led.items()]
    spells = sum(one.spells for one in seen) / days
    return Table(
        title="takers accumulate (twice an hour's volume, .5 % of a day bought net)",
        rows=rows,
        note=f"{spells:.2f} spells of it per ordinary market day",
    )


def _row(name: str, flags: BoolVector) -> Row:
    low, high = share_interval(int(flags.sum()), len(flags))
    return Row(name=name, values={"n": len(flags), "share": float(flags.mean()), "from": low, "to": high})


def _seen(market: "Pumped") -> _Seen:
    stage = PumpDump(PumpDumpParams(), features=PUMP_FEATURES)
    stage.open(0, identity=market.name)
    phases = stage.score_learn(Runs.single(0, len(market.rows)), market.rows).notes["pump_phase"]
    clock_us = market.clock_us
    starts_us = np.array([truth.start_us for truth in market.truths], np.int64)
    starts_us = starts_us[(starts_us > clock_us[0] + _DAY_US) & (starts_us < clock_us[-1])]
    minutes_us = np.arange(clock_us[0] + _DAY_US, clock_us[-1], _STEP_US)
    since_us = minutes_us[:, None] - starts_us[None, :]
    is_near = ((since_us > -_NEAR_US[0]) & (since_us < _NEAR_US[1])).any(axis=1)
    of_day_us = np.abs((since_us + _DAY_US // 2) % _DAY_US - _DAY_US // 2)
    is_same = (of_day_us <= _SAME_TIME_US).any(axis=1) & ~is_near
    gathers = _at(minutes_us, clock_us, phases)
    begins = gathers[1:] & ~gathers[:-1] & ~is_near[1:]
    before = _at(starts_us - _BEFORE_US, clock_us, phases)
    return _Seen(gathers[~is_near], gathers[is_same], before, int(begins.sum()))


def _at(times_us: IntVector, clock_us: IntVector, phases: FloatVector) -> BoolVector:
    gathers: BoolVector = phases[np.searchsorted(clock_us, times_us) - 1] == ACCUMULATION
    return gathers


def _led(markets: Sequence["Pumped"], params: PumpDumpParams) -> dict[str, BoolVector]:
    """Return which alarms were preceded by it, of those that were right and those that were false."""
    stage = PumpDump(params, features=PUMP_FEATURES)
    right, false = [], []
    for slot, market in enumerate(markets):
        stage.open(slot, identity=market.name)
        scored = stage.score_learn(Runs.single(slot, len(market.rows)), market.rows)
        begins = np.flatnonzero(scored.eligible & ~np.concatenate([[False], scored.eligible[:-1]]))
        led = dict(
            zip(market.clock_us[begins].tolist(), scored.notes["pump_accumulated_s"][begins] > 0, strict=True)
        )
        alarms = [Alarm(PumpDump.kind, market.tape.exchange, market.tape.symbol, at_us) for at_us in led]
        outcome = match(market.truths, alarms, [market.tape.watch], RULES[PumpDump.kind])
        right += [led[alarm.time_us] for _, alarm in outcome.hits]
        false += [led[alarm.time_us] for alarm in outcome.false_alarms]
    return {"alarms that were right": np.array(right), "false alarms": np.array(false)}
