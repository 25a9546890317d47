"""The running chunk's features against La Morgia's own, chunk by chunk, and against plain sums."""

import numpy as np
import pytest

from detector.evaluation import la_morgia
from detector.kernels import pump_chunks

CHUNK_S = 25.0


def features(trades: list[tuple[float, float, float]]) -> dict[str, float]:
    """Return the features after trades, each a time, a price and what was bought, in quote units."""
    memory, found = np.zeros(pump_chunks.MEMORY), np.zeros(len(pump_chunks.FEATURES))
    before = 1.0
    for time_s, price, bought in trades:
        pump_chunks.learn(memory, time_s, float(np.log(price / before)), bought)
        before = price
    pump_chunks.write(memory, trades[-1][0], found)
    return dict(zip(pump_chunks.FEATURES, found.tolist(), strict=True))


def chunk(
    number: int, *, volume: float = 1.0, price: float = 1.0, trades: int = 2
) -> list[tuple[float, float, float]]:
    return [(number * CHUNK_S + n, price, volume / trades) for n in range(trades)]


def test_the_names_are_those_of_the_paper() -> None:
    assert pump_chunks.FEATURES == la_morgia.FEATURES


def test_a_mean_changes_by_its_weight() -> None:
    quiet = [trade for number in range(2_000) for trade in chunk(number)]
    weight = 2.0 / 901.0
    found = features([*quiet, *chunk(2_000, volume=101.0, price=1.1)])
    assert found["avg_volume"] == pytest.approx(100.0 * weight, rel=1e-6)
    assert found["avg_price"] == pytest.approx(0.1 * 2.0 / 11.0, rel=1e-6)
    assert found["avg_price_max"] == pytest.approx(found["avg_price"])
    assert found["std_trades"] == 0.0, "the count was always two"


def test_a_chunk_that_runs_counts_up_to_now_and_sales_do_not() -> None:
    quiet = [trade for number in range(50) for trade in chunk(number, volume=1.0 + number % 2)]
    early = features([*quiet, *chunk(50, volume=50.0)])
    later = features([*quiet, *chunk(50, volume=50.0), (50 * CHUNK_S + 20.0, 1.0, 500.0)])
    sold = features([*quiet, *chunk(50, volume=50.0), (50 * CHUNK_S + 20.0, 1.0, -500.0)])
    assert later["avg_volume"] > early["avg_volume"] > 0.0
    assert sold["avg_volume"] == early["avg_volume"]
    assert later["std_volume"] > early["std_volume"] > 0.0


def test_an_instant_with_several_purchases_is_one_rush_order() -> None:
    at_once = [(number * CHUNK_S + 5.0, 1.0, 1.0) for number in range(20) for _ in range(3)]
    burst = [(20 * CHUNK_S + n, 1.0, 1.0) for n in range(10) for _ in range(2)]
    mean = np.ones(20)
    expected = (10.0 - mean.mean()) / 21.0
    assert features([*at_once, *burst])["avg_rush_order"] == pytest.approx(expected)


def test_the_clock_is_on_the_published_circles() -> None:
    found = features([(3_600.0 * 17 + 60.0 * 30, 1.0, 1.0)])
    angle = 2.0 * np.pi * 17.0 / 23.0
    assert (found["hour_sin"], found["hour_cos"]) == pytest.approx((np.sin(angle), np.cos(angle)))
    assert found["minute_sin"] == pytest.approx(np.sin(2.0 * np.pi * 30.0 / 59.0))


def test_the_strangest_chunks_are_those_of_the_papers_formula() -> None:
    ours: list[float] = []
    volumes = np.random.default_rng(1).lognormal(0.0, 1.5, 1_500)
    memory, found = np.zeros(pump_chunks.MEMORY), np.zeros(len(pump_chunks.FEATURES))
    for number, volume in enumerate(volumes.tolist()):
        for time_s, _, bought in chunk(number, volume=volume):
            pump_chunks.learn(memory, time_s, 0.0, bought)
        pump_chunks.write(memory, time_s, found)
        ours.append(float(found[pump_chunks.FEATURES.index("std_volume")]))
    theirs = la_morgia._change_of_std(volumes)[901:]
    largest = [set(np.argsort(values)[-20:].tolist()) for values in (np.array(ours[901:]), theirs)]
    assert len(largest[0] & largest[1]) >= 16


def test_odd_numbers_stay_finite() -> None:
    rng = np.random.default_rng(1)
    memory, found = np.zeros(pump_chunks.MEMORY), np.zeros(len(pump_chunks.FEATURES))
    for number in range(2_000):
        odd = rng.choice([0.0, -1.0, 1e-300, 1.0, 1e12, 1e200], 2)
        pump_chunks.learn(memory, 10.0 * number, float(odd[0]), float(odd[1]))
        pump_chunks.write(memory, 10.0 * number, found)
        assert np.isfinite(found).all()
