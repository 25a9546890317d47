"""An order book from a snapshot and changes: whole, or known not to be."""

import pytest

from producer.book import BookChange, BookSnapshot, Level, OrderBook

LIMIT = 4


def snapshot(last_id: int = 10, *, limit: int = 1_000) -> BookSnapshot:
    return BookSnapshot(last_id, [(99.0, 1.0), (98.0, 2.0)], [(101.0, 1.0), (102.0, 2.0)], limit)


def change(
    first_id: int, last_id: int, bids: list[Level] | None = None, asks: list[Level] | None = None
) -> BookChange:
    return BookChange(first_id, last_id, bids or [], asks or [])


def whole(levels: int = 2) -> OrderBook:
    book = OrderBook(levels)
    assert book.load(snapshot())
    return book


def test_changes_set_and_remove_levels_best_first() -> None:
    book = whole()
    assert book.apply(change(11, 12, [(100.0, 5.0), (98.0, 0.0)], [(101.0, 0.0), (103.0, 1.0)]))
    assert book.best() == ([(100.0, 5.0), (99.0, 1.0)], [(102.0, 2.0), (103.0, 1.0)])
    assert book.last_id == 12


def test_changes_wait_for_the_snapshot_and_those_in_it_are_passed_over() -> None:
    book = OrderBook(2)
    assert not book.apply(change(8, 9, [(50.0, 1.0)]))
    assert not book.apply(change(10, 12, [(100.0, 5.0)]))
    assert not book.is_whole
    assert book.load(snapshot(10))
    assert book.best()[0] == [(100.0, 5.0), (99.0, 1.0)]
    assert book.last_id == 12


def test_a_snapshot_older_than_what_waits_is_refused() -> None:
    book = OrderBook(2)
    book.apply(change(15, 16, [(100.0, 5.0)]))
    assert not book.load(snapshot(10))
    assert not book.is_whole
    assert book.load(snapshot(15))
    assert book.last_id == 16


def test_a_hole_breaks_the_book_until_the_next_snapshot() -> None:
    book = whole()
    assert not book.apply(change(12, 13))
    assert not book.is_whole
    assert not book.apply(change(14, 15, [(100.0, 1.0)]))
    assert book.load(snapshot(13))
    assert book.last_id == 15
    assert book.resyncs_total == 2


def test_what_is_had_already_changes_nothing() -> None:
    book = whole()
    assert not book.apply(change(9, 10, [(100.0, 1.0)]))
    assert book.is_whole
    assert book.apply(change(10, 11, [(100.0, 1.0)])), "it reaches beyond"


def test_a_hole_among_what_waits_wants_another_snapshot() -> None:
    book = OrderBook(2)
    book.apply(change(11, 12))
    book.apply(change(14, 15))
    assert not book.load(snapshot(10))
    assert book.load(snapshot(14))


def test_levels_that_nobody_told_of_are_not_made_up() -> None:
    book = OrderBook(2)
    bids = [(99.0, 1.0), (98.0, 1.0), (97.0, 1.0)]
    asks = [(101.0, 1.0), (102.0, 1.0), (103.0, 1.0)]
    # Three levels asked for, three given: below 97 there may be more.
    assert book.load(BookSnapshot(10, bids, asks, 3))
    assert book.apply(change(11, 11, [(99.0, 0.0)]))
    assert not book.apply(change(12, 12, [(98.0, 0.0), (90.0, 1.0)])), "between 97 and 90 may be a better one"
    assert not book.is_whole


def test_a_thin_book_is_whole_down_to_nothing() -> None:
    book = whole()
    assert book.apply(change(11, 11, [(99.0, 0.0), (98.0, 0.0)]))
    assert book.best()[0] == []


def test_memory_is_bounded() -> None:
    book = OrderBook(1)
    assert book.load(snapshot(10, limit=LIMIT))
    for number in range(1, 1_000):
        assert book.apply(change(10 + number, 10 + number, [(99.0 - number / 1_000, 1.0)]))
    assert book._sides is not None
    assert len(book._sides[0]._prices) == len(book._sides[0]._quantities) <= 2 * LIMIT
    lost = OrderBook(1)
    for number in range(5_000):
        lost.apply(change(number, number))
    assert len(lost._waiting) == 1_000


def test_the_best_of_a_broken_book_cannot_be_had() -> None:
    with pytest.raises(AssertionError):
        OrderBook(1).best()
