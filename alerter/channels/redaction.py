"""Keeps tokens and webhook addresses out of errors and logs.

Telegram's token is a part of every URL and Slack's webhook URL is itself the secret, so any text that an HTTP
library writes may hold one. Errors are raised without their cause, whose text and request would show it.
"""

import logging
from typing import Final
from urllib.parse import quote, urlsplit

_HIDDEN: Final = "***"
# httpx logs URLs at INFO, the others at DEBUG. The two service libraries log every failure with its traceback
# before they raise it; what is raised is logged by the sender, once.
_QUIETED: Final = {
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "telegram": logging.CRITICAL,
    "slack_sdk": logging.CRITICAL,
}


class Redactor:
    """Replaces secrets in texts.

    Args:
        secret: a token, or a URL of which the path is secret.
    """

    def __init__(self, secret: str) -> None:
        parts = {secret, quote(secret), quote(secret, safe="")}
        path = urlsplit(secret).path if "://" in secret else ""
        if path.strip("/"):
            parts |= {path, path.strip("/")}
        self._parts = sorted((part for part in parts if part), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return the text without the secret."""
        for part in self._parts:
            text = text.replace(part, _HIDDEN)
        return text


def quiet_libraries() -> None:
    """Keep the HTTP libraries from logging requests, whatever level the process logs at."""
    for name, level in _QUIETED.items():
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, level))
