"""What the engine alone costs per trade: whole, with few and many markets, and stage by stage.

Trades come as columns, as the runner brings them; what it costs to make columns of decoded trades is a row of
its own. Before the clock runs, every market gets enough trades to fill the windows of its detectors, spread
over the five minutes before: what is measured is a worker that has been running for a while. Each round is
the same tape at later times. The rounds of all configurations are interleaved. CPU time is that of the
process.

Two orders of a tape: `mixed` by time, as if all markets came through one partition that is read as it grows;
and `by partition`, as a consumer gets what it has to catch up with: of 12 partitions one after the other, so
many trades as fit a fetch.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks import pictures
from benchmarks.report import Row, Table, median_rows, show_tables
from benchmarks.trades import market_trades
from detector.batch import sort_by_market
from detector.budget import Budget
from detector.catalogue import CATALOGUE
from detector.combined import Combined
from detector.engine import Engine, warm_up_kernels
from detector.params import EngineParams, make_calibration, make_detectors, make_features
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Trade
from shared.pictures import check_path
from shared.stream.columns import TradeColumns
from shared.stream.runner import RunnerParams

if TYPE_CHECKING:
    from detector.online.protocol import Stage

_WARM_UP_ROUNDS: Final = 1
_RATE_PER_S: Final = 20_000.0
_ALL: Final = tuple(entry.name for entry in CATALOGUE)
_PATTERNS: Final = tuple(entry.name for entry in CATALOGUE if entry.family == "pattern")
_MEMORY_MARKETS: Final = 64
_BATCHES: Final = (500, 1_000, 2_000)
# As many as the runner takes at once, unless it is told otherwise.
_STAGES_BATCH: Final = RunnerParams().batch_records
# Trades of each market before the clock runs, and over how long: more than any window of a detector holds.
_FILL: Final = 2_200
_FILL_S: Final = 300
_FILL_BATCH: Final = 20_000
_PARTITIONS: Final = 12
_FETCH: Final = 3_000


def run(*, trades: int, markets: int, rounds: int, plot: Path | None, write: Path | None) -> None:
    """Measure and print.

    Args:
        trades: in one round.
        markets: with activity as in `market_trades`.
        rounds: that count; medians are shown.
        plot: picture to write, of the stages.
        write: Markdown file whose section is replaced by the result.
    """
    if plot is not None:
        check_path(plot)
    warm_up_kernels()
    many = list(market_trades(trades, markets=markets, rate_per_s=_RATE_PER_S))
    columns = TradeColumns.of(many)
    one = TradeColumns.of(list(market_trades(trades, markets=1, rate_per_s=_RATE_PER_S / 100)))
    tapes = {
        f"{markets:,} markets mixed": columns,
        f"{markets:,} markets by partition": _by_partition(columns),
        "1 market": one,
    }
    wholes = [
        _Whole(name=f"{label}, {order}, batches of {size:,}", columns=tape, enabled=enabled, size=size)
        for label, enabled in (("all detectors", _ALL), ("z-score only", ("zscore",)))
        for order, tape in tapes.items()
        for size in _BATCHES
    ]
    stages = _Stages(many, size=_STAGES_BATCH)
    whole_rounds, stage_rounds = [], []
    for number in range(_WARM_UP_ROUNDS + rounds):
        print(f"round {number + 1} of {_WARM_UP_ROUNDS + rounds}", file=sys.stderr)
        whole_rows, stage_rows = [whole.round(number) for whole in wholes], stages.round(number)
        if number >= _WARM_UP_ROUNDS:
            whole_rounds.append(whole_rows)
            stage_rounds.append(stage_rows)
    if plot is not None:
        title = f"stage by stage, {markets:,} markets, batches of {_STAGES_BATCH:,}"
        stage_medians = median_rows(stage_rounds)
        unit = "CPU per trade, in microseconds"
        pictures.bars(plot, stage_medians, figure="cpu_us_per_trade", title=title, unit=unit)
    show_tables(
        "engine",
        [
            Table(title=f"the whole engine, {trades:,} trades a round", rows=median_rows(whole_rounds)),
            Table(
                title=f"stage by stage, all detectors, {markets:,} markets, batches of {_STAGES_BATCH:,}",
                rows=median_rows(stage_rounds),
                note="each stage is timed apart, so that the sum is a little more than the whole; the last "
                "row adds up rows above it: the patterns with their calibration",
            ),
            Table(
                title=f"memory, young markets, {_MEMORY_MARKETS} of them",
                rows=_memory(),
                note="arrays by slot grow by doubling, so up to twice as much is held between two sizes",
            ),
        ],
        write=write,
    )


def _later(columns: TradeColumns, number: int) -> TradeColumns:
    """Return the tape at the times of a later round."""
    span_us = int(columns.times_us.max() - columns.times_us.min()) + 1
    return TradeColumns(
        venues=columns.venues,
        venue=columns.venue,
        trade_ids=columns.trade_ids,
        prices=columns.prices,
        quantities=columns.quantities,
        sells=columns.sells,
        times_us=columns.times_us + number * span_us,
        received_us=columns.received_us + number * span_us,
    )


def _by_partition(columns: TradeColumns) -> TradeColumns:
    """Return a tape as it comes out of several partitions that hold more than is read at once."""
    partition = np.arange(len(columns.venues))[columns.venue] % _PARTITIONS
    places = [np.flatnonzero(partition == number) for number in range(_PARTITIONS)]
    fetches = range(0, max(map(len, places)), _FETCH)
    order = [place[start : start + _FETCH] for start in fetches for place in places]
    return columns.take(np.concatenate(order))


def _before(columns: TradeColumns) -> TradeColumns:
    """Return trades that fill the windows of all markets of a tape, from the time before it."""
    random = np.random.default_rng(1)
    markets = len(columns.venues)
    n = markets * _FILL
    venue = np.arange(n) % markets
    first = np.array([columns.prices[columns.venue == number][0] for number in range(markets)])
    start_us = int(columns.times_us.min()) - _FILL_S * MICROSECONDS_PER_SECOND
    times_us = start_us + np.arange(n) * (_FILL_S * MICROSECONDS_PER_SECOND) // n
    return TradeColumns(
        venues=columns.venues,
        venue=venue,
        trade_ids=np.arange(n) // markets,
        prices=first[venue] * np.exp(random.normal(0.0, 1e-4, n)),
        quantities=random.lognormal(-1.0, 1.5, n),
        sells=random.integers(0, 2, n),
        times_us=times_us,
        received_us=times_us,
    )


def _batches(columns: TradeColumns, size: int) -> list[TradeColumns]:
    return [columns[start : start + size] for start in range(0, len(columns), size)]


def _memory() -> list[Row]:
    """Return what each part holds per market, with as many markets as its arrays have room for."""
    engine = Engine(EngineParams(enabled=_ALL))
    for number in range(_MEMORY_MARKETS):
        engine.on_batch([Trade("binance", f"M{number}-X", 1, 1.0, 1.0, False, number, number)])
    parts = {name: _array_bytes(part, set()) for name, part in engine._stages.items()}  # noqa: SLF001 - nobody else asks
    return [
        Row(name=name, values={"kb_per_market": size / _MEMORY_MARKETS / 1e3}) for name, size in parts.items()
    ]


def _array_bytes(thing: object, seen: set[int]) -> int:
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        return thing.nbytes
    if isinstance(thing, list | tuple):
        return sum(_array_bytes(part, seen) for part in thing)
    if isinstance(thing, dict):
        return sum(_array_bytes(part, seen) for part in thing.values())
    is_ours = type(thing).__module__.startswith("detector") and hasattr(thing, "__dict__")
    return _array_bytes(vars(thing), seen) if is_ours else 0


def _calibration_of(name: str) -> str:
    return f"calibration of {name}"


class _Whole:
    """One configuration of the engine."""

    def __init__(self, *, name: str, columns: TradeColumns, enabled: tuple[str, ...], size: int) -> None:
        print(f"filling the windows of: {name}", file=sys.stderr)
        self._name, self._size, self._columns = name, size, columns
        self._engine = Engine(EngineParams(enabled=enabled))
        for batch in _batches(_before(columns), _FILL_BATCH):
            self._engine.on_batch(batch)

    def round(self, number: int) -> Row:
        batches = _batches(_later(self._columns, number), self._size)
        started_s = time.process_time()
        events = sum(len(self._engine.on_batch(batch)) for batch in batches)
        spent_s = time.process_time() - started_s
        n = len(self._columns)
        return Row(
            name=self._name,
            values={
                "cpu_us_per_trade": spent_s / n * 1e6,
                "trades_per_s_and_core": n / spent_s,
                "events": events,
            },
        )


class _Stages:
    """The engine's stages, called as the engine calls them, with a clock around each."""

    def __init__(self, tape: Sequence[Trade], *, size: int) -> None:
        params = EngineParams(enabled=_ALL)
        self._trades = [tape[start : start + size] for start in range(0, len(tape), size)]
        self._columns, self._size = TradeColumns.of(tape), size
        self._features = make_features(params)
        self._budget = Budget(per_day=params.budget_per_day)
        self._detectors = make_detectors(params, features=self._features.names)
        self._calibrations = {
            name: make_calibration(params, scale=detector.scale) for name, detector in self._detectors.items()
        }
        self._slots: dict[tuple[str, str], int] = {}
        self._spent_ns: dict[str, int] = {}
        for batch in _batches(_before(self._columns), _FILL_BATCH):
            self._judge(batch)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started_ns = time.thread_time_ns()
        yield
        spent_ns = time.thread_time_ns() - started_ns
        self._spent_ns[stage] = self._spent_ns.get(stage, 0) + spent_ns

    def _slot_of(self, venue: tuple[str, str]) -> int:
        if venue not in self._slots:
            slot = self._slots[venue] = len(self._slots)
            stages: list[Stage] = [self._features, self._budget]
            for stage in (*stages, *self._detectors.values(), *self._calibrations.values()):
                stage.open(slot, identity="/".join(venue))
        return self._slots[venue]

    def round(self, number: int) -> list[Row]:
        self._spent_ns.clear()
        for decoded, batch in zip(
            self._trades, _batches(_later(self._columns, number), self._size), strict=True
        ):
            with self._timed("columns of decoded trades"):
                TradeColumns.of(decoded)
            self._judge(batch)
        n = len(self._columns)
        patterns = [name for name in self._detectors if name in _PATTERNS]
        together_ns = sum(self._spent_ns[name] + self._spent_ns[_calibration_of(name)] for name in patterns)
        return [
            Row(name=name, values={"cpu_us_per_trade": spent_ns / n / 1e3})
            for name, spent_ns in [*self._spent_ns.items(), ("patterns together", together_ns)]
        ]

    def _judge(self, columns: TradeColumns) -> None:
        with self._timed("check and sort by market"):
            batch = sort_by_market(columns, self._slot_of)
        with self._timed("features of 4 windows"):
            rows, clock_us = self._features.update(batch.runs, batch.tape)
        with self._timed("alert budget"):
            self._budget.count(batch.runs, clock_us, rows[:, self._features.names.index("notional")])
        rarities = {}
        for name, detector in self._detectors.items():
            with self._timed(name):
                scored = detector.score_learn(batch.runs, rows)
            with self._timed(_calibration_of(name)):
                calibrated = self._calibrations[name].calibrate(batch.runs, scored.scores, clock_us)
            rarities[name] = calibrated.rarities
        with self._timed("combine"):
            combined = Combined.rarities(rarities["zscore"], rarities["forest"])
            Combined.scores(combined)
        assert np.shape(combined) == np.shape(clock_us)
