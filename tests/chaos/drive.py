"""One run: start, feed, break, drain, judge."""

import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import httpx

from producer.resume import last_positions
from shared import topics
from shared.clock import SystemClock
from shared.errors import BrokerError, PrerequisiteError, StoreError
from shared.store.database import Database
from tests.chaos.judge import Verdict, judge_people, judge_store, judge_topics, judge_venue, partitions_of
from tests.chaos.schedule import BROKER, Action, Fault
from tests.chaos.stage import ENGINE, MARKETS, PauseWatch, Stage, StageParams, staged
from tests.deadlines import eventually

_DRAINED_WITHIN_S: Final = 240.0
_PROGRESS_S: Final = 15.0
_WORDS: Final = (
    "transaction_aborted",
    "partitions_lost",
    "commit_on_revoke_failed",
    "commit_failed",
    "detector_failed",
    "Traceback",
)


@dataclass
class Report:
    """How a run went.

    Attributes:
        verdict: of the judges.
        done: faults that were carried out, by kind.
        restarts: of workers by the supervisor.
        longest_pause_s: during which a partition with trades waiting was not judged.
        feed_s: how long the market traded.
        words: how often the logs tell of what.
    """

    verdict: Verdict = field(default_factory=Verdict)
    done: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    longest_pause_s: float = 0.0
    feed_s: float = 0.0
    words: dict[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return the figures for people, the faults last."""
        verdict = self.verdict
        done = ", ".join(f"{count} {what}" for what, count in sorted(self.done.items()))
        words = ", ".join(f"{count} {word}" for word, count in self.words.items())
        return [
            f"faults        {done}",
            f"restarts      {self.restarts}",
            f"in the logs   {words}",
            f"trades        {verdict.trades} in {self.feed_s:g} s, {verdict.trades / self.feed_s:.0f} per s",
            f"anomalies     {len(verdict.anomalies)}",
            f"longest pause {self.longest_pause_s:.1f} s of one partition",
            f"notifications {verdict.repeated_notifications} repeated",
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
    report = Report(feed_s=params.feed_s)
    with staged(params) as stage:
        with PauseWatch(stage.broker, topics.TRADES) as watch:
            try:
                _Breaker(stage, schedule, report, tell, watch).work()
                tell("the feed has ended; draining")
                _drain(stage)
            except (PrerequisiteError, AssertionError) as error:
                report.verdict.faults.append(str(error))
        report.longest_pause_s = watch.longest_s
        report.restarts = stage.workers.restarts
        _judge(stage, report, tell)
    return report


def _judge(stage: Stage, report: Report, tell: Callable[[str], None]) -> None:
    tell("judging: an undisturbed engine over the same tape")
    # What kept it from draining comes first.
    faults = report.verdict.faults
    verdict = judge_topics(stage.broker, ENGINE)
    verdict.faults[:0] = faults
    report.verdict = verdict
    judge_venue(verdict, _venue_ends(stage))
    database = Database(stage.params.database_url)
    try:
        judge_store(verdict, database)
        judge_people(verdict, database, stage.telegram.anomaly_ids())
    finally:
        database.close()
    report.words = stage.count_in_logs(_WORDS)


class _Breaker:
    """Carries out the schedule while the market trades."""

    def __init__(
        self,
        stage: Stage,
        schedule: list[Fault],
        report: Report,
        tell: Callable[[str], None],
        watch: PauseWatch,
    ) -> None:
        self._stage = stage
        self._waiting = list(schedule)
        self._report = report
        self._tell = tell
        self._watch = watch
        self._clock = SystemClock()
        self._thaw_at_s: dict[str, float] = {}
        self._broker_up_at_s: float | None = None

    def work(self) -> None:
        """Return when the market has ended and everything is up again."""
        started_s = self._clock.monotonic_s()
        told_s = 0.0
        turn = threading.Event()
        while True:
            now_s = self._clock.monotonic_s() - started_s
            self._mend(now_s)
            while self._waiting and self._waiting[0].at_s <= now_s:
                self._break(self._waiting.pop(0), now_s)
            self._stage.workers.watch()
            if now_s - told_s >= _PROGRESS_S:
                told_s = now_s
                self._tell(
                    f"{now_s:7.1f} s  {self._watch.trades} trades, pause {self._watch.longest_s:.1f} s"
                )
            is_mended = not self._thaw_at_s and self._broker_up_at_s is None
            if now_s >= self._stage.params.feed_s and not self._waiting and is_mended:
                return
            turn.wait(0.1)

    def _mend(self, now_s: float) -> None:
        for worker, at_s in list(self._thaw_at_s.items()):
            if now_s >= at_s:
                self._stage.send(worker, signal.SIGCONT)
                del self._thaw_at_s[worker]
        if self._broker_up_at_s is not None and now_s >= self._broker_up_at_s:
            self._stage.server.start()
            self._broker_up_at_s = None

    def _break(self, fault: Fault, now_s: float) -> None:
        done = True
        if fault.target == BROKER:
            self._stage.server.kill()
            self._broker_up_at_s = now_s + fault.lasts_s
        elif fault.action is Action.KILL:
            done = self._stage.send(fault.target, signal.SIGKILL)
        elif fault.action is Action.RESTART:
            done = self._stage.send(fault.target, signal.SIGTERM)
        else:
            done = self._stage.send(fault.target, signal.SIGSTOP)
            if done:
                self._thaw_at_s[fault.target] = now_s + fault.lasts_s
        self._tell(f"{fault}" + ("" if done else " (was down already)"))
        if done:
            kind = BROKER if fault.target == BROKER else "worker"
            self._report.done[f"{fault.action} {kind}"] += 1


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
        AssertionError: it takes too long.
    """
    clock = SystemClock()

    def tape_is_complete() -> bool:
        stage.workers.watch()
        try:
            found = last_positions(stage.broker, exchange="binance", symbols=MARKETS, clock=clock)
        except BrokerError:
            return False
        ends = {symbol: position.trade_id for symbol, position in found.items()}
        return _market_has_ended(stage) and ends == _venue_ends(stage)

    def all_is_read() -> bool:
        stage.workers.watch()
        try:
            return not any(_lag(stage, group, topic) for group, topic in _READERS)
        except (BrokerError, StoreError):
            return False

    eventually(tape_is_complete, seconds=_DRAINED_WITHIN_S, about="the tape to end as the venue's", every_s=1)
    eventually(all_is_read, seconds=_DRAINED_WITHIN_S, about="detectors, recorder and alerter", every_s=1)


_READERS: Final = (
    ("detector", topics.TRADES),
    ("recorder", topics.TRADES),
    ("recorder", topics.ANOMALIES),
    ("alerter", topics.ANOMALIES),
)


def _lag(stage: Stage, group: str, topic: str) -> int:
    consumer = stage.broker.consumer(group=group)
    try:
        partitions = partitions_of(stage.broker, topic)
        committed = consumer.committed(partitions)
        waiting = 0
        for partition in partitions:
            end = consumer.bounds(partition)[1]
            if topic == topics.ANOMALIES:
                # The end is a transaction's marker, which is nobody's to read; so count what can be read.
                end = 1 + max((m.offset() for m in stage.broker.read_all([partition])), default=-1)
            waiting += max(0, end - committed.get(partition, 0))
        return waiting
    finally:
        consumer.close()
