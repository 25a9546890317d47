from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, text

from alerter.notification import NotificationEvent
from alerter.outbox import TOPIC, Delivery, NotYet, Outbox
from alerter.rules.model import RouteRule, RulesFile
from alerter.rules.tree import Rules
from shared.clock import MICROSECONDS_PER_SECOND
from shared.codec import decode
from shared.errors import StoreError
from shared.events import Alert, AlertAction, AlertCommand, AlertState, Anomaly, EpisodePhase, Severity
from shared.store.database import Database
from shared.store.tables import DeliveryRow
from tests.unit.alerter.examples import anomaly, plain_rules

NOW_US = 1_700_000_000_000_000
LEASE_S = 30.0
CHAT, SLACK = "telegram:1", "slack:#alerts"


def outbox(database: Database, *channels: str, min_severity: Severity = Severity.MEDIUM) -> Outbox:
    return Outbox(database, rules=plain_rules(*(channels or (CHAT,)), min_severity=min_severity))


def rows(database: Database) -> list[DeliveryRow]:
    """Return what is for people."""
    query = (
        select(DeliveryRow)
        .where(DeliveryRow.channel != TOPIC)
        .order_by(DeliveryRow.created_us, DeliveryRow.channel)
    )
    with database.session(read_only=True) as session:
        return list(session.scalars(query))


def after(seconds: float) -> int:
    return NOW_US + round(seconds * MICROSECONDS_PER_SECOND)


def distinct(count: int) -> list[Anomaly]:
    """Return anomalies of which each has its own market, so that no cooldown holds."""
    return [anomaly(f"a{number}", symbol=f"M{number}-USDT") for number in range(count)]


def claimed(box: Outbox, *, now_us: int = NOW_US + 1_000, channel: str = CHAT) -> Delivery:
    delivery = box.claim(channel, now_us=now_us, lease_s=LEASE_S)
    assert isinstance(delivery, Delivery)
    return delivery


def events(database: Database) -> list[Alert]:
    """Return what is for the topic, published or not."""
    query = select(DeliveryRow.payload).where(DeliveryRow.channel == TOPIC).order_by(DeliveryRow.created_us)
    with database.session(read_only=True) as session:
        return [decode(payload, Alert) for payload in session.scalars(query)]


def test_each_channel_has_a_notification_of_its_own(database: Database) -> None:
    event = anomaly("a1")
    outbox(database, CHAT, SLACK).take([event], now_us=NOW_US)
    stored = rows(database)
    assert [(row.channel, row.state, row.attempts) for row in stored] == [
        (SLACK, "pending", 0),
        (CHAT, "pending", 0),
    ]
    assert {(r.anomaly_id, r.alert_id, r.symbol, r.kind, r.severity) for r in stored} == {
        ("a1", "a1", "BTC-USDT", "whale", "high")
    }
    assert claimed(outbox(database, CHAT, SLACK)).notification.anomaly == event


def test_what_nobody_is_told_is_an_event_with_the_reason(database: Database) -> None:
    box = outbox(database)
    box.take([anomaly(severity=Severity.LOW)], now_us=NOW_US)
    assert rows(database) == []
    (alert,) = events(database)
    assert (alert.channels, alert.detail) == ([], "severity low is below medium")
    assert box.claim(CHAT, now_us=after(1), lease_s=LEASE_S) is None


def test_a_batch_that_comes_again_adds_nothing(database: Database) -> None:
    batch = [*distinct(3), anomaly("low", severity=Severity.LOW), anomaly("a0b", symbol="M0-USDT")]
    assert len(outbox(database, CHAT, SLACK).take(batch, now_us=NOW_US)) == len(batch)
    stored = [(r.notification_id, r.channel, r.created_us) for r in rows(database)]
    # As after a crash before the commit, in another process with other settings and at another time.
    stricter = outbox(database, "telegram:2", min_severity=Severity.CRITICAL)
    assert stricter.take(batch, now_us=after(1)) == []
    assert [(r.notification_id, r.channel, r.created_us) for r in rows(database)] == stored


