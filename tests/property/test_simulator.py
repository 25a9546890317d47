"""The simulator's pure parts under any input."""

from collections import Counter
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.faults import FaultCounts, FaultSettings, Framed, FrameFaults
from simulator.playback import Playback
from simulator.source import Chunk, MarketTrade, SymbolInfo
from simulator.tape import Tape

SHARES = st.floats(0, 1)


def trade(trade_id: int, time_us: int = 0) -> MarketTrade:
    return MarketTrade("BTCUSDT", trade_id, "1.00000000", "1.00000000", False, time_us, time_us)


class AnySource:
    symbols = (SymbolInfo(symbol="BTCUSDT", base_asset="BTC", quote_asset="USDT"),)
    start_us = 0
    is_restamped = False

    def __init__(self, chunks: list[list[int]]) -> None:
        self._chunks = chunks

    def history(self) -> list[MarketTrade]:
        return []

    def chunks(self) -> Iterator[Chunk]:
        for chunk in self._chunks:
            yield Chunk([trade(number, time_us) for number, time_us in enumerate(chunk)], [])


@given(
    symbols=st.lists(st.sampled_from("ABC"), max_size=60),
    duplicate=SHARES,
    reorder=SHARES,
    drop=SHARES,
    batch=st.integers(1, 20),
)
def test_every_frame_is_accounted_for(
    symbols: list[str], duplicate: float, reorder: float, drop: float, batch: int
) -> None:
    counts = FaultCounts()
    faults = FrameFaults(seed=3, connection=1, counts=counts)
    in_force = FaultSettings(duplicate=duplicate, reorder=reorder, drop=drop)
    frames = [Framed(symbol, b"%d" % number) for number, symbol in enumerate(symbols)]
    sent: list[bytes] = []
    for start in range(0, len(frames), batch):
        sent += faults.apply(frames[start : start + batch], in_force)
    sent += faults.release()
    assert len(sent) == counts.frames_sent == len(frames) - counts.frames_dropped + counts.frames_duplicated
    assert len(set(sent)) == len(frames) - counts.frames_dropped
    assert max(Counter(sent).values(), default=0) <= 2


@given(
    chunks=st.lists(st.lists(st.integers(0, 1_000), max_size=20), max_size=6),
    steps=st.lists(st.integers(0, 300), max_size=20),
    limit=st.integers(1, 7),
    speed=st.sampled_from([0.1, 1.0, 7.0]),
)
def test_playback_loses_repeats_and_reorders_nothing(
    chunks: list[list[int]], steps: list[int], limit: int, speed: float
) -> None:
    playback = Playback(AnySource(chunks), speed=speed)
    playback.start(now_us=0)
    played: list[int] = []
    now_us = 0
    for step in steps:
        now_us += step
        batch = playback.take(now_us=now_us, limit=limit).trades
        assert all(one.event_time_us <= now_us * speed for one in batch)
        played += [one.event_time_us for one in batch]
    while not playback.is_finished:
        played += [one.event_time_us for one in playback.take(now_us=10_000_000, limit=limit).trades]
    assert played == [time_us for chunk in chunks for time_us in chunk]


@settings(max_examples=60)
@given(
    ids=st.lists(st.integers(0, 50), max_size=60),
    wanted=st.integers(0, 60),
    limit=st.integers(1, 10),
)
def test_a_tape_answers_like_a_sorted_set(ids: list[int], wanted: int, limit: int) -> None:
    tape = Tape(capacity=1_000)
    for trade_id in ids:
        tape.append(trade(trade_id, trade_id * 10))
    known = sorted(set(ids))
    assert [one.trade_id for one in tape.latest(limit)] == known[-limit:]
    assert [one.trade_id for one in tape.from_id(wanted, limit)] == [i for i in known if i >= wanted][:limit]
    between = tape.between(wanted * 10, wanted * 10 + 95, limit)
    assert [one.trade_id for one in between] == [i for i in known if wanted <= i <= wanted + 9][:limit]
    assert [one.trade_id for one in tape.until(wanted * 10, limit)] == [i for i in known if i <= wanted][
        -limit:
    ]
