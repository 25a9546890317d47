"""What every intake gives: the same trades, the same invalid records, the same positions, on every broker."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pytest

from shared import topics
from shared.codec import encode
from shared.errors import PrerequisiteError
from shared.events import Trade
from shared.stream import librdkafka
from shared.stream.broker import Broker, Consumer, RebalanceListener, TopicPartition
from shared.stream.fast_intake import LibraryIntake, ScanIntake, chosen
from shared.stream.intake import Intake, MessageIntake, TradeBatch
from shared.stream.kafka import KafkaBroker, KafkaParams
from shared.stream.memory import MemoryBroker
from tests.deadlines import eventually
from tests.samples import trade

PARTITIONS = 3
SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT", "DOGE-USDT", "ADA-USDT")


@dataclass(frozen=True)
class Setting:
    """A broker, and what makes the intakes on it."""

    broker: Broker
    intake: Callable[[Consumer], Intake]


def _kafka(servers: str, protocol: Literal["classic", "consumer"] = "classic") -> KafkaBroker:
    return KafkaBroker(
        KafkaParams(
            bootstrap_servers=servers,
            topic_prefix=f"intake-{uuid.uuid4().hex[:8]}-",
            partitions=PARTITIONS,
            group_protocol=protocol,
        )
    )


@pytest.fixture(
    params=[
        ("memory", MessageIntake),
        ("memory", ScanIntake),
        pytest.param(("classic", MessageIntake), marks=pytest.mark.integration),
        pytest.param(("classic", ScanIntake), marks=pytest.mark.integration),
        pytest.param(("classic", LibraryIntake), marks=pytest.mark.integration),
        pytest.param(("consumer", LibraryIntake), marks=pytest.mark.integration),
    ],
    ids=lambda param: f"{param[0]}-{param[1].__name__}",
)
def setting(request: pytest.FixtureRequest) -> Setting:
    kind, intake = request.param
    made: Broker = (
        MemoryBroker(partitions=PARTITIONS)
        if kind == "memory"
        else _kafka(request.getfixturevalue("kafka").bootstrap_servers, kind)
    )
    made.ensure_topics()
    return Setting(made, intake)


def publish(broker: Broker, trades: Sequence[Trade]) -> None:
    producer = broker.producer()
    for one in trades:
        producer.produce(topics.TRADES, encode(one), key=one.symbol.encode())
    assert producer.flush(30) == 0


def tape(count: int, *, first_id: int = 0) -> list[Trade]:
    return [trade(first_id + n, symbol=SYMBOLS[n % len(SYMBOLS)]) for n in range(count)]


def records_in(batch: TradeBatch) -> int:
    return len(batch.trades) + len(batch.invalid)


class Reader:
    """A consumer and its intake, and all that came."""

    def __init__(self, setting: Setting, *, group: str | None = None) -> None:
        self.consumer = setting.broker.consumer(group=group)
        self.intake = setting.intake(self.consumer)
        self.came: list[tuple[int, int, Trade]] = []
        self.invalid: list[tuple[int, int, bytes | None, bytes]] = []
        self.positions: dict[int, int] = {}

    def everything(self) -> None:
        self.consumer.assign(dict.fromkeys(self.consumer.partitions_of(topics.TRADES), 0))

    def read(self, max_records: int = 100, timeout_s: float = 0.1) -> int:
        batch = self.intake.read(max_records, timeout_s)
        assert len(batch.partitions) == len(batch.offsets) == len(batch.trades)
        self.came += zip(batch.partitions.tolist(), batch.offsets.tolist(), batch.trades, strict=True)
        self.invalid += [(m.partition(), m.offset(), m.key(), m.value()) for m in batch.invalid]
        self.positions |= batch.positions
        return records_in(batch)

    def read_until(self, count: int) -> None:
        def has_all() -> bool:
            self.read()
            return len(self.came) + len(self.invalid) >= count

        eventually(has_all, seconds=30, about=f"{count} records")

    def trades(self) -> list[Trade]:
        return sorted((came for _, _, came in self.came), key=lambda one: one.trade_id)


@pytest.fixture
def reader(setting: Setting) -> Iterator[Reader]:
    made = Reader(setting)
    yield made
    made.consumer.close()


def test_a_large_batch_holds_what_waits_and_no_more(setting: Setting, reader: Reader) -> None:
    # Much more than is copied and scanned at a time, invalid records in between.
    published = tape(1_500)
    publish(setting.broker, published[:700])
    producer = setting.broker.producer()
    producer.produce(topics.TRADES, b"no trade", key=b"BAD")
    assert producer.flush(30) == 0
    publish(setting.broker, published[700:])
    reader.everything()

    def has_all() -> bool:
        assert reader.read(600) <= 600
        return len(reader.came) + len(reader.invalid) == 1_501

    eventually(has_all, seconds=30, about="all records")
    assert reader.trades() == published
    assert [value for *_, value in reader.invalid] == [b"no trade"]
    assert sum(reader.positions.values()) == 1_501


def test_trades_come_once_and_in_order_with_partition_and_offset(setting: Setting, reader: Reader) -> None:
    published = tape(500)
    publish(setting.broker, published)
    reader.everything()
    reader.read_until(500)
    assert reader.trades() == published
    for number in range(PARTITIONS):
        offsets = [offset for partition, offset, _ in reader.came if partition == number]
        assert offsets == list(range(len(offsets)))
        ids = [came.trade_id for partition, _, came in reader.came if partition == number]
        assert ids == sorted(ids)
        assert reader.positions.get(number, 0) == len(offsets)
    assert reader.read() == 0


def test_no_more_than_asked_for_come_at_once(setting: Setting, reader: Reader) -> None:
    publish(setting.broker, tape(50))
    reader.everything()
    read = [reader.read(7) for _ in range(3)]
    assert max(read) <= 7
    reader.read_until(50)
    assert reader.trades() == tape(50)


def test_what_is_no_trade_is_set_apart_with_key_and_bytes(setting: Setting, reader: Reader) -> None:
    producer = setting.broker.producer()
    sound = [trade(number) for number in range(4)]
    key = b"BTC-USDT"
    broken = [b"{}", b"no json", encode(trade(8)).replace(b"true", b"1"), b""]
    for one, payload in zip(sound, broken, strict=True):
        producer.produce(topics.TRADES, encode(one), key=key)
        producer.produce(topics.TRADES, payload, key=key)
    assert producer.flush(30) == 0
    reader.everything()
    reader.read_until(8)
    [partition] = reader.positions
    assert reader.came == [(partition, 2 * number, one) for number, one in enumerate(sound)]
    assert [record[:2] for record in reader.invalid] == [
        (partition, 1),
        (partition, 3),
        (partition, 5),
        (partition, 7),
    ]
    assert [record[2:] for record in reader.invalid] == [(key, payload) for payload in broken]
    assert reader.positions == {partition: 8}


def test_a_tombstone_is_no_trade(setting: Setting, reader: Reader) -> None:
    producer = setting.broker.producer()
    producer.produce(topics.TRADES, None, key=b"BTC-USDT")
    producer.produce(topics.TRADES, encode(trade(1)), key=b"BTC-USDT")
    assert producer.flush(30) == 0
    reader.everything()
    reader.read_until(2)
    assert reader.trades() == [trade(1)]
    assert [offset for _, offset, _, _ in reader.invalid] == [0]


def test_unusual_but_sound_json_is_a_trade(setting: Setting, reader: Reader) -> None:
    producer = setting.broker.producer()
    odd = encode(trade(7)).replace(b",", b" , ").replace(b"BTC", b"\\u0042TC")
    producer.produce(topics.TRADES, odd, key=b"BTC-USDT")
    assert producer.flush(30) == 0
    reader.everything()
    reader.read_until(1)
    assert reader.trades() == [trade(7)]


def test_an_empty_topic_gives_an_empty_batch(reader: Reader) -> None:
    reader.everything()
    assert reader.read() == 0
    assert reader.positions == {}


def test_a_batch_outlives_the_next_one(setting: Setting, reader: Reader) -> None:
    publish(setting.broker, [trade(number) for number in range(200)])
    reader.everything()
    kept: list[TradeBatch] = []

    def has_all() -> bool:
        kept.append(reader.intake.read(10, 0.1))
        return sum(map(records_in, kept)) >= 200

    eventually(has_all, seconds=30, about="200 records")
    assert [came for batch in kept for came in batch.trades] == [trade(number) for number in range(200)]


def test_seeking_reads_again_and_nothing_else(setting: Setting, reader: Reader) -> None:
    publish(setting.broker, [trade(number) for number in range(400)])
    reader.everything()
    reader.read_until(100)
    [number] = reader.positions
    for target in (0, 390, 150, 0):
        reader.consumer.seek(TopicPartition(topics.TRADES, number), target)
        reader.came.clear()
        reader.read_until(min(100, 400 - target))
        ids = [came.trade_id for _, _, came in reader.came]
        assert ids == list(range(target, target + len(ids)))


def test_a_paused_partition_rests_and_goes_on(setting: Setting, reader: Reader) -> None:
    published = tape(600)
    publish(setting.broker, published)
    reader.everything()
    reader.read_until(1)
    number = next(iter(reader.positions))
    paused = TopicPartition(topics.TRADES, number)
    reader.consumer.pause([paused])
    before = reader.positions[number]
    everywhere = reader.consumer.partitions_of(topics.TRADES)
    others = sum(1 for message in setting.broker.read_all(everywhere) if message.partition() != number)

    def has_others() -> bool:
        reader.read()
        return sum(1 for partition, _, _ in reader.came if partition != number) >= others

    eventually(has_others, seconds=30, about="the other partitions")
    assert reader.positions[number] == before
    reader.consumer.resume([paused])
    reader.read_until(600)
    assert reader.trades() == published


def test_uncommitted_and_aborted_trades_are_not_seen(setting: Setting, reader: Reader) -> None:
    producer = setting.broker.producer(transactional_id=f"t-{uuid.uuid4().hex}")
    for number, commit in enumerate((True, False, True)):
        producer.begin()
        for one in range(10):
            producer.produce(topics.TRADES, encode(trade(100 * number + one)), key=b"BTC-USDT")
        if commit:
            producer.commit({}, reader.consumer)
        else:
            assert producer.flush(30) == 0
            producer.abort()
    producer.close()
    reader.everything()
    reader.read_until(20)
    assert [came.trade_id for _, _, came in reader.came] == [*range(10), *range(200, 210)]
    assert reader.read() == 0


class Member:
    """A member of a group that knows what it was given, and where each partition goes on."""

    def __init__(self, setting: Setting, committed: dict[TopicPartition, int]) -> None:
        self.committed = committed
        self.positions: dict[TopicPartition, int] = {}
        self.came: list[tuple[int, int, Trade]] = []
        self.consumer = setting.broker.consumer(group="movers")
        self.intake = setting.intake(self.consumer)
        self.consumer.subscribe(
            [topics.TRADES],
            RebalanceListener(assigned=self._assigned, revoked=self._revoked, lost=self._revoked),
        )

    def _assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        starts = {partition: self.committed.get(partition, 0) for partition in partitions}
        self.positions |= starts
        return starts

    def _revoked(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self.committed[partition] = self.positions.pop(partition)

    def has_partitions(self) -> bool:
        return bool(self.positions)

    def read(self, max_records: int) -> None:
        batch = self.intake.read(max_records, 0.05)
        for number, offset, came in zip(
            batch.partitions.tolist(), batch.offsets.tolist(), batch.trades, strict=True
        ):
            partition = TopicPartition(topics.TRADES, number)
            assert partition in self.positions, f"a record of {partition}, which is not ours"
            assert offset == self.positions[partition], f"{partition}: lost or repeated"
            self.positions[partition] = offset + 1
            self.came.append((number, offset, came))


def test_nothing_is_lost_or_read_twice_while_members_come_and_go(setting: Setting) -> None:
    """Positions are handed on in memory: whoever gets a partition begins exactly where its owner ended."""
    published = tape(3_000)
    publish(setting.broker, published[:1_000])
    committed: dict[TopicPartition, int] = {}
    members = [Member(setting, committed)]
    done: list[tuple[int, int, Trade]] = []
    sent = 1_000

    def total() -> int:
        return len(done) + sum(len(member.came) for member in members)

    def round_of(readers: Sequence[Member], until: Callable[[], bool], about: str) -> None:
        def turn() -> bool:
            for member in readers:
                member.read(20)
            return until()

        eventually(turn, seconds=60, about=about)

    round_of(members, lambda: total() >= 300, "a first reader")
    for number in range(3):
        members.append(Member(setting, committed))
        joined = members[-1]
        publish(setting.broker, published[sent : sent + 500])
        sent += 500
        round_of(members, joined.has_partitions, f"member {number} to get partitions")
        publish(setting.broker, published[sent : sent + 100])
        sent += 100
        leaving = members.pop(0)
        leaving.consumer.close()
        done += leaving.came
        assert not leaving.positions
        round_of(
            members,
            lambda: sum(len(member.positions) for member in members) == PARTITIONS,
            f"the others to take over from member {number}",
        )
    round_of(members, lambda: total() >= sent, "all records")
    for member in members:
        member.consumer.close()
        done += member.came
    assert sorted((came for _, _, came in done), key=lambda one: one.trade_id) == published[:sent]
    assert len({(partition, offset) for partition, offset, _ in done}) == len(done) == sent


@pytest.mark.integration
@pytest.mark.parametrize(
    ("name", "kind"), [("off", MessageIntake), ("scan", ScanIntake), ("auto", LibraryIntake)]
)
def test_the_setting_names_the_intake(
    name: Literal["off", "scan", "auto"], kind: type, request: pytest.FixtureRequest
) -> None:
    consumer = _kafka(request.getfixturevalue("kafka").bootstrap_servers).consumer(group=None)
    assert type(chosen(name)(consumer)) is kind
    consumer.close()


def test_a_broker_in_memory_gets_the_scanner_over_messages() -> None:
    consumer = MemoryBroker(partitions=1).consumer(group=None)
    assert isinstance(chosen("auto")(consumer), ScanIntake)
    with pytest.raises(PrerequisiteError, match="Kafka"):
        LibraryIntake(consumer)


def test_another_version_of_the_library_is_not_touched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(librdkafka, "_VERIFIED", frozenset({(0x01000000, 176)}))
    consumer = KafkaBroker(KafkaParams(bootstrap_servers="127.0.0.1:1")).consumer(group=None)
    assert isinstance(chosen("auto")(consumer), ScanIntake)
    consumer.close()
