"""Why an alert is not told now: the reasons in words, and how long each of them lasts."""

from typing import NamedTuple

from alerter.lifecycle.book import AlertRecord, Book, GroupRecord, IncidentRecord, SilenceRecord
from alerter.rules.matching import Labels, Match, labels_of, match_of
from alerter.rules.times import duration_words, utc_words
from alerter.rules.tree import Route, Rules
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Severity


class Hold(NamedTuple):
    """Why somebody is not told.

    Attributes:
        reason: in words.
        until_us: when it ends by itself; None: only by something else that happens.
        is_silence: whether somebody or something wants it quiet; false while it is only not time yet.
        author: who wanted it; empty when nobody did.
    """

    reason: str
    until_us: int | None = None
    is_silence: bool = True
    author: str = ""


def labels(alert: AlertRecord) -> Labels:
    """Return an alert's labels."""
    return labels_of(alert.anomaly, alert.severity)


class Holds:
    """Finds reasons.

    Args:
        rules: what people want.
        book: what is known.
    """

    def __init__(self, rules: Rules, book: Book) -> None:
        self._rules = rules
        self._book = book
        self._matches: dict[str, Match] = {}

    @property
    def market_kinds(self) -> tuple[str, ...]:
        """Kinds of anomaly that are about the whole market."""
        flood = self._rules.file.flood
        return flood.kinds if flood is not None else ()

    def quiet(self, alert: AlertRecord, incident: IncidentRecord, now_us: int) -> Hold | None:
        """Return why nothing at all may ring because of this alert: silence, inhibition, mute, snooze."""
        found = labels(alert)
        silence = self._silence(found, now_us)
        if silence is not None:
            until = utc_words(silence.until_us)
            comment = f": {silence.comment}" if silence.comment else ""
            reason = f"silenced by {silence.author or 'somebody'} until {until}{comment}"
            return Hold(reason, silence.until_us, author=silence.author)
        if not alert.resolved_us and (source := self._inhibitor(alert, found)) is not None:
            return Hold(f"inhibited by {source.anomaly.kind} on {source.anomaly.symbol}")
        muted_until_us = self._rules.muted_until_us(self._rules.route(incident.route), now_us)
        if muted_until_us is not None:
            return Hold(f"muted until {utc_words(muted_until_us)}", muted_until_us)
        if incident.snoozed_until_us > now_us:
            until = utc_words(incident.snoozed_until_us)
            return Hold(
                f"snoozed by {incident.author or 'somebody'} until {until}", incident.snoozed_until_us
            )
        return None

    def news(self, alert: AlertRecord, incident: IncidentRecord, now_us: int) -> Hold | None:
        """Return why an alert that is news to an incident does not ring."""
        if (hold := self.quiet(alert, incident, now_us)) is not None:
            return hold
        if incident.acknowledged is not None and alert.severity.rank <= incident.acknowledged.rank:
            return Hold(f"acknowledged by {incident.author}")
        return None if incident.is_digest else self._cooldown(alert, incident, now_us)

    def interval(self, severity: Severity, incident: IncidentRecord, now_us: int) -> Hold | None:
        """Return whether the group was told too recently for something of this severity."""
        if incident.is_digest:
            return None
        route = self._rules.route(incident.route)
        if not incident.rings and now_us < (until_us := incident.opened_us + route.group_wait_us):
            words = f"waiting {duration_words(route.group_wait_us)} for more of the group"
            return Hold(words, until_us, is_silence=False)
        group = self._group(incident)
        until_us = group.rung_us + route.group_interval_us
        if group.rung_us and now_us < until_us and severity.rank <= group.severity.rank:
            words = f"the group was told less than {duration_words(route.group_interval_us)} ago"
            return Hold(words, until_us, is_silence=False)
        return None

    def _group(self, incident: IncidentRecord) -> GroupRecord:
        return self._book.groups.get(incident.open_key) or GroupRecord()

    def _cooldown(self, alert: AlertRecord, incident: IncidentRecord, now_us: int) -> Hold | None:
        route: Route = self._rules.route(incident.route)
        told = self._group(incident).told.get(alert.fingerprint, {})
        blocking = [(told[s], s) for s in Severity if s in told and s.rank >= alert.severity.rank]
        latest = max(blocking, default=None)
        if latest is None or now_us - latest[0] >= route.cooldown_us:
            return None
        told_us, severity = latest
        ago_s = max(now_us - told_us, 0) // MICROSECONDS_PER_SECOND
        cooldown_s = route.cooldown_us / MICROSECONDS_PER_SECOND
        reason = f"cooldown {cooldown_s:g} s: severity {severity} was told {ago_s} s ago"
        return Hold(reason, told_us + route.cooldown_us, is_silence=False)

    def _silence(self, found: Labels, now_us: int) -> SilenceRecord | None:
        matching = (
            silence
            for silence in self._book.silences.values()
            if silence.start_us <= now_us < silence.until_us and self._match(silence).matches(found)
        )
        # The one that lasts longest, so that it is looked at again once and not for each of several.
        return max(matching, key=lambda s: (s.until_us, s.silence_id), default=None)

    def _match(self, silence: SilenceRecord) -> Match:
        # A silence never changes, and reading its patterns costs more than using them.
        if silence.silence_id not in self._matches:
            self._matches[silence.silence_id] = match_of(silence.matchers)
        return self._matches[silence.silence_id]

    def _inhibitor(self, alert: AlertRecord, found: Labels) -> AlertRecord | None:
        for rule in self._rules.file.inhibit:
            if not rule.target.matches(found):
                continue
            # With the market among what must be equal, which is usual, there are few to look at.
            for other in self._book.firing(found.market if "market" in rule.equal else None):
                if other.alert_id != alert.alert_id and rule.applies(labels(other), found):
                    return other
        return None
