"""The job on Bytewax, at least once: state and offsets go to SQLite every ten seconds, its default."""

import math
import sys
import tempfile
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

from benchmarks.peers.meter import Meter

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


def flow_of(servers: str, source: str, sink: str, meter: Meter) -> Dataflow:
    """Return the job."""

    def decode(message: Any) -> Any:  # noqa: ANN401 - bytewax has no types
        meter.count()
        return orjson.loads(message.value)

    flow = Dataflow("zscore")
    read = kop.input("read", flow, brokers=[servers], topics=[source], tail=False)
    trades = op.map("decode", read.oks, decode)
    keyed = op.key_on("key", trades, lambda trade: trade["symbol"])
    judged = op.stateful_map("judge", keyed, judge)
    found = op.filter("extreme", judged, lambda pair: pair[1] is not None)
    encoded = op.map("encode", found, lambda pair: KafkaSinkMessage(pair[0].encode(), orjson.dumps(pair[1])))
    kop.output("write", encoded, brokers=[servers], topic=sink)
    return flow


def main() -> None:
    """Run until the end of the topic: servers, input, output, group (not needed), trades in the topic."""
    servers, source, sink, _, trades = sys.argv[1:6]
    meter = Meter(int(trades))
    with tempfile.TemporaryDirectory() as folder:
        init_db_dir(Path(folder), 1)
        run_main(flow_of(servers, source, sink, meter), recovery_config=RecoveryConfig(Path(folder)))
    print(meter.result())


if __name__ == "__main__":
    main()
