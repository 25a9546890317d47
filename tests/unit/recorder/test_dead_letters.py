"""Dead letters: listed, shown, and published again as they were."""

import io

import msgspec
import pytest
from rich.console import Console

from recorder import dead_letters, dead_letters_view
from recorder.dead_letters import Outcome, StoredLetter
from shared import topics
from shared.codec import encode
from shared.errors import BrokerError, BrokerRetriableError, DeadLetterNotFoundError
from shared.events import DeadLetter
from shared.stream.broker import Message, Producer, TopicPartition
from shared.stream.memory import MemoryBroker, MemoryProducer
from tests import samples

VALID = encode(samples.trade(7))
BINARY = b"\x00not json\xff"


def letter(
    payload: bytes = VALID, *, source: str = "trades", key: bytes = b"BTC-USDT", partition: int = 2
) -> DeadLetter:
    return msgspec.structs.replace(samples.dead_letter(payload), source=source, key=key, partition=partition)


def broker_with(*letters: DeadLetter) -> MemoryBroker:
    broker = MemoryBroker(partitions=4)
    broker.ensure_topics()
    for dead in letters:
        broker.producer().produce(topics.DEAD_LETTERS, encode(dead), key=dead.source.encode())
    return broker


def on_topic(broker: MemoryBroker, topic: str = topics.TRADES) -> list[Message]:
    return list(broker.read_all(broker.partitions_of(topic)))


def replayed(broker: MemoryBroker, *offsets: int, force: bool = False) -> list[Outcome]:
    found = [dead_letters.find(broker, offset) for offset in offsets]
    return dead_letters.replay(broker, found, force=force)


def console() -> Console:
    return Console(file=io.StringIO(), width=180)


def text_of(used: Console) -> str:
    assert isinstance(used.file, io.StringIO)
    return used.file.getvalue()


def listed(broker: MemoryBroker, *, source: str | None = None, limit: int = 50) -> str:
    used = console()
    dead_letters_view.show_list(dead_letters.newest(broker, source=source, limit=limit), used)
    return text_of(used)


def shown(dead: DeadLetter) -> str:
    used = console()
    dead_letters_view.show_letter(StoredLetter(5, dead), used)
    return text_of(used)


class TestList:
    def test_a_line_says_offset_time_source_reason_and_first_bytes(self) -> None:
        text = listed(broker_with(letter(BINARY)))
        for part in ("0", "2024-08-08 23:54:15", "trades", "JSON is malformed", r"\x00not json\xff"):
            assert part in text
        assert "1 of 1 dead letters" in text

    def test_the_newest_are_listed_oldest_first(self) -> None:
        broker = broker_with(*(letter(str(number).encode()) for number in range(5)))
        newest = dead_letters.newest(broker, source=None, limit=2)
        assert [(stored.offset, stored.letter.payload) for stored in newest.newest] == [(3, b"3"), (4, b"4")]
        assert newest.total == 5

    def test_a_source_can_be_chosen(self) -> None:
        broker = broker_with(letter(), letter(source="binance:websocket"), letter())
        newest = dead_letters.newest(broker, source="binance:websocket", limit=50)
        assert [stored.offset for stored in newest.newest] == [1]

    def test_an_empty_topic_is_an_empty_list(self) -> None:
        assert listed(broker_with()) == "0 of 0 dead letters\n"

    def test_a_missing_topic_is_an_error(self) -> None:
        with pytest.raises(BrokerError, match="topic dead-letters does not exist"):
            dead_letters.newest(MemoryBroker(), source=None, limit=1)

    def test_what_is_no_dead_letter_is_listed_too(self) -> None:
        broker = broker_with()
        broker.producer().produce(topics.DEAD_LETTERS, b"{}", key=b"")
        text = listed(broker)
        assert "no dead letter itself" in text
        assert "dead-letters" in text

    def test_nothing_in_a_record_reaches_the_terminal_as_a_command(self) -> None:
        nasty = msgspec.structs.replace(
            letter(b"\x1b[2J[bold]x"), reason="\x1b[31m[bold]bad", source="\x1b]0;title"
        )
        for text in (listed(broker_with(nasty)), shown(nasty)):
            assert "\x1b" not in text
            assert "[bold]" in text


class TestShow:
    def test_everything_is_shown(self) -> None:
        text = shown(letter(VALID))
        for part in ("5", "2024-08-08 23:54:15", "trades, partition 2, offset 17", "JSON is malformed"):
            assert part in text
        assert "BTC-USDT" in text
        assert VALID.decode() in text
        assert f"{len(VALID):,} bytes" in text

    def test_what_is_no_text_is_shown_in_hexadecimal(self) -> None:
        payload = bytes(range(20))
        text = shown(letter(payload))
        assert "00000000  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f  ................" in text
        assert "00000010  10 11 12 13" in text

    @pytest.mark.parametrize("payload", [b"\xff\xfe", b"bell \x07", "right\u202eto left".encode()])
    def test_text_that_cannot_be_printed_is_no_text(self, payload: bytes) -> None:
        assert payload.hex(" ")[:40] in shown(letter(payload))

    def test_lines_of_text_stay_lines(self) -> None:
        assert "  {\n    1, :bell:}\n" in shown(letter(b"{\n  1, :bell:}"))

    def test_a_frame_of_a_venue_has_no_partition(self) -> None:
        frame = msgspec.structs.replace(letter(source="binance:websocket"), partition=-1, offset=-1, key=b"")
        text = shown(frame)
        assert "partition" not in text
        assert "(none)" in text

    @pytest.mark.parametrize("offset", [2, 99])
    def test_an_offset_that_is_not_there_is_an_error_that_says_which_are(self, offset: int) -> None:
        with pytest.raises(DeadLetterNotFoundError, match=rf"at offset {offset}: retained are 0 to 1"):
            dead_letters.find(broker_with(letter(), letter()), offset)

    def test_an_empty_topic_has_no_offsets(self) -> None:
        with pytest.raises(DeadLetterNotFoundError, match="the topic is empty"):
            dead_letters.find(broker_with(), 0)


