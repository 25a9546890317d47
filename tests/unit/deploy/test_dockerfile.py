"""The image holds what the workers need, runs as nobody in particular, and lets no secret in."""

import re
import tomllib
from pathlib import Path

from tests.unit.deploy.compose_file import ROOT, compose, is_ours

INSTRUCTION = re.compile(r"^([A-Z]+)\s+(.*)$", re.MULTILINE)
SERVICES = compose({"POSTGRES_PASSWORD": "correcthorse"})["services"]


def instructions() -> list[tuple[str, str]]:
    content = (ROOT / "deploy" / "docker" / "Dockerfile").read_text(encoding="utf-8")
    code = "\n".join(line for line in content.splitlines() if not line.startswith("#"))
    return INSTRUCTION.findall(code.replace("\\\n", " "))


def copied_from_the_checkout() -> set[str]:
    copies = [arguments.split() for verb, arguments in instructions() if verb == "COPY"]
    return {source for words in copies if not words[0].startswith("--from") for source in words[:-1]}


def test_everything_copied_exists() -> None:
    assert copied_from_the_checkout()
    for source in copied_from_the_checkout():
        assert (ROOT / source).exists(), source


def test_every_command_of_compose_is_in_the_image() -> None:
    commands = {service["command"][2] for service in SERVICES.values() if is_ours(service)}
    assert commands | {"shared", "config.py"} <= copied_from_the_checkout()


def test_only_what_is_copied_enters_the_build() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied_from_the_checkout()


def test_it_runs_as_a_numbered_user_that_is_not_root() -> None:
    users = [arguments for verb, arguments in instructions() if verb == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])
    last_copy = max(index for index, (verb, _) in enumerate(instructions()) if verb in {"COPY", "RUN"})
    assert instructions()[last_copy + 1 :] == [("USER", users[-1])]


def test_packages_are_those_of_the_lock_hashes_checked() -> None:
    install = next(arguments for verb, arguments in instructions() if "pip install" in arguments)
    for option in ("--require-hashes", "--no-deps", "--only-binary :all:", "requirements.lock"):
        assert option in install
    assert "requirements-dev.lock" not in copied_from_the_checkout()


def test_it_is_built_in_stages_on_one_pinned_base() -> None:
    bases = [arguments.split()[0] for verb, arguments in instructions() if verb == "FROM"]
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", bases[0])
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "requires-python"
    ]
    minor = int(bases[0].removeprefix("python:3.").partition("-")[0])
    assert minor >= int(needed.removeprefix(">=3."))


def test_it_names_no_host() -> None:
    content = (ROOT / "deploy" / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert "://" not in content
    assert "index-url" not in content


def test_what_compose_mounts_is_there_and_ours_to_write() -> None:
    made = next(arguments for verb, arguments in instructions() if "install --directory" in arguments)
    environment = " ".join(arguments for verb, arguments in instructions() if verb == "ENV")
    mounts = [
        Path(mount.partition(":")[2])
        for service in SERVICES.values()
        if is_ours(service)
        for mount in service.get("volumes", [])
    ]
    assert len(mounts) == 3
    assert all(str(mount) in made for mount in mounts)
    assert "NUMBA_CACHE_DIR=/var/cache/numba" in environment
    assert Path("/var/cache/numba") in mounts
