"""Recordings through the engine, once for all configurations, and then the baselines.

A market that is silent for as long as the running detector forgets it after begins anew, as it would there.
With several processes, files are shared out by market; all files of a market go to one process.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias, TypeVar

import numpy as np

from detector.evaluation import la_morgia
from detector.evaluation.contestants import ALONE, Baseline, Configuration, EngineRun, baseline_alarms
from detector.evaluation.events import Alarm, Span, Truth, Watch
from detector.evaluation.tapes import MarketTape, Tapes
from shared.clock import MICROSECONDS_PER_SECOND
from shared.errors import RecordingError
from shared.recordings import read
from shared.recordings.quotes import quote_files, read_quotes
from shared.stream.columns import TradeColumns

Contestant: TypeAlias = Configuration | Baseline
Columns = TypeVar("Columns", bound=TradeColumns)
# Called with the trades and quotes judged so far, and files done of all; -1: nothing is known about files.
Progress: TypeAlias = Callable[[int, int, int], None]
_UNKNOWN: Final = -1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be judged.

    Attributes:
        recordings: files in any known form, of trades and quotes.
        contestants: who judges.
        forget_after_s: silence after which a market begins anew.
        jobs: processes.
    """

    recordings: tuple[Path, ...]
    contestants: tuple[Contestant, ...]
    forget_after_s: float = 86_400.0
    jobs: int = 1


@dataclass(kw_only=True)
class Judged:
    """What the contestants said.

    Attributes:
        alarms: by contestant's name.
        cpu_s: seconds of CPU that each took.
        tapes: what was traded, per market and venue.
        quotes: how many quotes were judged.
        quoted: per venue and market, from its first quote to its last.
    """

    alarms: dict[str, list[Alarm]] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)
    tapes: list[MarketTape] = field(default_factory=list)
    quotes: int = 0
    quoted: dict[tuple[str, str], Span] = field(default_factory=dict)

    @property
    def watches(self) -> list[Watch]:
        """What is recorded, per market and venue."""
        return [
            tape.watch._replace(quoted=self.quoted.get((tape.exchange, tape.symbol))) for tape in self.tapes
        ]

    @property
    def trades(self) -> int:
        """How many were judged."""
        return sum(len(tape.prices) for tape in self.tapes)

    def add(self, other: "Judged") -> None:
        """Take over what was judged elsewhere."""
        for name, alarms in other.alarms.items():
            self.alarms.setdefault(name, []).extend(alarms)
            self.cpu_s[name] = self.cpu_s.get(name, 0.0) + other.cpu_s[name]
        self.tapes += other.tapes
        self.quotes += other.quotes
        for venue, span in other.quoted.items():
            self.extend(venue, span)

    def extend(self, venue: tuple[str, str], span: Span) -> None:
        """Note that there are quotes of a market from then till then."""
        known = self.quoted.get(venue, span)
        self.quoted[venue] = Span(min(known.start_us, span.start_us), max(known.end_us, span.end_us))


def judge(plan: Plan, truths: Sequence[Truth], *, progress: Progress) -> Judged:
    """Return what the contestants say about the recordings.

    Args:
        plan: what is to be judged.
        truths: labelled events, for those that learn from other ones.
        progress: is told how far it is.

    Raises:
        RecordingError: a recording cannot be read, or is empty.
        TapewatchError: a contestant cannot work with what there is.
    """
    judged = _shared_out(plan, progress) if plan.jobs > 1 else _judge_files(plan, progress)
    if not judged.tapes:
        raise RecordingError(", ".join(map(str, plan.recordings)), reason="there are no trades")
    if Baseline.LA_MORGIA in plan.contestants:
        started_s = time.process_time()
        judged.alarms[Baseline.LA_MORGIA] = la_morgia.alarms(judged.tapes, truths)
        judged.cpu_s[Baseline.LA_MORGIA] = time.process_time() - started_s
    return judged


class _Run(NamedTuple):
    name: str
    engine: EngineRun


def _judge_files(plan: Plan, progress: Progress) -> Judged:
    runs = [
        _Run(contestant.name, EngineRun(contestant))
        for contestant in plan.contestants
        if isinstance(contestant, Configuration)
    ]
    judged, tapes = Judged(cpu_s=dict.fromkeys((run.name for run in runs), 0.0)), Tapes()
    done = 0
    for silent, trades in pieces(map(TradeColumns.of, read(plan.recordings)), plan.forget_after_s):
        for symbol in silent:
            tapes.forget(symbol)
            for run in runs:
                run.engine.forget(symbol)
        if silent and tapes.is_silent:
            for run in runs:
                run.engine.forget_all()
        tapes.add(trades)
        for run in runs:
            started_s = time.process_time()
            run.engine.on_batch(trades)
            judged.cpu_s[run.name] += time.process_time() - started_s
        done += len(trades)
        progress(done, _UNKNOWN, _UNKNOWN)
    judged.tapes = tapes.tapes()
    _judge_quotes(plan, runs, judged, progress)
    judged.alarms = {run.name: run.engine.alarms for run in runs}
    for baseline in ALONE:
        if baseline in plan.contestants:
            started_s = time.process_time()
            judged.alarms[baseline] = [
                alarm for tape in judged.tapes for alarm in baseline_alarms(baseline, tape)
            ]
            judged.cpu_s[baseline] = time.process_time() - started_s
    return judged


