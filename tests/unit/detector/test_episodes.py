"""Episodes: one burst is one story, and event time alone ends it."""

from typing import Literal

import msgspec
import numpy as np
import pytest

from detector.episodes import Episodes, Turn, Verdicts, bars_of
from detector.online.protocol import DecidesOn
from detector.runs import Runs
from shared.events import Anomaly, Episode, EpisodePhase, Severity, Window

QUIET_US = 60_000_000
MINUTE_US = 60_000_000


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


def verdicts(
    times_us: list[int],
    *,
    over: list[bool],
    held: list[bool] | None = None,
    scores: list[float] | None = None,
    rarities: list[float] | None = None,
    turned: list[bool] | None = None,
    after_us: list[int] | None = None,
) -> Verdicts:
    n = len(times_us)
    return Verdicts(
        np.array(times_us, np.int64),
        np.array(over, np.bool_),
        np.array(held or over, np.bool_),
        np.array(scores or [1.0] * n),
        np.array(rarities or [1e-4] * n),
        np.array(turned or [False] * n),
        np.array(after_us or [-1] * n, np.int64),
    )


def made(decides_on: Literal["rarity", "score"] = "rarity") -> Episodes:
    episodes = Episodes(quiet_us=QUIET_US, decides_on=decides_on)
    episodes.open(0)
    return episodes


def told(episodes: Episodes, rows: Verdicts) -> list[Turn]:
    """Return the turns of a batch of one market, each answered as the engine does."""
    turns = []
    for turn in episodes.turns(Runs.single(0, len(rows.over)), rows):
        turns.append(turn)
        if turn.episode.phase != EpisodePhase.CLOSED:
            event = anomaly(
                turn.episode, score=float(rows.scores[turn.row]), rarity=float(rows.rarities[turn.row])
            )
            episodes.told(turn.slot, event)
    return turns


def phases(turns: list[Turn]) -> list[tuple[int, str]]:
    return [(turn.row, str(turn.episode.phase)) for turn in turns]


def test_the_first_anomalous_trade_opens_and_more_of_the_same_is_not_told() -> None:
    rows = verdicts([0, 1, 2], over=[False, True, True], rarities=[1e-9, 1e-4, 0.5e-4])
    assert phases(told(made(), rows)) == [(1, "opened")]


def test_ten_times_rarer_is_told() -> None:
    turns = told(made(), verdicts([0, 1, 2], over=[True] * 3, rarities=[1e-4, 1e-5, 0.9e-5]))
    assert phases(turns) == [(0, "opened"), (1, "updated")]
    episode = turns[1].episode
    assert (episode.trades, episode.peak_rarity, episode.episode_id) == (2, 1e-5, "id")


@pytest.mark.parametrize(("score", "is_told"), [(14.9, False), (15.0, True)])
def test_half_as_much_again_is_told_where_the_score_decides(score: float, is_told: bool) -> None:  # noqa: FBT001 - a case
    rows = verdicts([0, 1], over=[True] * 2, scores=[10.0, score], rarities=[1e-4, 1e-9])
    assert (phases(told(made("score"), rows))[1:] == [(1, "updated")]) == is_told


