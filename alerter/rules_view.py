"""The rules on the terminal: every route with what it inherits, and who would hear of something."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from alerter.rules.matching import Labels
from alerter.rules.model import EscalationLevel
from alerter.rules.times import duration_words, utc_words
from alerter.rules.tree import Route, Rules


def checked(rules: Rules) -> list[Table | Text]:
    """Return the tree of routes as a table, and what deserves a second look."""
    table = Table(title="Routes")
    for column in ("route", "channels", "group by", "wait", "interval", "cooldown", "repeat", "mute"):
        table.add_column(column, overflow="fold")
    table.add_column("escalation", overflow="fold")
    for depth, route in rules.branches():
        table.add_row(Text("  " * depth + route.name.rpartition(" > ")[2]), *_columns(rules, route))
    return [table, *(Text(_warning(p), style="yellow") for p in rules.unknown_patterns()), Text("ok")]


def heard(rules: Rules, labels: Labels, *, now_us: int) -> Table | Text:
    """Return who would hear of an alert with these labels now.

    Args:
        rules: that would decide.
        labels: of the alert.
        now_us: for mute times.
    """
    least = rules.file.min_severity
    if labels.severity.rank < least.rank:
        return Text(f"Nobody: severity {labels.severity} is below {least}.")
    table = Table(
        title=f"Who hears of {labels.severity} {labels.kind} on {labels.market} ({labels.exchange})"
    )
    for column in ("route", "channels", "when", "escalation"):
        table.add_column(column, overflow="fold")
    for route in rules.routes_of(labels):
        table.add_row(
            Text(route.name),
            ", ".join(rules.channels_of(route.channels)) or "nobody",
            _when(rules, route, now_us),
            _levels(rules, rules.levels_of(route.escalation, labels.severity)),
        )
    return table


def _columns(rules: Rules, route: Route) -> list[str]:
    return [
        ", ".join(rules.channels_of(route.channels)) or "nobody",
        ", ".join(route.group_by),
        duration_words(route.group_wait_us),
        duration_words(route.group_interval_us),
        duration_words(route.cooldown_us),
        duration_words(route.repeat_interval_us) if route.repeat_interval_us else "never",
        ", ".join(route.mute),
        route.escalation,
    ]


def _warning(pattern: str) -> str:
    return f"No channel that is set up is meant by {pattern!r}."


def _when(rules: Rules, route: Route, now_us: int) -> str:
    until_us = rules.muted_until_us(route, now_us)
    if until_us is not None:
        return f"muted until {utc_words(until_us)}"
    return f"after {duration_words(route.group_wait_us)}" if route.group_wait_us else "at once"


def _levels(rules: Rules, levels: Sequence[EscalationLevel]) -> str:
    words = [
        f"after {duration_words(level.after)}: "
        + ", ".join([*rules.channels_of(level.channels), *level.mentions])
        for level in levels
    ]
    return "; ".join(words) or "none"
