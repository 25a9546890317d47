"""Stages made of what knows one market: one object, and one Python call, per market."""

import numpy as np

from detector.arrays import FloatVector
from detector.calibration import Calibrated, CalibrationParams, Calibrator
from detector.online.protocol import Scale
from detector.runs import Runs
from shared.stream.step import State


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
