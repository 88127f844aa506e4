"""Which alerts are still to be sent, and that of several processes one sends each."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from orwatch.domain.alerts.alert import TRY_LIMIT, Alert, Finding, Rule
from orwatch.store import alerts as stored_alerts
from orwatch.store import deliveries
from orwatch.store.engine.database import Store
from tests.support import NOW

WAITS = timedelta(seconds=deliveries.CLAIM_SECONDS)
NEWS = timedelta(days=deliveries.NEWS_DAYS)


def raise_alert(store: Store, window: str = "2026-11", now: datetime = NOW) -> Alert:
    """Store an alert as the judging does."""
    finding = Finding(Rule.BUDGET, "budget:1", "team", window, is_met=True, summary="80 % are spent.")
    with store.write() as connection:
        (alert,) = stored_alerts.insert_alerts(connection, [finding], now)
    return alert


def stored(store: Store, alert: Alert) -> Alert:
    """The alert as it is stored now."""
    with store.read() as connection:
        (found,) = stored_alerts.list_alerts(connection, ids=[alert.id])
    return found


def claim(store: Store, alert: Alert, now: datetime = NOW) -> bool:
    with store.write() as connection:
        return deliveries.claim(connection, alert, now)


def fail(store: Store, alert: Alert, error: str = "command: ended with 1") -> None:
    with store.write() as connection:
        deliveries.record_failure(connection, alert, error)


def send(store: Store, alert: Alert, now: datetime = NOW) -> None:
    assert claim(store, alert, now)
    with store.write() as connection:
        deliveries.record_sent(connection, alert, now)


def recover(store: Store, alert: Alert, now: datetime = NOW) -> None:
    with store.write() as connection:
        stored_alerts.recover(connection, alert.id, "50 % are spent.", now)


def pending(store: Store, now: datetime = NOW) -> list[int]:
    with store.read() as connection:
        return [alert.id for alert in deliveries.list_pending(connection, now)]


def undelivered(store: Store) -> list[int]:
    with store.read() as connection:
        return [alert.id for alert in deliveries.list_undelivered(connection)]


def test_of_two_processes_that_have_read_the_same_one_sends_it(store: Store) -> None:
    alert = raise_alert(store)
    assert [claim(store, alert), claim(store, alert)] == [True, False]
    assert pending(store) == []
    fail(store, alert)
    # Nor does one that has read it before the first has tried.
    assert not claim(store, alert)
    send(store, stored(store, alert))
    assert not claim(store, alert, NOW + WAITS)


def test_what_a_killed_process_has_begun_is_free_after_a_while_and_what_failed_at_once(store: Store) -> None:
    alert = raise_alert(store)
    claim(store, alert)
    assert pending(store, NOW + WAITS - timedelta(seconds=1)) == []
    assert pending(store, NOW + WAITS) == [alert.id]
    assert pending(store, NOW - timedelta(days=2)) == [alert.id], "the clock was wrong"
    assert claim(store, stored(store, alert), NOW + WAITS)
    fail(store, alert)
    assert pending(store, NOW + WAITS) == [alert.id]


def test_an_alert_is_pending_until_it_is_sent_and_again_when_it_recovers(store: Store) -> None:
    alert = raise_alert(store)
    assert pending(store) == [alert.id]
    send(store, alert)
    assert pending(store) == []
    recover(store, alert)
    assert pending(store) == [alert.id]
    send(store, stored(store, alert))
    assert pending(store) == []
    after = stored(store, alert)
    assert (after.sent_at, after.recovery_sent_at, after.tries, after.send_error) == (NOW, NOW, 0, None)


def test_what_recovers_while_it_is_being_sent_is_nobody_else_s_to_send(store: Store) -> None:
    alert = raise_alert(store)
    assert claim(store, alert)
    recover(store, alert)
    assert pending(store) == []
    with store.write() as connection:
        deliveries.record_sent(connection, alert, NOW)
    assert pending(store) == [alert.id]


@pytest.mark.parametrize("is_sent", [False, True], ids=["alert", "recovery"])
def test_ten_tries_are_made_and_then_it_is_undelivered_until_acknowledged(
    store: Store, is_sent: bool
) -> None:
    alert = raise_alert(store)
    if is_sent:
        send(store, alert)
        recover(store, alert)
    for number in range(TRY_LIMIT):
        # However long that takes.
        later = NOW + NEWS * number
        assert (pending(store, later), undelivered(store)) == ([alert.id], [])
        assert claim(store, stored(store, alert), later)
        fail(store, alert)
    assert (pending(store), undelivered(store)) == ([], [alert.id])
    with store.write() as connection:
        stored_alerts.acknowledge(connection, [alert.id], NOW)
    assert undelivered(store) == []


def test_what_was_raised_long_ago_without_a_destination_or_is_acknowledged_is_no_news(store: Store) -> None:
    old, new = raise_alert(store, "2026-10", NOW - NEWS), raise_alert(store)
    assert pending(store) == [new.id]
    recover(store, old)
    with store.write() as connection:
        stored_alerts.acknowledge(connection, [new.id], NOW)
    assert pending(store) == []
