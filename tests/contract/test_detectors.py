"""What every online detector keeps: one class, run on all of the catalogue.

A detector that combines others has no rows of its own, and is held to the same through the engine's tests.
"""

import numpy as np
import pytest

from detector.arrays import FloatMatrix
from detector.catalogue import CATALOGUE
from detector.features import Features
from detector.online.protocol import Finding, OnlineDetector, Scored
from detector.params import EngineParams, make_detector
from tests.data.detector_tapes import SMALL, crash, market, tape

NAMES = [entry.name for entry in CATALOGUE if not entry.members]
FEATURE_NAMES = SMALL.features.names


def made(name: str, *, identity: str = "binance/BTC-USDT") -> OnlineDetector:
    return make_detector(name, SMALL, features=FEATURE_NAMES, identity=identity)


def rows_of(count: int = 600) -> FloatMatrix:
    return Features(SMALL.features).update(tape(crash(market(count), at=400, depth=0.05, length=20)))[0]


def same(one: Scored, other: Scored) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one[:3], other[:3], strict=True))


def joined(parts: list[Scored]) -> Scored:
    return Scored(
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.contributions for part in parts]),
        np.concatenate([part.eligible for part in parts]),
    )


@pytest.mark.parametrize("name", NAMES)
class TestOnlineDetector:
    def test_says_what_it_is(self, name: str) -> None:
        detector = made(name)
        assert detector.name == name
        assert detector.kind
        assert detector.columns
        assert detector.window_s >= 0
        assert (detector.decides_on == "score") == np.isfinite(detector.threshold)

    def test_shapes_and_ranges(self, name: str) -> None:
        rows = rows_of()
        detector = made(name)
        scored = detector.score_learn(rows)
        assert scored.scores.shape == scored.eligible.shape == (len(rows),)
        assert scored.contributions.shape == (len(rows), len(detector.columns))
        assert scored.eligible.dtype == np.bool_
        warm = np.flatnonzero(~np.isnan(scored.scores))
        assert warm.size
        assert warm[-1] - warm[0] == warm.size - 1, "warm-up ends once"
        assert np.isfinite(scored.scores[warm]).all()
        assert (scored.contributions >= 0).all()
        sums = scored.contributions.sum(axis=1)
        assert (np.isclose(sums, 1) | (sums == 0)).all()

    @pytest.mark.parametrize("step", [1, 7, 129])
    def test_any_split_is_bit_identical(self, name: str, step: int) -> None:
        rows = rows_of()
        whole, part = made(name), made(name)
        expected = whole.score_learn(rows)
        assert same(
            joined([part.score_learn(rows[k : k + step]) for k in range(0, len(rows), step)]), expected
        )

    @pytest.mark.parametrize("at", [0, 1, 100, 399, 599])
    def test_a_restart_is_bit_identical(self, name: str, at: int) -> None:
        rows = rows_of()
        whole, first, second = made(name), made(name), made(name)
        expected = whole.score_learn(rows)
        head = first.score_learn(rows[:at])
        state = first.state()
        first.score_learn(rows[at:])
        second.load_state(state)
        assert same(joined([head, second.score_learn(rows[at:])]), expected), "a state is a copy"

    def test_a_row_is_scored_before_it_is_learned(self, name: str) -> None:
        rows = rows_of()
        one, other = made(name), made(name)
        one.score_learn(rows[:500])
        other.score_learn(rows[:500])
        strange = rows[500:502].copy()
        strange[1] = 1e9
        assert one.score_learn(rows[500:501]).scores[0] == other.score_learn(strange).scores[0]

    def test_a_crash_scores_higher_than_the_quiet_before(self, name: str) -> None:
        if name == "whale":
            pytest.skip("a whale is a size, not a price")
        params = EngineParams()
        trades = crash(market(4_000), at=3_500, depth=0.05, length=20)
        rows = Features(params.features).update(tape(trades))[0]
        detector = make_detector(name, params, features=FEATURE_NAMES, identity="")
        scores = detector.score_learn(rows).scores
        assert scores[3_500:3_520].max() > np.nanmax(scores[:3_500])

    @pytest.mark.parametrize("value", [0.0, 1.0, 1e-300, 1e200])
    def test_a_constant_market_stays_finite(self, name: str, value: float) -> None:
        rows = np.full((400, len(FEATURE_NAMES)), value)
        scored = made(name).score_learn(rows)
        assert not np.isinf(scored.scores).any()
        assert not np.isnan(scored.scores[-1])
        assert np.isfinite(scored.contributions).all()

    def test_no_rows_are_no_trouble(self, name: str) -> None:
        assert made(name).score_learn(np.empty((0, len(FEATURE_NAMES)))).scores.shape == (0,)

    def test_a_state_of_another_shape_is_refused(self, name: str) -> None:
        detector = made(name)
        detector.score_learn(rows_of())
        arrays = {key: value for key, value in detector.state().items() if isinstance(value, np.ndarray)}
        for key, value in arrays.items():
            damaged = detector.state() | {key: np.concatenate([value, value])}
            with pytest.raises(ValueError, match=key.rpartition("/")[2]):
                made(name).load_state(damaged)
            missing = detector.state()
            del missing[key]
            with pytest.raises(ValueError, match=key.rpartition("/")[2]):
                made(name).load_state(missing)

    def test_the_fingerprint_is_of_the_parameters_alone(self, name: str) -> None:
        detector = made(name)
        detector.score_learn(rows_of())
        assert detector.fingerprint == made(name, identity="kraken/ETH-EUR").fingerprint
        assert len({made(other).fingerprint for other in NAMES}) == len(NAMES)

    @pytest.mark.parametrize("rarity", [None, 1e-5])
    def test_a_sentence_has_the_market_and_numbers_and_ends(self, name: str, rarity: float | None) -> None:
        rows = rows_of()
        finding = Finding(
            symbol="BTC-USDT",
            price=95.0,
            features=dict(zip(FEATURE_NAMES, rows[400].tolist(), strict=True)),
            contributions={},
            score=5.0,
            usual_score=float("nan"),
            rarity=rarity,
            trades_per_day=100_000.0,
        )
        sentence = made(name).sentence(finding)
        assert sentence.startswith("BTC-USDT")
        assert sentence.endswith(".")
        assert any(character.isdigit() for character in sentence)
        assert "nan" not in sentence
