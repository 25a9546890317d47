"""The symbol map: both names, `all-usdt`, and help with typing errors."""

import pytest

from producer.exchanges.markets import ALL_USDT, Market, MarketMap
from shared.errors import ConfigError


def market(symbol: str, *, is_trading: bool = True) -> Market:
    return Market(
        symbol=symbol,
        native=symbol.replace("-", ""),
        quote=symbol.partition("-")[2],
        status="TRADING" if is_trading else "HALT",
        is_trading=is_trading,
    )


@pytest.fixture
def markets() -> MarketMap:
    return MarketMap(
        "binance",
        [market("BTC-USDT"), market("ETH-USDT"), market("ETH-BTC"), market("OLD-USDT", is_trading=False)],
    )


def test_the_order_asked_for_is_kept(markets: MarketMap) -> None:
    assert [m.native for m in markets.select(["ETH-USDT", "BTC-USDT"])] == ["ETHUSDT", "BTCUSDT"]


def test_all_usdt_means_those_that_trade_against_it_now(markets: MarketMap) -> None:
    assert [m.symbol for m in markets.select([ALL_USDT])] == ["BTC-USDT", "ETH-USDT"]


def test_a_halted_market_may_be_asked_for(markets: MarketMap) -> None:
    assert [m.symbol for m in markets.select(["OLD-USDT"])] == ["OLD-USDT"]


def test_all_unknown_markets_are_named_at_once_with_close_ones(markets: MarketMap) -> None:
    with pytest.raises(ConfigError) as caught:
        markets.select(["BTC-USTD", "BTC-USDT", "ZZZ-QQQ"])
    first, second = caught.value.faults
    assert "does not list BTC-USTD" in first
    assert "BTC-USDT" in first
    assert "does not list ZZZ-QQQ" in second
    assert "like BTC-USDT" in second


def test_no_market_at_all_is_a_fault() -> None:
    with pytest.raises(ConfigError, match="no market that trades against USDT"):
        MarketMap("binance", []).select([ALL_USDT])
