"""The terminal, for those who have set up nothing else yet."""

from typing import Final

from rich.console import Console
from rich.text import Text

from alerter.notification import Notification
from alerter.render import plain
from shared.events import Severity

CONSOLE: Final = "console"
_STYLES = {
    Severity.LOW: "dim",
    Severity.MEDIUM: "yellow",
    Severity.HIGH: "bold red",
    Severity.CRITICAL: "bold white on red",
}


class ConsoleChannel:
    """Prints notifications on standard output.

    Args:
        console: where to print; the process's standard output by default.
    """

    name = CONSOLE
    min_interval_s = 0.0
    edits = False

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)

    async def send(self, notification: Notification, *, thread_ref: str) -> str:  # noqa: ARG002 - it has no threads
        """Print a notification; returns an empty reference."""
        headline, _, rest = plain(notification).partition("\n")
        # As `Text` and not as markup: square brackets of a market's name are no style.
        self._console.print(
            Text(headline, style=_STYLES[notification.severity]), Text(rest), sep="\n", end="\n\n"
        )
        return ""

    async def tell(self, text: str) -> None:
        """Print a text."""
        self._console.print(Text(text), end="\n\n")

    async def close(self) -> None:
        """Release nothing."""
