from fnmatch import fnmatchcase

import pytest

from dashboard import commands
from dashboard.commands import SilenceScope
from dashboard.desk import TopicDesk
from dashboard.stories import AlertStories, AlertStory
from shared import topics
from shared.codec import decode
from shared.events import Alert, AlertAction, AlertCommand
from shared.stream.memory import MemoryBroker
from tests.data.dashboard_scene import alert_life, make_alert, make_anomaly

US = 1_000_000
NOW_US = 1_760_000_000 * US


def story_of(*changes: Alert) -> AlertStory:
    stories = AlertStories(10)
    for change in changes:
        stories.add(change)
    return stories.latest_first()[0]


def life(number: int, symbol: str = "BTC-USDT") -> AlertStory:
    return story_of(*alert_life(make_anomaly(symbol, event_us=NOW_US, price=1.0), number))


def test_what_can_be_asked_depends_on_where_the_alert_stands() -> None:
    acknowledge, back = AlertAction.ACKNOWLEDGE, AlertAction.UNACKNOWLEDGE
    assert commands.actions(life(4)) == {acknowledge, AlertAction.SNOOZE, AlertAction.SILENCE}
    assert commands.actions(life(1)) == {back, AlertAction.SNOOZE, AlertAction.SILENCE}
    assert commands.actions(life(0)) == {AlertAction.SILENCE}
    assert commands.actions(life(2)) == frozenset()
    assert commands.actions(None) == frozenset()


def test_an_acknowledgement_is_about_the_incident() -> None:
    story = life(4)
    command = commands.about_incident(story, AlertAction.ACKNOWLEDGE, author="ann", now_us=NOW_US)
    assert command.target == story.incident_id != ""
    assert (command.author, command.channel, command.until_us) == ("ann", "dashboard", 0)
    again = commands.about_incident(story, AlertAction.ACKNOWLEDGE, author="ann", now_us=NOW_US + US)
    assert again.command_id != command.command_id


@pytest.mark.parametrize("length_s", commands.LENGTHS_S.values())
def test_a_snooze_says_until_when(length_s: int) -> None:
    command = commands.about_incident(
        life(4), AlertAction.SNOOZE, author="ann", now_us=NOW_US, length_s=length_s
    )
    assert command.until_us == NOW_US + length_s * US


@pytest.mark.parametrize(
    ("scope", "matchers"),
    [
        (SilenceScope.KIND_ON_MARKET, {"market": ["BTC-USDT"], "kind": ["whale"]}),
        (SilenceScope.MARKET, {"market": ["BTC-USDT"]}),
        (SilenceScope.KIND, {"kind": ["whale"]}),
    ],
)
def test_a_silence_is_about_what_was_chosen(scope: SilenceScope, matchers: dict[str, list[str]]) -> None:
    command = commands.silence(
        life(4), scope, length_s=900, comment=" known\nmaintenance ", author="a\x00nn", now_us=NOW_US
    )
    assert command.matchers == matchers
    assert (command.until_us, command.comment) == (NOW_US + 900 * US, "known maintenance")
    assert command.author == "a nn"


@pytest.mark.parametrize("symbol", ["*-USDT", "!BTC-USDT", "[B]TC-USDT", "B?C-USDT"])
def test_a_market_whose_name_is_a_pattern_silences_itself_alone(symbol: str) -> None:
    story = story_of(make_alert(make_anomaly(symbol, event_us=NOW_US, price=1.0)))
    command = commands.silence(
        story, SilenceScope.MARKET, length_s=900, comment="", author="ann", now_us=NOW_US
    )
    (pattern,) = command.matchers["market"]
    assert not pattern.startswith("!")
    assert fnmatchcase(symbol, pattern)
    assert not fnmatchcase("BTC-USDT", pattern)


def test_the_desk_puts_a_command_on_its_topic() -> None:
    broker = MemoryBroker()
    broker.ensure_topics()
    command = commands.about_incident(life(4), AlertAction.ACKNOWLEDGE, author="ann", now_us=NOW_US)
    TopicDesk(broker).publish(command)
    (record,) = broker.read_all(broker.partitions_of(topics.ALERT_COMMANDS))
    assert decode(record.value(), AlertCommand) == command
    assert record.key() == command.target.encode()
