"""One market of a stage, as a detector of one market: for code that looks at one market at a time."""

from detector.arrays import FloatMatrix
from detector.online.protocol import DecidesOn, DetectorStage, Finding, Scale, Scored
from detector.runs import Runs
from shared.stream.step import State

_SLOT = 0


class SingleMarket:
    """A stage that knows one market; its attributes are those of the stage."""

    def __init__(self, stage: DetectorStage, *, identity: str) -> None:
        """Take over a stage that has no market yet."""
        stage.open(_SLOT, identity=identity)
        self._stage = stage
        self.name: str = stage.name
        self.kind: str = stage.kind
        self.columns: tuple[str, ...] = stage.columns
        self.fingerprint: str = stage.fingerprint
        self.decides_on: DecidesOn = stage.decides_on
        self.threshold: float = stage.threshold
        self.scale: Scale = stage.scale
        self.window_s: float = stage.window_s

    def score_learn(self, rows: FloatMatrix) -> Scored:
        """Score each row and explain it, then learn it."""
        return self._stage.score_learn(Runs.single(_SLOT, len(rows)), rows, explain_all=True)

    def state(self) -> State:
        """Return a copy of the whole state."""
        return self._stage.state(_SLOT)

    def load_state(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged, or of other parameters.
        """
        self._stage.load_state(_SLOT, state)

    def sentence(self, finding: Finding) -> str:
        """Return the stage's sentence."""
        return self._stage.sentence(finding)
