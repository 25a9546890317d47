"""When to commit: a frozen policy, and a state machine that takes the time as an argument."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CommitPolicy:
    """The bounds within which a commit must happen.

    A commit costs about a millisecond of broker time, so input alone is committed rarely; but an anomaly
    becomes visible to readers only with its commit, so output is committed soon.

    Attributes:
        max_records: input records since the last commit.
        max_delay_s: age of the oldest uncommitted input.
        max_output_delay_s: age of the oldest uncommitted output.
        max_outputs: output records since the last commit.
        max_output_bytes: their size.
    """

    max_records: int = 10_000
    max_delay_s: float = 1.0
    max_output_delay_s: float = 0.02
    max_outputs: int = 5_000
    max_output_bytes: int = 8 * 1024 * 1024


class CommitTimer:
    """Says when the policy wants a commit."""

    def __init__(self, policy: CommitPolicy) -> None:
        self._policy = policy
        self._records = 0
        self._outputs = 0
        self._output_bytes = 0
        self._input_since_s: float | None = None
        self._output_since_s: float | None = None

    def processed(self, *, records: int, outputs: int, output_bytes: int = 0, now_s: float) -> None:
        """Note that a batch was processed."""
        if records:
            self._records += records
            self._input_since_s = now_s if self._input_since_s is None else self._input_since_s
        if outputs:
            self._outputs += outputs
            self._output_bytes += output_bytes
            self._output_since_s = now_s if self._output_since_s is None else self._output_since_s

    def is_due(self, now_s: float) -> bool:
        """Return whether to commit now."""
        policy = self._policy
        return (
            self._records >= policy.max_records
            or self._outputs >= policy.max_outputs
            or self._output_bytes >= policy.max_output_bytes
            or _older(self._input_since_s, policy.max_delay_s, now_s)
            or _older(self._output_since_s, policy.max_output_delay_s, now_s)
        )

    def is_pending(self) -> bool:
        """Return whether anything is uncommitted."""
        return self._records > 0 or self._output_since_s is not None

    def wait_s(self, now_s: float, *, at_most_s: float) -> float:
        """Return how long the next poll may wait without missing a commit."""
        policy = self._policy
        waits = [at_most_s]
        if self._input_since_s is not None:
            waits.append(self._input_since_s + policy.max_delay_s - now_s)
        if self._output_since_s is not None:
            waits.append(self._output_since_s + policy.max_output_delay_s - now_s)
        return max(0.0, min(waits))

    def committed(self) -> None:
        """Note that everything processed so far is committed, or was given up."""
        self._records = 0
        self._outputs = 0
        self._output_bytes = 0
        self._input_since_s = None
        self._output_since_s = None


def _older(since_s: float | None, limit_s: float, now_s: float) -> bool:
    return since_s is not None and now_s - since_s >= limit_s
