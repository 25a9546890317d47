import msgspec
import numpy as np
import pytest

from shared.events import Trade
from shared.stream.columns import TradeColumns
from tests.samples import trade

# One market on two venues is two, and ids are as large as the type allows.
MIXED = [
    trade(1),
    msgspec.structs.replace(trade(2), exchange="kraken"),
    trade(2**63 - 1, symbol="ETH-USDT", at_us=1),
    msgspec.structs.replace(trade(1), exchange="kraken", symbol="ETH-USDT", is_buyer_maker=True),
    trade(2**53 + 1, at_us=2),
]


def test_columns_are_the_trades_that_they_were_made_of() -> None:
    columns = TradeColumns.of(MIXED)
    assert list(columns) == MIXED
    assert [columns[at] for at in range(len(MIXED))] == MIXED
    assert len(columns) == len(MIXED)
    assert MIXED[2] in columns
    assert columns.index(MIXED[3]) == 3
    assert list(reversed(columns)) == MIXED[::-1]


def test_trades_are_made_of_plain_python_values() -> None:
    [made] = TradeColumns.of([trade(2**63 - 1, at_us=1)])
    assert {type(value) for value in msgspec.structs.astuple(made)} == {str, int, float, bool}
    assert msgspec.json.decode(msgspec.json.encode(made), type=Trade) == made


def test_venues_are_numbered_as_they_come() -> None:
    columns = TradeColumns.of(MIXED)
    assert list(columns.venues) == [
        ("binance", "BTC-USDT"),
        ("kraken", "BTC-USDT"),
        ("binance", "ETH-USDT"),
        ("kraken", "ETH-USDT"),
    ]
    assert columns.venue.tolist() == [0, 1, 2, 3, 0]


def test_columns_of_columns_are_the_same_ones() -> None:
    columns = TradeColumns.of(MIXED)
    assert TradeColumns.of(columns) is columns


def test_taking_gives_these_trades_in_this_order() -> None:
    taken = TradeColumns.of(MIXED).take(np.array([4, 0, 0, 2]))
    assert list(taken) == [MIXED[4], MIXED[0], MIXED[0], MIXED[2]]


@pytest.mark.parametrize(
    "part",
    [
        slice(None),
        slice(1, 3),
        slice(-2, None),
        slice(None, None, -1),
        slice(0, 5, 2),
        slice(3, 1),
        slice(9, 12),
    ],
    ids=str,
)
def test_slices_are_those_of_a_list(part: slice) -> None:
    cut = TradeColumns.of(MIXED)[part]
    assert isinstance(cut, TradeColumns)
    assert list(cut) == MIXED[part]


@pytest.mark.parametrize("at", [-1, -5])
def test_places_count_from_the_end_too(at: int) -> None:
    assert TradeColumns.of(MIXED)[at] == MIXED[at]


@pytest.mark.parametrize("at", [5, -6])
def test_there_is_nothing_beyond_the_ends(at: int) -> None:
    with pytest.raises(IndexError):
        TradeColumns.of(MIXED)[at]


def test_no_trades_are_columns_too() -> None:
    columns = TradeColumns.of([])
    assert list(columns) == []
    assert len(columns[:3]) == 0
    assert columns.trade_ids.dtype == columns.times_us.dtype == np.int64
    assert columns.prices.dtype == np.float64


def test_parts_of_a_batch_are_joined_when_they_count_in_the_same_venues() -> None:
    columns = TradeColumns.of(MIXED)
    assert list(TradeColumns.joined([columns[:2], columns[2:3], columns[3:]])) == MIXED
    with pytest.raises(AssertionError, match="numbers of venues"):
        TradeColumns.joined([columns[:2], TradeColumns.of(MIXED[2:])])
