"""What became of the notifications of this process, for its status and its metrics."""

import threading
from collections import deque
from typing import Final

from shared.metrics import counter

_LATENCIES_KEPT: Final = 1_000


class Tally:
    """What became of the notifications of this process; safe for use by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = {"sent": 0, "failed": 0, "refused": 0}
        self._latencies_ms: deque[float] = deque(maxlen=_LATENCIES_KEPT)
        self._faults: dict[str, str] = {}

    def sent(self, channel: str, *, latency_ms: float) -> None:
        """Count a delivery; the channel works."""
        self._count("sent", channel)
        with self._lock:
            self._latencies_ms.append(latency_ms)
            self._faults.pop(channel, None)

    def failed(self, channel: str, detail: str) -> None:
        """Count a failed attempt."""
        self._count("failed", channel)
        with self._lock:
            self._faults[channel] = detail

    def refused(self, channel: str, detail: str) -> None:
        """Count a refusal."""
        self._count("refused", channel)
        with self._lock:
            self._faults[channel] = f"refused: {detail}"

    def figures(self) -> dict[str, float]:
        """Return named numbers for the worker's status; latencies are of the latest 1,000 deliveries."""
        with self._lock:
            latencies = sorted(self._latencies_ms)
            figures = {
                "notifications_sent_total": float(self._counts["sent"]),
                "attempts_failed_total": float(self._counts["failed"]),
                "refused_total": float(self._counts["refused"]),
            }
        if latencies:
            figures["delivery_p50_ms"] = latencies[len(latencies) // 2]
            figures["delivery_p99_ms"] = latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)]
        return figures

    def faults(self) -> dict[str, str]:
        """Return what is wrong with each channel of which the latest attempt did not succeed."""
        with self._lock:
            return dict(self._faults)

    def _count(self, outcome: str, channel: str) -> None:
        counter("tapewatch_notifications_total").labels(channel=channel, outcome=outcome).inc()
        with self._lock:
            self._counts[outcome] += 1
