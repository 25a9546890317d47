"""The random generator: the published sequence, one per tree, evenly spread."""

import numpy as np

from detector.kernels.random import seeds, uniform


def test_the_sequence_is_that_of_splitmix64() -> None:
    # First outputs for seed 1234567, as published with the reference implementation's tests.
    states = np.array([1234567], np.uint64)
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [uniform(states, 0) for _ in expected] == [(value >> 11) * 2.0**-53 for value in expected]


def test_seeds_differ_by_every_part_and_are_repeatable() -> None:
    first = seeds(1, "BTC-USDT", "forest", count=32)
    assert len(set(first.tolist())) == 32
    assert np.array_equal(first, seeds(1, "BTC-USDT", "forest", count=32))
    assert not set(first.tolist()) & set(seeds(2, "BTC-USDT", "forest", count=32).tolist())
    assert not set(first.tolist()) & set(seeds(1, "ETH-USDT", "forest", count=32).tolist())


def test_generators_do_not_touch_each_other() -> None:
    states = seeds("x", count=2)
    untouched = states[1]
    values = np.array([uniform(states, 0) for _ in range(5_000)])
    assert states[1] == untouched
    assert (values >= 0).all()
    assert (values < 1).all()
    counts = np.histogram(values, 10, (0, 1))[0]
    assert counts.min() > 400
