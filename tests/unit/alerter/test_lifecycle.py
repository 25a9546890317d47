from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerter.lifecycle import CONSOLE, Decision, Lifecycle, LifecycleParams
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Anomaly, EpisodePhase, Severity
from tests.unit.alerter.examples import anomaly

CHANNELS = ("slack:#alerts", "telegram:1")
START_US = 1_700_000_000_000_000
COOLDOWN_S = 300

LOW, MEDIUM, HIGH, CRITICAL = Severity
OPENED, UPDATED, CLOSED = EpisodePhase


def lifecycle(past: list[Decision] | None = None) -> Lifecycle:
    made = Lifecycle(LifecycleParams(cooldown_s=COOLDOWN_S, channels=CHANNELS))
    made.restore(past or [])
    return made


def at(seconds: float) -> int:
    return START_US + round(seconds * MICROSECONDS_PER_SECOND)


def test_an_opened_episode_is_told_on_every_channel() -> None:
    decision = lifecycle().on_anomaly(anomaly("a1"), at(0))
    assert decision.channels == CHANNELS
    assert decision.reason == ""
    assert decision.alert_id == "a1"
    assert decision.decided_us == at(0)


def test_without_channels_the_console_is_told() -> None:
    made = Lifecycle(LifecycleParams(channels=()))
    assert made.on_anomaly(anomaly(), at(0)).channels == (CONSOLE,)


@pytest.mark.parametrize(
    ("severity", "is_told"), [(LOW, False), (MEDIUM, True), (HIGH, True), (CRITICAL, True)]
)
def test_only_severities_from_the_threshold_on_are_told(severity: Severity, is_told: bool) -> None:  # noqa: FBT001 - a parameter of the test
    decision = lifecycle().on_anomaly(anomaly(severity=severity), at(0))
    assert bool(decision.channels) is is_told
    assert decision.reason == ("" if is_told else "severity low is below medium")


def test_the_same_anomaly_gets_the_same_decision_again() -> None:
    made = lifecycle()
    first = made.on_anomaly(anomaly("a1"), at(0))
    assert made.on_anomaly(anomaly("a1"), at(10_000)) is first


def test_a_cooldown_silences_the_next_episode_of_the_same_market_and_kind() -> None:
    made = lifecycle()
    made.on_anomaly(anomaly("a1"), at(0))
    silenced = made.on_anomaly(anomaly("a2"), at(COOLDOWN_S - 1))
    assert silenced.channels == ()
    assert silenced.reason == "cooldown 300 s: severity high was told 299 s ago"
    assert made.on_anomaly(anomaly("a3"), at(COOLDOWN_S)).channels == CHANNELS


def test_a_silenced_episode_does_not_prolong_the_cooldown() -> None:
    made = lifecycle()
    made.on_anomaly(anomaly("a1"), at(0))
    made.on_anomaly(anomaly("a2"), at(200))
    assert made.on_anomaly(anomaly("a3"), at(301)).channels == CHANNELS


@pytest.mark.parametrize("other", [{"symbol": "ETH-USDT"}, {"kind": "flash_crash"}])
def test_other_markets_and_kinds_have_their_own_cooldown(other: dict[str, str]) -> None:
    made = lifecycle()
    made.on_anomaly(anomaly("a1"), at(0))
    assert made.on_anomaly(
        anomaly("a2", symbol=other.get("symbol", "BTC-USDT"), kind=other.get("kind", "whale")), at(1)
    ).channels


def test_a_more_severe_episode_is_heard_during_the_cooldown() -> None:
    made = lifecycle()
    made.on_anomaly(anomaly("a1", severity=MEDIUM), at(0))
    assert made.on_anomaly(anomaly("a2", severity=CRITICAL), at(1)).channels == CHANNELS
    assert made.on_anomaly(anomaly("a3", severity=HIGH), at(2)).channels == ()


def test_an_update_is_told_only_when_the_severity_rises_above_what_was_told() -> None:
    made = lifecycle()
    made.on_anomaly(anomaly("a1", severity=MEDIUM), at(0))
    same = made.on_anomaly(anomaly("a2", episode_id="a1", phase=UPDATED, severity=MEDIUM), at(1_000))
    assert same.reason == "this alert was told at severity medium"
    risen = made.on_anomaly(anomaly("a3", episode_id="a1", phase=UPDATED, severity=HIGH), at(1_001))
    assert risen.channels == CHANNELS
    assert risen.alert_id == "a1"
    again = made.on_anomaly(anomaly("a4", episode_id="a1", phase=UPDATED, severity=HIGH), at(2_000))
    assert again.reason == "this alert was told at severity high"


