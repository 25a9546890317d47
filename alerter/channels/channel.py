"""What a channel is to the sender."""

from typing import Protocol

from shared.events import Anomaly


class Channel(Protocol):
    """One place where people read: one chat, one Slack channel, one terminal.

    A service with several chats is several channels, so that one failing chat repeats nothing in the others.
    """

    @property
    def name(self) -> str:
        """Name in the outbox, in events and in metrics; holds no secret and never changes."""
        ...

    @property
    def min_interval_s(self) -> float:
        """Least time between two messages, in seconds."""
        ...

    async def send(self, anomaly: Anomaly) -> str:
        """Make one attempt to deliver; retries are the sender's.

        Returns:
            The service's reference to the message, empty where it gives none.

        Raises:
            DeliveryRetriableError: it may work later; or nobody knows whether it worked.
            DeliveryRefusedError: it will never work: bad token, unknown chat, malformed message.
        """
        ...

    async def close(self) -> None:
        """Release connections; may be called more than once."""
        ...
