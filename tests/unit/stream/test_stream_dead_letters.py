import pytest

from shared.codec import encode
from shared.errors import DeadLetterLimitError
from shared.stream.dead_letters import KEPT_PAYLOAD_BYTES, DeadLetterLimit, DeadLetterPolicy, cut_to_fit
from tests import samples


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


def test_a_letter_keeps_the_bytes_that_fit_into_a_record_and_says_how_many_it_does_not() -> None:
    whole = samples.dead_letter(b"x" * KEPT_PAYLOAD_BYTES)
    assert cut_to_fit(whole) == whole
    cut = cut_to_fit(samples.dead_letter(b"x" * KEPT_PAYLOAD_BYTES + b"the end"))
    assert (cut.payload, cut.cut_bytes) == (whole.payload, 7)
    # What our own producers take.
    assert len(encode(cut)) < 1_000_000
