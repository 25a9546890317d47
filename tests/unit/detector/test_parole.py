"""Parole: by event time alone, longer at each relapse."""

import numpy as np
import pytest

from detector.parole import Paroles

S = 1_000_000
DAY_S = 86_400


def clock(*seconds: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.array(seconds, np.int64) * S


def stopped(at_s: int = 0) -> Paroles:
    paroles = Paroles(first_us=600 * S)
    paroles.stop(7, now_us=at_s * S)
    return paroles


def test_it_is_released_at_the_first_trade_after_its_time() -> None:
    paroles = stopped()
    assert paroles.release(7, clock(1, 599), 0, 2) == 2
    assert paroles.is_out(7)
    assert paroles.release(7, clock(1, 599, 600, 601), 1, 4) == 2
    assert not paroles.is_out(7)


def test_a_clock_set_back_releases() -> None:
    assert stopped(at_s=1_000).release(7, clock(1_001, 999), 0, 2) == 1


def test_each_relapse_doubles_up_to_a_day() -> None:
    paroles = Paroles(first_us=600 * S)
    now_s, lengths = 0, []
    for _ in range(10):
        until_s = paroles.stop(7, now_us=now_s * S) // S
        lengths.append(until_s - now_s)
        paroles.release(7, clock(until_s), 0, 1)
        now_s = until_s + 5
    assert lengths == [600, 1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 76_800, DAY_S, DAY_S]


@pytest.mark.parametrize(("later_s", "length_s"), [(DAY_S, 1_200), (DAY_S + 1, 600)])
def test_a_day_of_good_conduct_is_forgiven(later_s: int, length_s: int) -> None:
    paroles = stopped()
    paroles.release(7, clock(600), 0, 1)
    now_s = 600 + later_s
    assert paroles.stop(7, now_us=now_s * S) == (now_s + length_s) * S


def test_it_knows_on_which_of_some_markets_it_is_out() -> None:
    paroles = stopped()
    assert paroles.absent(np.array([1, 2])) is None
    absent = paroles.absent(np.array([1, 7]))
    assert absent is not None
    assert absent.tolist() == [False, True]
    paroles.close(7)
    assert paroles.absent(np.array([1, 7])) is None


def test_state_brings_it_back() -> None:
    again = Paroles(first_us=600 * S)
    again.load_state(3, stopped().state(7))
    assert again.is_out(3)
    assert again.release(3, clock(599, 600), 0, 2) == 1
    third = Paroles(first_us=600 * S)
    third.load_state(3, again.state(3))
    assert not third.is_out(3)
    assert third.stop(3, now_us=700 * S) == 1_900 * S
    with pytest.raises(ValueError, match="since_us"):
        third.load_state(3, {"is_out": True, "length_us": 5})
