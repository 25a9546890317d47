import pytest
from pydantic import ValidationError

from alerter.rules.matching import Labels, Match, match_of
from shared.events import Severity

LABELS = Labels("BTC-USDT", "binance", "flash_crash", Severity.HIGH)


@pytest.mark.parametrize(
    ("patterns", "fits"),
    [
        ({}, True),
        ({"market": ["BTC-USDT"]}, True),
        ({"market": ["BTC-*"]}, True),
        ({"market": ["*-BTC"]}, False),
        ({"market": ["ETH-USDT", "BTC-USDT"]}, True),
        ({"market": ["!BTC-*"]}, False),
        ({"market": ["*", "!ETH-*"]}, True),
        ({"market": ["?TC-USDT"]}, False),
        ({"market": ["[B]TC-USDT"]}, False),
        ({"kind": ["flash_*"], "exchange": ["kraken"]}, False),
        ({"severity": [">=high"]}, True),
        ({"severity": [">=critical"]}, False),
        ({"severity": ["<=medium"]}, False),
        ({"severity": ["low", "high"]}, True),
        ({"severity": ["!high"]}, False),
    ],
)
def test_patterns(patterns: dict[str, list[str]], fits: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert match_of(patterns).matches(LABELS) is fits


def test_brackets_and_question_marks_of_a_name_are_themselves() -> None:
    labels = LABELS._replace(market="[X]?-USDT")
    assert match_of({"market": ["[X]?-*"]}).matches(labels)


@pytest.mark.parametrize(
    "patterns", [{"planet": ["mars"]}, {"severity": ["huge"]}, {"market": [""]}, {"market": []}]
)
def test_what_makes_no_sense_is_refused(patterns: dict[str, list[str]]) -> None:
    with pytest.raises(ValidationError):
        match_of(patterns)


def test_a_match_without_a_name_is_called_by_its_patterns() -> None:
    assert (
        Match(market=("BTC-*", "ETH-*"), severity=(">=high",)).words() == "market=BTC-*|ETH-*,severity=>=high"
    )
    assert Match().words() == "all"
