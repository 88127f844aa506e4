"""Send what is to be sent of the alerts: after the job's work, within a minute, never a reason to fail."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from orwatch.clock import Clock
from orwatch.domain.alerts.alert import TRY_LIMIT, Alert
from orwatch.errors import OrwatchError
from orwatch.jobs.alert.destinations import CALL_SECONDS, Destination
from orwatch.jobs.alert.outgoing import AlertJson, Outgoing, outgoing
from orwatch.store import deliveries
from orwatch.store.engine.database import Store

log = logging.getLogger(__name__)

# Between what the destinations said, each behind its label: by that the next run knows which are left.
_BETWEEN, _BEHIND_LABEL = "; ", ": "


@dataclass(frozen=True, slots=True)
class Limits:
    """How many seconds one call may take, and after how many none is begun."""

    call_seconds: float = CALL_SECONDS
    run_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of an alert, or of its recovery. ``error``: why it could not be sent; None: it was."""

    alert_id: int
    tries: int
    error: str | None

    @property
    def is_news(self) -> bool:
        """Whether it failed for the first time or the last: cron mails what is said, and not ten times."""
        return self.error is not None and self.tries in {1, TRY_LIMIT}

    def __str__(self) -> str:
        then = "not tried again" if self.tries == TRY_LIMIT else "tried again by the next run"
        failed = f"could not be sent, and is {then}: {self.error}"
        return f"alert {self.alert_id} {'was sent' if self.error is None else failed}"


@dataclass(frozen=True, slots=True)
class _Round:
    """One run's sending. ``silent``: the destinations that took too long, and are left alone in this run."""

    store: Store
    destinations: Sequence[Destination]
    as_json: AlertJson
    clock: Clock
    limits: Limits
    ends_at: float
    silent: set[str] = field(default_factory=set)

    @property
    def is_over(self) -> bool:
        return self.clock.monotonic() >= self.ends_at


def send_pending(
    store: Store,
    destinations: Sequence[Destination],
    as_json: AlertJson,
    clock: Clock,
    limits: Limits | None = None,
) -> tuple[Delivery, ...]:
    """Send every alert, and every recovery, that was not sent yet; what fails is for the next run.

    Without destinations nothing is sent and nothing is marked: another machine may have some.
    """
    if not destinations:
        return ()
    limits = limits or Limits()
    round_ = _Round(store, destinations, as_json, clock, limits, clock.monotonic() + limits.run_seconds)
    done: list[Delivery] = []
    try:
        for delivery in _send_all(round_):
            log.log(
                logging.WARNING if delivery.is_news else logging.INFO,
                "%s",
                delivery,
                extra={"is_said": delivery.is_news},
            )
            done.append(delivery)
    except OrwatchError as error:
        log.warning("alerts wait for the next run: %s", error)
    return tuple(done)


def _send_all(round_: _Round) -> Iterator[Delivery]:
    """Send what there is, each alert before its recovery."""
    with round_.store.read() as connection:
        pending = deliveries.list_pending(connection, round_.clock.now())
    for alert in pending:
        delivery = _send(round_, alert)
        if delivery is not None:
            yield delivery
        is_over = alert.recovered_at is not None and not alert.is_open
        if delivery and delivery.error is None and alert.sent_at is None and is_over:
            again = _send(round_, replace(alert, sent_at=round_.clock.now(), tries=0, send_error=None))
            if again is not None:
                yield again


def _send(round_: _Round, alert: Alert) -> Delivery | None:
    """Send an alert, or its recovery where it is sent already; None: not tried."""
    left = _left(round_.destinations, alert.send_error)
    if round_.is_over or all(destination.label in round_.silent for destination in left):
        return None
    with round_.store.write() as connection:
        if not deliveries.claim(connection, alert, round_.clock.now()):
            return None
    # It is stored as begun: killed from here on, it is sent once more rather than never.
    content = outgoing(alert, round_.as_json, is_recovery=alert.sent_at is not None)
    failures = [
        f"{destination.label}{_BEHIND_LABEL}{reason.replace(_BETWEEN, ', ')}"
        for destination in left
        if (reason := _deliver(round_, destination, content)) is not None
    ]
    error = _BETWEEN.join(failures) or None
    with round_.store.write() as connection:
        if error is None:
            deliveries.record_sent(connection, alert, round_.clock.now())
        else:
            deliveries.record_failure(connection, alert, error)
    return Delivery(alert.id, alert.tries + 1, error)


def _left(destinations: Sequence[Destination], send_error: str | None) -> Sequence[Destination]:
    """The destinations that have not got it: those that the last try names, else all."""
    failed = {part.partition(_BEHIND_LABEL)[0] for part in (send_error or "").split(_BETWEEN)}
    return [destination for destination in destinations if destination.label in failed] or destinations


def _deliver(round_: _Round, destination: Destination, content: Outgoing) -> str | None:
    """Why it failed, or None."""
    if destination.label in round_.silent or round_.is_over:
        return "left for the next run"
    failure = destination.deliver(content, round_.limits.call_seconds)
    if failure is None:
        return None
    if failure.is_late:
        round_.silent.add(destination.label)
    return failure.reason
