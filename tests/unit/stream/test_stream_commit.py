from shared.stream.commit import CommitPolicy, CommitTimer

POLICY = CommitPolicy(max_records=100, max_delay_s=1.0, max_output_delay_s=0.02)


def test_nothing_is_due_before_anything_is_processed() -> None:
    timer = CommitTimer(POLICY)
    assert not timer.is_due(1_000.0)
    assert not timer.is_pending()


def test_input_alone_is_committed_after_its_delay() -> None:
    timer = CommitTimer(POLICY)
    timer.processed(records=1, outputs=0, now_s=10.0)
    timer.processed(records=1, outputs=0, now_s=10.9)
    assert not timer.is_due(10.99)
    assert timer.is_due(11.0)


def test_output_is_committed_soon() -> None:
    timer = CommitTimer(POLICY)
    timer.processed(records=1, outputs=1, now_s=10.0)
    assert not timer.is_due(10.01)
    assert timer.is_due(10.021)


def test_many_records_are_committed_at_once() -> None:
    timer = CommitTimer(POLICY)
    timer.processed(records=99, outputs=0, now_s=10.0)
    assert not timer.is_due(10.0)
    timer.processed(records=1, outputs=0, now_s=10.0)
    assert timer.is_due(10.0)


def test_a_poll_never_waits_past_the_next_commit() -> None:
    timer = CommitTimer(POLICY)
    assert timer.wait_s(10.0, at_most_s=0.1) == 0.1
    timer.processed(records=1, outputs=1, now_s=10.0)
    assert 0 < timer.wait_s(10.0, at_most_s=0.1) <= 0.02
    assert timer.wait_s(11.0, at_most_s=0.1) == 0.0


def test_a_commit_starts_the_count_anew() -> None:
    timer = CommitTimer(POLICY)
    timer.processed(records=100, outputs=5, now_s=10.0)
    timer.committed()
    assert not timer.is_due(99.0)
    assert not timer.is_pending()


def test_a_transaction_is_bounded_in_records_and_bytes() -> None:
    for outputs, output_bytes, is_due in ((9, 999, False), (10, 10, True), (1, 1_000, True)):
        timer = CommitTimer(CommitPolicy(max_outputs=10, max_output_bytes=1_000))
        timer.processed(records=1, outputs=outputs, output_bytes=output_bytes, now_s=0.0)
        assert timer.is_due(0.0) == is_due
        timer.committed()
        timer.processed(records=1, outputs=1, output_bytes=1, now_s=0.0)
        assert not timer.is_due(0.0)
