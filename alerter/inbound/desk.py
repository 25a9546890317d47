"""Carries out what people ask, whatever the channel: publishes commands, answers questions.

A command goes to the topic `alert-commands`, where every alerter reads it; the answer is given when the
broker has it. What is shown comes from the store: the latest notification of each incident, and the silences.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from sqlalchemy import select

from alerter.buttons import Press, Verb
from alerter.explaining import explanation
from alerter.inbound import commands
from alerter.lifecycle.book import (
    ALERTS,
    INCIDENTS,
    SILENCES,
    AlertRecord,
    IncidentRecord,
    Record,
    SilenceRecord,
)
from alerter.notification import Notification
from alerter.outbox import TOPIC
from alerter.pictures import Pictures
from alerter.render import clean
from alerter.rules.times import duration_words, utc_words
from shared.clock import Clock
from shared.codec import content_id, decode
from shared.errors import InvalidRecordError
from shared.events import AlertAction, AlertCommand
from shared.store.database import Database
from shared.store.tables import DeliveryRow, LifecycleRow

_LISTED: Final = 15
_NAME: Final = 64
_COMMENT: Final = 200
_ACTIONS: Final = {
    Verb.ACKNOWLEDGE: AlertAction.ACKNOWLEDGE,
    Verb.TAKE_BACK: AlertAction.UNACKNOWLEDGE,
    Verb.SNOOZE: AlertAction.SNOOZE,
}
R = TypeVar("R", bound=Record)


@dataclass(frozen=True, kw_only=True)
class Person:
    """Who asks, and where.

    Attributes:
        name: as the channel knows them.
        channel: name of the channel.
    """

    name: str
    channel: str


@dataclass(frozen=True, kw_only=True)
class Explained:
    """The answer to "why?".

    Attributes:
        lines: of the explanation, not escaped.
        picture: PNG; None where there is none.
    """

    lines: list[str]
    picture: bytes | None


class Desk:
    """Carries out what people ask. Blocks; not for an event loop.

    Args:
        database: the store.
        publish: puts a command on its topic, and returns when the broker has it.
        pictures: draws alerts.
        status: how the alerter is, in lines.
        clock: the time.
    """

    def __init__(
        self,
        *,
        database: Database,
        publish: Callable[[AlertCommand], None],
        pictures: Pictures,
        status: Callable[[], list[str]],
        clock: Clock,
    ) -> None:
        self._database = database
        self._publish = publish
        self._pictures = pictures
        self._status = status
        self._clock = clock

    def press(self, press: Press, person: Person, *, press_id: str) -> str:
        """Carry out a button, other than "why?"; return a few words about it.

        Args:
            press: the button.
            person: who pressed it.
            press_id: the service's name of this press, so that it counts once.

        Raises:
            BrokerRetriableError: it could not be published; nothing has happened.
        """
        now_us = self._clock.now_us()
        until_us = now_us + press.snooze_us if press.verb is Verb.SNOOZE else 0
        self._publish(
            AlertCommand(
                command_id=content_id("press", person.channel, press_id),
                action=_ACTIONS[press.verb],
                target=press.incident_id,
                until_us=until_us,
                author=clean(person.name, _NAME),
                channel=person.channel,
                time_us=now_us,
            )
        )
        if press.verb is Verb.SNOOZE:
            return f"Snoozed until {utc_words(until_us)}"
        return "Acknowledged" if press.verb is Verb.ACKNOWLEDGE else "Taken back"

    def why(self, incident_id: str) -> Explained | None:
        """Return the explanation of an incident, or None when it is unknown or of another version.

        Raises:
            StoreUnavailableError: not now.
        """
        with self._database.session(read_only=True) as session:
            query = (
                select(DeliveryRow.payload)
                .where(DeliveryRow.incident_id == incident_id, DeliveryRow.channel != TOPIC)
                .order_by(DeliveryRow.sequence.desc())
                .limit(1)
            )
            payload = session.scalars(query).one_or_none()
        if payload is None:
            return None
        try:
            notification = decode(payload, Notification)
        except InvalidRecordError:
            # Written by another version. Nobody who presses a button can be let stop the alerter.
            return None
        picture = self._pictures.of(notification)
        lines = explanation(notification)
        if picture is None:
            lines.append("No picture: the trades of that time are not stored or retained.")
        return Explained(lines=lines, picture=picture)

    def say(self, line: str, person: Person, *, message_id: str) -> str:
        """Do what a line asks for; return the answer as plain text.

        Args:
            line: what a person typed.
            person: who.
            message_id: the service's name of the message, so that it counts once.

        Raises:
            BrokerRetriableError: a command could not be published; nothing has happened.
            StoreUnavailableError: not now.
        """
        wish = commands.parse(line)
        match wish:
            case commands.Status():
                return "\n".join([*self._status(), *self._silence_lines()])
            case commands.Alerts():
                return self._alerts()
            case commands.Silences():
                return "\n".join(self._silence_lines())
            case commands.Silence():
                return self._silence(wish, person, message_id)
            case commands.Unsilence():
                return self._unsilence(wish, person, message_id)
            case commands.Help(fault=fault):
                return f"{fault}\n\n{commands.HELP}" if fault else commands.HELP

    def _silence(self, wish: commands.Silence, person: Person, message_id: str) -> str:
        now_us = self._clock.now_us()
        command = AlertCommand(
            command_id=content_id("silence", person.channel, message_id),
            action=AlertAction.SILENCE,
            matchers={label: list(patterns) for label, patterns in wish.matchers.items()},
            until_us=now_us + wish.duration_us,
            author=clean(person.name, _NAME),
            channel=person.channel,
            comment=clean(wish.comment, _COMMENT),
            time_us=now_us,
        )
        self._publish(command)
        return (
            f"Silent for {duration_words(wish.duration_us)}, until {utc_words(command.until_us)}. "
            f"To end it: silence off {command.command_id}"
        )

    def _unsilence(self, wish: commands.Unsilence, person: Person, message_id: str) -> str:
        ended = [
            silence.silence_id
            for silence in self._silences()
            if (not wish.silence_id and silence.matchers == commands.MUTE)
            or (wish.silence_id and silence.silence_id == wish.silence_id)
        ]
        for silence_id in ended:
            self._publish(
                AlertCommand(
                    command_id=content_id("unsilence", person.channel, message_id, silence_id),
                    action=AlertAction.UNSILENCE,
                    target=silence_id,
                    author=clean(person.name, _NAME),
                    channel=person.channel,
                    time_us=self._clock.now_us(),
                )
            )
        return "Ended." if ended else "There is no such silence."

    def _alerts(self) -> str:
        alerts = {
            alert.alert_id: alert for alert in self._records(ALERTS, AlertRecord) if not alert.resolved_us
        }
        lines = []
        for incident in sorted(
            self._records(INCIDENTS, IncidentRecord), key=lambda i: (-i.severity.rank, -i.opened_us)
        ):
            firing = [alerts[key] for key in incident.alerts if key in alerts]
            if firing:
                lines.append(_incident_line(incident, firing))
        if not lines:
            return "Nothing fires."
        more = [f"and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
        return "\n".join([f"{len(lines)} open:", *lines[:_LISTED], *more])

    def _silence_lines(self) -> list[str]:
        silences = self._silences()
        more = [f"and {len(silences) - _LISTED} more"] if len(silences) > _LISTED else []
        return [*map(_silence_line, silences[:_LISTED]), *more] or ["No silences."]

    def _silences(self) -> list[SilenceRecord]:
        now_us = self._clock.now_us()
        known = (silence for silence in self._records(SILENCES, SilenceRecord) if silence.until_us > now_us)
        return sorted(known, key=lambda silence: (silence.until_us, silence.silence_id))

    def _records(self, section: str, record_type: type[R]) -> list[R]:
        """Return what the life cycle remembers, as of its latest decision."""
        query = select(LifecycleRow.payload).where(LifecycleRow.name.startswith(f"{section}/"))
        with self._database.session(read_only=True) as session:
            return [decode(payload, record_type) for payload in session.scalars(query)]


def _incident_line(incident: IncidentRecord, firing: Sequence[AlertRecord]) -> str:
    severity = max((alert.severity for alert in firing), key=lambda s: s.rank)
    kinds = ", ".join(sorted({alert.anomaly.kind.replace("_", " ") for alert in firing}))
    group = clean(" ".join(incident.group), _NAME)
    held = ""
    if incident.snoozed_until_us:
        held = f", snoozed by {incident.author} until {utc_words(incident.snoozed_until_us)}"
    elif incident.acknowledged is not None:
        held = f", acknowledged by {incident.author}"
    since = utc_words(min(alert.taken_us for alert in firing))
    return f"{severity.upper()} {group}: {clean(kinds, 4 * _NAME)}, since {since}{held}"


def _silence_line(silence: SilenceRecord) -> str:
    if silence.matchers == commands.MUTE:
        about = "everything"
    else:
        about = " ".join(f"{label}={','.join(patterns)}" for label, patterns in silence.matchers.items())
    comment = f": {silence.comment}" if silence.comment else ""
    until = utc_words(silence.until_us)
    about = clean(about, 4 * _NAME)
    return f"Silent: {about} until {until}, by {silence.author}{comment} ({silence.silence_id})"
