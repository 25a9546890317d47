import json
import math
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.report import Row, Table, median_rows, replace_section, show, show_tables

ROWS = [Row(name="ours", values={"us": 1.234567, "auc": 0.5}), Row(name="theirs", values={"us": 12_345.6})]


def test_medians_are_taken_per_name_and_figure() -> None:
    rounds = [[Row(name="a", values={"us": value})] for value in (3.0, 1.0, 2.0)]
    assert median_rows(rounds) == [Row(name="a", values={"us": 2.0})]


def test_the_last_line_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    show("forest", [*ROWS, Row(name="absent", values={"us": math.nan})], note="on what")
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["benchmark"] == "forest"
    assert last["rows"] == [
        {"table": "on what", "name": "ours", "us": 1.235, "auc": 0.5},
        {"table": "on what", "name": "theirs", "us": 12_350},
        {"table": "on what", "name": "absent", "us": None},
    ]


def test_the_section_carries_command_tables_and_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks", "forest", "--write", "x.md", "--trees", "32"])
    path = tmp_path / "x.md"
    tables = [Table(title="first", rows=ROWS, note="Mind the gap."), Table(title="second", rows=ROWS[:1])]
    show_tables("forest", tables, write=path)
    text = path.read_text()
    assert "`python -m benchmarks forest --trees 32`" in text
    assert "| | us | auc |\n|---|---:|---:|\n| ours | 1.23 | 0.5 |\n| theirs | 12,346 |  |\n" in text
    assert text.index("**First**") < text.index("Mind the gap.") < text.index("**Second**")


def test_only_the_section_of_that_benchmark_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    path.write_text(
        "Words.\n<!-- begin a -->\nold\n<!-- end a -->\nMore.\n<!-- begin b -->\nb\n<!-- end b -->\n"
    )
    replace_section(path, "a", "new")
    replace_section(path, "a", "newer")
    assert path.read_text() == (
        "Words.\n<!-- begin a -->\nnewer\n<!-- end a -->\nMore.\n<!-- begin b -->\nb\n<!-- end b -->\n"
    )


def test_a_file_without_the_section_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    replace_section(path, "a", "new")
    replace_section(path, "b", "other")
    assert path.read_text().count("<!--") == 4
    assert path.read_text().endswith("## b\n\n<!-- begin b -->\nother\n<!-- end b -->\n")


@pytest.mark.parametrize(
    "text", ["<!-- begin a -->", "<!-- end a --><!-- begin a -->", "<!-- begin a -->" * 2]
)
def test_damaged_markers_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.md"
    path.write_text(text)
    with pytest.raises(ValueError, match="markers"):
        replace_section(path, "a", "new")
    assert path.read_text() == text


def test_the_command_that_is_written_down_names_no_output() -> None:
    given = ["windows", "--rounds", "3", "--write", "a.md", "--plot=b.png", "--plot-tail", "c.png", "--quick"]
    assert report._without_outputs(given) == ["windows", "--rounds", "3", "--quick"]
