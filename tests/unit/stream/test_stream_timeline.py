"""Which settings hold at which offset, and how that is kept."""

import numpy as np
import pytest

from shared.events import DetectorConfig
from shared.stream.columns import TradeColumns
from shared.stream.intake import TradeBatch, positions_of
from shared.stream.timeline import Change, Configs, Timeline, cut_where_settings_change, decode_timeline
from tests.stream_steps import make_trade


def settings(version: int) -> Configs:
    return (DetectorConfig(scope="default", settings={"salt": version}, version=version, time_us=0),)


def batch(*places: tuple[int, int]) -> TradeBatch:
    """Return trades of these partitions and offsets."""
    partitions, offsets = np.array(places, np.int64).reshape(-1, 2).T
    trades = TradeColumns.of([make_trade("BTC-USDT", offset) for offset in offsets.tolist()])
    return TradeBatch(partitions, offsets, trades, [], positions_of(partitions, offsets))


def test_what_is_kept_comes_back() -> None:
    timeline = Timeline()
    timeline.change(5, settings(1))
    timeline.change(9, settings(2))
    assert timeline.current == settings(2)
    assert timeline.is_unsaved
    kept = decode_timeline(timeline.encode(resume_offset=-1))
    assert kept == (Change(5, settings(1)), Change(9, settings(2)))


@pytest.mark.parametrize(
    ("position", "current", "ahead"),
    [(0, (), [5, 9]), (5, (), [5, 9]), (6, settings(1), [9]), (9, settings(1), [9]), (10, settings(2), [])],
)
def test_reading_again_begins_with_what_held_there(position: int, current: Configs, ahead: list[int]) -> None:
    timeline = Timeline((Change(5, settings(1)), Change(9, settings(2))), position=position)
    assert (timeline.current, timeline.offsets_ahead()) == (current, ahead)
    assert not timeline.is_unsaved


def test_of_what_no_one_reads_again_only_the_latest_is_kept() -> None:
    timeline = Timeline()
    for offset in (2, 5, 9):
        timeline.change(offset, settings(offset))
    kept = decode_timeline(timeline.encode(resume_offset=9))
    assert kept == (Change(-1, settings(5)), Change(9, settings(9)))
    # What is read from further back all the same begins with the oldest that is known.
    assert Timeline(kept, position=0).current == settings(5)


def test_changes_take_effect_one_after_the_other() -> None:
    timeline = Timeline((Change(5, settings(1)), Change(5, settings(2)), Change(9, settings(3))), position=4)
    assert timeline.due(4) == []
    assert [change.configs for change in timeline.due(5)] == [settings(1), settings(2)]
    assert timeline.current == settings(2)
    assert timeline.due(100) == [Change(9, settings(3))]


@pytest.mark.parametrize("value", [b"\xff", b"\x92\x02\x90", b"\x90"])
def test_what_is_damaged_or_of_another_format_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="settings"):
        decode_timeline(value)


def test_nothing_kept_is_no_change() -> None:
    assert decode_timeline(None) == decode_timeline(b"") == ()


def test_a_batch_without_changes_ahead_is_not_cut() -> None:
    whole = batch((0, 1), (0, 2), (1, 7))
    [(part, due)] = cut_where_settings_change(whole, {0: Timeline(), 1: Timeline()})
    assert part is whole
    assert due == {}


def test_a_batch_is_cut_at_the_first_record_that_other_settings_judge() -> None:
    # Records 4 and 5 of partition 0 are gone, as after compaction.
    whole = batch((0, 3), (0, 6), (0, 7), (1, 20), (1, 21))
    timelines = {
        0: Timeline((Change(4, settings(1)), Change(7, settings(2)), Change(50, settings(3))), position=3),
        1: Timeline((Change(20, settings(4)),), position=20),
    }
    parts = [
        (
            part.offsets.tolist(),
            {number: [c.offset for c in due] for number, due in changes.items()},
            part.positions,
        )
        for part, changes in cut_where_settings_change(whole, timelines)
    ]
    assert parts == [
        ([3], {}, {0: 4}),
        ([6], {0: [4]}, {0: 7}),
        ([7], {0: [7]}, {0: 8}),
        ([20, 21], {1: [20]}, {0: 8, 1: 22}),
    ]
    assert timelines[0].offsets_ahead() == [50]


def test_a_batch_of_records_that_are_no_trades_moves_on_all_the_same() -> None:
    empty = batch()._replace(positions={0: 9})
    [(part, due)] = cut_where_settings_change(empty, {0: Timeline((Change(4, settings(1)),), position=3)})
    assert (part.positions, due) == ({0: 9}, {})
