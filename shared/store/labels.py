"""What people say about anomalies: stored here, one word per episode and person, for evaluation."""

from enum import StrEnum
from typing import Final

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.store.tables import LabelRow

DEFAULT_LIMIT: Final = 5_000


class Verdict(StrEnum):
    """Whether an anomaly is one."""

    REAL = "real"
    FALSE = "false"
    UNSURE = "unsure"


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """One person's latest word about one episode.

    Attributes:
        episode_id: of the episode.
        author: who says so.
        verdict: what they say.
        note: why, in their words.
        time_us: when they said it, by our clock.
        symbol: market of the episode; likewise `exchange`, `kind`, `detector` and `fingerprint`.
        start_us: event time of its first anomalous trade.
        end_us: event time of its latest one when it was labelled.
    """

    episode_id: str
    author: str
    verdict: Verdict
    note: str
    time_us: int
    symbol: str
    exchange: str
    kind: str
    detector: str
    fingerprint: str
    start_us: int
    end_us: int


def save_label(session: Session, label: Label) -> None:
    """Store a label in the place of its author's earlier one."""
    # PostgreSQL's text cannot hold this one character.
    words = {
        name: value.replace("\x00", "\ufffd") if isinstance(value, str) else value
        for name, value in msgspec.structs.asdict(label).items()
    }
    session.merge(LabelRow(**words))


def labels(session: Session, *, limit: int | None = DEFAULT_LIMIT) -> list[Label]:
    """Return labels, the latest first; not more than `limit`, None for all."""
    query = select(LabelRow).order_by(LabelRow.time_us.desc(), LabelRow.episode_id, LabelRow.author)
    rows = session.scalars(query.limit(limit))
    return [msgspec.convert(row, Label, from_attributes=True) for row in rows]
