"""Which alerts something is about: patterns by label, for routes, inhibition, severities and silences.

An alert has four labels: `market`, `exchange`, `kind` and `severity`. A pattern is a text in which `*` stands
for any text; `!` in front of it means "not this". Of several patterns of a label one has to fit, and none of
those with `!`. Severities may also be compared: `>=high`, `<=medium`. A label that is not named does not
matter.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Annotated, Final, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict

from shared.events import Anomaly, Severity

_NOT: Final = "!"
_AT_LEAST: Final = ">="
_AT_MOST: Final = "<="


class Labels(NamedTuple):
    """What is known of an alert before anybody is told."""

    market: str
    exchange: str
    kind: str
    severity: Severity


def labels_of(anomaly: Anomaly, severity: Severity) -> Labels:
    """Return the labels of an anomaly with the severity that the rules gave it."""
    return Labels(anomaly.symbol, anomaly.exchange, anomaly.kind, severity)


def _patterns(value: object) -> object:
    texts = value if isinstance(value, list | tuple) else [value]
    if not texts or not all(isinstance(text, str) and text.removeprefix(_NOT) for text in texts):
        raise ValueError("write a text, or a list of texts; * stands for any text, ! in front for 'not'")
    return tuple(texts)


def _severities(value: object) -> object:
    texts = _patterns(value)
    assert isinstance(texts, tuple)
    for text in texts:
        name = text.removeprefix(_NOT).removeprefix(_AT_LEAST).removeprefix(_AT_MOST)
        if name not in set(Severity):
            raise ValueError(
                f"{text!r} is no severity: write {', '.join(Severity)}, or >=high, <=medium, !low"
            )
    return texts


Patterns = Annotated[tuple[str, ...], BeforeValidator(_patterns)]
Severities = Annotated[tuple[str, ...], BeforeValidator(_severities)]


class Match(BaseModel):
    """Patterns by label; without any, everything matches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    market: Patterns = ()
    exchange: Patterns = ()
    kind: Patterns = ()
    severity: Severities = ()

    def matches(self, labels: Labels) -> bool:
        """Return whether an alert with these labels is meant."""
        return (
            _fits(self.market, labels.market)
            and _fits(self.exchange, labels.exchange)
            and _fits(self.kind, labels.kind)
            and _fits_severity(self.severity, labels.severity)
        )

    def words(self) -> str:
        """Return the patterns as one text, which names a route that has no name."""
        parts = [f"{name}={'|'.join(patterns)}" for name, patterns in self if patterns]
        return ",".join(parts) or "all"


def match_of(matchers: Mapping[str, Sequence[str]]) -> Match:
    """Return the patterns of a silence.

    Raises:
        ValueError: a label or a severity is unknown.
    """
    return Match.model_validate({label: list(patterns) for label, patterns in matchers.items()})


@lru_cache(maxsize=65_536)
def _fits(patterns: tuple[str, ...], text: str) -> bool:
    wanted = [pattern for pattern in patterns if not pattern.startswith(_NOT)]
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith(_NOT)]
    if any(fnmatchcase(text, _escaped(pattern)) for pattern in unwanted):
        return False
    return not wanted or any(fnmatchcase(text, _escaped(pattern)) for pattern in wanted)


def _escaped(pattern: str) -> str:
    # Only the star is a wildcard: a bracket in a market's name is a bracket.
    return pattern.replace("[", "[[]").replace("?", "[?]")


@lru_cache(maxsize=1_024)
def _fits_severity(patterns: tuple[str, ...], severity: Severity) -> bool:
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith(_NOT)]
    wanted = [pattern for pattern in patterns if not pattern.startswith(_NOT)]
    if any(_is_in(pattern, severity) for pattern in unwanted):
        return False
    return not wanted or any(_is_in(pattern, severity) for pattern in wanted)


def _is_in(pattern: str, severity: Severity) -> bool:
    if pattern.startswith(_AT_LEAST):
        return severity.rank >= Severity(pattern.removeprefix(_AT_LEAST)).rank
    if pattern.startswith(_AT_MOST):
        return severity.rank <= Severity(pattern.removeprefix(_AT_MOST)).rank
    return severity == pattern
