"""Floods: when many markets ring at once, one digest takes them all, until it has been quiet for a while."""

from collections.abc import Sequence
from typing import Final, Protocol

from alerter.lifecycle.book import (
    FLOODS,
    INCIDENTS,
    AlertRecord,
    Book,
    FloodRecord,
    IncidentRecord,
    opened,
    restart,
)
from alerter.lifecycle.holds import Holds
from alerter.lifecycle.telling import Outcome, Teller
from alerter.rules.tree import Rules
from shared.clock import MICROSECONDS_PER_SECOND
from shared.events import Severity

IN_DIGEST: Final = "told in a digest"
# What stands for the group of a digest.
MANY: Final = ("many markets",)
_GOES_ON_US: Final = 3_600 * MICROSECONDS_PER_SECOND


class Keeper(Protocol):
    """Looks after incidents, digests among them."""

    def attend(self, incident: IncidentRecord, now_us: int, out: Outcome) -> None:
        """Do what is due for an incident."""
        ...

    def note_told(self, incident: IncidentRecord, news: Sequence[AlertRecord], now_us: int) -> None:
        """Remember that alerts were told."""
        ...

    def resolve(self, incident: IncidentRecord, now_us: int, out: Outcome) -> None:
        """End an incident."""
        ...


class Floods:
    """Counts what rings on each route, and puts it into a digest when it is too much.

    Args:
        rules: what people want.
        book: what is known.
        holds: why something is quiet.
        teller: builds what is told.
        keeper: looks after the digests.
    """

    def __init__(self, rules: Rules, book: Book, holds: Holds, teller: Teller, keeper: Keeper) -> None:
        self._rules = rules
        self._book = book
        self._holds = holds
        self._teller = teller
        self._keeper = keeper

    def takes(self, incident: IncidentRecord, news: list[AlertRecord], now_us: int, out: Outcome) -> bool:
        """Count what is about to ring; return whether it went into a digest instead."""
        params = self._rules.file.flood
        if params is None or not self._rules.route(incident.route).flood:
            return False
        is_market_wide = any(alert.anomaly.kind in params.kinds for alert in news)
        return self._flooded(incident, news, now_us, out, is_market_wide=is_market_wide)

    def spread(self, incident: IncidentRecord, alert: AlertRecord, now_us: int, out: Outcome) -> None:
        """Put an alert that came with the whole market into a digest, though it may have been told."""
        params, route = self._rules.file.flood, self._rules.route(incident.route)
        if params is None or not route.flood or incident.incident_id not in self._book.incidents:
            return
        if self._holds.quiet(alert, incident, now_us) is not None or incident.acknowledged is not None:
            return
        self._flooded(incident, [alert], now_us, out, is_market_wide=True)

    def end(self, key: str, now_us: int, out: Outcome) -> None:
        """Let what comes from now on ring by itself again."""
        flood = self._book.floods[key]
        digest = self._book.incidents.get(flood.digest)
        self._book.drop(FLOODS, key)
        if digest is not None:
            self._keeper.attend(digest, now_us, out)

    def holds_open(self, incident: IncidentRecord) -> bool:
        """Return whether an incident is the digest of a flood that is not over."""
        if not incident.is_digest:
            return False
        flood = self._book.floods.get(incident.route)
        return flood is not None and flood.digest == incident.incident_id

    def release(self, digest: IncidentRecord, now_us: int) -> None:
        """Let those speak for themselves again of whom a digest has told."""
        for other in list(self._book.incidents.values()):
            if other.digest == digest.incident_id:
                other.digest = ""
                restart(other, now_us if other.escalates_from_us else 0)
                other.due_us = now_us
                self._book.save(INCIDENTS, other.incident_id, other)

    def _flooded(
        self,
        incident: IncidentRecord,
        news: list[AlertRecord],
        now_us: int,
        out: Outcome,
        *,
        is_market_wide: bool,
    ) -> bool:
        params = self._rules.file.flood
        assert params is not None
        flood = self._book.floods.get(incident.route) or FloodRecord()
        flood.recent = {m: v for m, v in flood.recent.items() if now_us - v[1] <= params.within}
        for alert in news:
            flood.recent[alert.anomaly.symbol] = alert.alert_id, now_us
        flood.due_us = now_us + (params.quiet if flood.digest else params.within) + 1
        digest = self._book.incidents.get(flood.digest)
        if digest is None:
            if len(flood.recent) < params.markets and not is_market_wide:
                self._book.save(FLOODS, incident.route, flood)
                return False
            digest = self._begin_digest(incident, flood, news, now_us, out)
            flood.due_us = now_us + params.quiet
        self._book.save(FLOODS, incident.route, flood)
        self._fold(incident, digest, news, now_us, out)
        return True

    def _begin_digest(
        self,
        incident: IncidentRecord,
        flood: FloodRecord,
        news: list[AlertRecord],
        now_us: int,
        out: Outcome,
    ) -> IncidentRecord:
        # What an earlier flood has left open goes on, and calls people again; unless that was long ago.
        digest = self._book.open_incident(incident.route, MANY)
        if digest is not None and now_us - digest.rung_us > _GOES_ON_US:
            self._keeper.resolve(digest, now_us, out)
            digest = None
        if digest is None:
            digest = opened(incident.route, MANY, news[0], now_us, is_digest=True)
        digest.severity = Severity.LOW
        restart(digest, 0)
        flood.digest = digest.incident_id
        recent = [key for key, _ in flood.recent.values() if key in self._book.alerts]
        digest.alerts += [key for key in recent if key not in digest.alerts]
        self._book.save(INCIDENTS, digest.incident_id, digest)
        for other in list(self._book.incidents.values()):
            # Those that rang a moment ago: the digest speaks for them from now on.
            if other.route == incident.route and not other.is_digest and set(other.alerts) & {*digest.alerts}:
                other.digest = digest.incident_id
                self._book.save(INCIDENTS, other.incident_id, other)
        return digest

    def _fold(
        self,
        incident: IncidentRecord,
        digest: IncidentRecord,
        news: list[AlertRecord],
        now_us: int,
        out: Outcome,
    ) -> None:
        self._keeper.note_told(incident, news, now_us)
        incident.digest = digest.incident_id
        digest.alerts += [alert.alert_id for alert in news if alert.alert_id not in digest.alerts]
        digest.is_stale = True
        self._keeper.attend(digest, now_us, out)
        for alert in news:
            out.alerts.append(
                self._teller.change(alert, digest, now_us=now_us, channels=digest.channels, detail=IN_DIGEST)
            )
