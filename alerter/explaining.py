"""The answer to "why?" (pure): what was judged, what drove it, and how rare that is, in plain lines."""

import math
from typing import Final

from alerter.notification import Notification
from alerter.render import clean, price_words, rarity_words, time_words
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Anomaly

_NAME: Final = 64
_REASON: Final = 900
_FEATURES: Final = 6


def explanation(notification: Notification) -> list[str]:
    """Return the lines of the explanation: clean, not escaped, the headline first."""
    anomaly = notification.anomaly
    market, kind = clean(anomaly.symbol, _NAME), clean(anomaly.kind.replace("_", " "), _NAME)
    lines = [
        f"Why: {kind} on {market} ({clean(anomaly.exchange, _NAME // 2)})",
        clean(notification.digest.title if notification.digest else anomaly.reason, _REASON),
        *_features(anomaly),
        f"Rarity: {rarity_words(anomaly.rarity)}; {_threshold(anomaly)}",
    ]
    if anomaly.price:
        lines.append(f"Price {price_words(anomaly.price)} at {time_words(anomaly.event_time_us)}")
    window_s = (anomaly.window.end_us - anomaly.window.start_us) / MICROSECONDS_PER_SECOND
    lines.append(
        f"Judged over {window_s:,.4g} s by {clean(anomaly.detector, _NAME)}, score {anomaly.score:.4g}"
    )
    if anomaly.context is not None and anomaly.context.sentence not in anomaly.reason:
        lines.append(clean(anomaly.context.sentence, _REASON))
    return [line for line in lines if line]


def _features(anomaly: Anomaly) -> list[str]:
    """Return the features that drove it with their values, the largest share first."""
    shares = [(name, s) for name, s in anomaly.contributions.items() if math.isfinite(s) and s > 0]
    top = sorted(shares, key=lambda item: (-item[1], item[0]))[:_FEATURES]
    return [
        f"{min(share, 1):.0%} {clean(name.replace('_', ' '), _NAME)}{_value(anomaly, name)}"
        for name, share in top
    ]


def _value(anomaly: Anomaly, name: str) -> str:
    value = anomaly.features.get(name)
    return "" if value is None else f" = {value:,.6g}"


def _threshold(anomaly: Anomaly) -> str:
    if anomaly.threshold_on == "rarity":
        return f"told when rarer than {rarity_words(anomaly.threshold)}"
    return f"told from a score of {anomaly.threshold:.4g} on"
