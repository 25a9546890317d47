"""What the stages of detectors without a memory have in common: nothing to open, to keep or to load."""

from shared.stream.step import State


class Memoryless:
    """A stage that judges each row by itself."""

    def open(self, slot: int, *, identity: str) -> None:
        """Take in a market."""

    def close(self, slot: int) -> None:
        """Let go of a market."""

    def state(self, slot: int) -> State:  # noqa: ARG002 - a stage's signature
        """Return nothing."""
        return {}

    def load_state(self, slot: int, state: State) -> None:
        """Accept the empty state."""
