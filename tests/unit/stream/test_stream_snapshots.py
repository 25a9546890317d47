import math

import numpy as np
import pytest

from shared.stream.memory import MemoryMessage
from shared.stream.snapshots import (
    CHUNK_BYTES,
    FORMAT_VERSION,
    RESUME_KEY,
    Mark,
    Snapshot,
    SnapshotEncoder,
    decode_state,
    encode_marker,
    encode_snapshot,
    encode_state,
    read_snapshots,
)
from shared.stream.step import State

FINGERPRINT = "f1"


def state_of(size: int = 10) -> State:
    noise = np.random.default_rng(1).random(size)
    return {
        "noise": noise,
        "count": 7,
        "mean": math.inf,
        "name": "x",
        "is_warm": True,
        "empty": np.empty((0, 3)),
    }


def records(snapshot: Snapshot, *, fingerprint: str = FINGERPRINT) -> list[MemoryMessage]:
    pairs = encode_snapshot(snapshot, fingerprint=fingerprint)
    return [MemoryMessage("snapshots", 0, number, key, value) for number, (key, value) in enumerate(pairs)]


def assert_same(left: State, right: State) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        other = right[name]
        if isinstance(value, np.ndarray):
            assert isinstance(other, np.ndarray)
            assert value.dtype == other.dtype
            assert value.shape == other.shape
            assert value.tobytes() == other.tobytes()
        else:
            assert value == other
            assert type(value) is type(other)


def test_a_state_comes_back_bit_by_bit() -> None:
    state = state_of() | {"nan": np.array([math.nan, -0.0, 5e-324]), "bits": np.array([True, False])}
    assert_same(state, decode_state(encode_state(state)))


def test_a_restored_array_can_be_written_to() -> None:
    noise = decode_state(encode_state(state_of()))["noise"]
    assert isinstance(noise, np.ndarray)
    noise[0] = 1.0


def test_objects_are_refused() -> None:
    with pytest.raises(TypeError, match="only numbers"):
        encode_state({"objects": np.array([object()])})


def test_damaged_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_state(encode_state(state_of())[:-5])


def test_a_large_snapshot_travels_in_chunks() -> None:
    snapshot = Snapshot("BTC-USDT", 42, 0, state_of(3 * CHUNK_BYTES // 8))
    messages = records(snapshot)
    assert len(messages) > 1
    assert all(len(m.value()) < 1_000_000 for m in messages)
    restored = read_snapshots(messages, fingerprint=FINGERPRINT)
    assert restored.refused == []
    assert restored.snapshots["BTC-USDT"].offset == 42
    assert_same(restored.snapshots["BTC-USDT"].state, snapshot.state)


def test_a_later_shorter_snapshot_replaces_a_longer_one() -> None:
    long, short = Snapshot("A-B", 1, 0, state_of(3 * CHUNK_BYTES // 8)), Snapshot("A-B", 2, 0, state_of())
    restored = read_snapshots(records(long) + records(short), fingerprint=FINGERPRINT)
    assert restored.refused == []
    assert restored.snapshots["A-B"].offset == 2


def test_a_torn_set_of_chunks_is_refused() -> None:
    first = records(Snapshot("A-B", 1, 0, state_of(3 * CHUNK_BYTES // 8)))
    second = records(Snapshot("A-B", 2, 0, state_of(3 * CHUNK_BYTES // 8)))
    restored = read_snapshots([*first, second[0]], fingerprint=FINGERPRINT)
    assert restored.snapshots == {}
    assert [(r.symbol, r.reason) for r in restored.refused] == [("A-B", "chunks of different snapshots")]


def test_another_configuration_is_refused_and_costs_only_its_market() -> None:
    other = records(Snapshot("A-B", 1, 0, state_of()), fingerprint="f0")
    ours = records(Snapshot("C-D", 1, 0, state_of()))
    restored = read_snapshots(other + ours, fingerprint=FINGERPRINT)
    assert set(restored.snapshots) == {"C-D"}
    assert "f0" in restored.refused[0].reason


def test_a_flipped_bit_is_noticed() -> None:
    [message] = records(Snapshot("A-B", 1, 0, state_of()))
    value = bytearray(message.value())
    value[-20] ^= 1
    restored = read_snapshots([message._replace(with_value=bytes(value))], fingerprint=FINGERPRINT)
    assert restored.snapshots == {}
    assert len(restored.refused) == 1


def test_a_record_that_is_no_chunk_costs_only_its_market() -> None:
    ours = records(Snapshot("C-D", 1, 0, state_of()))
    garbage = MemoryMessage("snapshots", 0, 0, b"A-B#0", b"\xff\x00garbage")
    restored = read_snapshots([garbage, *ours], fingerprint=FINGERPRINT)
    assert set(restored.snapshots) == {"C-D"}
    assert restored.refused[0].symbol == "A-B"


def test_the_marker_says_where_to_resume_unless_it_is_another_configurations() -> None:
    def marker(fingerprint: str) -> MemoryMessage:
        return MemoryMessage(
            "snapshots", 0, 0, RESUME_KEY, encode_marker(Mark(17, 5), fingerprint=fingerprint)
        )

    assert read_snapshots([marker(FINGERPRINT)], fingerprint=FINGERPRINT).marker == Mark(17, 5)
    assert read_snapshots([marker("f0")], fingerprint=FINGERPRINT).marker is None
    assert read_snapshots([], fingerprint=FINGERPRINT).marker is None


def test_a_tombstone_forgets_a_market() -> None:
    ours = records(Snapshot("C-D", 1, 0, state_of()))
    tombstone = MemoryMessage("snapshots", 0, 9, b"C-D#0", None)
    assert read_snapshots([*ours, tombstone], fingerprint=FINGERPRINT).snapshots == {}


def test_slices_give_what_one_piece_gives() -> None:
    snapshot = Snapshot("A-B", 1, 7, state_of(100_000))
    encoder = SnapshotEncoder(snapshot, fingerprint=FINGERPRINT, slice_bytes=10_000)
    slices = 1
    while not encoder.advance():
        slices += 1
    assert slices > 50
    messages = [MemoryMessage("snapshots", 0, 0, key, value) for key, value in encoder.records()]
    restored = read_snapshots(messages, fingerprint=FINGERPRINT)
    assert_same(restored.snapshots["A-B"].state, snapshot.state)
    assert restored.snapshots["A-B"].traded_us == 7
    assert restored.chunks == {"A-B": len(messages)}


def test_what_is_being_encoded_does_not_follow_the_state() -> None:
    state = state_of(1_000)
    encoder = SnapshotEncoder(Snapshot("A-B", 1, 0, state), fingerprint=FINGERPRINT, slice_bytes=100)
    kept = state_of(1_000)
    noise = state["noise"]
    assert isinstance(noise, np.ndarray)
    noise[:] = 0.0
    while not encoder.advance():
        pass
    messages = [MemoryMessage("snapshots", 0, 0, key, value) for key, value in encoder.records()]
    assert_same(read_snapshots(messages, fingerprint=FINGERPRINT).snapshots["A-B"].state, kept)


def test_an_older_format_is_refused_whatever_follows_the_version() -> None:
    old = MemoryMessage("snapshots", 0, 0, b"A-B#0", bytes([0x93, FORMAT_VERSION - 1, 0xC0, 0xC0]))
    [refusal] = read_snapshots([old], fingerprint=FINGERPRINT).refused
    assert (refusal.symbol, refusal.reason) == (
        "A-B",
        f"format {FORMAT_VERSION - 1}, this version reads {FORMAT_VERSION}",
    )
