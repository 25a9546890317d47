"""The faults of a run, in order, from a seed: the same seed gives the same schedule."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

DETECTORS: Final = ("detector-1", "detector-2", "detector-3")
WORKERS: Final = (*DETECTORS, "producer", "recorder", "alerter")
BROKER: Final = "broker"


class Action(StrEnum):
    """What is done to a process."""

    KILL = "SIGKILL"
    FREEZE = "SIGSTOP"
    RESTART = "SIGTERM"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        at_s: seconds after the start.
        action: what is done.
        target: to which process.
        lasts_s: until a frozen process goes on, or a killed broker is started again.
    """

    at_s: float
    action: Action
    target: str
    lasts_s: float = 0.0

    def __str__(self) -> str:
        lasts = f" for {self.lasts_s:.1f} s" if self.lasts_s else ""
        return f"{self.at_s:7.1f} s  {self.action:7}  {self.target}{lasts}"


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
        longest_outage_s: of the broker.
    """

    seed: int
    length_s: float
    first_s: float = 15.0
    shortest_gap_s: float = 4.0
    longest_gap_s: float = 16.0
    session_timeout_s: float = 6.0
    longest_outage_s: float = 8.0


def make_schedule(params: ScheduleParams) -> list[Fault]:
    """Return the faults. Its first four are one of each kind; nothing is done to what is frozen."""
    random = Random(params.seed)  # noqa: S311 - a schedule is no secret
    faults: list[Fault] = []
    at_s = params.first_s
    busy_until_s: dict[str, float] = {}
    for action, targets in _deals(random):
        if at_s > params.length_s:
            return faults
        free = [target for target in targets if busy_until_s.get(target, 0.0) <= at_s]
        if not free:
            continue
        target = random.choice(free)
        lasts_s = _lasts_s(action, target, params, random)
        busy_until_s[target] = at_s + lasts_s
        faults.append(Fault(at_s=at_s, action=action, target=target, lasts_s=lasts_s))
        at_s += random.uniform(params.shortest_gap_s, params.longest_gap_s)
    raise AssertionError("unreachable: deals never end")


def _deals(random: Random) -> Iterator[tuple[Action, Sequence[str]]]:
    """Yield what to do and to whom, like cards: all of a pack before the next one is shuffled."""
    first = [
        (Action.KILL, DETECTORS),
        (Action.FREEZE, DETECTORS),
        (Action.RESTART, DETECTORS),
        (Action.KILL, (BROKER,)),
    ]
    rest = [
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
        for pack in (first, rest):
            random.shuffle(pack)
            yield from pack


def _lasts_s(action: Action, target: str, params: ScheduleParams, random: Random) -> float:
    if action is Action.FREEZE:
        return params.session_timeout_s * random.uniform(1.3, 2.5)
    return random.uniform(0.0, params.longest_outage_s) if target == BROKER else 0.0
