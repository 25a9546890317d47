"""Which settings a partition is judged with, from which offset on: so that reading again finds the same.

Settings change while trades flow. Whoever reads a partition again, after a restart or a hand-over, must
change them at the same record. So a change takes effect between two commits, and its offset is kept in the
partition's own record of the snapshots topic, in the transaction that commits that offset (ADR 0010).
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final, TypeAlias

import msgspec
import numpy as np

from shared.events import DetectorConfig
from shared.stream.intake import TradeBatch, rows_of

TIMELINE_KEY: Final = b"@settings"
_FORMAT_VERSION: Final = 1
# Of a change that every snapshot and the marker already contain: from the beginning on.
_BEFORE_ALL: Final = -1

Configs: TypeAlias = tuple[DetectorConfig, ...]


class Change(msgspec.Struct, frozen=True, array_like=True):
    """All settings from an offset on.

    Attributes:
        offset: of the first record that is judged with them.
        configs: the latest of every scope, in the order of their scopes.
    """

    offset: int
    configs: Configs


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    version: int
    changes: tuple[Change, ...]


_pack: Final = msgspec.msgpack.Encoder()
_unpack: Final = msgspec.msgpack.Decoder(_Kept)


class Timeline:
    """The changes of one partition, and how far they have taken effect.

    Attributes:
        current: the settings at the partition's position.
        is_unsaved: a change has not been written yet.
    """

    def __init__(self, changes: tuple[Change, ...] = (), *, position: int = 0) -> None:
        """Make the timeline of a partition that is read from `position` on."""
        self._changes = list(changes)
        past = [change for change in changes if change.offset < position]
        self._ahead = list(changes[len(past) :])
        self.current: Configs = past[-1].configs if past else ()
        self.is_unsaved = False

    def change(self, offset: int, configs: Configs) -> Change:
        """Change the settings from an offset on, at which the partition stands; nothing may be ahead."""
        assert not self._ahead, "a change of the past has not taken effect yet"
        self._changes.append(Change(offset, configs))
        self.current = configs
        self.is_unsaved = True
        return self._changes[-1]

    def offsets_ahead(self) -> list[int]:
        """Return the offsets of changes that have not taken effect."""
        return [change.offset for change in self._ahead]

    def due(self, offset: int) -> list[Change]:
        """Let the changes up to an offset, included, take effect, and return them."""
        due = [change for change in self._ahead if change.offset <= offset]
        if due:
            self._ahead = self._ahead[len(due) :]
            self.current = due[-1].configs
        return due

    def encode(self, *, resume_offset: int) -> bytes:
        """Return the value of the record under `TIMELINE_KEY`.

        Args:
            resume_offset: from which the partition would be read again; of the changes before it, only the
                latest is kept.
        """
        past = [change for change in self._changes if change.offset < resume_offset]
        if past:
            self._changes = [Change(_BEFORE_ALL, past[-1].configs), *self._changes[len(past) :]]
        return _pack.encode(_Kept(_FORMAT_VERSION, tuple(self._changes)))


def decode_timeline(value: bytes | None) -> tuple[Change, ...]:
    """Return the changes that a record holds; none when there is no record.

    Raises:
        ValueError: it is damaged, or of another format.
    """
    if not value:
        return ()
    try:
        kept = _unpack.decode(value)
    except msgspec.DecodeError as error:
        raise ValueError(f"damaged settings: {error}") from error
    if kept.version != _FORMAT_VERSION:
        raise ValueError(f"settings of format {kept.version}, this version reads {_FORMAT_VERSION}")
    return kept.changes


def cut_where_settings_change(
    batch: TradeBatch, timelines: Mapping[int, Timeline]
) -> Iterator[tuple[TradeBatch, dict[int, list[Change]]]]:
    """Yield the batch in parts, each with the changes, per partition, that take effect before it.

    Nearly always that is the batch itself without a change: only what is read again has changes ahead.

    Args:
        batch: what was read.
        timelines: of all its partitions.
    """
    changing = [number for number in batch.positions if timelines[number].offsets_ahead()]
    if not changing:
        yield batch, {}
        return
    cuts = {0, len(batch.trades)}
    for number in changing:
        mine = np.flatnonzero(batch.partitions == number)
        places = np.searchsorted(batch.offsets[mine], timelines[number].offsets_ahead())
        cuts |= {int(mine[place]) for place in places.tolist() if place < len(mine)}
    bounds = sorted(cuts) if len(batch.trades) else [0, 0]
    for start, stop in pairwise(bounds):
        part = rows_of(batch, start, stop)
        firsts = dict(zip(part.partitions[::-1].tolist(), part.offsets[::-1].tolist(), strict=True))
        due = {number: timelines[number].due(firsts[number]) for number in changing if number in firsts}
        yield part, {number: changes for number, changes in due.items() if changes}
