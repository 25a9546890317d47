"""`python -m benchmarks NAME`: measure something and print a table, then one line of JSON.

With `--write docs/benchmarks.md`, the result becomes that benchmark's section of the documentation.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import arbitrage as arbitrage_benchmark
from benchmarks import calibration as calibration_benchmark
from benchmarks import charts as charts_benchmark
from benchmarks import crashes as crashes_benchmark
from benchmarks import curves as curves_benchmark
from benchmarks import engine as engine_benchmark
from benchmarks import forest as forest_benchmark
from benchmarks import manipulation as manipulation_benchmark
from benchmarks import nab as nab_benchmark
from benchmarks import pipeline as pipeline_benchmark
from benchmarks import pumps as pumps_benchmark
from benchmarks import snapshots as snapshots_benchmark
from benchmarks import spoofing as spoofing_benchmark
from benchmarks import wash as wash_benchmark
from benchmarks import whales as whales_benchmark
from benchmarks import windows as windows_benchmark
from benchmarks.pictures import PlotOption
from benchmarks.report import WriteOption
from shared import logs
from shared.errors import TapewatchError

_REAL_DATA = Path("../shared/data")

app = typer.Typer(help=__doc__, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Measure something and print a table, then one line of JSON."""
    logs.configure(worker="benchmarks", level="error")


@app.command()
def pipeline(
    trades: Annotated[int, typer.Option(min=1_000, help="trades in the topic")] = 200_000,
    markets: Annotated[int, typer.Option(min=1, help="markets, activity heavy-tailed")] = 400,
    rounds: Annotated[int, typer.Option(min=1, help="of every stage; medians are shown")] = 3,
    seconds: Annotated[int, typer.Option(min=1, help="for which latency is measured, at each rate")] = 20,
    quick: Annotated[
        bool, typer.Option("--quick", help="one round, fewer trades: a first impression")
    ] = False,
    write: WriteOption = None,
) -> None:
    """What a trade costs from Kafka to commit, what state costs, how long anomalies and hand-overs take.

    BENCH_PEERS_PYTHON names an interpreter that has quixstreams and bytewax, to compare with.
    """
    if quick:
        trades, rounds, seconds = min(trades, 50_000), 1, min(seconds, 5)
    pipeline_benchmark.run(trades=trades, markets=markets, rounds=rounds, seconds=seconds, write=write)


@app.command()
def engine(
    trades: Annotated[int, typer.Option(min=10_000, help="trades in one round")] = 200_000,
    markets: Annotated[int, typer.Option(min=1, help="markets, activity heavy-tailed")] = 400,
    rounds: Annotated[int, typer.Option(min=1, help="after two to warm up; medians are shown")] = 5,
    plot: PlotOption = None,
    write: WriteOption = None,
) -> None:
    """What the engine alone costs per trade, whole and stage by stage."""
    engine_benchmark.run(trades=trades, markets=markets, rounds=rounds, plot=plot, write=write)


@app.command()
def calibration(
    pumps: Annotated[int, typer.Option(min=0, help="markets of the pump recordings")] = 60,
    samples: Annotated[int, typer.Option(min=100_000, help="independent scores per known tail")] = 10_000_000,
    plot: PlotOption = None,
    plot_tail: Annotated[
        Path | None, typer.Option("--plot-tail", help="picture of the tail of one market's z-scores")
    ] = None,
    write: WriteOption = None,
) -> None:
    """Whether rarities are what they say, on recordings and known tails."""
    calibration_benchmark.run(pumps=pumps, samples=samples, plot=plot, plot_tail=plot_tail, write=write)


@app.command()
def pumps(write: WriteOption = None) -> None:
    """Pumps found, how soon, and false alarms before them, on recordings with labels."""
    pumps_benchmark.run(write=write)


@app.command()
def curves(
    events: Annotated[int, typer.Option(min=4, help="of each scenario and strength")] = 60,
    days: Annotated[float, typer.Option(min=0.1, help="without events, to count false alarms")] = 7.0,
    quick: Annotated[
        bool, typer.Option("--quick", help="a quarter of the events, a seventh of the days")
    ] = False,
    plot: PlotOption = None,
    write: WriteOption = None,
) -> None:
    """How much of what is hidden in a simulated market is found, against its strength, for every pattern."""
    curves_benchmark.run(events=events, days=days, quick=quick, plot=plot, write=write)


