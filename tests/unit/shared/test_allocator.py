import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# Memory that is taken and freed by turns, as librdkafka does, and how many pages the system had to clear.
PROGRAM = """
import resource, sys
from shared.allocator import keep_freed_memory
is_kept = keep_freed_memory() if sys.argv[1] == "kept" else False
def take():
    bytearray(8 * 1024 * 1024)
take()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    take()
print(is_kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def told(how: str) -> tuple[bool, int]:
    command = [sys.executable, "-c", PROGRAM, how]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    is_kept, faults = ended.stdout.split()
    return is_kept == "True", int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_freed_memory_is_used_again_without_new_pages() -> None:
    is_kept, faults = told("kept")
    assert is_kept
    assert faults < 100
