"""A webhook of one's own: every notification as JSON, signed, with retries.

The body is an `alerter.notification.Notification` as JSON (`docs/channels.md`). Two headers prove where it
comes from and when: `X-Tapewatch-Timestamp`, in seconds since the epoch, and `X-Tapewatch-Signature`: `v1=`
and the hexadecimal HMAC-SHA256, with the shared secret, of `v1:`, the timestamp, `:` and the body. A receiver
compares in constant time, refuses what is older than five minutes, and drops an `Idempotency-Key` that it has
seen.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from alerter.channels.posting import Poster
from alerter.notification import Notification
from shared.codec import content_id

WEBHOOK: Final = "webhook"
TIMESTAMP_HEADER: Final = "X-Tapewatch-Timestamp"
SIGNATURE_HEADER: Final = "X-Tapewatch-Signature"
IDEMPOTENCY_HEADER: Final = "Idempotency-Key"

_VERSION: Final = "v1"


@dataclass(frozen=True, kw_only=True)
class WebhookParams:
    """How the receiver is reached.

    Attributes:
        url: of the receiver.
        secret: shared with it.
        timeout_s: for connecting and for each part of the answer.
        min_interval_s: between two requests.
    """

    url: str = field(repr=False)
    secret: str = field(repr=False)
    timeout_s: float = 10.0
    min_interval_s: float = 0.0


class Webhook:
    """Posts notifications, those that only change a message included.

    Args:
        params: where and how.
        now_us: tells the time.
    """

    name = WEBHOOK
    edits = True

    def __init__(self, params: WebhookParams, *, now_us: Callable[[], int]) -> None:
        self.min_interval_s = params.min_interval_s
        self._secret = params.secret
        self._now_us = now_us
        self._poster = Poster(
            params.url, channel=WEBHOOK, timeout_s=params.timeout_s, secrets=(params.secret,)
        )

    async def send(self, notification: Notification, *, thread_ref: str) -> str:  # noqa: ARG002 - the body says it all
        """Post a notification; returns the incident's id."""
        body = msgspec.json.encode(notification)
        await self._post(body, notification.notification_id)
        return notification.incident_id

    async def tell(self, text: str) -> None:
        """Post `{"notice": text}`."""
        body = msgspec.json.encode({"notice": text})
        await self._post(body, content_id("notice", text, self._now_us()))

    async def close(self) -> None:
        """Close the connections."""
        await self._poster.close()

    async def _post(self, body: bytes, key: str) -> None:
        timestamp = str(self._now_us() // 1_000_000)
        await self._poster.post(
            body,
            {
                TIMESTAMP_HEADER: timestamp,
                SIGNATURE_HEADER: signature(body, timestamp=timestamp, secret=self._secret),
                IDEMPOTENCY_HEADER: key,
            },
        )


def signature(body: bytes, *, timestamp: str, secret: str) -> str:
    """Return the value of the header with the signature."""
    signed = f"{_VERSION}:{timestamp}:".encode() + body
    return f"{_VERSION}={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"
