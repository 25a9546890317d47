import pytest

from alerter.inbound import commands
from alerter.inbound.commands import parse

HOUR_US = 3_600_000_000


@pytest.mark.parametrize(
    ("line", "wish"),
    [
        ("/status", commands.Status()),
        ("status", commands.Status()),
        ("/STATUS@tape_bot please", commands.Status()),
        ("/alerts", commands.Alerts()),
        ("/silence", commands.Silences()),
        ("/start", commands.Help()),
        ("", commands.Help()),
        ("/mute 30m", commands.Silence(matchers=commands.MUTE, duration_us=HOUR_US // 2)),
        ("/mute off", commands.Unsilence(silence_id="")),
        ("/silence off abc", commands.Unsilence(silence_id="abc")),
        (
            "/silence market=BTC-USDT,ETH-* kind=whale 2h maintenance at the venue",
            commands.Silence(
                matchers={"market": ["BTC-USDT", "ETH-*"], "kind": ["whale"]},
                duration_us=2 * HOUR_US,
                comment="maintenance at the venue",
            ),
        ),
    ],
)
def test_words_become_wishes(line: str, wish: commands.Wish) -> None:
    assert parse(line) == wish


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("/dance", "dance is nothing"),
        ("/silence 2h", "Say what is to be silent"),
        ("/silence market=BTC-USDT", "for how long"),
        ("/silence market=BTC-USDT soon", "is no duration"),
        ("/silence market=BTC-USDT 31d", "30 days at most"),
        ("/silence market=BTC-USDT 0", "30 days at most"),
        ("/silence colour=red 2h", "colour"),
        ("/silence severity=huge 2h", "is no severity"),
        ("/silence market= 2h", "market"),
        ("/silence off", "silence off ID"),
        ("/mute", "for how long"),
    ],
)
def test_what_cannot_be_understood_is_answered_with_how_to_say_it(line: str, fault: str) -> None:
    wish = parse(line)
    assert isinstance(wish, commands.Help)
    assert fault in wish.fault


def test_a_line_of_any_length_is_read_in_bounds() -> None:
    wish = parse("/silence market=X 1h " + "x " * 100_000)
    assert isinstance(wish, commands.Silence)
    assert len(wish.comment) < 500
