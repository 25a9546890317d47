"""Who may import whom, read from the source: the topics are the only link between workers."""

import ast
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]

WORKERS = frozenset({"producer", "detector", "alerter", "recorder", "dashboard", "simulator"})
# These use the detector as a library.
DETECTOR_USERS = frozenset({"api", "training", "spark"})
# These put everything together, or to the test.
FREE = frozenset({"deploy", "benchmarks", "tests"})
OURS = WORKERS | DETECTOR_USERS | FREE | {"shared", "config"}

# Where else than in an `__main__.py` the settings are read.
CONFIG_READERS = ("dashboard/app.py", "deploy/local/", "benchmarks/", "tests/")
# Libraries that few files may know, so that another could take their place.
CONFINED = {
    "confluent_kafka": ("shared/stream/kafka.py", "tests/", "benchmarks/"),
    "websockets": ("producer/connection.py", "simulator/", "tests/", "benchmarks/"),
}


def faults(path: PurePosixPath, imports: frozenset[str]) -> list[str]:
    """Return what is wrong with a module importing these.

    Args:
        path: of the module, from the root of the repository.
        imports: top-level names of what it imports.
    """
    house = path.parts[0] if len(path.parts) > 1 else path.stem
    found = [
        f"{path} imports {name}, {_why_not(house, name)}"
        for name in sorted(imports & OURS - {house, "config"})
        if not _may_use(house, name)
    ]
    if "config" in imports and path.name != "__main__.py" and not _is_among(path, CONFIG_READERS):
        found.append(f"{path} imports config, but only entry points read the settings")
    found += [
        f"{path} imports {library}, which is confined to {', '.join(allowed)}"
        for library, allowed in CONFINED.items()
        if library in imports and not _is_among(path, allowed)
    ]
    return found


def _may_use(house: str, name: str) -> bool:
    return house in FREE or name == "shared" or (house in DETECTOR_USERS and name == "detector")


def _why_not(house: str, name: str) -> str:
    if house in {"shared", "config"}:
        return f"but {house} is the ground that all stand on"
    return "but workers know each other by topics only" if name in WORKERS else "but is used by it"


def _is_among(path: PurePosixPath, allowed: tuple[str, ...]) -> bool:
    return any(
        str(path) == entry or (entry.endswith("/") and str(path).startswith(entry)) for entry in allowed
    )


def imported(source: str, *, package: str) -> frozenset[str]:
    """Return the top-level names of what a module imports, wherever in it and however.

    Args:
        source: the module's text.
        package: the top-level package it lies in, which relative imports stay in.
    """
    return frozenset(name.partition(".")[0] for name in _imports(ast.parse(source), package))


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module if node.level == 0 and node.module else package
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if name in {"import_module", "__import__"} and isinstance(node.args[0].value, str):
                yield node.args[0].value


def modules() -> list[PurePosixPath]:
    """Return every Python file of ours, from the root of the repository."""
    folders = [ROOT / name for name in sorted(OURS - {"config"})]
    files = [ROOT / "config.py", *(file for folder in folders for file in sorted(folder.rglob("*.py")))]
    return [PurePosixPath(file.relative_to(ROOT).as_posix()) for file in files]


def test_every_module_keeps_the_rules() -> None:
    found = []
    for path in modules():
        source = (ROOT / path).read_text(encoding="utf-8")
        found += faults(path, imported(source, package=path.parts[0]))
    assert not found, "\n".join(found)


def test_every_folder_with_code_is_under_the_rules() -> None:
    folders = {file.parent.name for file in ROOT.glob("*/__init__.py")}
    assert folders <= OURS, f"tell the rules about {folders - OURS}"
    assert len(modules()) > len(folders)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("producer/feed.py", "from detector.engine import Engine"),
        ("alerter/app.py", "import recorder.sink as sink"),
        ("dashboard/feed.py", "def late():\n    from simulator import server"),
        ("detector/catalogue.py", "import importlib\nimportlib.import_module('training.models')"),
        ("shared/codec.py", "from detector import features"),
        ("shared/codec.py", "import deploy.kafka.broker"),
        ("config.py", "from producer.app import ProducerParams"),
        ("api/app.py", "import alerter"),
        ("producer/app.py", "import tests.samples"),
        ("shared/logs.py", "import config"),
        ("dashboard/feed.py", "from config import load"),
        ("deploy/kafka/broker.py", "import config"),
        ("detector/engine.py", "from confluent_kafka import Consumer"),
        ("deploy/kafka/ports.py", "import confluent_kafka.admin"),
        ("producer/feed.py", "if TYPE_CHECKING:\n    from websockets.asyncio import client"),
    ],
)
def test_a_forbidden_import_is_a_fault(path: str, source: str) -> None:
    module = PurePosixPath(path)
    assert len(faults(module, imported(source, package=module.parts[0]))) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("producer/feed.py", "from producer.tape import Tape\nfrom shared import clock\nimport numpy"),
        ("producer/feed.py", "from . import tape\nfrom .tape import Tape"),
        ("producer/__main__.py", "import config\nfrom producer import app"),
        ("dashboard/app.py", "import config"),
        ("deploy/local/stack.py", "import config\nimport producer, simulator"),
        ("api/app.py", "from detector.engine import Engine"),
        ("training/models.py", "import detector"),
        ("shared/stream/kafka.py", "import confluent_kafka as ck\nfrom shared import topics"),
        ("producer/connection.py", "import websockets"),
        ("simulator/server.py", "import websockets"),
        ("tests/unit/test_all.py", "import producer, detector, websockets, confluent_kafka, config"),
        ("benchmarks/pipeline.py", "import detector, config"),
        ("config.py", "from shared.errors import ConfigError"),
    ],
)
def test_an_allowed_import_is_none(path: str, source: str) -> None:
    module = PurePosixPath(path)
    assert faults(module, imported(source, package=module.parts[0])) == []
