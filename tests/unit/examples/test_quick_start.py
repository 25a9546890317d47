from typing import TYPE_CHECKING

from examples import quick_start

if TYPE_CHECKING:
    import pytest


def test_the_quick_start_finds_what_is_hidden_in_it(capsys: "pytest.CaptureFixture[str]") -> None:
    quick_start.main()
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "100 of 2000 minutes are anomalies; the strangest is minute 1000"
    assert told[1].startswith("a record: anomaly True")
    assert told[-1].endswith("the strangest is minute 1000")
