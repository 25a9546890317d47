"""The job on this project: the runner with the z-score alone, exactly once, at its default settings.

It does more than the others: features of all windows, a calibrated rarity, episodes and snapshots.
"""

import json
import resource
import sys
import time

from detector.engine import warm_up_kernels
from detector.market_engines import MarketEngines
from detector.params import EngineParams
from shared import logs, topics
from shared.clock import SystemClock
from shared.metrics import Health
from shared.stream import fast_intake
from shared.stream.kafka import KafkaBroker, KafkaParams
from shared.stream.runner import Runner, RunnerParams


def main() -> None:
    """Run until so many trades are judged: servers, input, output, group, trades."""
    servers, source, _, group, trades = sys.argv[1:6]
    logs.configure(worker="benchmarks", level="error")
    params = EngineParams(enabled=("zscore",))
    warm_up_kernels(params)
    fast_intake.warm_up()
    clock = SystemClock()
    broker = KafkaBroker(
        KafkaParams(bootstrap_servers=servers, topic_prefix=source.removesuffix(topics.TRADES))
    )
    began_s, began = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
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
        runner.turn()
    runner.close()
    ended = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
    print(json.dumps({"cpu_s": cpu_s, "wall_s": time.perf_counter() - began_s}))


if __name__ == "__main__":
    main()
