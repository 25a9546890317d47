import pytest

from shared.stream.commit import CommitPolicy
from shared.stream.timeouts import REQUEST_TIMEOUT_S, Timeouts


@pytest.mark.parametrize("session_s", [1.0, 6.0, 15.0, 45.0])
def test_every_time_out_is_longer_than_what_it_waits_for(session_s: float) -> None:
    timeouts = Timeouts(session_s=session_s)
    assert 3 * timeouts.heartbeat_s <= session_s
    assert CommitPolicy().max_delay_s < timeouts.delivery_s < timeouts.transaction_s
    assert session_s < timeouts.transaction_s
    assert timeouts.transaction_s + REQUEST_TIMEOUT_S <= timeouts.committed_s
    # A commit, which may take a transaction's time, and then a take-over.
    assert timeouts.transaction_s + timeouts.committed_s < timeouts.max_poll_s
