"""The job on Quix Streams, exactly once.

State is a key in RocksDB with a changelog in Kafka, read and written for every trade. Keeping 1,000 returns
there costs far more than keeping three numbers of an exponential window, so both are measured.
"""

import math
import sys
import tempfile
from typing import Any, Final

from quixstreams import Application, State

from benchmarks.peers.meter import Meter

WINDOW: Final = 1_000
LIMIT: Final = 8.0


def z_of_window(trade: dict[str, Any], state: State) -> dict[str, Any] | None:
    """Return the trade with its z when that is extreme, over the 1,000 returns before it."""
    price = trade["price"]
    last, returns, total, squares = state.get("window", default=[price, [], 0.0, 0.0])
    change = math.log(price / last)
    n = len(returns)
    z = 0.0
    if n == WINDOW:
        mean = total / n
        deviation = math.sqrt(max(squares / n - mean * mean, 0.0))
        z = (change - mean) / deviation if deviation else 0.0
        oldest = returns.pop(0)
        total -= oldest
        squares -= oldest * oldest
    returns.append(change)
    state.set("window", [price, returns, total + change, squares + change * change])
    return {**trade, "z": z} if abs(z) > LIMIT else None


def z_of_numbers(trade: dict[str, Any], state: State) -> dict[str, Any] | None:
    """Return the trade with its z when that is extreme, by exponentially weighted mean and variance."""
    price = trade["price"]
    last, mean, variance = state.get("numbers", default=[price, 0.0, 0.0])
    change = math.log(price / last)
    off = change - mean
    z = off / math.sqrt(variance) if variance > 0 else 0.0
    weight = 2 / (WINDOW + 1)
    state.set("numbers", [price, mean + weight * off, (1 - weight) * (variance + weight * off * off)])
    return {**trade, "z": z} if abs(z) > LIMIT else None


def main() -> None:
    """Run until so many trades are judged: servers, input, output, group, trades, `window` or `numbers`."""
    servers, source, sink, group, trades, kind = sys.argv[1:]
    meter = Meter(int(trades))

    def count(_topic: str, _partition: int, _offset: int) -> None:
        if meter.count():
            app.stop()

    with tempfile.TemporaryDirectory() as folder:
        app = Application(
            broker_address=servers,
            consumer_group=group,
            auto_offset_reset="earliest",
            processing_guarantee="exactly-once",
            commit_interval=1.0,
            state_dir=folder,
            on_message_processed=count,
            loglevel="ERROR",
        )
        frame = app.dataframe(app.topic(source, value_deserializer="json", key_deserializer="str"))
        frame = frame.apply(z_of_window if kind == "window" else z_of_numbers, stateful=True)
        frame = frame.filter(lambda found: found is not None)
        frame.to_topic(app.topic(sink, value_serializer="json", key_serializer="str"))
        app.run()
    print(meter.result())


if __name__ == "__main__":
    main()
