"""The job on this project: the runner with the z-score alone, exactly once, at its default settings.

It does more than the others: features of all windows, a calibrated rarity, episodes and snapshots.
"""

import sys

from benchmarks.peers.meter import Meter
from detector.engine import warm_up_kernels
from detector.market_engines import MarketEngines
from detector.params import EngineParams
from shared import logs, topics
from shared.allocator import keep_freed_memory
from shared.clock import SystemClock
from shared.metrics import Health
from shared.stream import fast_intake
from shared.stream.kafka import KafkaBroker, KafkaParams
from shared.stream.runner import Runner, RunnerParams


def main() -> None:
    """Run until so many trades are judged: servers, input, output, group, trades."""
    servers, source, _, group, trades = sys.argv[1:6]
    logs.configure(worker="benchmarks", level="error")
    keep_freed_memory()
    params = EngineParams(enabled=("zscore",))
    warm_up_kernels(params)
    fast_intake.warm_up()
    clock = SystemClock()
    broker = KafkaBroker(
        KafkaParams(bootstrap_servers=servers, topic_prefix=source.removesuffix(topics.TRADES))
    )
    meter = Meter(int(trades))
    runner = Runner(
        broker=broker,
        step=MarketEngines(params),
        params=RunnerParams(group=group),
        clock=clock,
        health=Health(clock),
        intake=fast_intake.fastest,
    )
    runner.start()
    while runner.totals.trades < int(trades):
        before = runner.totals.trades
        runner.turn()
        if runner.totals.trades >= int(trades):
            runner.commit()
        meter.count(runner.totals.trades - before)
    runner.close()
    print(meter.result())


if __name__ == "__main__":
    main()
