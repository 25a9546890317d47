import numpy as np

from shared.stream.columns import TradeColumns
from shared.stream.eviction import EvictionPolicy, cut_where_clocks_move
from shared.stream.intake import TradeBatch
from shared.stream.restore import PartitionState
from tests.stream_steps import make_trade

# Clocks move by the second.
POLICY = EvictionPolicy(forget_after_s=64.0)
HOUR_US = 3_600_000_000


def batch(*rows: tuple[int, int]) -> TradeBatch:
    """Return a batch of trades, given partition and second; offsets count from 0."""
    trades = [make_trade("A-B", second) for _, second in rows]
    partitions = np.array([number for number, _ in rows], np.int64)
    offsets = np.arange(len(rows))
    ends = {number: int(offset) + 1 for number, offset in zip(partitions, offsets, strict=True)}
    return TradeBatch(partitions, offsets, TradeColumns.of(trades), [], ends)


def states(*numbers: int) -> dict[int, PartitionState]:
    return {number: PartitionState(position=0, committed=0) for number in numbers}


def test_a_batch_in_which_no_clock_moves_stays_whole() -> None:
    held = states(0, 1)
    held[0].clock_us = held[1].clock_us = 1_700_000_005_000_000
    whole = batch((0, 5), (0, 4), (1, 5))
    [part] = cut_where_clocks_move(whole, held, POLICY)
    assert part is whole


def test_parts_end_where_a_clock_moves() -> None:
    held = states(0)
    sizes = []
    clocks = []
    for part in cut_where_clocks_move(batch((0, 5), (0, 5), (0, 6), (0, 4), (0, 6)), held, POLICY):
        sizes.append(len(part.trades))
        clocks.append(held[0].clock_us % 1_000_000_000 // 1_000_000)
        assert part.positions == {0: sum(sizes)}
    assert (sizes, clocks) == ([2, 3], [5, 6])


def test_every_partition_has_its_own_clock() -> None:
    held = states(0, 1)
    held[0].clock_us = held[1].clock_us = 1_700_000_009_000_000
    assert len(list(cut_where_clocks_move(batch((0, 3), (1, 4), (0, 9)), held, POLICY))) == 1
    assert [
        len(part.trades) for part in cut_where_clocks_move(batch((0, 9), (1, 12), (0, 11)), held, POLICY)
    ] == [1, 1, 1]
    assert held[0].clock_us < held[1].clock_us


def test_a_time_far_ahead_of_the_receipt_moves_the_clock_by_an_hour_at_most() -> None:
    received_us = np.array([1_700_000_000_000_000])
    [clock_us] = POLICY.clocks_us(received_us * 2, received_us).tolist()
    assert clock_us == received_us[0] + HOUR_US


def test_silence_counts_from_the_clock_at_the_latest_trade() -> None:
    state = PartitionState(position=0, committed=0, clock_us=100_000_000, traded_us={"A-B": 36_000_000})
    assert not POLICY.is_gone(state, "A-B")
    state.clock_us += 1
    assert POLICY.is_gone(state, "A-B")
    assert not POLICY.is_gone(state, "C-D")


def test_memory_is_given_back_only_when_the_last_commit_says_so() -> None:
    state = PartitionState(position=0, committed=0, clock_us=200_000_000, traded_us={"A-B": 36_000_000})
    assert POLICY.gone(state) == []
    state.committed_clock_us = 100_000_000
    assert POLICY.gone(state) == []
    state.commit(0)
    assert POLICY.gone(state) == ["A-B"]
