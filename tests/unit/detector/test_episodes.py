"""Episodes: one burst is one story, and event time alone ends it."""

from typing import Literal

import msgspec
import numpy as np
import pytest

from detector.episodes import Episodes
from shared.events import Anomaly, Episode, EpisodePhase, Severity, Window

QUIET_US = 60_000_000
MINUTE = np.array([0, 1, 2, 62, 63, 200], np.int64) * 1_000_000


def anomaly(episode: Episode, *, score: float = 1.0, rarity: float | None = 1e-4) -> Anomaly:
    return Anomaly(
        anomaly_id="id",
        symbol="BTC-USDT",
        exchange="binance",
        kind="whale",
        detector="whale",
        fingerprint="f",
        severity=Severity.LOW,
        score=score,
        rarity=rarity,
        threshold=1e-3,
        event_time_us=1,
        trade_id=1,
        price=1.0,
        window=Window(start_us=0, end_us=1),
        features={},
        contributions={},
        reason="r",
        episode=msgspec.structs.replace(episode, episode_id="id"),
    )


def opened(decides_on: Literal["rarity", "score"] = "rarity", *, score: float = 1.0) -> Episodes:
    episodes = Episodes(quiet_us=QUIET_US, decides_on=decides_on)
    episodes.begin()
    turn = episodes.hit(0, time_us=0, score=score, rarity=1e-4)
    assert turn is not None
    assert turn.episode.phase == EpisodePhase.OPENED
    episodes.told(anomaly(turn.episode, score=score))
    return episodes


def test_more_of_the_same_is_not_told() -> None:
    episodes = opened()
    assert episodes.hit(1, time_us=1_000_000, score=5.0, rarity=0.5e-4) is None


def test_ten_times_rarer_is_told() -> None:
    episodes = opened()
    turn = episodes.hit(1, time_us=1_000_000, score=2.0, rarity=1e-5)
    assert turn is not None
    assert (turn.episode.phase, turn.episode.trades, turn.episode.peak_rarity) == ("updated", 2, 1e-5)
    assert turn.episode.episode_id == "id"


@pytest.mark.parametrize(("score", "is_told"), [(14.9, False), (15.0, True)])
def test_half_as_much_again_is_told_where_the_score_decides(score: float, is_told: bool) -> None:  # noqa: FBT001 - a case
    turn = opened("score", score=10.0).hit(1, time_us=1, score=score, rarity=1e-9)
    assert (turn is not None) == is_told


def test_silence_closes_at_the_first_trade_after_it() -> None:
    episodes = opened()
    episodes.hit(1, time_us=1_000_000, score=2.0, rarity=1e-4)
    assert episodes.closing(MINUTE, 3) is None
    turn = episodes.closing(MINUTE, 6)
    assert turn is not None
    assert turn.row == 3 + 0, "61 s after the last anomalous trade"
    assert (turn.episode.phase, turn.episode.last_us, turn.episode.trades) == ("closed", 1_000_000, 2)
    assert not episodes.is_running


def test_exactly_the_quiet_time_is_not_longer_than_it() -> None:
    episodes = opened()
    assert episodes.closing(np.array([0, QUIET_US], np.int64), 2) is None
    assert episodes.closing(np.array([0, QUIET_US, QUIET_US + 1], np.int64), 3) is not None


def test_a_clock_set_back_closes() -> None:
    episodes = opened()
    assert episodes.closing(np.array([0, -1], np.int64), 2) is not None


def test_state_brings_back_the_running_episode() -> None:
    episodes = opened()
    again = Episodes(quiet_us=QUIET_US, decides_on="rarity")
    again.load_state(episodes.state())
    turns = [e.hit(1, time_us=5, score=9.0, rarity=1e-6) for e in (episodes, again)]
    assert turns[0] == turns[1]
    again.load_state({})
    assert not again.is_running


@pytest.mark.parametrize("key", ["peaks", "told", "trades"])
def test_a_damaged_state_is_refused(key: str) -> None:
    state = opened().state()
    for damaged in ({k: v for k, v in state.items() if k != key}, state | {key: "{}"}):
        with pytest.raises(ValueError, match=key):
            Episodes(quiet_us=QUIET_US, decides_on="rarity").load_state(damaged)
