"""When an alarm is right, and changes of that by words."""

import pytest

from detector.evaluation.events import Truth
from detector.evaluation.rules import RULES, USUAL, with_changes

SECOND = 1_000_000


def test_words_change_the_rule_of_a_kind() -> None:
    rules = with_changes(["pump_dump.late_s=120", "my_kind.to_end=false", "my_kind.warm_up_s=0"])
    assert rules["pump_dump"].late_s == 120
    assert rules["pump_dump"].after_s == RULES["pump_dump"].after_s
    assert (rules["my_kind"].to_end, rules["my_kind"].warm_up_s) == (False, 0)
    assert rules["my_kind"].late_s == USUAL.late_s
    assert rules["whale"] == RULES["whale"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("late_s=5", "KIND.NAME=VALUE"),
        ("whale.later=5", "KIND.NAME=VALUE"),
        ("whale.late_s=soon", "'soon' is no number"),
        ("whale.late_s=-1", "from 0"),
        ("whale.to_end=1", "true or false"),
    ],
)
def test_other_words_are_refused(word: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        with_changes([word])


def test_a_pump_must_be_found_within_five_minutes() -> None:
    window = RULES["pump_dump"].window(Truth("pump_dump", "A-BTC", 1_000 * SECOND, 9_000 * SECOND))
    assert window == (940 * SECOND, 1_300 * SECOND + 1)