def test_an_episode_that_begins_below_the_threshold_is_told_once_it_reaches_it() -> None:
    made = lifecycle()
    made.on_anomaly(anomaly("a1", severity=LOW), at(0))
    assert made.on_anomaly(anomaly("a2", episode_id="a1", phase=UPDATED, severity=HIGH), at(1)).channels


def test_an_episode_that_outlasts_the_cooldown_that_silenced_it_is_told() -> None:
    made = lifecycle()
    made.on_anomaly(anomaly("a1"), at(0))
    made.on_anomaly(anomaly("b1"), at(10))
    assert made.on_anomaly(anomaly("b2", episode_id="b1", phase=UPDATED), at(400)).channels == CHANNELS


def test_the_end_of_an_episode_is_not_told() -> None:
    made = lifecycle()
    made.on_anomaly(anomaly("a1"), at(0))
    made.on_anomaly(anomaly("b1"), at(10))
    told = made.on_anomaly(anomaly("a2", episode_id="a1", phase=CLOSED), at(400))
    silenced = made.on_anomaly(anomaly("b2", episode_id="b1", phase=CLOSED), at(400))
    assert told.reason == "this alert was told at severity high"
    assert silenced.reason == "the episode has closed and rose no further"


def test_the_end_of_an_episode_is_told_when_it_is_the_worst_of_it() -> None:
    made = lifecycle()
    made.on_anomaly(anomaly("a1", severity=LOW), at(0))
    assert made.on_anomaly(anomaly("a2", episode_id="a1", phase=CLOSED, severity=HIGH), at(60)).channels


def test_what_every_channel_refused_was_not_told() -> None:
    decision = lifecycle().on_anomaly(anomaly("a1"), at(0))
    refused = Decision(
        anomaly_id=decision.anomaly_id,
        alert_id=decision.alert_id,
        symbol=decision.symbol,
        kind=decision.kind,
        severity=decision.severity,
        decided_us=decision.decided_us,
        channels=decision.channels,
        is_heard=False,
    )
    assert lifecycle([refused]).on_anomaly(anomaly("a2"), at(1)).channels == CHANNELS
    assert lifecycle([decision]).on_anomaly(anomaly("a2"), at(1)).channels == ()


def test_a_negative_cooldown_is_refused() -> None:
    with pytest.raises(ValueError, match="cooldown_s"):
        LifecycleParams(cooldown_s=-1)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Anomaly, int]]:
    """Draw anomalies of a few markets, kinds and episodes, some of them seen twice, at rising times."""
    now_us, history = START_US, []
    for _ in range(draw(st.integers(1, 15))):
        now_us += draw(st.integers(0, 200)) * MICROSECONDS_PER_SECOND
        symbol, kind = draw(st.sampled_from(["BTC-USDT", "ETH-USDT"])), draw(st.sampled_from(["whale", "z"]))
        episode_id = f"{symbol}{kind}{draw(st.integers(0, 3))}"
        event = anomaly(
            f"{episode_id}-{draw(st.integers(0, 5))}",
            symbol=symbol,
            kind=kind,
            severity=draw(st.sampled_from(Severity)),
            phase=draw(st.sampled_from(EpisodePhase)),
            episode_id=episode_id,
        )
        history.append((event, now_us))
    return history


@given(histories(), st.randoms())
def test_a_restart_before_every_anomaly_changes_no_decision(
    history: list[tuple[Anomaly, int]], random: Random
) -> None:
    steady = lifecycle()
    past: dict[str, Decision] = {}
    for event, now_us in history:
        shuffled = list(past.values())
        random.shuffle(shuffled)
        decision = lifecycle(shuffled).on_anomaly(event, now_us)
        assert decision == steady.on_anomaly(event, now_us)
        past[event.anomaly_id] = decision


@given(histories())
def test_no_market_and_kind_is_told_twice_within_the_cooldown_unless_the_severity_rises(
    history: list[tuple[Anomaly, int]],
) -> None:
    made = lifecycle()
    decisions = {event.anomaly_id: made.on_anomaly(event, now_us) for event, now_us in history}
    assert all(bool(decision.reason) is not bool(decision.channels) for decision in decisions.values())
    told = sorted((d for d in decisions.values() if d.channels), key=lambda d: d.decided_us)
    for number, later in enumerate(told):
        assert later.severity.rank >= MEDIUM.rank
        for earlier in told[:number]:
            if (earlier.symbol, earlier.kind) == (later.symbol, later.kind):
                is_over = later.decided_us - earlier.decided_us >= COOLDOWN_S * MICROSECONDS_PER_SECOND
                assert is_over or later.severity.rank > earlier.severity.rank
            if earlier.alert_id == later.alert_id:
                assert later.severity.rank > earlier.severity.rank
