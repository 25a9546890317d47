"""The life cycle of alerts: a pure state machine. Anomalies, commands and `now` in; what is to be told out.

An alert is one episode of the detector (`alert_id` is the `episode_id`). Alerts that a route groups together
are an incident, and people are told about incidents. See `docs/alerting.md` for the rules in words,
`book.py` for what is remembered, `incidents.py` for what follows from it.
"""

from collections.abc import Iterable
from typing import Final

from alerter.lifecycle.book import (
    ALERTS,
    COMMANDS,
    FLOODS,
    GROUPS,
    INCIDENTS,
    SILENCES,
    AlertRecord,
    Book,
    CommandRecord,
    IncidentRecord,
    SilenceRecord,
)
from alerter.lifecycle.commands import Commands
from alerter.lifecycle.holds import Holds
from alerter.lifecycle.incidents import Incidents, is_news
from alerter.lifecycle.telling import Outcome, Teller, largest_move_pct
from alerter.rules.matching import labels_of
from alerter.rules.tree import Rules
from shared.clock import MICROSECONDS_PER_SECOND
from shared.codec import content_id
from shared.events import AlertCommand, AlertState, Anomaly, EpisodePhase

# What comes late about an alert that is over must not begin it anew.
_KEPT_US: Final = 3_600 * MICROSECONDS_PER_SECOND
_COMMANDS_KEPT_US: Final = 48 * _KEPT_US
CLOSED: Final = "closed"
QUIET: Final = "quiet"
PERSON: Final = "person"


