"""The order book's best levels are those of a book that keeps everything, whatever comes."""

from hypothesis import given
from hypothesis import strategies as st

from producer.book import BookChange, BookSnapshot, Level, OrderBook

LEVELS = 3
bid_levels = st.lists(st.tuples(st.integers(1, 30).map(float), st.sampled_from([0.0, 1.0, 2.0])), max_size=6)
ask_levels = st.lists(st.tuples(st.integers(31, 60).map(float), st.sampled_from([0.0, 1.0, 2.0])), max_size=6)


class Naive:
    """The venue's own book: everything, in two dictionaries."""

    def __init__(self) -> None:
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}

    def apply(self, bids: list[Level], asks: list[Level]) -> None:
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for price, quantity in levels:
                side[price] = quantity
                if not quantity:
                    del side[price]

    def best(self, count: int) -> tuple[list[Level], list[Level]]:
        bids = sorted(self.bids.items(), reverse=True)[:count]
        return bids, sorted(self.asks.items())[:count]


@given(
    changes=st.lists(st.tuples(bid_levels, ask_levels, st.integers(1, 3)), min_size=1, max_size=40),
    lost=st.sets(st.integers(0, 39)),
    limit=st.integers(LEVELS, 12),
)
def test_a_whole_book_is_the_venues(
    changes: list[tuple[list[Level], list[Level], int]], lost: set[int], limit: int
) -> None:
    venue, book, next_id = Naive(), OrderBook(LEVELS), 100
    for number, (bids, asks, size) in enumerate(changes):
        venue.apply(bids, asks)
        first_id, next_id = next_id, next_id + size
        if number not in lost:
            book.apply(BookChange(first_id, next_id - 1, bids, asks))
        if not book.is_whole:
            assert book.load(BookSnapshot(next_id - 1, *venue.best(limit), limit)) is book.is_whole
        if book.is_whole and book.last_id == next_id - 1:
            assert book.best() == venue.best(LEVELS)
        assert book.last_id <= next_id - 1
