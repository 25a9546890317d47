"""What past trades and announcements of the venue do, and what they do not."""

from producer.exchanges.protocol import LatestTrade, PastTrades
from producer.pipeline import Pipeline
from producer.publisher import Publisher, PublisherParams
from producer.staleness import StalenessMonitor, StalenessParams
from producer.tape import FillRequest, Position, Tape, TapeParams
from shared.clock import ManualClock
from shared.events import Trade
from shared.stream.dead_letters import DeadLetterLimit, DeadLetterPolicy
from shared.stream.memory import MemoryBroker

SYMBOL = "BTC-USD"


def trade(number: int) -> Trade:
    return Trade("coinbase", SYMBOL, number, 1.0, 1.0, False, number, number + 7)


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.tape = Tape(TapeParams(grace_s=0.25), {SYMBOL: Position(9, 9)})
        self.monitor = StalenessMonitor([SYMBOL], StalenessParams(), now_s=self.clock.monotonic_s())
        broker = MemoryBroker(partitions=1)
        broker.ensure_topics()
        self.publisher = Publisher(broker.producer(), PublisherParams(), clock=self.clock)
        self.pipeline = Pipeline(
            exchange="coinbase",
            tape=self.tape,
            publisher=self.publisher,
            monitor=self.monitor,
            limit=DeadLetterLimit(DeadLetterPolicy()),
            clock=self.clock,
        )
        self.asked: list[FillRequest] = []
        self.pipeline.send_requests_to(self.asked.append)

    def silence_s(self) -> float:
        return self.monitor.silence_s(SYMBOL, self.clock.monotonic_s())


def test_past_trades_are_published_but_are_no_sign_of_life() -> None:
    world = World()
    world.clock.advance(seconds=5)
    world.pipeline.on_events([PastTrades((trade(8), trade(9), trade(10), trade(11)))])
    assert world.publisher.trades_total == 2
    assert world.tape.duplicates_total == 2
    assert world.silence_s() == 5
    assert world.pipeline.timing.timing(SYMBOL) is None
    world.pipeline.on_events([trade(12)])
    assert world.silence_s() == 0
    assert world.pipeline.skew_us == 7


def test_a_lost_last_trade_is_asked_for_when_the_venue_tells_of_it() -> None:
    world = World()
    world.pipeline.on_events([LatestTrade(SYMBOL, 11)])
    world.pipeline.tick()
    assert world.asked == []
    world.clock.advance(seconds=1)
    world.pipeline.tick()
    assert world.asked == [FillRequest(SYMBOL, 10, 11)]
