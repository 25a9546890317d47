"""Explain: the whole judgement of one trade, whether it was an anomaly or not."""

import dataclasses

import numpy as np
import pytest
from rich.console import Console

from detector.explain import Explanation, explain
from detector.explain_view import tables
from tests.data.detector_tapes import SMALL, altered, crash, market

TRADES = crash(market(1_500), at=900, depth=0.05, length=40)


def explained(number: int, *, size: int = 100) -> Explanation:
    batches = [TRADES[start : start + size] for start in range(0, len(TRADES), size)]
    found = explain(batches, SMALL, at_us=TRADES[number].event_time_us)
    assert found is not None
    return found


def test_a_crash_is_explained_by_every_detector() -> None:
    found = explained(905)
    verdicts = {verdict.detector: verdict for verdict in found.verdicts}
    assert set(verdicts) == set(SMALL.enabled)
    assert found.trade.event_time_us == TRADES[905].event_time_us
    crashed = verdicts["flash_crash"]
    assert crashed.conclusion.startswith("anomaly: 2.")
    assert (crashed.threshold, crashed.meets_floors) == (1.0, True)
    assert sum(verdicts["zscore"].contributions.values()) == pytest.approx(1.0)
    assert "flash_crash" in {event.detector for event in found.anomalies}


def test_what_was_none_is_explained_too() -> None:
    verdicts = {verdict.detector: verdict for verdict in explained(800).verdicts}
    assert all(verdict.conclusion.startswith("no anomaly: ") for verdict in verdicts.values())
    assert not verdicts["whale"].meets_floors
    assert sum(verdicts["zscore"].contributions.values()) == pytest.approx(1.0)
    assert sum(verdicts["forest"].contributions.values()) == pytest.approx(1.0)
    young = {verdict.detector: verdict.conclusion for verdict in explained(20).verdicts}
    assert young["zscore"] == "no anomaly: still warming up"


def test_batches_change_nothing() -> None:
    one, other = explained(905), explained(905, size=7)
    assert one.verdicts == other.verdicts
    assert one.anomalies == [event for event in one.anomalies if event in other.anomalies]


def test_before_the_first_trade_there_is_nothing() -> None:
    assert explain([TRADES], SMALL, at_us=TRADES[0].event_time_us - 1) is None


def test_another_venue_is_another_judgement() -> None:
    others = [altered(trade, exchange="kraken") for trade in TRADES]
    both = [trade for pair in zip(TRADES, others, strict=True) for trade in pair]
    found = explain(
        [both], dataclasses.replace(SMALL, enabled=("flash_crash",)), at_us=TRADES[905].event_time_us
    )
    assert found is not None
    alone = {verdict.detector: verdict.score for verdict in explained(905).verdicts}
    assert {verdict.detector: verdict.score for verdict in found.verdicts} == {
        "flash_crash": alone["flash_crash"]
    }


def test_it_is_printed() -> None:
    console = Console(width=200, record=True)
    moment_us = TRADES[905].event_time_us
    console.print(tables(explained(905), at_us=moment_us + 5_000_000))
    text = console.export_text()
    assert "BTC-USDT on binance, price" in text
    assert "5.0 s before it" in text
    assert "return_10s" in text


def test_the_course_holds_what_the_verdicts_say() -> None:
    found = explained(905)
    at = int(np.searchsorted(found.course.times_us, found.trade.event_time_us, side="right")) - 1
    assert found.course.prices[at] == found.trade.price
    for verdict in found.verdicts:
        assert found.course.scores[verdict.detector][at] == pytest.approx(verdict.score, nan_ok=True)
        assert found.course.rarities[verdict.detector][at] == pytest.approx(verdict.rarity, nan_ok=True)
