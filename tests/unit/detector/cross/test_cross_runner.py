"""The cross-market step under the runner, on a broker in memory."""

from shared.stream.memory import MemoryBroker
from tests.cross_crew import check_exactly_once


def test_what_is_committed_is_that_of_an_undisturbed_run() -> None:
    check_exactly_once(MemoryBroker(partitions=3))
