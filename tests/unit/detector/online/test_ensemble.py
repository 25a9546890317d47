import numpy as np
import pytest
from numpy.typing import NDArray

from detector.online.ensemble import EnsembleParams, StreamEnsemble
from detector.online.ensemble_model import PARTS

_SMALL = EnsembleParams(trees=8, tree_rows=32, memory_rows=64, horizon_rows=256)


def _rows(count: int, columns: int = 4, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(count, columns))


def _warm(columns: int = 4, *, params: EnsembleParams = _SMALL, count: int = 1_500) -> StreamEnsemble:
    ensemble = StreamEnsemble(params, columns=columns)
    ensemble.score_learn(_rows(count, columns))
    return ensemble


@pytest.mark.parametrize("cuts", [(1, 2, 3), (8, 9, 500), (100, 101, 999)])
def test_any_split_gives_identical_scores_and_state(cuts: tuple[int, ...]) -> None:
    rows = _rows(1_000)
    rows[300:340] = 12.0
    whole, split = StreamEnsemble(_SMALL, columns=4), StreamEnsemble(_SMALL, columns=4)
    expected = whole.score_learn(rows)
    found = np.concatenate([split.score_learn(part) for part in np.split(rows, cuts)])
    np.testing.assert_array_equal(found, expected)
    other = split.state()
    for key, value in whole.state().items():
        np.testing.assert_array_equal(value, other[key])


def test_a_restored_one_goes_on_bit_identically() -> None:
    first = _warm()
    second = StreamEnsemble(_SMALL, columns=4)
    second.load_state(first.state())
    rows = _rows(700, seed=3)
    np.testing.assert_array_equal(first.score_learn(rows), second.score_learn(rows))


def test_a_state_is_a_copy() -> None:
    ensemble = _warm()
    state = ensemble.state()
    before = {key: np.copy(value) for key, value in state.items()}
    ensemble.score_learn(_rows(500, seed=4))
    for key, value in state.items():
        np.testing.assert_array_equal(value, before[key])


@pytest.mark.parametrize(
    ("key", "value"), [("clock", 10_000), ("counts", 1_000), ("split_at", 4), ("fold_to", 9), ("ranks", None)]
)
def test_a_damaged_state_is_refused_and_changes_nothing(key: str, value: int | None) -> None:
    ensemble = _warm()
    state = _warm().state()
    array = state.pop(key)
    assert isinstance(array, np.ndarray)
    if value is not None:
        array.reshape(-1)[1] = value
        state[key] = array
    with pytest.raises(ValueError, match=key):
        ensemble.load_state(state)
    np.testing.assert_array_equal(ensemble.score_learn(_rows(50)), _warm().score_learn(_rows(50)))


def test_a_state_of_other_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        _warm().load_state(_warm(3).state())


def test_warm_up_is_eight_rows_and_then_every_row_has_a_score() -> None:
    scores = StreamEnsemble(EnsembleParams(), columns=4).score_learn(_rows(300))
    assert np.isnan(scores[:8]).all()
    assert np.isfinite(scores[8:]).all()
    assert (scores[8:] >= 0.0).all()


def test_streams_have_randomness_of_their_own_and_repeat_it() -> None:
    rows = _rows(200)
    first, again, other = (
        StreamEnsemble(_SMALL, columns=4, identity=name).score_learn(rows) for name in ("A", "A", "B")
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other, equal_nan=True)


@pytest.mark.parametrize("columns", [1, 4, 40])
@pytest.mark.parametrize("kind", ["usual", "far", "missing", "infinite"])
def test_contributions_add_up_to_the_next_score(columns: int, kind: str) -> None:
    ensemble = _warm(columns)
    row = _rows(1, columns, seed=5)[0]
    row[0] = {"usual": row[0], "far": 1e200, "missing": np.nan, "infinite": -np.inf}[kind]
    contributions = ensemble.contributions(row)
    assert (contributions >= 0.0).all()
    assert contributions.sum() == pytest.approx(ensemble.score_learn(row[None])[0], rel=1e-9)
    if kind in {"far", "infinite"} and columns > 1:
        assert contributions.argmax() == 0


