"""Stages made of what knows one market: one object, and one Python call, per market."""

import numpy as np

from detector.arrays import FloatMatrix, FloatVector, IntVector
from detector.calibration import Calibrated, CalibrationParams, Calibrator
from detector.features import FeatureParams, Features, Tape
from detector.online.protocol import Scale
from detector.runs import Runs
from shared.stream.step import State


class PerMarketFeatures:
    """Features, market by market."""

    def __init__(self, params: FeatureParams) -> None:
        self.names = params.names
        self._params = params
        self._markets: dict[int, Features] = {}

    def open(self, slot: int, *, identity: str) -> None:  # noqa: ARG002 - a stage's signature
        """Give a slot to a market."""
        self._markets[slot] = Features(self._params)

    def close(self, slot: int) -> None:
        """Free a slot."""
        del self._markets[slot]

    def update(self, runs: Runs, tape: Tape) -> tuple[FloatMatrix, IntVector]:
        """Learn n trades; return n rows of features and n event times."""
        rows = np.empty((len(tape.prices), len(self.names)), np.float64)
        clock_us = np.empty(len(rows), np.int64)
        for slot, part in runs.each():
            rows[part], clock_us[part] = self._markets[slot].update(tape.part(part.start, part.stop))
        return rows, clock_us

    def state(self, slot: int) -> State:
        """Return a market's state."""
        return self._markets[slot].state()

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state."""
        self._markets[slot].load_state(state)


class PerMarketCalibration:
    """Calibrators, market by market."""

    def __init__(self, params: CalibrationParams, *, scale: Scale) -> None:
        self._params = params
        self._scale: Scale = scale
        self._markets: dict[int, Calibrator] = {}

    def open(self, slot: int, *, identity: str) -> None:  # noqa: ARG002 - a stage's signature
        """Give a slot to a market."""
        self._markets[slot] = Calibrator(self._params, scale=self._scale)

    def close(self, slot: int) -> None:
        """Free a slot."""
        del self._markets[slot]

    def calibrate(self, runs: Runs, scores: FloatVector) -> Calibrated:
        """Return what n scores mean."""
        calibrated = Calibrated(np.empty(len(scores)), np.empty(len(scores)))
        for slot, part in runs.each():
            calibrated.rarities[part], calibrated.usual[part] = self._markets[slot].calibrate(scores[part])
        return calibrated

    def state(self, slot: int) -> State:
        """Return a market's state."""
        return self._markets[slot].state()

    def load_state(self, slot: int, state: State) -> None:
        """Go on from a state."""
        self._markets[slot].load_state(state)
