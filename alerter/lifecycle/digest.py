"""What a message about many markets says: one true sentence, and the ten that matter most."""

from collections.abc import Collection, Sequence
from typing import Final

from alerter.lifecycle.book import AlertRecord
from alerter.notification import AlertView, Digest
from alerter.rules.times import duration_words
from shared.clock import MICROSECONDS_PER_SECOND

_TOP: Final = 10
_LEVELS_PCT: Final = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 75.0)
_MINUTE_US: Final = 60 * MICROSECONDS_PER_SECOND


def digest_of(
    alerts: Sequence[AlertRecord], views: Sequence[AlertView], *, market_kinds: Collection[str]
) -> Digest:
    """Return the digest of some alerts.

    Args:
        alerts: of any markets.
        views: the same as they are shown, the most important first.
        market_kinds: kinds of anomaly that are about the whole market; one of these says it best.
    """
    about_all = [alert for alert in alerts if alert.anomaly.kind in market_kinds]
    alerts = [alert for alert in alerts if alert.anomaly.kind not in market_kinds]
    markets = {alert.anomaly.symbol for alert in alerts}
    top: dict[str, AlertView] = {}
    for view in (view for view in views if view.kind not in market_kinds):
        top.setdefault(view.symbol, view)
    return Digest(title=_sentence(about_all, alerts), markets=len(markets), top=tuple(top.values())[:_TOP])


def _sentence(about_all: Sequence[AlertRecord], alerts: Sequence[AlertRecord]) -> str:
    if not about_all:
        return _title(alerts)
    latest = max(about_all, key=lambda alert: alert.last_us).anomaly.reason
    return f"{latest} {_title(alerts)}." if alerts else latest


def _title(alerts: Sequence[AlertRecord]) -> str:
    if len({alert.anomaly.symbol for alert in alerts}) == 1:
        latest = max(alerts, key=lambda alert: alert.last_us)
        return f"{latest.anomaly.symbol} and the market: {latest.market or latest.anomaly.reason}"
    within = _within(alerts)
    moves: dict[str, float] = {}
    for alert in alerts:
        if alert.move_pct is not None:
            moves[alert.anomaly.symbol] = max(alert.move_pct, moves.get(alert.anomaly.symbol, 0.0), key=abs)
    markets = len({alert.anomaly.symbol for alert in alerts})
    falls = sorted((-move for move in moves.values() if move < 0), reverse=True)
    rises = sorted((move for move in moves.values() if move > 0), reverse=True)
    verb, sizes = ("fell", falls) if len(falls) >= len(rises) else ("rose", rises)
    # The largest round number that three quarters of the markets exceed; the sentence is true of so many.
    for level in reversed(_LEVELS_PCT):
        beyond = sum(size > level for size in sizes)
        if beyond >= max(2, -(-3 * markets // 4)):
            return f"{beyond} markets {verb} more than {level:g} % {within}"
    return f"{markets} markets are abnormal {within}"


def _within(alerts: Sequence[AlertRecord]) -> str:
    started_us = [alert.anomaly.episode.opened_us for alert in alerts]
    minutes = -(-(max(started_us) - min(started_us)) // _MINUTE_US)
    return f"within {duration_words(max(1, minutes) * _MINUTE_US)}".replace(" 1 min", " a minute")
