"""`python -m detector`: judge the trades of the topic and publish anomalies, until stopped.

`python -m detector explain RECORDING --market M --at TIME` says why something was, or was not, an anomaly.
`python -m detector evaluate RECORDING... --truth FILE --report DIR` says how good the detectors are on it.
`python -m detector find RECORDING... --to DIR` writes what the detectors find as a recording of anomalies.
`python -m detector config show|set|unset` shows and changes settings per market, class or for all, while
detectors run.
`python -m detector cross` is a worker of its own, one for all markets: it judges what concerns several.
`python -m detector quotes` is another one: it judges quotes, where PRODUCER_QUOTES asks for them.

To scale out, start more of them with different `--instance` numbers; Kafka shares the partitions. The number
makes the transactional id, so a restarted process fences what a killed one left open.
"""

import getpass
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer
from rich.console import Console

import config
from detector import explain as explaining
from detector import settings_topic
from detector.catalogue import CATALOGUE
from detector.cross.engine import CrossEngine
from detector.cross.params import ArbitrageParams, CrossParams, MarketMoveParams
from detector.engine import warm_up_kernels
from detector.explain_source import trades_of, with_progress
from detector.market_engines import MarketEngines
from detector.params import EngineParams
from detector.patterns import pump_scorer
from detector.quotes.engine import QuoteEngine, QuoteParams
from detector.settings import config_faults, parsed
from detector.ticks import TickParams
from shared import logs, metrics, topics
from shared.allocator import keep_freed_memory
from shared.clock import MICROSECONDS_PER_SECOND, Clock, SystemClock
from shared.errors import ConfigError, ModelRefusedError, RecordingError, TapewatchError
from shared.events import SettingValue, Trade
from shared.recordings.markets import market_of
from shared.status import StatusReporter
from shared.stream import fast_intake
from shared.stream.eviction import EvictionPolicy
from shared.stream.intake import TickIntake
from shared.stream.kafka import KafkaBroker
from shared.stream.overload import OverloadPolicy
from shared.stream.quotes import QuoteIntake
from shared.stream.report import report_runner
from shared.stream.runner import Runner, RunnerParams
from shared.stream.settings_feed import SettingsFeed
from shared.stream.snapshot_writer import SnapshotPolicy

if TYPE_CHECKING:
    from detector.evaluation.judging import Contestant

_WORKER: Final = "detector"
_CROSS: Final = "cross"
_QUOTES: Final = "quotes"
MakeRunner: TypeAlias = Callable[[config.Settings, KafkaBroker, RunnerParams, Clock, metrics.Health], Runner]
_TIME_FORMATS: Final = [
    *("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M"),
    *("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M"),
]


def engine_params(settings: config.Settings) -> EngineParams:
    """Return the engine's parameters from the settings.

    Raises:
        ConfigError: a detector's name is unknown.
    """
    scorer = settings.pump_dump_scorer
    try:
        return EngineParams(
            pump_scorer=pump_scorer.load(Path(scorer)) if scorer else None,
            pump_confirm_at=settings.pump_dump_confirm_at,
            pump_veto_below=settings.pump_dump_veto_below,
            enabled=settings.detector_enabled,
            shadow=settings.detector_shadow,
            budget_per_day=settings.detector_budget_per_day,
            min_move_pct=settings.detector_min_move_pct,
            zscore_window_trades=settings.detector_zscore_window_trades,
            zscore_robust=settings.detector_zscore_robust,
            zscore_seasonal=settings.detector_zscore_seasonal,
            forest_trees=settings.detector_forest_trees,
            forest_window_trades=settings.detector_forest_window_trades,
            warm_up_trades=settings.detector_warm_up_trades,
            flash_crash_drop_pct=settings.detector_flash_crash_drop_pct,
            flash_crash_window_s=settings.detector_flash_crash_window_s,
            flash_crash_min_drop_pct=settings.detector_flash_crash_min_drop_pct,
            whale_min_notional=settings.detector_whale_min_notional,
            whale_quiet_s=settings.detector_whale_quiet_s,
            episode_quiet_s=settings.detector_episode_quiet_s,
            parole_s=settings.detector_parole_s,
            seed=settings.detector_seed,
            ticks=TickParams(
                interval_s=settings.detector_tick_interval_s, move_bps=settings.detector_tick_move_bps
            ),
        )
    except ModelRefusedError as error:
        raise ConfigError([f"PUMP_DUMP_SCORER: {error}"]) from error
    except ValueError as error:
        raise ConfigError([f"DETECTOR_ENABLED, DETECTOR_SHADOW: {error}"]) from error


