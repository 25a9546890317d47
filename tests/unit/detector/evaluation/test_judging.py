"""Recordings through the engine: what is new again after a silence, and files shared out among processes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detector.cross.params import CrossParams
from detector.engine import Engine
from detector.evaluation.contestants import Baseline, Configuration, EngineRun
from detector.evaluation.judging import Judged, Plan, judge, pieces
from detector.params import EngineParams
from detector.ticks import TickParams
from shared.errors import RecordingError
from shared.events import Anomaly, EpisodePhase, Trade
from shared.recordings import parquet
from shared.stream.columns import TradeColumns
from tests.data.cross_tapes import START_S, moved, quiet
from tests.data.quote_market import busy

SECOND = 1_000_000
DAY = 86_400 * SECOND
START = 20_000 * DAY
OURS = Configuration(name="settings", params=EngineParams(enabled=("flash_crash",)))


def trades(symbol: str, times_s: list[float], *, price: float = 100.0) -> list[Trade]:
    return [
        Trade(
            "binance",
            symbol,
            n,
            price,
            1.0,
            False,
            START + round(at_s * SECOND),
            START + round(at_s * SECOND),
        )
        for n, at_s in enumerate(times_s)
    ]


def crashing(symbol: str, *, at_s: float) -> list[Trade]:
    """Return five minutes of quiet, a fall by a fifth, and five minutes more."""
    before = trades(symbol, [at_s - 300 + 5 * n for n in range(60)])
    after = trades(symbol, [at_s + 5 * n for n in range(60)], price=80.0)
    return before + after


def write(path: Path, found: list[Trade]) -> Path:
    numbered = [
        Trade(t.exchange, t.symbol, n, t.price, t.quantity, False, t.event_time_us, t.received_time_us)
        for n, t in enumerate(found)
    ]
    pq.write_table(pa.Table.from_batches([parquet.to_batch(numbered)]), path)
    return path


def judged(*paths: Path, forget_after_s: float = 86_400.0, jobs: int = 1) -> Judged:
    plan = Plan(
        recordings=paths,
        contestants=(OURS, Baseline.PERCENT),
        forget_after_s=forget_after_s,
        jobs=jobs,
    )
    return judge(plan, [], progress=lambda *_: None)


def test_alarms_are_openings_of_episodes() -> None:
    tape = crashing("A-BTC", at_s=400) + trades("A-BTC", [1_000.0], price=80.0)
    run, engine = EngineRun(OURS), Engine(OURS.params)
    run.on_batch(TradeColumns.of(tape))
    told = [event for event in engine.on_batch(tape) if isinstance(event, Anomaly)]
    assert len(told) > 1
    opened = [event for event in told if event.episode.phase is EpisodePhase.OPENED]
    assert [alarm.time_us for alarm in run.alarms] == [event.event_time_us for event in opened]
    assert run.alarms[0].until_us == told[-1].episode.last_us > run.alarms[0].time_us


def test_updates_are_told_apart_from_alarms() -> None:
    tape = crashing("A-BTC", at_s=400) + trades("A-BTC", [1_000.0], price=80.0)
    run, engine = EngineRun(OURS), Engine(OURS.params)
    run.on_batch(TradeColumns.of(tape))
    told = [event for event in engine.on_batch(tape) if isinstance(event, Anomaly)]
    updates = [event for event in told if event.episode.phase is EpisodePhase.UPDATED]
    assert [update.reason for update in run.updates] == [event.reason for event in updates]


def test_a_twin_goes_on_from_here_without_the_alarms_so_far() -> None:
    quiet_part = trades("A-BTC", [float(at_s) for at_s in range(400)])
    crash = trades("A-BTC", [float(at_s) for at_s in range(400, 410)], price=50.0)
    run, straight = EngineRun(OURS), EngineRun(OURS)
    run.on_batch(TradeColumns.of(quiet_part))
    twin = run.twin()
    twin.on_batch(TradeColumns.of(crash))
    straight.on_batch(TradeColumns.of([*quiet_part, *crash]))
    assert twin.alarms == straight.alarms != []
    assert run.alarms == twin.twin().alarms == []


def test_what_concerns_several_markets_is_told_when_its_second_was_waited_for() -> None:
    binance, coinbase = ("binance", "POL-USDT"), ("coinbase", "POL-USD")
    tape = quiet({binance: 0.25, coinbase: 0.25}, seconds=900)
    tape = moved(tape, 1.03, since_s=800, until_s=860, market=binance)
    plain = [Trade(*(getattr(tick, name) for name in Trade.__struct_fields__)) for tick in tape]
    params = EngineParams(enabled=("flash_crash",), ticks=TickParams())
    cross = CrossParams(lateness_s=2.0)
    run = EngineRun(Configuration(name="both", params=params, cross=cross))
    run.on_batch(TradeColumns.of(plain))
    (alarm,) = run.alarms
    assert (alarm.kind, alarm.symbol.partition("-")[0]) == ("arbitrage", "POL")
    # Three seconds long, then two of waiting.
    assert 804 <= alarm.time_us / SECOND - START_S <= 807
    without = EngineRun(Configuration(name="one", params=params))
    without.on_batch(TradeColumns.of(plain))
    assert without.alarms == []


def test_detectors_on_trial_give_no_alarms() -> None:
    run = EngineRun(Configuration(name="trial", params=EngineParams(enabled=(), shadow=("flash_crash",))))
    run.on_batch(TradeColumns.of(crashing("A-BTC", at_s=400)))
    assert run.alarms == []


def test_a_silent_market_begins_anew(tmp_path: Path) -> None:
    # High, a silence of an hour, and then low: a crash only for those who remember. Another market trades on.
    fallen = trades("A-BTC", [5.0 * n for n in range(60)])
    fallen += trades("A-BTC", [3_900 + 5.0 * n for n in range(60)], price=80.0)
    other = trades("B-BTC", [10.0 * n for n in range(430)])
    paths = write(tmp_path / "a.parquet", fallen), write(tmp_path / "b.parquet", other)
    found = judged(*paths, forget_after_s=3_000.0)
    (first, second) = found.tapes
    assert [span.start_us - START for span in first.spans] == [0, 3_900 * SECOND]
    assert [span.end_us - START for span in first.spans] == [295 * SECOND + 1, 4_195 * SECOND + 1]
    assert len(second.spans) == 1
    assert [len(part.prices) for part in first.parts()] == [60, 60]
    assert found.alarms["percent"] == []
    remembering = judged(*paths, forget_after_s=4_000.0)
    assert [alarm.time_us - START for alarm in remembering.alarms["percent"]] == [3_900 * SECOND]


def test_processes_share_files_out_by_market(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / f"{name}.parquet", crashing(f"{name[0]}-BTC", at_s=at_s))
        for name, at_s in (("A1", 400.0), ("A2", 90_000.0), ("B1", 500.0))
    ]
    one, several = judged(*paths), judged(*paths, jobs=2)
    assert sorted(several.alarms["settings"]) == sorted(one.alarms["settings"])
    assert len(one.alarms["settings"]) == 3
    assert several.trades == one.trades == 360
    for ours, theirs in zip(one.tapes, several.tapes, strict=True):
        assert ours[:2] == theirs[:2]
        assert ours.spans == theirs.spans
        assert np.array_equal(ours.prices, theirs.prices)


def test_a_market_in_files_of_other_markets_is_refused(tmp_path: Path) -> None:
    ours, mixed = crashing("A-BTC", at_s=400), crashing("B-BTC", at_s=390) + crashing("A-BTC", at_s=4_000)
    paths = write(tmp_path / "a.parquet", ours), write(tmp_path / "mixed.parquet", mixed)
    # One process merges them; Parquet files of one folder would be one recording.
    assert len(judged(*paths).tapes) == 2
    with pytest.raises(RecordingError, match="use --jobs 1"):
        judged(*paths, jobs=2)


def test_an_empty_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no trades"):
        judged(write(tmp_path / "empty.parquet", []))


def test_quotes_of_one_market_are_cut_although_their_columns_know_two() -> None:
    quotes = busy("")
    assert len(quotes.venues) == 2
    mine = quotes.take(np.flatnonzero(quotes.venue == 0)[:200])
    late = quotes.take(np.flatnonzero(quotes.venue == 0)[300:400])
    late.times_us = late.times_us + 7_200_000_000
    cut = list(pieces(iter([mine, late]), 3_600.0))
    assert [silent for silent, _ in cut if silent] == [["BTC-USDT"]]
    assert sum(len(part) for _, part in cut) == 300
