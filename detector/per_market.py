"""Makes a stage of detectors that know one market each: one Python call per market instead of one per batch.

For detectors in plain Python. A detector that raises is stopped for its market at the very row that it cannot
take, however rows came in batches; the engine decides what happens then.
"""

from collections.abc import Callable

import numpy as np

from detector.arrays import FloatMatrix, FloatVector
from detector.online.protocol import DecidesOn, Fault, Finding, OnlineDetector, Scale, Scored
from detector.runs import Runs
from shared.stream.step import State


def nothing(n: int, columns: int) -> Scored:
    """Return the judgement of n rows that were not judged."""
    return Scored(np.full(n, np.nan), np.zeros((n, columns), np.float64), np.zeros(n, np.bool_))


def row_by_row(
    score_learn: Callable[[FloatMatrix], Scored], rows: FloatMatrix, *, slot: int, columns: int
) -> Scored:
    """Judge rows of one market one by one, up to the one that the detector cannot take.

    Args:
        score_learn: of the detector, which raises before it has changed anything.
        rows: n rows of features.
        slot: of the market.
        columns: number of its contributions.
    """
    scored = nothing(len(rows), columns)
    notes: dict[str, FloatVector] = {}
    scored = scored._replace(notes=notes)
    for row in range(len(rows)):
        try:
            one = score_learn(rows[row : row + 1])
        except Exception as error:  # noqa: BLE001 - whatever a detector raises is its quarantine
            return scored._replace(faults=(Fault(slot, row, f"{type(error).__name__}: {error}"),))
        for whole, part in zip(scored[:3], one[:3], strict=True):
            whole[row] = part[0]
        for name, values in one.notes.items():
            notes.setdefault(name, np.full(len(rows), np.nan))[row] = values[0]
    return scored


class PerMarket:
    """A stage of one detector object per market; its attributes are those of the detectors."""

    def __init__(self, make: Callable[[str], OnlineDetector]) -> None:
        """Make the stage.

        Args:
            make: makes the detector of a market from the market's identity.
        """
        self._make = make
        self._markets: dict[int, OnlineDetector] = {}
        self._any = make("")
        self.name: str = self._any.name
        self.kind: str = self._any.kind
        self.columns: tuple[str, ...] = self._any.columns
        self.fingerprint: str = self._any.fingerprint
        self.decides_on: DecidesOn = self._any.decides_on
        self.threshold: float = self._any.threshold
        self.scale: Scale = self._any.scale
        self.window_s: float = self._any.window_s

    def open(self, slot: int, *, identity: str) -> None:
        """Make the detector of a market."""
        self._markets[slot] = self._make(identity)

    def close(self, slot: int) -> None:
        """Let go of a market's detector."""
        del self._markets[slot]

    def score_learn(self, runs: Runs, rows: FloatMatrix, *, explain_all: bool = False) -> Scored:  # noqa: ARG002 - it explains all rows anyway
        """Have each market's detector judge and learn its rows."""
        scored = nothing(len(rows), len(self.columns))
        notes: dict[str, FloatVector] = {}
        faults: list[Fault] = []
        for slot, part in runs.each():
            detector = self._markets[slot]
            try:
                judged = detector.score_learn(rows[part])
            except Exception:  # noqa: BLE001 - the row that it cannot take is looked for
                judged = row_by_row(detector.score_learn, rows[part], slot=slot, columns=len(self.columns))
            for whole, values in zip(scored[:3], judged[:3], strict=True):
                whole[part] = values
            for name, noted in judged.notes.items():
                notes.setdefault(name, np.full(len(rows), np.nan))[part] = noted
            faults += [fault._replace(row=part.start + fault.row) for fault in judged.faults]
        return scored._replace(faults=tuple(faults), notes=notes)

    def state(self, slot: int) -> State:
        """Return a copy of the state of a market's detector."""
        return self._markets[slot].state()

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged, or of other parameters.
        """
        self._markets[slot].load_state(state)

    def sentence(self, finding: Finding) -> str:
        """Return the detectors' sentence."""
        return self._any.sentence(finding)