def cross_params(settings: config.Settings) -> CrossParams:
    """Return the cross-market step's parameters from the settings.

    Raises:
        ConfigError: a detector's name is unknown.
    """
    arbitrage = ArbitrageParams(
        min_net_bps=settings.detector_arbitrage_min_net_bps,
        fees_bps=settings.detector_arbitrage_fees_bps,
        stale_s=settings.detector_arbitrage_stale_s,
        persist_s=settings.detector_arbitrage_persist_s,
        same_quotes=settings.detector_arbitrage_same_quotes,
    )
    try:
        return CrossParams(
            enabled=settings.detector_cross_enabled,
            lateness_s=settings.detector_cross_lateness_s,
            arbitrage=arbitrage,
            market_move=MarketMoveParams(least_pct=settings.detector_market_move_pct),
        )
    except ValueError as error:
        raise ConfigError([f"DETECTOR_CROSS_ENABLED: {error}"]) from error


def quote_params(settings: config.Settings) -> QuoteParams:
    """Return the parameters of the engine of quotes from the settings."""
    return QuoteParams(
        budget_per_day=settings.detector_budget_per_day,
        episode_quiet_s=settings.detector_episode_quiet_s,
        parole_s=settings.detector_parole_s,
    )


app = typer.Typer(help=__doc__, add_completion=False, pretty_exceptions_enable=False)
config_app = typer.Typer(help="Show and change settings per market, while detectors run.")
app.add_typer(config_app, name="config")

Market: TypeAlias = Annotated[str | None, typer.Option("--market", help="BASE-QUOTE")]
ClassName: TypeAlias = Annotated[str | None, typer.Option("--class", help="name of a class of markets")]
IsDefault: TypeAlias = Annotated[bool, typer.Option("--default", help="for all markets")]
Comment: TypeAlias = Annotated[str, typer.Option(help="why")]


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    instance: Annotated[int, typer.Option(min=1, help="number of this process on this machine")] = 1,
) -> None:
    """Judge the trades of the topic until stopped."""
    if context.invoked_subcommand is None:
        _work(_WORKER, _detector, instance=instance)


@app.command()
def cross(
    instance: Annotated[int, typer.Option(min=1, help="number of this process on this machine")] = 1,
) -> None:
    """Judge all markets together until stopped; a second one stands by, as there is one partition."""
    _work(_CROSS, _cross, instance=instance)


@app.command()
def quotes(
    instance: Annotated[int, typer.Option(min=1, help="number of this process on this machine")] = 1,
) -> None:
    """Judge the quotes of the topic until stopped: spoofing and layering."""
    _work(_QUOTES, _quotes, instance=instance)


