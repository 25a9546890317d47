"""Questions to a venue over HTTP, within its limits: the one place that holds an HTTP client.

Time-outs, broken connections and server faults are tried again after a jittered, growing delay; 429 and 418
are obeyed by all questions of the process; every other refusal is an `ExchangeError` with the venue's words.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, TypeVar

import httpx

from producer.book import BookSnapshot
from producer.exchanges.markets import Market, MarketMap
from producer.exchanges.protocol import RestRequest, TradePage, Venue
from producer.weights import WeightBudget
from shared.clock import Clock
from shared.errors import ExchangeError, ExchangeUnavailableError, RateLimitedError
from shared.logs import get_logger

_Answer = TypeVar("_Answer")

_TOO_MANY_REQUESTS: Final = 429
_BANNED: Final = 418
_DEFAULT_RETRY_AFTER_S: Final = {_TOO_MANY_REQUESTS: 10.0, _BANNED: 120.0}
# Refusals that are about where the question comes from, not what it says.
_EXPLANATIONS: Final = {
    403: "refused by the exchange's firewall; ask less, or from another address",
    451: "refused for legal reasons at your location",
}


@dataclass(frozen=True, kw_only=True)
class RestParams:
    """How a venue is asked.

    Attributes:
        url: of the REST endpoint.
        weight_per_minute: our share of the venue's limit.
        max_attempts: for one question; being told to wait counts as one.
        timeout_s: for connecting, and for each wait for bytes.
        base_delay_s: upper bound of the delay before the second attempt; it doubles.
        max_delay_s: upper bound of every delay that the venue did not order.
    """

    url: str
    weight_per_minute: int = 3_000
    max_attempts: int = 8
    timeout_s: float = 10.0
    base_delay_s: float = 0.5
    max_delay_s: float = 20.0


def _always() -> bool:
    return True


class RestClient:
    """Asks one venue.

    Args:
        venue: whose questions and answers.
        params: limits.
        clock: for the budget and for receive times.
        random: source of jitter.
    """

    def __init__(self, venue: Venue, params: RestParams, *, clock: Clock, random: Random) -> None:
        self._venue = venue
        self._params = params
        self._clock = clock
        self._random = random
        self._budget = WeightBudget(
            per_minute=params.weight_per_minute,
            venue_per_minute=venue.rest.weight_per_minute,
            spacing_s=venue.rest.spacing_s,
        )
        self._http = httpx.AsyncClient(base_url=params.url, timeout=params.timeout_s)
        self._log = get_logger(exchange=venue.name)

    async def markets(self) -> MarketMap:
        """Return the venue's markets; one attempt, because the caller decides what a failure means.

        Raises:
            ExchangeError: the venue cannot be reached, refuses, or answers nonsense.
        """
        payload = await self._ask_once(self._venue.rest.markets_request(), _always)
        return self._venue.rest.read_markets(payload)

    async def trades(
        self,
        market: Market,
        *,
        from_id: int | None,
        limit: int,
        after_us: int | None = None,
        is_wanted: Callable[[], bool] = _always,
        is_urgent: bool = True,
    ) -> TradePage:
        """Return trades from an id on, included, or the latest ones; earlier ones may come before them.

        Args:
            market: whose trades.
            from_id: first id, or None for the latest.
            after_us: event time of a trade before that id, if it is known.
            limit: how many at most; one page.
            is_wanted: asked before every attempt; when it says no, an empty page is returned.
            is_urgent: false leaves half of the budget to those who say true.

        Raises:
            ExchangeError: the venue refused, answered nonsense, or was not to be had in all attempts.
        """
        rest = self._venue.rest
        page = await self._ask(
            rest.trades_request(market, from_id=from_id, after_us=after_us, limit=limit),
            lambda body: rest.read_trades(body, market, received_time_us=self._clock.now_us()),
            is_wanted=is_wanted,
            is_urgent=is_urgent,
        )
        return page or TradePage([], [])

    async def book(self, market: Market) -> BookSnapshot:
        """Return a market's whole order book; trades go before it.

        Raises:
            ExchangeError: the venue refused, answered nonsense, or was not to be had in all attempts.
        """
        rest = self._venue.book_rest
        assert rest is not None, "this venue is not asked for books"
        book = await self._ask(rest.book_request(market), rest.read_book, is_urgent=False)
        if book is None:
            raise ExchangeError(self._venue.name, detail="the answer is empty")
        return book

    async def _ask(
        self,
        request: RestRequest,
        read: Callable[[bytes], _Answer],
        *,
        is_wanted: Callable[[], bool] = _always,
        is_urgent: bool,
    ) -> _Answer | None:
        """Ask until there is an answer, and return what it says; None when it is no longer wanted."""
        keep_free = 0 if is_urgent else (self._params.weight_per_minute - request.weight) // 2
        attempt = 0
        while True:
            attempt += 1
            try:
                payload = await self._ask_once(request, is_wanted, keep_free=keep_free)
                return read(payload) if payload else None
            except RateLimitedError as error:
                # The next attempt waits there; some venues order it in the body of a sound answer.
                self._budget.block(error.retry_after_s, self._clock.monotonic_s())
                if attempt >= self._params.max_attempts:
                    raise
            except ExchangeUnavailableError:
                if attempt >= self._params.max_attempts:
                    raise
                await asyncio.sleep(self._delay_s(attempt))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _delay_s(self, attempt: int) -> float:
        limit = min(self._params.max_delay_s, self._params.base_delay_s * 2 ** (attempt - 1))
        return self._random.uniform(limit / 2, limit)

    async def _ask_once(
        self, request: RestRequest, is_wanted: Callable[[], bool], *, keep_free: int = 0
    ) -> bytes:
        """Return the body of a sound answer, or nothing when it is no longer wanted."""
        while (
            wait_s := self._budget.take(request.weight, self._clock.monotonic_s(), keep_free=keep_free)
        ) > 0:
            if not is_wanted():
                return b""
            # Short steps: what is no longer wanted leaves the queue soon.
            await asyncio.sleep(min(wait_s, 1.0))
        if not is_wanted():
            return b""
        try:
            answer = await self._http.get(request.path, params=request.params, headers=request.headers)
        except httpx.HTTPError as error:
            # Time-outs have no text of their own.
            detail = f"no answer from {self._params.url}: {str(error) or type(error).__name__}"
            raise ExchangeUnavailableError(self._venue.name, detail=detail) from error
        self._observe(answer)
        return answer.content

    def _observe(self, answer: httpx.Response) -> None:
        """Keep to what the answer says about limits.

        Raises:
            ExchangeError: it is a refusal.
        """
        name, status = self._venue.name, answer.status_code
        now_s = self._clock.monotonic_s()
        used = answer.headers.get(self._venue.rest.used_weight_header, "")
        if used.isdecimal():
            self._budget.observe_used(int(used), now_s)
        if status in _DEFAULT_RETRY_AFTER_S:
            wait_s = _retry_after_s(answer.headers.get("Retry-After", ""), _DEFAULT_RETRY_AFTER_S[status])
            self._budget.block(wait_s, now_s)
            self._log.warning(
                "rest_banned" if status == _BANNED else "rest_rate_limited",
                retry_after_s=wait_s,
                status=status,
            )
            raise RateLimitedError(name, retry_after_s=wait_s, code=status)
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise ExchangeUnavailableError(
                name, detail=self._venue.rest.read_error(answer.content), code=status
            )
        if status != httpx.codes.OK:
            words = self._venue.rest.read_error(answer.content)
            raise ExchangeError(name, detail=f"{_EXPLANATIONS.get(status, 'refused')}: {words}", code=status)


def _retry_after_s(header: str, default_s: float) -> float:
    return float(header) if header.isdecimal() else default_s
