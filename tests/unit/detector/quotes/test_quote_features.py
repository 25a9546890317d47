"""What is taken for a large order that goes untraded, and what is not."""

import numpy as np
import pytest

from detector.arrays import FloatVector
from detector.batch import sort_by_market
from detector.quotes.features import QuoteFeatureParams, QuoteFeatures
from shared.events import Quote
from shared.stream.quotes import QuoteColumns
from tests.data.quote_tapes import book, quote, shown

PARAMS = QuoteFeatureParams(warm_up_s=0.0)


def rows_of(quotes: list[Quote], params: QuoteFeatureParams = PARAMS) -> dict[str, FloatVector]:
    features = QuoteFeatures(params)
    features.open(0, identity="binance/BTC-USDT")
    rows, _ = features.read(sort_by_market(QuoteColumns.of_quotes(quotes), lambda _: 0))
    return dict(zip(features.names, rows.T, strict=True))


def test_an_order_that_goes_untraded_is_told_a_second_later() -> None:
    rows = rows_of(shown(size=30.0))
    assert rows["withdrawn_bid"][:90].max() == 0.0
    # The cube of 30 over the usual depth, which has learned of the order too.
    assert rows["withdrawn_bid"][90] == pytest.approx((30.0 / rows["depth"][90]) ** 3, rel=0.2)
    assert 10.0 < rows["depth"][90] < 20.0
    assert rows["withdrawn_ask"].max() == 0.0
    assert rows["withdrawn"][90] == pytest.approx(30.0, rel=0.05)
    assert rows["stood_s"][90] == pytest.approx(3.0)
    assert rows["layers"][90] == 1.0
    assert rows["executed"][90] == 0.0


def test_an_ask_is_seen_as_a_bid_is() -> None:
    bids, asks = rows_of(shown(side=0)), rows_of(shown(side=1))
    np.testing.assert_allclose(asks["withdrawn_ask"], bids["withdrawn_bid"])


def test_what_was_traded_is_not_withdrawn() -> None:
    assert rows_of(shown(traded=29.0))["withdrawn_bid"].max() == 0.0


def test_a_trade_that_comes_after_its_quote_still_counts() -> None:
    quotes = shown()
    late = quotes[85]
    quotes[85] = quote(8.5, late.bids, late.asks, traded=[(99.98, -30.0)])
    assert rows_of(quotes)["withdrawn_bid"].max() == 0.0


def test_an_order_that_moves_is_not_withdrawn() -> None:
    assert rows_of(shown(moves_to=4))["withdrawn_bid"].max() == 0.0


@pytest.mark.parametrize("stands_s", [0.2, 150.0])
def test_what_stands_for_a_moment_or_for_long_is_no_bait(stands_s: float) -> None:
    rows = rows_of(shown(stands_s=stands_s, until_s=stands_s + 10.0))
    assert rows["withdrawn_bid"].max() == 0.0


def test_layers_that_go_together_count_as_one() -> None:
    together = rows_of(shown(size=10.0, levels=(2, 3, 4)))
    apart = rows_of(shown(size=10.0))
    assert together["withdrawn_bid"].max() > 5.0 * apart["withdrawn_bid"].max()
    assert together["layers"].max() == 3.0


def test_repeated_orders_add_up() -> None:
    once, rows = (
        shown(),
        rows_of(shown() + [quote(12.0 + n / 10, q.bids, q.asks) for n, q in enumerate(shown())]),
    )
    assert rows["withdrawn_bid"].max() > 1.5 * rows_of(once)["withdrawn_bid"].max()


def test_a_level_that_comes_into_sight_is_no_new_order() -> None:
    bids, asks = book()
    deeper = [*bids[1:], [99.90, 50.0]]
    quotes = [quote(n / 10, bids, asks, is_continuous=bool(n)) for n in range(50)]
    quotes += [quote(5.0 + n / 10, deeper, asks) for n in range(30)]
    quotes += [quote(8.0 + n / 10, [*deeper[:-1], [99.90, 1.0]], asks) for n in range(30)]
    assert rows_of(quotes)["withdrawn_bid"].max() == 0.0


def test_nothing_is_concluded_over_a_hole() -> None:
    quotes = shown()
    quotes[80] = quote(8.0, quotes[80].bids, quotes[80].asks, is_continuous=False)
    assert rows_of(quotes)["withdrawn_bid"].max() == 0.0


def test_best_prices_alone_are_enough_for_orders_at_them() -> None:
    quotes = [
        Quote(
            exchange="binance",
            symbol="BTC-USDT",
            update_id=number,
            event_time_us=1_700_000_000_000_000 + number * 100_000,
            received_time_us=0,
            bid=100.0,
            bid_quantity=31.0 if 50 <= number < 80 else 1.0,
            ask=100.01,
            ask_quantity=1.0,
            is_continuous=number > 0,
        )
        for number in range(120)
    ]
    assert rows_of(quotes)["withdrawn_bid"].max() > 100.0


def test_nothing_is_said_while_warming_up() -> None:
    rows = rows_of(shown(), QuoteFeatureParams(warm_up_s=10.0))
    assert np.isnan(rows["withdrawn_bid"][:100]).all()
    assert np.isfinite(rows["withdrawn_bid"][100:]).all()


@pytest.mark.parametrize(
    "bad", [{"least_share": 0.0}, {"shortest_s": 5.0, "longest_s": 5.0}, {"fade_s": 0.0}]
)
def test_parameters_are_bounded(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        QuoteFeatureParams(**bad)
