"""Finding Java and fetching the jars, with stand-ins for `java` and `mvn` on PATH."""

import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.kafka import java
from shared.errors import PrerequisiteError, ToolMissingError

MAVEN = """\
echo fetched >> "{log}"
for argument in "$@"; do case "$argument" in -DoutputDirectory=*) out="${{argument#*=}}";; esac; done
mkdir -p "$out"
touch "$out/kafka_2.13-4.3.1.jar"
"""

Program = Callable[[str, str], Path]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Put a shell script on an otherwise bare PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("mkdir", "touch"):
        (folder / tool).symlink_to(Path("/bin") / tool)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)

    def make(name: str, script: str) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}", encoding="utf-8")
        path.chmod(0o755)
        return path

    return make


def banner(version: str) -> str:
    return f"echo 'openjdk version \"{version}\" 2025-04-15' >&2"


@pytest.mark.parametrize(
    ("text", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ('Picked up JAVA_TOOL_OPTIONS: -X\nopenjdk version "25-ea"', 25),
        ("no Java here", None),
    ],
)
def test_the_major_version_is_read(text: str, major: int | None) -> None:
    assert java.parse_java_major(text) == major


def test_a_java_on_path_is_found(program: Program) -> None:
    path = program("java", banner("17.0.15"))
    assert java.find_java() == path


def test_java_home_goes_before_path_unless_it_is_too_old(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path = program("java", banner("17.0.1"))
    home = tmp_path / "jdk"
    (home / "bin").mkdir(parents=True)
    at_home = home / "bin" / "java"
    monkeypatch.setenv("JAVA_HOME", str(home))
    at_home.write_text(f"#!/bin/sh\n{banner('21.0.1')}", encoding="utf-8")
    at_home.chmod(0o755)
    assert java.find_java() == at_home
    at_home.write_text(f"#!/bin/sh\n{banner('11.0.1')}", encoding="utf-8")
    assert java.find_java() == on_path


def test_no_java_is_a_sentence_with_a_remedy(program: Program) -> None:
    with pytest.raises(ToolMissingError, match=r"Java 17 is not installed.*JAVA_HOME"):
        java.find_java()
    path = program("java", banner("11.0.2"))
    with pytest.raises(ToolMissingError, match=f"Found: {path} is Java 11"):
        java.find_java()
    program("java", "exit 1")
    with pytest.raises(ToolMissingError, match="no working Java"):
        java.find_java()


def test_jars_are_fetched_once_into_a_complete_folder(program: Program, tmp_path: Path) -> None:
    log, cache, told = tmp_path / "log", tmp_path / "cache", list[str]()
    program("mvn", MAVEN.format(log=log))
    jars = java.ensure_jars(cache, tell=told.append)
    assert [path.name for path in jars.iterdir()] == ["kafka_2.13-4.3.1.jar"]
    assert java.ensure_jars(cache, tell=told.append) == jars
    assert log.read_text(encoding="utf-8") == "fetched\n"
    assert len(told) == 1
    assert {path.name for path in cache.iterdir()} == {"kafka.lock", jars.parent.name}


def test_several_at_once_fetch_once(program: Program, tmp_path: Path) -> None:
    log, cache, found = tmp_path / "log", tmp_path / "cache", list[Path]()
    program("mvn", MAVEN.format(log=log))
    together = threading.Barrier(4)

    def ensure() -> None:
        together.wait()
        found.append(java.ensure_jars(cache, tell=lambda _: None))

    threads = [threading.Thread(target=ensure) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [java.jars_dir(cache)] * 4
    assert log.read_text(encoding="utf-8") == "fetched\n"


@pytest.mark.usefixtures("program")
def test_cached_jars_need_no_maven(tmp_path: Path) -> None:
    java.jars_dir(tmp_path).mkdir(parents=True)
    assert java.ensure_jars(tmp_path, tell=pytest.fail) == java.jars_dir(tmp_path)
    with pytest.raises(ToolMissingError, match="Maven is not installed"):
        java.ensure_jars(tmp_path / "other", tell=pytest.fail)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            "echo '[INFO] x'; echo '[ERROR] Unknown host mirror.example'; exit 1",
            "Unknown host mirror.example",
        ),
        ("exit 0", "it said nothing"),
    ],
)
def test_a_failed_fetch_says_why_and_leaves_nothing(
    program: Program, tmp_path: Path, script: str, words: str
) -> None:
    program("mvn", script)
    with pytest.raises(PrerequisiteError, match=words):
        java.ensure_jars(tmp_path / "cache", tell=lambda _: None)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["kafka.lock"]


def test_the_cache_is_the_users_and_outside_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert java.default_cache_dir() == tmp_path / "tapewatch"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert java.default_cache_dir() == Path.home() / ".cache" / "tapewatch"


def test_the_project_file_asks_for_the_version_we_name() -> None:
    names = {"m": "http://maven.apache.org/POM/4.0.0"}
    root = ET.fromstring(java.POM.read_text(encoding="utf-8"))  # noqa: S314 - our own file
    assert root.findtext("m:properties/m:kafka.version", namespaces=names) == java.KAFKA_VERSION
