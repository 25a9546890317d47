"""What the command line refuses before it asks a broker."""

import pytest
from typer.testing import CliRunner

from recorder.__main__ import app


@pytest.mark.parametrize(
    "arguments",
    [
        ["audit", "--from", "yesterday"],
        ["audit", "--to", "1969-12-31"],
        ["dead-letters", "replay"],
        ["dead-letters", "replay", "--all"],
        ["dead-letters", "replay", "--source", "trades"],
        ["dead-letters", "replay", "3", "--source", "trades"],
        ["dead-letters", "replay", "3", "--all", "--source", "trades"],
        ["dead-letters", "show", "-1"],
        ["dead-letters", "list", "--limit", "0"],
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_an_audit_that_cannot_begin_says_neither_whole_nor_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PARTITIONS", "none")
    assert CliRunner().invoke(app, ["audit"]).exit_code == 2
