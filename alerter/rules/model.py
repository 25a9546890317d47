"""The rules as the file says them: every field with its type, bounds and default.

`docs/alerting.md` explains them to users; `default.yaml`, beside this file, is what counts without a file of
one's own.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from alerter.rules.matching import Labels, Match
from alerter.rules.times import Duration, MuteTime
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Severity

GroupLabel = Literal["market", "kind", "exchange"]
Names = Annotated[tuple[str, ...], Field()]
_MINUTE_US = 60 * MICROSECONDS_PER_SECOND


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)


class SeverityRule(_Part):
    """Changes the severity that the detector gave, by kind, market, size and rarity.

    Attributes:
        match: which anomalies.
        features: least size of a feature, either way, by the feature's name; all have to be reached.
        rarity_below: the anomaly must be rarer than this probability per trade.
        at_least: raise to this severity.
        at_most: lower to this one.
    """

    match: Match = Match()
    features: dict[str, float] = Field(default_factory=dict)
    rarity_below: float | None = Field(default=None, gt=0, le=1)
    at_least: Severity | None = None
    at_most: Severity | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "SeverityRule":
        if self.at_least is None and self.at_most is None:
            raise ValueError("say at_least or at_most, or both")
        return self


class InhibitRule(_Part):
    """While an alert that matches `source` fires, those that match `target` are not told.

    Attributes:
        source: the alert that explains the others.
        target: the others.
        equal: labels that must be the same in both.
    """

    source: Match
    target: Match
    equal: tuple[Literal["market", "exchange", "kind"], ...] = ("market",)

    def applies(self, source: Labels, target: Labels) -> bool:
        """Return whether one alert, while it fires, makes another one superfluous."""
        return (
            all(getattr(source, label) == getattr(target, label) for label in self.equal)
            and self.source.matches(source)
            and self.target.matches(target)
        )


class EscalationLevel(_Part):
    """Who is told when nobody has acknowledged.

    Attributes:
        after: time since people were told first.
        channels: where; patterns with `*`.
        mentions: whom to call by name there.
    """

    after: Duration
    channels: Names = ("*",)
    mentions: Names = ()


class Escalation(_Part):
    """Levels of escalation, in order.

    Attributes:
        severity: least severity that is escalated.
        levels: the first one first.
    """

    severity: Severity = Severity.CRITICAL
    levels: tuple[EscalationLevel, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _in_order(self) -> "Escalation":
        waits = [level.after for level in self.levels]
        if waits != sorted(set(waits)):
            raise ValueError("each level must come later than the one before it")
        return self


class Flood(_Part):
    """When many markets at once become one digest.

    Attributes:
        markets: so many different ones ...
        within: ... within so long.
        kinds: kinds of anomaly that are about the whole market: one of them begins a digest.
        market_pct: an alert begins one, too, if so many markets did the same and their median move, either
            way, is at least so large, in percent; by what the cross-market step says of it.
        quiet: without a new market for so long, the flood is over.
        escalation: of the digest; empty: none.
    """

    markets: int = Field(default=3, ge=2, le=10_000)
    within: Duration = 2 * _MINUTE_US
    kinds: Names = ("market_move",)
    market_pct: float = Field(default=0.5, gt=0, le=100)
    quiet: Duration = 5 * _MINUTE_US
    escalation: str = ""


class RouteRule(_Part):
    """One branch of the tree. What it leaves out is as in the branch above.

    Attributes:
        name: for people; by default what it matches.
        match: which alerts take it.
        channels: who is told; patterns of channels' names with `*`; empty: nobody.
        group_by: labels that alerts of one message share.
        group_wait: before the first message of a group.
        group_interval: between two messages of a group, unless it becomes more severe.
        cooldown: in which the same thing (venue, market, kind), not more severe, is not told again.
        repeat_interval: before people are reminded of what still fires; 0: never.
        mute: names of `mute_times` at which nobody is told.
        escalation: name of an escalation; empty: none.
        flood: whether many markets at once become a digest here.
        goes_on: whether the routes after it are tried too (`continue` in the file).
        routes: branches, the first that matches is taken.
    """

    name: str = Field(default="", max_length=64)
    match: Match = Match()
    channels: Names | None = None
    group_by: tuple[GroupLabel, ...] | None = Field(default=None, min_length=1)
    group_wait: Duration | None = None
    group_interval: Duration | None = None
    cooldown: Duration | None = None
    repeat_interval: Duration | None = None
    mute: Names | None = None
    escalation: str | None = None
    flood: bool | None = None
    goes_on: bool = Field(default=False, alias="continue")
    routes: tuple["RouteRule", ...] = ()


class RulesFile(_Part):
    """The whole file.

    Attributes:
        min_severity: lower ones are not told.
        severity: changes of severities, in order.
        route: the tree's root, which every alert takes.
        inhibit: what makes other alerts superfluous.
        mute_times: times of silence, by name.
        escalations: by name.
        flood: many markets at once; null: no digests.
        resolve_after: an alert of which nothing was heard for so long is over.
        update_interval: least time between two changes of a message that is already there.
        resolved: whether the end is told: by a change of the message, by a message of its own, or not.
    """

    min_severity: Severity = Severity.MEDIUM
    severity: tuple[SeverityRule, ...] = ()
    route: RouteRule = RouteRule()
    inhibit: tuple[InhibitRule, ...] = ()
    mute_times: dict[str, tuple[MuteTime, ...]] = Field(default_factory=dict)
    escalations: dict[str, Escalation] = Field(default_factory=dict)
    flood: Flood | None = None
    resolve_after: Duration = 6 * 60 * _MINUTE_US
    update_interval: Duration = 5 * MICROSECONDS_PER_SECOND
    resolved: Literal["edit", "ring", "never"] = "edit"

    def overridden(self, *, min_severity: Severity | None, cooldown_s: float | None) -> "RulesFile":
        """Return the rules with what the environment says instead.

        Args:
            min_severity: lower ones are not told; None: as the file says.
            cooldown_s: of every route that does not say its own; None: as the file says.
        """
        changes: dict[str, object] = {}
        if min_severity is not None:
            changes["min_severity"] = min_severity
        if cooldown_s is not None:
            cooldown = round(cooldown_s * MICROSECONDS_PER_SECOND)
            interval = self.route.group_interval
            # Whoever wants to hear the same thing again sooner wants the group sooner, too.
            limited = cooldown if interval is None else min(interval, cooldown)
            changes["route"] = self.route.model_copy(update={"cooldown": cooldown, "group_interval": limited})
        return self.model_copy(update=changes)
