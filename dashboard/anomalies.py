"""What the page about anomalies says: pure functions from a snapshot to rows, figures and labels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dashboard import formats
from dashboard.panels import Cell, Column, Figure, Grid, Row, Strip, Tone
from dashboard.state import EpisodeView, View
from dashboard.views import ON_TRIAL, SEVERITY_TONES, alert_text
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Anomaly, EpisodePhase
from shared.store.labels import Label, Verdict

ROWS: Final = 300
# Other episodes that overlap with one, widened by this much, count as of the same moment.
MOMENT_S: Final = 60
_BAR_BLOCKS: Final = 20
_NOTE_LENGTH: Final = 500

LIST_COLUMNS: Final = (
    Column(label="Market", kind="text", align="left"),
    Column(label="Severity", kind="pill", align="left"),
    Column(label="Kind", kind="text", align="left"),
    Column(label="Time, UTC", kind="text", align="left"),
    Column(label="Rarity", title="how often something at least as strange begins, per trade", minor=True),
    Column(label="Lasted", minor=True),
    Column(label="Alert", kind="text", align="left", minor=True),
    Column(label="Label", kind="text", align="left", minor=True),
    Column(label="Why", kind="text", align="left"),
)
SHARE_COLUMNS: Final = (
    Column(label="Feature", kind="text", align="left"),
    Column(label="Value"),
    Column(label="Share", title="of the score"),
    Column(label="", kind="text", align="left"),
)
_VERDICT_TONES: Final[Mapping[str, Tone]] = {
    Verdict.REAL: "good",
    Verdict.FALSE: "bad",
    Verdict.UNSURE: "warn",
}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which episodes are listed; an empty choice stands for all.

    Attributes:
        markets: symbols.
        kinds: of anomalies.
        detectors: their names.
        severities: the worst of an episode counts.
        within_s: of event time before the newest trade; None for all that is remembered.
    """

    markets: Sequence[str] = ()
    kinds: Sequence[str] = ()
    detectors: Sequence[str] = ()
    severities: Sequence[str] = ()
    within_s: int | None = None

    def includes(self, episode: EpisodeView, now_us: int | None) -> bool:
        """Return whether an episode is wanted, at this event time."""
        latest = episode.latest
        if self.within_s is not None and now_us is not None:
            is_recent = latest.event_time_us >= now_us - self.within_s * MICROSECONDS_PER_SECOND
        else:
            is_recent = True
        return is_recent and all(
            not choice or value in choice
            for choice, value in (
                (self.markets, latest.symbol),
                (self.kinds, latest.kind),
                (self.detectors, latest.detector),
                (self.severities, episode.worst.severity.value),
            )
        )


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What can be filtered by, in order of the alphabet."""

    markets: list[str]
    kinds: list[str]
    detectors: list[str]


def choices(view: View) -> Choices:
    """Return the markets, kinds and detectors of the episodes that are remembered."""
    told = [episode.latest for episode in view.episodes]
    return Choices(
        markets=sorted({anomaly.symbol for anomaly in told}),
        kinds=sorted({anomaly.kind for anomaly in told}),
        detectors=sorted({anomaly.detector for anomaly in told}),
    )


def anomaly_list(view: View, wanted: Wanted, labels: Sequence[Label], *, is_stale: bool = False) -> Grid:
    """Return the episodes that are wanted, latest first.

    Args:
        view: the snapshot.
        wanted: which.
        labels: what people say, latest first.
        is_stale: whether all of the snapshot is old.
    """
    found = [episode for episode in view.episodes if wanted.includes(episode, view.now_us)]
    is_cut = len(found) > ROWS
    shown = f"the latest {ROWS} of {formats.count(len(found))}" if is_cut else formats.count(len(found))
    empty = "No anomaly so far: what the detectors find appears here, with the reason."
    if view.episodes:
        empty = (
            f"None of the {formats.count(len(view.episodes))} anomalies fits; choose less, or a longer time."
        )
    return _grid("Anomalies", found, labels, note=shown, empty=empty, is_stale=is_stale)


def find_episode(view: View, episode_id: str) -> EpisodeView | None:
    """Return the episode of this id; None when it is not remembered."""
    return next((e for e in view.episodes if e.latest.episode.episode_id == episode_id), None)


def stored_episode(anomaly: Anomaly) -> EpisodeView:
    """Return an episode of which the store has given one event."""
    return EpisodeView(first=anomaly, latest=anomaly, worst=anomaly, why=anomaly, context=anomaly.context)


def anomaly_head(episode: EpisodeView) -> Strip:
    """Return what an anomaly is, and the sentence that says why."""
    told, worst = episode.latest, episode.worst
    lasted_s = (told.episode.last_us - told.episode.opened_us) / MICROSECONDS_PER_SECOND
    is_over = told.episode.phase is EpisodePhase.CLOSED
    return Strip(
        heading=told.symbol,
        pill=worst.severity.value,
        pill_tone=SEVERITY_TONES[worst.severity],
        figures=(
            Figure(label="", value=formats.words(told.kind)),
            Figure(label="on", value=told.exchange),
            Figure(label="began", value=formats.utc_stamp(told.episode.opened_us)),
            Figure(label="lasted", value=formats.duration(lasted_s) + ("" if is_over else ", open")),
            Figure(label="price", value=formats.price(episode.first.price)),
        ),
        note=episode.reason,
    )


def rarity_strip(episode: EpisodeView) -> Strip:
    """Return how strange it was, and beyond what."""
    worst = episode.worst
    is_rarity = worst.threshold_on == "rarity"
    threshold = formats.rarity(worst.threshold) if is_rarity else f"score {worst.threshold:,.4g}"
    return Strip(
        heading="",
        figures=(
            Figure(
                label="rarity",
                value=formats.rarity(worst.rarity),
                title="how often something at least as strange begins, per trade of the market",
            ),
            Figure(label="at its peak", value=formats.rarity(worst.episode.peak_rarity)),
            Figure(label="told beyond", value=threshold),
            Figure(label="score", value=f"{worst.score:,.4g}", title="its unit is the detector's"),
            Figure(label="trades", value=formats.count(episode.latest.episode.trades)),
            Figure(
                label="detector",
                value=formats.words(worst.detector) + (f", {ON_TRIAL}" if worst.shadow else ""),
                title=f"configuration {worst.fingerprint}",
            ),
        ),
    )


def share_grid(episode: EpisodeView) -> Grid:
    """Return what drove the score, the largest share first."""
    why = episode.why
    names = sorted({*why.features, *why.contributions}, key=lambda name: (-_share(why, name), name))
    return Grid(
        caption="What drove it",
        note="features and their shares of the score",
        columns=SHARE_COLUMNS,
        rows=tuple(_share_row(why, name) for name in names),
        empty="The detector gave no features.",
    )


def history_grid(view: View, episode: EpisodeView, labels: Sequence[Label]) -> Grid:
    """Return the other episodes of this kind on this market."""
    told = episode.latest
    found = [
        other
        for other in view.episodes
        if (other.latest.symbol, other.latest.kind) == (told.symbol, told.kind)
        and not _is_same(other, episode)
    ]
    return _grid(
        "The same kind on this market",
        found,
        labels,
        note=formats.count(len(found)),
        empty=f"The only {formats.words(told.kind)} on {told.symbol} that is remembered.",
    )


def moment_grid(view: View, episode: EpisodeView, labels: Sequence[Label]) -> Grid:
    """Return what else was strange at that moment: other kinds, other markets."""
    told = episode.latest.episode
    margin_us = MOMENT_S * MICROSECONDS_PER_SECOND
    found = [
        other
        for other in view.episodes
        if other.latest.episode.last_us >= told.opened_us - margin_us
        and other.latest.episode.opened_us <= told.last_us + margin_us
        and not _is_same(other, episode)
    ]
    return _grid(
        "At that moment",
        found,
        labels,
        note=f"within {formats.duration(MOMENT_S)}",
        empty="Nothing else was strange, on this market or another.",
    )


def label_strip(labels: Sequence[Label], episode_id: str) -> Strip:
    """Return what people say about an episode, latest first."""
    said = [label for label in labels if label.episode_id == episode_id]
    if not said:
        return Strip(heading="", note="Nobody has labelled it yet.", note_tone="muted")
    latest = said[0]
    others = "".join(f"; {label.author}: {_said(label)}" for label in said[1:])
    return Strip(
        heading="",
        pill=latest.verdict.value,
        pill_tone=_VERDICT_TONES[latest.verdict],
        figures=(Figure(label="says", value=latest.author, title=formats.utc_stamp(latest.time_us)),),
        note=f"{latest.note}{others}".removeprefix("; "),
    )


def label_of(episode: EpisodeView, verdict: Verdict, *, note: str, author: str, now_us: int) -> Label:
    """Return the label that somebody gives to an episode.

    Args:
        episode: the episode.
        verdict: what they say.
        note: why, in their words.
        author: who.
        now_us: our clock.
    """
    told = episode.latest
    return Label(
        episode_id=told.episode.episode_id,
        author=author,
        verdict=verdict,
        note=note.strip()[:_NOTE_LENGTH],
        time_us=now_us,
        symbol=told.symbol,
        exchange=told.exchange,
        kind=told.kind,
        detector=told.detector,
        fingerprint=told.fingerprint,
        start_us=told.episode.opened_us,
        end_us=told.episode.last_us,
    )


def _grid(
    caption: str,
    episodes: Sequence[EpisodeView],
    labels: Sequence[Label],
    *,
    note: str,
    empty: str,
    is_stale: bool = False,
) -> Grid:
    # The oldest first, so that of several people the latest word stays.
    verdicts = {label.episode_id: label.verdict for label in reversed(labels)}
    return Grid(
        caption=caption,
        note=note,
        columns=LIST_COLUMNS,
        rows=tuple(
            _row(episode, verdicts.get(episode.latest.episode.episode_id), is_stale=is_stale)
            for episode in episodes[:ROWS]
        ),
        empty=empty,
        is_choice=True,
    )


def _row(episode: EpisodeView, verdict: Verdict | None, *, is_stale: bool) -> Row:
    told, worst = episode.latest, episode.worst
    began_us = told.episode.opened_us
    lasted_s = (told.episode.last_us - began_us) / MICROSECONDS_PER_SECOND
    return Row(
        row_id=told.episode.episode_id,
        stale=is_stale,
        cells=(
            Cell(text=told.symbol, title=told.exchange),
            Cell(text=worst.severity.value, order=worst.severity.rank, tone=SEVERITY_TONES[worst.severity]),
            Cell(text=formats.words(told.kind), title=formats.words(told.detector)),
            Cell(text=formats.utc_time(began_us), order=began_us, title=formats.utc_stamp(began_us)),
            Cell(text=formats.rarity(told.episode.peak_rarity), order=told.episode.peak_rarity),
            Cell(text=formats.duration(lasted_s), order=lasted_s),
            Cell(text=ON_TRIAL if told.shadow else alert_text(episode.alert)),
            Cell(text=verdict.value, tone=_VERDICT_TONES[verdict]) if verdict else Cell(text=formats.MISSING),
            Cell(text=episode.reason, title=episode.reason),
        ),
    )


def _share_row(why: Anomaly, name: str) -> Row:
    share = _share(why, name)
    value = why.features.get(name)
    is_known = value is not None and math.isfinite(value)
    return Row(
        row_id=name,
        cells=(
            Cell(text=formats.words(name), title=name),
            Cell(text=_figure(value), order=value if is_known else None),
            Cell(text=f"{100 * share:.0f} %" if share > 0 else formats.MISSING, order=share),
            Cell(text="\N{FULL BLOCK}" * round(_BAR_BLOCKS * min(1.0, share)), tone="accent"),
        ),
    )


def _figure(value: float | None) -> str:
    # Plain digits up to a million: beyond it they would be written with an exponent.
    if value is None or not math.isfinite(value) or abs(value) >= 1e6:
        return formats.compact(value)
    return f"{value:,.6g}"


def _share(why: Anomaly, name: str) -> float:
    share = why.contributions.get(name, 0.0)
    return share if math.isfinite(share) else 0.0


def _said(label: Label) -> str:
    return f"{label.verdict.value} ({label.note})" if label.note else label.verdict.value


def _is_same(one: EpisodeView, other: EpisodeView) -> bool:
    return one.latest.episode.episode_id == other.latest.episode.episode_id
