from dashboard.stories import CHANGES_KEPT, AlertStories, AlertStory
from shared.events import Alert, AlertState
from tests.data.dashboard_scene import make_alert, make_anomaly

BEGIN_US = 1_760_000_000_000_000
ANOMALY = make_anomaly("BTC-USDT", event_us=BEGIN_US, price=1.0)


def story_of(*changes: Alert) -> AlertStory:
    stories = AlertStories(10)
    for change in changes:
        stories.add(change)
    (story,) = stories.latest_first()
    return story


def test_the_latest_change_decides_in_whatever_order_the_events_come() -> None:
    told = make_alert(ANOMALY, channels=["telegram:1"])
    taken = make_alert(ANOMALY, state="acknowledged", detail="acknowledged by ann", after_s=5)
    for changes in ((told, taken), (taken, told)):
        story = story_of(*changes)
        assert story.latest == taken
        assert story.first == told
        assert story.changes == (told, taken)


def test_of_two_changes_at_one_time_the_one_written_later_counts() -> None:
    told = make_alert(ANOMALY)
    over = make_alert(ANOMALY, state="resolved")
    assert story_of(told, over).latest is over


def test_a_delivery_does_not_decide_where_an_alert_stands() -> None:
    taken = make_alert(ANOMALY, state="acknowledged", detail="acknowledged by ann", after_s=5)
    late = make_alert(ANOMALY, detail="delivered", channels=["telegram:1"], after_s=6)
    story = story_of(taken, late)
    assert story.latest.state is AlertState.ACKNOWLEDGED
    assert story.channels == ("telegram:1",)
    assert story_of(late).latest is late


def test_an_event_that_is_read_twice_counts_once() -> None:
    told = make_alert(ANOMALY)
    assert story_of(told, told).changes == (told,)


def test_memory_is_bounded_per_alert_and_overall() -> None:
    over = make_alert(ANOMALY, state="resolved")
    late = [make_alert(ANOMALY, detail="delivered", channels=[f"c{n}"], after_s=n + 1) for n in range(100)]
    story = story_of(over, *late)
    assert len(story.changes) == CHANGES_KEPT
    assert story.latest == over
    stories = AlertStories(2)
    for number in range(5):
        stories.add(make_alert(ANOMALY, alert_id=str(number)))
    assert [story.latest.alert_id for story in stories.latest_first()] == ["4", "3"]


def test_the_incident_is_the_latest_that_was_named() -> None:
    first = make_alert(ANOMALY, incident_id="one")
    digest = make_alert(ANOMALY, incident_id="two", after_s=1)
    last = make_alert(ANOMALY, incident_id="", after_s=2)
    assert story_of(first, digest, last).incident_id == "two"
