"""One attempt to reach the exchange, for `python -m producer --check`: first REST, then a subscription."""

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from producer.connection import Connection, ConnectionParams
from producer.exchanges.protocol import FrameEvent, Venue
from producer.rest import RestClient
from shared.clock import Clock
from shared.errors import ExchangeError, ExchangeUnavailableError


async def check(
    *, venue: Venue, rest: RestClient, connection: ConnectionParams, markets: Sequence[str], clock: Clock
) -> str:
    """Try everything once, and return one sentence that says what worked.

    Raises:
        ConfigError: a market that was asked for does not exist.
        ExchangeError: the exchange cannot be reached or refuses; the sentence names the host.
    """
    try:
        chosen = (await rest.markets()).select(markets)
    except ExchangeUnavailableError as error:
        detail = f"REST cannot be reached: {error.detail}. Check the network and PRODUCER_REST_URL"
        raise ExchangeUnavailableError(venue.name, detail=detail, code=error.code) from error
    tried = chosen[: venue.max_streams]
    attempt = Connection(venue=venue, markets=tried, params=connection, clock=clock, sink=_ignore)
    running = asyncio.create_task(attempt.run())
    confirmed = asyncio.create_task(attempt.confirmed.wait())
    await asyncio.wait({running, confirmed}, return_when=asyncio.FIRST_COMPLETED)
    confirmed.cancel()
    attempt.close()
    reason = await running
    host = urlsplit(connection.url).netloc
    if not attempt.confirmed.is_set():
        detail = f"the WebSocket at {host} does not work: {reason}. Check the network and PRODUCER_WS_URL"
        raise ExchangeError(venue.name, detail=detail)
    return f"{venue.name}: {len(tried)} markets subscribed at {host}"


def _ignore(_: Connection, __: Sequence[FrameEvent]) -> None:
    """Take no notice: the check publishes nothing."""
