"""Faults of frames, drawn per connection."""

from collections import Counter
from itertools import pairwise

import msgspec
import pytest

from simulator.faults import FaultCommand, FaultCounts, Faults, FaultSettings, Framed, FrameFaults


def run(
    settings: FaultSettings, *, connection: int = 0, frames: int = 10_000
) -> tuple[list[bytes], FaultCounts]:
    counts = FaultCounts()
    faults = FrameFaults(seed=1, connection=connection, counts=counts)
    given = (Framed(f"S{number % 3}", b"frame %06d" % number) for number in range(frames))
    sent = list(faults.apply(given, settings))
    return [*sent, *faults.release()], counts


def numbers(frames: list[bytes]) -> list[int]:
    return [int(frame.split()[1]) for frame in frames]


def test_without_faults_every_frame_is_sent_once_in_order() -> None:
    sent, counts = run(FaultSettings())
    assert numbers(sent) == list(range(10_000))
    assert counts == FaultCounts(frames_sent=10_000)


def test_a_share_is_dropped_and_counted() -> None:
    sent, counts = run(FaultSettings(drop=0.1))
    assert 900 < counts.frames_dropped < 1_100
    assert len(sent) == counts.frames_sent == 10_000 - counts.frames_dropped


def test_a_share_is_duplicated_and_counted() -> None:
    sent, counts = run(FaultSettings(duplicate=0.1))
    assert 900 < counts.frames_duplicated < 1_100
    assert Counter(Counter(numbers(sent)).values()) == {
        1: 10_000 - counts.frames_duplicated,
        2: counts.frames_duplicated,
    }


def test_reordered_frames_come_after_the_next_of_their_market_and_none_is_lost() -> None:
    sent, counts = run(FaultSettings(reorder=0.1))
    assert counts.frames_reordered > 800
    assert sorted(numbers(sent)) == list(range(10_000))
    of_one_market = [number for number in numbers(sent) if number % 3 == 0]
    swaps = sum(later < earlier for earlier, later in pairwise(of_one_market))
    assert swaps > 200
    assert max(abs(number - 3 * place) for place, number in enumerate(of_one_market)) == 3


def test_malformed_frames_are_no_whole_frames() -> None:
    sent, counts = run(FaultSettings(malformed=0.1))
    broken = [frame for frame in sent if len(frame) != len(b"frame 000000")]
    assert len(broken) == counts.frames_malformed > 800


def test_connections_lose_different_frames_and_the_same_connection_the_same() -> None:
    first, _ = run(FaultSettings(drop=0.1), connection=0)
    again, _ = run(FaultSettings(drop=0.1), connection=0)
    second, _ = run(FaultSettings(drop=0.1), connection=1)
    assert first == again
    assert first != second


def test_a_command_changes_only_what_it_names() -> None:
    faults = Faults(settings=FaultSettings(drop=0.5, cut_every_s=20))
    faults.command(FaultCommand(drop=0.0, stall_symbol="BTCUSDT", stall_s=2), now_us=1_000)
    assert faults.settings == FaultSettings(drop=0.0, cut_every_s=20)
    assert faults.is_stalled("BTCUSDT", now_us=2_000_999)
    assert not faults.is_stalled("BTCUSDT", now_us=2_001_000)
    assert not faults.is_stalled("ETHUSDT", now_us=1_000)


def test_so_many_requests_are_refused() -> None:
    faults = Faults()
    faults.command(FaultCommand(refuse_status=418, refuse_requests=2, retry_after_s=7), now_us=0)
    refusals = [faults.refusal(now_us=0) for _ in range(3)]
    assert [refusal and (refusal.status, refusal.retry_after_s) for refusal in refusals] == [
        (418, 7),
        (418, 7),
        None,
    ]


@pytest.mark.parametrize(
    "text", ['{"drop":1.5}', '{"drop":-1}', '{"unknown":1}', '{"refuse_status":420}', '{"stall_s":-1}']
)
def test_commands_out_of_bounds_are_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=FaultCommand)
