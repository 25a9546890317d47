"""When an alarm is right, by kind of event."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

from detector.evaluation.events import Span, Truth
from shared.clock import MICROSECONDS_PER_DAY, MICROSECONDS_PER_SECOND

_WARM_UP_US: Final = MICROSECONDS_PER_DAY
_WARM_UP_SHARE: Final = 0.15


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When an alarm is right for a kind of event.

    Attributes:
        early_s: before the labelled start.
        late_s: after it.
        to_end: whether it is still right up to the labelled end, if that is later.
        after_s: after the labelled start, in which alarms count for nothing once they come too late.
        warm_up_s: of each market; None: a day, or 15 % of what is recorded if that is less.
    """

    early_s: float = 60.0
    late_s: float = 300.0
    to_end: bool = False
    after_s: float = 3_600.0
    warm_up_s: float | None = None

    def window(self, truth: Truth) -> Span:
        """Return when an alarm is right."""
        end_us = truth.start_us + _us(self.late_s)
        if self.to_end and truth.end_us is not None:
            end_us = max(end_us, truth.end_us)
        return Span(truth.start_us - _us(self.early_s), end_us + 1)

    def aftermath(self, truth: Truth) -> Span:
        """Return when an alarm is at least not false."""
        window = self.window(truth)
        return Span(window.start_us, max(window.end_us, truth.start_us + _us(self.after_s)))

    def warm_up_us(self, span: Span) -> int:
        """Return for how long a market warms up."""
        if self.warm_up_s is not None:
            return _us(self.warm_up_s)
        return min(_WARM_UP_US, round(_WARM_UP_SHARE * (span.end_us - span.start_us)))


# What follows a pump goes on for days, and nobody has labelled it; a whale is over at once.
RULES: Final[Mapping[str, Rule]] = {
    "pump_dump": Rule(late_s=300.0, after_s=8 * 86_400.0),
    "flash_crash": Rule(late_s=300.0, to_end=True),
    "whale": Rule(early_s=1.0, late_s=10.0, to_end=True, after_s=60.0),
    "wash_trading": Rule(late_s=3_600.0, to_end=True),
}
USUAL: Final = Rule(late_s=300.0, to_end=True)


def with_changes(words: Iterable[str]) -> dict[str, Rule]:
    """Return the rules, changed by words like `pump_dump.late_s=120`.

    Raises:
        ValueError: one is no such word; names it.
    """
    rules = dict(RULES)
    known = {field.name for field in fields(Rule)}
    for word in words:
        name, _, text = word.partition("=")
        kind, _, part = name.rpartition(".")
        if not kind or part not in known:
            raise ValueError(
                f"{word!r} changes no rule; write KIND.NAME=VALUE with {', '.join(sorted(known))}"
            )
        rules[kind] = replace(rules.get(kind, USUAL), **{part: _value(word, part, text)})  # type: ignore[arg-type]  # only `to_end` has a truth value
    return rules


def _value(word: str, part: str, text: str) -> float | bool:
    if part == "to_end":
        if text not in {"true", "false"}:
            raise ValueError(f"{word!r}: to_end takes true or false")
        return text == "true"
    try:
        value = float(text)
    except ValueError as error:
        raise ValueError(f"{word!r}: {text!r} is no number") from error
    if not 0.0 <= value < 1e9:
        raise ValueError(f"{word!r}: {part} must be from 0 to 1e9 seconds")
    return value


def _us(seconds: float) -> int:
    return round(seconds * MICROSECONDS_PER_SECOND)
