"""The words of a notification, pure: a notification in, Telegram's HTML, Slack's blocks or plain text out.

Everything that came from outside (a market's name may hold any character) is cleaned, cut and escaped here
and nowhere else. Cleaning takes out what no reader needs and a channel may stumble over: control characters,
lone surrogates, and the marks that turn the direction of the text around them.

Sources of the limits: Telegram Bot API, sendMessage (4,096 characters after entities are parsed, counted
as UTF-16 units); Slack Block Kit reference (header 150, section text 3,000, 10 fields of 2,000 each).
"""

import html
import math
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from alerter.notification import AlertView, Notification, NotificationEvent
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
_ROWS: Final = 5
_CUT: Final = "…"
# Slack's forms of a name that is called. Source: https://docs.slack.dev (formatting message text).
_MENTIONS: Final = (
    (re.compile(r"@?([UW][A-Z0-9]{2,20})"), r"<@\1>"),
    (re.compile(r"@?(S[A-Z0-9]{2,20})"), r"<!subteam^\1>"),
    (re.compile(r"@?(here|channel|everyone)"), r"<!\1>"),
)
_RAREST_TRADES: Final = 1e12
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Embeddings, overrides and isolates: they would reorder what stands beside them.
_DIRECTION_MARKS: Final = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))


class _Parts(NamedTuple):
    """What a message says: clean, short enough for every channel, not escaped.

    Attributes:
        headline: one line.
        reason: one sentence or two.
        facts: names and values.
        rows: further alerts, one line each.
        reference: id to look things up by.
    """

    headline: str
    reason: str
    facts: list[tuple[str, str]]
    rows: list[str]
    reference: str


def telegram_html(notification: Notification) -> str:
    """Return the message for Telegram's HTML mode."""
    parts = _parts(notification)
    lines = [
        f"<b>{html.escape(parts.headline)}</b>",
        html.escape(parts.reason),
        "",
        *(f"{html.escape(name)}: {html.escape(value)}" for name, value in parts.facts),
        *(html.escape(row) for row in parts.rows),
        f"<code>{html.escape(parts.reference)}</code>",
    ]
    return "\n".join(lines)


def telegram_reply_html(notification: Notification) -> str:
    """Return the short answer to a message that is there already, for Telegram's HTML mode."""
    headline, *rest = reply_lines(notification)
    reference = html.escape(_parts(notification).reference)
    return "\n".join(
        [f"<b>{html.escape(headline)}</b>", *map(html.escape, rest), f"<code>{reference}</code>"]
    )


def reply_lines(notification: Notification) -> list[str]:
    """Return what an answer in a thread says: clean, not escaped, the headline first."""
    parts = _parts(notification)
    return [line for line in (parts.headline, parts.reason, *map(": ".join, _life(notification))) if line]


def slack_blocks(notification: Notification) -> list[SlackBlock]:
    """Return the message as Block Kit. What came from outside stands in plain text, which has no markup."""
    parts = _parts(notification)
    blocks: list[SlackBlock] = [
        {"type": "header", "text": _plain_text(parts.headline, SLACK_HEADER)},
        {"type": "section", "text": _plain_text(parts.reason or parts.headline, SLACK_SECTION)},
    ]
    if parts.facts:
        fields = [_plain_text(f"{name}\n{value}", SLACK_FIELD) for name, value in parts.facts]
        blocks.append({"type": "section", "fields": fields})
    if parts.rows:
        blocks.append({"type": "section", "text": _plain_text("\n".join(parts.rows), SLACK_SECTION)})
    blocks += [*_slack_mentions(notification), _slack_reference(notification)]
    return blocks


def slack_text(notification: Notification) -> str:
    """Return the one line that Slack shows where it shows no blocks (notifications, screen readers)."""
    parts = _parts(notification)
    return _slack(f"{parts.headline}. {parts.reason}", SLACK_SECTION)


def slack_reply_blocks(notification: Notification) -> list[SlackBlock]:
    """Return the short answer in a thread as Block Kit."""
    text = "\n".join(reply_lines(notification))
    return [
        {"type": "section", "text": _plain_text(text, SLACK_SECTION)},
        *_slack_mentions(notification),
        _slack_reference(notification),
    ]


