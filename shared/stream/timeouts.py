"""The time-outs towards Kafka, derived from one another, so that the outer layer notices last.

From `KAFKA_SESSION_TIMEOUT_S`, the one to set, come all others; each is longer than what it waits for.
`docs/reliability.md` says what pauses follow from them.
"""

from dataclasses import dataclass
from typing import Final

# One question to the broker, repeated meanwhile where it may be answered later.
REQUEST_TIMEOUT_S: Final = 15.0
_LONGEST_HEARTBEAT_S: Final = 0.5
_SHORTEST_TRANSACTION_S: Final = 45.0


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """What is waited for, and how long.

    Attributes:
        session_s: silence after which a member of a group is taken for dead.
    """

    session_s: float = 15.0

    @property
    def heartbeat_s(self) -> float:
        """Between two heartbeats of a member: at least three a session.

        Members hear of a rebalance by the answer to one, twice per cooperative rebalance, and everybody waits
        for the last: so this is what a hand-over costs.
        """
        return min(_LONGEST_HEARTBEAT_S, self.session_s / 3)

    @property
    def transaction_s(self) -> float:
        """After which the broker aborts a transaction that its owner left open.

        Without faults, one lasts `CommitPolicy.max_delay_s` and a batch. The time-out is for the broker's
        absence: a transaction whose records timed out meanwhile can be neither committed nor aborted
        (librdkafka 2.16 with Kafka 4.3: `_STATE`, `INVALID_TXN_STATE`), and its owner must start anew. With
        20 s, a broker that was away for 15 s made all detectors do so. The price: what a process leaves open
        that is stopped, or whose machine is lost, holds readers of its output back for this long.
        """
        return max(3 * self.session_s, _SHORTEST_TRANSACTION_S)

    @property
    def delivery_s(self) -> float:
        """After which a record of a transaction that the broker has not acknowledged counts as failed.

        Shorter than a transaction, so that it is aborted by its owner, who then goes on. Outside of
        transactions there is no such limit, see `KafkaBroker.producer`.
        """
        return self.transaction_s / 1.5

    @property
    def moving_s(self) -> float:
        """For another node to lead and coordinate what a dead one did: an assignment waits for that."""
        return self.transaction_s

    @property
    def committed_s(self) -> float:
        """For the offsets of partitions taken over: their last owner's transaction must be decided."""
        return self.transaction_s + REQUEST_TIMEOUT_S

    @property
    def max_poll_s(self) -> float:
        """Between two reads of a member, after which it leaves the group: longer than all it waits for."""
        return 10 * self.transaction_s
