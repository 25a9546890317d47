"""Kernels on disk are renewed when what they call changes, and only then."""

import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from shared import kernel_cache

_CALLER = """
    from numba import njit
    from shared import kernel_cache
    from kernels.called import (
        answer,
    )

    kernel_cache.install()

    @njit(cache=True)
    def ask():
        return answer()

    print(ask(), sum(ask.stats.cache_hits.values()))
"""
_CALLED = """
    from numba import njit
    from kernels.constants import ANSWER

    @njit(inline="never")
    def answer():
        return ANSWER
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with a kernel that calls one of another file, which reads a constant of a third."""
    for name in ("shared", "kernels"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    shutil.copy(kernel_cache.__file__, tmp_path / "shared")
    (tmp_path / "kernels" / "caller.py").write_text(dedent(_CALLER))
    (tmp_path / "kernels" / "called.py").write_text(dedent(_CALLED))
    (tmp_path / "kernels" / "constants.py").write_text("ANSWER = 41\n")
    (tmp_path / "kernels" / "unrelated.py").touch()
    return tmp_path


def _asked(project: Path) -> tuple[int, bool]:
    """Return what the kernel answers in a process of its own, and whether it came from the disk."""
    command = [sys.executable, "-c", "import kernels.caller"]
    ran = subprocess.run(command, cwd=project, check=True, capture_output=True, text=True)
    answer, hits = ran.stdout.split()
    return int(answer), hits != "0"


def test_a_kernel_is_renewed_when_something_that_it_calls_reads_another_constant(project: Path) -> None:
    assert _asked(project) == (41, False)
    assert _asked(project) == (41, True)
    (project / "kernels" / "constants.py").write_text("ANSWER = 42\n")
    assert _asked(project) == (42, False)


def test_a_kernel_is_kept_when_something_else_changes(project: Path) -> None:
    _asked(project)
    (project / "kernels" / "unrelated.py").write_text("ANSWER = 42\n")
    assert _asked(project) == (41, True)


@pytest.mark.parametrize(
    "line",
    [
        "from kernels.constants import ANSWER",
        "from kernels import caller, constants",
        "from kernels import (\n    caller,\n    constants,\n)",
        "import kernels.constants",
        "    from kernels.constants import ANSWER as here",
    ],
)
def test_every_form_of_import_counts(project: Path, line: str) -> None:
    module = project / "kernels" / "module.py"
    module.write_text(f"import os\n{line}\n")
    before = kernel_cache.stamp(module, project)
    (project / "kernels" / "constants.py").write_text("ANSWER = 42\n")
    kernel_cache.stamp.cache_clear()
    assert kernel_cache.stamp(module, project) != before


def test_modules_that_import_each_other_have_an_end(project: Path) -> None:
    (project / "kernels" / "constants.py").write_text("from kernels import caller\nANSWER = 41\n")
    assert kernel_cache.stamp(project / "kernels" / "caller.py", project)
