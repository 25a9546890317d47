"""Looks after incidents: whatever has happened to one, `attend` decides what is due now, and when next.

In this order: news rings, or goes into a digest; a snooze ends; a level of escalation is reached; a reminder
is due; a message that is there is brought up to date; an incident of which every alert is over is resolved.
"""

from collections.abc import Sequence
from typing import Final

from alerter.lifecycle.book import (
    GROUPS,
    INCIDENTS,
    AlertRecord,
    Book,
    GroupRecord,
    IncidentRecord,
    opened,
    restart,
)
from alerter.lifecycle.floods import Floods
from alerter.lifecycle.holds import Hold, Holds
from alerter.lifecycle.telling import Outcome, Teller, highest
from alerter.notification import NotificationEvent
from alerter.rules.model import EscalationLevel
from alerter.rules.times import duration_words
from alerter.rules.tree import Rules
from shared.events import AlertState, Severity

TO_BE_TOLD: Final = "to be told"


class Incidents:
    """Looks after incidents.

    Args:
        rules: what people want.
        book: what is known.
        holds: why something is quiet.
        teller: builds what is told.
    """

    def __init__(self, rules: Rules, book: Book, holds: Holds, teller: Teller) -> None:
        self._rules = rules
        self._book = book
        self._holds = holds
        self._teller = teller
        self.floods = Floods(rules, book, holds, teller, self)

    def join(self, alert: AlertRecord, route_name: str, group: Sequence[str], now_us: int) -> IncidentRecord:
        """Return the incident that an alert belongs to on a route, a new one if there is none."""
        incident = self._book.open_incident(route_name, group)
        if incident is None:
            incident = opened(route_name, group, alert, now_us)
        if alert.alert_id not in incident.alerts:
            incident.alerts.append(alert.alert_id)
        incident.is_stale = True
        return incident

    def attend(self, incident: IncidentRecord, now_us: int, out: Outcome) -> None:
        """Do what is due for an incident, and note when to look at it next."""
        waits: list[int] = []
        news = self._news(incident, now_us, waits)
        if news:
            self._tell_news(incident, news, now_us, out, waits)
        firing = [alert for alert in self._teller.members(incident) if not alert.resolved_us]
        if not firing and not waits and not self.floods.holds_open(incident):
            self.resolve(incident, now_us, out)
            return
        if incident.rings:
            self._go_on(incident, firing, now_us, out, waits)
        incident.due_us = min(waits, default=0)
        self._book.save(INCIDENTS, incident.incident_id, incident)

    def hold_of(self, alert: AlertRecord, incident: IncidentRecord, now_us: int) -> Hold | None:
        """Return why an alert is not told now."""
        return self._holds.news(alert, incident, now_us) or self._holds.interval(
            alert.severity, incident, now_us
        )

    def show(
        self,
        incident: IncidentRecord,
        event: NotificationEvent,
        now_us: int,
        out: Outcome,
        *,
        author: str = "",
        note: str = "",
    ) -> None:
        """Bring the message that is there up to date, ringing nobody."""
        if not incident.rings or not incident.channels:
            return
        out.notifications.append(
            self._teller.notification(
                incident,
                event,
                rings=False,
                channels=incident.channels,
                now_us=now_us,
                author=author,
                note=note,
            )
        )
        incident.is_stale, incident.shown_us = False, now_us

    def _news(self, incident: IncidentRecord, now_us: int, waits: list[int]) -> list[AlertRecord]:
        """Return the alerts that people should hear of; note when those that are held are free."""
        free = []
        for alert in self._teller.members(incident):
            if not is_news(alert, incident):
                continue
            hold = self._holds.news(alert, incident, now_us)
            if hold is None:
                free.append(alert)
            elif hold.until_us is not None and not alert.resolved_us:
                waits.append(hold.until_us)
        return free

    def _tell_news(
        self,
        incident: IncidentRecord,
        news: list[AlertRecord],
        now_us: int,
        out: Outcome,
        waits: list[int],
    ) -> None:
        is_more_of_the_same = highest(news).rank <= incident.severity.rank
        if incident.is_digest and incident.rings and is_more_of_the_same:
            # More of the same: the message that is there says so soon enough.
            self.note_told(incident, news, now_us)
            incident.is_stale = True
            return
        hold = self._holds.interval(highest(news), incident, now_us)
        if hold is not None:
            assert hold.until_us is not None
            waits.append(hold.until_us)
            return
        if not incident.is_digest and self.floods.takes(incident, news, now_us, out):
            return
        event = NotificationEvent.UPDATED if incident.rings else NotificationEvent.OPENED
        if incident.acknowledged is not None:
            # Somebody did so for something less severe.
            restart(incident, 0)
        self._ring(incident, event, now_us, out, news=news)

    def _ring(
        self,
        incident: IncidentRecord,
        event: NotificationEvent,
        now_us: int,
        out: Outcome,
        *,
        news: Sequence[AlertRecord] = (),
        about: Sequence[AlertRecord] = (),
        channels: Sequence[str] | None = None,
        note: str = "",
        mentions: Sequence[str] = (),
    ) -> None:
        route = self._rules.route(incident.route)
        to = self._rules.channels_of(route.channels) if channels is None else tuple(channels)
        incident.channels = sorted({*incident.channels, *to})
        incident.rings += 1
        incident.rung_us = incident.shown_us = now_us
        incident.is_stale = False
        self.note_told(incident, news, now_us)
        out.notifications.append(
            self._teller.notification(
                incident,
                event,
                rings=True,
                channels=to,
                now_us=now_us,
                about=news or about,
                note=note,
                mentions=mentions,
            )
        )
        for alert in news if event in {NotificationEvent.OPENED, NotificationEvent.UPDATED} else ():
            if not incident.is_digest:
                out.alerts.append(
                    self._teller.change(alert, incident, now_us=now_us, channels=to, detail=TO_BE_TOLD)
                )

    def note_told(self, incident: IncidentRecord, news: Sequence[AlertRecord], now_us: int) -> None:
        """Remember that alerts were told, for the incident and for longer."""
        if not news:
            return
        group = self._book.groups.get(incident.open_key) or GroupRecord()
        for alert in news:
            incident.told[alert.alert_id] = alert.severity
            group.told.setdefault(alert.fingerprint, {})[alert.severity] = now_us
        severity = highest(news)
        incident.severity = max(incident.severity, severity, key=lambda s: s.rank)
        if not incident.escalates_from_us and self._levels(incident, severity):
            incident.escalates_from_us = now_us
        if incident.is_digest:
            return
        group.rung_us, group.severity = now_us, severity
        route = self._rules.route(incident.route)
        group.due_us = now_us + max(route.cooldown_us, route.group_interval_us, 1)
        self._book.save(GROUPS, incident.open_key, group)

    def _go_on(
        self, incident: IncidentRecord, firing: list[AlertRecord], now_us: int, out: Outcome, waits: list[int]
    ) -> None:
        loud: list[AlertRecord] = []
        for alert in firing:
            hold = self._holds.quiet(alert, incident, now_us)
            if hold is None:
                loud.append(alert)
            elif hold.until_us is not None:
                waits.append(hold.until_us)
        if 0 < incident.snoozed_until_us <= now_us:
            restart(incident, now_us if incident.escalates_from_us else 0)
            if loud:
                self._ring(
                    incident, NotificationEvent.REMINDED, now_us, out, about=loud, note="the snooze is over"
                )
        is_free = loud and incident.acknowledged is None and not incident.digest
        if is_free:
            self._escalate(incident, loud, now_us, out, waits)
            self._remind(incident, loud, now_us, out, waits)
        if incident.is_stale:
            due_us = incident.shown_us + self._rules.file.update_interval
            if due_us <= now_us:
                self.show(incident, NotificationEvent.UPDATED, now_us, out)
            else:
                waits.append(due_us)

    def _escalate(
        self,
        incident: IncidentRecord,
        loud: list[AlertRecord],
        now_us: int,
        out: Outcome,
        waits: list[int],
    ) -> None:
        levels = self._levels(incident, highest(loud))
        while incident.level < len(levels) and incident.escalates_from_us:
            level = levels[incident.level]
            due_us = incident.escalates_from_us + level.after
            if due_us > now_us:
                waits.append(due_us)
                return
            incident.level += 1
            self._ring(
                incident,
                NotificationEvent.ESCALATED,
                now_us,
                out,
                about=loud,
                channels=self._rules.channels_of(level.channels),
                note=f"not acknowledged for {duration_words(now_us - incident.escalates_from_us)}",
                mentions=level.mentions,
            )
            for alert in loud:
                if alert.alert_id in incident.told:
                    out.alerts.append(
                        self._teller.change(
                            alert,
                            incident,
                            now_us=now_us,
                            channels=out.notifications[-1].channels,
                            detail=f"escalated to level {incident.level}: {out.notifications[-1].note}",
                            state=AlertState.ESCALATED,
                        )
                    )

    def _remind(
        self,
        incident: IncidentRecord,
        loud: list[AlertRecord],
        now_us: int,
        out: Outcome,
        waits: list[int],
    ) -> None:
        repeat_us = self._rules.route(incident.route).repeat_interval_us
        if not repeat_us:
            return
        if incident.rung_us + repeat_us <= now_us:
            self._ring(
                incident,
                NotificationEvent.REMINDED,
                now_us,
                out,
                about=loud,
                note=f"still going on after {duration_words(now_us - incident.opened_us)}",
            )
        waits.append(incident.rung_us + repeat_us)

    def _levels(self, incident: IncidentRecord, severity: Severity) -> tuple[EscalationLevel, ...]:
        flood = self._rules.file.flood
        if incident.is_digest:
            return self._rules.levels_of(flood.escalation if flood else "", severity)
        return self._rules.levels_of(self._rules.route(incident.route).escalation, severity)

    def resolve(self, incident: IncidentRecord, now_us: int, out: Outcome) -> None:
        """End an incident, and say so."""
        how = self._rules.file.resolved
        if incident.incident_id not in self._book.incidents and not incident.rings:
            return
        if incident.rings and how != "never" and self._teller.members(incident):
            out.notifications.append(
                self._teller.notification(
                    incident,
                    NotificationEvent.RESOLVED,
                    rings=how == "ring" and not self._is_quiet(incident, now_us),
                    channels=incident.channels,
                    now_us=now_us,
                    note=f"over after {duration_words(now_us - incident.opened_us)}",
                )
            )
        if incident.incident_id in self._book.incidents:
            self._book.drop(INCIDENTS, incident.incident_id)
        if incident.is_digest:
            self.floods.release(incident, now_us)

    def _is_quiet(self, incident: IncidentRecord, now_us: int) -> bool:
        members = self._teller.members(incident)
        return all(self._holds.quiet(alert, incident, now_us) is not None for alert in members)


def is_news(alert: AlertRecord, incident: IncidentRecord) -> bool:
    """Return whether people should hear of an alert: at this severity it was not told in this incident."""
    if incident.route not in alert.routes or (alert.resolved_us and not alert.is_late_news):
        return False
    told = incident.told.get(alert.alert_id)
    return told is None or alert.severity.rank > told.rank
