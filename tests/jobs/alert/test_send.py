"""Sending what is pending: once, in its order, to those that have not got it, and never for long."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orwatch.domain.alerts.alert import TRY_LIMIT, Alert
from orwatch.errors import StoreUnavailableError
from orwatch.jobs.alert.destinations import Destination
from orwatch.jobs.alert.outgoing import Failure, Outgoing
from orwatch.jobs.alert.send import Limits, send_pending
from orwatch.redaction import keep_secret
from orwatch.store import deliveries
from orwatch.store.alerts import acknowledge
from orwatch.store.engine.database import Store
from tests.store.support import execute
from tests.store.test_deliveries import pending, raise_alert, recover, stored, undelivered
from tests.support import NOW, FakeClock

REFUSED = Failure("ended with 1; and said so: no")
LATE = Failure("no answer in 10 s", is_late=True)


@dataclass
class Place:
    """A destination that remembers what it got; it fails while it is told to, and takes its time."""

    label: str
    failure: Failure | None = None
    got: list[Outgoing] = field(default_factory=list)
    clock: FakeClock | None = None

    @property
    def titles(self) -> list[str]:
        return [outgoing.message.title for outgoing in self.got]

    @property
    def destination(self) -> Destination:
        return Destination(self.label, self._deliver, lambda: None)

    def _deliver(self, outgoing: Outgoing, seconds: float) -> Failure | None:
        self.got.append(outgoing)
        if self.clock:
            self.clock.advance(seconds=seconds)
        return self.failure


class Sent(NamedTuple):
    """The ids of what was sent, and of what could not be."""

    sent: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()


def as_json(alert: Alert) -> str:
    return json.dumps({"id": alert.id, "summary": alert.summary})


def send(store: Store, *places: Place, clock: FakeClock | None = None, **limits: Any) -> Sent:
    destinations = [place.destination for place in places]
    done = send_pending(store, destinations, as_json, clock or FakeClock(), Limits(**limits))
    return Sent(
        tuple(each.alert_id for each in done if each.error is None),
        tuple(each.alert_id for each in done if each.error is not None),
    )


def test_each_alert_and_each_recovery_is_sent_once_to_every_destination(store: Store) -> None:
    first, second = raise_alert(store, "2026-10"), raise_alert(store)
    places = Place("mailto 1"), Place("command")
    assert send(store, *places) == Sent((first.id, second.id))
    assert send(store, *places) == Sent()
    recover(store, second)
    assert send(store, *places) == Sent((second.id,))
    assert send(store, *places) == Sent()
    for place in places:
        assert place.titles == ["orwatch: 80 % are spent."] * 2 + ["orwatch: over: 50 % are spent."]
        assert [out.message.is_recovery for out in place.got] == [False, False, True]
        assert json.loads(place.got[1].json) == {"id": second.id, "summary": "80 % are spent."}


def test_what_was_over_before_it_could_be_sent_is_both_sent_in_their_order(store: Store) -> None:
    alert, place = raise_alert(store), Place("command")
    recover(store, alert)
    assert send(store, place) == Sent((alert.id, alert.id))
    assert place.titles == ["orwatch: 80 % are spent.", "orwatch: over: 50 % are spent."]
    assert pending(store) == []


def test_what_holds_again_before_it_could_be_sent_is_not_said_to_be_over(store: Store) -> None:
    unsent, sent, place = raise_alert(store, "2026-10"), raise_alert(store), Place("command")
    execute(store, f"UPDATE alerts SET sent_at = raised_at WHERE id = {sent.id}")
    for alert in (unsent, sent):
        recover(store, alert)
    execute(store, "UPDATE alerts SET ended_at = NULL")
    assert send(store, place) == Sent((unsent.id,))
    assert place.titles == ["orwatch: 80 % are spent."]
    assert pending(store) == []


def test_what_failed_is_tried_again_there_and_nowhere_else(store: Store) -> None:
    alert = raise_alert(store)
    good, bad, worse = Place("ntfy 1"), Place("mailto 2", REFUSED), Place("mailto 22", REFUSED)
    assert send(store, good, bad, worse) == Sent(failed=(alert.id,))
    error = "mailto 2: ended with 1, and said so: no; mailto 22: ended with 1, and said so: no"
    assert stored(store, alert).send_error == error
    worse.failure = None
    assert send(store, good, bad, worse) == Sent(failed=(alert.id,))
    bad.failure = None
    assert send(store, good, bad, worse) == Sent((alert.id,))
    assert [len(place.got) for place in (good, bad, worse)] == [1, 3, 2]
    assert (stored(store, alert).sent_at, stored(store, alert).send_error) == (NOW, None)


RUNS = st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=TRY_LIMIT + 2)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # each example has its own alert
@given(accepted=RUNS)
def test_whoever_takes_an_alert_gets_it_no_more_and_whoever_does_not_ten_times(
    store: Store, accepted: list[list[bool]]
) -> None:
    alert = raise_alert(store, uuid4().hex)
    places = [Place("json 1"), Place("json 11"), Place("command")]
    calls, left, tries = [0, 0, 0], {0, 1, 2}, 0
    for run in accepted:
        for place, is_accepted in zip(places, run, strict=True):
            place.failure = None if is_accepted else REFUSED
        send(store, *places)
        if left and tries < TRY_LIMIT:
            tries += 1
            for number in left:
                calls[number] += 1
            left = {number for number in left if not run[number]}
    assert [len(place.got) for place in places] == calls
    assert (stored(store, alert).sent_at is not None) == (not left)
    assert undelivered(store) == ([alert.id] if left and tries == TRY_LIMIT else [])
    store.run_write(lambda connection: acknowledge(connection, [alert.id], NOW))


def test_where_the_destination_that_failed_is_gone_the_others_get_it(store: Store) -> None:
    raise_alert(store)
    other = Place("slack 1")
    send(store, Place("mailto 1", REFUSED))
    send(store, other)
    assert len(other.got) == 1


def test_the_log_warns_of_the_first_and_the_last_of_ten_tries(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    alert, place = raise_alert(store), Place("mailto 1", REFUSED)
    for _ in range(TRY_LIMIT + 2):
        send(store, place)
    assert (len(place.got), undelivered(store)) == (TRY_LIMIT, [alert.id])
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", *["INFO"] * 8, "WARNING"]
    first, last = caplog.messages[0], caplog.messages[-1]
    said = "mailto 1: ended with 1, and said so: no"
    assert first == f"alert {alert.id} could not be sent, and is tried again by the next run: {said}"
    assert last == f"alert {alert.id} could not be sent, and is not tried again: {said}"


def test_a_destination_that_keeps_silent_is_left_alone_for_the_rest_of_the_run(store: Store) -> None:
    first, second = raise_alert(store, "2026-10"), raise_alert(store)
    silent, good = Place("mailto 1", LATE), Place("command")
    assert send(store, silent, good) == Sent(failed=(first.id, second.id))
    assert (len(silent.got), len(good.got)) == (1, 2)
    assert stored(store, second).send_error == "mailto 1: left for the next run"
    # Now only the silent one is left of both: that one try shows it.
    assert send(store, silent, good) == Sent(failed=(first.id,))
    assert [stored(store, alert).tries for alert in (first, second)] == [2, 1]


def test_the_whole_of_a_run_is_bounded_and_what_is_left_is_for_the_next_one(store: Store) -> None:
    alerts = [raise_alert(store, f"window {number}") for number in range(4)]
    clock = FakeClock()
    place = Place("command", clock=clock)
    assert send(store, place, clock=clock, call_seconds=10, run_seconds=25) == Sent(
        tuple(alert.id for alert in alerts[:3])
    )
    assert [stored(store, alert).tries for alert in alerts] == [0] * 4
    assert send(store, place, clock=clock) == Sent((alerts[3].id,))


def test_without_a_destination_nothing_is_sent_and_nothing_marked_so_that_another_machine_can(
    store: Store,
) -> None:
    alert, place = raise_alert(store), Place("command")
    assert send(store) == Sent()
    assert stored(store, alert) == alert
    assert send(store, place) == Sent((alert.id,))


def test_a_process_that_is_killed_while_it_sends_has_the_alert_sent_again_under_its_number(
    store: Store,
) -> None:
    alert, place, clock = raise_alert(store), Place("command"), FakeClock()

    def die(_outgoing: Outgoing, _seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        send_pending(store, [Destination("command", die, lambda: None)], as_json, clock)
    assert send(store, place, clock=clock) == Sent()
    clock.current += timedelta(seconds=deliveries.CLAIM_SECONDS)
    assert send(store, place, clock=clock) == Sent((alert.id,))
    assert f"orwatch alert show {alert.id}" in place.got[0].message.body


def test_a_database_that_is_away_is_no_reason_to_fail(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    raise_alert(store)

    def fail(*_arguments: object) -> None:
        raise StoreUnavailableError("the database is busy.")

    monkeypatch.setattr(deliveries, "claim", fail)
    assert send(store, Place("command")) == Sent()
    assert caplog.messages == ["alerts wait for the next run: the database is busy."]


def test_nothing_that_is_sent_has_a_secret_or_a_control_character_in_it(store: Store) -> None:
    keep_secret("s3cret-1")
    place = Place("command")
    raise_alert(store)
    store.run_write(
        lambda connection: connection.exec_driver_sql("UPDATE alerts SET summary = 'a\x1b[31m s3cret-1 b'")
    )
    send(store, place)
    (out,) = place.got
    assert out.message.title == "orwatch: a�[31m … b"
    assert "s3cret" not in out.message.body + out.json
    assert "\x1b" not in out.message.body + out.json