def test_an_event_waits_until_it_is_on_the_topic(database: Database) -> None:
    box = outbox(database)
    told = box.take(distinct(3), now_us=NOW_US)
    waiting = box.unpublished()
    assert [alert for _, alert in waiting] == told
    box.mark_published([identity for identity, _ in waiting[:2]], now_us=after(1))
    # Another process publishes what the first one has left.
    assert outbox(database).unpublished() == waiting[2:]


def test_two_alerters_decide_one_after_the_other_and_agree(database: Database) -> None:
    one, other = outbox(database), outbox(database)
    one.take([anomaly("a1")], now_us=NOW_US)
    other.take([anomaly("b1", symbol="ETH-USDT")], now_us=after(1))
    silence = AlertCommand(
        command_id="s1",
        action=AlertAction.SILENCE,
        matchers={"market": ["SOL-*"]},
        until_us=after(3_600),
        time_us=NOW_US,
        author="ann",
    )
    one.take([silence], now_us=after(2))
    (silenced,) = other.take([anomaly("c1", symbol="SOL-USDT")], now_us=after(3))
    assert silenced.state is AlertState.SILENCED
    (again,) = one.take([anomaly("b2", symbol="ETH-USDT")], now_us=after(4))
    assert again.detail == "cooldown 300 s: severity high was told 3 s ago"


def test_what_is_due_is_due_for_whoever_looks(database: Database) -> None:
    rules = Rules(RulesFile(route=RouteRule(repeat_interval="10m")), channels=[CHAT])
    one, other = Outbox(database, rules=rules), Outbox(database, rules=rules)
    one.take([anomaly("a1")], now_us=NOW_US)
    # The cooldown is forgotten when it is over.
    one.take([], now_us=after(400))
    assert not other.is_due(after(599))
    assert other.is_due(after(601))
    other.take([], now_us=after(601))
    assert not one.is_due(after(602))
    assert [row.sequence for row in rows(database)] == [1, 2]


def test_a_change_of_a_message_gives_way_to_a_later_one(database: Database) -> None:
    box = outbox(database)
    box.take([anomaly("a1")], now_us=NOW_US)
    for number in range(2, 5):
        update = anomaly(f"a{number}", episode_id="a1", phase=EpisodePhase.UPDATED)
        box.take([update], now_us=after(10 * number))
    assert [(row.rings, row.state) for row in rows(database)] == [
        (True, "pending"),
        (False, "suppressed"),
        (False, "suppressed"),
        (False, "pending"),
    ]


def test_what_follows_knows_the_first_message(database: Database) -> None:
    box = outbox(database)
    box.take([anomaly("a1")], now_us=NOW_US)
    box.mark_sent(claimed(box), message_ref="17", now_us=after(1))
    box.take([anomaly("a2", episode_id="a1", phase=EpisodePhase.CLOSED)], now_us=after(60))
    last = claimed(box, now_us=after(61))
    assert (last.thread_ref, last.notification.event) == ("17", NotificationEvent.RESOLVED)


def test_new_rules_count_from_the_next_decision_on_and_nothing_is_forgotten(database: Database) -> None:
    box = outbox(database)
    box.take([anomaly("a1")], now_us=NOW_US)
    box.use(plain_rules(CHAT, cooldown_s=0))
    assert box.is_due(after(1))
    box.take([], now_us=after(1))
    (told,) = box.take([anomaly("b1")], now_us=after(2))
    assert told.channels == [CHAT]
    (same,) = box.take([anomaly("a2", episode_id="a1", phase=EpisodePhase.UPDATED)], now_us=after(3))
    assert same.detail == "this alert was told at severity high"


def test_the_same_anomaly_twice_in_one_batch_is_one_notification(database: Database) -> None:
    event = anomaly("a1")
    assert len(outbox(database).take([event, event], now_us=NOW_US)) == 1
    assert len(rows(database)) == 1


