from pathlib import Path

from detector.cross.params import CrossParams
from detector.engine import Engine
from detector.find import anomalies, write
from detector.params import EngineParams
from shared.events import Anomaly, Trade
from shared.recordings.anomalies import read_anomalies
from tests.data.detector_tapes import crash, market

PARAMS = EngineParams(enabled=("flash_crash",), shadow=("whale",), warm_up_trades=200)


def batches(trades: list[Trade], size: int) -> list[list[Trade]]:
    return [trades[at : at + size] for at in range(0, len(trades), size)]


def test_what_the_engine_finds_is_written_and_can_be_read(tmp_path: Path) -> None:
    trades = crash(market(4_000), at=3_000, depth=0.3, length=200)
    alone = [event for event in Engine(PARAMS).on_batch(trades) if isinstance(event, Anomaly)]
    expected = {event.anomaly_id: event for event in alone if not event.shadow}
    assert expected
    found = anomalies(batches(trades, 700), params=PARAMS, cross=CrossParams())
    assert write(found, tmp_path) == len(expected)
    assert {event.anomaly_id: event for event in read_anomalies([tmp_path])} == expected


def test_a_recording_without_anomalies_is_empty(tmp_path: Path) -> None:
    assert write([[]], tmp_path) == 0
    assert read_anomalies([tmp_path]) == []
