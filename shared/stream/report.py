"""What a runner says of itself: signs of life and the lag per partition."""

from shared.metrics import gauge
from shared.status import StatusReporter
from shared.stream.runner import Runner


def report_runner(status: StatusReporter, runner: Runner) -> None:
    """Publish a runner's figures when a sign of life is due."""
    if not status.is_due("degraded" if runner.shed_level else "running"):
        return
    lag = runner.lag_records()
    for partition, records in lag.items():
        gauge("tapewatch_lag_records").labels(topic=runner.source, partition=partition).set(records)
    gauge("tapewatch_markets").set(runner.markets())
    totals = runner.totals
    latency_ms = runner.latency_p99_ms()
    shed = runner.shed_level
    status.report(
        state="degraded" if shed else "running",
        detail=f"overloaded: costly detectors pause at level {shed}" if shed else "",
        figures={
            **({} if latency_ms is None else {"latency_p99_ms": latency_ms}),
            "trades_total": totals.trades,
            "events_total": totals.events,
            "commits_total": totals.commits,
            "aborts_total": totals.aborts,
            "snapshots_total": runner.snapshots_written(),
            "dead_letters_total": totals.dead_letters,
            "partitions": len(lag),
            "lag_records": sum(lag.values()),
            "lag_s": runner.lag_s,
            "shed_level": shed,
            "evicted_total": runner.markets_evicted(),
        },
    )
