"""One HTTP request with JSON, and what its answer means for a delivery; for channels without a library."""

import ssl
from collections.abc import Mapping
from typing import Final

import httpx

from alerter.channels.redaction import Redactor, quiet_libraries
from alerter.render import clean
from shared.errors import ChannelDeadError, DeliveryError, DeliveryRefusedError, DeliveryRetriableError

_DETAIL: Final = 200
_TOO_MANY_REQUESTS: Final = 429
_SERVER_FAULT: Final = 500
# Time-outs of the request, and "too early".
_PASSING: Final = frozenset({408, 425})
_DEAD: Final = frozenset({401, 403, 404, 405, 410})


class Poster:
    """Posts to one address. Certificates are checked, redirections are not followed.

    Args:
        url: address; its path is taken for a secret.
        channel: name of the channel, for errors.
        timeout_s: for connecting and for each part of the answer.
        secrets: further texts that no error may show.
    """

    def __init__(self, url: str, *, channel: str, timeout_s: float, secrets: tuple[str, ...] = ()) -> None:
        quiet_libraries()
        self._url = url
        self._channel = channel
        self._redactors = [Redactor(secret) for secret in (url, *secrets) if secret]
        self._client = httpx.AsyncClient(
            timeout=timeout_s, follow_redirects=False, verify=ssl.create_default_context()
        )

    async def post(self, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """Make one attempt; return the answer of a status of 200 to 299.

        Raises:
            DeliveryError: see `alerter.channels.channel.Channel.send`.
        """
        try:
            answer = await self._client.post(
                self._url, content=body, headers={"Content-Type": "application/json", **headers}
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            detail = clean(self._shown(f"{type(error).__name__}: {error}"), _DETAIL)
            raise DeliveryRetriableError(self._channel, detail=detail) from None
        if not answer.is_success:
            raise self._failure(answer)
        return answer

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _failure(self, answer: httpx.Response) -> DeliveryError:
        status = answer.status_code
        detail = clean(self._shown(f"HTTP {status} {answer.text[:1_000]}"), _DETAIL)
        if status == _TOO_MANY_REQUESTS or status in _PASSING or status >= _SERVER_FAULT:
            wait_s = answer.headers.get("Retry-After", "")
            retry_after_s = float(wait_s) if wait_s.isdecimal() else None
            return DeliveryRetriableError(self._channel, detail=detail, retry_after_s=retry_after_s)
        refused = ChannelDeadError if status in _DEAD else DeliveryRefusedError
        return refused(self._channel, detail=detail)

    def _shown(self, text: str) -> str:
        for redact in self._redactors:
            text = redact(text)
        return text
