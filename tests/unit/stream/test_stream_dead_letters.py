import pytest

from shared.errors import DeadLetterLimitError
from shared.stream.dead_letters import DeadLetterLimit, DeadLetterPolicy


def test_a_few_invalid_records_are_tolerated() -> None:
    limit = DeadLetterLimit(DeadLetterPolicy(limit=3, window_s=10))
    for second in range(3):
        limit.note(float(second))


def test_one_too_many_halts_the_worker() -> None:
    limit = DeadLetterLimit(DeadLetterPolicy(limit=3, window_s=10))
    for second in range(3):
        limit.note(float(second))
    with pytest.raises(DeadLetterLimitError) as raised:
        limit.note(3.0)
    assert (raised.value.count, raised.value.limit) == (4, 3)


def test_old_ones_are_forgotten() -> None:
    limit = DeadLetterLimit(DeadLetterPolicy(limit=3, window_s=10))
    for second in range(0, 100, 4):
        limit.note(float(second))
