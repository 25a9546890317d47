"""Spoofing and layering on simulated quotes: what is found, by strength, and false alarms on quiet ones.

The engine of quotes learns quiet markets; what it says on them is false. Then, from where it stands, each
trial plays ten minutes of the same markets with other random numbers, in which one event begins after five,
and is forgotten again: so no event is learned, and all trials have the same rate of false alarms. An event
is found when its market is told between its labelled start and ten seconds after its end.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from benchmarks.report import Row, Table, show_tables
from detector.evaluation.intervals import count_interval, share_interval
from detector.quotes.engine import QuoteEngine, QuoteParams
from shared.clock import MICROSECONDS_PER_SECOND
from shared.codec import decoder, encode
from shared.events import Anomaly, EpisodePhase, Quote
from shared.stream.quotes import QuoteColumns
from shared.stream.step import State
from simulator.crowd import MarketParams
from simulator.scenarios import ScenarioParams, Scheduled
from simulator.source import Injected
from simulator.tapes import stretches

_CALM: Final = ScenarioParams(whales_per_hour=0.0, crashes_per_hour=0.0)
_QUIET: Final = MarketParams(
    symbols=("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"), rate=5.0, has_quotes=True, scenarios=_CALM, seed=11
)
_TRIAL_S: Final = 600.0
_EVENT_AT_S: Final = 300.0
_AFTER_US: Final = 10 * MICROSECONDS_PER_SECOND
_DECODED: Final = 5_000


class Learned(NamedTuple):
    """What quiet markets gave.

    Attributes:
        states: per market.
        alarms: episodes that were opened.
        quotes: how many there were.
        cpu_s: that judging them took, reading apart.
        sample: some of them.
    """

    states: dict[str, State]
    alarms: int
    quotes: int
    cpu_s: float
    sample: QuoteColumns


def run(*, days: float, trials: int, strengths: Sequence[float], rate: float, write: Path | None) -> None:
    """Measure and print.

    Args:
        days: of each quiet market.
        rate: trades a second and market.
        trials: per market and strength.
        strengths: in depths of ten levels.
        write: Markdown file whose section is replaced by the result.
    """
    quiet_markets = replace(_QUIET, rate=rate, duration_s=days * 86_400.0)
    learned = learn(quiet_markets)
    start_us = _QUIET.start_us + round(days * 86_400.0) * MICROSECONDS_PER_SECOND
    played = replace(quiet_markets, start_us=start_us, duration_s=_TRIAL_S)
    rows = []
    for name in ("spoofing", "layering"):
        for strength in strengths:
            rows.append(_curve(name, strength, learned, markets=played, trials=trials))
            _progress(f"{name} of {strength:g}")
    market_days = days * len(_QUIET.symbols)
    low, high = count_interval(learned.alarms)
    quiet = {
        "market_days": market_days,
        "quotes": float(learned.quotes),
        "false_alarms": float(learned.alarms),
        "per_market_and_day": learned.alarms / market_days,
        "from": low / market_days,
        "to": high / market_days,
        "budget": QuoteParams().budget_per_day,
    }
    cost = {
        "engine_cpu_us_per_quote": learned.cpu_s / learned.quotes * 1e6,
        "decoding_cpu_us_per_quote": _decoding_us(learned.sample),
    }
    note = (
        "strength: times what usually stands on the ten best levels of a side; intervals are Wilson's, 95 %"
    )
    tables = [
        Table(title="recall by strength, at the false alarms below", rows=rows, note=note),
        Table(title="quiet simulated markets", rows=[Row(name="all", values=quiet)]),
        Table(title="cost, depth of ten levels", rows=[Row(name="all", values=cost)]),
    ]
    show_tables("spoofing", tables, write=write)


def learn(params: MarketParams) -> Learned:
    """Return what the engine makes of quiet markets."""
    engine, opened = QuoteEngine(QuoteParams()), 0
    engine.warm_up()
    quotes, cpu_s = 0, 0.0
    sample: QuoteColumns | None = None
    for part in _quotes(params):
        before_s = time.process_time()
        events = engine.on_batch(part)
        cpu_s += time.process_time() - before_s
        quotes += len(part)
        opened += len(_opened(events))
        sample = sample or part[:_DECODED]
        _progress(f"quiet, {quotes:,} quotes")
    assert sample is not None, "there are no quotes"
    return Learned({name: engine.snapshot(name) for name in engine.symbols()}, opened, quotes, cpu_s, sample)


def _curve(name: str, strength: float, learned: Learned, *, markets: MarketParams, trials: int) -> Row:
    delays: list[float] = []
    count = 0
    for trial in range(trials):
        for truth, found in _played(name, strength, learned, markets=replace(markets, seed=1_000 + trial)):
            count += 1
            if found is not None:
                delays.append((found.event_time_us - truth.start_us) / MICROSECONDS_PER_SECOND)
    low, high = share_interval(len(delays), count)
    values = {
        "events": float(count),
        "recall": len(delays) / count,
        "from": low,
        "to": high,
        "delay_s_median": float(np.median(delays)) if delays else np.nan,
        "delay_s_p90": float(np.quantile(delays, 0.9)) if delays else np.nan,
    }
    return Row(name=f"{name}, {strength:g}", values=values)


def _played(
    name: str, strength: float, learned: Learned, *, markets: MarketParams
) -> Iterator[tuple[Injected, Anomaly | None]]:
    engine = QuoteEngine(QuoteParams())
    for market, state in learned.states.items():
        engine.restore(market, state)
    events = tuple(Scheduled(name, symbol, _EVENT_AT_S, strength) for symbol in markets.symbols)
    params = replace(markets, scenarios=replace(_CALM, scheduled=events))
    for part in stretches(params):
        assert part.quotes is not None, "there are no quotes"
        # Other books than those that were learned: nothing follows from the difference.
        firsts = np.unique(part.quotes.venue, return_index=True)[1]
        part.quotes.is_continuous[firsts] = False
        opened = _opened(engine.on_batch(part.quotes))
        for truth in part.truth:
            span = range(truth.start_us, truth.end_us + _AFTER_US)
            mine = (each for each in opened if each.symbol == truth.market and each.event_time_us in span)
            yield truth, next(mine, None)


def _quotes(params: MarketParams) -> Iterator[QuoteColumns]:
    for part in stretches(params):
        assert part.quotes is not None, "there are no quotes"
        yield part.quotes


def _opened(events: Sequence[object]) -> list[Anomaly]:
    anomalies = [event for event in events if isinstance(event, Anomaly)]
    return [each for each in anomalies if each.episode.phase is EpisodePhase.OPENED]


def _decoding_us(quotes: QuoteColumns) -> float:
    """Return what a quote costs from the bytes of its record to columns."""
    values = [encode(quote) for quote in quotes.events()]
    decode = decoder(Quote).decode
    taken = []
    for _ in range(5):
        before_s = time.process_time()
        QuoteColumns.of_quotes([decode(value) for value in values])
        taken.append(time.process_time() - before_s)
    return min(taken) / len(values) * 1e6


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text}    ")
