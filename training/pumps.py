"""A scorer for `pump_dump`, learned from labelled pumps.

Each recorded market goes through the detector as it would live, and wherever a scorer would be asked, its
features are kept: the same code asks and trains. What comes within a labelled pump's time is a pump, what
comes in its aftermath or while the market warms up is left out, everything else is none. Moments less than an
hour apart are one burst; bursts count alike, however many trades they have.

Random forest and shares at its ends: L. Breiman, "Random Forests", Machine Learning 45, 2001.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from detector.arrays import BoolVector, FloatMatrix, FloatVector, IntVector
from detector.evaluation.baselines import require_scikit_learn
from detector.evaluation.events import Label, Truth
from detector.evaluation.rules import RULES
from detector.evaluation.tapes import MarketTape
from detector.features import FeatureParams, Features, Tape
from detector.kernels.decision_trees import Trees
from detector.kernels.pumps import SCORER_FEATURES
from detector.patterns.pump_dump import PUMP_FEATURES, WINDOW_S, PumpDump, PumpDumpParams
from detector.patterns.pump_scorer import PumpScorer, Training
from detector.runs import Runs
from shared.errors import TapewatchError

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

KIND: Final = "pump_dump"
_BURST_US: Final = 3_600_000_000
# Trees of a round; progress is told after each.
_ROUND_TREES: Final = 10

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class ForestParams:
    """How a forest is grown.

    Attributes:
        trees: how many.
        depth: of each, at most.
        least_share: of the bursts that an end must hold.
        seed: of the randomness.
    """

    trees: int = 200
    depth: int = 5
    least_share: float = 0.01
    seed: int = 1

    def __post_init__(self) -> None:
        if self.trees < 1 or self.depth < 1 or not 0 < self.least_share < 0.5:
            raise ValueError(f"trees and depth must be 1 at least, least_share between 0 and 0.5, not {self}")


class Examples(NamedTuple):
    """n moments at which a scorer would be asked.

    Attributes:
        symbols: n, markets.
        questions: (n, `SCORER_FEATURES`).
        are_pumps: n.
        bursts: n, number of the burst that each belongs to.
        trades: in the recordings that they come from.
    """

    symbols: tuple[str, ...]
    questions: FloatMatrix
    are_pumps: BoolVector
    bursts: IntVector
    trades: int = 0

    @property
    def weights(self) -> FloatVector:
        """n, which make every burst count alike."""
        weights: FloatVector = 1.0 / np.bincount(self.bursts)[self.bursts]
        return weights

    def count_bursts(self, *, are_pumps: bool) -> int:
        """Return how many bursts are pumps, or none."""
        return len(np.unique(self.bursts[self.are_pumps == are_pumps]))

    def without(self, symbols: Iterable[str]) -> "Examples":
        """Return those of other markets."""
        unwanted = frozenset(symbols)
        kept = np.array([symbol not in unwanted for symbol in self.symbols], np.bool_)
        return Examples(
            tuple(np.array(self.symbols)[kept].tolist()),
            self.questions[kept],
            self.are_pumps[kept],
            np.unique(self.bursts[kept], return_inverse=True)[1],
            self.trades,
        )

    @classmethod
    def joined(cls, parts: Sequence["Examples"]) -> "Examples":
        """Return several as one."""
        firsts = np.cumsum([0, *(len(np.unique(part.bursts)) for part in parts)])
        return cls(
            tuple(symbol for part in parts for symbol in part.symbols),
            np.concatenate([np.empty((0, len(SCORER_FEATURES))), *(part.questions for part in parts)]),
            np.concatenate([np.empty(0, np.bool_), *(part.are_pumps for part in parts)]),
            np.concatenate(
                [
                    np.empty(0, np.int64),
                    *(part.bursts + first for part, first in zip(parts, firsts.tolist(), strict=False)),
                ]
            ),
            sum(part.trades for part in parts),
        )


def examples(tape: MarketTape, truths: Iterable[Truth]) -> Examples:
    """Return the examples of one market, each span of its recording from its beginning on."""
    own = [
        truth
        for truth in truths
        if (truth.kind, truth.symbol) == (KIND, tape.symbol) and truth.exchange in {"", tape.exchange}
    ]
    return Examples.joined([_of_span(part, own) for part in tape.parts()])._replace(trades=len(tape.times_us))


def rows_of(tape: MarketTape) -> FloatMatrix:
    """Return what the detector looks at, trade by trade, each span from its beginning on."""
    features = Features(FeatureParams(windows_s=(WINDOW_S,), columns=PUMP_FEATURES))
    found = []
    for part in tape.parts():
        features.open(0, identity=f"{tape.exchange}/{tape.symbol}")
        trades = Tape(
            part.prices, np.abs(part.bought), np.asarray(part.bought < 0.0, np.int64), part.times_us
        )
        found.append(features.update(Runs.single(0, len(part.times_us)), trades)[0])
        features.close(0)
    return np.concatenate(found)


def _of_span(tape: MarketTape, truths: Sequence[Truth]) -> Examples:
    stage = PumpDump(PumpDumpParams(), features=PUMP_FEATURES)
    stage.open(0, identity=f"{tape.exchange}/{tape.symbol}")
    _, questions = stage.questions(Runs.single(0, len(tape.times_us)), rows_of(tape))
    at = np.flatnonzero(questions.any(axis=1))
    rule, (span,) = RULES[KIND], tape.spans
    at = at[tape.times_us[at] >= span.start_us + rule.warm_up_us(span)]
    are_pumps, is_unknown = np.zeros(len(at), np.bool_), np.zeros(len(at), np.bool_)
    for truth in truths:
        window, aftermath = rule.window(truth), rule.aftermath(truth)
        times_us = tape.times_us[at]
        if truth.label is Label.EVENT:
            are_pumps |= (times_us >= window.start_us) & (times_us < window.end_us)
            is_unknown |= (times_us >= aftermath.start_us) & (times_us < aftermath.end_us)
        elif truth.label is Label.UNLABELLED:
            is_unknown |= (times_us >= truth.start_us) & (times_us < (truth.end_us or truth.start_us))
    kept = are_pumps | ~is_unknown
    at, are_pumps = at[kept], are_pumps[kept]
    begins = np.diff(tape.times_us[at], prepend=np.int64(-_BURST_US)) > _BURST_US
    begins |= np.diff(are_pumps, prepend=~are_pumps[:1])
    return Examples((tape.symbol,) * len(at), questions[at], are_pumps, np.cumsum(begins) - 1)


def train(
    found: Examples, params: ForestParams, *, recordings: Sequence[str] = (), progress: Progress | None = None
) -> PumpScorer:
    """Return a scorer that has learned from examples.

    Args:
        found: examples.
        params: of the forest.
        recordings: names of the files, for people.
        progress: told what is done, how much of it and of how much.

    Raises:
        TapewatchError: there are not at least two pumps and two other bursts.
        ToolMissingError: scikit-learn is not installed.
    """
    require_scikit_learn()
    import sklearn  # noqa: PLC0415 - a second to load, and needed by few
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - as above

    pumps, others = found.count_bursts(are_pumps=True), found.count_bursts(are_pumps=False)
    if pumps < 2 or others < 2:
        raise TapewatchError(
            f"{pumps} labelled pumps and {others} other bursts were seen; two of each are needed at least"
        )
    forest = RandomForestClassifier(
        n_estimators=1,
        max_depth=params.depth,
        min_weight_fraction_leaf=params.least_share,
        random_state=params.seed,
        warm_start=True,
    )
    for trees in [*range(_ROUND_TREES, params.trees, _ROUND_TREES), params.trees]:
        forest.set_params(n_estimators=trees)
        forest.fit(found.questions, found.are_pumps, sample_weight=found.weights)
        if progress is not None:
            progress("trees", trees, params.trees)
    importances = zip(SCORER_FEATURES, forest.feature_importances_.round(4).tolist(), strict=True)
    training = Training(
        pumps=pumps,
        bursts=others,
        trades=found.trades,
        recordings=tuple(recordings),
        importances=dict(sorted(importances, key=lambda pair: -pair[1])),
        settings={
            "trees": params.trees,
            "depth": params.depth,
            "least_share": params.least_share,
            "seed": params.seed,
        },
        library=f"scikit-learn {sklearn.__version__}",
    )
    return PumpScorer(trees=_flat(forest), training=training)


def _flat(forest: "RandomForestClassifier") -> Trees:
    """Return the trees one after the other."""
    trees = [one.tree_ for one in forest.estimators_]
    roots = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]
    is_end = np.concatenate([tree.children_left for tree in trees]) == -1

    def placed(name: str) -> IntVector:
        nodes = [getattr(tree, name) + root for tree, root in zip(trees, roots, strict=True)]
        return np.where(is_end, -1, np.concatenate(nodes)).astype(np.int64)

    # Of each class the weight of its examples, or its share, as versions of the library differ.
    counts = np.concatenate([tree.value[:, 0, :] for tree in trees])
    return Trees(
        roots=roots.astype(np.int64),
        features=np.where(is_end, 0, np.concatenate([tree.feature for tree in trees])).astype(np.int64),
        thresholds=np.where(is_end, 0.0, np.concatenate([tree.threshold for tree in trees])),
        lefts=placed("children_left"),
        rights=placed("children_right"),
        shares=counts[:, 1] / counts.sum(axis=1),
    )
