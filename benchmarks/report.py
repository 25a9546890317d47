"""What every benchmark prints: the machine, a table, and last one line of JSON."""

import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measured thing.

    Attributes:
        name: what was measured.
        values: figures, the unit in the name.
    """

    name: str
    values: Mapping[str, float] = field(default_factory=dict)


def median_rows(rounds: Sequence[Sequence[Row]]) -> list[Row]:
    """Return one row per name, its values the medians over the rounds."""
    names = list(dict.fromkeys(row.name for rows in rounds for row in rows))
    medians = []
    for name in names:
        same = [row for rows in rounds for row in rows if row.name == name]
        keys = same[0].values
        medians.append(Row(name=name, values={k: statistics.median(r.values[k] for r in same) for k in keys}))
    return medians


def show(benchmark: str, rows: Sequence[Row], *, note: str) -> None:
    """Print the table, then the line of JSON."""
    columns = list(dict.fromkeys(key for row in rows for key in row.values))
    table = Table(title=f"{benchmark}: {note}", caption=_machine())
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(row.name, *(_shown(row.values.get(column)) for column in columns))
    # A pipe has no width: names and figures then need room all the same.
    Console(width=None if sys.stdout.isatty() else 150).print(table)
    print(json.dumps({"benchmark": benchmark, "rows": [_as_json(row) for row in rows]}))


def _as_json(row: Row) -> dict[str, str | float]:
    return {"name": row.name, **{key: float(f"{value:.4g}") for key, value in row.values.items()}}


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def _machine() -> str:
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"
    return f"{machine}, Python {platform.python_version()}"
