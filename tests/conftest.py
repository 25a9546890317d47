"""Fixtures for every test, and how hypothesis searches.

Servers are started on first use only, by the fixtures of `tests/servers/`.
"""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from deploy.kafka.ports import free_ports

pytest_plugins = ["tests.servers.kafka"]

ROOT = Path(__file__).resolve().parents[1]

# The same examples in every run, so that a red build is red on every machine; a slow machine is no failure.
settings.register_profile("ci", derandomize=True, deadline=None)
# `HYPOTHESIS_PROFILE=explore make test` looks for new examples.
settings.register_profile("explore", max_examples=1_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture
def free_port() -> int:
    """A port of loopback that is free now; prefer binding port 0 where the server allows it."""
    return free_ports(1)[0]


@pytest.fixture(scope="session")
def real_data_dir() -> Path:
    """The folder of recordings from real exchanges; the test skips where it is not."""
    folder = Path(os.environ.get("REAL_DATA_DIR") or ROOT.parent / "shared" / "data").resolve()
    if not folder.is_dir():
        pytest.skip(f"no recordings in {folder}; set REAL_DATA_DIR")
    return folder
