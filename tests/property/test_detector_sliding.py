"""Sliding windows against exact references, after any stream and through spikes."""

import math
import statistics
from collections import deque
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.arrays import FloatMatrix
from detector.features import FEATURES
from detector.kernels import sliding_median, sliding_moments
from detector.online.zscore import ZScore, ZScoreParams
from detector.runs import Runs

# Ties, spikes and values that differ by many orders of magnitude.
values = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 1.0, 2.0, 1e12, -1e12, 1e-12]),
    st.floats(-1e15, 1e15),
    st.floats(-10, 10),
)


class Moments:
    """The kernel with its buffers, for one column."""

    def __init__(self, window: int) -> None:
        blocks = sliding_moments.blocks(window)
        self.window, self.seen = window, 0
        self.ring = np.zeros((blocks * sliding_moments.BLOCK, 1))
        self.buffers = (
            np.zeros((blocks, 2, 1)),
            np.zeros((blocks, 2, 1)),
            np.zeros((sliding_moments.BLOCK, 2, 1)),
            np.zeros((1, 2, 1)),
        )
        self.borders = np.zeros(1, np.int64)

    def learn(self, stream: Iterable[float]) -> None:
        for value in stream:
            rows = np.array([[value]])
            at = (0, self.seen, self.window, self.borders, 0)
            sliding_moments.learn(rows, *at, self.ring, *self.buffers)
            self.seen += 1

    def restored(self) -> "Moments":
        other = Moments(self.window)
        other.seen = self.seen
        places = np.arange(max(0, self.seen - self.window), self.seen) % len(self.ring)
        other.ring[places] = self.ring[places]
        at = (other.seen, other.window, other.borders, 0)
        sliding_moments.restore(*at, other.ring, *other.buffers)
        return other

    def read(self) -> tuple[float, float]:
        out = np.zeros((2, 1))
        sliding_moments.moments(self.seen, self.window, int(self.borders[0]), *self.buffers[2:], out)
        return float(out[0, 0]), float(out[1, 0])


def exact_moments(window: Iterable[float]) -> tuple[float, float]:
    held = list(window)
    mean = math.fsum(held) / len(held)
    return mean, math.fsum((value - mean) ** 2 for value in held) / (len(held) - 1)


@settings(max_examples=40)
@given(
    st.integers(sliding_moments.BLOCK, 140),
    st.lists(values, max_size=60),
    st.integers(0, 1_000),
    st.integers(0, 400),
)
def test_moments_are_those_of_the_window_alone(window: int, odd: list[float], seed: int, rest: int) -> None:
    rng = np.random.default_rng(seed)
    stream = [*rng.normal(100, 1, window).tolist(), *odd, *rng.normal(100, 1, rest).tolist()]
    kernel, held = Moments(window), deque[float](maxlen=window)
    for value in stream:
        kernel.learn([value])
        held.append(value)
        if len(held) == window:
            mean, variance = kernel.read()
            true_mean, true_variance = exact_moments(held)
            largest = max(map(abs, held))
            assert mean == pytest.approx(true_mean, abs=1e-12 * largest)
            # A deviation cannot be had to better than the last digit of the largest value.
            assert math.sqrt(variance) == pytest.approx(
                math.sqrt(true_variance), rel=1e-12, abs=1e-13 * largest
            )


@settings(max_examples=40)
@given(st.integers(sliding_moments.BLOCK, 140), st.integers(0, 500), st.integers(0, 100))
def test_moments_after_a_restart_are_bit_identical(window: int, before: int, after: int) -> None:
    stream = np.random.default_rng(before).lognormal(0, 3, before + after + window).tolist()
    whole = Moments(window)
    whole.learn(stream[:before])
    second = whole.restored()
    for value in stream[before:]:
        whole.learn([value])
        second.learn([value])
        if whole.seen >= window:
            assert second.read() == whole.read()


def test_one_huge_value_is_forgotten_when_it_leaves() -> None:
    # The trap: sliding sums, and sliding Welford alike, say 0.0006 where the truth is 0.727.
    rng = np.random.default_rng(7)
    stream = [1e12, *rng.normal(100, 1, 1_000).tolist()]
    kernel = Moments(1_000)
    kernel.learn(stream)
    mean, variance = kernel.read()
    true_mean, true_variance = exact_moments(stream[1:])
    value = true_mean + 0.727 * math.sqrt(true_variance)
    assert (value - mean) / math.sqrt(variance) == pytest.approx(0.727, rel=1e-12)


def window_of(stream: list[float], size: int) -> Iterable[tuple[FloatMatrix, list[float]]]:
    """Return the kernel's sorted window, and the window, once it is full and after every value."""
    ordered = np.zeros((1, size))
    held = deque[float](maxlen=size)
    for value in stream:
        if len(held) < size:
            sliding_median.insert(ordered, 0, len(held), value)
        else:
            sliding_median.replace(ordered, 0, held[0], value)
        held.append(value)
        if len(held) == size:
            yield ordered, list(held)


@given(st.integers(1, 40), st.lists(values, min_size=1, max_size=200))
def test_median_and_median_deviation_are_exact(size: int, stream: list[float]) -> None:
    for ordered, held in window_of(stream, size):
        assert ordered[0].tolist() == sorted(held)
        centre = sliding_median.median(ordered, 0)
        assert centre == pytest.approx(statistics.median(held), rel=1e-12, abs=1e-300)
        deviation = statistics.median([abs(value - centre) for value in held])
        assert sliding_median.median_deviation(ordered, 0, centre) == pytest.approx(
            deviation, rel=1e-12, abs=1e-300
        )