class Lifecycle:
    """Decides what is told, to whom, and when.

    Args:
        rules: what people want.
    """

    def __init__(self, rules: Rules) -> None:
        self._book = Book()
        self._use(rules)

    def _use(self, rules: Rules) -> None:
        self._rules = rules
        self._holds = Holds(rules, self._book)
        self._teller = Teller(self._book, self._holds)
        self._incidents = Incidents(rules, self._book, self._holds, self._teller)
        self._commands = Commands(self._book, self._incidents, self._teller)

    def configure(self, rules: Rules, now_us: int) -> Outcome:
        """Go on by other rules; nothing that is known is forgotten."""
        self._use(rules)
        out = self.on_time(now_us)
        self._attend_all(now_us, out)
        return out

    def restore(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Take in what was stored.

        Raises:
            msgspec.DecodeError: a record is damaged, or of another version.
        """
        self._book.restore(rows)

    def changes(self) -> dict[str, bytes | None]:
        """Return what has to be stored since the last call, by name; None for what has to be removed."""
        return self._book.changes()

    @property
    def due_us(self) -> int | None:
        """When `on_time` has something to do; None: not before something else happens."""
        return self._book.due_us()

    @property
    def silences(self) -> list[SilenceRecord]:
        """The silences that are known, in the order of their ends."""
        return sorted(self._book.silences.values(), key=lambda s: (s.until_us, s.silence_id))

    @property
    def open_alerts(self) -> list[AlertRecord]:
        """The alerts that fire, in the order in which they came."""
        firing = (alert for alert in self._book.alerts.values() if not alert.resolved_us)
        return sorted(firing, key=lambda alert: (alert.taken_us, alert.alert_id))

    def on_time(self, now_us: int) -> Outcome:
        """Do what is due by now."""
        out = Outcome()
        while (found := self._book.pop_due(now_us)) is not None:
            self._on_due(*found, now_us, out)
        return out

    def on_anomaly(self, anomaly: Anomaly, now_us: int) -> Outcome:
        """Take in an event of an episode; one that is known already changes nothing.

        Args:
            anomaly: opening, updating or closing an episode.
            now_us: the alerter's time.
        """
        out = self.on_time(now_us)
        alert = self._book.alerts.get(anomaly.episode.episode_id)
        if alert is not None and anomaly.anomaly_id in alert.seen:
            return out
        alert = self._taken(anomaly, alert, now_us)
        incidents = [] if self._is_low(alert) else self._joined(alert, now_us)
        self._book.save(ALERTS, alert.alert_id, alert)
        before = len(out.alerts)
        reasons = [self._attended(alert, incident, now_us, out) for incident in incidents]
        if self._is_market_wide(anomaly) and not alert.resolved_us:
            for joined in incidents:
                self._incidents.floods.spread(joined, alert, now_us, out)
        for key in sorted(self._book.incidents):
            other = self._book.incidents.get(key)
            if other is not None and alert.alert_id in other.alerts and other not in incidents:
                self._attended(alert, other, now_us, out)
        if not any(change.alert_id == alert.alert_id for change in out.alerts[before:]):
            detail = next(filter(None, reasons), "") or self._low_reason(alert)
            incident = incidents[0] if incidents else None
            out.alerts.append(self._teller.change(alert, incident, now_us=now_us, detail=detail))
        if alert.resolved_us == now_us:
            self._freed(alert, now_us, out)
        return out

    def on_command(self, command: AlertCommand, now_us: int) -> Outcome:
        """Do what a person asks for; a command that is known already changes nothing."""
        out = self.on_time(now_us)
        if command.command_id in self._book.commands:
            return out
        done = CommandRecord(time_us=now_us, due_us=now_us + _COMMANDS_KEPT_US)
        self._book.save(COMMANDS, command.command_id, done)
        resolved = self._commands.carry_out(command, now_us, out)
        for alert in resolved:
            self._end(alert, now_us, PERSON)
            detail = f"resolved by {command.author or 'somebody'}"
            out.alerts.append(
                self._teller.change(alert, None, now_us=now_us, detail=detail, author=command.author)
            )
        self._attend_all(now_us, out)
        return out

    def _on_due(self, section: str, key: str, now_us: int, out: Outcome) -> None:
        if section == INCIDENTS:
            incident = self._book.incidents[key]
            incident.due_us = 0
            self._incidents.attend(incident, now_us, out)
        elif section == ALERTS:
            self._on_alert_due(self._book.alerts[key], now_us, out)
        elif section == FLOODS:
            self._incidents.floods.end(key, now_us, out)
        else:
            assert section in {GROUPS, SILENCES, COMMANDS}
            self._book.drop(section, key)
            if section == SILENCES:
                self._attend_all(now_us, out)

    def _on_alert_due(self, alert: AlertRecord, now_us: int, out: Outcome) -> None:
        if alert.resolved_us:
            if any(alert.alert_id in incident.alerts for incident in self._book.incidents.values()):
                # Its incident goes on, and still shows it.
                alert.due_us = now_us + _KEPT_US
                self._book.save(ALERTS, alert.alert_id, alert)
            else:
                self._book.drop(ALERTS, alert.alert_id)
            return
        self._end(alert, now_us, QUIET)
        detail = "nothing was heard of it for long"
        out.alerts.append(self._teller.change(alert, None, now_us=now_us, detail=detail))
        self._freed(alert, now_us, out, is_own=True)

    def _taken(self, anomaly: Anomaly, alert: AlertRecord | None, now_us: int) -> AlertRecord:
        severity = self._rules.severity_of(anomaly)
        if alert is None:
            alert = AlertRecord(
                alert_id=anomaly.episode.episode_id,
                fingerprint=content_id("alert", anomaly.exchange, anomaly.symbol, anomaly.kind),
                anomaly=anomaly,
                severity=severity,
                taken_us=now_us,
                last_us=now_us,
                first_price=anomaly.price,
            )
            has_risen = True
        else:
            has_risen = severity.rank > alert.severity.rank
            alert.severity = severity if has_risen else alert.severity
            alert.anomaly = anomaly
        alert.last_us = now_us
        alert.anomalies += 1
        alert.seen.append(anomaly.anomaly_id)
        if self._is_market_wide(anomaly) and anomaly.context is not None:
            alert.market = anomaly.context.sentence
        alert.move_pct = largest_move_pct(anomaly, alert.first_price, alert.move_pct)
        if anomaly.episode.phase is EpisodePhase.CLOSED:
            alert.is_late_news = has_risen
            self._end(alert, now_us, CLOSED)
        elif not alert.resolved_us or alert.resolution == QUIET or (alert.resolution == PERSON and has_risen):
            alert.resolved_us, alert.resolution = 0, ""
            alert.due_us = now_us + self._rules.file.resolve_after
        return alert

    def _end(self, alert: AlertRecord, now_us: int, resolution: str) -> None:
        alert.resolved_us = alert.resolved_us or now_us
        alert.resolution = resolution
        alert.due_us = now_us + _KEPT_US
        self._book.save(ALERTS, alert.alert_id, alert)

    def _joined(self, alert: AlertRecord, now_us: int) -> list[IncidentRecord]:
        found = labels_of(alert.anomaly, alert.severity)
        routes = [r for r in self._rules.routes_of(found) if self._rules.channels_of(r.channels)]
        alert.routes = [route.name for route in routes]
        return [self._incidents.join(alert, r.name, r.group_of(found), now_us) for r in routes]

    def _attended(self, alert: AlertRecord, incident: IncidentRecord, now_us: int, out: Outcome) -> str:
        """Attend an incident of an alert; return why the alert was not told, if it was not."""
        if is_news(alert, incident):
            hold = self._incidents.hold_of(alert, incident, now_us)
            reason = hold.reason if hold is not None else ""
        elif alert.resolved_us:
            reason = "the episode has closed and rose no further"
        else:
            reason = f"this alert was told at severity {incident.told.get(alert.alert_id, alert.severity)}"
        incident.is_stale = incident.is_stale or bool(incident.rings)
        self._incidents.attend(incident, now_us, out)
        return reason

    def _is_market_wide(self, anomaly: Anomaly) -> bool:
        """Return whether as many markets as make a flood did the same, by what the cross-market step says."""
        flood, context = self._rules.file.flood, anomaly.context
        if flood is None or context is None or not context.is_market_wide:
            return False
        is_large = abs(context.market_return_pct) >= flood.market_pct
        return is_large and context.moved_with + 1 >= flood.markets

    def _is_low(self, alert: AlertRecord) -> bool:
        return alert.severity.rank < self._rules.file.min_severity.rank

    def _low_reason(self, alert: AlertRecord) -> str:
        if self._is_low(alert):
            return f"severity {alert.severity} is below {self._rules.file.min_severity}"
        return "no route tells anybody of it"

    def _freed(self, alert: AlertRecord, now_us: int, out: Outcome, *, is_own: bool = False) -> None:
        """Look at what an alert that is over now has held back."""
        source = labels_of(alert.anomaly, alert.severity)
        has_inhibited = any(rule.source.matches(source) for rule in self._rules.file.inhibit)
        for incident in self._book.open_incidents():
            if has_inhibited or (is_own and alert.alert_id in incident.alerts):
                incident.is_stale = incident.is_stale or is_own
                self._incidents.attend(incident, now_us, out)

    def _attend_all(self, now_us: int, out: Outcome) -> None:
        for incident in self._book.open_incidents():
            self._incidents.attend(incident, now_us, out)


__all__ = ["AlertState", "Lifecycle", "Outcome"]
