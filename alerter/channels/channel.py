"""What a channel is to the sender."""

from typing import Protocol

from alerter.notification import Notification


class Channel(Protocol):
    """One place where people read: one chat, one Slack channel, one terminal.

    A service with several chats is several channels, so that one failing chat repeats nothing in the others.
    """

    @property
    def name(self) -> str:
        """Name in the outbox, in events, in metrics and in the rules; holds no secret and never changes."""
        ...

    @property
    def min_interval_s(self) -> float:
        """Least time between two messages, in seconds."""
        ...

    @property
    def edits(self) -> bool:
        """Whether it can change a message that is there; if not, it is given only notifications that ring."""
        ...

    async def send(self, notification: Notification, *, thread_ref: str) -> str:
        """Make one attempt to deliver; retries are the sender's.

        Args:
            notification: what is to be told, or what the message is to say from now on.
            thread_ref: the latest reference that was returned for the same incident; empty when there is
                none, and then a notification that does not ring has to make a message.

        Returns:
            The service's reference to the incident's message, empty where it gives none.

        Raises:
            DeliveryRetriableError: it may work later; or nobody knows whether it worked.
            DeliveryRefusedError: it will never work: malformed message.
            ChannelDeadError: nothing will work: bad token, unknown chat.
        """
        ...

    async def tell(self, text: str) -> None:
        """Make one attempt to say something about the system itself; plain text, errors as in `send`."""
        ...

    async def close(self) -> None:
        """Release connections; may be called more than once."""
        ...
