"""A worker's signs of life on the topic `worker-status`."""

from collections.abc import Mapping

from shared import topics
from shared.clock import MICROSECONDS_PER_SECOND, Clock
from shared.codec import encode
from shared.events import WorkerStatus
from shared.stream.broker import Producer


class StatusReporter:
    """Publishes `WorkerStatus` events, at most one per interval unless the state changes.

    Args:
        producer: not a transactional one: a sign of life must not wait for a commit.
        worker: role (`producer`, `detector`, ...).
        instance: one process of that role.
        clock: the time.
        interval_s: between two signs.
    """

    def __init__(
        self, producer: Producer, *, worker: str, instance: str, clock: Clock, interval_s: float = 2.0
    ) -> None:
        self._producer = producer
        self._worker = worker
        self._instance = instance
        self._clock = clock
        self._interval_us = round(interval_s * MICROSECONDS_PER_SECOND)
        self._started_us = clock.now_us()
        self._said_us = 0
        self._state = ""

    def is_due(self, state: str = "running") -> bool:
        """Return whether a report now would be published; ask before gathering costly figures."""
        return state != self._state or self._clock.now_us() - self._said_us >= self._interval_us

    def report(
        self,
        *,
        figures: Mapping[str, float],
        markets: Mapping[str, Mapping[str, float]] | None = None,
        state: str = "running",
        detail: str = "",
    ) -> None:
        """Publish a sign of life if one is due.

        Args:
            figures: named numbers, the unit in the name.
            markets: the same per market.
            state: `starting`, `running`, `degraded` or `stopping`.
            detail: one sentence when the state is not `running`.

        Raises:
            BrokerError: an earlier sign could not be delivered.
        """
        if not self.is_due(state):
            return
        self._state, self._said_us = state, self._clock.now_us()
        event = WorkerStatus(
            worker=self._worker,
            instance=self._instance,
            state=state,
            started_us=self._started_us,
            time_us=self._said_us,
            figures=dict(figures),
            markets={market: dict(values) for market, values in (markets or {}).items()},
            detail=detail,
        )
        key = f"{self._worker}/{self._instance}".encode()
        self._producer.produce(topics.WORKER_STATUS, encode(event), key=key)
        self._producer.poll(0)
