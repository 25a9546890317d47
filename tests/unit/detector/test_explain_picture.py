"""The picture of an explanation."""

import dataclasses

import msgspec
import numpy as np
import pytest

from detector.explain import Explanation, explain
from detector.explain_picture import figure, thinned
from tests.data.detector_tapes import SMALL, crash, market

TRADES = crash(market(1_500), at=900, depth=0.05, length=40)


@pytest.fixture(scope="module")
def explanation() -> Explanation:
    found = explain([TRADES], SMALL, at_us=TRADES[905].event_time_us)
    assert found is not None
    return found


def test_it_shows_course_episodes_and_shares(explanation: Explanation) -> None:
    drawn = figure(explanation)
    names = [trace.name for trace in drawn.data]
    assert {"price", "z-score", "forest", "combined", "threshold (alert budget)"} <= set(names)
    [told] = [trace for trace in drawn.data if trace.type == "scatter" and trace.mode == "markers"]
    assert "flash crash" in told.y
    shares = {trace.name: np.nansum(trace.y) for trace in drawn.data if trace.type == "bar"}
    assert shares == {"z-score": pytest.approx(100.0), "forest": pytest.approx(100.0)}


def test_detectors_without_a_colour_of_their_own_are_drawn_too(explanation: Explanation) -> None:
    strangers = [msgspec.structs.replace(event, detector="new") for event in explanation.anomalies]
    drawn = figure(dataclasses.replace(explanation, anomalies=strangers))
    assert [trace for trace in drawn.data if trace.type == "scatter" and "new" in list(trace.y)]


def test_a_quiet_time_has_a_picture_too() -> None:
    found = explain([TRADES[:200]], SMALL, at_us=TRADES[100].event_time_us)
    assert found is not None
    assert not [trace for trace in figure(found).data if trace.type == "scatter" and trace.mode == "markers"]


def test_thinning_keeps_the_extremes() -> None:
    values = np.random.default_rng(1).normal(size=10_000)
    values[4_321], values[5_678] = 50.0, -50.0
    values[::7] = np.nan
    kept = thinned(np.arange(10_000), values, parts=100)
    assert len(kept) <= 200
    assert {4_321, 5_678} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()
    lowest = thinned(np.arange(10_000), values, parts=100, is_lowest_only=True)
    assert len(lowest) == 100
    assert 5_678 in lowest
    assert 4_321 not in lowest


def test_little_is_not_thinned() -> None:
    assert thinned(np.arange(5), np.array([1.0, np.nan, 3.0, 2.0, 2.0])).tolist() == [0, 2, 3, 4]
