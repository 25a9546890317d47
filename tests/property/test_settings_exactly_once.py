"""Settings that change at any moment, under crashes and hand-overs: as if they had changed at known offsets.

A fleet of detectors works on tapes while settings are published; what it finds must be what a single step
finds that changes its settings at the offsets that the timelines in the snapshots topic name.
"""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import topics
from shared.codec import decode, encode
from shared.events import Anomaly, DetectorConfig, Trade
from shared.stream.broker import Consumer
from shared.stream.intake import Intake
from shared.stream.memory import MemoryBroker
from shared.stream.settings_feed import SettingsFeed, no_check
from shared.stream.snapshot_writer import SnapshotPolicy
from shared.stream.timeline import TIMELINE_KEY, Change, Configs, decode_timeline
from tests.property.test_runner_exactly_once import (
    FORGET_AFTER_S,
    IN_SLICES,
    SYMBOLS,
    WHOLE,
    Entry,
    Fleet,
    MortalBroker,
    Turn,
    committed_anomalies,
    intakes,
    publish,
    tapes,
)
from tests.stream_steps import HashStep

scopes = st.sampled_from(["default", *(f"market:{symbol}" for symbol in SYMBOLS)])
# A negative salt starts a market afresh; few different ones, so that settings also come back.
orders = st.lists(
    st.tuples(st.integers(0, 39), scopes, st.sampled_from([1, 2, -1, -2, 0])), min_size=2, max_size=12
)
# Few crashes and much time, so that snapshots are old and changes many when one comes.
schedules = st.lists(
    st.builds(
        Turn,
        action=st.sampled_from(["turn"] * 5 + ["wait"] * 3 + ["commit", "crash", "die", "leave", "evict"]),
        worker=st.sampled_from([0, 0, 1]),
        records=st.integers(1, 9),
    ),
    min_size=30,
    max_size=60,
)


def set_salt(broker: MemoryBroker, scope: str, salt: int) -> None:
    config = DetectorConfig(scope=scope, settings={"salt": salt}, version=1, time_us=0)
    broker.producer().produce(topics.DETECTOR_CONFIG, encode(config), key=scope.encode())


def applied(broker: MemoryBroker, number: int) -> list[Change]:
    """Return every change that a partition's timeline ever named, in the order in which it was made."""
    made: list[Change] = []
    for partition in broker.partitions_of(topics.SNAPSHOTS):
        for message in broker.logs[partition] if partition.partition == number else ():
            if message.key() == TIMELINE_KEY:
                kept = [change for change in decode_timeline(message.value()) if change.offset >= 0]
                # It repeats the latest of those before it, unless they are pruned.
                most = min(len(kept), len(made))
                repeated = next(n for n in range(most, -1, -1) if made[len(made) - n :] == kept[:n])
                made += kept[repeated:]
    return made


def expected_anomalies(broker: MemoryBroker) -> dict[str, Anomaly]:
    """Return what one step finds, record by record, that changes its settings at the offsets named."""
    found: list[Anomaly] = []
    step_us = round(FORGET_AFTER_S * 1e6) // 64
    for partition in broker.partitions_of(topics.TRADES):
        step, clock_us = HashStep(), -1
        traded_us: dict[str, int] = {}
        current: Configs = ()
        ahead = applied(broker, partition.partition)
        for message in [*broker.logs[partition], None]:
            offset = len(broker.logs[partition]) if message is None else message.offset()
            while ahead and ahead[0].offset <= offset:
                current = ahead.pop(0).configs
                for symbol, traded in traded_us.items():
                    # Of what is forgotten nothing may be told any more, though its memory may still be there.
                    if clock_us - traded > FORGET_AFTER_S * 1e6:
                        continue
                    found += [e for e in step.configure(symbol, current).events if isinstance(e, Anomaly)]
            if message is None or message.value() == b"{}":
                continue
            trade = decode(message.value(), Trade)
            own_us = min(trade.event_time_us, trade.received_time_us + 3_600_000_000)
            clock_us = max(clock_us, own_us - own_us % step_us)
            if clock_us - traded_us.get(trade.symbol, clock_us) > FORGET_AFTER_S * 1e6:
                step.evict(trade.symbol)
                del traded_us[trade.symbol]
            if trade.symbol not in traded_us:
                step.configure(trade.symbol, current)
            traded_us[trade.symbol] = clock_us
            found += [event for event in step.on_batch([trade]) if isinstance(event, Anomaly)]
    return {anomaly.anomaly_id: anomaly for anomaly in found}


class SettledFleet(Fleet):
    """Detectors that follow the settings."""

    def feed(self) -> SettingsFeed:
        return SettingsFeed(self.broker, check=no_check)


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example])
@given(
    tape=tapes,
    schedule=schedules,
    changes=orders,
    batch_records=st.integers(1, 9),
    partitions=st.integers(1, 3),
    snapshots=st.sampled_from([WHOLE, IN_SLICES]),
    intake=intakes,
)
def test_settings_change_at_the_same_record_however_often_it_is_read(
    guarantee: str,
    tape: list[Entry],
    schedule: list[Turn],
    changes: list[tuple[int, str, int]],
    batch_records: int,
    partitions: int,
    snapshots: SnapshotPolicy,
    intake: Callable[[Consumer], Intake],
) -> None:
    broker = MortalBroker(partitions=partitions)
    broker.ensure_topics()
    publish(broker, tape)
    fleet = SettledFleet(broker, guarantee, batch_records, snapshots, intake)
    for number, turn in enumerate(schedule):
        for _, scope, salt in [change for change in changes if change[0] == number]:
            set_salt(broker, scope, salt)
        fleet.do(turn)
    fleet.finish()

    found = committed_anomalies(broker)
    expected = expected_anomalies(broker)
    if guarantee == "exactly_once":
        assert len(found) == len({anomaly.anomaly_id for anomaly in found}), "published twice"
    for anomaly in found:
        assert anomaly == expected.get(anomaly.anomaly_id), "found under other settings than were named"
    assert {anomaly.anomaly_id for anomaly in found} == set(expected)
