import pytest

from alerter.buttons import SNOOZES_MIN, Press, Verb, pressed, rows
from shared.events import AlertState
from tests.unit.alerter.notices import INCIDENT, notification


def test_every_button_is_known_again_when_it_comes_back() -> None:
    buttons = [button for row in rows(notification()) for button in row]
    assert [pressed(button.press.data) for button in buttons] == [button.press for button in buttons]
    assert all(len(button.press.data.encode()) <= 64 for button in buttons)
    assert [b.press.minutes for b in buttons if b.press.verb is Verb.SNOOZE] == list(SNOOZES_MIN)


@pytest.mark.parametrize(
    ("state", "verbs"),
    [
        (AlertState.FIRING, [Verb.ACKNOWLEDGE, Verb.WHY]),
        (AlertState.ESCALATED, [Verb.ACKNOWLEDGE, Verb.WHY]),
        (AlertState.ACKNOWLEDGED, [Verb.TAKE_BACK, Verb.WHY]),
        (AlertState.SILENCED, [Verb.TAKE_BACK, Verb.WHY]),
        (AlertState.RESOLVED, [Verb.WHY]),
    ],
)
def test_the_first_row_follows_the_state(state: AlertState, verbs: list[Verb]) -> None:
    assert [button.press.verb for button in rows(notification(state=state))[0]] == verbs


@pytest.mark.parametrize(
    "data",
    [
        "",
        "ack",
        "ack:0:",
        "nonsense:0:abc",
        "ack:5:abc",
        "snooze:0:abc",
        "snooze:99:abc",
        "snooze:1e9:abc",
        "ack:0:../../etc",
        "ack:0:" + "a" * 64,
        "ack:0:😀",
    ],
)
def test_what_is_no_button_of_ours_is_refused(data: str) -> None:
    assert pressed(data) is None


def test_a_snooze_knows_its_length() -> None:
    assert Press(Verb.SNOOZE, INCIDENT, 15).snooze_us == 15 * 60 * 1_000_000
