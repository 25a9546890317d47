"""What every detector keeps: one class, run on all of the catalogue.

A detector that combines others has no rows of its own, and is held to the same through the engine's tests.
"""

from dataclasses import replace

import numpy as np
import pytest

from detector.arrays import FloatMatrix
from detector.catalogue import CATALOGUE
from detector.online.protocol import DetectorStage, Finding, Scored
from detector.params import EngineParams, make_detector, make_features
from detector.runs import Runs
from tests.data.detector_tapes import SMALL, crash, market, tape

NAMES = [entry.name for entry in CATALOGUE if not entry.members]
EVERY = replace(SMALL, enabled=tuple(NAMES))
FEATURE_NAMES = EVERY.features.names
SLOT = 3


def made(name: str, *, identity: str = "binance/BTC-USDT", params: EngineParams = SMALL) -> DetectorStage:
    """Return a detector with one market open."""
    detector = make_detector(name, params, features=FEATURE_NAMES)
    detector.open(SLOT, identity=identity)
    return detector


def judge(
    detector: DetectorStage, rows: FloatMatrix, *, slot: int = SLOT, explain_all: bool = False
) -> Scored:
    return detector.score_learn(Runs.single(slot, len(rows)), rows, explain_all=explain_all)


def rows_of(count: int = 600, *, seed: int = 1) -> FloatMatrix:
    features = make_features(EVERY)
    features.open(0, identity="")
    trades = crash(market(count, seed=seed), at=400, depth=0.05, length=20)
    return features.update(Runs.single(0, count), tape(trades))[0]


def same(one: Scored, other: Scored) -> bool:
    """Return whether two judgements are the same; only eligible rows owe contributions."""
    return (
        np.array_equal(one.scores, other.scores, equal_nan=True)
        and np.array_equal(one.eligible, other.eligible)
        and np.array_equal(one.contributions[one.eligible], other.contributions[one.eligible])
    )


def joined(parts: list[Scored]) -> Scored:
    return Scored(
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.contributions for part in parts]),
        np.concatenate([part.eligible for part in parts]),
    )


def of_market(runs: Runs, scored: Scored, slot: int) -> Scored:
    part = dict(runs.each())[slot]
    return Scored(scored.scores[part], scored.contributions[part], scored.eligible[part])