def slack_escaped(text: str) -> str:
    """Return a text for Slack, of at most a section's length; lines stay."""
    return "\n".join(_slack(clean(line, SLACK_SECTION), SLACK_SECTION) for line in text.split("\n"))


def plain(notification: Notification) -> str:
    """Return the message as plain text, the headline on its first line."""
    parts = _parts(notification)
    facts = [f"{name}: {value}" for name, value in parts.facts]
    return "\n".join([parts.headline, parts.reason, *facts, *parts.rows, f"Id: {parts.reference}"])


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


def _parts(notification: Notification) -> _Parts:
    if notification.digest is not None:
        return _digest_parts(notification)
    anomaly = notification.anomaly
    market, kind = clean(anomaly.symbol, _NAME), clean(anomaly.kind.replace("_", " "), _NAME)
    headline = f"{anomaly.severity.upper()}: {kind} on {market} ({clean(anomaly.exchange, _NAME // 2)})"
    facts = [
        *_life(notification),
        # What is told of all markets together has no price.
        *([("Price", price_words(anomaly.price))] if anomaly.price else []),
        ("Rarity", rarity_words(anomaly.rarity)),
        ("Time", time_words(anomaly.event_time_us)),
    ]
    if why := _contributions(anomaly):
        facts.append(("Driven by", why))
    facts.append(("Episode", _episode(anomaly)))
    others = [view for view in notification.alerts if view.alert_id != anomaly.episode.episode_id]
    rows = [f"Also {_row(view)}" for view in others[:_ROWS]]
    if (more := len(others) - _ROWS) > 0:
        rows.append(f"and {more} more")
    return _Parts(
        f"{_event_words(notification)}{headline}",
        clean(anomaly.reason, _REASON),
        facts,
        rows,
        clean(anomaly.anomaly_id, _ID),
    )


def _digest_parts(notification: Notification) -> _Parts:
    digest = notification.digest
    assert digest is not None
    headline = (
        f"{_event_words(notification)}{notification.severity.upper()}: {digest.markets} markets at once"
    )
    facts = [*_life(notification), ("Time", time_words(notification.anomaly.event_time_us))]
    rows = [_row(view) for view in digest.top]
    if (more := digest.markets - len(digest.top)) > 0:
        rows.append(f"and {more} more markets")
    reference = clean(notification.incident_id, _ID)
    return _Parts(headline, clean(digest.title, _REASON), facts, rows, reference)


def _event_words(notification: Notification) -> str:
    match notification.event:
        case NotificationEvent.OPENED | NotificationEvent.UPDATED if notification.level == 0:
            return ""
        case NotificationEvent.ESCALATED:
            return f"ESCALATED, level {notification.level}: "
        case NotificationEvent.UPDATED:
            return ""
        case _:
            return f"{notification.event.upper()}: "


def _life(notification: Notification) -> list[tuple[str, str]]:
    """Return what is to be said about the incident's life, if anything is."""
    said = []
    if notification.note:
        said.append(("Why now", clean(notification.note, _REASON)))
    if notification.author:
        said.append(("By", clean(notification.author, _NAME)))
    if notification.mentions:
        said.append(("For", ", ".join(clean(name, _NAME) for name in notification.mentions)))
    return said


def _row(view: AlertView) -> str:
    move = "" if view.move_pct is None else f" {view.move_pct:+.3g} %"
    kind = clean(view.kind.replace("_", " "), _NAME)
    return f"{clean(view.symbol, _NAME)} ({clean(view.exchange, _NAME // 2)}){move}: {kind}, {view.severity}"


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


def _slack_mentions(notification: Notification) -> list[SlackBlock]:
    """Return what calls people: ids of users and groups, `here` and `channel`; other names are only shown."""
    called = [
        pattern.sub(mark, name)
        for name in notification.mentions
        for pattern, mark in _MENTIONS
        if pattern.fullmatch(name)
    ]
    if not called:
        return []
    return [{"type": "section", "text": {"type": "mrkdwn", "text": " ".join(called[:_ROWS])}}]


def _slack_reference(notification: Notification) -> SlackBlock:
    reference = _slack(_parts(notification).reference.replace("`", ""), SLACK_FIELD)
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": f"`{reference}`"}]}


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
