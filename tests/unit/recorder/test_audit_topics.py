"""The audit of a broker's topics: what is read, what is left out, what is printed."""

import io
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import pytest
from rich.console import Console

from recorder import audit_view
from recorder.audit_topics import AuditParams, AuditProgress, TapeReport, audit_topics
from shared import topics
from shared.codec import encode
from shared.errors import BrokerError
from shared.events import TapeGap, Trade
from shared.stream.broker import Message, TopicPartition
from shared.stream.memory import MemoryBroker
from tests import samples


def broker_with(trades: list[Trade], gaps: list[TapeGap] | None = None) -> MemoryBroker:
    broker = MemoryBroker(partitions=3)
    broker.ensure_topics()
    publish(broker, trades)
    for gap in gaps or []:
        broker.producer().produce(topics.TAPE_GAPS, encode(gap), key=gap.symbol.encode())
    return broker


def publish(broker: MemoryBroker, trades: list[Trade]) -> None:
    producer = broker.producer()
    for trade in trades:
        producer.produce(topics.TRADES, encode(trade), key=trade.symbol.encode())


def audited(broker: MemoryBroker, *markets: str) -> TapeReport:
    return audit_topics(broker, AuditParams(markets=frozenset(markets)), on_progress=lambda _: None)


def printed(report: TapeReport) -> str:
    console = Console(file=io.StringIO(), width=180)
    audit_view.show(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def two_markets() -> list[Trade]:
    return [
        trade
        for pair in zip(samples.trades(50), samples.trades(50, symbol="ETH-USDT"), strict=True)
        for trade in pair
    ]


def test_a_whole_tape_of_two_markets() -> None:
    report = audited(broker_with(two_markets()))
    assert report.is_whole
    assert (report.records, report.invalid_records) == (100, 0)
    assert [(m.symbol, m.first_id, m.last_id) for m in report.markets] == [
        ("BTC-USDT", 0, 49),
        ("ETH-USDT", 0, 49),
    ]
    text = printed(report)
    assert "The tape is whole: 100 trades in 2 markets" in text
    assert "binance BTC-USDT" in text


def test_one_broken_market_breaks_the_tape_and_is_named() -> None:
    trades = [trade for trade in two_markets() if (trade.symbol, trade.trade_id) != ("ETH-USDT", 20)]
    report = audited(broker_with(trades))
    assert [market.is_whole for market in report.markets] == [True, False]
    assert not report.is_whole
    text = printed(report)
    assert "binance ETH-USDT: missing 20 (1 trade), not announced" in text
    assert "The tape is NOT whole: 99 trades in 2 markets, 1 missing (0 of them announced)." in text


def test_an_announced_gap_is_read_from_its_topic() -> None:
    trades = [trade for trade in samples.trades(50) if trade.trade_id not in range(20, 32)]
    report = audited(broker_with(trades, [samples.tape_gap(20)]))
    [market] = report.markets
    assert (market.missing_announced, market.missing_unannounced) == (10, 2)
    assert not report.is_whole


def test_an_unreadable_announcement_announces_nothing() -> None:
    broker = broker_with([samples.trade(1), samples.trade(3)])
    broker.producer().produce(topics.TAPE_GAPS, b"{", key=b"BTC-USDT")
    [market] = audited(broker).markets
    assert market.missing_unannounced == 1


def test_only_the_markets_asked_for_are_judged() -> None:
    trades = [trade for trade in two_markets() if (trade.symbol, trade.trade_id) != ("ETH-USDT", 20)]
    report = audited(broker_with(trades), "BTC-USDT")
    assert report.is_whole
    assert [market.symbol for market in report.markets] == ["BTC-USDT"]


def test_a_market_that_is_not_there_is_said_to_be_absent() -> None:
    report = audited(broker_with(samples.trades(3)), "BTC-USDT", "XRP-USDT")
    assert report.markets_absent == ["XRP-USDT"]
    assert not report.is_whole
    assert "XRP-USDT: no trade in what was read" in printed(report)


def test_an_empty_tape_is_not_called_whole() -> None:
    report = audited(broker_with([]))
    assert not report.is_whole
    assert "Nothing to audit: 0 records were read" in printed(report)


def test_a_record_that_is_no_trade_is_counted_and_no_fault_by_itself() -> None:
    broker = broker_with(samples.trades(5))
    broker.producer().produce(topics.TRADES, b"\x00", key=b"BTC-USDT")
    publish(broker, samples.trades(5, first_id=5))
    report = audited(broker)
    assert (report.is_whole, report.invalid_records, report.records) == (True, 1, 11)
    assert "1 record cannot be read as trades" in printed(report)


def test_topics_that_do_not_exist_are_an_error() -> None:
    with pytest.raises(BrokerError, match="topic trades does not exist"):
        audited(MemoryBroker())


class GrowingBroker(MemoryBroker):
    """A broker whose topic is written to while it is read, with an id left out."""

    def read_all(
        self,
        partitions: Sequence[TopicPartition],
        *,
        starts: Mapping[TopicPartition, int] | None = None,
        give_up_after_s: float | None = None,
    ) -> Iterator[Message]:
        publish(self, [samples.trade(100)])
        return super().read_all(partitions, starts=starts, give_up_after_s=give_up_after_s)


def test_what_comes_while_it_is_read_is_left_to_the_next_audit() -> None:
    broker = GrowingBroker(partitions=3)
    broker.ensure_topics()
    publish(broker, samples.trades(10))
    report = audited(broker)
    assert report.is_whole
    assert report.records == 10


def test_progress_is_told_in_records() -> None:
    told: list[AuditProgress] = []
    audit_topics(broker_with(samples.trades(12_000)), AuditParams(), on_progress=told.append)
    assert [(progress.done, progress.total) for progress in told] == [
        (0, 12_000),
        (5_000, 12_000),
        (10_000, 12_000),
    ]


def test_the_report_is_one_json_object() -> None:
    report = audited(broker_with([samples.trade(1), samples.trade(3)], [samples.tape_gap(0)]))
    read_back = msgspec.json.decode(encode(report))
    assert read_back["is_whole"] is False
    assert read_back["markets"][0]["missing"] == [
        {"first_id": 2, "last_id": 2, "is_announced": True, "reason": samples.tape_gap().reason}
    ]
    assert msgspec.json.decode(encode(report), type=TapeReport) == report


def test_what_a_reason_says_is_not_taken_for_markup() -> None:
    trades = [samples.trade(1), samples.trade(3)]
    gap = msgspec.structs.replace(samples.tape_gap(0), reason="[bold]HTTP 418[/]")
    assert "announced: [bold]HTTP 418[/]" in printed(audited(broker_with(trades, [gap])))


def test_times_beyond_every_date_are_shown_all_the_same() -> None:
    trades = [samples.trade(1, at_us=2**62), samples.trade(2, at_us=2**62 + 5_000_000)]
    assert f"5.0 s from {2**62 // 1_000_000} s" in printed(audited(broker_with(trades)))
