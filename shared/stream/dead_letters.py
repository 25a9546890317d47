"""Invalid records: set aside with their bytes, up to a limit that halts the worker.

One bad record is the record's fault; hundreds at once are the fault of a deploy, and draining the topic into
`dead-letters` would then only spread the damage.
"""

from collections import deque
from dataclasses import dataclass

from shared.errors import DeadLetterLimitError, InvalidRecordError
from shared.events import DeadLetter
from shared.metrics import counter
from shared.stream.broker import Message


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


def dead_letter(message: Message, error: InvalidRecordError, *, source: str, time_us: int) -> DeadLetter:
    """Return the event that keeps an invalid record, and count it."""
    counter("tapewatch_dead_letters_total").labels(source=source).inc()
    return DeadLetter(
        source=source,
        partition=message.partition(),
        offset=message.offset(),
        key=message.key() or b"",
        payload=error.payload,
        reason=error.reason,
        time_us=time_us,
    )
