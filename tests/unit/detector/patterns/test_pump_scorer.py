"""A scorer on disk: what is written is read, and what makes no sense is refused, with a reason."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import config
from detector.__main__ import engine_params
from detector.kernels.decision_trees import probability
from detector.kernels.pumps import SCORER_FEATURES
from detector.patterns import pump_scorer
from detector.patterns.pump_dump import PumpDumpParams
from detector.patterns.pump_scorer import MODEL_FILE, TREES_FILE
from shared.errors import ConfigError, ModelRefusedError
from tests.data.pump_scorers import scorer


def row(**named: float) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.array([named.get(name, 0.0) for name in SCORER_FEATURES])


def test_the_mean_of_the_trees_is_the_probability() -> None:
    trees = scorer().trees
    assert probability(trees, row()) == pytest.approx(0.15)
    assert probability(trees, row(rise=0.06)) == pytest.approx(0.55)
    assert probability(trees, row(rise=0.06, rush_orders=11.0)) == pytest.approx(0.75)
    assert probability(trees, row(rise=np.nan)) == pytest.approx(0.55), "what is no number goes right"


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    pump_scorer.save(scorer(), tmp_path / "model")
    loaded = pump_scorer.load(tmp_path / "model")
    assert loaded == scorer()
    assert hash(loaded) == hash(scorer())
    assert loaded.training == scorer().training
    assert loaded != scorer(share=0.8)
    assert repr(PumpDumpParams(scorer=loaded)) == repr(PumpDumpParams(scorer=scorer()))
    assert repr(PumpDumpParams(scorer=loaded)) != repr(PumpDumpParams(scorer=scorer(share=0.8)))


def changed(folder: Path, **parts: object) -> None:
    path = folder / MODEL_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))


def with_arrays(folder: Path, **arrays: NDArray[np.generic]) -> None:
    np.savez(folder / TREES_FILE, allow_pickle=True, **(scorer().trees._asdict() | arrays))


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda folder: (folder / MODEL_FILE).unlink(), "cannot be read"),
        (lambda folder: (folder / TREES_FILE).write_bytes(b"PK"), "cannot be read"),
        (lambda folder: changed(folder, version=2), "version 2; known is .* version 1"),
        (lambda folder: changed(folder, format="pickle"), "is pickle version 1"),
        (lambda folder: changed(folder, more=1), "cannot be read"),
        (lambda folder: changed(folder, features=["moon"]), "asks for moon, which is not known"),
        (lambda folder: changed(folder, model_id="0"), "not those of its description"),
        (lambda folder: with_arrays(folder, shares=np.ones(6)), "not those of its description"),
        (lambda folder: with_arrays(folder, shares=np.full(6, 1.5)), "a share is no share"),
        (lambda folder: with_arrays(folder, lefts=np.array([0, -1, -1, 4, -1, -1])), "leads nowhere"),
        (lambda folder: with_arrays(folder, rights=np.array([9, -1, -1, 5, -1, -1])), "leads nowhere"),
        (lambda folder: with_arrays(folder, features=np.full(6, 99)), "leads nowhere"),
        (lambda folder: with_arrays(folder, roots=np.array([6])), "roots are nowhere"),
        (lambda folder: with_arrays(folder, roots=np.zeros(0, np.int64)), "there are no trees"),
        (lambda folder: with_arrays(folder, thresholds=np.zeros(2)), "thresholds has shape"),
        (lambda folder: with_arrays(folder, shares=np.array([object()] * 6)), "cannot be read"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, break_it: Callable[[Path], object], said: str
) -> None:
    pump_scorer.save(scorer(), tmp_path)
    break_it(tmp_path)
    with pytest.raises(ModelRefusedError, match=said):
        pump_scorer.load(tmp_path)


def test_a_model_with_fewer_features_in_another_order_asks_for_the_same(tmp_path: Path) -> None:
    pump_scorer.save(scorer(), tmp_path)
    changed(tmp_path, features=["rush_orders", "rise"])
    with_arrays(tmp_path, features=np.array([1, 0, 0, 0, 0, 0]))
    trees = pump_scorer.load(tmp_path).trees
    assert probability(trees, row(rise=0.06, rush_orders=11.0)) == pytest.approx(0.75)


def test_the_setting_names_a_folder(tmp_path: Path) -> None:
    pump_scorer.save(scorer(), tmp_path)
    environ = {"PUMP_DUMP_SCORER": str(tmp_path), "PUMP_DUMP_VETO_BELOW": "0.3"}
    params = engine_params(config.load(environ=environ, folder=tmp_path))
    assert params.pump_scorer == scorer()
    assert params.pump_veto_below == 0.3
    (tmp_path / TREES_FILE).unlink()
    with pytest.raises(ConfigError, match="PUMP_DUMP_SCORER: the model in"):
        engine_params(config.load(environ=environ, folder=tmp_path))
    assert engine_params(config.load(environ={}, folder=tmp_path)).pump_scorer is None


def test_shares_are_checked() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        PumpDumpParams(veto_below=1.5)
    with pytest.raises(ValueError, match="asked_from"):
        PumpDumpParams(asked_from=0.0)