def rows_of(seed: int, n: int) -> FloatMatrix:
    rows = np.random.default_rng(seed).lognormal(0, 1, (n, len(FEATURES)))
    rows[:, FEATURES.index("inter_arrival_s")] *= 0.2
    return rows


def stage(*, robust: bool, slots: Iterable[int]) -> ZScore:
    made = ZScore(ZScoreParams(window_trades=50, robust=robust), features=FEATURES)
    for slot in slots:
        made.open(slot, identity=str(slot))
    return made


@settings(max_examples=30)
@given(
    st.booleans(),
    st.lists(st.lists(st.integers(0, 60), min_size=3, max_size=3), min_size=1, max_size=8),
    st.permutations([0, 5, 9]),
    st.integers(0, 7),
)
def test_zscores_do_not_depend_on_batches_slots_and_restarts(
    robust: bool,  # noqa: FBT001 - hypothesis passes by position
    batches: list[list[int]],
    slots: list[int],
    restart: int,
) -> None:
    tapes = [rows_of(market, sum(sizes)) for market, sizes in enumerate(zip(*batches, strict=True))]
    alone = []
    for tape in tapes:
        one = stage(robust=robust, slots=[0])
        alone.append(one.score_learn(Runs.single(0, len(tape)), tape, explain_all=True))
    mixed = stage(robust=robust, slots=slots)
    at = [0, 0, 0]
    for number, sizes in enumerate(batches):
        if number == restart:
            states = {slot: mixed.state(slot) for slot in slots}
            mixed = stage(robust=robust, slots=slots)
            for slot, state in states.items():
                mixed.load_state(slot, state)
        present = [market for market in range(3) if sizes[market]]
        starts = np.concatenate([[0], np.cumsum([sizes[market] for market in present])]).astype(np.int64)
        runs = Runs(np.array([slots[market] for market in present], np.int64), starts)
        parts = [tapes[market][at[market] : at[market] + sizes[market]] for market in present]
        rows = np.concatenate(parts) if parts else np.empty((0, len(FEATURES)))
        scored = mixed.score_learn(runs, rows, explain_all=True)
        for run, market in enumerate(present):
            own = slice(int(starts[run]), int(starts[run + 1]))
            there = slice(at[market], at[market] + sizes[market])
            for have, want in zip(scored[:3], alone[market][:3], strict=True):
                assert np.array_equal(have[own], want[there], equal_nan=True)
            at[market] += sizes[market]


@given(st.integers(0, 100), st.lists(st.tuples(st.integers(0, 199), st.floats(1e-3, 1e12)), max_size=6))
def test_robust_zscores_agree_with_the_statistics_module(seed: int, spikes: list[tuple[int, float]]) -> None:
    rows = rows_of(seed, 200)
    for at, factor in spikes:
        rows[at] *= factor
    made = ZScore(ZScoreParams(window_trades=50, min_spacing_s=0.0, robust=True), features=FEATURES)
    made.open(0, identity="")
    scores = made.score_learn(Runs.single(0, len(rows)), rows).scores
    points, floors = made._gather(rows), made._gather.floors
    for i in range(50, 200):
        squares = []
        for k, floor in enumerate(floors.tolist()):
            held = points[i - 50 : i, k].tolist()
            centre = statistics.median(held)
            spread = 1.482602218505602 * statistics.median([abs(value - centre) for value in held])
            squares.append(((points[i, k] - centre) / max(spread, floor)) ** 2)
        assert scores[i] == pytest.approx(math.sqrt(math.fsum(squares)), rel=1e-12)


@pytest.mark.parametrize("robust", [False, True])
def test_a_slot_used_again_begins_anew(*, robust: bool) -> None:
    made = stage(robust=robust, slots=[3])
    rows = rows_of(1, 300)
    first = made.score_learn(Runs.single(3, 300), rows)
    made.close(3)
    made.open(3, identity="another")
    again = made.score_learn(Runs.single(3, 300), rows)
    assert np.array_equal(first.scores, again.scores, equal_nan=True)


@pytest.mark.parametrize("robust", [False, True])
def test_only_what_may_become_an_anomaly_is_explained(*, robust: bool) -> None:
    rows = rows_of(1, 300)
    rows[:, FEATURES.index("count_10s")] = np.arange(300) % 6
    scored = stage(robust=robust, slots=[0]).score_learn(Runs.single(0, 300), rows)
    explained = scored.contributions.sum(axis=1) > 0
    assert np.array_equal(explained, scored.eligible & ~np.isnan(scored.scores))


def test_a_state_that_cannot_be_is_refused() -> None:
    made = stage(robust=False, slots=[0])
    made.score_learn(Runs.single(0, 60), rows_of(1, 60))
    state = made.state(0)
    for broken in ({"seen": -1}, {"seen": 10}, {"since_s": "long"}, {"window": np.zeros((50, 3))}):
        with pytest.raises(ValueError, match=r"seen|since_s|window"):
            stage(robust=False, slots=[0]).load_state(0, {**state, **broken})
