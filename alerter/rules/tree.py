"""The rules, ready to be asked: severities, routes with all that they inherit, mute times, escalations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Final

from alerter.rules.matching import Labels, Match, labels_of
from alerter.rules.model import Escalation, EscalationLevel, RouteRule, RulesFile, SeverityRule
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Anomaly, Severity

ROOT: Final = "root"
_SEPARATOR: Final = " > "
_SECOND_US: Final = MICROSECONDS_PER_SECOND


@dataclass(frozen=True, kw_only=True)
class Route:
    """A branch of the tree with everything that it inherits; attributes as in `RouteRule`, times in us."""

    name: str = ROOT
    match: Match = field(default_factory=Match)
    channels: tuple[str, ...] = ("*",)
    group_by: tuple[str, ...] = ("market",)
    group_wait_us: int = 0
    group_interval_us: int = 60 * _SECOND_US
    cooldown_us: int = 300 * _SECOND_US
    repeat_interval_us: int = 4 * 3_600 * _SECOND_US
    mute: tuple[str, ...] = ()
    escalation: str = ""
    flood: bool = True
    goes_on: bool = False
    routes: tuple["Route", ...] = ()

    def group_of(self, labels: Labels) -> tuple[str, ...]:
        """Return what alerts of one message share."""
        return tuple(getattr(labels, label) for label in self.group_by)


class Rules:
    """What the file says, for the channels that there are.

    Args:
        file: the checked file.
        channels: names of the channels that are set up.
    """

    def __init__(self, file: RulesFile, *, channels: Sequence[str]) -> None:
        self.file = file
        self._channels = tuple(sorted(set(channels)))
        self.root = _inherited(file.route, Route(), name=file.route.name or ROOT)
        self._by_name = {route.name: route for route in _all(self.root)}

    def severity_of(self, anomaly: Anomaly) -> Severity:
        """Return the severity of an anomaly by the rules: the detector's, raised or lowered."""
        severity = anomaly.severity
        for rule in self.file.severity:
            if not _applies(rule, anomaly, severity):
                continue
            if rule.at_least is not None and severity.rank < rule.at_least.rank:
                severity = rule.at_least
            if rule.at_most is not None and severity.rank > rule.at_most.rank:
                severity = rule.at_most
        return severity

    def routes_of(self, labels: Labels) -> list[Route]:
        """Return the branches that an alert takes: the deepest that match, more than one with `continue`."""
        return list(_taken(self.root, labels))

    def route(self, name: str) -> Route:
        """Return a branch by its name; the root's settings when there is none any more."""
        return self._by_name.get(name) or replace(self.root, routes=())

    def channels_of(self, patterns: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the channels that patterns mean."""
        return tuple(name for name in self._channels if any(fnmatchcase(name, p) for p in patterns))

    def muted_until_us(self, route: Route, now_us: int) -> int | None:
        """Return until when a route is mute, if it is."""
        spans = [span for name in route.mute for span in self.file.mute_times[name]]
        ends = [end for span in spans if (end := span.until_us(now_us)) is not None]
        return max(ends, default=None)

    def levels_of(self, escalation: str, severity: Severity) -> tuple[EscalationLevel, ...]:
        """Return the levels that a severity is escalated through."""
        found: Escalation | None = self.file.escalations.get(escalation)
        if found is None or severity.rank < found.severity.rank:
            return ()
        return found.levels

    def branches(self) -> Iterator[tuple[int, Route]]:
        """Yield every branch with its depth, from the root on."""
        return _walk(self.root, 0)

    def unknown_patterns(self) -> list[str]:
        """Return patterns of channels that mean none of those that are set up."""
        used = [p for route in _all(self.root) for p in route.channels]
        used += [p for found in self.file.escalations.values() for lv in found.levels for p in lv.channels]
        return [pattern for pattern in dict.fromkeys(used) if not self.channels_of([pattern])]


def file_faults(file: RulesFile) -> list[tuple[tuple[str | int, ...], str]]:
    """Return what contradicts itself in a file: where, and what is wrong."""
    faults: list[tuple[tuple[str | int, ...], str]] = []
    names: set[str] = set()
    for place, rule, route in _placed(file.route, Route(), ("route",), ROOT):
        unknown = [name for name in rule.mute or () if name not in file.mute_times]
        faults += [((*place, "mute"), f"there is no mute time {name!r} in mute_times") for name in unknown]
        if rule.escalation and rule.escalation not in file.escalations:
            faults.append(((*place, "escalation"), f"there is no escalation {rule.escalation!r}"))
        if route.name in names:
            faults.append((place, f"a second route {route.name!r}: give it a name of its own"))
        names.add(route.name)
    if file.flood and file.flood.escalation and file.flood.escalation not in file.escalations:
        faults.append((("flood", "escalation"), f"there is no escalation {file.flood.escalation!r}"))
    return faults


def _placed(
    rule: RouteRule, above: Route, place: tuple[str | int, ...], name: str
) -> Iterator[tuple[tuple[str | int, ...], RouteRule, Route]]:
    route = _inherited(rule, above, name=rule.name or name)
    yield place, rule, route
    for number, (child, made) in enumerate(zip(rule.routes, route.routes, strict=True)):
        yield from _placed(child, route, (*place, "routes", number), made.name)


def _inherited(rule: RouteRule, above: Route, *, name: str) -> Route:
    given = {
        "channels": rule.channels,
        "group_by": rule.group_by,
        "group_wait_us": rule.group_wait,
        "group_interval_us": rule.group_interval,
        "cooldown_us": rule.cooldown,
        "repeat_interval_us": rule.repeat_interval,
        "mute": rule.mute,
        "escalation": rule.escalation,
        "flood": rule.flood,
    }
    own = {key: value for key, value in given.items() if value is not None}
    # A `replace` of unknown keys would raise: the names above are those of `Route`.
    route = replace(above, name=name, match=rule.match, goes_on=rule.goes_on, routes=(), **own)  # type: ignore[arg-type]
    children = tuple(
        _inherited(child, route, name=child.name or f"{name}{_SEPARATOR}{child.match.words()}")
        for child in rule.routes
    )
    return replace(route, routes=children)


def _all(route: Route) -> Iterator[Route]:
    yield route
    for child in route.routes:
        yield from _all(child)


def _walk(route: Route, depth: int) -> Iterator[tuple[int, Route]]:
    yield depth, route
    for child in route.routes:
        yield from _walk(child, depth + 1)


def _taken(route: Route, labels: Labels) -> Iterator[Route]:
    if not route.match.matches(labels):
        return
    has_child = False
    for child in route.routes:
        taken = list(_taken(child, labels))
        yield from taken
        has_child = has_child or bool(taken)
        if taken and not child.goes_on:
            break
    if not has_child:
        yield route


def _applies(rule: SeverityRule, anomaly: Anomaly, severity: Severity) -> bool:
    if not rule.match.matches(labels_of(anomaly, severity)):
        return False
    if rule.rarity_below is not None and (anomaly.rarity is None or anomaly.rarity >= rule.rarity_below):
        return False
    return all(abs(anomaly.features.get(name, 0.0)) >= least for name, least in rule.features.items())
