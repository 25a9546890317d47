"""Logs: structlog on standard output, colour on a terminal, JSON elsewhere, secrets never.

Event names are constant snake_case; values are fields. Only an entry point calls `configure`.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_SECRET_WORDS = ("token", "password", "secret", "webhook_url", "database_url")


def _hide_secrets(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in event:
        if any(word in name for word in _SECRET_WORDS):
            event[name] = "***"
    return event


def configure(*, worker: str, level: str = "info") -> None:
    """Set up logging for this process and bind the worker's name.

    Args:
        worker: role of this process, on every line.
        level: `debug`, `info`, `warning` or `error`.
    """
    on_terminal = sys.stdout.isatty()
    renderer: Any = structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer()
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide_secrets,
    ]
    if not on_terminal:
        processors.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
        cache_logger_on_first_use=True,
    )
    # Libraries speak through the standard module. httpx logs URLs at INFO, and Telegram's carry the token.
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
    structlog.contextvars.bind_contextvars(worker=worker)


def get_logger(**fields: object) -> Any:  # noqa: ANN401 - structlog's loggers are typed by configuration
    """Return a logger with fields bound."""
    return structlog.get_logger(**fields)
