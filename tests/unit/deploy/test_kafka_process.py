import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.kafka.process import ChildProcess, is_running, start_detached, stop_detached, tail, wait_until
from tests.deadlines import eventually
from tests.unit.deploy.compose_file import ROOT

PATIENT = "import time; print('up', flush=True); time.sleep(99)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {PATIENT}"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def start(code: str, log: Path) -> ChildProcess:
    child = ChildProcess([sys.executable, "-c", code], log_path=log)
    eventually(lambda: "up" in tail(log), seconds=20, about="the child")
    return child


def exists(pid: int) -> bool:
    return is_running(pid, mark="-c")


def test_it_ends_when_told(log: Path) -> None:
    child = start(PATIENT, log)
    assert child.running()
    assert exists(child.pid)
    child.terminate()
    assert not child.running()
    assert not exists(child.pid)
    child.terminate()


def test_it_is_made_to_end_when_it_will_not(log: Path) -> None:
    child = start(STUBBORN, log)
    child.terminate(within_s=0.1)
    assert not exists(child.pid)


def test_it_can_be_ended_without_warning(log: Path) -> None:
    code = "import atexit, time; atexit.register(print, 'in order'); print('up', flush=True); time.sleep(99)"
    child = start(code, log)
    child.kill()
    assert not exists(child.pid)
    assert "in order" not in tail(log)


def test_ctrl_c_in_our_terminal_does_not_reach_it(log: Path) -> None:
    child = start(PATIENT, log)
    assert os.getpgid(child.pid) != os.getpgid(0)
    child.kill()


@pytest.mark.parametrize("ending", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)", "sys.exit(3)"])
def test_it_does_not_outlive_us_however_we_end(log: Path, ending: str) -> None:
    code = f"""
import os, signal, sys
from pathlib import Path
from deploy.kafka.process import ChildProcess
child = ChildProcess([sys.executable, "-c", {PATIENT!r}], log_path=Path({str(log)!r}))
print(child.pid, flush=True)
{ending}
"""
    parent = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    pid = int(parent.stdout)
    eventually(lambda: not exists(pid), seconds=15, about="the end of an orphan")


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the signal")
def test_it_does_not_outlive_its_guard(log: Path) -> None:
    child = start(PATIENT, log)
    os.kill(child._guard.pid, signal.SIGKILL)
    eventually(lambda: not exists(child.pid), seconds=15, about="the end of the command")
    child.kill()


def test_a_command_that_ends_by_itself_is_noticed(log: Path) -> None:
    child = ChildProcess([sys.executable, "-c", "raise SystemExit('no such luck')"], log_path=log)
    eventually(lambda: not child.running(), seconds=15, about="its end")
    assert tail(log) == "no such luck"
    child.terminate()


def test_a_command_that_cannot_start_is_noticed(log: Path) -> None:
    child = ChildProcess(["/no/such/program"], log_path=log)
    assert child.pid == 0
    eventually(lambda: not child.running(), seconds=15, about="the guard's end")
    assert "/no/such/program" in tail(log)
    child.terminate()


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_detached_one_runs_until_it_is_stopped(log: Path) -> None:
    pid = start_detached([sys.executable, "-c", PATIENT], log_path=log)
    assert exists(pid)
    assert not is_running(pid, mark="another command")
    stop_detached(pid, mark="another command")
    assert exists(pid)
    stop_detached(pid, mark="time.sleep")
    assert not exists(pid)


def test_waiting_ends_with_success_death_or_time() -> None:
    answers = iter([False, False, True])
    assert wait_until(lambda: next(answers), running=lambda: True, timeout_s=5)
    assert not wait_until(lambda: False, running=lambda: False, timeout_s=5)
    assert not wait_until(lambda: False, running=lambda: True, timeout_s=0.05)


def test_the_tail_is_the_last_lines(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"one\ntwo\n\xff\xfe\n")
    assert tail(tmp_path / "log", lines=2).startswith("two\n")
    assert tail(tmp_path / "none") == ""
