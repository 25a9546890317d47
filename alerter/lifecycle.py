"""Which anomalies people are told about: a pure state machine, anomalies and `now` in, decisions out.

An alert is one episode of the detector, so `alert_id` is the `episode_id`. A notification is due when all of
these hold, and otherwise the first one that fails is the reason why it is suppressed:

1. The anomaly's severity is at least `min_severity`.
2. It is news: its alert has not been told, or its severity is above what was told of this alert. An episode's
   end is news only if it is more severe than everything before it, for what is over needs nobody's attention.
3. There was no notification of the same market and kind, at least as severe, within the cooldown. So a rise
   in severity is heard during a cooldown, and a repetition is not.

An anomaly that was decided before (the same `anomaly_id`) gets the same decision again, whatever has changed
since. What counts as told is what was sent or is still to be sent: what every channel refused was not heard.

The state is what the past decisions say, and nothing else: `restore` takes them in any order, and the outbox
does so for every batch from the store. So a restart at any point, a batch rolled back or a second alerter
changes no decision.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Anomaly, EpisodePhase, Severity

CONSOLE: Final = "console"


@dataclass(frozen=True, kw_only=True)
class LifecycleParams:
    """What people want to hear, and where.

    Attributes:
        min_severity: lower ones are not told.
        cooldown_s: between two notifications of one market and kind, unless the severity rises.
        channels: names of the channels that are told, in any order; the console when there are none.
    """

    min_severity: Severity = Severity.MEDIUM
    cooldown_s: float = 300.0
    channels: tuple[str, ...] = (CONSOLE,)

    def __post_init__(self) -> None:
        if self.cooldown_s < 0:
            raise ValueError(f"cooldown_s must not be negative: {self.cooldown_s}")
        # In one order, so that a decision reads the same when it comes back from the store.
        object.__setattr__(self, "channels", tuple(sorted(set(self.channels))) or (CONSOLE,))


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What was decided about one anomaly.

    Attributes:
        anomaly_id: of the anomaly.
        alert_id: of the alert that it belongs to.
        symbol: market.
        kind: of the anomaly.
        severity: of the anomaly.
        decided_us: when, by the alerter's clock.
        channels: where it is to be told; empty when suppressed.
        reason: why it is suppressed; empty otherwise.
        is_heard: false once every channel has refused it, or when suppressed.
    """

    anomaly_id: str
    alert_id: str
    symbol: str
    kind: str
    severity: Severity
    decided_us: int
    channels: tuple[str, ...] = ()
    reason: str = ""
    is_heard: bool = False


@dataclass
class _AlertMemory:
    told: Severity | None = None
    highest: Severity = Severity.LOW


class Lifecycle:
    """Decides what is told.

    Args:
        params: what people want to hear, and where.

    Example:
        >>> lifecycle = Lifecycle(LifecycleParams(cooldown_s=300, channels=("telegram:1",)))
        >>> lifecycle.restore([])
    """

    def __init__(self, params: LifecycleParams) -> None:
        self._params = params
        self._cooldown_us = round(params.cooldown_s * MICROSECONDS_PER_SECOND)
        self._decided: dict[str, Decision] = {}
        self._alerts: dict[str, _AlertMemory] = {}
        self._told_us: dict[tuple[str, str], dict[Severity, int]] = {}

    def restore(self, past: Iterable[Decision]) -> None:
        """Take in decisions made earlier, in any order."""
        for decision in past:
            self._remember(decision)

    def on_anomaly(self, anomaly: Anomaly, now_us: int) -> Decision:
        """Return what is to be done about an anomaly; the earlier decision if there was one.

        Args:
            anomaly: opening, updating or closing an episode.
            now_us: the alerter's time.
        """
        if earlier := self._decided.get(anomaly.anomaly_id):
            return earlier
        reason = self._objection(anomaly, now_us)
        decision = Decision(
            anomaly_id=anomaly.anomaly_id,
            alert_id=anomaly.episode.episode_id,
            symbol=anomaly.symbol,
            kind=anomaly.kind,
            severity=anomaly.severity,
            decided_us=now_us,
            channels=() if reason else self._params.channels,
            reason=reason,
            is_heard=not reason,
        )
        self._remember(decision)
        return decision

    def _objection(self, anomaly: Anomaly, now_us: int) -> str:
        severity, least = anomaly.severity, self._params.min_severity
        if severity.rank < least.rank:
            return f"severity {severity} is below {least}"
        alert = self._alerts.get(anomaly.episode.episode_id, _AlertMemory())
        if alert.told is not None and severity.rank <= alert.told.rank:
            return f"this alert was told at severity {alert.told}"
        has_closed = anomaly.episode.phase is EpisodePhase.CLOSED
        if has_closed and anomaly.episode.episode_id in self._alerts and severity.rank <= alert.highest.rank:
            return "the episode has closed and rose no further"
        return self._cooldown(anomaly, now_us)

    def _cooldown(self, anomaly: Anomaly, now_us: int) -> str:
        told = self._told_us.get((anomaly.symbol, anomaly.kind), {})
        # In a fixed order, so that the reason does not depend on which decision was restored first.
        for severity in (s for s in Severity if s in told and s.rank >= anomaly.severity.rank):
            age_us = now_us - told[severity]
            if age_us < self._cooldown_us:
                ago_s = max(age_us, 0) // MICROSECONDS_PER_SECOND
                return f"cooldown {self._params.cooldown_s:g} s: severity {severity} was told {ago_s} s ago"
        return ""

    def _remember(self, decision: Decision) -> None:
        self._decided[decision.anomaly_id] = decision
        alert = self._alerts.setdefault(decision.alert_id, _AlertMemory(highest=decision.severity))
        alert.highest = max(alert.highest, decision.severity, key=_rank)
        if not decision.is_heard:
            return
        alert.told = max(alert.told or decision.severity, decision.severity, key=_rank)
        told = self._told_us.setdefault((decision.symbol, decision.kind), {})
        told[decision.severity] = max(told.get(decision.severity, 0), decision.decided_us)


def _rank(severity: Severity) -> int:
    return severity.rank
