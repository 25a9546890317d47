import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import formats

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (67_123.456, "67,123.46"),
        (3_456.7, "3,456.70"),
        (151.234, "151.23"),
        (2.45123, "2.4512"),
        (0.512341, "0.51234"),
        (0.00001234, "0.000012340"),
        (None, formats.MISSING),
        (math.nan, formats.MISSING),
    ],
)
def test_prices_have_five_significant_digits_and_at_least_two_decimals(
    value: float | None, shown: str
) -> None:
    assert formats.price(value) == shown


def test_prices_of_one_market_line_up() -> None:
    assert formats.price(9.5, reference=10.2) == "9.500"
    assert formats.price(10.2, reference=10.2) == "10.200"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1.234, "+1.23 %"), (-0.5, f"{MINUS}0.50 %"), (0.001, "0.00 %"), (-0.001, "0.00 %"), (math.nan, "–")],  # noqa: RUF001 - the dash is what is shown
)
def test_changes_carry_a_sign_unless_they_round_to_nothing(value: float, shown: str) -> None:
    assert formats.signed_pct(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.5, "0.50"),
        (0.00012, "0.00012"),
        (999.4, "999"),
        (999.9, "1.00k"),
        (1_234, "1.23k"),
        (45_600_000, "45.6M"),
        (7.89e9, "7.89B"),
        (1e12, "1.00T"),
        (-1_500, f"{MINUS}1.50k"),
    ],
)
def test_sums_are_short(value: float, shown: str) -> None:
    assert formats.compact(value) == shown


@given(st.floats(min_value=0, max_value=1e15))
def test_a_short_sum_is_never_long(value: float) -> None:
    digits = formats.compact(value).rstrip("kMBT")
    assert len(digits) <= 7 or "e-" in digits


@pytest.mark.parametrize(
    ("probability", "shown"),
    [
        (None, formats.MISSING),
        (1e-4, "1 in 10,000"),
        (2.5e-7, "1 in 4.00M"),
        (0.0, "1 in >1T"),
        (1e-15, "1 in >1T"),
    ],
)
def test_rarity_reads_as_one_in_so_many(probability: float | None, shown: str) -> None:
    assert formats.rarity(probability) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0.0 s"),
        (0.42, "0.4 s"),
        (12.3, "12 s"),
        (180, "3 min"),
        (9_000, "2.5 h"),
        (86_400 * 41, "41 d"),
        (None, formats.MISSING),
    ],
)
def test_durations(seconds: float | None, shown: str) -> None:
    assert formats.duration(seconds) == shown


@given(st.floats(min_value=-1e12, max_value=0))
def test_no_age_is_negative(seconds: float) -> None:
    assert formats.duration(seconds) == "0.0 s"


def test_short_spans_keep_their_sign() -> None:
    assert formats.span_ms(0.084) == "84 ms"
    assert formats.span_ms(-0.084) == f"{MINUS}84 ms"
    assert formats.span_ms(-1.24) == f"{MINUS}1.2 s"
    assert formats.span_ms(None) == formats.MISSING


def test_rates_and_counts() -> None:
    assert [formats.rate(value) for value in (0.3, 12.34, 1_950.4)] == ["0.30", "12.3", "1,950"]
    assert formats.count(12_345.2) == "12,345"
    assert formats.rate(None) == formats.count(None) == formats.MISSING


def test_times_are_utc() -> None:
    time_us = 1_760_130_843_250_999
    assert formats.utc_time(time_us) == "21:14:03"
    assert formats.utc_date(time_us) == "2025-10-10"
    assert formats.utc_stamp(time_us) == "2025-10-10 21:14:03.250 UTC"


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_any_time_on_a_topic_can_be_shown(time_us: int) -> None:
    assert len(formats.utc_stamp(time_us)) == len("2025-10-10 21:14:03.250 UTC")


def test_identifiers_read_as_words() -> None:
    assert formats.words("flash_crash") == "flash crash"
