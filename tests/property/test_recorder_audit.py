"""The audit against a naive reference, on any mixture of holes, repeats, disorder and announcements."""

import math
from typing import NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from recorder.audit import NAMED_IDS, RESTART_AFTER_US, MarketReport, TapeAudit
from recorder.id_set import IdSet
from recorder.quantiles import QuantileSketch
from shared.events import TapeGap, Trade
from tests import samples

ids = st.integers(min_value=0, max_value=60)
# Steps of event time, seldom so long that the venue may be taken to count anew.
steps_us = st.one_of(st.integers(-2_000_000, 2_000_000), st.integers(9_000_000, 12_000_000))
skews_us = st.integers(-500_000, 500_000)
records = st.lists(st.tuples(ids, steps_us, skews_us), min_size=1, max_size=60)
# Most of a tape is in order: what is drawn above alone would hardly ever be.
mostly_in_order = st.lists(
    st.tuples(
        st.integers(0, 12).map(lambda n: {0: -3, 1: -1, 2: 0, 3: 2, 4: 5}.get(n, 1)), steps_us, skews_us
    ),
    min_size=1,
    max_size=60,
)
gaps = st.lists(st.tuples(ids, st.integers(0, 15)), max_size=6)


def trades_of(rows: list[tuple[int, int, int]]) -> list[Trade]:
    trades, at_us = [], samples.START_US
    for number, step_us, skew_us in rows:
        at_us += step_us
        made = samples.trade(number, at_us=at_us)
        trades.append(msgspec.structs.replace(made, received_time_us=at_us + skew_us))
    return trades


def announcements_of(ranges: list[tuple[int, int]]) -> list[TapeGap]:
    return [
        msgspec.structs.replace(samples.tape_gap(first), last_missing_id=first + length)
        for first, length in ranges
    ]


class Naive(NamedTuple):
    trades: int
    missing: list[int]
    announced: set[int]
    duplicates: list[int]
    out_of_order: list[int]
    restarts: int
    silence_us: int


def naive(trades: list[Trade], announced: list[TapeGap]) -> Naive:
    """Say the same with sets and every trade in memory."""
    tapes: list[list[Trade]] = [[]]
    duplicates, out_of_order = [], []
    for trade in trades:
        tape = tapes[-1]
        newest = max(tape, key=lambda t: t.trade_id, default=None)
        if newest is not None and trade.trade_id <= newest.trade_id:
            # Of repeats of the highest id, the first counts.
            if trade.event_time_us > newest.event_time_us + RESTART_AFTER_US:
                tape = []
                tapes.append(tape)
            elif any(t.trade_id == trade.trade_id for t in tape):
                duplicates.append(trade.trade_id)
                continue
            else:
                out_of_order.append(trade.trade_id)
        tape.append(trade)
    missing = []
    for tape in tapes:
        had = {trade.trade_id for trade in tape}
        missing += [number for number in range(min(had), max(had)) if number not in had]
    said = {n for gap in announced for n in range(gap.first_missing_id, gap.last_missing_id + 1)}
    times = [trade.event_time_us for trade in trades]
    silences = [time - max(times[:n]) for n, time in enumerate(times) if n]
    return Naive(
        trades=sum(map(len, tapes)),
        missing=missing,
        announced=said & set(missing),
        duplicates=duplicates,
        out_of_order=out_of_order,
        restarts=len(tapes) - 1,
        silence_us=max(0, *silences, 0),
    )


def audited(trades: list[Trade], announced: list[TapeGap]) -> MarketReport:
    audit = TapeAudit()
    for trade in trades:
        audit.add(trade, partition=0)
    [report] = audit.reports(announced)
    return report


def agree(trades: list[Trade], announced: list[TapeGap]) -> None:
    report, expected = audited(trades, announced), naive(trades, announced)
    missing = [n for part in report.missing for n in range(part.first_id, part.last_id + 1)]
    assert missing == expected.missing
    assert {
        n for part in report.missing if part.is_announced for n in range(part.first_id, part.last_id + 1)
    } == expected.announced
    assert report.missing_announced == sum(n in expected.announced for n in expected.missing)
    assert report.missing_unannounced == len(expected.missing) - report.missing_announced
    assert all(part.trades > 0 for part in report.missing)
    assert (report.trades, report.silence_us) == (expected.trades, expected.silence_us)
    assert report.duplicates == len(expected.duplicates)
    assert report.duplicate_ids == expected.duplicates[:NAMED_IDS]
    assert report.out_of_order == len(expected.out_of_order)
    assert report.out_of_order_ids == expected.out_of_order[:NAMED_IDS]
    assert len(report.counted_anew) == expected.restarts
    faults = expected.missing or expected.duplicates or expected.out_of_order or expected.restarts
    assert report.is_whole == (not faults)


@given(records, gaps)
def test_any_records_are_judged_as_by_the_reference(
    rows: list[tuple[int, int, int]], announced: list[tuple[int, int]]
) -> None:
    agree(trades_of(rows), announcements_of(announced))


@given(mostly_in_order, gaps)
def test_a_tape_with_faults_is_judged_as_by_the_reference(
    rows: list[tuple[int, int, int]], announced: list[tuple[int, int]]
) -> None:
    number, walked = 10, []
    for step, step_us, skew_us in rows:
        number = max(0, number + step)
        walked.append((number, step_us, skew_us))
    agree(trades_of(walked), announcements_of(announced))


@given(st.lists(st.integers(0, 40)))
def test_a_set_of_ids_is_a_set(numbers: list[int]) -> None:
    ids_in, reference = IdSet(), set[int]()
    for number in numbers:
        assert ids_in.add(number) == (number not in reference)
        reference.add(number)
        assert (ids_in.first, ids_in.last) == (min(reference), max(reference))
        holes = [n for first, last in ids_in.holes() for n in range(first, last + 1)]
        assert holes == [n for n in range(min(reference), max(reference)) if n not in reference]
        assert all(first <= last for first, last in ids_in.holes())


@given(
    st.lists(st.integers(-(2**63), 2**63) | st.integers(-300, 300), min_size=1),
    st.floats(min_value=0, max_value=1),
)
def test_a_quantile_is_within_one_percent(values: list[int], share: float) -> None:
    sketch = QuantileSketch()
    for value in values:
        sketch.add(value)
    true = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    # Half a microsecond more: the answer is a whole number.
    assert abs(sketch.quantile(share) - true) <= 0.0101 * abs(true) + 0.5
    assert (sketch.min, sketch.max) == (min(values), max(values))
