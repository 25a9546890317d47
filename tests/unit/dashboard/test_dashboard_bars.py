import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dashboard.bars import BarHistory, Bars, Budget

HISTORY_S = 100


def history(*, bars: int = 10_000, history_s: int = HISTORY_S) -> BarHistory:
    return BarHistory(history_s=history_s, budget=Budget(bars))


def rows(bars: Bars) -> list[tuple[int, float, float, float, float, float, float]]:
    columns = (bars.start_s, bars.open, bars.high, bars.low, bars.close, bars.volume, bars.count)
    return [tuple(float(column[at]) for column in columns) for at in range(len(bars))]  # type: ignore[misc]


def test_trades_of_a_second_make_one_bar() -> None:
    kept = history()
    for price, quantity in ((10.0, 1.0), (12.0, 2.0), (9.0, 1.0), (11.0, 0.5)):
        kept.add(50, price, quantity)
    assert rows(kept.bars()) == [(50, 10, 12, 9, 11, 4.5, 4)]
    assert kept.bars().notional.tolist() == [10 + 24 + 9 + 5.5]


def test_a_straggler_finds_its_second_and_closes_nothing() -> None:
    kept = history()
    kept.add(50, 10.0, 1.0)
    kept.add(52, 11.0, 1.0)
    kept.add(50, 8.0, 1.0)
    assert rows(kept.bars()) == [(50, 10, 10, 8, 10, 2, 2), (52, 11, 11, 11, 11, 1, 1)]


def test_a_straggler_of_a_second_without_a_bar_makes_one_in_order() -> None:
    kept = history()
    for second in (50, 53, 51):
        kept.add(second, float(second), 1.0)
    assert kept.bars().start_s.tolist() == [50, 51, 53]
    assert kept.bars().close.tolist() == [50, 51, 53]


def test_the_history_moves_with_event_time() -> None:
    kept = history()
    kept.add(1, 10.0, 1.0)
    kept.add(1 + HISTORY_S - 1, 10.0, 1.0)
    assert len(kept) == 2
    kept.add(1 + HISTORY_S, 10.0, 1.0)
    assert kept.bars().start_s.tolist() == [HISTORY_S, HISTORY_S + 1]


def test_a_lone_trade_from_before_the_history_is_left_out() -> None:
    kept = history()
    kept.add(1_000, 10.0, 1.0)
    kept.add(10, 99.0, 1.0)
    assert rows(kept.bars()) == [(1_000, 10, 10, 10, 10, 1, 1)]


def test_a_clock_set_back_begins_a_new_history() -> None:
    kept = history()
    kept.add(1_000, 10.0, 1.0)
    for second in range(10, 40):
        kept.add(second, 20.0, 1.0)
    assert kept.bars().start_s.tolist() == list(range(29, 40))


def test_without_budget_the_oldest_bars_go_and_the_newest_stay() -> None:
    kept = history(bars=0, history_s=10_000)
    for second in range(1_000):
        kept.add(second, 10.0, 1.0)
    assert kept.capacity == 64
    assert kept.bars().start_s[-1] == 999
    assert len(kept) >= 32


def test_a_released_history_gives_its_room_to_others() -> None:
    budget = Budget(64)
    first, second = (BarHistory(history_s=10_000, budget=budget) for _ in range(2))
    for at in range(100):
        first.add(at, 10.0, 1.0)
    first.release()
    for at in range(100):
        second.add(at, 10.0, 1.0)
    assert len(second) == 100


def test_a_copy_does_not_change_afterwards() -> None:
    kept = history()
    kept.add(50, 10.0, 1.0)
    before = kept.bars()
    kept.add(50, 20.0, 1.0)
    assert before.close.tolist() == [10]
    assert not before.close.flags.writeable


def test_coarser_bars_are_aligned() -> None:
    kept = history()
    for second, price in ((58, 1.0), (59, 3.0), (60, 2.0), (64, 5.0), (65, 4.0)):
        kept.add(second, price, 1.0)
    assert rows(kept.bars().every(5)) == [
        (55, 1, 3, 1, 3, 2, 2),
        (60, 2, 5, 2, 5, 2, 2),
        (65, 4, 4, 4, 4, 1, 1),
    ]


def test_no_bars_make_no_coarser_bars() -> None:
    assert len(history().bars().every(60)) == 0


trades = st.lists(
    st.tuples(st.integers(0, 300), st.floats(0.01, 1_000), st.floats(0.01, 10)), min_size=1, max_size=400
)


@given(trades)
def test_bars_stay_sound_and_bounded_whatever_the_order(sequence: list[tuple[int, float, float]]) -> None:
    kept = history(bars=128)
    for second, price, quantity in sequence:
        kept.add(second, price, quantity)
    bars = kept.bars()
    assert np.all(np.diff(bars.start_s) > 0)
    assert bars.start_s[-1] - bars.start_s[0] < HISTORY_S
    assert np.all((bars.low <= bars.open) & (bars.open <= bars.high))
    assert np.all((bars.low <= bars.close) & (bars.close <= bars.high))
    assert bars.count.sum() <= len(sequence)
    assert kept.capacity <= 64 + 128


@given(trades, st.sampled_from([5, 60]))
def test_coarser_bars_lose_no_trade(sequence: list[tuple[int, float, float]], interval_s: int) -> None:
    kept = history()
    for second, price, quantity in sequence:
        kept.add(second, price, quantity)
    fine, coarse = kept.bars(), kept.bars().every(interval_s)
    assert coarse.count.sum() == fine.count.sum()
    assert np.isclose(coarse.volume.sum(), fine.volume.sum())
    assert coarse.high.max() == fine.high.max()
    assert coarse.close[-1] == fine.close[-1]
    assert np.all(coarse.start_s % interval_s == 0)
