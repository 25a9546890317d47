"""The engine: what it tells, what it refuses, and what happens when a detector breaks."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from detector.arrays import FloatMatrix
from detector.catalogue import CATALOGUE
from detector.engine import Engine, warm_up_kernels
from detector.online.protocol import DecidesOn, Finding, Scale, Scored
from detector.params import EngineParams, make_detector
from detector.patterns.whale import Whale, WhaleParams
from detector.per_market import PerMarket
from detector.runs import Runs
from detector.ticks import TickParams
from shared.errors import SnapshotRefusedError
from shared.events import Anomaly, EpisodePhase, Quarantine, Severity, Trade
from shared.stream.step import OutputEvent, State
from tests.data.detector_tapes import SMALL, altered, crash, market
from tests.data.pump_scorers import scorer


def anomalies(events: list[OutputEvent], detector: str) -> list[Anomaly]:
    return [event for event in events if isinstance(event, Anomaly) and event.detector == detector]


def detectors_of(events: list[OutputEvent]) -> set[str]:
    return {event.detector for event in events if isinstance(event, (Anomaly, Quarantine))}


def test_a_quiet_market_is_quiet() -> None:
    assert Engine(EngineParams()).on_batch(market(8_000)) == []


def test_a_crash_is_told_from_the_first_trade_on() -> None:
    trades = crash(market(400), at=100, depth=0.15, length=1_000)
    events = anomalies(Engine(EngineParams()).on_batch(trades), "flash_crash")
    first = events[0]
    # A single print is none; the second confirms it.
    assert (first.trade_id, first.episode.phase, first.kind) == (101, EpisodePhase.OPENED, "flash_crash")
    assert (first.threshold, first.threshold_on, first.rarity) == (1.0, "score", None)
    assert first.severity == Severity.CRITICAL
    assert first.score == pytest.approx(np.log(0.85) / np.log(0.9), abs=0.03)
    assert first.contributions["drawdown_300s"] == 1.0
    assert first.episode.episode_id == first.anomaly_id
    assert "fell 15." in first.reason or "fell 14." in first.reason
    assert first.window.end_us - first.window.start_us == 1_800_000_000


def test_one_burst_is_one_episode_that_opens_grows_and_closes() -> None:
    trades = crash(market(1_500), at=900, depth=0.021, length=20)
    trades = crash(trades, at=910, depth=0.03, length=10)
    last = trades[-1]
    trades.append(altered(last, trade_id=1_500, event_time_us=last.event_time_us + 21_000_000))
    events = anomalies(Engine(SMALL).on_batch(trades), "flash_crash")
    assert [event.episode.phase for event in events] == ["opened", "updated", "closed"]
    assert len({event.episode.episode_id for event in events}) == 1
    assert len({event.anomaly_id for event in events}) == 3
    closed = events[-1]
    assert closed.reason.startswith("Over, after ")
    assert closed.episode.trades > 20
    assert closed.score == closed.episode.peak_score == max(event.episode.peak_score for event in events)
    assert closed.event_time_us - closed.episode.last_us > 20_000_000


def test_a_whale_needs_rarity_and_money() -> None:
    tiny = dataclasses.replace(SMALL, enabled=("whale",), whale_min_notional=1e9)
    trades = [altered(t, quantity=5_000.0) if t.trade_id == 900 else t for t in market(1_000)]
    assert Engine(tiny).on_batch(trades) == []
    told = anomalies(Engine(dataclasses.replace(tiny, whale_min_notional=1e5)).on_batch(trades), "whale")
    assert [event.trade_id for event in told if event.episode.phase == "opened"] == [900]
    assert told[0].rarity is not None
    assert told[0].rarity <= told[0].threshold
    assert "USDT" in told[0].reason


def test_a_sudden_move_is_combined_with_reason_and_contributions() -> None:
    trades = crash(market(8_000), at=7_000, depth=0.03, length=2_000)
    told = anomalies(Engine(EngineParams()).on_batch(trades), "combined")
    first = told[0]
    assert 7_000 <= first.trade_id < 7_100
    assert first.reason.startswith("BTC-USDT fell 3.")
    assert sum(first.contributions.values()) == pytest.approx(1.0)
    assert max(first.contributions, key=lambda name: first.contributions[name]) == "return_10s"
    assert set(first.contributions) <= set(first.features)


def test_members_that_are_not_enabled_stay_silent() -> None:
    trades = crash(market(2_000), at=1_500, depth=0.05, length=500)
    only = Engine(dataclasses.replace(SMALL, enabled=("combined",))).on_batch(trades)
    assert detectors_of(only) == {"combined"}
    assert anomalies(Engine(SMALL).on_batch(trades), "combined") == only or only


@pytest.mark.parametrize(
    "changes",
    [
        {"price": math.nan},
        {"price": math.inf},
        {"price": 0.0},
        {"price": -1.0},
        {"quantity": math.nan},
        {"quantity": -1.0},
        {"price": -1.0, "quantity": -1.0},
        {"price": 1e300, "quantity": 1e300},
        {"event_time_us": -1},
        {"event_time_us": 2**70},
        {"trade_id": -1},
    ],
)
def test_a_trade_that_makes_no_sense_is_passed_over_and_counted(changes: dict[str, float]) -> None:
    trades = crash(market(1_500), at=900, depth=0.05, length=40)
    engine = Engine(SMALL)
    assert engine.on_batch([*trades[:500], altered(trades[499], **changes), *trades[500:]]) == (
        Engine(SMALL).on_batch(trades)
    )
    assert engine.rejected_trades == 1


def test_a_price_whose_notional_is_not_a_number_of_its_own_is_still_sound() -> None:
    engine = Engine(SMALL)
    engine.on_batch([altered(market(1)[0], price=1e-200, quantity=1e-200)])
    assert engine.rejected_trades == 0


def test_venues_of_one_market_are_judged_apart_and_snapshotted_together() -> None:
    engine = Engine(SMALL)
    both = [trade for pair in zip(market(900), market(900, exchange="kraken"), strict=True) for trade in pair]
    engine.on_batch(both)
    assert list(engine.symbols()) == ["BTC-USDT"]
    state = engine.snapshot("BTC-USDT")
    assert (state["0/venue"], state["1/venue"]) == ("binance", "kraken")
    alone = Engine(SMALL)
    alone.on_batch(market(900))
    for key, value in alone.snapshot("BTC-USDT").items():
        if key.startswith("0/"):
            assert np.array_equal(value, state[key])


def test_evicting_forgets() -> None:
    engine = Engine(SMALL)
    engine.on_batch(market(10))
    engine.evict("BTC-USDT")
    engine.evict("NEVER-SEEN")
    assert list(engine.symbols()) == []
    with pytest.raises(KeyError):
        engine.snapshot("BTC-USDT")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("venues", 2),
        ("venues", "x"),
        ("0/features/trades", np.zeros(3)),
        ("0/budget/sums", None),
        ("0/zscore/detector/window", np.zeros((2, 3))),
        ("0/forest/calibrator/unit", 1),
        ("0/combined/muted/is_out", 0),
    ],
)
def test_a_damaged_snapshot_is_refused_and_changes_nothing(key: str, value: object) -> None:
    engine = Engine(SMALL)
    engine.on_batch(market(300))
    before = engine.snapshot("BTC-USDT")
    damaged = dict(before) | {key: value}
    if value is None:
        del damaged[key]
    with pytest.raises(SnapshotRefusedError, match="BTC-USDT"):
        engine.restore("BTC-USDT", damaged)  # type: ignore[arg-type]
    after = engine.snapshot("BTC-USDT")
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_every_parameter_is_in_the_fingerprint() -> None:
    params = EngineParams()
    fingerprints = {Engine(params).fingerprint}
    for field in dataclasses.fields(params):
        changes: dict[str, Any] = {field.name: ("whale",)}
        if field.name == "ticks":
            changes = {"ticks": TickParams()}
        elif field.name == "pump_scorer":
            changes = {"pump_scorer": scorer()}
        elif field.name == "wash_window_trades":
            changes[field.name] = params.wash_window_trades // 2
        elif field.name not in {"enabled", "shadow"}:
            changes[field.name] = getattr(params, field.name) + 1
        fingerprints.add(Engine(dataclasses.replace(params, **changes)).fingerprint)
    assert len(fingerprints) == len(dataclasses.fields(params)) + 1
    assert Engine(EngineParams()).fingerprint == Engine(params).fingerprint


def test_unknown_detectors_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no such detector: wahle; there are zscore"):
        EngineParams(enabled=("wahle",))
    with pytest.raises(ValueError, match="combined"):
        make_detector("combined", SMALL, features=SMALL.features.names)


def test_names_in_the_catalogue_are_unique_and_their_members_stand_before_them() -> None:
    names = [entry.name for entry in CATALOGUE]
    assert len(set(names)) == len(names)
    for at, entry in enumerate(CATALOGUE):
        assert set(entry.members) <= set(names[:at])


def test_warming_up_leaves_no_state() -> None:
    warm_up_kernels(SMALL)
    assert list(Engine(SMALL).symbols()) == []


class Fragile(Whale):
    """A whale detector that cannot take a certain size, and says so before it has changed anything."""

    def score_learn(self, runs: Runs, rows: FloatMatrix, *, explain_all: bool = False) -> Scored:
        if (rows[:, SMALL.features.names.index("notional")] > 1e6).any():
            raise ArithmeticError("too large for me")
        return super().score_learn(runs, rows, explain_all=explain_all)


class Speechless(Whale):
    """A whale detector that cannot say what it found."""

    def sentence(self, finding: Finding) -> str:
        if finding.score > 1e6:
            raise LookupError("no words")
        return super().sentence(finding)


class FragileOne:
    """The same as `Fragile`, as an object per market."""

    name = "whale"
    kind = "whale"
    columns: tuple[str, ...] = Whale.columns
    fingerprint = "fragile"
    decides_on: DecidesOn = "rarity"
    threshold = math.nan
    scale: Scale = "log"
    window_s = 0.0

    def __init__(self) -> None:
        self._whale = whale(Whale)
        self._whale.open(0, identity="")

    def score_learn(self, rows: FloatMatrix) -> Scored:
        if (rows[:, SMALL.features.names.index("notional")] > 1e6).any():
            raise ArithmeticError("too large for me")
        return self._whale.score_learn(Runs.single(0, len(rows)), rows)

    def state(self) -> State:
        return self._whale.state(0)

    def load_state(self, state: State) -> None:
        self._whale.load_state(0, state)

    def sentence(self, finding: Finding) -> str:
        return self._whale.sentence(finding)


# Whales that end as soon as all else: an object per market cannot ask for more.
BRIEF = dataclasses.replace(SMALL, whale_quiet_s=SMALL.episode_quiet_s)


def whale(kind: type[Whale]) -> Whale:
    params = WhaleParams(min_notional=BRIEF.whale_min_notional, quiet_s=BRIEF.whale_quiet_s)
    return kind(params, features=BRIEF.features.names)


def broken_engine(kind: type[Whale | FragileOne], params: EngineParams = BRIEF) -> Engine:
    stage = whale(kind) if issubclass(kind, Whale) else PerMarket(lambda _: FragileOne())
    return Engine(params, detectors={"whale": stage})


def broken_tape() -> list[Trade]:
    trades = crash(market(1_500), at=900, depth=0.05, length=40)
    sizes = {600: 500.0, 700: 50_000.0, 800: 500.0}
    return [altered(t, quantity=sizes.get(t.trade_id, t.quantity)) for t in trades]


@pytest.mark.parametrize("kind", [Fragile, FragileOne, Speechless])
@pytest.mark.parametrize("size", [1, 33, 1_500])
def test_a_detector_that_raises_is_stopped_and_the_others_go_on(
    kind: type[Whale | FragileOne], size: int
) -> None:
    trades, others = broken_tape(), market(1_500, symbol="ETH-USDT")
    engine = broken_engine(kind)
    events: list[OutputEvent] = []
    for start in range(0, len(trades), size):
        events += engine.on_batch(trades[start : start + size] + others[start : start + size])
    quarantines = [event for event in events if isinstance(event, Quarantine)]
    assert [(event.detector, event.symbol, event.trade_id) for event in quarantines] == [
        ("whale", "BTC-USDT", 700)
    ]
    assert quarantines[0].error in {"ArithmeticError: too large for me", "LookupError: no words"}
    sound = Engine(BRIEF)
    expected = sound.on_batch(trades)
    assert judged(events, but="whale") == judged([*expected, *sound.on_batch(others)], but="whale")
    # Before it broke, it told what it always does; an episode that was open still closes.
    told = [event.trade_id for event in anomalies(events, "whale") if event.symbol == "BTC-USDT"]
    before = [event for event in anomalies(expected, "whale") if event.trade_id < 700]
    assert told[: len(before)] == [event.trade_id for event in before]
    # It stays stopped over a restart.
    again = broken_engine(kind)
    again.restore("BTC-USDT", engine.snapshot("BTC-USDT"))
    lane = again._lanes["whale"]
    assert (lane.stopped.is_out(0), lane.muted.is_out(0)) == (kind is not Speechless, kind is Speechless)


def changed(engine: Engine, before: State) -> set[str]:
    """Return the stages that no longer are as they were in a snapshot."""
    after = engine.snapshot("BTC-USDT").items()
    return {
        key.split("/")[1]
        for key, value in after
        if key not in before or not np.array_equal(value, before[key])
    }


def test_overload_pauses_the_costly_detectors_and_they_go_on_from_their_state() -> None:
    trades = crash(market(1_500), at=900, depth=0.05, length=40)
    trades[1_400] = altered(trades[1_400], quantity=1e6)
    engine = Engine(SMALL)
    engine.on_batch(trades[:600])
    before = engine.snapshot("BTC-USDT")
    engine.shed(1)
    events = engine.on_batch(trades[600:])
    assert detectors_of(events) == {"zscore", "whale", "flash_crash"}
    assert changed(engine, before) == {"features", "budget", "zscore", "whale", "flash_crash", "spike"}
    engine.restore("BTC-USDT", before)
    engine.shed(2)
    assert detectors_of(engine.on_batch(trades[600:])) == {"whale", "flash_crash"}
    engine.shed(0)
    before = engine.snapshot("BTC-USDT")
    assert detectors_of(engine.on_batch(trades[880:])) >= {"zscore", "combined"}
    assert changed(engine, before) >= {"zscore", "forest"}


def test_an_open_episode_of_a_paused_detector_closes() -> None:
    trades = crash(market(1_500), at=900, depth=0.05, length=40)
    engine = Engine(SMALL)
    events = anomalies(engine.on_batch(trades[:920]), "combined")
    assert [event.episode.phase for event in events][-1] != EpisodePhase.CLOSED
    engine.shed(1)
    closed = anomalies(engine.on_batch(trades[920:]), "combined")
    assert [event.episode.phase for event in closed] == [EpisodePhase.CLOSED]


@pytest.mark.parametrize("level", [-1, 3])
def test_there_is_no_other_level(level: int) -> None:
    with pytest.raises(ValueError, match="0 to 2"):
        Engine(SMALL).shed(level)


PAROLED = dataclasses.replace(BRIEF, parole_s=40.0)


def paroled_tape() -> list[Trade]:
    """Return a tape with sizes that nobody can take; the last one comes two days after the others."""
    trades = broken_tape()
    sizes = {700: 50_000.0, 701: 50_000.0, 1_150: 50_000.0}
    trades = [altered(t, quantity=sizes.get(t.trade_id, t.quantity)) for t in trades]
    later = altered(trades[-1], trade_id=1_500, event_time_us=trades[-1].event_time_us + 2 * 86_400_000_000)
    return [*trades, altered(later, quantity=50_000.0), altered(later, trade_id=1_501)]


def custody(events: list[OutputEvent]) -> list[tuple[int, bool, float]]:
    """Return trade, whether released, and the length of the parole in seconds."""
    return [
        (event.trade_id, event.released, max(0.0, (event.until_us - event.event_time_us) / 1e6))
        for event in events
        if isinstance(event, Quarantine)
    ]


@pytest.mark.parametrize("kind", [Fragile, FragileOne, Speechless])
@pytest.mark.parametrize("size", [1, 33, 1_502])
def test_a_stopped_detector_is_tried_again_twice_as_late_at_each_relapse(
    kind: type[Whale | FragileOne], size: int
) -> None:
    trades = paroled_tape()
    whole, engine = broken_engine(kind, PAROLED), broken_engine(kind, PAROLED)
    expected = whole.on_batch(trades)
    events: list[OutputEvent] = []
    for start in range(0, len(trades), size):
        events += engine.on_batch(trades[start : start + size])
        state = engine.snapshot("BTC-USDT")
        engine = broken_engine(kind, PAROLED)
        engine.restore("BTC-USDT", state)
    assert events == expected
    first, back, *relapses = custody(events)
    assert first == (700, False, 40.0)
    assert back[1:] == (True, 0.0)
    back_s = (trades[back[0]].event_time_us - trades[700].event_time_us) / 1e6
    assert 40.0 <= back_s < 42.0
    # Coming back for a trade that it cannot take is no release.
    assert relapses == [(1_150, False, 80.0), (1_500, False, 160.0)]


def judged(events: list[OutputEvent], *, but: str) -> list[tuple[str, str, int, str]]:
    found = [event for event in events if isinstance(event, Anomaly) and event.detector != but]
    return sorted((e.symbol, e.detector, e.trade_id, str(e.episode.phase)) for e in found)


def test_what_combines_a_stopped_detector_is_silent() -> None:
    trades = crash(market(1_500), at=900, depth=0.05, length=40)
    assert anomalies(Engine(SMALL).on_batch(trades), "combined")
    engine = Engine(SMALL)
    engine.on_batch(trades[:1])
    engine._lanes["forest"].stopped.stop(0, now_us=trades[0].event_time_us)
    events = engine.on_batch(trades[1:])
    assert not anomalies(events, "combined")
    assert anomalies(events, "zscore")


def test_the_clock_of_the_rhythm_reaches_the_zscore() -> None:
    params = dataclasses.replace(SMALL, zscore_seasonal=True, zscore_robust=True)
    trades = crash(market(600), at=400, depth=0.05, length=20)
    whole, first, second = Engine(params), Engine(params), Engine(params)
    expected = whole.on_batch(trades)
    head = first.on_batch(trades[:300])
    second.restore("BTC-USDT", first.snapshot("BTC-USDT"))
    assert [*head, *second.on_batch(trades[300:])] == list(expected)
    assert anomalies(expected, "zscore")
