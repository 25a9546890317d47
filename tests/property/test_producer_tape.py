"""The tape gives every id once, in order, or names it as missing; whatever drops, repeats and reorders."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from producer.tape import FillRequest, Position, Tape, TapeOutput, TapeParams
from shared.events import Trade

SYMBOL = "BTC-USDT"
FIRST = 1_000


def trade(number: int) -> Trade:
    return Trade("binance", SYMBOL, number, 1.0, 1.0, False, number, number)


@dataclass
class World:
    """A tape, a REST that answers late, in pages and in any order, and what came out."""

    tape: Tape
    random: Random
    rest_has: set[int]
    now_s: float = 0.0
    asked: list[FillRequest] = field(default_factory=list)
    published: list[int] = field(default_factory=list)
    unfilled: list[int] = field(default_factory=list)

    def take(self, output: TapeOutput) -> None:
        self.published += [trade.trade_id for trade in output.trades]
        self.asked += output.requests
        for missing in output.unfilled:
            self.unfilled += range(missing.first_id, missing.last_id + 1)

    def feed(self, numbers: Iterable[int]) -> None:
        self.take(self.tape.feed([trade(number) for number in numbers], now_s=self.now_s))

    def step(self) -> None:
        """Let some time pass, and maybe let REST answer one question."""
        self.now_s += self.random.choice((0.0, 0.1, 1.0))
        self.take(self.tape.tick(now_s=self.now_s))
        if self.asked and self.random.random() < 0.5:
            self.answer(self.asked.pop(self.random.randrange(len(self.asked))))

    def answer(self, request: FillRequest) -> None:
        had = [n for n in range(request.first_id, request.last_id + 1) if n in self.rest_has]
        while had:
            size = self.random.randint(1, len(had))
            page, had = had[:size], had[size:]
            self.random.shuffle(page)
            self.feed(page)
        self.take(self.tape.end_fill(request, reason="absent", is_absent=True))

    def finish(self) -> None:
        while self.tape.waiting_total or self.asked:
            self.step()


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[int, list[int]]:
    """Return how many trades there were, and the ids that the feed brought, in order of arrival."""
    count = draw(st.integers(1, 60))
    last = FIRST + count - 1
    copies = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    lateness = st.one_of(st.just(0.0), st.floats(0, 5), st.floats(0, 60))
    frames = [
        (number + draw(lateness), number) for number, times in enumerate(copies, FIRST) for _ in range(times)
    ]
    # The last one comes: a feed that lost its last trade is the watchdog's business.
    return count, [number for _, number in sorted(frames)] + [last]


def run(tape: Tape, frames: list[int], rest_has: set[int], random: Random) -> World:
    world = World(tape, random, rest_has)
    position = 0
    while position < len(frames):
        size = random.randint(1, 5)
        world.feed(frames[position : position + size])
        position += size
        if random.random() < 0.5:
            world.step()
    world.finish()
    return world


def resumed_tape() -> Tape:
    return Tape(TapeParams(), {SYMBOL: Position(FIRST - 1, FIRST - 1)})


@given(arrivals(), st.randoms(use_true_random=False))
def test_with_a_rest_that_can_answer_every_id_comes_once_in_order(
    arrived: tuple[int, list[int]], random: Random
) -> None:
    count, frames = arrived
    everything = list(range(FIRST, FIRST + count))
    world = run(resumed_tape(), frames, set(everything), random)
    assert world.published == everything
    assert world.unfilled == []


@given(arrivals(), st.randoms(use_true_random=False), st.data())
def test_with_a_rest_that_cannot_exactly_what_it_lacks_is_missing(
    arrived: tuple[int, list[int]], random: Random, data: st.DataObject
) -> None:
    count, frames = arrived
    everything = set(range(FIRST, FIRST + count))
    never_sent = sorted(everything - set(frames))
    lacking = data.draw(st.sets(st.sampled_from(never_sent))) if never_sent else set()
    world = run(resumed_tape(), frames, everything - lacking, random)
    assert world.published == sorted(everything - lacking)
    assert world.unfilled == sorted(lacking)


@given(arrivals(), st.randoms(use_true_random=False), st.integers(0, 40), st.integers(0, 80))
def test_a_fresh_tape_begins_with_the_history_that_there_is(
    arrived: tuple[int, list[int]], random: Random, wanted: int, available: int
) -> None:
    count, frames = arrived
    oldest = FIRST - available
    rest_has = set(range(oldest, FIRST + count))
    tape = Tape(TapeParams(backfill_on_start_trades=wanted))
    world = run(tape, frames, rest_has, random)
    begin = max(oldest, frames[0] - wanted)
    assert world.published == list(range(begin, FIRST + count))
    assert world.unfilled == []


@given(arrivals(), st.randoms(use_true_random=False))
def test_the_split_into_calls_does_not_matter(arrived: tuple[int, list[int]], random: Random) -> None:
    _, frames = arrived
    at_once, one_by_one = World(resumed_tape(), random, set()), World(resumed_tape(), random, set())
    at_once.feed(frames)
    for number in frames:
        one_by_one.feed([number])
    assert at_once.published == one_by_one.published
    assert at_once.tape.duplicates_total == one_by_one.tape.duplicates_total
