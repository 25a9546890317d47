"""What every benchmark gives: a table, one line of JSON last, and its section of the documentation.

A command takes `write: WriteOption = None` and passes it on to `show` or `show_tables`; with `--write
docs/benchmarks.md` the section of that benchmark, between its two markers, is replaced by what was measured.
What people write about the figures stands outside of the markers and stays.
"""

import json
import math
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from rich.console import Console
from rich.table import Table as ScreenTable

WriteOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--write", help="replace this benchmark's section of a Markdown file by the result"),
]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measured thing.

    Attributes:
        name: what was measured.
        values: figures, the unit in the name; NaN where one could not be measured.
    """

    name: str
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows that are compared with one another.

    Attributes:
        title: what is compared, and on what data.
        rows: measured things.
        note: what a reader must know to read it; may be empty.
    """

    title: str
    rows: Sequence[Row]
    note: str = ""

    @property
    def columns(self) -> list[str]:
        """Names of the figures, in the order of their first appearance."""
        return list(dict.fromkeys(key for row in self.rows for key in row.values))


def median_rows(rounds: Sequence[Sequence[Row]]) -> list[Row]:
    """Return one row per name, its values the medians over the rounds."""
    names = list(dict.fromkeys(row.name for rows in rounds for row in rows))
    medians = []
    for name in names:
        same = [row for rows in rounds for row in rows if row.name == name]
        keys = same[0].values
        medians.append(Row(name=name, values={k: statistics.median(r.values[k] for r in same) for k in keys}))
    return medians


def show(benchmark: str, rows: Sequence[Row], *, note: str, write: Path | None = None) -> None:
    """Print one table, then the line of JSON, and write the documentation where that is asked for.

    Args:
        benchmark: the command's name.
        rows: measured things.
        note: on what data.
        write: Markdown file whose section of this benchmark is replaced.
    """
    show_tables(benchmark, [Table(title=note, rows=rows)], write=write)


def show_tables(benchmark: str, tables: Sequence[Table], *, write: Path | None = None) -> None:
    """Print the tables, then the line of JSON, and write the documentation where that is asked for."""
    # A pipe has no width: names and figures then need room all the same.
    console = Console(width=None if sys.stdout.isatty() else 150)
    for table in tables:
        console.print(_on_screen(benchmark, table))
    console.print(_machine(), highlight=False)
    if write is not None:
        command = shlex.join(["python", "-m", "benchmarks", *_without_outputs(sys.argv[1:])])
        replace_section(write, benchmark, _markdown(tables, command=command, now=datetime.now(UTC)))
    rows = [{"table": table.title, **_as_json(row)} for table in tables for row in table.rows]
    print(json.dumps({"benchmark": benchmark, "machine": _machine(), "rows": rows}))


def replace_section(path: Path, benchmark: str, section: str) -> None:
    """Put a text between the two markers of a benchmark in a Markdown file; append both where there are none.

    Args:
        path: the file; it is made where there is none, and replaced in one move.
        benchmark: names the markers.
        section: Markdown.

    Raises:
        ValueError: one marker is there without the other, or there are several.
    """
    begin, end = f"<!-- begin {benchmark} -->", f"<!-- end {benchmark} -->"
    text = path.read_text(encoding="utf-8") if path.exists() else "# Benchmarks\n"
    if (text.count(begin), text.count(end)) == (0, 0):
        text = f"{text.rstrip()}\n\n## {benchmark}\n\n{begin}\n{end}\n"
    if (text.count(begin), text.count(end)) != (1, 1) or text.index(begin) > text.index(end):
        raise ValueError(f"{path}: markers {begin} and {end} must stand there once each, in this order")
    before, after = text.split(begin)[0], text.split(end)[1]
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(f"{before}{begin}\n{section.strip()}\n{end}{after}", encoding="utf-8")
    draft.replace(path)


def _on_screen(benchmark: str, table: Table) -> ScreenTable:
    shown = ScreenTable(title=f"{benchmark}: {table.title}", caption=table.note or None)
    shown.add_column("")
    for column in table.columns:
        shown.add_column(column, justify="right")
    for row in table.rows:
        shown.add_row(row.name, *(_shown(row.values.get(column)) for column in table.columns))
    return shown


def _markdown(tables: Sequence[Table], *, command: str, now: datetime) -> str:
    lines = [f"Measured on {now:%Y-%m-%d} by `{command}` ({_machine()})."]
    for table in tables:
        lines += ["", f"**{_sentence(table.title)}**", ""]
        lines += [f"| | {' | '.join(table.columns)} |", f"|---|{'---:|' * len(table.columns)}"]
        for row in table.rows:
            figures = " | ".join(_shown(row.values.get(column)) for column in table.columns)
            lines.append(f"| {row.name} | {figures} |")
        lines += ["", table.note] if table.note else []
    return "\n".join(lines)


def _sentence(title: str) -> str:
    return title[:1].upper() + title[1:]


def _without_outputs(arguments: Sequence[str]) -> list[str]:
    """Return the arguments without those that say where results are written: they change no figure."""
    kept: list[str] = []
    is_path = False
    for argument in arguments:
        name, _, value = argument.partition("=")
        is_output = name in {"--write", "--plot", "--plot-tail"}
        if not is_output and not is_path:
            kept.append(argument)
        is_path = is_output and not value
    return kept


def _as_json(row: Row) -> dict[str, str | float | None]:
    # JSON knows no NaN.
    figures = {k: float(f"{v:.4g}") if math.isfinite(v) else None for k, v in row.values.items()}
    return {"name": row.name, **figures}


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def _machine() -> str:
    """Return what the figures depend on besides the code."""
    kind = f"{os.cpu_count()} cores of {_processor()}, {platform.system()}"
    return f"{kind}, Python {platform.python_version()}"


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()} ({platform.machine()})"
    return platform.machine()
