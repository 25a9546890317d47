import ast
import sys
from pathlib import Path

import pytest

from benchmarks import rivals


def test_a_peer_that_is_not_installed_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_PEERS_PYTHON", sys.executable)
    assert rivals._has("")
    assert rivals._has("json")
    assert not rivals._has("a_stream_processor_that_nobody_wrote")


@pytest.mark.parametrize("job", rivals.JOBS, ids=lambda job: job.name)
def test_every_job_has_its_script_and_prints_json_last(job: rivals.Job) -> None:
    script = Path(rivals.__file__).with_name("peers") / f"{job.module}_job.py"
    tree = ast.parse(script.read_text(encoding="utf-8"))
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    is_ours = any(name.startswith("shared") for name in imported)
    assert is_ours == (not job.needs), "a peer's environment has nothing of this project"
