"""Calibration, whatever the scores: rarities fall with the score; neither batches nor restarts show."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.arrays import FloatVector, IntVector
from detector.calibration import RESOLUTION, CalibrationParams, Calibrator, _next_refit
from detector.kernels import rarity as kernel
from detector.kernels.rarity import Counts
from detector.online.protocol import Scale
from detector.runs import Runs

PARAMS = CalibrationParams(warm_up_trades=200, horizon_trades=10_000, horizon_days=0.05)
COUNT = 1_500

scales = st.sampled_from(["log", "unit"])
# Ties, spikes, none at all; plain, heavy and constant streams.
oddities = st.sampled_from([0.0, -1.0, 1.0, 3.0, 1e12, 1e300, np.inf, -np.inf, np.nan])


@st.composite
def streams(draw: st.DrawFn) -> tuple[FloatVector, IntVector]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    spread = draw(st.sampled_from([0.0, 0.1, 1.0, 5.0]))
    scores = np.exp(spread * rng.standard_normal(COUNT)) * draw(st.sampled_from([1e-6, 0.1, 100.0]))
    for at, value in draw(st.lists(st.tuples(st.integers(0, COUNT - 1), oddities), max_size=20)):
        scores[at] = value
    gaps = rng.exponential(draw(st.sampled_from([1e3, 1e5, 1e7])), COUNT) * (rng.random(COUNT) < 0.7)
    for at, gap in draw(
        st.lists(st.tuples(st.integers(0, COUNT - 1), st.sampled_from([-1e12, 1e12])), max_size=3)
    ):
        gaps[at] = gap
    return scores, 10**16 + np.cumsum(gaps).astype(np.int64)


def opened(scale: Scale) -> Calibrator:
    calibrator = Calibrator(PARAMS, scale=scale)
    calibrator.open(0, identity="")
    return calibrator


@settings(max_examples=40)
@given(streams(), scales)
def test_rarities_are_rates_and_never_rise_with_the_score(
    stream: tuple[FloatVector, IntVector], scale: Scale
) -> None:
    scores, times = stream
    calibrator = opened(scale)
    rarities = calibrator.calibrate(Runs.single(0, COUNT), scores, times).rarities
    known = rarities[~np.isnan(rarities)]
    assert ((known >= RESOLUTION) & (known <= 1.0)).all()
    assert np.isnan(rarities[~np.isfinite(scores)]).all()
    is_warm = np.cumsum(np.isfinite(scores)) > PARAMS.warm_up_trades
    assert (~np.isnan(rarities) == (is_warm & np.isfinite(scores))).all()
    ladder = np.arange(0.0, kernel.BINS, 0.37)
    table, fit = calibrator._tables[0], calibrator._fits[0]
    if is_warm.any():
        answers = np.array([kernel.rarity(at, table, fit) for at in ladder])
        assert (np.diff(answers) <= 0).all()


@settings(max_examples=40)
@given(
    st.lists(streams(), min_size=1, max_size=3),
    scales,
    st.lists(st.integers(1, COUNT - 1), max_size=6, unique=True),
    st.integers(0, 3),
)
def test_neither_batches_nor_neighbours_nor_restarts_show(
    markets: list[tuple[FloatVector, IntVector]], scale: Scale, cuts: list[int], shift: int
) -> None:
    """Each market alone and in one go gives what all give together, in other slots, cut and restored."""
    together = Calibrator(PARAMS, scale=scale)
    slots = [shift + 2 * at for at in range(len(markets))]
    for slot in slots:
        together.open(slot, identity="")
    found = np.full((len(markets), 2, COUNT), np.nan)
    edges = [0, *sorted(cuts), COUNT]
    for begin, end in pairwise(edges):
        starts = np.arange(len(markets) + 1) * (end - begin)
        scores = np.concatenate([scores[begin:end] for scores, _ in markets])
        times = np.concatenate([times[begin:end] for _, times in markets])
        calibrated = together.calibrate(Runs(np.array(slots), starts), scores, times)
        for at in range(len(markets)):
            found[at, :, begin:end] = [part[starts[at] : starts[at + 1]] for part in calibrated]
        restored = Calibrator(PARAMS, scale=scale)
        slots.reverse()
        for at, slot in enumerate(slots):
            restored.open(slot, identity="")
            restored.load_state(slot, together.state(slots[len(slots) - 1 - at]))
        together = restored
    for (scores, times), both, slot in zip(markets, found, slots, strict=True):
        alone = opened(scale)
        expected = alone.calibrate(Runs.single(0, COUNT), scores, times)
        assert np.array_equal(np.array(expected), both, equal_nan=True)
        one, other = alone.state(0), together.state(slot)
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[key], other[key]) for key in one)


def naive_episodes(bins: IntVector, parts: IntVector, level: int) -> int:
    """Count how often a level is reached that was not within the seven parts of time before, and this one."""
    count, last = 0, None
    for b, part in zip(bins.tolist(), parts.tolist(), strict=True):
        if b >= level:
            count += last is None or part - last > 7
            last = part
    return count


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from([1e4, 1e5, 1e6, 1e7]))
def test_episodes_are_counted_exactly_at_every_level(seed: int, gap_us: float) -> None:
    rng = np.random.default_rng(seed)
    scores = np.exp(rng.standard_normal(400))
    times = 10**15 + np.cumsum(rng.exponential(gap_us, 400)).astype(np.int64)
    params = CalibrationParams(horizon_trades=10**15, horizon_days=1e9)
    calibrator = Calibrator(params, scale="log")
    calibrator.open(0, identity="")
    calibrator.calibrate(Runs.single(0, 400), scores, times)
    bins = np.array([int(kernel.position(score, True)) for score in scores])
    parts = times // params.part_us
    for level in range(bins.min(), bins.max() + 2):
        assert calibrator._reached[0][level] == naive_episodes(bins, parts, level)


def naive_table(
    reached: Counts, body: FloatVector, *, unit: float, trades: float, top: int, low: int
) -> Counts:
    """Return what refitting makes of counts, level by level, however high the one above it is."""
    table = np.zeros(kernel.BINS + 1, np.float32)
    width = kernel.BINS // kernel.BODY_BINS
    highest, above = np.float32(0.0), 0.0
    for b in range(top, low - 1, -1):
        coarse, fine = divmod(b, width)
        above = sum(body[:coarse:-1].tolist())
        highest = max(highest, np.float32(float(reached[b]) / unit))
        share = (above + body[coarse] * (1.0 - fine / width)) / trades - 0.05
        table[b] = max(highest, np.float32(share * share * (trades / unit) if share > 0.0 else 0.0))
    return table


@settings(max_examples=40)
@given(streams(), scales, st.sampled_from([0.0, 0.5, 0.98]))
def test_a_refit_finds_at_each_level_what_looking_at_each_level_finds(
    stream: tuple[FloatVector, IntVector], scale: Scale, atom: float
) -> None:
    """Where most scores are one and the same, too."""
    scores, times = stream
    scores[np.random.default_rng(1).random(COUNT) < atom] = 0.0
    calibrator = opened(scale)
    seen = PARAMS.warm_up_trades + 4 * 256
    known = np.flatnonzero(np.isfinite(scores))[:seen]
    assert len(known) == seen
    calibrator.calibrate(Runs.single(0, seen), scores[known], times[known])
    state = calibrator.state(0)
    places, fit = np.asarray(state["places"]), np.asarray(state["fit"])
    unit, trades, top = float(state["unit"]), float(state["trades"]), int(places[2])
    low = int(fit[kernel.MEDIAN])
    reached, body = calibrator._reached[0], calibrator._bodies[0]
    expected = naive_table(reached, body, unit=unit, trades=trades, top=top, low=low)
    assert np.array_equal(calibrator._tables[0][low : top + 1], expected[low : top + 1])


@given(st.integers(0, 30_000), st.integers(200, 20_000))
def test_the_next_refit_is_the_next_count_that_is_due(seen: int, warm_up: int) -> None:
    def is_due(count: int) -> bool:
        return count >= warm_up and (count - warm_up) % (256 if count < 8_192 else 1_024) == 0

    assert _next_refit(seen, warm_up) == next(count for count in range(seen + 1, 60_000) if is_due(count))
