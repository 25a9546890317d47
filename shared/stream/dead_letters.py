"""Invalid records: set aside with their bytes, up to a limit that halts the worker.

One bad record is the record's fault; hundreds at once are the fault of a deploy, and draining the topic into
`dead-letters` would then only spread the damage.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from msgspec import structs

from shared.errors import DeadLetterLimitError, InvalidRecordError
from shared.events import DeadLetter
from shared.metrics import counter
from shared.stream.broker import Message

# What is kept of a payload: a third more in base64, which fits into a record whatever the broker's limit is,
# for it is at least 1 MB wherever trades can be large. A key is at most a name.
KEPT_PAYLOAD_BYTES: Final = 500_000
KEPT_KEY_BYTES: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class DeadLetterPolicy:
    """How many invalid records are tolerated.

    Attributes:
        limit: records within the window; one more halts the worker.
        window_s: length of the sliding window.
    """

    limit: int = 100
    window_s: float = 60.0


class DeadLetterLimit:
    """Counts invalid records in a sliding window."""

    def __init__(self, policy: DeadLetterPolicy) -> None:
        self._policy = policy
        self._times_s: deque[float] = deque()

    def note(self, now_s: float) -> None:
        """Count one invalid record.

        Raises:
            DeadLetterLimitError: it is one too many.
        """
        self._times_s.append(now_s)
        while self._times_s[0] < now_s - self._policy.window_s:
            self._times_s.popleft()
        if len(self._times_s) > self._policy.limit:
            raise DeadLetterLimitError(
                count=len(self._times_s), limit=self._policy.limit, window_s=self._policy.window_s
            )


def dead_letter(
    message: Message, error: InvalidRecordError, *, source: str, reader: str, time_us: int
) -> DeadLetter:
    """Return the event that keeps an invalid record, and count it.

    Args:
        message: the record.
        error: what is wrong with it.
        source: its topic.
        reader: the group that could not use it.
        time_us: now.
    """
    counter("tapewatch_dead_letters_total").labels(source=source).inc()
    return cut_to_fit(
        DeadLetter(
            source=source,
            partition=message.partition(),
            offset=message.offset(),
            key=(message.key() or b"")[:KEPT_KEY_BYTES],
            payload=error.payload,
            reason=error.reason,
            time_us=time_us,
            reader=reader,
        )
    )


def cut_to_fit(letter: DeadLetter) -> DeadLetter:
    """Return a letter that fits into a record: what cannot be set aside would stop its reader for good."""
    cut_bytes = max(0, len(letter.payload) - KEPT_PAYLOAD_BYTES)
    if not cut_bytes:
        return letter
    return structs.replace(letter, payload=letter.payload[:KEPT_PAYLOAD_BYTES], cut_bytes=cut_bytes)
