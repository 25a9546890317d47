"""`python -m benchmarks pipeline`: what a trade, a market's state and a hand-over cost on a real broker."""

import sys
import uuid
from pathlib import Path
from typing import Final

from benchmarks import latency, stages, state
from benchmarks.report import Table, show_tables
from benchmarks.trades import market_trades
from deploy.kafka.broker import start_broker
from detector.engine import warm_up_kernels
from shared import topics
from shared.codec import encode
from shared.stream import fast_intake
from shared.stream.kafka import KafkaBroker, KafkaParams

_PARTITIONS: Final = 12
_RATES: Final = (1_000, 20_000)
_STATE_MARKETS: Final = 50


def run(*, trades: int, markets: int, rounds: int, seconds: int, write: Path | None = None) -> None:
    """Measure and print.

    Args:
        trades: in the topic that the stages read.
        markets: with activity as in `market_trades`.
        rounds: of every stage; medians are shown.
        seconds: for which latency is measured at each rate.
        write: Markdown file whose section is replaced.
    """
    warm_up_kernels()
    fast_intake.warm_up()
    with start_broker("auto") as running:
        servers, is_exact = running.bootstrap_servers, running.supports_transactions
        broker = _filled(servers, trades, markets)
        staged = stages.measure(broker, trades=trades, rounds=rounds, is_exact=is_exact)
        delays = []
        for rate in _RATES:
            print(f"latency at {rate:,} trades/s for {seconds} s", file=sys.stderr)
            delays.append(latency.measure(servers, rate=rate, seconds=seconds, is_exact=is_exact))
        kind = running.kind
    print("state", file=sys.stderr)
    kept = state.measure(markets=_STATE_MARKETS, rounds=rounds)
    what = (
        f"{trades:,} trades of {markets} markets, {_PARTITIONS} partitions, batches of {stages.BATCH}, {kind}"
    )
    show_tables(
        "pipeline",
        [
            Table(
                title=what,
                rows=staged,
                note="The difference of two rows is the price of what the second one adds.",
            ),
            Table(title="trade published to anomaly read", rows=delays),
            Table(title="state of the whole engine", rows=kept),
        ],
        write=write,
    )


def _filled(servers: str, trades: int, markets: int) -> KafkaBroker:
    prefix = f"bench-{uuid.uuid4().hex[:8]}-"
    params = KafkaParams(bootstrap_servers=servers, topic_prefix=prefix, partitions=_PARTITIONS)
    broker = KafkaBroker(params)
    broker.ensure_topics()
    producer = broker.producer()
    for trade in market_trades(trades, markets=markets, rate_per_s=2_000):
        producer.produce(topics.TRADES, encode(trade), key=trade.symbol.encode())
    producer.close()
    return broker
