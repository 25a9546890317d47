"""One run: start, feed, break, drain, judge."""

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

import httpx

from producer.resume import last_positions
from shared import topics
from shared.clock import SystemClock
from shared.errors import BrokerError, PrerequisiteError
from shared.store.database import Database
from tests.chaos.breaker import Breaker
from tests.chaos.judge import (
    Verdict,
    judge_alerts,
    judge_letters,
    judge_people,
    judge_store,
    judge_topics,
    judge_venue,
    partitions_of,
    pending,
)
from tests.chaos.schedule import Fault
from tests.chaos.stage import ENGINE, MARKETS, PauseWatch, Stage, StageParams, staged
from tests.deadlines import eventually

# A slow machine may take as long as it likes, as long as it gets on.
_STANDS_STILL_S: Final = 180.0
_LOOKS_EVERY_S: Final = 2.0
_WORDS: Final = (
    "transaction_aborted",
    "partitions_lost",
    "commit_on_revoke_failed",
    "commit_failed",
    "store_unavailable",
    "detector_failed",
    "Traceback",
)


@dataclass
class Report:
    """How a run went.

    Attributes:
        params: what was set up.
        verdict: of the judges.
        done: faults that were carried out, by kind.
        restarts: of workers by the supervisor.
        longest_pause_s: during which a partition with trades waiting was not judged.
        drain_s: from the end of the feed until everything was read.
        words: how often the logs tell of what.
    """

    params: StageParams
    verdict: Verdict = field(default_factory=Verdict)
    done: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    longest_pause_s: float = 0.0
    drain_s: float = 0.0
    words: dict[str, int] = field(default_factory=dict)

    @property
    def trades_per_s(self) -> float:
        """How many trades the venue reported per second, on average."""
        return self.verdict.trades / self.params.feed_s

    def lines(self) -> list[str]:
        """Return the figures as they stand in docs/reliability.md, then the faults and the verdict."""
        verdict = self.verdict
        rows = {
            "run": f"{self.params.feed_s / 60:g} min, seed {self.params.seed}, {self.params.guarantee}",
            "faults": f"{self.done.total()}: "
            + ", ".join(f"{count} {what}" for what, count in sorted(self.done.items())),
            "workers restarted": f"{self.restarts}",
            "in the logs": ", ".join(f"{count} {word}" for word, count in self.words.items()),
            "trades": f"{verdict.trades:,} in {len(verdict.tapes)} markets, {self.trades_per_s:,.0f} per s",
            "anomalies": f"{len(verdict.anomalies):,}, {verdict.repeated_anomalies} of them committed again",
            "invalid records": f"{verdict.invalid_records}, each set aside by detector and recorder",
            "longest pause of one partition with trades waiting": f"{self.longest_pause_s:.1f} s",
            "caught up after the feed's end": f"{self.drain_s:.0f} s",
            "notifications repeated": f"{verdict.repeated_notifications}",
        }
        return [
            "| | |",
            "|---|---|",
            *(f"| {what} | {figures} |" for what, figures in rows.items()),
            *(f"FAULT: {fault}" for fault in verdict.faults[:20]),
            "VERDICT: " + (f"{len(verdict.faults)} fault(s)" if verdict.faults else "whole, once, and equal"),
        ]


def run(params: StageParams, schedule: list[Fault], tell: Callable[[str], None]) -> Report:
    """Run once and return what came of it.

    Args:
        params: what is set up.
        schedule: what goes wrong.
        tell: is given a line of progress.
    """
    report = Report(params)
    clock = SystemClock()
    with staged(params) as stage:
        with PauseWatch(stage.broker, topics.TRADES) as watch:
            breaker = Breaker(stage, schedule, tell, watch)
            try:
                breaker.work()
                tell("the feed has ended; draining")
                ended_s = clock.monotonic_s()
                _drain(stage)
                report.drain_s = clock.monotonic_s() - ended_s
            except (PrerequisiteError, AssertionError) as error:
                report.verdict.faults.append(str(error))
        report.done = breaker.done
        report.longest_pause_s = watch.longest_s
        report.restarts = stage.workers.restarts
        _judge(stage, report, breaker.published_invalid, tell)
    return report


