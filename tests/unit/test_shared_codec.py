import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.codec import anomaly_id, content_id, decode, encode, trade_fault
from shared.errors import InvalidRecordError
from shared.events import Trade, WorkerStatus
from tests.stream_steps import HashStep, make_trade

finite = st.floats(min_value=1e-300, max_value=1e299, allow_nan=False)
trades = st.builds(
    Trade,
    exchange=st.text(min_size=1, max_size=32),
    symbol=st.text(min_size=1, max_size=64),
    trade_id=st.integers(0, 2**62),
    price=finite,
    quantity=finite,
    is_buyer_maker=st.booleans(),
    event_time_us=st.integers(0, 2**62),
    received_time_us=st.integers(0, 2**62),
)


@given(trade=trades)
def test_a_trade_comes_back_as_it_was(trade: Trade) -> None:
    assert decode(encode(trade), Trade) == trade


def test_an_anomaly_comes_back_as_it_was() -> None:
    [event] = HashStep(every=1).on_batch([make_trade("BTC-USDT", 1)])
    assert decode(encode(event), type(event)) == event


def test_unknown_fields_are_ignored() -> None:
    fields = msgspec.to_builtins(make_trade("BTC-USDT", 1)) | {"added_in_a_later_version": 1}
    assert decode(msgspec.json.encode(fields), Trade) == make_trade("BTC-USDT", 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trade_id", 2**63),
        ("price", 0),
        ("price", -1.0),
        ("quantity", 0),
        ("price", None),
        ("symbol", ""),
        ("trade_id", -1),
        ("price", "1"),
    ],
)
def test_values_out_of_bounds_are_refused_with_the_original_bytes(field: str, value: object) -> None:
    payload = msgspec.json.encode(msgspec.to_builtins(make_trade("BTC-USDT", 1)) | {field: value})
    with pytest.raises(InvalidRecordError) as raised:
        decode(payload, Trade)
    assert raised.value.payload == payload
    assert field in raised.value.reason


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"\xff\xfe", b'{"exchange":"\xff"}'])
def test_what_is_no_event_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidRecordError):
        decode(payload, Trade)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(InvalidRecordError, match="started_us"):
        decode(b'{"worker":"a","instance":"1","state":"running"}', WorkerStatus)


@pytest.mark.parametrize("price", [math.nan, math.inf, -math.inf, 0.0, -1.0])
def test_a_number_that_is_no_price_is_a_fault(price: float) -> None:
    assert trade_fault(make_trade("BTC-USDT", 1, price=price)) is not None
    assert trade_fault(make_trade("BTC-USDT", 1, quantity=price)) is not None


def test_a_notional_beyond_numbers_is_a_fault() -> None:
    assert trade_fault(make_trade("BTC-USDT", 1, price=1e200, quantity=1e200)) is not None


def test_a_sound_trade_has_no_fault() -> None:
    assert trade_fault(make_trade("BTC-USDT", 1)) is None


def test_ids_depend_on_every_part_and_on_where_parts_end() -> None:
    ids = {
        content_id("ab", "c"),
        content_id("a", "bc"),
        content_id("abc"),
        anomaly_id(fingerprint="f", exchange="binance", symbol="A-B", trade_id=1, phase="opened"),
        anomaly_id(fingerprint="f", exchange="kraken", symbol="A-B", trade_id=1, phase="opened"),
        anomaly_id(fingerprint="f", exchange="binance", symbol="A-B", trade_id=1, phase="closed"),
    }
    assert len(ids) == 6
    assert all(len(identity) == 20 for identity in ids)


@pytest.mark.parametrize("payload", [None, b"", b'{"a":' * 100_000, b"[" * 100_000, b"\xff"])
def test_whatever_a_foreign_writer_puts_there_is_invalid_and_no_crash(payload: bytes | None) -> None:
    with pytest.raises(InvalidRecordError) as raised:
        decode(payload, Trade)
    assert raised.value.payload == (payload or b"")
