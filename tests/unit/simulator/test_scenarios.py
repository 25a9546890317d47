"""What each scenario does to its market, and that the truth says so."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from detector.arrays import BoolVector, FloatVector
from shared import recordings
from shared.stream.columns import TradeColumns
from simulator.crowd import MarketParams
from simulator.effects import MarketFacts, PlannedOrders, curve
from simulator.events.catalogue import SCENARIOS, scenario
from simulator.scenarios import ScenarioParams, Scheduled
from simulator.source import Injected
from simulator.tapes import Stretch, stretches, write_tape

SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT")
AT_S = 9_000.0


def play(
    *events: Scheduled,
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT"),
    exchanges: tuple[str, ...] = ("binance",),
    hours: float = 6.0,
    rate: float = 1.0,
    seed: int = 1,
) -> Stretch:
    """Return a whole tape with events that are set and no others."""
    quiet = ScenarioParams(whales_per_hour=0, crashes_per_hour=0, scheduled=events)
    params = MarketParams(
        symbols=symbols, exchanges=exchanges, rate=rate, seed=seed, duration_s=3_600 * hours, scenarios=quiet
    )
    parts = list(stretches(params))
    columns = ("venue", "trade_ids", "prices", "quantities", "sells", "times_us", "received_us")
    joined = {name: np.concatenate([getattr(part.trades, name) for part in parts]) for name in columns}
    trades = TradeColumns(venues=parts[0].trades.venues, **joined)
    return Stretch(trades, [event for part in parts for event in part.truth])


def of(trades: TradeColumns, market: str = "BTC-USDT", exchange: str = "binance") -> TradeColumns:
    return trades.take(np.flatnonzero(trades.venue == trades.venues.index((exchange, market))))


def between(trades: TradeColumns, start_us: float, end_us: float) -> BoolVector:
    during: BoolVector = (trades.times_us >= start_us) & (trades.times_us < end_us)
    return during


def price_at(trades: TradeColumns, time_us: float) -> float:
    return float(np.median(trades.prices[trades.times_us <= time_us][-3:]))


def alone(name: str, strength: float, **kwargs: object) -> tuple[TradeColumns, Injected]:
    tape = play(Scheduled(name, "BTCUSDT", AT_S, strength), **kwargs)  # type: ignore[arg-type]  # options of `play`
    (truth,) = tape.truth
    assert (truth.scenario, truth.kind, truth.strength) == (name, SCENARIOS[name].kind, strength)
    assert (truth.symbol, truth.market, truth.unit) == ("BTCUSDT", "BTC-USDT", SCENARIOS[name].unit)
    assert AT_S * 1e6 <= truth.start_us - MarketParams().start_us <= (AT_S + 7_300) * 1e6
    return of(tape.trades), truth


def test_a_pump_rises_on_a_part_of_a_days_volume_and_is_dumped() -> None:
    trades, truth = alone("pump_dump", 20.0, rate=0.1, hours=8)
    rise_us, peak_us = (truth.parameters[name] * 1e6 for name in ("rise_s", "peak_after_s"))
    before, top = price_at(trades, truth.start_us), price_at(trades, truth.start_us + peak_us)
    assert 1.15 < top / before < 1.25
    after = price_at(trades, truth.end_us)
    given_back = truth.parameters["given_back"]
    assert np.log(after / before) == pytest.approx((1 - given_back) * np.log(1.2), abs=0.03)
    pumped = between(trades, truth.start_us, truth.start_us + rise_us)
    notional = trades.prices * trades.quantities
    bought = notional[pumped & (trades.sells == 0)].sum()
    quiet = notional[trades.times_us < truth.start_us - truth.parameters["accumulation_s"] * 1e6]
    assert bought > 100 * quiet.sum() * truth.parameters["rise_s"] / (AT_S)
    assert (trades.sells[pumped] == 0).mean() > 0.9
    accumulating = between(trades, truth.start_us - truth.parameters["accumulation_s"] * 1e6, truth.start_us)
    flow = np.where(trades.sells == 1, -notional, notional)
    assert flow[accumulating].sum() > 0


@pytest.mark.parametrize(("name", "sign"), [("flash_crash", -1), ("spike", 1)])
def test_a_crash_and_a_spike_are_mirrors(name: str, sign: int) -> None:
    trades, truth = alone(name, 12.0)
    bottom_us = truth.start_us + (truth.parameters["fall_s"] + truth.parameters["bottom_s"]) * 1e6
    move = price_at(trades, bottom_us) / price_at(trades, truth.start_us) - 1
    assert move == pytest.approx(sign * 0.12, abs=0.02)


def test_a_crash_of_all_markets_is_one_event() -> None:
    tape = play(Scheduled("market_crash", "BTCUSDT", AT_S, 8.0), exchanges=("binance", "coinbase"))
    assert len({truth.id for truth in tape.truth}) == 1
    assert {(truth.exchange, truth.market) for truth in tape.truth} == set(tape.trades.venues)
    for exchange, market in tape.trades.venues:
        trades = of(tape.trades, market, exchange)
        own = next(truth for truth in tape.truth if (truth.exchange, truth.market) == (exchange, market))
        low_us = own.start_us + (own.parameters["fall_s"] + own.parameters["bottom_s"]) * 1e6
        assert price_at(trades, low_us) / price_at(trades, own.start_us) == pytest.approx(0.92, abs=0.02)


def test_an_iceberg_is_of_equal_slices() -> None:
    trades, truth = alone("iceberg", 40.0)
    during = between(trades, truth.start_us, truth.end_us + 1)
    sizes, counts = np.unique(
        trades.quantities[during & (trades.sells == truth.parameters["is_sale"])], return_counts=True
    )
    assert counts.max() == truth.parameters["slices"]
    notional = sizes[counts.argmax()] * counts.max() * price_at(trades, truth.start_us)
    assert notional == pytest.approx(truth.parameters["notional"], rel=0.02)


def test_a_wash_is_its_share_of_trades_in_pairs_and_gains_nothing() -> None:
    trades, truth = alone("wash_trading", 50.0)
    calm = of(play().trades)
    during = between(trades, truth.start_us, truth.end_us)
    added = during.sum() - between(calm, truth.start_us, truth.end_us).sum()
    # Ordinary orders come at the same times, but fall into trades by other draws.
    assert added == pytest.approx(2 * truth.parameters["pairs"], rel=0.05)
    assert 0.4 < added / during.sum() < 0.65
    sizes, counts = np.unique(trades.quantities[during], return_counts=True)
    often = np.sort(sizes[np.argsort(-counts)][: int(truth.parameters["sizes"])])
    washed = during & np.isin(trades.quantities, often)
    assert trades.sells[washed].mean() == pytest.approx(0.5, abs=0.05)
    bought, sold = (trades.prices[washed & (trades.sells == side)].mean() for side in (0, 1))
    assert bought == pytest.approx(sold, rel=1e-5)
    assert abs(np.log(price_at(trades, truth.end_us) / price_at(trades, truth.start_us))) < 0.05


def test_an_ignition_comes_back() -> None:
    trades, truth = alone("momentum_ignition", 2.0)
    move = truth.parameters["move_pct"] / 100
    burst_us = truth.parameters["burst_s"] * 1e6
    before, top = price_at(trades, truth.start_us), price_at(trades, truth.start_us + burst_us)
    assert top / before - 1 == pytest.approx(move, abs=0.006)
    assert abs(price_at(trades, truth.end_us) / before - 1) < 0.5 * abs(move)
    burst = between(trades, truth.start_us, truth.start_us + burst_us)
    assert trades.sells[burst].mean() > 0.8 if move < 0 else trades.sells[burst].mean() < 0.2


def test_the_close_is_marked_at_a_full_hour() -> None:
    trades, truth = alone("marking_close", 1.0)
    assert abs(truth.end_us % 3_600_000_000 - 0) < 2 or truth.end_us % 3_600_000_000 > 3_599_999_000
    move = price_at(trades, truth.end_us) / price_at(trades, truth.start_us) - 1
    assert move == pytest.approx(truth.parameters["move_pct"] / 100, abs=0.004)


def test_a_layered_burst_comes_to_five_markets_within_seconds() -> None:
    tape = play(Scheduled("layered_burst", "DOGEUSDT", AT_S, 1.0), symbols=SYMBOLS)
    assert len(tape.truth) == 5
    assert "DOGE-USDT" in {truth.market for truth in tape.truth}
    assert len({truth.id for truth in tape.truth}) == 1
    starts = [truth.start_us for truth in tape.truth]
    assert 0 < max(starts) - min(starts) < 5e6
    assert {truth.parameters["move_pct"] for truth in tape.truth} == {1.0}


def test_prices_of_two_venues_stay_together_but_for_a_divergence() -> None:
    event = Scheduled("arbitrage", "BTCUSDT", AT_S, 200.0)
    tape = play(event, exchanges=("binance", "coinbase"), rate=5.0, hours=3)
    (truth,) = tape.truth
    assert truth.exchange == "coinbase"
    first, second = of(tape.trades), of(tape.trades, exchange="coinbase")
    seconds_us = np.arange(MarketParams().start_us + 600e6, MarketParams().start_us + 3 * 3_600e6, 1e6)

    def latest(trades: TradeColumns) -> FloatVector:
        prices: FloatVector = trades.prices[np.searchsorted(trades.times_us, seconds_us) - 1]
        return prices

    gap_bps = 1e4 * np.abs(np.log(latest(second) / latest(first)))
    lasts = (seconds_us > truth.start_us + 6e6) & (
        seconds_us < truth.start_us + (truth.parameters["there_s"] + truth.parameters["lasts_s"]) * 1e6
    )
    assert np.median(gap_bps[lasts]) == pytest.approx(200.0, rel=0.05)
    apart = (seconds_us < truth.start_us) | (seconds_us > truth.end_us + 10e6)
    assert np.median(gap_bps[apart]) < 5.0
    assert np.quantile(gap_bps[apart], 0.999) < 80.0


def test_neither_other_markets_nor_the_time_before_see_anything_of_it() -> None:
    shaken, calm = play(Scheduled("flash_crash", "BTCUSDT", AT_S, 20.0)).trades, play().trades
    assert np.array_equal(of(shaken, "ETH-USDT").prices, of(calm, "ETH-USDT").prices)
    before = of(shaken).times_us < MarketParams().start_us + 7_200e6
    assert before.sum() > 1_000
    assert np.array_equal(of(shaken).prices[before], of(calm).prices[: before.sum()])


@pytest.mark.parametrize("name", SCENARIOS)
def test_strength_changes_nothing_else(name: str) -> None:
    weak, strong = (alone_or_first(name, factor) for factor in (1.0, 2.0))
    assert (weak.start_us, weak.end_us) == (strong.start_us, strong.end_us)
    assert strong.strength == 2 * weak.strength


def alone_or_first(name: str, factor: float) -> Injected:
    strength = factor * SCENARIOS[name].usual[0]
    return play(Scheduled(name, "BTCUSDT", AT_S, strength), rate=0.1).truth[0]


def test_events_that_chance_brings_are_the_same_again_and_of_usual_strength() -> None:
    rates = tuple((name, 2.0) for name in SCENARIOS)
    scenarios = ScenarioParams(whales_per_hour=2, crashes_per_hour=2, per_hour=rates)
    params = MarketParams(symbols=SYMBOLS, rate=0.2, duration_s=6 * 3_600, scenarios=scenarios)
    first, again = ([event for part in stretches(params) for event in part.truth] for _ in range(2))
    assert first == again
    assert {event.scenario for event in first} == set(SCENARIOS)
    for event in first:
        low, high = SCENARIOS[event.scenario].usual
        assert low <= event.strength <= high
        assert event.start_us <= event.end_us
    own: dict[tuple[str, str], list[Injected]] = {}
    for event in first:
        own.setdefault((event.symbol, event.scenario), []).append(event)
    for events in own.values():
        assert all(a.end_us <= b.start_us or a.start_us == a.end_us for a, b in pairwise(events))


def test_a_tape_is_a_recording_with_its_truth(tmp_path: Path) -> None:
    params = MarketParams(
        symbols=("BTCUSDT", "ETHUSDT"),
        exchanges=("binance", "kraken"),
        rate=1.0,
        duration_s=4_000.0,
        scenarios=ScenarioParams(whales_per_hour=5, crashes_per_hour=0),
    )
    written = write_tape(params, tmp_path)
    read = [trade for batch in recordings.read([tmp_path / "trades.parquet"]) for trade in batch]
    assert len(read) == written.trades == sum(len(part.trades) for part in stretches(params))
    assert {(trade.exchange, trade.symbol) for trade in read} == {
        (exchange, market) for exchange in params.exchanges for market in ("BTC-USDT", "ETH-USDT")
    }
    assert len((tmp_path / "truth.jsonl").read_text().splitlines()) == written.events > 5


@pytest.mark.parametrize(
    "make", [lambda: scenario("moon"), lambda: ScenarioParams(per_hour=(("moon", 1.0),))]
)
def test_a_scenario_that_there_is_not(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="no scenario 'moon'"):
        make()


def test_curves_are_zero_before_and_stay_after() -> None:
    line = curve((10.0, 1.0), (20.0, 3.0))
    assert line.at(np.array([9.9, 10.0, 15.0, 20.0, 99.0])).tolist() == [0.0, 1.0, 2.0, 3.0, 3.0]


def test_orders_are_sorted_and_cut_by_time() -> None:
    late = PlannedOrders.of(np.array([5.0, 3.0]), sells=True, quantities=np.array([50.0, 30.0]))
    joined = PlannedOrders.joined([late, PlannedOrders.of(np.array([4.0]), sells=False, quantities=40.0)])
    assert joined.quantities.tolist() == [30.0, 40.0, 50.0]
    assert joined.between(4.0, 5.0).sells.tolist() == [False]


def test_the_next_hour_is_that_of_the_clock() -> None:
    facts = MarketFacts(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, start_us=1_800_000_000 + 7_200_000_000)
    assert facts.next_hour_s(0.0) == 1_800.0
    assert facts.next_hour_s(1_801.0) == 5_400.0