def test_silence_closes_at_the_first_trade_after_it() -> None:
    episodes = made()
    assert (
        len(told(episodes, verdicts([0, MINUTE_US // 60, 2 * MINUTE_US // 60], over=[True, True, False])))
        == 1
    )
    assert episodes.is_running(0)
    turns = told(episodes, verdicts([62_000_000, 63_000_000], over=[False, False]))
    assert phases(turns) == [(0, "closed")], "61 s after the last anomalous trade"
    assert (turns[0].episode.last_us, turns[0].episode.trades) == (1_000_000, 2)
    assert not episodes.is_running(0)


def test_a_lower_bar_holds_it_open_and_opens_nothing() -> None:
    times = [0, 40_000_000, 80_000_000, 130_000_000, 200_000_000]
    held = [False, True, True, False, True]
    rows = verdicts(times, over=[True, False, False, True, False], held=held)
    assert phases(told(made(), rows)) == [(0, "opened"), (4, "closed")]
    episode = told(made(), rows)[1].episode
    assert (episode.trades, episode.last_us) == (2, 130_000_000)
    assert not told(made(), verdicts(times, over=[False] * 5, held=held))


def test_exactly_the_quiet_time_is_not_longer_than_it() -> None:
    rows = verdicts([0, QUIET_US, QUIET_US + 1], over=[True, False, False])
    assert phases(told(made(), rows)) == [(0, "opened"), (2, "closed")]


def test_the_trade_that_closes_one_may_open_the_next() -> None:
    rows = verdicts([0, 2 * QUIET_US], over=[True, True])
    assert phases(told(made(), rows)) == [(0, "opened"), (1, "closed"), (1, "opened")]


def test_a_clock_set_back_closes() -> None:
    assert phases(told(made(), verdicts([5, 4], over=[True, False])))[1:] == [(1, "closed")]


def test_markets_have_their_own_episodes() -> None:
    episodes = made()
    episodes.open(9)
    rows = verdicts([0, 1, 0, 1], over=[True, True, False, True])
    turns = []
    for turn in episodes.turns(Runs(np.array([9, 0]), np.array([0, 2, 4])), rows):
        episodes.told(turn.slot, anomaly(turn.episode))
        turns.append((turn.slot, turn.row))
    assert turns == [(9, 0), (0, 3)]


def test_an_opening_that_could_not_be_told_never_was() -> None:
    episodes = made()
    for turn in episodes.turns(Runs.single(0, 1), verdicts([0], over=[True])):
        episodes.drop_untold(turn.slot)
    assert not episodes.is_running(0)
    assert episodes.state(0) == {}


def test_a_slot_is_fresh_for_its_next_market() -> None:
    episodes = made()
    told(episodes, verdicts([0], over=[True]))
    episodes.close(0)
    episodes.open(0)
    assert not episodes.is_running(0)


def test_state_brings_back_the_running_episode() -> None:
    episodes, again = made(), made()
    told(episodes, verdicts([0], over=[True]))
    again.load_state(0, episodes.state(0))
    rows = verdicts([5, 6, 3 * QUIET_US], over=[True, True, False], rarities=[1e-6, 1e-6, 1.0])
    turns = told(episodes, rows)
    assert len(turns) == 2
    assert turns == told(again, rows)


@pytest.mark.parametrize("key", ["peak_score", "told", "trades"])
def test_a_damaged_state_is_refused(key: str) -> None:
    episodes = made()
    told(episodes, verdicts([0], over=[True]))
    state = episodes.state(0)
    for damaged in ({k: v for k, v in state.items() if k != key}, state | {key: "{}"}):
        with pytest.raises(ValueError, match=key):
            made().load_state(0, damaged)


def test_a_new_phase_of_an_open_episode_is_told_whatever_its_score() -> None:
    rows = verdicts([0, 1, 2, 3], over=[True, True, True, False], turned=[False, True, False, True])
    assert phases(told(made("score"), rows)) == [(0, "opened"), (1, "updated")]


@pytest.mark.parametrize("kind", ["whale", "flash_crash"])
@pytest.mark.parametrize("decides_on", ["rarity", "score"])
def test_rows_are_weighed_as_the_bars_say(kind: str, decides_on: DecidesOn) -> None:
    rng = np.random.default_rng(1)
    bars, n = bars_of(kind), 400
    scores, rarities = 10.0 * rng.random(n), 10.0 ** rng.uniform(-6.0, 0.0, n)
    scores[::7] = rarities[::7] = np.nan
    thresholds, eligible = np.full(n, 1e-4), rng.random(n) < 0.5
    episodes = Episodes(quiet_us=1, decides_on=decides_on, bars=bars)
    episodes.open(0)
    weighed = episodes.weigh(
        Runs.single(0, n),
        scores=scores,
        rarities=rarities,
        eligible=eligible,
        thresholds=thresholds,
        threshold=5.0,
    )
    over, held = scores >= 5.0, scores >= 0.7 * 5.0
    if decides_on == "rarity":
        over, held = rarities <= bars.opens * thresholds, rarities <= bars.holds * thresholds
        held &= eligible | (not bars.joins)
    assert np.array_equal(weighed.over, over & eligible)
    assert np.array_equal(weighed.held, held)
    assert weighed.is_eventful
    silent = episodes.weigh(
        Runs.single(0, n),
        scores=scores,
        rarities=rarities,
        eligible=np.zeros(n, np.bool_),
        thresholds=thresholds,
        threshold=5.0,
    )
    assert not silent.is_eventful
