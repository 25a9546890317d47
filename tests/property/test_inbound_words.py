"""Whatever people type or press, there is an answer, and never an error: they must not be able to stop us."""

from hypothesis import given
from hypothesis import strategies as st

from alerter.buttons import Verb, pressed
from alerter.inbound.commands import LONGEST_US, Help, Silence, parse
from alerter.render import slack_escaped
from tests.servers.slack import is_escaped

NAMES = st.sampled_from(["status", "alerts", "silence", "silence off", "mute", "mute off", "help", "dance"])
MATCHERS = st.sampled_from(
    ["market=BTC-*", "market=", "kind=!whale,*", "severity=>=high", "severity=x", "=", "x=y"]
)
DURATIONS = st.one_of(
    st.sampled_from(["30m", "1h30m", "0", "-1h", "1e9d", "9" * 400 + "d", "0." + "9" * 300 + "s"]),
    st.from_regex(r"\A\d{1,40}(ms|s|m|h|d)\Z"),
)
LINES = st.one_of(
    st.text(),
    st.builds(lambda *words: " ".join(words), NAMES, MATCHERS, DURATIONS, st.text()),
    st.builds(lambda name, duration: f"/{name}@tape_bot {duration}", NAMES, DURATIONS),
)


@given(LINES)
def test_every_line_is_understood_or_explained(line: str) -> None:
    wish = parse(line)
    if isinstance(wish, Silence):
        assert 0 < wish.duration_us <= LONGEST_US
        assert any(wish.matchers.values())
    if isinstance(wish, Help):
        assert len(wish.fault) < 1_000


@given(st.one_of(st.text(), st.builds("{}:{}:{}".format, st.sampled_from(Verb), st.text(), st.text())))
def test_every_press_is_one_of_ours_or_none(data: str) -> None:
    press = pressed(data)
    assert press is None or pressed(press.data) == press


@given(st.text())
def test_nothing_that_came_from_outside_has_a_meaning_to_slack(text: str) -> None:
    assert is_escaped(slack_escaped(text))
