"""`python -m benchmarks pipeline`: what a trade, a market's state and a hand-over cost on a real broker.

A trade's cost is that of a worker that has been running for a while, in every row (`steady.py`); what is paid
once, for a market or a snapshot, has tables of its own.
"""

import sys
import uuid
from pathlib import Path
from typing import Final

from benchmarks import breakdown, handover, latency, rivals, stages, state
from benchmarks.report import Row, Table, median_rows, show_tables
from benchmarks.steady import Course, Past
from benchmarks.trades import market_trades
from deploy.kafka.broker import start_broker
from detector.engine import warm_up_kernels
from shared import topics
from shared.allocator import keep_freed_memory
from shared.codec import encode
from shared.stream import fast_intake
from shared.stream.kafka import KafkaBroker, KafkaParams

_PARTITIONS: Final = 12
# Of the trades in the topic, by event time.
_RATE_PER_S: Final = 2_000.0
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
    keep_freed_memory()
    warm_up_kernels()
    fast_intake.warm_up()
    with start_broker("auto") as running:
        servers, is_exact = running.bootstrap_servers, running.supports_transactions
        prefix = f"bench-{uuid.uuid4().hex[:8]}-"
        broker = _filled(servers, prefix, trades, markets)
        bench = stages.Bench(
            broker=broker,
            course=Course(trades=trades),
            past=Past(markets=markets, rate_per_s=_RATE_PER_S),
            is_exact=is_exact,
        )
        staged, parts = stages.measure(bench, rounds=rounds)
        openings, snapshots = _once(bench, markets, rounds)
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
        f"{trades:,} trades of {markets} markets with full windows, {_PARTITIONS} partitions, "
        f"batches of {stages.BATCH:,}, {kind}"
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
                    note="By the main thread's clock; they add up.",
                )
                for name, rows in parts.items()
            ),
            Table(
                title="what a market costs once, when it is opened",
                rows=openings,
                note="The growth of the arrays by slot is part of it.",
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


def _once(bench: stages.Bench, markets: int, rounds: int) -> tuple[list[Row], list[Row]]:
    """Return what is not paid per trade: what a new market costs, and what snapshots do."""
    print("opening of markets, snapshots within the runner", file=sys.stderr)
    openings, snapshots = [], []
    for _ in range(rounds):
        openings.append(
            [breakdown.opening(markets=markets, enabled=names) for names in stages.BROKEN_DOWN.values()]
        )
        cost = breakdown.snapshot_cost(
            bench.broker, bench.past, course=bench.course, markets=markets, batch=stages.BATCH
        )
        snapshots.append([cost])
    return median_rows(openings), median_rows(snapshots)


def _filled(servers: str, prefix: str, trades: int, markets: int) -> KafkaBroker:
    params = KafkaParams(bootstrap_servers=servers, topic_prefix=prefix, partitions=_PARTITIONS)
    broker = KafkaBroker(params)
    broker.ensure_topics()
    producer = broker.producer()
    for trade in market_trades(trades, markets=markets, rate_per_s=_RATE_PER_S):
        producer.produce(topics.TRADES, encode(trade), key=trade.symbol.encode())
    producer.close()
    return broker
