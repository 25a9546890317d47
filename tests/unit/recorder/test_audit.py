"""What an audit says of a market, fault by fault."""

import msgspec
import pytest

from recorder.audit import CountedAnew, MarketReport, MissingRange, TapeAudit
from recorder.audit_view import findings
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import TapeGap, Trade
from tests import samples


def audited(trades: list[Trade], gaps: list[TapeGap] | None = None, *, partition: int = 0) -> MarketReport:
    audit = TapeAudit()
    for trade in trades:
        audit.add(trade, partition=partition)
    [report] = audit.reports(gaps or [])
    return report


def with_ids(*ids: int) -> list[Trade]:
    return [samples.trade(number) for number in ids]


def gap(first: int, last: int, *, reason: str = "too many", symbol: str = "BTC-USDT") -> TapeGap:
    made = samples.tape_gap(first, symbol=symbol)
    return msgspec.structs.replace(made, last_missing_id=last, reason=reason)


def unannounced(first: int, last: int) -> MissingRange:
    return MissingRange(first_id=first, last_id=last, is_announced=False)


def announced(first: int, last: int, reason: str = "too many") -> MissingRange:
    return MissingRange(first_id=first, last_id=last, is_announced=True, reason=reason)


def test_a_tape_without_faults_is_whole() -> None:
    report = audited(samples.trades(100, first_id=7), partition=3)
    assert report.is_whole
    assert (report.first_id, report.last_id, report.trades) == (7, 106, 100)
    assert (report.exchange, report.symbol, report.partitions) == ("binance", "BTC-USDT", [3])
    assert list(findings(report)) == []


def test_one_trade_is_a_whole_tape() -> None:
    assert audited(with_ids(5)).is_whole


def test_a_hole_that_nobody_announced_is_named() -> None:
    report = audited(with_ids(1, 2, 5, 6, 8))
    assert not report.is_whole
    assert report.missing == [unannounced(3, 4), unannounced(7, 7)]
    assert (report.missing_unannounced, report.missing_announced) == (3, 0)
    assert list(findings(report)) == [
        "missing 3 to 4 (2 trades), not announced",
        "missing 7 (1 trade), not announced",
    ]


def test_an_announced_hole_is_still_a_hole_and_says_why() -> None:
    report = audited(with_ids(1, 5), [gap(2, 4)])
    assert not report.is_whole
    assert report.missing == [announced(2, 4)]
    assert list(findings(report)) == ["missing 2 to 4 (3 trades), announced: too many"]


@pytest.mark.parametrize(
    ("gaps", "missing"),
    [
        ([gap(5, 7)], [unannounced(2, 4), announced(5, 7), unannounced(8, 9)]),
        ([gap(0, 4)], [announced(2, 4), unannounced(5, 9)]),
        ([gap(8, 99)], [unannounced(2, 7), announced(8, 9)]),
        (
            [gap(4, 6), gap(2, 5, reason="first")],
            [announced(2, 5, "first"), announced(6, 6), unannounced(7, 9)],
        ),
        ([gap(2, 9), gap(4, 5, reason="within")], [announced(2, 9)]),
        ([gap(2, 9, symbol="ETH-USDT")], [unannounced(2, 9)]),
        ([gap(20, 30), gap(0, 1)], [unannounced(2, 9)]),
        ([gap(3, 2)], [unannounced(2, 9)]),
    ],
)
def test_a_hole_is_split_into_what_was_announced_and_what_was_not(
    gaps: list[TapeGap], missing: list[MissingRange]
) -> None:
    assert audited(with_ids(1, 10), gaps).missing == missing


def test_what_was_announced_and_came_after_all_is_not_missing() -> None:
    assert audited(with_ids(1, 2, 3, 4), [gap(2, 3)]).is_whole


def test_a_repeated_id_is_a_duplicate_and_nothing_else() -> None:
    report = audited(with_ids(1, 2, 2, 3, 1, 4))
    assert not report.is_whole
    assert (report.duplicates, report.duplicate_ids, report.trades) == (2, [2, 1], 4)
    assert (report.out_of_order, report.missing) == (0, [])
    assert list(findings(report)) == ["2 records repeat an id: 2, 1"]


def test_a_trade_behind_a_higher_id_is_out_of_order() -> None:
    report = audited(with_ids(1, 4, 2, 3, 5))
    assert not report.is_whole
    assert (report.out_of_order, report.out_of_order_ids) == (2, [2, 3])
    assert (report.duplicates, report.missing, report.trades) == (0, [], 5)


