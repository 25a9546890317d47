"""Settings on their way from the topic to the step: through a runner, over restarts and foreign records."""

import pytest

from shared import topics
from shared.clock import ManualClock
from shared.codec import decode, encode
from shared.errors import BrokerRetriableError
from shared.events import Anomaly, DeadLetter, DetectorConfig
from shared.metrics import Health
from shared.stream.memory import MemoryBroker
from shared.stream.runner import Runner, RunnerParams
from shared.stream.settings_feed import SettingsFeed
from shared.stream.step import Configured
from shared.stream.timeline import TIMELINE_KEY, decode_timeline
from tests.stream_steps import HashStep, make_trade


def check(config: DetectorConfig) -> list[str]:
    return [] if "salt" in config.settings else ["salt is missing"]


def set_salt(broker: MemoryBroker, salt: int, *, scope: str = "default", name: str = "salt") -> None:
    config = DetectorConfig(scope=scope, settings={name: salt}, version=salt, time_us=0)
    broker.producer().produce(topics.DETECTOR_CONFIG, encode(config), key=scope.encode())


def publish(broker: MemoryBroker, first: int, last: int) -> None:
    for number in range(first, last):
        broker.producer().produce(topics.TRADES, encode(make_trade("BTC-USDT", number)), key=b"BTC-USDT")


class Bench:
    """A detector over one partition."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(partitions=1)
        self.broker.ensure_topics()
        self.clock = ManualClock()
        self.start()

    def start(self) -> None:
        self.step = HashStep(every=1)
        self.runner = Runner(
            broker=self.broker,
            step=self.step,
            params=RunnerParams(),
            clock=self.clock,
            health=Health(self.clock),
            settings=SettingsFeed(self.broker, check=check),
        )
        self.runner.start()

    def work(self, turns: int = 3) -> None:
        for _ in range(turns):
            self.clock.advance(seconds=2)
            self.runner.turn()

    def values(self, topic: str) -> list[bytes]:
        return [
            message.value()
            for partition in self.broker.partitions_of(topic)
            for message in self.broker.read_all([partition])
        ]

    def timeline(self) -> list[tuple[int, int]]:
        [partition] = self.broker.partitions_of(topics.SNAPSHOTS)
        records = [m.value() for m in self.broker.read_all([partition]) if m.key() == TIMELINE_KEY]
        return [
            (change.offset, change.configs[-1].version)
            for change in decode_timeline(records[-1] if records else None)
        ]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_settings_hold_from_the_first_record_after_they_came(bench: Bench) -> None:
    publish(bench.broker, 0, 5)
    bench.work()
    set_salt(bench.broker, 7)
    bench.work()
    publish(bench.broker, 5, 9)
    bench.work()
    assert bench.timeline() == [(5, 7)]
    found = [decode(value, Anomaly) for value in bench.values(topics.ANOMALIES)]
    reference, expected = HashStep(every=1), []
    trades = [make_trade("BTC-USDT", number) for number in range(9)]
    expected += reference.on_batch(trades[:5])
    configs = (DetectorConfig(scope="default", settings={"salt": 7}, version=7, time_us=0),)
    expected += reference.configure("BTC-USDT", configs).events
    expected += reference.on_batch(trades[5:])
    assert found == expected


def test_settings_that_are_there_hold_from_the_first_record(bench: Bench) -> None:
    set_salt(bench.broker, 7)
    publish(bench.broker, 0, 5)
    bench.work()
    assert bench.timeline() == [(0, 7)]
    assert bench.step._salts == {"BTC-USDT": 7}


def test_a_record_that_is_no_settings_is_set_aside_and_changes_nothing(bench: Bench) -> None:
    publish(bench.broker, 0, 5)
    set_salt(bench.broker, 7)
    bench.work()
    bench.broker.producer().produce(topics.DETECTOR_CONFIG, b"{", key=b"default")
    set_salt(bench.broker, 8, name="pepper")
    bench.work()
    letters = [decode(value, DeadLetter) for value in bench.values(topics.DEAD_LETTERS)]
    assert [(letter.source, letter.offset, letter.reader) for letter in letters] == [
        ("detector-config", 1, "detector"),
        ("detector-config", 2, "detector"),
    ]
    assert letters[1].reason == "salt is missing"
    assert bench.step._salts == {"BTC-USDT": 7}


def test_after_a_restart_the_past_is_judged_as_it_was(bench: Bench) -> None:
    publish(bench.broker, 0, 5)
    bench.work()
    set_salt(bench.broker, 7)
    bench.work()
    publish(bench.broker, 5, 7)
    bench.work()
    state = bench.step.snapshot("BTC-USDT")
    bench.runner.close()
    set_salt(bench.broker, 9)
    bench.start()
    bench.work()
    assert bench.timeline()[-1] == (7, 9)
    before = bench.step.snapshot("BTC-USDT")
    assert before["salt"] == 9
    assert (before["digest"] == state["digest"]).all()  # type: ignore[union-attr]  # an array


def test_a_broker_that_is_away_leaves_the_known_settings(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_salt(bench.broker, 7)
    publish(bench.broker, 0, 5)
    bench.work()

    def away() -> list[object]:
        raise BrokerRetriableError("consume", detail="away")

    feed = bench.runner._settler._feed
    assert feed is not None
    monkeypatch.setattr(feed, "poll", away)
    publish(bench.broker, 5, 7)
    bench.work()
    assert bench.runner.totals.trades == 7
    assert bench.runner.totals.aborts == 0


def test_a_step_says_what_new_settings_made_of_a_market() -> None:
    step = HashStep()
    configs = (DetectorConfig(scope="default", settings={"salt": 1}, version=1, time_us=0),)
    assert step.configure("BTC-USDT", configs) == Configured(has_changed=False, events=[])
