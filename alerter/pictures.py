"""The picture of a notification: which minutes are shown, and what is marked in them."""

from typing import Final

from alerter.charts import Moment, draw
from alerter.notification import Notification
from alerter.render import rarity_words, time_words
from alerter.tape import Tape
from shared.clock import MICROSECONDS_PER_SECOND, Clock

BEFORE_US: Final = 300 * MICROSECONDS_PER_SECOND
AFTER_US: Final = 120 * MICROSECONDS_PER_SECOND
# An episode may last for hours; a picture of it would show nothing.
LONGEST_US: Final = 3_600 * MICROSECONDS_PER_SECOND
_LEAST_AFTER_US: Final = 10 * MICROSECONDS_PER_SECOND


class Pictures:
    """Draws notifications. Blocks; not for an event loop.

    Args:
        tape: the trades.
        clock: the time.
    """

    def __init__(self, tape: Tape, clock: Clock) -> None:
        self._tape = tape
        self._clock = clock

    def of(self, notification: Notification) -> bytes | None:
        """Return a PNG, or None where there are no trades to show (a market of its own, or long ago)."""
        moment = moment_of(notification, now_us=self._clock.now_us())
        trades = self._tape.around(notification.anomaly, since_us=moment.since_us, until_us=moment.until_us)
        return draw(trades, moment)


def moment_of(notification: Notification, *, now_us: int) -> Moment:
    """Return what the picture of a notification shows.

    Args:
        notification: what to show.
        now_us: nothing is known of later trades.
    """
    anomaly = notification.anomaly
    opened_us = max(anomaly.episode.opened_us, anomaly.event_time_us - LONGEST_US)
    after_us = min(max(now_us - anomaly.event_time_us, _LEAST_AFTER_US), AFTER_US)
    kind = anomaly.kind.replace("_", " ")
    return Moment(
        title=f"{notification.severity.upper()}: {kind} on {anomaly.symbol} ({anomaly.exchange})",
        subtitle=f"{time_words(anomaly.event_time_us)}, {rarity_words(anomaly.rarity)}",
        since_us=opened_us - BEFORE_US,
        until_us=anomaly.event_time_us + after_us,
        opened_us=opened_us,
        closed_us=max(anomaly.episode.last_us, opened_us),
        event_us=anomaly.event_time_us,
        price=anomaly.price,
        quote=anomaly.symbol.rpartition("-")[2],
    )
