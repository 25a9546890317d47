"""The words of a notification, pure: an anomaly in, Telegram's HTML, Slack's blocks or plain text out.

Everything that came from outside (a market's name may hold any character) is cleaned, cut and escaped here
and nowhere else. Cleaning takes out what no reader needs and a channel may stumble over: control characters,
lone surrogates, and the marks that turn the direction of the text around them.

Sources of the limits: Telegram Bot API, sendMessage (4,096 characters after entities are parsed, counted
as UTF-16 units); Slack Block Kit reference (header 150, section text 3,000, 10 fields of 2,000 each).
"""

import html
import math
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from shared.events import Anomaly, EpisodePhase

TELEGRAM_TEXT: Final = 4_096
SLACK_HEADER: Final = 150
SLACK_SECTION: Final = 3_000
SLACK_FIELD: Final = 2_000

SlackBlock = dict[str, object]

_NAME: Final = 64
_ID: Final = 128
_REASON: Final = 1_500
_CONTRIBUTIONS: Final = 5
_CUT: Final = "…"
_RAREST_TRADES: Final = 1e12
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Embeddings, overrides and isolates: they would reorder what stands beside them.
_DIRECTION_MARKS: Final = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))


def telegram_html(anomaly: Anomaly) -> str:
    """Return the message for Telegram's HTML mode."""
    headline, reason, facts, anomaly_id = _parts(anomaly)
    lines = [
        f"<b>{html.escape(headline)}</b>",
        html.escape(reason),
        "",
        *(f"{html.escape(name)}: {html.escape(value)}" for name, value in facts),
        f"<code>{html.escape(anomaly_id)}</code>",
    ]
    return "\n".join(lines)


def slack_blocks(anomaly: Anomaly) -> list[SlackBlock]:
    """Return the message as Block Kit. What came from outside stands in plain text, which has no markup."""
    headline, reason, facts, anomaly_id = _parts(anomaly)
    return [
        {"type": "header", "text": _plain_text(headline, SLACK_HEADER)},
        {"type": "section", "text": _plain_text(reason or headline, SLACK_SECTION)},
        {
            "type": "section",
            "fields": [_plain_text(f"{name}\n{value}", SLACK_FIELD) for name, value in facts],
        },
        {
            "type": "context",
            "elements": [{"type": "mrkdwn", "text": f"`{_slack(anomaly_id.replace('`', ''), SLACK_FIELD)}`"}],
        },
    ]


def slack_text(anomaly: Anomaly) -> str:
    """Return the one line that Slack shows where it shows no blocks (notifications, screen readers)."""
    headline, reason, _, _ = _parts(anomaly)
    return _slack(f"{headline}. {reason}", SLACK_SECTION)


def plain(anomaly: Anomaly) -> str:
    """Return the message as plain text, the headline on its first line."""
    headline, reason, facts, anomaly_id = _parts(anomaly)
    return "\n".join([headline, reason, *(f"{name}: {value}" for name, value in facts), f"Id: {anomaly_id}"])


def rarity_words(rarity: float | None) -> str:
    """Return a probability per trade in words.

    Args:
        rarity: probability of something at least this strange; None while it is not known.
    """
    if rarity is None or not math.isfinite(rarity):
        return "not calibrated yet"
    if rarity >= 1:
        return "every trade"
    if rarity * _RAREST_TRADES < 1:
        return f"rarer than 1 in {_RAREST_TRADES:,.0f} trades"
    return f"1 in {float(f'{1 / rarity:.2g}'):,.0f} trades"


def price_words(price: float) -> str:
    """Return a price with all its digits, in groups of three; an absurd one by its magnitude."""
    if not math.isfinite(price) or not 1e-12 <= abs(price) < 1e15:
        return f"{price:g}"
    # The shortest decimal that is this float, as the venue wrote it, without an exponent.
    return f"{Decimal(repr(price)).normalize():,f}"


def time_words(time_us: int) -> str:
    """Return a time in UTC, to the millisecond."""
    try:
        moment = _EPOCH + timedelta(microseconds=time_us)
    except OverflowError:
        return f"{time_us} us after 1970"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1_000:03d} UTC"


def clean(text: str, units: int) -> str:
    """Return a text on one line, without what breaks displays, of at most so many UTF-16 units."""
    kept = "".join(" " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c for c in text if _is_shown(c))
    return _fitting(" ".join(kept.split()), units, lambda character: character)


def _parts(anomaly: Anomaly) -> tuple[str, str, list[tuple[str, str]], str]:
    """Return headline, reason, named facts and id: clean, short enough for every channel, not escaped."""
    market, kind = clean(anomaly.symbol, _NAME), clean(anomaly.kind.replace("_", " "), _NAME)
    headline = f"{anomaly.severity.upper()}: {kind} on {market} ({clean(anomaly.exchange, _NAME // 2)})"
    facts = [
        # What is told of all markets together has no price.
        *([("Price", price_words(anomaly.price))] if anomaly.price else []),
        ("Rarity", rarity_words(anomaly.rarity)),
        ("Time", time_words(anomaly.event_time_us)),
    ]
    if why := _contributions(anomaly):
        facts.append(("Driven by", why))
    facts.append(("Episode", _episode(anomaly)))
    return headline, clean(anomaly.reason, _REASON), facts, clean(anomaly.anomaly_id, _ID)


def _contributions(anomaly: Anomaly) -> str:
    shares = [
        (name, share) for name, share in anomaly.contributions.items() if math.isfinite(share) and share > 0
    ]
    # The name settles equal shares, so that one anomaly has one text.
    top = sorted(shares, key=lambda item: (-item[1], item[0]))[:_CONTRIBUTIONS]
    return ", ".join(f"{clean(name.replace('_', ' '), _NAME)} {min(share, 1):.0%}" for name, share in top)


def _episode(anomaly: Anomaly) -> str:
    episode = anomaly.episode
    trades = f"{episode.trades:,} trade" + ("" if episode.trades == 1 else "s")
    if episode.phase is EpisodePhase.OPENED:
        return f"opened, {trades}"
    lasting_s = max(0, episode.last_us - episode.opened_us) / 1e6
    return f"{episode.phase} after {lasting_s:,.1f} s, {trades}"


def _is_shown(character: str) -> bool:
    return character not in _DIRECTION_MARKS and unicodedata.category(character) != "Cs"


def _plain_text(text: str, limit: int) -> dict[str, object]:
    return {"type": "plain_text", "text": _slack(text, limit), "emoji": False}


def _slack(text: str, limit: int) -> str:
    """Return a text with Slack's three special characters escaped, within a limit that counts the escapes."""
    return _fitting(text, limit, lambda character: html.escape(character, quote=False))


def _fitting(text: str, units: int, escape: Callable[[str], str]) -> str:
    """Return the escaped text, cut between characters where it would exceed so many UTF-16 units."""
    pieces = [escape(character) for character in text]
    if sum(map(_units, pieces)) <= units:
        return "".join(pieces)
    room, kept = units - _units(_CUT), []
    for piece in pieces:
        room -= _units(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept) + _CUT


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
