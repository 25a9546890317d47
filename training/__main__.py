"""`python -m training pumps --truth FILE RECORDING... --out FOLDER`: train a scorer on your own labels.

The scorer is for `pump_dump`; `PUMP_DUMP_SCORER=FOLDER` uses it. What it adds is measured first, on markets
that it has not learned from, and printed (`docs/patterns.md`).
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import config
from detector.evaluation.judging import pieces
from detector.evaluation.matching import Tally
from detector.evaluation.tapes import Tapes
from detector.evaluation.truth import read_truth
from detector.patterns import pump_scorer
from shared.errors import RecordingError, TapewatchError
from shared.recordings.reader import read
from shared.stream.columns import TradeColumns
from training import pumps as learning
from training import validation

app = typer.Typer(help=__doc__, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Train models on your own labels."""


@app.command()
def pumps(
    recordings: Annotated[list[Path], typer.Argument(exists=True, help="in any form that can be replayed")],
    truth: Annotated[list[Path], typer.Option(exists=True, help="labelled events: docs/patterns.md")],
    out: Annotated[Path, typer.Option(help="folder for the model")],
    trees: Annotated[int, typer.Option(min=1, max=2_000, help="of the forest")] = 200,
    depth: Annotated[int, typer.Option(min=1, max=12, help="of each tree, at most")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="of all randomness")] = 1,
    folds: Annotated[int, typer.Option(min=0, help="parts for measuring what it adds; 0: not measured")] = 5,
) -> None:
    """Train a scorer of pumps: a random forest on La Morgia's features and the detector's own."""
    params = learning.ForestParams(trees=trees, depth=depth, seed=seed)
    try:
        with _shown() as tell:
            markets = _read(recordings, truth, tell)
            found = learning.Examples.joined(
                [learning.examples(market.tape, market.truths) for market in markets]
            )
            tallies = (
                validation.left_out(markets, found, params, folds=folds, progress=tell) if folds > 1 else {}
            )
            scorer = learning.train(
                found, params, recordings=[path.name for path in recordings], progress=tell
            )
        pump_scorer.save(scorer, out)
    except (TapewatchError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from error
    console = Console(width=None if sys.stdout.isatty() else 120)
    if tallies:
        console.print(_table(tallies, folds))
    learned = scorer.training
    most = ", ".join(f"{name} {share:.2f}" for name, share in list(learned.importances.items())[:5])
    console.print(
        f"{out}: model {scorer.model_id}, {trees} trees, from {learned.pumps} pumps and {learned.bursts} "
        f"other bursts in {learned.trades:,} trades. What counted most: {most}.",
        highlight=False,
    )


def _read(recordings: list[Path], truth: list[Path], tell: learning.Progress) -> list[validation.Recorded]:
    """Return the recorded markets with their labels.

    Raises:
        RecordingError: there are no trades, or a file cannot be read.
    """
    truths, tapes, done = read_truth(truth), Tapes(), 0
    forget_after_s = config.load_or_exit().detector_forget_after_h * 3_600
    for silent, trades in pieces(map(TradeColumns.of, read(recordings)), forget_after_s):
        for symbol in silent:
            tapes.forget(symbol)
        tapes.add(trades)
        done += len(trades)
        tell("trades read", done, 0)
    if not done:
        raise RecordingError(", ".join(map(str, recordings)), reason="there are no trades")
    return [
        validation.Recorded(
            tape, learning.rows_of(tape), [one for one in truths if one.symbol == tape.symbol]
        )
        for tape in tapes.tapes()
    ]


@contextmanager
def _shown() -> Iterator[learning.Progress]:
    """Show a bar on stderr, and yield what to tell it; where that is no terminal, a line now and then."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task, told = progress.add_task("reading", total=None), {"": 0}

        def tell(what: str, done: int, of: int) -> None:
            words = f"{done:,} of {of:,} {what}" if of else f"{done:,} {what}"
            progress.update(task, description=words, completed=done, total=of or None)
            step = max(of // 4, 1) if of else 500_000
            if not console.is_terminal and done // step != told.get(what, 0):
                told[what] = done // step
                sys.stderr.write(f"{words}\n")

        yield tell


def _table(tallies: dict[str, Tally], folds: int) -> Table:
    table = Table(title=f"Left out by market, {folds} parts")
    for name in (
        *("", "recall", "precision", "false alarms per 30 days"),
        *("time to detect, median, s", "90 %, s"),
    ):
        table.add_column(name, justify="right" if name else "left", no_wrap=not name)
    for name, tally in tallies.items():
        table.add_row(
            name,
            f"{tally.recall:.3f}",
            f"{tally.precision:.3f}",
            f"{tally.false_per_30_days:.2f}",
            f"{tally.delay_s(0.5):.1f}",
            f"{tally.delay_s(0.9):.1f}",
        )
    return table


if __name__ == "__main__":
    app()
