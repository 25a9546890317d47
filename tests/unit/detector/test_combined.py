"""Combined: both rare, or one extreme."""

import numpy as np
import pytest

from detector.combined import Combined

NAN = float("nan")


@pytest.mark.parametrize(
    ("first", "second", "combined"),
    [
        (1e-5, 1e-6, 1e-5),  # both: the less rare one counts
        (1e-9, 0.5, 1e-7),  # one extreme: a hundred times its rarity
        (1e-5, 0.5, 1e-3),
        (0.9, 0.9, 0.9),
        (NAN, 1e-9, NAN),
        (1e-9, NAN, NAN),
    ],
)
def test_rarities(first: float, second: float, combined: float) -> None:
    found = Combined.rarities(np.array([first]), np.array([second]))[0]
    assert found == pytest.approx(combined, nan_ok=True)


def test_the_rule_and_the_threshold_are_the_same_thing() -> None:
    rng = np.random.default_rng(1)
    first, second = 10.0 ** rng.uniform(-9, 0, (2, 10_000))
    threshold = 1e-4
    rule = ((first <= threshold) & (second <= threshold)) | (np.minimum(first, second) <= threshold / 100)
    assert np.array_equal(Combined.rarities(first, second) <= threshold, rule)


def test_it_errs_on_the_safe_side_for_independent_and_equal_members() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.random((2, 1_000_000))
    for other in (second, first):
        rate = (Combined.rarities(first, other) <= 1e-3).mean()
        assert rate <= 1.02e-3 * 1.2


def test_contributions_are_weighted_by_how_rare_each_member_is() -> None:
    combined = Combined(member_columns=(("a", "b"), ("b", "c")), member_fingerprints="x y")
    assert combined.columns == ("a", "b", "c")
    shares = combined.contributions((np.array([1.0, 0.0]), np.array([0.5, 0.5])), (1e-1, 1e-3))
    assert shares == pytest.approx([1 / 4, 3 / 8, 3 / 8])
    nothing = combined.contributions((np.array([1.0, 0.0]), np.array([0.5, 0.5])), (1.0, 1.0))
    assert nothing.tolist() == [0, 0, 0]
