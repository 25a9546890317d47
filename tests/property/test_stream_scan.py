"""The scanner gives what msgspec gives, bit for bit, for every sequence of bytes, or leaves it to msgspec."""

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.codec import decode, encode
from shared.errors import InvalidRecordError
from shared.events import Trade
from shared.stream.columns import TradeColumns
from shared.stream.memory import MemoryMessage
from shared.stream.records import Records
from shared.stream.scan import TradeScanner
from tests.samples import trade as sample

names = st.text(st.characters(min_codepoint=1, max_codepoint=0x2FFF), min_size=1, max_size=70)
numbers = st.integers(0, 2**63 - 1) | st.integers(0, 10**18 + 5)
# Of any size; of 15 to 17 digits and not far from one, where exactness ends; and as markets have them.
prices = (
    st.floats(1e-300, 1e299, exclude_max=True)
    | st.floats(1e-6, 1e18)
    | st.decimals(min_value="0.00000001", max_value="100000000", places=8).map(float)
)
trades = st.builds(
    Trade,
    exchange=st.sampled_from(["binance", "b", "a" * 32, "a" * 33]) | names,
    symbol=st.sampled_from(["BTC-USDT", "s" * 64, "s" * 65]) | names,
    trade_id=numbers,
    price=prices,
    quantity=prices,
    is_buyer_maker=st.booleans(),
    event_time_us=numbers,
    received_time_us=numbers,
)
# Numbers as people and other encoders write them, sound or not.
written = st.from_regex(r"-?[0-9]{0,20}(\.[0-9]{0,20})?([eE][+-]?[0-9]{0,4})?", fullmatch=True)
long = st.builds(
    lambda digits, point: f"{digits[:point]}.{digits[point:]}",
    st.integers(10**14, 10**19).map(str),
    st.integers(1, 13),
)
odd = (
    *("true", "false", "null", "TRUE", '"1"', "NaN", "Infinity", "", " 1", "1 ", "+1", "-1", "--1", "-"),
    *("0", "00", "01", "-0", "0.0", "00.5", "1.", ".5", "1.e5", "1e", "1e+", "1e5", "1E-5", "1e0005", "0e0"),
    *("1e22", "1e23", "1e299", "1e300", "1e-400", "9007199254740993.0", "9007199254740993", "0.1e1", "1_0"),
    *("999999999999999999", "1000000000000000000", str(2**63 - 1), str(2**63), "1" * 40, "0x1", "1/2", "1:0"),
    *(
        '"\\u0041"',
        '"é"',
        '"a\x1f"',
        '"a\x7f"',
        '""',
        *(f'"{"a" * n}"' for n in (7, 8, 9, 31, 32, 33, 64, 65)),
    ),
)
values = written | long | st.sampled_from(odd)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A trade with some bytes changed, inserted, taken out or cut off."""
    content = bytearray(encode(draw(trades)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        piece = draw(
            st.binary(max_size=3) | st.sampled_from([b" ", b'"', b"\\", b"}", b",", b"0", b"\x1f", b"\x7f"])
        )
        content[at : at + draw(st.integers(0, 3))] = piece
    return bytes(content[: draw(st.none() | st.integers(0, len(content)))])


_SOUND = {
    "exchange": '"x"',
    "symbol": '"y"',
    "trade_id": "1",
    "price": "2.5",
    "quantity": "3e-2",
    "is_buyer_maker": "true",
    "event_time_us": "4",
    "received_time_us": "50000000",
}


def _with(changed: dict[str, str]) -> bytes:
    return "{{{}}}".format(",".join(f'"{k}":{v}' for k, v in (_SOUND | changed).items())).encode()


# Our fields in our order, one of them with another value.
rewritten = st.builds(lambda field, value: _with({field: value}), st.sampled_from(list(_SOUND)), values)


def scanned(scanner: TradeScanner, payloads: list[bytes]) -> tuple[list[Trade], list[int]]:
    messages = [MemoryMessage("trades", 0, number, b"", payload) for number, payload in enumerate(payloads)]
    found, invalid = scanner.scan(Records.of(messages))
    return list(found), invalid.tolist()


def decoded(payloads: list[bytes]) -> tuple[list[Trade], list[int]]:
    found, invalid = [], []
    for number, payload in enumerate(payloads):
        try:
            found.append(decode(payload, Trade))
        except InvalidRecordError:
            invalid.append(number)
    return found, invalid


def assert_same(payloads: list[bytes]) -> None:
    scanner = TradeScanner()
    # The second time every name is known, so that nothing is left to msgspec for its name.
    for _ in range(2):
        found, invalid = scanned(scanner, payloads)
        expected, unsound = decoded(payloads)
        assert invalid == unsound
        assert found == expected
        for ours, theirs in zip(found, expected, strict=True):
            assert (
                np.array([ours.price, ours.quantity]).tobytes()
                == np.array([theirs.price, theirs.quantity]).tobytes()
            )


@settings(max_examples=100)
@given(st.lists(trades.map(encode), max_size=8))
def test_trades_of_our_codec(payloads: list[bytes]) -> None:
    assert_same(payloads)


@settings(max_examples=100)
@given(st.lists(damaged() | rewritten | st.binary(max_size=40), min_size=1, max_size=12))
@example([b"", encode(sample(1)), b"{}", encode(sample(1))[:-1], encode(sample(1)) + b" "])
def test_whatever_else_there_may_be(payloads: list[bytes]) -> None:
    assert_same(payloads)


@pytest.mark.parametrize("field", _SOUND)
def test_odd_values_in_every_field(field: str) -> None:
    assert_same([_with({field: value}) for value in odd])


@settings(max_examples=150)
@given(st.lists((written | long).map(str.encode), min_size=1, max_size=20))
def test_numbers_in_every_form(texts: list[bytes]) -> None:
    whole = encode(msgspec.structs.replace(sample(1), price=777.5))
    assert_same([whole.replace(b"777.5", text) for text in texts])


@pytest.mark.parametrize("digits", range(1, 20))
def test_digits_of_every_count(digits: int) -> None:
    number = int("1234567890123456789"[:digits])
    trade = msgspec.structs.replace(sample(1), trade_id=number, price=float(number), quantity=1 / number)
    assert_same([encode(trade)])


def test_our_codec_is_scanned_and_not_left_to_msgspec(monkeypatch: pytest.MonkeyPatch) -> None:
    scanner = TradeScanner()
    payloads = [encode(sample(number)) for number in range(50)]
    scanned(scanner, payloads[:1])

    def never(*_: object) -> Trade:
        raise AssertionError("a plain trade was left to msgspec")

    monkeypatch.setattr("shared.stream.scan.decode", never)
    assert scanned(scanner, payloads) == ([sample(number) for number in range(50)], [])


def test_many_markets_keep_their_names() -> None:
    scanner = TradeScanner()
    plain = [sample(number, symbol=f"M{number}-USDT") for number in range(3_000)]
    for _ in range(2):
        assert scanned(scanner, [encode(trade) for trade in plain])[0] == plain


def test_names_are_forgotten_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.stream.scan._VENUES_KEPT", 10)
    scanner = TradeScanner()
    for begin in range(0, 100, 8):
        plain = [sample(number, symbol=f"M{number}-USDT") for number in range(begin, begin + 8)]
        assert scanned(scanner, [encode(trade) for trade in plain])[0] == plain
    assert len(scanner._venues.pairs) <= 10 + 8


def test_names_are_kept_while_a_batch_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.stream.scan._VENUES_KEPT", 10)
    scanner = TradeScanner()
    parts = []
    for begin in range(0, 40, 8):
        payloads = [encode(sample(number, symbol=f"M{number}-USDT")) for number in range(begin, begin + 8)]
        messages = [MemoryMessage("trades", 0, n, b"", payload) for n, payload in enumerate(payloads)]
        parts.append(scanner.scan(Records.of(messages), goes_on=begin > 0)[0])
    assert [one.symbol for one in TradeColumns.joined(parts)] == [f"M{number}-USDT" for number in range(40)]