def _work(worker: str, make: MakeRunner, *, instance: int) -> None:
    settings = config.load_or_exit()
    logs.configure(worker=worker, level=settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        _run(settings, worker, make, instance=f"{socket.gethostname()}-{instance}", stop=stop)
    except TapewatchError as error:
        logs.get_logger().error("detector_failed", error=str(error), kind=type(error).__name__)
        print(error, file=sys.stderr)  # noqa: T201 - a sentence for whoever started us
        raise SystemExit(1) from error


@app.command()
def explain(
    recordings: Annotated[list[Path], typer.Argument(exists=True, help="in any form that can be replayed")],
    market: Annotated[str, typer.Option(help="BASE-QUOTE")],
    at: Annotated[datetime, typer.Option(formats=_TIME_FORMATS, help="event time, UTC")],
    exchange: Annotated[str | None, typer.Option(help="the venue, where there are several")] = None,
    plot: Annotated[Path | None, typer.Option(help="picture to write: .html or .png")] = None,
) -> None:
    """Say why something was, or was not, an anomaly at a moment of a recording, by the present settings."""
    from detector import explain_picture, explain_view  # noqa: PLC0415 - pictures would delay every start
    from shared import pictures  # noqa: PLC0415 - as above

    params = replace(engine_params(config.load_or_exit()), enabled=tuple(entry.name for entry in CATALOGUE))
    at_us = round(at.replace(tzinfo=UTC).timestamp() * MICROSECONDS_PER_SECOND)
    try:
        if plot is not None:
            pictures.check_path(plot)
        batches = trades_of(recordings, market=market_of(market), exchange=exchange, at_us=at_us)
        found = explaining.explain(with_progress(batches, until_us=at_us), params, at_us=at_us)
        if found is None:
            raise RecordingError(", ".join(map(str, recordings)), reason=f"no trade of {market} until {at}")
        # A pipe has no width: sentences need room all the same.
        Console(width=None if sys.stdout.isatty() else 180).print(explain_view.tables(found, at_us=at_us))
        if plot is not None:
            pictures.write(explain_picture.figure(found), plot)
    except TapewatchError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a sentence for whoever started us
        raise SystemExit(1) from error


@app.command()
def find(
    recordings: Annotated[list[Path], typer.Argument(exists=True, help="in any form that can be replayed")],
    to: Annotated[Path, typer.Option(help="folder for the recording of anomalies")],
) -> None:
    """Write what the detectors find in recordings, by the present settings."""
    from detector import find as finding  # noqa: PLC0415 - the worker needs none of it
    from detector.evaluation import progress  # noqa: PLC0415 - as above
    from shared.recordings import read  # noqa: PLC0415 - as above

    with _sentences(), progress.shown() as tell:
        settings = config.load()

        def counted() -> Iterator[list[Trade]]:
            done = 0
            for trades in read(recordings):
                yield trades
                done += len(trades)
                tell(done, -1, -1)

        found = finding.anomalies(counted(), params=engine_params(settings), cross=cross_params(settings))
        count = finding.write(found, to)
    print(f"{count} anomalies in {to}")  # noqa: T201 - the answer to a command


@app.command()
def evaluate(
    recordings: Annotated[list[Path], typer.Argument(exists=True, help="in any form that can be replayed")],
    truth: Annotated[list[Path], typer.Option(exists=True, help="labelled events: docs/patterns.md")],
    report: Annotated[Path, typer.Option(help="folder for report.html and report.json")],
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SETTINGS|BASELINE",
            help="compare with other settings (`'budget_per_day=2 min_move_pct=1'`, or a file like "
            "config.yaml), or with zscore3, percent, refit_forest or la_morgia; may come several times",
        ),
    ] = None,
    kind: Annotated[list[str] | None, typer.Option(help="judge only these; all labelled by default")] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND.NAME=VALUE", help="early_s, late_s, to_end, after_s or warm_up_s of a kind"
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(min=1, help="processes, each with some of the markets; what concerns several needs 1"),
    ] = 1,
    pictures: Annotated[int, typer.Option(min=0, help="of hits, misses, false alarms, each, by kind")] = 24,
) -> None:
    """Say how good the detectors are on recordings with labelled events, by the present settings."""
    from detector.evaluation import command, progress  # noqa: PLC0415 - pictures would delay every start

    with _sentences():
        settings = config.load()
        asked = command.Asked(
            recordings=tuple(recordings),
            truth=tuple(truth),
            contestants=(
                _configuration("settings", settings),
                *(_contestant(text) for text in against or ()),
            ),
            kinds=tuple(kind or ()),
            rules=tuple(rule or ()),
            forget_after_s=settings.detector_forget_after_h * 3_600,
            jobs=jobs,
            pictures=pictures,
            words=tuple(sys.argv[1:]),
        )
        with progress.shown() as tell:
            found = command.evaluate(asked, report, progress=tell)
    Console(width=None if sys.stdout.isatty() else 180).print(found)


def _contestant(text: str) -> "Contestant":
    from detector.evaluation import command  # noqa: PLC0415 - as in `evaluate`

    named = command.baseline(text)
    if named is not None:
        return named
    path = Path(text)
    values = config.read_settings(path) if path.is_file() else command.assignments(text)
    return _configuration(text, config.load(overrides=values))


def _configuration(name: str, settings: config.Settings) -> "Contestant":
    from detector.evaluation.contestants import Configuration  # noqa: PLC0415 - as in `evaluate`

    return Configuration(
        name=name,
        params=engine_params(settings),
        cross=cross_params(settings),
        quotes=quote_params(settings),
    )


@config_app.command("show")
def show_settings(market: Market = None) -> None:
    """Show what a market is judged by and where each value comes from; without one, what is set for whom."""
    with _sentences():
        settings = config.load()
        configs = settings_topic.read(_broker(settings))
        params = engine_params(settings)
        table = (
            settings_topic.market_table(params, configs, market)
            if market
            else settings_topic.scopes_table(configs)
        )
    Console(width=None if sys.stdout.isatty() else 180).print(table)