class TestReplay:
    def test_original_bytes_go_to_the_original_topic_under_the_original_key(self) -> None:
        broker = broker_with(letter(BINARY), letter(VALID))
        [outcome] = replayed(broker, 1)
        assert outcome == Outcome(offset=1, topic="trades", key=b"BTC-USDT", size_bytes=len(VALID))
        [record] = on_topic(broker)
        assert (record.value(), record.key()) == (VALID, b"BTC-USDT")

    def test_it_goes_where_other_records_of_its_key_are(self) -> None:
        broker = broker_with(letter(VALID, partition=3))
        broker.producer().produce(topics.TRADES, VALID, key=b"BTC-USDT")
        replayed(broker, 0)
        assert len({record.partition() for record in on_topic(broker)}) == 1

    def test_without_a_key_it_goes_where_it_was(self) -> None:
        for partition in range(4):
            broker = broker_with(letter(VALID, key=b"", partition=partition))
            replayed(broker, 0)
            assert [record.partition() for record in on_topic(broker)] == [partition]

    def test_what_is_still_invalid_is_refused_and_holds_nothing_back(self) -> None:
        broker = broker_with(letter(BINARY), letter(VALID))
        refused, published = replayed(broker, 0, 1)
        assert refused.refusal.startswith("still invalid: ")
        assert published.refusal == ""
        assert [record.value() for record in on_topic(broker)] == [VALID]

    def test_force_publishes_what_is_still_invalid_and_says_so(self) -> None:
        broker = broker_with(letter(BINARY))
        [outcome] = replayed(broker, 0, force=True)
        assert outcome.refusal == ""
        assert outcome.still_invalid.startswith("still invalid: ")
        assert [record.value() for record in on_topic(broker)] == [BINARY]

    @pytest.mark.parametrize("source", ["binance:websocket", "binance:rest", "snapshots", "elsewhere"])
    @pytest.mark.parametrize("force", [False, True])
    def test_what_came_from_no_topic_of_events_is_refused_even_by_force(
        self, source: str, *, force: bool
    ) -> None:
        broker = broker_with(letter(VALID, source=source))
        [outcome] = replayed(broker, 0, force=force)
        assert "which is no topic of events" in outcome.refusal
        assert all(not on_topic(broker, topic) for topic in (topics.TRADES, topics.SNAPSHOTS))

    def test_another_topic_is_judged_by_its_own_events(self) -> None:
        payload = encode(samples.anomaly())
        broker = broker_with(letter(payload, source=topics.ANOMALIES), letter(VALID, source=topics.ANOMALIES))
        assert [bool(outcome.refusal) for outcome in replayed(broker, 0, 1)] == [False, True]
        assert [record.value() for record in on_topic(broker, topics.ANOMALIES)] == [payload]

    def test_all_of_a_source(self) -> None:
        other = encode(samples.trade(8))
        broker = broker_with(letter(VALID), letter(VALID, source="binance:rest"), letter(other))
        outcomes = dead_letters.replay(broker, dead_letters.of_source(broker, "trades"), force=False)
        assert [outcome.offset for outcome in outcomes] == [0, 2]
        assert len(on_topic(broker)) == 2

    def test_a_record_that_several_readers_set_aside_is_published_once(self) -> None:
        by_detector, by_recorder = (
            msgspec.structs.replace(letter(), reader=reader) for reader in ("detector", "recorder")
        )
        broker = broker_with(by_detector, by_recorder)
        first, second = replayed(broker, 0, 1)
        assert (first.refusal, second.refusal) == ("", "it is the same record as dead letter 0")
        assert len(on_topic(broker)) == 1

    def test_one_that_was_cut_is_refused(self) -> None:
        cut = msgspec.structs.replace(letter(), reader="detector", cut_bytes=9)
        broker = broker_with(cut)
        [outcome] = replayed(broker, 0)
        assert "its last 9 bytes are missing here" in outcome.refusal
        assert not on_topic(broker)
        assert "9 more are missing here" in shown(cut)
        assert "set aside by  detector" in shown(cut)

    def test_what_is_not_acknowledged_is_an_error(self) -> None:
        class DeafBroker(MemoryBroker):
            def producer(self, *, transactional_id: str | None = None) -> Producer:
                return DeafProducer(self, transactional_id=transactional_id)

        class DeafProducer(MemoryProducer):
            def flush(self, timeout_s: float) -> int:
                return super().flush(timeout_s) + 1

        broker = DeafBroker()
        broker.ensure_topics()
        broker.append(TopicPartition(topics.DEAD_LETTERS, 0), b"trades", encode(letter(VALID)))
        with pytest.raises(BrokerRetriableError, match="1 of 1 records were not acknowledged"):
            replayed(broker, 0)

    def test_every_outcome_is_told(self) -> None:
        used = console()
        broker = broker_with(letter(BINARY), letter(VALID))
        dead_letters_view.show_outcomes([*replayed(broker, 0, 1), *replayed(broker, 0, force=True)], used)
        refused, published, forced, summary = text_of(used).splitlines()
        assert refused.startswith("0: not replayed: still invalid: ")
        assert published == f"1: replayed to trades: {len(VALID)} bytes with key BTC-USDT"
        assert forced.startswith(
            f"0: replayed to trades: {len(BINARY)} bytes with key BTC-USDT, although still"
        )
        assert summary == "2 replayed, 1 refused"
