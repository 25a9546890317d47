"""deploy/local/system_packages.sh with stand-ins for the programs it looks for and calls."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.deploy.compose_file import ROOT

ALL = ("chromium", "initdb", "java", "mvn")
# Notes how it was called, and "installs" two programs.
APT = """
echo "$*" >> "$SYSTEM_ROOT/apt.log"
case "$*" in *install*)
  for p in chromium initdb; do printf '#!/bin/sh\\n' > "{bin}/$p"; chmod 755 "{bin}/$p"; done
esac
"""

Machine = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Machine:
    """Run the script on a machine that has these programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("mkdir", "chmod"):
        (folder / tool).symlink_to(Path("/bin") / tool)

    def machine(*programs: str, user: int = 0, apt: str | None = None) -> subprocess.CompletedProcess[str]:
        scripts = dict.fromkeys(programs, "exit 0") | {"id": f"echo {user}"}
        if apt is not None:
            scripts["apt-get"] = apt.format(bin=folder)
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
            (folder / name).chmod(0o755)
        return subprocess.run(
            ["/bin/bash", str(ROOT / "deploy" / "local" / "system_packages.sh")],
            env={"PATH": str(folder), "SYSTEM_ROOT": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    return machine


def test_it_is_silent_when_everything_is_there(run: Machine, tmp_path: Path) -> None:
    done = run(*ALL, apt=APT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "apt.log").exists()


def test_debians_own_places_count(run: Machine, tmp_path: Path) -> None:
    initdb = tmp_path / "usr" / "lib" / "postgresql" / "15" / "bin" / "initdb"
    initdb.parent.mkdir(parents=True)
    initdb.touch()
    assert run("chromium-browser", "java", "mvn").stdout == ""


def test_root_installs_what_is_missing_and_leaves_no_service(run: Machine, tmp_path: Path) -> None:
    done = run("java", "mvn", apt=APT)
    assert done.returncode == 0
    assert done.stdout == "Installing chromium chromium-driver postgresql for the tests ...\n"
    update, install = (tmp_path / "apt.log").read_text(encoding="utf-8").splitlines()
    assert update.endswith("update")
    assert install.endswith("install --yes --no-install-recommends chromium chromium-driver postgresql")
    settings = tmp_path / "etc" / "postgresql-common" / "createcluster.conf"
    assert settings.read_text(encoding="utf-8") == "create_main_cluster = false\n"


def test_settings_of_the_owner_are_left_alone(run: Machine, tmp_path: Path) -> None:
    settings = tmp_path / "etc" / "postgresql-common" / "createcluster.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text("create_main_cluster = true\n", encoding="utf-8")
    run("java", "mvn", apt=APT)
    assert settings.read_text(encoding="utf-8") == "create_main_cluster = true\n"


@pytest.mark.parametrize(
    ("user", "apt"),
    [(0, "echo 'E: no network' >&2; exit 100"), (0, None), (1000, APT)],
    ids=["no network", "no apt-get", "not root"],
)
def test_what_stays_missing_is_one_line_and_no_failure(run: Machine, user: int, apt: str | None) -> None:
    done = run("java", user=user, apt=apt)
    assert done.returncode == 0
    assert done.stderr == ""
    last = done.stdout.splitlines()[-1]
    assert last.startswith(
        "Not installed: Chromium (the dashboard's tests skip), PostgreSQL (its tests skip), Maven"
    )
    assert "Java" not in last.replace("as for Java", "")


def test_java_and_maven_are_only_reported(run: Machine, tmp_path: Path) -> None:
    done = run("google-chrome", "initdb", apt=APT)
    assert done.stdout.startswith("Not installed: Java 17 (")
    assert not (tmp_path / "apt.log").exists()