@app.command()
def arbitrage(
    data: Annotated[Path, typer.Option(envvar="REAL_DATA_DIR", help="folder of the real data")] = _REAL_DATA,
    day: Annotated[str, typer.Option(help="folder in it, with tables of one day")] = "crash-2025-10-10",
    calm_until: Annotated[str, typer.Option(help="HH:MM; before it an episode is a false alarm")] = "20:30",
    crash: Annotated[tuple[str, str], typer.Option(help="HH:MM HH:MM, its span")] = ("21:10", "21:40"),
    write: WriteOption = None,
) -> None:
    """Which differences between venues are told on the day of a crash, and false alarms before it."""
    arbitrage_benchmark.run(folder=data / day, calm_until=calm_until, crash=crash, write=write)


@app.command()
def wash(
    reference: Annotated[
        bool, typer.Option("--reference", help="print the table of ordinary markets anew, and nothing else")
    ] = False,
    plot: PlotOption = None,
    write: WriteOption = None,
) -> None:
    """Whether the score for wash trading tells a washed market from all other recordings."""
    wash_benchmark.run(reference=reference, plot=plot, write=write)


@app.command()
def crashes(plot: PlotOption = None, write: WriteOption = None) -> None:
    """Flash crashes found, how soon, and alarms where there are none, on recordings and minute bars."""
    crashes_benchmark.run(plot=plot, write=write)


@app.command()
def charts(
    rounds: Annotated[int, typer.Option(min=1, help="medians are shown")] = 15,
    plot: PlotOption = None,
    write: WriteOption = None,
) -> None:
    """How long the picture of an alert takes to draw, and how heavy it is."""
    charts_benchmark.run(rounds=rounds, picture=plot, write=write)


@app.command()
def whales(plot: PlotOption = None, write: WriteOption = None) -> None:
    """Whale alarms against the budget, and whether a day's largest trades are among them."""
    whales_benchmark.run(plot=plot, write=write)


@app.command()
def manipulation(write: WriteOption = None) -> None:
    """Driven moves that are taken back: alarms on ordinary recordings, and planted ones found."""
    manipulation_benchmark.run(write=write)


@app.command()
def spoofing(
    days: Annotated[float, typer.Option(min=0.1, help="of each quiet market")] = 2.0,
    trials: Annotated[int, typer.Option(min=1, help="per market and strength")] = 20,
    strengths: Annotated[str, typer.Option(help="in depths of ten levels, with commas")] = "1,2,3,4,6,8,12",
    rate: Annotated[float, typer.Option(min=0.1, help="trades a second and market")] = 5.0,
    write: WriteOption = None,
) -> None:
    """Which spoofing and layering is found in simulated quotes, by strength, and what a quote costs."""
    numbers = [float(number) for number in strengths.split(",")]
    spoofing_benchmark.run(days=days, trials=trials, strengths=numbers, rate=rate, write=write)


@app.command()
def nab(plot: PlotOption = None, write: WriteOption = None) -> None:
    """Score detectors of one series by the rules of the Numenta Anomaly Benchmark."""
    nab_benchmark.run(plot=plot, write=write)


@app.command()
def windows(
    trades: Annotated[int, typer.Option(min=5_000, help="trades of each series")] = 50_000,
    markets: Annotated[int, typer.Option(min=1, help="that ours is fed with at once")] = 33,
    rounds: Annotated[int, typer.Option(min=1, help="medians are shown")] = 7,
    plot: PlotOption = None,
    write: WriteOption = None,
) -> None:
    """How right sliding windows stay after a spike, and what they cost; beside pandas, polars and others."""
    windows_benchmark.run(trades=trades, markets=markets, rounds=rounds, plot=plot, write=write)


@app.command()
def snapshots(
    trades: Annotated[int, typer.Option(min=1_000, help="of the market, before its snapshot")] = 200_000,
    rounds: Annotated[int, typer.Option(min=1, help="of every snapshot; medians are shown")] = 5,
    write: WriteOption = None,
) -> None:
    """For how long a market's snapshot holds up the batches."""
    snapshots_benchmark.run(trades=trades, rounds=rounds, write=write)


@app.command()
def forest(
    rows: Annotated[int, typer.Option(min=1_000, help="of each set at most")] = 10_000,
    seeds: Annotated[int, typer.Option(min=1, help="random orders and seeds of the detectors")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="2,000 rows and two seeds")] = False,
    speed_only: Annotated[
        bool, typer.Option("--speed-only", help="what a row costs, without accuracy: two minutes")
    ] = False,
    data: Annotated[Path, typer.Option(envvar="REAL_DATA_DIR", help="folder of the real data")] = _REAL_DATA,
    plot: PlotOption = None,
    write: WriteOption = None,
) -> None:
    """How well detectors of rows of any columns find labelled anomalies, and what a row costs them."""
    forest_benchmark.run(
        data=data / "adbench",
        rows=rows,
        seeds=seeds,
        quick=quick,
        speed_only=speed_only,
        plot=plot,
        write=write,
    )


if __name__ == "__main__":
    try:
        app()
    except TapewatchError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from error