@config_app.command("set")
def set_settings(
    assignments: Annotated[list[str], typer.Argument(metavar="NAME=VALUE...")],
    market: Market = None,
    class_name: ClassName = None,
    is_default: IsDefault = False,
    markets: Annotated[str, typer.Option(help="of the class: names or patterns (*-BTC), with commas")] = "",
    comment: Comment = "",
) -> None:
    """Set settings for a market, a class of markets, or all."""
    with _sentences():
        scope = settings_topic.scope_of(market=market, class_name=class_name, is_default=is_default)
        values = parsed(assignments)
        names = [name for part in markets.split(",") if (name := part.strip())]
        _change(scope, comment, values=values, markets=names)


@config_app.command("unset")
def unset_settings(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...")] = None,
    market: Market = None,
    class_name: ClassName = None,
    is_default: IsDefault = False,
    comment: Comment = "",
) -> None:
    """Leave settings to the wider scopes again; without names, all of a market, a class or the default."""
    with _sentences():
        scope = settings_topic.scope_of(market=market, class_name=class_name, is_default=is_default)
        _change(scope, comment, without=names)


def _change(
    scope: str,
    comment: str,
    *,
    values: dict[str, SettingValue] | None = None,
    without: list[str] | None = None,
    markets: Sequence[str] = (),
) -> None:
    broker = _broker(config.load())
    configs = settings_topic.read(broker)
    if values is None and not without:
        without = [name for known in configs if known.scope == scope for name in known.settings]
    signature = settings_topic.Signature(
        time_us=SystemClock().now_us(), author=getpass.getuser(), comment=comment
    )
    changed = settings_topic.with_changes(
        configs, scope, signature, values=values, without=without or (), markets=markets
    )
    settings_topic.publish(broker, changed)
    print(f"{scope}: version {changed.version}")  # noqa: T201 - the answer to a command


def _broker(settings: config.Settings) -> KafkaBroker:
    broker = KafkaBroker(config.kafka_params(settings))
    broker.ensure_topics()
    return broker


@contextmanager
def _sentences() -> Iterator[None]:
    """Tell errors in their own words, and fail."""
    try:
        yield
    except (TapewatchError, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - a sentence for whoever started us
        raise SystemExit(1) from error


def _run(
    settings: config.Settings, worker: str, make: MakeRunner, *, instance: str, stop: threading.Event
) -> None:
    keep_freed_memory()
    clock = SystemClock()
    health = metrics.Health(clock)
    metrics.serve(host=settings.metrics_host, port=settings.metrics_port, health=health)
    broker = KafkaBroker(config.kafka_params(settings))
    broker.ensure_topics()
    params = RunnerParams(
        group=worker,
        instance=instance,
        guarantee=settings.processing_guarantee,
        snapshots=SnapshotPolicy(interval_s=settings.detector_snapshot_interval_s),
        eviction=EvictionPolicy(forget_after_s=settings.detector_forget_after_h * 3_600),
    )
    runner = make(settings, broker, params, clock, health)
    status = StatusReporter(broker.producer(), worker=worker, instance=instance, clock=clock)
    runner.run(stop, after_turn=lambda: report_runner(status, runner))


def _detector(
    settings: config.Settings, broker: KafkaBroker, params: RunnerParams, clock: Clock, health: metrics.Health
) -> Runner:
    engine = engine_params(settings)
    warm_up_kernels(engine)
    fast_intake.warm_up()
    return Runner(
        broker=broker,
        step=MarketEngines(engine),
        params=replace(params, overload=OverloadPolicy(shed_above_lag_s=settings.detector_shed_above_lag_s)),
        clock=clock,
        health=health,
        intake=fast_intake.chosen(settings.kafka_fast_reads),
        settings=SettingsFeed(broker, check=config_faults),
    )


def _cross(
    settings: config.Settings, broker: KafkaBroker, params: RunnerParams, clock: Clock, health: metrics.Health
) -> Runner:
    return Runner(
        broker=broker,
        step=CrossEngine(cross_params(settings)),
        params=replace(params, source=topics.MARKET_TICKS, kept_in=topics.CROSS_SNAPSHOTS),
        clock=clock,
        health=health,
        intake=TickIntake,
    )


def _quotes(
    settings: config.Settings, broker: KafkaBroker, params: RunnerParams, clock: Clock, health: metrics.Health
) -> Runner:
    step = QuoteEngine(quote_params(settings))
    step.warm_up()
    return Runner(
        broker=broker,
        step=step,
        params=replace(params, source=topics.QUOTES, kept_in=topics.QUOTE_SNAPSHOTS),
        clock=clock,
        health=health,
        intake=QuoteIntake,
    )


if __name__ == "__main__":
    app()
