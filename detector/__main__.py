"""`python -m detector`: judge the trades of the topic and publish anomalies, until stopped.

To scale out, start more of them with different `--instance` numbers; Kafka shares the partitions. The number
makes the transactional id, so a restarted process fences what a killed one left open.
"""

import signal
import socket
import sys
import threading
from typing import Annotated

import typer

import config
from detector.engine import Engine, warm_up_kernels
from detector.params import EngineParams
from shared import logs, metrics
from shared.clock import SystemClock
from shared.errors import ConfigError, TapewatchError
from shared.status import StatusReporter
from shared.stream import fast_intake
from shared.stream.eviction import EvictionPolicy
from shared.stream.kafka import KafkaBroker
from shared.stream.overload import OverloadPolicy
from shared.stream.report import report_runner
from shared.stream.runner import Runner, RunnerParams
from shared.stream.snapshot_writer import SnapshotPolicy

_WORKER = "detector"


def engine_params(settings: config.Settings) -> EngineParams:
    """Return the engine's parameters from the settings.

    Raises:
        ConfigError: a detector's name is unknown.
    """
    try:
        return EngineParams(
            enabled=settings.detector_enabled,
            budget_per_day=settings.detector_budget_per_day,
            min_move_pct=settings.detector_min_move_pct,
            zscore_window_trades=settings.detector_zscore_window_trades,
            forest_trees=settings.detector_forest_trees,
            forest_window_trades=settings.detector_forest_window_trades,
            warm_up_trades=settings.detector_warm_up_trades,
            flash_crash_drop_pct=settings.detector_flash_crash_drop_pct,
            flash_crash_window_s=settings.detector_flash_crash_window_s,
            whale_min_notional=settings.detector_whale_min_notional,
            episode_quiet_s=settings.detector_episode_quiet_s,
            parole_s=settings.detector_parole_s,
            seed=settings.detector_seed,
        )
    except ValueError as error:
        raise ConfigError([f"DETECTOR_ENABLED: {error}"]) from error


def main(
    instance: Annotated[int, typer.Option(min=1, help="number of this process on this machine")] = 1,
) -> None:
    """Judge the trades of the topic until stopped."""
    settings = config.load_or_exit()
    logs.configure(worker=_WORKER, level=settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        _run(settings, instance=f"{socket.gethostname()}-{instance}", stop=stop)
    except TapewatchError as error:
        logs.get_logger().error("detector_failed", error=str(error), kind=type(error).__name__)
        print(error, file=sys.stderr)  # noqa: T201 - a sentence for whoever started us
        raise SystemExit(1) from error


def _run(settings: config.Settings, *, instance: str, stop: threading.Event) -> None:
    clock = SystemClock()
    health = metrics.Health(clock)
    metrics.serve(host=settings.metrics_host, port=settings.metrics_port, health=health)
    params = engine_params(settings)
    warm_up_kernels(params)
    fast_intake.warm_up()
    broker = KafkaBroker(config.kafka_params(settings))
    broker.ensure_topics()
    runner = Runner(
        broker=broker,
        step=Engine(params),
        params=RunnerParams(
            group=_WORKER,
            instance=instance,
            guarantee=settings.processing_guarantee,
            snapshots=SnapshotPolicy(interval_s=settings.detector_snapshot_interval_s),
            eviction=EvictionPolicy(forget_after_s=settings.detector_forget_after_h * 3_600),
            overload=OverloadPolicy(shed_above_lag_s=settings.detector_shed_above_lag_s),
        ),
        clock=clock,
        health=health,
        intake=fast_intake.chosen(settings.kafka_fast_reads),
    )
    status = StatusReporter(broker.producer(), worker=_WORKER, instance=instance, clock=clock)
    runner.run(stop, after_turn=lambda: report_runner(status, runner))


if __name__ == "__main__":
    typer.run(main)
