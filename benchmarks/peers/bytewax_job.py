"""The job on Bytewax, at least once: state and offsets go to SQLite every ten seconds, its default."""

import json
import math
import resource
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any, Final, NamedTuple

import bytewax.connectors.kafka.operators as kop
import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import run_main

WINDOW: Final = 1_000
LIMIT: Final = 8.0


class Window(NamedTuple):
    """State of a market; sums are those of the returns in the window."""

    last: float
    returns: deque[float]
    total: float
    squares: float


def judge(state: Window | None, trade: dict[str, Any]) -> tuple[Window, dict[str, Any] | None]:
    """Return the new state, and the trade with its z when that is extreme over the 1,000 returns before."""
    price = trade["price"]
    last, returns, total, squares = state or Window(price, deque(), 0.0, 0.0)
    change = math.log(price / last)
    n = len(returns)
    z = 0.0
    if n == WINDOW:
        mean = total / n
        deviation = math.sqrt(max(squares / n - mean * mean, 0.0))
        z = (change - mean) / deviation if deviation else 0.0
        oldest = returns.popleft()
        total -= oldest
        squares -= oldest * oldest
    returns.append(change)
    found = {**trade, "z": z} if abs(z) > LIMIT else None
    return Window(price, returns, total + change, squares + change * change), found


def flow_of(servers: str, source: str, sink: str) -> Dataflow:
    """Return the job."""
    flow = Dataflow("zscore")
    read = kop.input("read", flow, brokers=[servers], topics=[source], tail=False)
    trades = op.map("decode", read.oks, lambda message: orjson.loads(message.value))
    keyed = op.key_on("key", trades, lambda trade: trade["symbol"])
    judged = op.stateful_map("judge", keyed, judge)
    found = op.filter("extreme", judged, lambda pair: pair[1] is not None)
    encoded = op.map("encode", found, lambda pair: KafkaSinkMessage(pair[0].encode(), orjson.dumps(pair[1])))
    kop.output("write", encoded, brokers=[servers], topic=sink)
    return flow


def main() -> None:
    """Run until the end of the topic: servers, input, output; what else is given is ignored."""
    flow = flow_of(*sys.argv[1:4])
    with tempfile.TemporaryDirectory() as folder:
        init_db_dir(Path(folder), 1)
        began_s, began = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        run_main(flow, recovery_config=RecoveryConfig(Path(folder)))
        ended = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
    print(json.dumps({"cpu_s": cpu_s, "wall_s": time.perf_counter() - began_s}))


if __name__ == "__main__":
    main()
