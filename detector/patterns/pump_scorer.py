"""An optional second opinion on pumps: a forest of decision trees that somebody has trained on own labels.

`python -m training pumps` makes one; `PUMP_DUMP_SCORER` names its folder. It is two files: `model.json` says
what it is, which features it asks for, what it learned from and how much each feature counted; `trees.npz`
holds the trees as plain arrays. Nothing in them is executed, and a model of another form or version, with
features that are not known here, or whose arrays make no sense, is refused.

The features are La Morgia's twelve (`detector/kernels/pump_chunks.py`), and what the detector itself looks
at.
"""

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from detector.arrays import BoolVector, loaded
from detector.kernels.decision_trees import Trees
from detector.kernels.pumps import SCORER_FEATURES
from shared.errors import ModelRefusedError

if TYPE_CHECKING:
    from shared.stream.step import State

FORMAT: Final = "tapewatch-pump-scorer"
VERSION: Final = 1
MODEL_FILE: Final = "model.json"
TREES_FILE: Final = "trees.npz"


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """What a scorer learned from, for people.

    Attributes:
        pumps: labelled ones that were seen.
        bursts: other bursts that were seen.
        trades: in the recordings.
        recordings: names of the files.
        importances: by feature, adding up to 1.
        settings: of the training.
        library: what it was trained with.
    """

    pumps: int
    bursts: int
    trades: int
    recordings: tuple[str, ...]
    importances: dict[str, float]
    settings: dict[str, float]
    library: str


class _Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: str
    version: int
    model_id: str
    features: tuple[str, ...]
    training: Training


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PumpScorer:
    """A trained forest.

    Attributes:
        trees: whose features are numbers of `SCORER_FEATURES`.
        training: what it learned from.
        model_id: of its trees.
    """

    trees: Trees
    training: Training
    model_id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model_id", _identity(self.trees))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PumpScorer) and other.model_id == self.model_id

    def __hash__(self) -> int:
        return hash(self.model_id)

    def __repr__(self) -> str:
        return f"PumpScorer({self.model_id})"


def save(scorer: PumpScorer, folder: Path) -> None:
    """Write a scorer into a folder, which is made where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    model = _Model(
        format=FORMAT,
        version=VERSION,
        model_id=scorer.model_id,
        features=SCORER_FEATURES,
        training=scorer.training,
    )
    (folder / MODEL_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(model), indent=2) + b"\n")
    with (folder / TREES_FILE).open("wb") as file:
        np.savez_compressed(file, **scorer.trees._asdict())


def load(folder: Path) -> PumpScorer:
    """Return the scorer of a folder.

    Raises:
        ModelRefusedError: it is missing, of another form or version, damaged, or asks for what is not known.
    """
    try:
        model = msgspec.json.decode((folder / MODEL_FILE).read_bytes(), type=_Model)
        with np.load(folder / TREES_FILE, allow_pickle=False) as arrays:
            found: dict[str, object] = {name: arrays[name] for name in arrays.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ModelRefusedError(str(folder), reason=f"cannot be read: {error}") from error
    if (model.format, model.version) != (FORMAT, VERSION):
        reason = f"is {model.format} version {model.version}; known is {FORMAT} version {VERSION}"
        raise ModelRefusedError(str(folder), reason=reason)
    unknown = [name for name in model.features if name not in SCORER_FEATURES]
    if unknown:
        raise ModelRefusedError(str(folder), reason=f"asks for {', '.join(unknown)}, which is not known")
    try:
        trees = _checked(found, model.features)
    except ValueError as error:
        raise ModelRefusedError(str(folder), reason=f"has damaged trees: {error}") from error
    # Where features stand in another order here, its trees have another identity here too.
    if model.features == SCORER_FEATURES and _identity(trees) != model.model_id:
        raise ModelRefusedError(str(folder), reason="has trees that are not those of its description")
    return PumpScorer(trees=trees, training=model.training)


def _checked(found: Mapping[str, object], names: tuple[str, ...]) -> Trees:
    """Return the trees, asking for features by their number here.

    Raises:
        ValueError: they would lead nowhere, in circles, or out of their arrays.
    """
    whole, real = np.empty(0, np.int64), np.empty(0, np.float64)
    state: State = {name: value for name, value in found.items() if isinstance(value, np.ndarray)}
    lefts = loaded(state, "lefts", whole, shape=(-1,))
    n = (len(lefts),)
    trees = Trees(
        roots=loaded(state, "roots", whole, shape=(-1,)),
        features=loaded(state, "features", whole, shape=n),
        thresholds=loaded(state, "thresholds", real, shape=n),
        lefts=lefts,
        rights=loaded(state, "rights", whole, shape=n),
        shares=loaded(state, "shares", real, shape=n),
    )
    node = np.arange(len(lefts))
    is_end: BoolVector = (trees.lefts == -1) & (trees.rights == -1)
    goes_on = (
        (trees.lefts > node)
        & (trees.rights > node)
        & (trees.lefts < len(node))
        & (trees.rights < len(node))
        & np.isfinite(trees.thresholds)
        & (trees.features >= 0)
        & (trees.features < len(names))
    )
    if not len(trees.roots) or not ((trees.roots >= 0) & (trees.roots < len(node))).all():
        raise ValueError("there are no trees, or their roots are nowhere")
    if not (is_end | goes_on).all():
        raise ValueError("a node leads nowhere")
    if not ((trees.shares >= 0.0) & (trees.shares <= 1.0)).all():
        raise ValueError("a share is no share")
    here = np.array([SCORER_FEATURES.index(name) for name in names], np.int64)
    return trees._replace(features=np.where(is_end, 0, here[np.where(is_end, 0, trees.features)]))


def _identity(trees: Trees) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for values in trees:
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
