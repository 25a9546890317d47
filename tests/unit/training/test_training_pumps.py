"""Training a scorer for pumps: which moments are examples, what it learns, and what it is worth elsewhere."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from detector.engine import Engine
from detector.evaluation.events import Label, Truth
from detector.evaluation.judging import pieces
from detector.evaluation.tapes import MarketTape, Tapes
from detector.kernels.decision_trees import probability
from detector.kernels.pumps import SCORER_FEATURES
from detector.patterns import pump_scorer
from detector.patterns.pump_dump import PUMP_FEATURES, PumpDump, PumpDumpParams
from detector.runs import Runs
from shared.errors import TapewatchError
from shared.events import Anomaly, EpisodePhase, Trade
from shared.recordings import parquet
from shared.stream.columns import TradeColumns
from tests.data.detector_tapes import altered
from tests.data.pump_tapes import PUMP_PARAMS, PUMP_US, QUIET_TRADES, pumped_market
from training.__main__ import app
from training.pumps import Examples, ForestParams, examples, rows_of, train
from training.validation import ALONE, Recorded, left_out

HOUR_US = 3_600_000_000
COINS = ("FUEL-BTC", "NAV-BTC", "OAX-BTC", "EVX-BTC")
SMALL = ForestParams(trees=20, depth=3)


def market(symbol: str) -> list[Trade]:
    """Return a market with a burst off the clock that nobody has labelled, and a pump 11 h later."""
    seed = COINS.index(symbol)
    burst = [
        altered(
            trade,
            event_time_us=trade.event_time_us + 600_000_000,
            price=100.0 + (trade.price - 100.0) * 1.2,
        )
        for trade in pumped_market(symbol=symbol, seed=seed)
    ]
    later = [
        altered(trade, event_time_us=trade.event_time_us + 11 * HOUR_US)
        for trade in pumped_market(symbol=symbol, seed=seed)[120:]
    ]
    return [altered(trade, trade_id=at) for at, trade in enumerate([*burst, *later])]


def tape(symbol: str) -> MarketTape:
    tapes = Tapes()
    tapes.add(TradeColumns.of(market(symbol)))
    (one,) = tapes.tapes()
    return one


def pump(symbol: str) -> Truth:
    return Truth("pump_dump", symbol, PUMP_US + 11 * HOUR_US)


@pytest.fixture(scope="module")
def markets() -> list[Recorded]:
    return [Recorded(tape(symbol), rows_of(tape(symbol)), [pump(symbol)]) for symbol in COINS]


@pytest.fixture(scope="module")
def found(markets: list[Recorded]) -> Examples:
    return Examples.joined([examples(one.tape, one.truths) for one in markets])


def test_each_market_has_a_burst_and_a_pump(found: Examples) -> None:
    assert found.questions.shape == (len(found.symbols), len(SCORER_FEATURES))
    assert (found.count_bursts(are_pumps=True), found.count_bursts(are_pumps=False)) == (
        len(COINS),
        len(COINS),
    )
    assert np.bincount(found.bursts, weights=found.weights).tolist() == pytest.approx([1.0] * 2 * len(COINS))
    assert found.trades == sum(len(market(symbol)) for symbol in COINS)
    others = found.without(["FUEL-BTC"])
    assert set(others.symbols) == set(COINS) - {"FUEL-BTC"}
    assert others.bursts.max() == 2 * len(COINS) - 3


def test_what_follows_a_pump_and_what_is_not_labelled_is_no_example() -> None:
    whole = tape("NAV-BTC")
    early = Truth("pump_dump", "NAV-BTC", PUMP_US + 9 * 60_000_000)
    assert examples(whole, [early]).count_bursts(are_pumps=False) == 0
    unknown = Truth("pump_dump", "NAV-BTC", PUMP_US, PUMP_US + 24 * HOUR_US, label=Label.UNLABELLED)
    assert len(examples(whole, [unknown]).symbols) == 0
    elsewhere = pump("NAV-BTC")._replace(exchange="kraken")
    assert examples(whole, [elsewhere]).count_bursts(are_pumps=True) == 0


def test_a_forest_says_of_another_market_what_scikit_learn_says(found: Examples) -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    others = found.without(["FUEL-BTC"])
    scorer = train(others, SMALL)
    forest = ensemble.RandomForestClassifier(
        n_estimators=20, max_depth=3, min_weight_fraction_leaf=0.01, random_state=1
    ).fit(others.questions, others.are_pumps, sample_weight=others.weights)
    theirs = forest.predict_proba(found.questions)[:, 1]
    ours = [probability(scorer.trees, row) for row in found.questions]
    assert ours == pytest.approx(theirs.tolist())
    own = np.array([symbol == "FUEL-BTC" for symbol in found.symbols])
    assert min(np.array(ours)[own & found.are_pumps]) > 0.5 > max(np.array(ours)[own & ~found.are_pumps])


def test_it_is_measured_on_markets_that_it_does_not_know(markets: list[Recorded], found: Examples) -> None:
    told: list[tuple[str, int, int]] = []
    tallies = left_out(markets, found, SMALL, folds=2, progress=lambda *words: told.append(words))
    alone, vetoes = tallies[ALONE.name], tallies["vetoes below 0.5"]
    assert (alone.recall, alone.false_alarms) == (1.0, len(COINS))
    assert (vetoes.recall, vetoes.false_alarms) == (1.0, 0)
    assert [words[1:] for words in told] == [(1, 2), (2, 2)]


def test_too_little_is_refused(found: Examples) -> None:
    with pytest.raises(TapewatchError, match="0 labelled pumps and 0 other bursts"):
        train(found.without(COINS), SMALL)
    with pytest.raises(ValueError, match="trees"):
        ForestParams(trees=0)


def judged(trades: Sequence[Trade], scorer: pump_scorer.PumpScorer | None, **rules: float) -> list[Anomaly]:
    params = replace(PUMP_PARAMS, pump_scorer=scorer, **rules)  # type: ignore[arg-type]  # shares only
    return [
        event
        for event in Engine(params).on_batch(trades)
        if isinstance(event, Anomaly) and event.episode.phase == EpisodePhase.OPENED
    ]


def test_the_detector_tells_what_it_says_and_obeys_where_it_may_decide(found: Examples) -> None:
    trades = market("FUEL-BTC")
    scorer = train(found.without(["FUEL-BTC"]), SMALL)
    burst, real = judged(trades, None)
    assert "scorer" not in real.reason
    told = judged(trades, scorer)
    assert [event.trade_id for event in told] == [burst.trade_id, real.trade_id]
    assert told[1].features["pump_probability"] > 0.5 > told[0].features["pump_probability"]
    assert f", of the trained scorer {told[1].features['pump_probability'] * 100:.0f} %)." in told[1].reason
    [kept] = judged(trades, scorer, pump_veto_below=0.5)
    assert kept.trade_id == real.trade_id
    sooner = judged(trades, scorer, pump_veto_below=0.5, pump_confirm_at=0.5)
    assert [event.trade_id < real.trade_id for event in sooner] == [True]
    assert sooner[0].score >= PumpDumpParams().threshold


def test_with_a_scorer_any_split_and_any_restart_gives_the_same(found: Examples) -> None:
    params = replace(PUMP_PARAMS, pump_scorer=train(found, SMALL), pump_confirm_at=0.5)
    trades = market("OAX-BTC")
    whole = Engine(params).on_batch(trades)
    assert len(whole) > 4
    events, engine = [], Engine(params)
    for start in range(0, len(trades), 97):
        events += engine.on_batch(trades[start : start + 97])
        state, engine = engine.snapshot("OAX-BTC"), Engine(params)
        engine.restore("OAX-BTC", state)
    assert events == whole


def test_questions_are_what_it_is_asked_live(markets: list[Recorded]) -> None:
    rows = markets[0].rows
    stage = PumpDump(PumpDumpParams(), features=PUMP_FEATURES)
    stage.open(0, identity="")
    scored, questions = stage.questions(Runs.single(0, len(rows)), rows)
    assert not questions[: QUIET_TRADES // 2].any()
    at = int(np.flatnonzero(scored.eligible)[0])
    named = dict(zip(SCORER_FEATURES, questions[at].tolist(), strict=True))
    assert named["rush_orders"] == rows[at, PUMP_FEATURES.index("rush_orders_25s")] > 0
    assert named["avg_volume"] > 0.0
    assert named["avg_price_max"] > named["avg_price"] > 0.0


def test_the_command_trains_measures_and_saves(tmp_path: Path) -> None:
    recording, truth, out = tmp_path / "trades.parquet", tmp_path / "truth.csv", tmp_path / "model"
    trades = sorted((one for symbol in COINS for one in market(symbol)), key=lambda one: one.event_time_us)
    pq.write_table(pa.Table.from_batches([parquet.to_batch(trades)]), recording)
    lines = [f"{symbol},pump_dump,{PUMP_US + 11 * HOUR_US}" for symbol in COINS]
    truth.write_text("\n".join(["symbol,kind,start", *lines]) + "\n")
    arguments = ["pumps", str(recording), "--truth", str(truth), "--out", str(out), "--folds", "2"]
    result = CliRunner().invoke(app, [*arguments, "--trees", "20", "--depth", "3"])
    assert result.exit_code == 0, result.output
    assert "vetoes below 0.5" in result.output
    assert "20 trees, from 4 pumps and 4 other bursts" in result.output.replace("\n", " ")
    scorer = pump_scorer.load(out)
    assert len(scorer.trees.roots) == 20
    assert json.loads((out / "model.json").read_text())["training"]["recordings"] == ["trades.parquet"]
    truth.write_text("symbol,kind,start\n")
    assert CliRunner().invoke(app, arguments).exit_code == 1


def test_recordings_of_a_market_far_apart_are_judged_each_by_itself() -> None:
    first = market("FUEL-BTC")
    year_us = 365 * 24 * HOUR_US
    second = [altered(one, event_time_us=one.event_time_us + year_us) for one in first]
    tapes = Tapes()
    for silent, trades in pieces(map(TradeColumns.of, [first, second]), 86_400.0):
        for symbol in silent:
            tapes.forget(symbol)
        tapes.add(trades)
    (whole,) = tapes.tapes()
    assert len(whole.spans) == 2
    starts = [pump("FUEL-BTC"), pump("FUEL-BTC")._replace(start_us=PUMP_US + 11 * HOUR_US + year_us)]
    found = examples(whole, starts)
    assert (found.count_bursts(are_pumps=True), found.count_bursts(are_pumps=False)) == (2, 2)
    rows = rows_of(whole)
    assert np.array_equal(rows[: len(first), 1:], rows[len(first) :, 1:])