def test_a_trade_below_the_first_one_moves_the_beginning() -> None:
    report = audited(with_ids(5, 6, 3))
    assert (report.first_id, report.last_id) == (3, 6)
    assert report.missing == [unannounced(4, 4)]


def test_only_the_first_ten_ids_are_named() -> None:
    report = audited(with_ids(*range(20), *range(20)))
    assert report.duplicates == 20
    assert report.duplicate_ids == list(range(10))
    assert list(findings(report)) == ["20 records repeat an id: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ..."]


def test_only_the_first_twenty_holes_are_told() -> None:
    told = list(findings(audited(with_ids(*range(0, 50, 2)))))
    assert len(told) == 21
    assert told[-1] == "missing 4 further ranges; --json names them all"


def test_ids_that_go_back_while_time_goes_on_begin_another_tape() -> None:
    later_us = samples.trade(12).event_time_us + 10 * MICROSECONDS_PER_SECOND + 1
    anew = [samples.trade(number, at_us=later_us + number) for number in (11, 12, 14)]
    report = audited([*with_ids(10, 12), *anew])
    assert report.counted_anew == [CountedAnew(last_id=12, next_id=11, event_time_us=later_us + 11)]
    assert report.missing == [unannounced(11, 11), unannounced(13, 13)]
    assert (report.first_id, report.last_id) == (10, 14)
    assert (report.trades, report.duplicates, report.out_of_order) == (5, 0, 0)
    assert not report.is_whole
    assert "ids count anew at 2024-08-08 23:54:25: 11 after 12" in list(findings(report))[-1]


def test_an_older_id_that_is_not_much_younger_is_late() -> None:
    later_us = samples.trade(12).event_time_us + 10 * MICROSECONDS_PER_SECOND
    report = audited([*with_ids(10, 12), samples.trade(11, at_us=later_us)])
    assert (report.counted_anew, report.out_of_order) == ([], 1)


def test_a_market_in_two_partitions_is_not_whole() -> None:
    audit = TapeAudit()
    for trade in samples.trades(4):
        audit.add(trade, partition=trade.trade_id % 2)
    [report] = audit.reports([])
    assert not report.is_whole
    assert report.partitions == [0, 1]
    assert list(findings(report)) == ["lies in several partitions (0, 1), so its order is not defined"]


def test_the_longest_silence_is_by_event_time_and_in_the_order_of_the_topic() -> None:
    at_s = {1: 0, 2: 5, 3: 4, 4: 11, 5: 12}
    trades = [samples.trade(n, at_us=samples.START_US + s * 1_000_000) for n, s in at_s.items()]
    report = audited(trades)
    assert report.silence_us == 6_000_000
    assert report.silence_from_us == samples.START_US + 5_000_000
    assert (report.first_event_us, report.last_event_us) == (samples.START_US, samples.START_US + 12_000_000)


def test_skew_is_receive_time_minus_event_time() -> None:
    skews = [-1_000, *([150_000] * 197), 900_000, 2_000_000]
    trades = [
        msgspec.structs.replace(trade, received_time_us=trade.event_time_us + skew)
        for trade, skew in zip(samples.trades(200), skews, strict=True)
    ]
    skew = audited(trades).skew
    assert (skew.min_us, skew.max_us) == (-1_000, 2_000_000)
    assert skew.median_us == pytest.approx(150_000, rel=0.01)
    assert skew.p99_us == pytest.approx(150_000, rel=0.01)


def test_venues_and_markets_are_judged_by_themselves() -> None:
    audit = TapeAudit()
    for trade in (*samples.trades(3), *samples.trades(3, symbol="ETH-USDT")):
        audit.add(trade, partition=0)
    elsewhere = msgspec.structs.replace(samples.trade(9), exchange="kraken")
    audit.add(elsewhere, partition=0)
    audit.add(msgspec.structs.replace(elsewhere, trade_id=11), partition=0)
    reports = {(report.exchange, report.symbol): report.is_whole for report in audit.reports([gap(10, 10)])}
    assert reports == {
        ("binance", "BTC-USDT"): True,
        ("binance", "ETH-USDT"): True,
        ("kraken", "BTC-USDT"): False,
    }
    assert audit.reports([gap(10, 10)])[-1].missing_announced == 0
