"""The engine: trades in, anomalies out, in one fixed order for every detector.

Validate, update features, score (before learning), calibrate to rarity, compare with the threshold, run the
episode, learn. Detectors cannot differ in that order, nor in what warming up or an invalid number means.

A batch costs a fixed number of calls, whatever the number of markets in it: trades are sorted by market, and
every stage judges the runs of all markets at once, each with its own state (`detector/runs.py`).

The engine is a `shared.stream.step.Step`: it knows no Kafka, no clock, and no randomness that is not seeded
per market and detector. What it returns does not depend on how trades are cut into batches, nor on other
markets.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

from detector.arrays import FloatMatrix, IntVector, loaded_str, nested, under
from detector.batch import Batch, sort_by_market
from detector.budget import Budget
from detector.catalogue import CATALOGUE
from detector.lane import CombinedLane, Judgement, Lane
from detector.online.protocol import DetectorStage, FeatureStage, Stage
from detector.params import EngineParams, make_detectors, make_features
from detector.telling import Emission, Evidence, Teller
from detector.ticks import Ticks
from shared.codec import content_id
from shared.errors import SnapshotRefusedError
from shared.events import Trade
from shared.stream.step import OutputEvent, State

# Raise it when the engine finds or stores something else than before with the same parameters.
_VERSION: Final = 4
_LARGEST: Final = 2**63 - 1

Witness: TypeAlias = Callable[[Evidence, Mapping[str, Judgement]], None]


class RowStage(Stage, Protocol):
    """Turns records that are no mere trades into rows; one column is `notional`, what was traded.

    Attributes:
        names: of the columns of the rows.
    """

    names: tuple[str, ...]

    def read(self, batch: Batch) -> tuple[FloatMatrix, IntVector]:
        """Learn n records, and return n rows and n event times that never go back within a market."""
        ...


class Engine:
    """Judges the trades of many markets.

    All that is enabled runs, and the members of what is enabled, whose own anomalies stay unpublished.

    Attributes:
        rejected_trades: trades passed over since the start because a number in them made no sense.
    """

    def __init__(
        self,
        params: EngineParams,
        *,
        detectors: Mapping[str, DetectorStage] | None = None,
        features: RowStage | None = None,
        witness: Witness | None = None,
    ) -> None:
        """Make an engine without any market.

        Args:
            params: what it finds.
            detectors: by name in the catalogue, to be used instead of those that the parameters make.
            features: what makes rows, where these are not the features of trades; then the detectors that are
                given are all there are, and all are published.
            witness: is shown every batch with all that was made of it; then every row is explained, and not
                only what can become an anomaly.
        """
        self._params = params
        self._features: FeatureStage | RowStage
        self._read: Callable[[Batch], tuple[FloatMatrix, IntVector]]
        if features is None:
            of_trades = self._features = make_features(params)
            self._read = lambda batch: of_trades.update(batch.runs, batch.tape)
        else:
            self._features, self._read = features, features.read
        self._notional = self._features.names.index("notional")
        self._budget = Budget(per_day=params.budget_per_day)
        made = dict(detectors or {})
        if features is None:
            made = make_detectors(params, features=self._features.names) | made
        self._published = params.published if features is None else tuple(made)
        self._lanes = {
            name: Lane(detector, params, explain_all=witness is not None) for name, detector in made.items()
        }
        self._combined = {
            entry.name: (
                CombinedLane((self._lanes[entry.members[0]], self._lanes[entry.members[1]]), params),
                entry.members,
            )
            for entry in CATALOGUE
            if entry.members and entry.name in params.published
        }
        self._stages: dict[str, Stage] = {"features": self._features, "budget": self._budget, **self._lanes}
        self._stages |= {name: combined for name, (combined, _) in self._combined.items()}
        self._ticks = None if params.ticks is None else Ticks(params.ticks)
        if self._ticks is not None:
            self._stages["ticks"] = self._ticks
        # One slot per venue of a market: the place of its state in every stage.
        self._slots: dict[tuple[str, str], int] = {}
        self._venues: dict[str, dict[str, int]] = {}
        self._witness = witness
        self._paused: set[str] = set()
        self._free: list[int] = []
        self._slots_made = 0
        self._fingerprint = content_id(
            "engine", _VERSION, repr(params), *(detector.fingerprint for detector in made.values())
        )
        self.rejected_trades = 0

    @property
    def fingerprint(self) -> str:
        """Identify parameters and version; a snapshot with another fingerprint must not be restored."""
        return self._fingerprint

    def on_batch(self, trades: Sequence[Trade]) -> list[OutputEvent]:
        """Judge the trades, learn them, and return what was found, in order of the source trades."""
        return [event for _, event in self.judge(trades)]

    def judge(self, trades: Sequence[Trade]) -> list[tuple[int, OutputEvent]]:
        """Do as `on_batch`, and return with each event the place of its source trade among the trades."""
        try:
            batch = sort_by_market(trades, self._slot_of)
        except OverflowError:
            kept = [place for place, trade in enumerate(trades) if fits(trade)]
            self.rejected_trades += len(trades) - len(kept)
            judged = self.judge([trades[place] for place in kept])
            return [(kept[place], event) for place, event in judged]
        self.rejected_trades += len(trades) - len(batch.order)
        if not batch.order.size:
            return []
        rows, clock_us = self._read(batch)
        daily = self._budget.count(batch.runs, clock_us, rows[:, self._notional])
        evidence = Evidence(
            batch=batch,
            names=self._features.names,
            rows=rows,
            clock_us=clock_us,
            daily=daily,
        )
        emissions = self._emissions(evidence)
        if self._ticks is not None:
            emissions += [Emission(*told) for told in self._ticks.tell(batch, clock_us, emissions)]
        # By trade; of one trade, what was stopped comes first, then detectors in their order, last its tick.
        placed = [(int(batch.order[row]), event) for row, event in emissions]
        return sorted(placed, key=lambda found: found[0])

    def _emissions(self, evidence: Evidence) -> list[Emission]:
        judgements: dict[str, Judgement] = {}
        emissions: list[Emission] = []
        for name, lane in self._lanes.items():
            if name in self._paused:
                judgements[name] = lane.pause(evidence.rows)
            else:
                judgements[name] = lane.consider(evidence.batch.runs, evidence.rows, evidence.clock_us)
            if judgements[name].custody:
                emissions += Teller(lane, judgements[name], evidence).tell_custody()
        for name, (combined, (first, second)) in self._combined.items():
            judgements[name] = combined.consider(judgements[first], judgements[second])
        for name in self._published:
            lane_or_combined = self._combined[name][0] if name in self._combined else self._lanes[name]
            emissions += Teller(lane_or_combined, judgements[name], evidence).tell()
        if self._witness is not None:
            self._witness(evidence, judgements)
        return emissions

    def _slot_of(self, venue: tuple[str, str]) -> int:
        slot = self._slots.get(venue)
        if slot is None:
            slot = self._open(*venue)
            self._hold(venue, slot)
        return slot

    def _open(self, exchange: str, symbol: str) -> int:
        """Give a slot of every stage to a venue of a market."""
        if not self._free:
            self._free.append(self._slots_made)
            self._slots_made += 1
        slot = self._free.pop()
        for stage in self._stages.values():
            stage.open(slot, identity=f"{exchange}/{symbol}")
        return slot

    def _hold(self, venue: tuple[str, str], slot: int) -> None:
        exchange, symbol = venue
        self._slots[venue] = slot
        self._venues.setdefault(symbol, {})[exchange] = slot

    def _close(self, slots: Iterable[int]) -> None:
        for slot in slots:
            for stage in self._stages.values():
                stage.close(slot)
            self._free.append(slot)

    def symbols(self) -> Iterable[str]:
        """Return the markets that have state."""
        return list(self._venues)

    def has(self, symbol: str) -> bool:
        """Return whether a market has state."""
        return symbol in self._venues

    def snapshot(self, symbol: str) -> State:
        """Return a copy of the whole state of a market on all its venues.

        Raises:
            KeyError: the market has no state.
        """
        venues = self._venues[symbol]
        # Venues are numbered, because nothing forbids a slash in a venue's name.
        names = sorted(venues)
        state: State = {"venues": len(names)}
        for number, name in enumerate(names):
            state[f"{number}/venue"] = name
            for part, stage in self._stages.items():
                state |= nested(f"{number}/{part}", stage.state(venues[name]))
        return state

    def restore(self, symbol: str, state: State, *, fresh: Collection[str] = ()) -> None:
        """Replace a market's state; what follows is bit-identical to never having stopped.

        Args:
            symbol: of the market.
            state: of the market, from an engine with the same parameters.
            fresh: stages that begin anew, because theirs are others; of a detector's state only the open
                episode is taken then.

        Raises:
            SnapshotRefusedError: the state is damaged, or of other parameters; the market is left as it was.
        """
        venues: dict[str, int] = {}
        try:
            for number in range(int(state["venues"])):
                part = under(f"{number}", state)
                name = loaded_str(part, "venue")
                venues[name] = self._open(name, symbol)
                for key, stage in self._stages.items():
                    if key not in fresh:
                        stage.load_state(venues[name], under(key, part))
                    elif key in self._lanes:
                        self._lanes[key].load_episode(venues[name], under(key, part))
        except (KeyError, TypeError, ValueError) as error:
            self._close(venues.values())
            raise SnapshotRefusedError(symbol=symbol, reason=str(error)) from error
        self.evict(symbol)
        for name, slot in venues.items():
            self._hold((name, symbol), slot)

    @property
    def shed_levels(self) -> int:
        """Return how many levels of work can be shed under overload."""
        return max(entry.pauses_at for entry in CATALOGUE)

    def shed(self, level: int) -> None:
        """Pause detectors: 1: the forest and what combines it, 2: the z-score too; 0: none.

        Features, alert budget, patterns and open episodes go on. A paused detector neither scores nor learns;
        when it comes back it goes on from its state, as if the trades in between had not been: its window
        still holds the last trades that it learned, those from before the pause included, its calibration
        has not aged, and it needs no new warm-up.

        Raises:
            ValueError: the level does not exist.
        """
        if not 0 <= level <= self.shed_levels:
            raise ValueError(f"there is no level {level} of shedding, only 0 to {self.shed_levels}")
        self._paused = {entry.name for entry in CATALOGUE if 0 < entry.pauses_at <= level}

    def evict(self, symbol: str) -> None:
        """Forget a market; unknown ones are ignored."""
        venues = self._venues.pop(symbol, {})
        self._close(self._slots.pop((exchange, symbol)) for exchange in venues)


def fits(trade: Trade) -> bool:
    """Return whether the trade's integers are no larger than those of the wire."""
    return all(
        -_LARGEST <= n <= _LARGEST for n in (trade.trade_id, trade.event_time_us, trade.received_time_us)
    )


def warm_up_kernels(params: EngineParams | None = None) -> None:
    """Compile everything that the engine runs, or load it from the cache, before a trade waits for it."""
    engine = Engine(params or EngineParams(enabled=tuple(entry.name for entry in CATALOGUE)))
    # Enough trades for the windows to grow, a crash that opens an episode, and a silence that closes it.
    prices = [1.0] * 100 + [0.5] * 100 + [0.5]
    times_us = [*range(200), 1_000_000_000]
    for at, (price, time_us) in enumerate(zip(prices, times_us, strict=True)):
        engine.on_batch([Trade("warm-up", "WARM-UP", at, price, 1.0, False, time_us, time_us)])
    engine.restore("WARM-UP", engine.snapshot("WARM-UP"))
