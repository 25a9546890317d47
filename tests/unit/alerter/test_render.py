import html
import math
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alerter.notification import Notification
from alerter.render import (
    clean,
    plain,
    price_words,
    rarity_words,
    slack_blocks,
    slack_text,
    telegram_html,
    time_words,
)
from shared.events import Anomaly, EpisodePhase
from tests.servers.slack import _message_fault, _texts, is_escaped
from tests.servers.telegram import shown
from tests.unit.alerter.examples import anomaly, notification

HOSTILE = [
    "<b>&\"'</b></code><a href='tg://user?id=1'>",
    "*_~`>|[](){}#+-=.!\\",
    "<!channel> <@U123> &lt;&amp;amp; `code` :smile:",
    "x" * 10_000,
    "<" * 5_000,
    "&" * 5_000,
    "😀" * 4_000,
    "👨\u200d👩\u200d👧" * 900,
    "\u202e\u0645\u0631\u062d\u0628\u0627\u202c \u2067\u05e9\u05dc\u05d5\u05dd\u2069",
    "币安人生-USDT",
    "\x00\x07\x1b[31m\r\n\t\ud800\udfff",
    "   ",
    "",
]

any_text = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(), max_size=300))
any_price = st.floats(min_value=0, allow_nan=False, allow_infinity=True)
any_rarity = st.none() | st.floats(0, 1)
any_anomaly = st.builds(
    lambda words, rarity, price, shares, phase: anomaly(
        words[0],
        symbol=words[1],
        exchange=words[2],
        kind=words[3],
        reason=words[4],
        rarity=rarity,
        price=price,
        contributions=shares,
        phase=phase,
    ),
    st.tuples(any_text, any_text, any_text, any_text, any_text),
    any_rarity,
    any_price,
    st.dictionaries(any_text, st.floats(), max_size=8),
    st.sampled_from(EpisodePhase),
)


def told(event: Anomaly) -> Notification:
    return Notification.of(event, channels=("chat",), now_us=0)


@settings(max_examples=40)
@given(any_anomaly)
@example(anomaly("<" * 500, symbol="&" * 500, exchange="<" * 500, kind="😀" * 500, reason="&" * 9_000))
def test_telegrams_markup_holds_whatever_the_text(event: Anomaly) -> None:
    message = telegram_html(told(event))
    text = shown(message)  # raises on anything that Telegram would not parse
    assert 0 < len(text.encode("utf-16-le")) // 2 <= 4_096
    assert re.findall(r"</?[a-z]+>", message) == ["<b>", "</b>", "<code>", "</code>"]
    assert html.escape(clean(event.reason, 1_500)) in message
    assert shown(message.split("<code>")[1].split("</code>")[0]) == clean(event.anomaly_id, 128)


@settings(max_examples=40)
@given(any_anomaly)
@example(anomaly("`" * 500, symbol="&" * 500, exchange="<" * 500, kind="😀" * 500, reason="&" * 9_000))
def test_slacks_blocks_hold_whatever_the_text(event: Anomaly) -> None:
    blocks, fallback = slack_blocks(told(event)), slack_text(told(event))
    assert _message_fault({"text": fallback, "blocks": blocks}) == ""
    texts = _texts(list(blocks))
    assert all(is_escaped(text) for text in [fallback, *texts])
    assert 0 < len(fallback) <= 3_000
    marked_up = [b["elements"][0]["text"] for b in blocks if b["type"] == "context"]  # type: ignore[index]
    assert len(marked_up) == 1
    assert marked_up[0].count("`") == 2


@settings(max_examples=40)
@given(any_anomaly)
def test_every_form_can_be_written_as_utf8_and_holds_no_control_character(event: Anomaly) -> None:
    for text in (
        telegram_html(told(event)),
        plain(told(event)),
        slack_text(told(event)),
        *_texts(list(slack_blocks(told(event)))),
    ):
        text.encode("utf-8")
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text)


def test_a_message_says_what_where_how_rare_why_and_when() -> None:
    assert plain(notification("0123456789abcdef0123", symbol="币安人生-USDT", kind="flash_crash")) == (
        "HIGH: flash crash on 币安人生-USDT (binance)\n"
        "A single trade of 1,250,000 USDT, 40 times the median.\n"
        "Price: 64,231.5\n"
        "Rarity: 1 in 1,000,000 trades\n"
        "Time: 2026-09-21 14:13:20.123 UTC\n"
        "Driven by: notional 70%, rush 30%\n"
        "Episode: opened, 1 trade\n"
        "Id: 0123456789abcdef0123"
    )


def test_telegram_escapes_and_keeps_the_words() -> None:
    message = telegram_html(notification("id<1>", symbol="<b>-USDT", reason="a < b & c"))
    assert message.startswith("<b>HIGH: whale on &lt;b&gt;-USDT (binance)</b>\na &lt; b &amp; c\n")
    assert message.endswith("\n<code>id&lt;1&gt;</code>")


def test_slack_has_the_whole_id_in_code() -> None:
    blocks = slack_blocks(notification("0123456789abcdef0123"))
    assert blocks[-1]["elements"] == [{"type": "mrkdwn", "text": "`0123456789abcdef0123`"}]
    assert [block["type"] for block in blocks] == ["header", "section", "section", "context"]


def test_only_the_largest_contributions_are_named() -> None:
    shares = {"a": 0.05, "b": 0.4, "c": 0.1, "d": 0.2, "e": 0.15, "f": 0.1, "g": 0.0, "h": math.nan}
    text = plain(notification(contributions=shares))
    assert "Driven by: b 40%, d 20%, e 15%, c 10%, f 10%\n" in text


def test_without_contributions_there_is_no_such_line() -> None:
    assert "Driven by" not in plain(notification(contributions={}))


@pytest.mark.parametrize(
    ("rarity", "words"),
    [
        (1e-6, "1 in 1,000,000 trades"),
        (3.3e-7, "1 in 3,000,000 trades"),
        (0.25, "1 in 4 trades"),
        (1.0, "every trade"),
        (0.0, "rarer than 1 in 1,000,000,000,000 trades"),
        (1e-13, "rarer than 1 in 1,000,000,000,000 trades"),
        (None, "not calibrated yet"),
        (math.nan, "not calibrated yet"),
    ],
)
def test_rarity_in_words(rarity: float | None, words: str) -> None:
    assert rarity_words(rarity) == words


@pytest.mark.parametrize(
    ("price", "words"),
    [
        (64_231.5, "64,231.5"),
        (100_000.0, "100,000"),
        (0.00001234, "0.00001234"),
        (1e-8, "0.00000001"),
        (123_456_789.125, "123,456,789.125"),
        (1e300, "1e+300"),
        (1e-15, "1e-15"),
        (math.inf, "inf"),
    ],
)
def test_prices_in_words(price: float, words: str) -> None:
    assert price_words(price) == words


def test_a_time_beyond_the_calendar_is_still_said() -> None:
    assert time_words(9 * 10**18) == "9000000000000000000 us after 1970"


def test_cleaning_cuts_by_utf16_units_and_between_characters() -> None:
    assert clean("ab😀cd", 5) == "ab😀…"
    assert clean("ab😀cd", 4) == "ab…"
    assert clean("ab😀", 4) == "ab😀"
