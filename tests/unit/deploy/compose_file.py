"""docker-compose.yml as Compose reads it: variables put in, services with the environment they get."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
# Compose's own variable, which is in no `.env` of ours because it is given per call.
COMPOSE_VARIABLES = frozenset({"COMPOSE_PROFILES"})

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
# The innermost expression, so that nested ones are put in from the inside out.
_EXPRESSION = re.compile(r"\$\{(" + _NAME + r")(?:(:[-+?])([^${}]*))?\}")
_VARIABLE = re.compile(r"\$\{?(" + _NAME + ")")


def text() -> str:
    """Return the file as it is."""
    return (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


def variables() -> set[str]:
    """Return every variable the file takes from outside."""
    code = "\n".join(line for line in text().splitlines() if not line.lstrip().startswith("#"))
    return set(_VARIABLE.findall(code))


def compose(values: Mapping[str, str]) -> dict[str, Any]:
    """Return the file's content with these variables put in.

    Raises:
        KeyError: a variable marked as required has no value; the file's own message is in it.
    """

    def replace(match: re.Match[str]) -> str:
        name, operator, word = match.groups()
        value = values.get(name, "")
        if operator == ":?" and not value:
            raise KeyError(word)
        if operator == ":-":
            return value or word
        if operator == ":+":
            return word if value else ""
        return value

    content = text()
    while _EXPRESSION.search(content):
        content = _EXPRESSION.sub(replace, content)
    loaded: dict[str, Any] = yaml.safe_load(content)
    return loaded


def is_ours(service: Mapping[str, Any]) -> bool:
    """Return whether a service runs our image."""
    return "build" in service


def effective_environment(service: Mapping[str, Any], env_file: Mapping[str, str]) -> dict[str, str]:
    """Return what the processes of a service see: `.env`, and what the file sets before it."""
    inherited = env_file if "env_file" in service else {}
    return {**inherited, **service.get("environment", {})}
