from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerter.rules.times import MuteTime, duration_words, microseconds

SECOND_US = 1_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), (0, 0), ("90s", 90), ("1h30m", 5_400), ("2d", 172_800), ("250ms", 0.25), ("1.5h", 5_400)],
)
def test_durations(text: object, seconds: float) -> None:
    assert microseconds(text) == seconds * SECOND_US


@pytest.mark.parametrize("text", ["", "5", 5, "m", "5 m", "-5m", "1h30", True, None])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        microseconds(text)


@pytest.mark.parametrize("text", ["3651d", "9" * 400 + "d"])
def test_a_duration_of_more_than_ten_years_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ten years at most"):
        microseconds(text)


@given(st.integers(0, 10_000_000))
def test_words_of_a_duration_say_the_same(seconds: int) -> None:
    words = duration_words(seconds * SECOND_US)
    assert microseconds(words.replace(" ", "").replace("min", "m")) == seconds * SECOND_US


def at(text: str, zone: str = "UTC") -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return round(moment.timestamp() * SECOND_US)


def mute(**fields: object) -> MuteTime:
    return MuteTime.model_validate(fields)


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        ("2025-10-10 21:59:59", None),
        ("2025-10-10 22:00:00", "2025-10-11 07:00:00"),
        ("2025-10-11 06:59:59", "2025-10-11 07:00:00"),
        ("2025-10-11 07:00:00", None),
    ],
)
def test_a_night_lasts_into_the_next_day(moment: str, until: str | None) -> None:
    night = mute(**{"from": "22:00", "to": "07:00"})
    assert night.until_us(at(moment)) == (at(until) if until else None)


def test_the_day_is_the_one_on_which_it_begins() -> None:
    weekend = mute(days=["sat", "sun"])
    # 2025-10-11 is a Saturday.
    assert weekend.until_us(at("2025-10-10 23:59:59")) is None
    assert weekend.until_us(at("2025-10-11 00:00:00")) == at("2025-10-12 00:00:00")
    assert weekend.until_us(at("2025-10-13 00:00:00")) is None


def test_a_time_zone_keeps_its_summer_time() -> None:
    night = mute(**{"from": "22:00", "to": "07:00", "timezone": "Europe/Berlin"})
    assert night.until_us(at("2025-07-01 21:00:00")) == at("2025-07-02 05:00:00")
    assert night.until_us(at("2025-12-01 21:30:00")) == at("2025-12-02 06:00:00")
    assert datetime.fromtimestamp(at("2025-07-02 05:00:00") / SECOND_US, UTC).hour == 5


def test_yaml_may_read_a_time_as_a_number() -> None:
    assert mute(**{"from": 1_320, "to": "7:00"}).start.hour == 22


@pytest.mark.parametrize("fields", [{"from": "25:00"}, {"timezone": "Mars/Olympus"}, {"days": ["someday"]}])
def test_what_is_no_time_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="1 validation error"):
        mute(**fields)
