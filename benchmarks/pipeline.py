"""`python -m benchmarks pipeline`: what a trade, a market's state and a hand-over cost on a real broker."""

import sys
import uuid
from pathlib import Path
from typing import Final

from benchmarks import breakdown, handover, latency, rivals, stages, state
from benchmarks.report import Table, median_rows, show_tables
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
# A peer takes many times as long as ours.
_PEER_ROUNDS: Final = 3


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
        prefix = f"bench-{uuid.uuid4().hex[:8]}-"
        broker = _filled(servers, prefix, trades, markets)
        staged, parts = stages.measure(broker, trades=trades, rounds=rounds, is_exact=is_exact)
        print("snapshots within the runner", file=sys.stderr)
        snapshots = median_rows(
            [
                [breakdown.snapshot_cost(broker, trades=trades, markets=markets, batch=stages.BATCH)]
                for _ in range(rounds)
            ]
        )
        peers, about_peers = rivals.measure(servers, prefix, trades=trades, rounds=min(rounds, _PEER_ROUNDS))
        delays = []
        for rate in _RATES:
            print(f"latency at {rate:,} trades/s for {seconds} s", file=sys.stderr)
            delays.append(latency.measure(servers, rate=rate, seconds=seconds, is_exact=is_exact))
        moves = handover.measure(servers, markets=_STATE_MARKETS, is_exact=is_exact)
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
            *(
                Table(
                    title=f"where the time goes, {name}, exactly once",
                    rows=rows,
                    note="By the main thread's clock; they add up. Opening markets is paid once.",
                )
                for name, rows in parts.items()
            ),
            Table(
                title="the same z-score job, Kafka to Kafka, interleaved",
                rows=peers,
                note=about_peers,
            ),
            Table(
                title="snapshots within the runner, whole engine",
                rows=snapshots,
                note="The main thread's share. Snapshots go by time: at higher rates a trade pays less.",
            ),
            Table(title="trade published to anomaly read", rows=delays),
            Table(
                title=f"hand-over, {_STATE_MARKETS} markets with full windows",
                rows=moves,
                note=handover.NOTE,
            ),
            Table(title="state of the whole engine", rows=kept),
        ],
        write=write,
    )


def _filled(servers: str, prefix: str, trades: int, markets: int) -> KafkaBroker:
    params = KafkaParams(bootstrap_servers=servers, topic_prefix=prefix, partitions=_PARTITIONS)
    broker = KafkaBroker(params)
    broker.ensure_topics()
    producer = broker.producer()
    for trade in market_trades(trades, markets=markets, rate_per_s=2_000):
        producer.produce(topics.TRADES, encode(trade), key=trade.symbol.encode())
    producer.close()
    return broker