def test_contributions_of_a_cold_one_are_unknown() -> None:
    assert np.isnan(StreamEnsemble(_SMALL, columns=3).contributions(np.zeros(3))).all()


@pytest.mark.parametrize("part", PARTS)
def test_each_part_alone_calls_an_outlier_rare_and_contributes(part: str) -> None:
    ensemble = _warm(params=EnsembleParams(parts=(part,)))
    row = np.array([0.0, 15.0, 0.0, 0.0])
    contributions = ensemble.contributions(row)
    usual = ensemble.score_learn(_rows(100, seed=6))
    assert ensemble.score_learn(row[None])[0] > np.median(usual)
    assert contributions.argmax() == 1


def test_covariance_sees_what_marginals_cannot() -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(size=2_000)
    rows = np.stack([x, x + rng.normal(scale=0.05, size=2_000)], axis=1)
    ensemble = StreamEnsemble(EnsembleParams(parts=("covariance",)), columns=2)
    usual = ensemble.score_learn(rows)
    assert ensemble.score_learn(np.array([[1.0, -1.0]]))[0] > np.nanmax(usual[200:])


def test_adversarial_values_leave_finite_scores() -> None:
    rows = _rows(600)
    rows[50:60, 0] = np.nan
    rows[60:70, 1] = np.inf
    rows[70:80, 2] = -np.inf
    rows[80:90, 3] = 1.7e308
    rows[90:200] = 5.0
    rows[200:210] = 1e-308
    scores = StreamEnsemble(_SMALL, columns=4).score_learn(rows)
    assert np.isfinite(scores[8:]).all()


def test_a_column_that_is_always_missing_changes_little() -> None:
    rows = np.column_stack([_rows(1_000), np.full(1_000, np.nan)])
    rows[-1, 0] = 14.0
    scores = StreamEnsemble(EnsembleParams(), columns=5).score_learn(rows)
    assert scores[-1] == np.nanmax(scores)


def test_constant_streams_are_usual_until_they_change() -> None:
    rows = np.full((400, 3), 7.0)
    rows[-1] = 7.5
    scores = StreamEnsemble(EnsembleParams(), columns=3).score_learn(rows)
    assert np.nanmax(scores[:-1]) < 1.0
    assert scores[-1] > 4.0


def test_a_long_burst_stays_strange_and_a_new_regime_is_learned_after_all() -> None:
    rng = np.random.default_rng(8)
    rows = np.concatenate([rng.normal(size=(2_000, 3)), rng.normal(9.0, 1.0, size=(20_000, 3))])
    scores = StreamEnsemble(EnsembleParams(), columns=3).score_learn(rows)
    assert scores[2_000:3_000].mean() > 3.0
    assert scores[-2_000:].mean() < 1.5


def test_without_sparing_a_burst_is_normal_sooner() -> None:
    rng = np.random.default_rng(9)
    rows = np.concatenate([rng.normal(size=(2_000, 3)), rng.normal(5.0, 1.0, size=(2_000, 3))])
    spared, learned = (
        StreamEnsemble(EnsembleParams(spares_bursts=spares), columns=3).score_learn(rows)
        for spares in (True, False)
    )
    assert spared[-500:].mean() > learned[-500:].mean() + 0.5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"trees": 0}, "trees"),
        ({"tree_rows": 2}, "tree_rows"),
        ({"memory_rows": 4}, "memory_rows"),
        ({"horizon_rows": 100}, "horizon_rows"),
        ({"parts": ()}, "parts"),
        ({"parts": ("luck",)}, "parts"),
    ],
)
def test_parameters_are_bounded(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EnsembleParams(**fields)  # type: ignore[arg-type]


def test_rows_must_have_the_columns() -> None:
    ensemble = StreamEnsemble(_SMALL, columns=3)
    with pytest.raises(ValueError, match="shape"):
        ensemble.score_learn(_rows(5, 4))
    with pytest.raises(ValueError, match="shape"):
        ensemble.contributions(np.zeros(4))
    with pytest.raises(ValueError, match="columns"):
        StreamEnsemble(_SMALL, columns=0)
