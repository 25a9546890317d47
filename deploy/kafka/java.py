"""Java and the server's jars: find the one, fetch the others once, and keep them outside the checkout."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from shared.errors import PrerequisiteError, ToolMissingError

KAFKA_VERSION: Final = "4.3.1"
MIN_JAVA_MAJOR: Final = 17
POM: Final = Path(__file__).with_name("pom.xml")

_MAVEN_TIMEOUT_S: Final = 900.0
_JAVA_REMEDY: Final = (
    f"Apache Kafka needs Java {MIN_JAVA_MAJOR} or newer: install a JRE (Debian: "
    f"`apt-get install openjdk-{MIN_JAVA_MAJOR}-jre-headless`) and put it on PATH or into JAVA_HOME, "
    "or run `docker compose up -d`, or set KAFKA_BOOTSTRAP_SERVERS to a broker that runs."
)
_MAVEN_REMEDY: Final = (
    "It fetches Apache Kafka's jars, once: install it (Debian: `apt-get install maven`), "
    "or run `docker compose up -d`, or set KAFKA_BOOTSTRAP_SERVERS to a broker that runs."
)


def default_cache_dir() -> Path:
    """Return the folder that things fetched once are kept in: `$XDG_CACHE_HOME`, else `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tapewatch"


def find_java() -> Path:
    """Return the program of a Java that is new enough, from JAVA_HOME or else from PATH.

    Raises:
        ToolMissingError: there is none; what was found instead is named.
    """
    candidates = []
    if home := os.environ.get("JAVA_HOME"):
        candidates.append(Path(home) / "bin" / "java")
    if on_path := shutil.which("java"):
        candidates.append(Path(on_path))
    too_old = []
    for java in candidates:
        major = _java_major(java)
        if major is not None and major >= MIN_JAVA_MAJOR:
            return java
        too_old.append(f"{java} is " + ("no working Java" if major is None else f"Java {major}"))
    found = f" Found: {'; '.join(too_old)}." if too_old else ""
    raise ToolMissingError(f"Java {MIN_JAVA_MAJOR}", remedy=_JAVA_REMEDY + found)


def parse_java_major(banner: str) -> int | None:
    """Return the major version in what `java -version` prints, or None when there is none in it."""
    match = re.search(r'version "(?:1\.)?(\d+)', banner)
    return int(match.group(1)) if match else None


def _java_major(java: Path) -> int | None:
    try:
        answer = subprocess.run(  # noqa: S603 - the user's own Java
            [str(java), "-version"], capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_java_major(answer.stderr + answer.stdout)


def jars_dir(cache_dir: Path) -> Path:
    """Return where the jars are, or would be: another `pom.xml` is another folder."""
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:8]
    return cache_dir / f"kafka-{KAFKA_VERSION}-{digest}" / "libs"


def ensure_jars(cache_dir: Path, *, tell: Callable[[str], None]) -> Path:
    """Return the folder with the server's jars, fetching them through Maven when it is not there yet.

    The folder appears under its name only when it is complete, and two processes fetch only once.

    Args:
        cache_dir: what `default_cache_dir` returns, or another folder.
        tell: is given a sentence when this will take a while.

    Raises:
        ToolMissingError: Maven is not installed.
        PrerequisiteError: Maven could not fetch the jars; its own words are in the message.
    """
    jars = jars_dir(cache_dir)
    if jars.is_dir():
        return jars
    maven = shutil.which("mvn")
    if maven is None:
        raise ToolMissingError("Maven", remedy=_MAVEN_REMEDY)
    cache_dir.mkdir(parents=True, exist_ok=True)
    with _locked(cache_dir / "kafka.lock"):
        if jars.is_dir():
            return jars
        tell(f"Fetching Apache Kafka {KAFKA_VERSION} through Maven into {jars.parent} (45 MB, once) ...")
        with tempfile.TemporaryDirectory(dir=cache_dir, prefix="kafka-incomplete-") as scratch:
            libs = Path(scratch) / "kafka" / "libs"
            _fetch(maven, libs)
            libs.parent.rename(jars.parent)
    return jars


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(maven: str, libs: Path) -> None:
    command = [maven, "--batch-mode", "--quiet", "--strict-checksums", "--file", str(POM)]
    command += ["dependency:copy-dependencies", f"-DoutputDirectory={libs}"]
    try:
        done = subprocess.run(  # noqa: S603 - our own pom.xml
            command, capture_output=True, text=True, check=False, timeout=_MAVEN_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise PrerequisiteError(_maven_failed(f"no end after {_MAVEN_TIMEOUT_S:g} s")) from error
    if done.returncode != 0 or not any(libs.glob("kafka_*.jar")):
        raise PrerequisiteError(_maven_failed(_errors_of(done.stdout + done.stderr)))


def _maven_failed(words: str) -> str:
    return (
        f"Maven could not fetch Apache Kafka {KAFKA_VERSION}: {words}\n"
        "Check the network, or Maven's settings.xml when a mirror is needed, and try again; "
        "or run `docker compose up -d`, or set KAFKA_BOOTSTRAP_SERVERS to a broker that runs."
    )


def _errors_of(output: str) -> str:
    lines = [line for line in output.splitlines() if "[ERROR]" in line] or output.splitlines()
    return "\n".join(lines[:3]) or "it said nothing"
