"""Reads and checks the file of rules; a fault names line and field. Reads it again when it has changed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import yaml
from pydantic import ValidationError

from alerter.rules.model import RulesFile
from alerter.rules.tree import file_faults
from shared.errors import ConfigError
from shared.events import Severity

DEFAULT: Final = Path(__file__).parent / "default.yaml"

Place = Sequence[str | int]


def load(path: Path) -> RulesFile:
    """Return the rules of a file.

    Raises:
        ConfigError: one sentence for each fault, with the file's name, line and field.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is no text in UTF-8"]) from error
    return parse(text, name=str(path))


def parse(text: str, *, name: str) -> RulesFile:
    """Return the rules that a text holds.

    Args:
        text: YAML.
        name: of the file, for the faults.

    Raises:
        ConfigError: one sentence for each fault.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError([f"{name}, line {line}: is no YAML: {error.problem or error.context}"]) from error
    except yaml.YAMLError as error:
        raise ConfigError([f"{name}: is no YAML: {error}"]) from error
    try:
        file = RulesFile.model_validate({} if content is None else content)
    except ValidationError as error:
        faults = [_pydantic_fault(fault["loc"], fault["type"], fault["msg"]) for fault in error.errors()]
        raise ConfigError([_sentence(name, root, place, words) for place, words in faults]) from error
    if contradictions := file_faults(file):
        raise ConfigError([_sentence(name, root, place, words) for place, words in contradictions])
    return file


class WatchedRules:
    """A file of rules that is read again when it changes; a faulty one changes nothing.

    Args:
        path: the file.
        min_severity: said by the environment instead; see `RulesFile.overridden`.
        cooldown_s: the same.

    Raises:
        ConfigError: the file is faulty from the start.
    """

    def __init__(
        self, path: Path, *, min_severity: Severity | None = None, cooldown_s: float | None = None
    ) -> None:
        self._path = path
        self._min_severity, self._cooldown_s = min_severity, cooldown_s
        self._stamp = _stamp(path)
        self.file = self._load()

    def changed(self) -> RulesFile | None:
        """Return the new rules, if the file has changed since the last look.

        Raises:
            ConfigError: the file has changed and is faulty; said once for each change.
        """
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        self.file = self._load()
        return self.file

    def _load(self) -> RulesFile:
        file = load(self._path)
        return file.overridden(min_severity=self._min_severity, cooldown_s=self._cooldown_s)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        # An editor may take it away for a moment while it saves.
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino


def _pydantic_fault(place: Place, kind: str, message: str) -> tuple[Place, str]:
    if kind == "extra_forbidden":
        return place, "there is no such field"
    return place, message.removeprefix("Value error, ")


def _sentence(name: str, root: yaml.Node | None, place: Place, words: str) -> str:
    field = ".".join(str(part) for part in place) or "the file"
    return f"{name}, line {_line(root, place)}: {field}: {words}"


def _line(root: yaml.Node | None, place: Place) -> int:
    """Return the line of a field, or of the nearest thing around it that the file has."""
    node, line = root, 1 if root is None else root.start_mark.line + 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if found is None:
                return line
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line