@pytest.mark.parametrize("name", NAMES)
class TestDetectorStage:
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
        scored = judge(detector, rows, explain_all=True)
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
        expected = judge(whole, rows)
        assert same(joined([judge(part, rows[k : k + step]) for k in range(0, len(rows), step)]), expected)

    @pytest.mark.parametrize("at", [0, 1, 100, 399, 599])
    def test_a_restart_is_bit_identical(self, name: str, at: int) -> None:
        rows = rows_of()
        whole, first, second = made(name), made(name), made(name)
        expected = judge(whole, rows)
        head = judge(first, rows[:at])
        state = first.state(SLOT)
        judge(first, rows[at:])
        second.load_state(SLOT, state)
        assert same(joined([head, judge(second, rows[at:])]), expected), "a state is a copy"

    def test_a_row_is_scored_before_it_is_learned(self, name: str) -> None:
        rows = rows_of()
        one, other = made(name), made(name)
        judge(one, rows[:500])
        judge(other, rows[:500])
        strange = rows[500:502].copy()
        strange[1] = 1e9
        assert judge(one, rows[500:501]).scores[0] == judge(other, strange).scores[0]

    def test_a_crash_scores_higher_than_the_quiet_before(self, name: str) -> None:
        if name == "whale":
            pytest.skip("a whale is a size, not a price")
        if name in {"pump_dump", "spike"}:
            pytest.skip("that is a rise, not a fall")
        if name == "wash_trading":
            pytest.skip("washing moves no price")
        if name == "manipulation":
            pytest.skip("a driven move shows only when it is taken back")
        params = EngineParams(enabled=tuple(NAMES))
        trades = crash(market(4_000), at=3_500, depth=0.05, length=20)
        features = make_features(params)
        features.open(0, identity="")
        rows = features.update(Runs.single(0, len(trades)), tape(trades))[0]
        scores = judge(made(name, params=params), rows).scores
        assert scores[3_500:3_520].max() > np.nanmax(scores[:3_500])

    @pytest.mark.parametrize("value", [0.0, 1.0, 1e-300, 1e200])
    def test_a_constant_market_stays_finite(self, name: str, value: float) -> None:
        rows = np.full((400, len(FEATURE_NAMES)), value)
        scored = judge(made(name), rows)
        assert not np.isinf(scored.scores).any()
        assert not np.isnan(scored.scores[-1])
        assert np.isfinite(scored.contributions).all()

    @pytest.mark.parametrize("step", [1, 50, 600])
    def test_other_markets_change_nothing(self, name: str, step: int) -> None:
        tapes = {slot: rows_of(seed=slot) for slot in (5, 0, 2)}
        alone = {}
        together = make_detector(name, SMALL, features=FEATURE_NAMES)
        for slot, rows in tapes.items():
            alone[slot] = judge(made(name, identity=f"{slot}"), rows)
            together.open(slot, identity=f"{slot}")
        parts: dict[int, list[Scored]] = {slot: [] for slot in tapes}
        for start in range(0, 600, step):
            cut = {slot: rows[start : start + step * (1 + slot % 2)] for slot, rows in tapes.items()}
            if start // step % 2:  # the market of the odd slot brings twice as many, every second time
                del cut[5]
            starts = np.cumsum([0, *(len(rows) for rows in cut.values())])
            runs = Runs(np.array(list(cut), np.int64), starts.astype(np.int64))
            scored = together.score_learn(runs, np.concatenate(list(cut.values())))
            assert scored.faults == ()
            for slot in cut:
                parts[slot].append(of_market(runs, scored, slot))
        for slot, expected in alone.items():
            assert same(joined(parts[slot]), expected)

    def test_a_slot_is_fresh_for_its_next_market(self, name: str) -> None:
        detector = made(name, identity="before")
        judge(detector, rows_of(seed=7))
        detector.close(SLOT)
        detector.open(SLOT, identity="binance/BTC-USDT")
        assert same(judge(detector, rows_of()), judge(made(name), rows_of()))

    def test_a_state_does_not_know_its_slot(self, name: str) -> None:
        rows = rows_of()
        detector = made(name)
        detector.open(17, identity="binance/BTC-USDT")
        for start in range(0, 300, 30):
            judge(detector, rows[start : start + 30])
        judge(detector, rows[:300], slot=17)
        one, other = detector.state(SLOT), detector.state(17)
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[key], other[key]) for key in one)
        again = make_detector(name, SMALL, features=FEATURE_NAMES)
        again.open(0, identity="binance/BTC-USDT")
        again.load_state(0, one)
        assert same(judge(again, rows[300:], slot=0), judge(detector, rows[300:], slot=17))

    def test_explaining_all_changes_nothing_else(self, name: str) -> None:
        rows = rows_of()
        assert same(judge(made(name), rows, explain_all=True), judge(made(name), rows))

    def test_no_rows_are_no_trouble(self, name: str) -> None:
        assert judge(made(name), np.empty((0, len(FEATURE_NAMES)))).scores.shape == (0,)

    def test_a_state_of_another_shape_is_refused(self, name: str) -> None:
        detector = made(name)
        judge(detector, rows_of())
        arrays = {key: value for key, value in detector.state(SLOT).items() if isinstance(value, np.ndarray)}
        for key, value in arrays.items():
            damaged = detector.state(SLOT) | {key: np.concatenate([value, value])}
            with pytest.raises(ValueError, match=key.rpartition("/")[2]):
                made(name).load_state(SLOT, damaged)
            missing = detector.state(SLOT)
            del missing[key]
            with pytest.raises(ValueError, match=key.rpartition("/")[2]):
                made(name).load_state(SLOT, missing)

    def test_the_fingerprint_is_of_the_parameters_alone(self, name: str) -> None:
        detector = made(name)
        judge(detector, rows_of())
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
