"""Truth in our own form and in those of data sets, and what is said about faults."""

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from detector.cross import layered_burst
from detector.evaluation.events import Alarm, Label, Span, Truth, Watch
from detector.evaluation.matching import match
from detector.evaluation.rules import RULES
from detector.evaluation.truth import read_truth
from detector.patterns.manipulation import Manipulation
from shared.errors import RecordingError
from simulator.events.catalogue import scenario
from simulator.source import Injected

CRASH_US = 1_760_129_100_000_000


def read(tmp_path: Path, text: str) -> list[Truth]:
    path = tmp_path / "truth.csv"
    path.write_text(text, encoding="utf-8")
    return read_truth([path])


def test_our_own_table(tmp_path: Path) -> None:
    text = """symbol,kind,start,end,exchange,label,id
POLUSDT,flash_crash,2025-10-10T20:45:00Z,2025-10-10T22:45+02:00,binance,event,the crash
pol/usdt,pump_dump,1760129100000,,,negative,
POL-USDT,any,2025-10-10 20:45,1760129200000000,,unlabelled,
"""
    found = set(read(tmp_path, text))
    assert found == {
        Truth("flash_crash", "POL-USDT", CRASH_US, CRASH_US, "binance", Label.EVENT, "the crash"),
        Truth("pump_dump", "POL-USDT", CRASH_US, None, "", Label.NEGATIVE),
        Truth("any", "POL-USDT", CRASH_US, CRASH_US + 100_000_000, "", Label.UNLABELLED),
    }


def test_names_of_columns_used_elsewhere(tmp_path: Path) -> None:
    found = read(tmp_path, f"market,kind,start_us\nA-BTC,whale,{CRASH_US}\n\n")
    assert found == [Truth("whale", "A-BTC", CRASH_US)]


HEAD = "symbol,kind,start,end,label\n"
LINE = '{"kind": "whale", "market": "A-B", "start_us": 1, "end_us": 2'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("symbol,start\n", "line 1: column kind missing; there is symbol, start"),
        ("", "line 1: column symbol and kind and start missing; there is nothing"),
        ("symbol,kind,start,stop\n", "line 1: no column is called stop"),
        (HEAD + "A-BTC,whale,2020-01-01,,\nA-BTC,whale,noon,,\n", "line 3, column start: 'noon' is no time"),
        (HEAD + "A-BTC,,2020-01-01,,\n", "line 2, column kind: is empty"),
        (HEAD + "A-BTC,whale,2020-01-02,2020-01-01,\n", "line 2, column end: lies before the start"),
        (HEAD + "A-BTC,whale,2020-01-02,,maybe\n", "line 2, column label: takes event, negative, unlabelled"),
        (HEAD + "A-BTC,whale,2020-01-02,,unlabelled\n", "line 2, column end: is needed"),
        (HEAD + "Q,whale,2020-01-02,,\n", "line 2, column symbol: names no base and quote"),
        (HEAD + "A-BTC,whale\n", "line 2: 5 columns are named"),
        (HEAD + "A-BTC,whale,2020-01-02,,,,\n", "line 2: 5 columns are named"),
        ('{"kind": "whale"}\n', "line 1: column market: is no str"),
        (LINE + ', "exchange": 3}\n', "line 1: column exchange: is no str: 3"),
        (LINE + ', "id": null}\n', "line 1: column id: is no str: None"),
        ("{not json\n", "line 1: "),
    ],
)
def test_faults_are_named_with_line_and_column(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecordingError, match=said) as caught:
        read(tmp_path, text)
    assert caught.value.path.endswith("truth.csv")


INJECTED = Injected(
    kind="flash_crash",
    symbol="BTCUSDT",
    market="BTC-USDT",
    exchange="kraken",
    id="flash_crash/BTCUSDT/3",
    start_us=CRASH_US + 60_000_000,
    end_us=CRASH_US + 175_000_000,
    parameters={},
)


def told_by_the_simulator(tmp_path: Path, *events: Injected) -> list[Truth]:
    path = tmp_path / "truth.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
    return read_truth([path])


def test_the_simulators_truth(tmp_path: Path) -> None:
    [crash] = told_by_the_simulator(tmp_path, INJECTED)
    assert crash == Truth(
        "flash_crash",
        "BTC-USDT",
        CRASH_US + 60_000_000,
        CRASH_US + 175_000_000,
        exchange="kraken",
        name="flash_crash/BTCUSDT/3",
    )


def test_an_event_on_two_venues_is_one_of_each_but_what_lies_between_them_of_neither(tmp_path: Path) -> None:
    others = [
        replace(INJECTED, kind=kind, exchange="binance") for kind in ("flash_crash", "whale", "arbitrage")
    ]
    told = told_by_the_simulator(tmp_path, INJECTED, *others)
    assert {(one.kind, one.exchange) for one in told} == {
        ("flash_crash", "kraken"),
        ("flash_crash", "binance"),
        ("whale", "binance"),
        ("arbitrage", ""),
    }


def test_a_whale_is_found_on_its_own_venue_only(tmp_path: Path) -> None:
    [truth] = told_by_the_simulator(tmp_path, replace(INJECTED, kind="whale"))
    watches = [Watch(venue, "BTC-USDT", (Span(0, 2 * CRASH_US),)) for venue in ("binance", "kraken")]
    alarms = {venue: [Alarm("whale", venue, "BTC-USDT", truth.start_us)] for venue in ("binance", "kraken")}
    rule = RULES["whale"]
    assert match([truth], alarms["kraken"], watches, rule).hits == [(truth, alarms["kraken"][0])]
    elsewhere = match([truth], alarms["binance"], watches, rule)
    assert (elsewhere.missed, elsewhere.false_alarms) == ([truth], alarms["binance"])


def test_a_line_of_an_older_simulator_is_about_all_venues(tmp_path: Path) -> None:
    line = '{"kind": "whale", "market": "BTC-USDT", "start_us": 1, "end_us": 2}\n'
    assert read(tmp_path, line) == [Truth("whale", "BTC-USDT", 1, 2)]


def test_announcements_of_several_groups_are_one_event(tmp_path: Path) -> None:
    text = """symbol,group,date,hour,exchange
BRD,ATW,2018-12-22,17:00,binance
BRD,BPG,2018-12-22,17:00,binance
XYZ,BPG,2018-12-22,17:00,yobit
"""
    assert [(one.symbol, one.kind) for one in read(tmp_path, text)] == [("BRD-BTC", "pump_dump")]


@pytest.mark.parametrize("name", ["momentum_ignition", "marking_close", "layered_burst"])
def test_what_somebody_does_to_prices_has_the_kind_of_its_alarms(name: str) -> None:
    assert scenario(name).kind == Manipulation.kind == layered_burst.KIND


@pytest.mark.real_data
def test_the_given_labels_are_read_as_they_are(real_data_dir: Path) -> None:
    pumps = read_truth([real_data_dir / "pumps" / "labels" / "label_25S.csv"])
    assert len(pumps) == 317
    assert {(one.kind, one.exchange, one.label) for one in pumps} == {("pump_dump", "binance", Label.EVENT)}
    assert len(read_truth([real_data_dir / "pumps" / "pump_binance_telegram.csv"])) > 300
    crashes = read_truth([real_data_dir / "klines" / "flash_crash_events.csv"])
    labels = [one.label for one in crashes]
    assert (labels.count(Label.EVENT), labels.count(Label.NEGATIVE)) == (86, 52 + 279)
    spikes = read_truth([real_data_dir / "news-spikes" / "natural_spikes_drawdowns.csv"])
    assert {one.label for one in spikes} == {Label.NEGATIVE}
