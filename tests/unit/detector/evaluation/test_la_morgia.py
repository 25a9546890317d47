"""The features of La Morgia et al., against the definition and against those published."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detector.evaluation import la_morgia
from detector.evaluation.events import Span, Truth
from detector.evaluation.tapes import MarketTape, Tapes
from detector.evaluation.truth import read_truth
from shared.errors import TapewatchError
from shared.recordings import read
from shared.stream.columns import TradeColumns

CHUNK_US = la_morgia.CHUNK_US


def market(symbol: str, *, seed: int, chunks: int = 1_500, pump_at: int | None = None) -> MarketTape:
    """Return a market that trades about six times a chunk, and more and higher from a chunk on."""
    rng = np.random.default_rng(seed)
    # To the second, so that some trades come at one instant.
    times_us = np.sort(rng.integers(0, chunks * 25, chunks * 6)) * 1_000_000
    prices = 100.0 + rng.normal(0.0, 0.1, len(times_us))
    bought = rng.exponential(1.0, len(times_us)) * rng.choice([-1.0, 1.0], len(times_us))
    if pump_at is not None:
        extra_us = pump_at * CHUNK_US + rng.integers(0, 40, 300) * 500_000
        order = np.argsort(np.concatenate([times_us, extra_us]), kind="stable")
        times_us = np.concatenate([times_us, extra_us])[order]
        prices = np.concatenate([prices, rng.uniform(105.0, 130.0, 300)])[order]
        bought = np.concatenate([bought, rng.exponential(9.0, 300)])[order]
    return MarketTape("binance", symbol, times_us, prices, bought, (Span(0, chunks * CHUNK_US),))


def test_features_are_as_defined() -> None:
    tape = market("A-BTC", seed=1)
    found = la_morgia.chunks_of(tape)
    table = pd.DataFrame({"us": tape.times_us, "price": tape.prices, "bought": tape.bought})
    buys = table[table.bought > 0].assign(chunk=lambda t: t.us // CHUNK_US, paid=lambda t: t.price * t.bought)
    volume = buys.groupby("chunk").paid.sum()
    mean = buys.groupby("chunk").price.mean()
    at = 100
    rows = int(np.searchsorted(np.asarray(volume.index), found.starts_us[at] // CHUNK_US))
    windows = [slice(rows - 899 - shift, rows + 1 - shift) for shift in (0, 1)]
    now, before = (volume.iloc[window] for window in windows)
    row = dict(zip(la_morgia.FEATURES, found.features[at], strict=True))
    assert row["avg_volume"] == pytest.approx(now.mean() / before.mean() - 1)
    assert row["std_volume"] == pytest.approx(now.std() / before.std() - 1)
    recent = [mean.iloc[rows - 9 - shift : rows + 1 - shift].mean() for shift in (0, 1)]
    assert row["avg_price"] == pytest.approx(recent[0] / recent[1] - 1)


def test_a_forest_knows_the_pumps_of_other_markets() -> None:
    pytest.importorskip("sklearn")
    tapes = [market(f"{name}-BTC", seed=n, pump_at=1_200) for n, name in enumerate("ABCD")]
    truths = [Truth("pump_dump", tape.symbol, 1_200 * CHUNK_US) for tape in tapes]
    found = la_morgia.alarms(tapes, truths)
    ends = {(alarm.symbol, alarm.time_us) for alarm in found}
    # A chunk is known when it has ended.
    assert {(tape.symbol, 1_201 * CHUNK_US) for tape in tapes} <= ends
    with pytest.raises(TapewatchError, match="two at least"):
        la_morgia.alarms(tapes, truths[:1])


@pytest.mark.real_data
def test_features_of_a_recording_are_those_published(real_data_dir: Path) -> None:
    path = real_data_dir / "pumps" / "trades" / "FUEL_2020-03-27_21.00.csv.zst"
    tapes = Tapes()
    for batch in read([path]):
        tapes.add(TradeColumns.of(batch))
    found = la_morgia.chunks_of(tapes.tapes()[0])
    label_path = real_data_dir / "pumps" / "labels" / "label_25S.csv"
    (start_us,) = [
        one.start_us
        for one in read_truth([label_path])
        if one.symbol == "FUEL-BTC" and found.starts_us[0] < one.start_us < found.starts_us[-1]
    ]
    labels = pd.read_csv(label_path, parse_dates=["date"])
    rows = labels[(labels.symbol == "FUEL") & (labels.date == pd.Timestamp(start_us, unit="us"))]
    published = rows[list(la_morgia.FEATURES)].to_numpy()[0]
    ours = found.features[np.searchsorted(found.starts_us, start_us)]
    assert ours == pytest.approx(published, abs=1e-3, rel=0.02)
