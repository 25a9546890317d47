"""A scorer of pumps made by hand."""

import numpy as np

from detector.kernels.decision_trees import Trees
from detector.kernels.pumps import SCORER_FEATURES
from detector.patterns.pump_scorer import PumpScorer, Training

RISE, RUSH = SCORER_FEATURES.index("rise"), SCORER_FEATURES.index("rush_orders")


def scorer(*, share: float = 0.9) -> PumpScorer:
    """Return two trees: a rise of more than 5 %, and then more than 10 rush orders."""
    trees = Trees(
        roots=np.array([0, 3]),
        features=np.array([RISE, 0, 0, RUSH, 0, 0]),
        thresholds=np.array([0.05, 0.0, 0.0, 10.0, 0.0, 0.0]),
        lefts=np.array([1, -1, -1, 4, -1, -1]),
        rights=np.array([2, -1, -1, 5, -1, -1]),
        shares=np.array([0.5, 0.1, share, 0.5, 0.2, 0.6]),
    )
    training = Training(
        pumps=2,
        bursts=2,
        trades=9,
        recordings=("a.csv",),
        importances={"rise": 1.0},
        settings={"trees": 2.0},
        library="by hand",
    )
    return PumpScorer(trees=trees, training=training)