def test_a_batch_of_which_one_part_cannot_be_stored_leaves_nothing(database: Database) -> None:
    with database.session() as session:
        session.execute(
            text(
                "CREATE TRIGGER refuse BEFORE INSERT ON deliveries WHEN NEW.anomaly_id = 'a2' "
                "BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        )
    box = outbox(database)
    with pytest.raises(StoreError):
        box.take(distinct(3), now_us=NOW_US)
    assert rows(database) == []
    with database.session() as session:
        session.execute(text("DROP TRIGGER refuse"))
    # Nothing in memory remembers the batch that failed.
    assert [alert.channels for alert in box.take(distinct(3), now_us=NOW_US)] == [[CHAT]] * 3


def test_cooldown_and_told_severity_survive_a_restart(database: Database) -> None:
    outbox(database).take([anomaly("a1", severity=Severity.MEDIUM)], now_us=NOW_US)
    after_restart = outbox(database)
    silenced, risen = after_restart.take(
        [
            anomaly("b1", severity=Severity.MEDIUM),
            anomaly("a2", episode_id="a1", phase=EpisodePhase.UPDATED, severity=Severity.HIGH),
        ],
        now_us=after(10),
    )
    assert silenced.detail == "cooldown 300 s: severity medium was told 10 s ago"
    assert risen.channels == [CHAT]
    told = outbox(database).take([anomaly("c1", severity=Severity.HIGH)], now_us=after(400))
    assert [CHAT] in [alert.channels for alert in told]


def test_an_alert_is_remembered_longer_than_its_cooldown(database: Database) -> None:
    outbox(database).take([anomaly("a1")], now_us=NOW_US)
    update = anomaly("a2", episode_id="a1", phase=EpisodePhase.UPDATED)
    (decision,) = outbox(database).take([update], now_us=after(10_000))
    assert decision.detail == "this alert was told at severity high"


def test_a_channel_gets_its_notifications_in_the_order_of_the_anomalies(database: Database) -> None:
    box, batch = outbox(database), distinct(12)
    # Two batches at one instant, and ids that sort otherwise.
    box.take(batch[:6], now_us=NOW_US)
    box.take(batch[6:], now_us=NOW_US)
    order = []
    for _ in batch:
        delivery = claimed(box)
        order.append(delivery.notification.anomaly)
        box.mark_sent(delivery, message_ref="", now_us=NOW_US)
    assert order == batch


def test_a_claim_counts_the_attempt_and_holds_off_everyone_until_the_lease_is_over(
    database: Database,
) -> None:
    box, other = outbox(database), outbox(database)
    box.take(distinct(2), now_us=NOW_US)
    assert claimed(box, now_us=after(1)).attempts == 1
    assert other.claim(CHAT, now_us=after(2), lease_s=LEASE_S) == NotYet(until_us=after(1 + LEASE_S))
    taken_over = claimed(other, now_us=after(1 + LEASE_S))
    assert (taken_over.notification.anomaly.anomaly_id, taken_over.attempts) == ("a0", 2)


def test_two_who_claim_at_once_do_not_get_the_same(database: Database) -> None:
    outbox(database).take(distinct(1), now_us=NOW_US)
    with ThreadPoolExecutor(4) as pool:
        claims = list(
            pool.map(
                lambda _: outbox(database).claim(CHAT, now_us=after(1), lease_s=LEASE_S),
                range(8),
            )
        )
    assert sum(isinstance(claim, Delivery) for claim in claims) == 1


def test_a_failed_attempt_waits_and_keeps_those_behind_it_waiting(database: Database) -> None:
    box = outbox(database)
    box.take(distinct(2), now_us=NOW_US)
    box.mark_failed(claimed(box, now_us=after(1)), reason="HTTP 502", next_attempt_us=after(61))
    assert box.claim(CHAT, now_us=after(60), lease_s=LEASE_S) == NotYet(until_us=after(61))
    assert rows(database)[0].reason == "HTTP 502"
    retried = claimed(box, now_us=after(61))
    assert (retried.notification.anomaly.anomaly_id, retried.attempts) == ("a0", 2)
    box.mark_sent(retried, message_ref="42", now_us=after(62))
    row = rows(database)[0]
    assert (row.state, row.reason, row.message_ref, row.sent_us) == ("sent", "", "42", after(62))


def test_a_late_failure_does_not_undo_what_another_process_has_sent(database: Database) -> None:
    slow, quick = outbox(database), outbox(database)
    slow.take(distinct(1), now_us=NOW_US)
    first = claimed(slow, now_us=after(1))
    second = claimed(quick, now_us=after(60))
    quick.mark_sent(second, message_ref="7", now_us=after(61))
    slow.mark_failed(first, reason="no answer", next_attempt_us=after(62))
    slow.mark_refused(first, reason="no")
    assert [(row.state, row.message_ref) for row in rows(database)] == [("sent", "7")]


def test_channels_are_apart(database: Database) -> None:
    box = outbox(database, CHAT, SLACK)
    box.take(distinct(2), now_us=NOW_US)
    box.mark_failed(claimed(box), reason="HTTP 502", next_attempt_us=after(600))
    assert claimed(box, channel=SLACK).notification.anomaly.anomaly_id == "a0"
    assert box.pending() == {CHAT: 2, SLACK: 2}


def test_what_waits_for_a_channel_that_is_gone_is_refused_by_name(database: Database) -> None:
    box = outbox(database, CHAT, SLACK)
    box.take(distinct(2), now_us=NOW_US)
    assert box.refuse_others([CHAT]) == 2
    assert {(r.channel, r.state, r.reason) for r in rows(database)} == {
        (CHAT, "pending", ""),
        (SLACK, "refused", "the channel is no longer configured"),
    }
    assert box.refuse_others([CHAT]) == 0


def test_a_name_with_a_null_character_can_be_stored_and_is_known_again(database: Database) -> None:
    event = anomaly("a\x001", symbol="B\x00-USDT")
    box = outbox(database)
    box.take([event], now_us=NOW_US)
    box.take([event], now_us=after(1))
    assert [row.symbol for row in rows(database)] == ["B\ufffd-USDT"]
    box.mark_sent(claimed(box, now_us=after(2)), message_ref="1", now_us=after(2))
    assert box.pending() == {}


def test_an_empty_batch_needs_no_store(database: Database) -> None:
    assert outbox(database).take([], now_us=NOW_US) == []


def test_what_nobody_noted_the_end_of_may_be_a_repetition(database: Database) -> None:
    box = outbox(database)
    box.take(distinct(1), now_us=NOW_US)
    first = claimed(box, now_us=after(1))
    assert not first.may_repeat
    box.mark_failed(first, reason="HTTP 502", next_attempt_us=after(2))
    second = claimed(box, now_us=after(3))
    assert not second.may_repeat, "the channel has said no"
    # The process died: the lease runs out.
    third = claimed(box, now_us=after(3 + LEASE_S))
    assert third.may_repeat
    box.mark_failed(third, reason="HTTP 502", next_attempt_us=after(60))
    assert claimed(box, now_us=after(61)).may_repeat, "what the first of them did is still not known"
    assert (second.notification, second.attempts) == (third.notification, 2)


def test_a_lost_answer_makes_the_next_attempt_a_possible_repetition(database: Database) -> None:
    box = outbox(database)
    box.take(distinct(1), now_us=NOW_US)
    first = claimed(box, now_us=after(1))
    box.mark_failed(first, reason="no answer", next_attempt_us=after(2), may_have_arrived=True)
    assert claimed(box, now_us=after(3)).may_repeat


def test_a_channels_pace_counts_from_the_last_that_it_took_from_anybody(database: Database) -> None:
    box = outbox(database)
    box.take(distinct(2), now_us=NOW_US)
    box.mark_sent(claimed(box, now_us=after(1)), message_ref="1", now_us=after(2))
    paced = {"lease_s": LEASE_S, "min_interval_s": 1.0}
    assert outbox(database).claim(CHAT, now_us=after(2), **paced) == NotYet(until_us=after(3))
    assert isinstance(outbox(database).claim(CHAT, now_us=after(3), **paced), Delivery)
