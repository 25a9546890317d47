"""Raw frames: every shape that recordings of Binance come in."""

import gzip
from pathlib import Path

import pytest
import zstandard

from shared.errors import RecordingError
from shared.events import Trade
from shared.recordings.frames import Frame, read_frames, read_trades, to_us

TRADE = (
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,'
    b'"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}'
)
DEPTH = b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT"}}'
TICKER = b'{"stream":"btcusdt@bookTicker","data":{"u":50093239212,"s":"BTCUSDT","b":"1.0"}}'
RECEIVED = b"1723161254087896568 "


def expected(received_time_us: int) -> Trade:
    return Trade(
        exchange="binance",
        symbol="BTC-USDT",
        trade_id=3_735_683_259,
        price=61_837.63,
        quantity=0.02,
        is_buyer_maker=True,
        event_time_us=1_723_161_255_342_000,
        received_time_us=received_time_us,
    )


def written(tmp_path: Path, content: bytes, name: str = "frames") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
def test_frames_with_the_time_they_were_received(tmp_path: Path, compress: object) -> None:
    lines = b"\n".join([RECEIVED + DEPTH, RECEIVED + TICKER, RECEIVED + TRADE, b""])
    assert callable(compress)
    path = written(tmp_path, compress(lines))
    assert list(read_trades(path)) == [expected(1_723_161_254_087_896)]
    assert list(read_frames(path)) == [
        Frame(1_723_161_254_087_896, frame) for frame in (DEPTH, TICKER, TRADE)
    ]


def test_frames_without_a_time_of_receiving_take_that_of_the_trade(tmp_path: Path) -> None:
    assert list(read_trades(written(tmp_path, TRADE))) == [expected(1_723_161_255_342_000)]


def test_a_json_array_of_frames_from_when_they_carried_order_ids(tmp_path: Path) -> None:
    array = (
        b'[{"e":"trade","E":1649877625157,"s":"ALPINEBTC","t":1264398,"p":"0.00014408","q":"0.72000000",'
        b'"b":25029741,"a":25029896,"T":1649877625157,"m":true,"M":true}]'
    )
    [trade] = read_trades(written(tmp_path, array))
    assert (trade.symbol, trade.trade_id, trade.price) == ("ALPINE-BTC", 1_264_398, 0.000_144_08)


def test_aggregated_trades_go_by_their_own_id(tmp_path: Path) -> None:
    frame = (
        b'{"e":"aggTrade","E":1,"s":"BNBBTC","a":26129,"p":"0.01","q":"4.7","f":27781,"l":27790,'
        b'"T":1498793709153,"m":false,"M":true}'
    )
    [trade] = read_trades(written(tmp_path, frame))
    assert (trade.trade_id, trade.is_buyer_maker) == (26_129, False)


def test_microseconds_are_told_by_magnitude(tmp_path: Path) -> None:
    frame = TRADE.replace(b"1723161255342,", b"1723161255342123,")
    [trade] = read_trades(written(tmp_path, frame))
    assert trade.event_time_us == 1_723_161_255_342_123


@pytest.mark.parametrize(
    ("time", "time_us"),
    [
        (1_723_161_255_342, 1_723_161_255_342_000),
        (1_723_161_255_342_123, 1_723_161_255_342_123),
        (1_723_161_255_342_123_456, 1_723_161_255_342_123),
    ],
)
def test_every_unit_becomes_microseconds(time: int, time_us: int) -> None:
    assert to_us(time) == time_us


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (RECEIVED + TRADE + b"\nnonsense\n", "line 2: is no frame: b'nonsense'"),
        (b"yesterday " + TRADE, "line 1: invalid literal"),
        (TRADE.replace(b'"p":"61837.63000000",', b""), "missing required field `p`"),
        (TRADE.replace(b'"61837.63000000"', b'"dear"'), "Expected `float`"),
        (TRADE[:-9], "truncated"),
        (gzip.compress(TRADE * 100)[:-20], "after line 0"),
        (b"[" + TRADE, "truncated"),
    ],
)
def test_a_damaged_recording_is_refused_with_the_place(tmp_path: Path, content: bytes, said: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(RecordingError) as caught:
        list(read_trades(path))
    assert said in caught.value.reason
    assert caught.value.path == str(path)


def test_what_stands_before_the_damage_is_read_first(tmp_path: Path) -> None:
    frames = read_frames(written(tmp_path, TRADE + b"\nnonsense\n"))
    assert next(frames).payload == TRADE
    with pytest.raises(RecordingError):
        next(frames)


def test_an_empty_recording_holds_no_trades(tmp_path: Path) -> None:
    assert list(read_trades(written(tmp_path, b""))) == []
