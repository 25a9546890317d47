"""What people ask for: acknowledge, snooze, resolve, silence, and the taking back of them."""

from collections.abc import Iterator

from alerter.lifecycle.book import (
    INCIDENTS,
    SILENCES,
    AlertRecord,
    Book,
    IncidentRecord,
    SilenceRecord,
    restart,
)
from alerter.lifecycle.incidents import Incidents
from alerter.lifecycle.telling import Outcome, Teller
from alerter.notification import NotificationEvent
from alerter.rules.matching import match_of
from alerter.rules.times import utc_words
from shared.events import AlertAction, AlertCommand, AlertState


class Commands:
    """Carries commands out. One that is about something unknown, or that makes no sense, changes nothing.

    Args:
        book: what is known.
        incidents: brings messages up to date.
        teller: builds events.
    """

    def __init__(self, book: Book, incidents: Incidents, teller: Teller) -> None:
        self._book = book
        self._incidents = incidents
        self._teller = teller

    def carry_out(self, command: AlertCommand, now_us: int, out: Outcome) -> list[AlertRecord]:
        """Do what was asked; return the alerts that are to be resolved by it."""
        if command.action is AlertAction.SILENCE:
            self._silence(command, now_us)
            return []
        if command.action is AlertAction.UNSILENCE:
            if command.target in self._book.silences:
                self._book.drop(SILENCES, command.target)
            return []
        if command.action is AlertAction.RESOLVE:
            return list(self._meant(command.target))
        for incident in self._targets(command.target):
            self._mark(incident, command, now_us, out)
        return []

    def _silence(self, command: AlertCommand, now_us: int) -> None:
        start_us = command.start_us or now_us
        if not is_silence_valid(command) or command.until_us <= max(now_us, start_us):
            return
        silence = SilenceRecord(
            silence_id=command.command_id,
            matchers={label: list(patterns) for label, patterns in command.matchers.items()},
            start_us=start_us,
            until_us=command.until_us,
            author=command.author,
            comment=command.comment,
            due_us=command.until_us,
        )
        self._book.save(SILENCES, silence.silence_id, silence)

    def _mark(self, incident: IncidentRecord, command: AlertCommand, now_us: int, out: Outcome) -> None:
        firing = [alert for alert in self._teller.members(incident) if not alert.resolved_us]
        author, until_us = command.author or "somebody", 0
        match command.action:
            case AlertAction.ACKNOWLEDGE:
                incident.acknowledged = max(
                    (incident.severity, *(a.severity for a in firing)), key=lambda s: s.rank
                )
                incident.author = author
                event, state, detail = (
                    NotificationEvent.ACKNOWLEDGED,
                    AlertState.ACKNOWLEDGED,
                    f"acknowledged by {author}",
                )
            case AlertAction.SNOOZE:
                if command.until_us <= now_us:
                    return
                incident.snoozed_until_us = until_us = command.until_us
                incident.author = author
                event, state = NotificationEvent.SNOOZED, AlertState.SILENCED
                detail = f"snoozed by {author} until {utc_words(until_us)}"
            case _:
                restart(incident, now_us if incident.escalates_from_us else 0)
                event, state, detail = NotificationEvent.UPDATED, AlertState.FIRING, f"taken back by {author}"
        self._incidents.show(incident, event, now_us, out, author=author, note=command.comment)
        self._book.save(INCIDENTS, incident.incident_id, incident)
        for alert in firing:
            out.alerts.append(
                self._teller.change(
                    alert,
                    incident,
                    now_us=now_us,
                    detail=detail,
                    state=state,
                    author=author,
                    until_us=until_us,
                )
            )

    def _targets(self, target: str) -> Iterator[IncidentRecord]:
        """Yield the incident of this id, or those of the alert of this id."""
        for incident in list(self._book.open_incidents()):
            if incident.incident_id == target or target in incident.alerts:
                yield incident

    def _meant(self, target: str) -> Iterator[AlertRecord]:
        found = self._book.incidents.get(target)
        for key in found.alerts if found is not None else [target]:
            alert = self._book.alerts.get(key)
            if alert is not None and not alert.resolved_us:
                yield alert


def is_silence_valid(command: AlertCommand) -> bool:
    """Return whether a silence says what it is about, in labels and patterns that there are."""
    try:
        return any(command.matchers.values()) and match_of(command.matchers) is not None
    except ValueError:
        return False