def _judge_quotes(plan: Plan, runs: Sequence[_Run], judged: Judged, progress: Progress) -> None:
    """Let the engines of quotes judge what they read; it is separate from what trades tell."""
    if not any(run.engine.reads_quotes for run in runs):
        return
    trades = judged.trades
    for silent, quotes in pieces(read_quotes(quote_files(plan.recordings)), plan.forget_after_s):
        for number, venue in enumerate(quotes.venues):
            times_us = quotes.times_us[quotes.venue == number]
            if times_us.size:
                judged.extend(venue, Span(int(times_us.min()), int(times_us.max()) + 1))
        for run in runs:
            for symbol in silent:
                run.engine.forget_quotes(symbol)
            started_s = time.process_time()
            run.engine.on_quotes(quotes)
            judged.cpu_s[run.name] += time.process_time() - started_s
        judged.quotes += len(quotes)
        progress(trades + judged.quotes, _UNKNOWN, _UNKNOWN)


def pieces(batches: Iterator[Columns], forget_after_s: float) -> Iterator[tuple[list[str], Columns]]:
    """Yield trades or quotes, cut where a market was silent for too long, with the markets that begin anew.

    Args:
        batches: in order of time.
        forget_after_s: silence, in event time, after which a running detector has forgotten a market.
    """
    forget_after_us = round(forget_after_s * MICROSECONDS_PER_SECOND)
    traded_us: dict[str, int] = {}
    for trades in batches:
        cuts: dict[int, list[str]] = {0: []}
        symbols = np.array([symbol for _, symbol in trades.venues])[trades.venue]
        for symbol in dict.fromkeys(symbol for _, symbol in trades.venues):
            rows = np.flatnonzero(symbols == symbol)
            if not rows.size:
                # Columns may know more markets than they have rows of.
                continue
            times_us = np.maximum.accumulate(trades.times_us[rows])
            silence_us = np.diff(times_us, prepend=traded_us.get(symbol, times_us[0]))
            traded_us[symbol] = int(times_us[-1])
            for row in rows[silence_us > forget_after_us].tolist():
                cuts.setdefault(row, []).append(symbol)
        places = sorted(cuts)
        for begin, end in zip(places, [*places[1:], len(trades)], strict=True):
            yield cuts[begin], trades[begin:end]


def _shared_out(plan: Plan, progress: Progress) -> Judged:
    groups = _groups(plan.recordings)
    judged, done = Judged(), 0
    with ProcessPoolExecutor(plan.jobs, mp_context=get_context("spawn")) as pool:
        tasks = {
            pool.submit(_judge_group, plan, group): len(group)
            for group in sorted(
                groups.values(), key=lambda group: -sum(path.stat().st_size for path in group)
            )
        }
        progress(0, 0, len(plan.recordings))
        for task in as_completed(tasks):
            judged.add(task.result())
            done += tasks[task]
            progress(judged.trades, done, len(plan.recordings))
    judged.tapes.sort(key=lambda tape: (tape.exchange, tape.symbol))
    venues = [(tape.exchange, tape.symbol) for tape in judged.tapes]
    twice = {f"{symbol} on {exchange}" for exchange, symbol in venues if venues.count((exchange, symbol)) > 1}
    if twice:
        reason = f"{', '.join(sorted(twice))}: in files that begin with other markets; use --jobs 1"
        raise RecordingError(", ".join(map(str, plan.recordings)), reason=reason)
    return judged


def _groups(paths: Sequence[Path]) -> Mapping[str, list[Path]]:
    """Return the files by the market of their first trade."""
    groups: dict[str, list[Path]] = {}
    for path in paths:
        first = next(read([path], batch_trades=1), None)
        groups.setdefault(first[0].symbol if first else "", []).append(path)
    return groups


def _judge_group(plan: Plan, paths: list[Path]) -> Judged:
    one = Plan(
        recordings=tuple(paths), contestants=plan.contestants, forget_after_s=plan.forget_after_s, jobs=1
    )
    return _judge_files(one, lambda _done, _files, _of: None)
