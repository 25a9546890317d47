"""The door to all other services, through Apprise: ntfy, Discord, Matrix, Pushover, Gotify and many more.

It takes addresses in Apprise's own form (`ntfys://topic`), which hold tokens and are secret as a whole. It
says only whether a service took a message, so every failure is tried again. It is an extra
(`pip install 'tapewatch[apprise]'`), as it brings libraries that nothing else here needs.
"""

import asyncio
import importlib.util
import logging
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from alerter.notification import Notification
from alerter.render import clean, plain
from shared.errors import ConfigError, DeliveryRetriableError, ToolMissingError
from shared.events import Severity

_TITLE: Final = 200
_TYPES: Final = {
    Severity.LOW: "info",
    Severity.MEDIUM: "warning",
    Severity.HIGH: "warning",
    Severity.CRITICAL: "failure",
}


class AppriseChannel:
    """One address of Apprise's.

    Args:
        url: the address.
        number: position among the addresses; names the channel, as the address must not.
        min_interval_s: between two messages.

    Raises:
        ToolMissingError: the extra is not installed.
        ConfigError: Apprise does not know such an address.
    """

    edits = False

    def __init__(self, url: str, *, number: int, min_interval_s: float = 1.0) -> None:
        if importlib.util.find_spec("apprise") is None:
            raise ToolMissingError(
                "apprise", remedy="pip install 'tapewatch[apprise]', or remove APPRISE_URLS"
            )
        import apprise  # noqa: PLC0415 - an extra

        # Its log lines show addresses.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        self.name = f"apprise:{number}-{urlsplit(url).scheme}"
        self.min_interval_s = min_interval_s
        self._service = apprise.Apprise()
        if not self._service.add(url):
            raise ConfigError([f"APPRISE_URLS: number {number} is no address that Apprise knows"])

    async def send(self, notification: Notification, *, thread_ref: str) -> str:  # noqa: ARG002 - it has no threads
        """Send a notification; returns an empty reference."""
        headline, _, rest = plain(notification).partition("\n")
        await self._notify(headline, rest, _TYPES[notification.severity])
        return ""

    async def tell(self, text: str) -> None:
        """Send a text."""
        await self._notify("Tapewatch", text, "warning")

    async def close(self) -> None:
        """Release nothing: Apprise keeps no connection."""

    async def _notify(self, title: str, body: str, kind: str) -> None:
        # Its asynchronous form runs in threads of the loop as well, and swallows why something failed.
        is_taken = await asyncio.to_thread(
            self._service.notify, body=body, title=clean(title, _TITLE), notify_type=kind, body_format="text"
        )
        if not is_taken:
            raise DeliveryRetriableError(
                self.name, detail="the service did not take it; Apprise does not say why"
            )


def build(urls: Sequence[str]) -> list[AppriseChannel]:
    """Return a channel for each address.

    Raises:
        ToolMissingError: the extra is not installed.
        ConfigError: Apprise does not know such an address.
    """
    return [AppriseChannel(url, number=number) for number, url in enumerate(urls, start=1)]
