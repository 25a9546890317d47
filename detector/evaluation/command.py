"""What `python -m detector evaluate` does: labels and recordings in, report out."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import RenderableType

from detector.catalogue import CATALOGUE
from detector.evaluation.baselines import require_scikit_learn
from detector.evaluation.contestants import Baseline, Configuration
from detector.evaluation.events import ANY_KIND
from detector.evaluation.judging import Contestant, Plan, Progress, judge
from detector.evaluation.page import page
from detector.evaluation.report import Report, as_json, tables
from detector.evaluation.rules import with_changes
from detector.evaluation.scores import scores
from detector.evaluation.truth import read_truth
from detector.quotes.spoofing import Spoofing
from shared.errors import RecordingError, TapewatchError

_PREFIX = "detector_"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What somebody wants to know.

    Attributes:
        recordings: files.
        truth: files of labels.
        contestants: who is compared, the one that pictures show first.
        kinds: that are judged; empty: all that something is labelled of.
        rules: changes of rules, as words.
        forget_after_s: silence after which a market begins anew.
        jobs: processes.
        pictures: at most, of each sort.
        words: of the command line, for the report.
    """

    recordings: tuple[Path, ...]
    truth: tuple[Path, ...]
    contestants: tuple[Contestant, ...]
    kinds: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    forget_after_s: float = 86_400.0
    jobs: int = 1
    pictures: int = 24
    words: tuple[str, ...] = ()


def evaluate(asked: Asked, folder: Path, *, progress: Progress) -> RenderableType:
    """Judge the recordings, write `report.html` and `report.json`, and return the tables for the terminal.

    Args:
        asked: what is to be judged.
        folder: for the report; it is made where there is none.
        progress: is told how far it is.

    Raises:
        RecordingError: labels or recordings cannot be read.
        TapewatchError: the folder cannot be written, or a contestant cannot work with what there is.
        ValueError: a rule makes no sense.
    """
    rules = with_changes(asked.rules)
    truths = read_truth(asked.truth)
    kinds = asked.kinds or tuple(dict.fromkeys(truth.kind for truth in truths))
    if not kinds:
        raise RecordingError(", ".join(map(str, asked.truth)), reason="nothing is labelled; or name a --kind")
    names = [_name(contestant) for contestant in asked.contestants]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TapewatchError(f"compared with itself: {', '.join(twice)}")
    if {Baseline.REFIT_FOREST, Baseline.LA_MORGIA} & set(asked.contestants):
        require_scikit_learn()
    _make(folder)
    plan = Plan(
        recordings=asked.recordings,
        contestants=tuple(_with_needed(contestant, kinds, asked.jobs) for contestant in asked.contestants),
        forget_after_s=asked.forget_after_s,
        jobs=asked.jobs,
    )
    judged = judge(plan, truths, progress=progress)
    judged.alarms = {name: judged.alarms[name] for name in names}
    report = Report(
        title=f"How good: {', '.join(kinds)}",
        judged=judged,
        scores=scores(judged, truths, kinds=kinds, rules=rules),
        command=shlex.join(["python", "-m", "detector", *asked.words]),
    )
    (folder / "report.json").write_text(as_json(report) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(page(report, pictures=asked.pictures), encoding="utf-8")
    return tables(report)


def baseline(name: str) -> Baseline | None:
    """Return the baseline of that name, if there is one."""
    return Baseline(name) if name in list(Baseline) else None


def assignments(text: str) -> dict[str, object]:
    """Return the settings of `NAME=VALUE` words; `DETECTOR_` before a name may be left out.

    Raises:
        ValueError: it is neither such words nor a file nor a baseline.
    """
    values: dict[str, object] = {}
    for word in shlex.split(text):
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(
                f"{text!r} is no file, no NAME=VALUE and none of the baselines {', '.join(Baseline)}"
            )
        lower = name.lower()
        values[lower if lower.startswith(_PREFIX) else _PREFIX + lower] = value
    return values


def _with_needed(contestant: Contestant, kinds: Sequence[str], jobs: int) -> Contestant:
    """Return the contestant, without quotes and the step for all markets where no such kind is judged.

    Raises:
        TapewatchError: it is needed, and markets are to be shared out.
    """
    if isinstance(contestant, Baseline):
        return contestant
    if not {Spoofing.kind, ANY_KIND} & set(kinds):
        contestant = replace(contestant, quotes=None)
    if contestant.cross is None:
        return contestant
    of_one_market = {entry.name for entry in CATALOGUE}
    if of_one_market.issuperset(kinds):
        return replace(contestant, cross=None)
    if jobs > 1:
        concerned = ", ".join(kind for kind in kinds if kind not in of_one_market)
        raise TapewatchError(f"{concerned} may concern several markets, which needs --jobs 1")
    return contestant


def _name(contestant: Contestant) -> str:
    return contestant.name if isinstance(contestant, Configuration) else contestant.value


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TapewatchError(f"{folder}: no report can be written there: {error.strerror}") from error
