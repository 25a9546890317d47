import pytest

from recorder.times import parse_time, shown_time

NOW_US = 1_723_161_255_000_000


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("2024-08-08T23:54:15", NOW_US),
        ("2024-08-08 23:54:15Z", NOW_US),
        ("2024-08-09T01:54:15.000001+02:00", NOW_US + 1),
        ("2024-08-08", 1_723_075_200_000_000),
        ("90s", NOW_US - 90_000_000),
        ("15m", NOW_US - 900_000_000),
        ("2h", NOW_US - 7_200_000_000),
        ("1d", NOW_US - 86_400_000_000),
        ("1970-01-01", 0),
    ],
)
def test_a_time_is_a_date_or_an_age(text: str, time_us: int) -> None:
    assert parse_time(text, now_us=NOW_US) == time_us


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2h30m", "-2h", "1w", "2024-13-01", "1969-12-31", "999999d"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no time|lies before 1970"):
        parse_time(text, now_us=NOW_US)


def test_a_time_is_shown_to_the_second() -> None:
    assert shown_time(NOW_US + 999_999) == "2024-08-08 23:54:15"
