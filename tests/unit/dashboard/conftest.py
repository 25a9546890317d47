"""Streamlit's `AppTest` puts its script in the place of the main module; give it back after each test."""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Keep the main module: processes that a later test spawns would otherwise run Streamlit's script."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main