def _judge(stage: Stage, report: Report, invalid: Counter[bytes], tell: Callable[[str], None]) -> None:
    tell("judging: an undisturbed engine over the same tape")
    is_exactly_once = report.params.guarantee == "exactly_once"
    # What kept it from draining comes first.
    faults = report.verdict.faults
    verdict = judge_topics(stage.broker, ENGINE, may_repeat=not is_exactly_once)
    verdict.faults[:0] = faults
    report.verdict = verdict
    judge_letters(verdict, stage.broker, published=invalid, may_repeat=not is_exactly_once)
    judge_alerts(verdict, stage.broker)
    judge_venue(verdict, _venue_ends(stage))
    database = Database(stage.params.database_url)
    try:
        judge_store(verdict, database)
        judge_people(verdict, database, stage.telegram.anomaly_ids())
    finally:
        database.close()
    report.words = stage.count_in_logs(_WORDS)


def _venue_ends(stage: Stage) -> dict[str, int]:
    """Return the last trade id of each market, as the venue has it."""
    ends = {}
    with httpx.Client(base_url=stage.rest_url, timeout=30) as client:
        for market in MARKETS:
            query: dict[str, str] = {"symbol": market.replace("-", ""), "limit": "1"}
            answer = client.get("/api/v3/trades", params=query).raise_for_status().json()
            ends[market] = int(answer[-1]["id"])
    return ends


def _market_has_ended(stage: Stage) -> bool:
    # Its own clock began with the first subscriber, later than ours.
    state = httpx.get(f"{stage.rest_url}/simulator/state", timeout=30).raise_for_status().json()
    return bool(state["finished"])


def _drain(stage: Stage) -> None:
    """Wait until the tape ends where the venue does, and everybody has read all of it.

    Raises:
        AssertionError: nothing moves any more.
    """
    clock = SystemClock()

    def tape_is_complete() -> bool:
        stage.workers.watch()
        if not _market_has_ended(stage):
            return False
        try:
            found = last_positions(stage.broker, exchange="binance", symbols=MARKETS, clock=clock)
        except BrokerError:
            return False
        return {symbol: position.trade_id for symbol, position in found.items()} == _venue_ends(stage)

    def tape_ends() -> Hashable:
        try:
            return tuple(_ends(stage, topics.TRADES))
        except BrokerError:
            return None

    waiting: dict[tuple[str, str], int] = {}

    def all_is_read() -> bool:
        stage.workers.watch()
        try:
            waiting.update({reader: _lag(stage, *reader) for reader in _READERS})
        except BrokerError:
            return False
        return not any(waiting.values())

    _while_it_moves(tape_is_complete, tape_ends, about="the tape to end as the venue's")
    _while_it_moves(all_is_read, lambda: tuple(waiting.values()), about="detectors, recorder and alerter")
    outbox = Database(stage.params.database_url)
    try:
        eventually(lambda: not pending(outbox), seconds=_STANDS_STILL_S, about="the outbox", every_s=1)
    finally:
        outbox.close()
    # What was delivered last has been told on `alerts` since.
    _while_it_moves(all_is_read, lambda: tuple(waiting.values()), about="the recorder")


def _while_it_moves(is_done: Callable[[], bool], progress: Callable[[], Hashable], *, about: str) -> None:
    """Wait until it is done; the patience begins anew whenever the progress is another than before.

    Raises:
        AssertionError: it was the same for too long.
    """
    while not is_done():
        before = progress()
        eventually(
            lambda before=before: is_done() or progress() != before,  # type: ignore[misc]  # mypy knows no defaults here
            seconds=_STANDS_STILL_S,
            about=f"{about}; it stands at {before}",
            every_s=_LOOKS_EVERY_S,
        )


# Each reader of a topic, as group and topic.
_READERS: Final = (
    ("detector", topics.TRADES),
    ("recorder", topics.TRADES),
    ("recorder", topics.ANOMALIES),
    ("recorder", topics.DEAD_LETTERS),
    ("alerter", topics.ANOMALIES),
    ("recorder", topics.ALERTS),
)


def _ends(stage: Stage, topic: str) -> list[int]:
    consumer = stage.broker.consumer(group=None)
    try:
        return [consumer.bounds(partition)[1] for partition in partitions_of(stage.broker, topic)]
    finally:
        consumer.close()


def _lag(stage: Stage, group: str, topic: str) -> int:
    consumer = stage.broker.consumer(group=group)
    try:
        partitions = partitions_of(stage.broker, topic)
        committed = consumer.committed(partitions)
        if topic == topics.TRADES:
            return sum(consumer.bounds(p)[1] - committed.get(p, 0) for p in partitions)
        # The end may be a transaction's marker, which is nobody's to read; so count what can be read.
        return sum(1 for _ in stage.broker.read_all(partitions, starts=committed))
    finally:
        consumer.close()
