"""A venue's name of a market to ours (`BTCUSDT` → `BTC-USDT`), for recordings, which carry no symbol map.

The live producer asks the venue (`exchangeInfo`); a recording can only be judged by known quote assets.
"""

from functools import cache
from typing import Final

# Binance's quote assets, old ones included. A longer match wins, so that FDUSD is not taken for USD.
_QUOTE_ASSETS: Final = (
    *("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USDP", "USDS", "USDE", "USD1", "USDD", "DAI", "UST", "PAX"),
    *("BTC", "ETH", "BNB", "XRP", "TRX", "DOGE", "SOL", "DOT", "VAI", "IDRT", "BIDR", "BVND", "BKRW"),
    *("USD", "EUR", "GBP", "AUD", "BRL", "TRY", "RUB", "UAH", "NGN", "ZAR", "ARS", "MXN", "JPY", "PLN"),
    *("RON", "CZK", "COP", "EURI", "AEUR", "XUSD", "BFUSD", "RLUSD", "USDS", "U"),
)
_BY_LENGTH: Final = sorted(_QUOTE_ASSETS, key=len, reverse=True)


@cache
def market_of(venue_symbol: str) -> str:
    """Return our name of a market.

    Args:
        venue_symbol: the venue's name, with or without a separator (`btcusdt`, `BTC/USD`, `POL-USD`).

    Returns:
        Base and quote joined by a hyphen; the name itself in capitals when no quote asset is recognised.
    """
    name = venue_symbol.upper().replace("/", "-").replace("_", "-")
    if "-" in name:
        return name
    for quote in _BY_LENGTH:
        if name.endswith(quote) and len(name) > len(quote):
            return f"{name.removesuffix(quote)}-{quote}"
    return name
