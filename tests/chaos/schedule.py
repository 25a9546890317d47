"""The faults of a run, in order, from a seed: the same seed gives the same schedule."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

DETECTORS: Final = ("detector-1", "detector-2", "detector-3")
WORKERS: Final = (*DETECTORS, "producer", "recorder", "alerter")
BROKER: Final = "broker"
STORE: Final = "store"
TRADES: Final = "trades"

# A broker needs a while after its start before it can be hurt anew.
_BROKER_RESTS_S: Final = 12.0


class Action(StrEnum):
    """What goes wrong."""

    KILL = "SIGKILL"
    FREEZE = "SIGSTOP"
    RESTART = "SIGTERM"
    FILL_DISK = "disk full"
    SLOW_DOWN = "slow"
    LOCK = "locked"
    POISON = "poison"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        at_s: seconds after the start.
        action: what is done.
        target: to what.
        lasts_s: until it is undone: a frozen process goes on, a killed broker is started again, a full disk
            freed and its broker restarted, a slow way fast again, a locked store released.
    """

    at_s: float
    action: Action
    target: str
    lasts_s: float = 0.0

    @property
    def kind(self) -> str:
        """What it is, without saying which of the workers is meant."""
        return f"{self.action} {'worker' if self.target in WORKERS else self.target}"

    def __str__(self) -> str:
        lasts = f" for {self.lasts_s:.1f} s" if self.lasts_s else ""
        return f"{self.at_s:7.1f} s  {self.action:9}  {self.target}{lasts}"


@dataclass(frozen=True, kw_only=True)
class ScheduleParams:
    """How a schedule is made.

    Attributes:
        seed: of everything.
        length_s: no fault begins later.
        first_s: when the first one begins: detectors should have something to lose.
        shortest_gap_s: between two faults.
        longest_gap_s: between two faults.
        session_timeout_s: a frozen process stays so for longer than this.
        longest_outage_s: of the broker, dead or with its disk full.
        longest_slowness_s: of the way to the broker.
        shortest_lock_s: of the store; longer than workers wait for a lock before they call it unavailable.
        longest_lock_s: of the store.
    """

    seed: int
    length_s: float
    first_s: float = 15.0
    shortest_gap_s: float = 4.0
    longest_gap_s: float = 16.0
    session_timeout_s: float = 6.0
    longest_outage_s: float = 8.0
    longest_slowness_s: float = 20.0
    shortest_lock_s: float = 35.0
    longest_lock_s: float = 150.0


def make_schedule(params: ScheduleParams) -> list[Fault]:
    """Return the faults. The first ones are one of each kind; nothing is done to what is down or frozen."""
    random = Random(params.seed)  # noqa: S311 - a schedule is no secret
    faults: list[Fault] = []
    at_s = params.first_s
    free_from_s: dict[str, float] = {}
    for action, targets in _deals(random):
        # A card is never dropped: it waits until one of its targets is free.
        at_s = max(at_s, min(free_from_s.get(target, 0.0) for target in targets))
        if at_s > params.length_s:
            return faults
        target = random.choice([target for target in targets if free_from_s.get(target, 0.0) <= at_s])
        lasts_s = _lasts_s(action, target, params, random)
        rests_s = _BROKER_RESTS_S if target == BROKER else 0.0
        free_from_s[target] = at_s + lasts_s + rests_s
        faults.append(Fault(at_s=at_s, action=action, target=target, lasts_s=lasts_s))
        at_s += random.uniform(params.shortest_gap_s, params.longest_gap_s)
    raise AssertionError("unreachable: deals never end")


def _deals(random: Random) -> Iterator[tuple[Action, Sequence[str]]]:
    """Yield what to do and to whom, like cards: all of a pack before the next one is shuffled."""
    one_of_each = [
        (Action.KILL, DETECTORS),
        (Action.FREEZE, DETECTORS),
        (Action.RESTART, DETECTORS),
        (Action.KILL, (BROKER,)),
        (Action.FILL_DISK, (BROKER,)),
        (Action.SLOW_DOWN, (BROKER,)),
        (Action.LOCK, (STORE,)),
        (Action.POISON, (TRADES,)),
    ]
    on_workers = [
        (Action.KILL, DETECTORS),
        (Action.KILL, DETECTORS),
        (Action.KILL, ("producer",)),
        (Action.KILL, ("recorder",)),
        (Action.KILL, ("alerter",)),
        (Action.FREEZE, DETECTORS),
        (Action.FREEZE, ("producer", "recorder", "alerter")),
        (Action.RESTART, WORKERS),
    ]
    while True:
        for pack in (one_of_each, on_workers):
            random.shuffle(pack)
            yield from pack


def _lasts_s(action: Action, target: str, params: ScheduleParams, random: Random) -> float:
    if action is Action.FREEZE:
        return params.session_timeout_s * random.uniform(1.3, 2.5)
    if action is Action.LOCK:
        return random.uniform(params.shortest_lock_s, params.longest_lock_s)
    if action is Action.SLOW_DOWN:
        return random.uniform(0.4, 1.0) * params.longest_slowness_s
    return random.uniform(0.0, params.longest_outage_s) if target == BROKER else 0.0
