"""Send what is to be sent of the alerts: after the job's work, within a minute, never a reason to fail."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from orwatch.clock import Clock
from orwatch.domain.alerts.alert import TRY_LIMIT, Alert
from orwatch.errors import OrwatchError
from orwatch.jobs.alert.destinations import AlertJson, Destination, Outgoing, outgoing
from orwatch.store import deliveries
from orwatch.store.engine.database import Store

log = logging.getLogger(__name__)

# Between what the destinations said, each behind its label: by that the next run knows which are left.
_BETWEEN, _BEHIND_LABEL = "; ", ": "


@dataclass(frozen=True, slots=True)
class Limits:
    """How many seconds one call may take, and after how many none is begun."""

    call_seconds: float = 10.0
    run_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Sent:
    """The ids of the alerts that were sent, or of which a recovery was, and of those that could not be."""

    sent: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()


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
) -> Sent:
    """Send every alert, and every recovery, that was not sent yet; what fails is for the next run.

    Without destinations nothing is sent and nothing is marked: another machine may have some.
    """
    if not destinations:
        return Sent()
    limits = limits or Limits()
    round_ = _Round(store, destinations, as_json, clock, limits, clock.monotonic() + limits.run_seconds)
    ends: dict[int, bool] = {}
    try:
        for alert, is_sent in _send_all(round_):
            ends[alert.id] = is_sent
    except OrwatchError as error:
        log.warning("alerts wait for the next run: %s", error)
    return Sent(
        tuple(number for number, is_sent in ends.items() if is_sent),
        tuple(number for number, is_sent in ends.items() if not is_sent),
    )


def _send_all(round_: _Round) -> Iterator[tuple[Alert, bool]]:
    """Each alert of which something was tried to be sent, and whether it was."""
    with round_.store.read() as connection:
        pending = deliveries.list_pending(connection, round_.clock.now())
    for alert in pending:
        is_sent = _send(round_, alert)
        if is_sent is not None:
            yield alert, is_sent
        if is_sent and alert.sent_at is None and alert.recovered_at is not None:
            sent = replace(alert, sent_at=round_.clock.now(), tries=0, send_error=None)
            if (is_sent := _send(round_, sent)) is not None:
                yield sent, is_sent


def _send(round_: _Round, alert: Alert) -> bool | None:
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
    with round_.store.write() as connection:
        if failures:
            deliveries.record_failure(connection, alert, _BETWEEN.join(failures))
        else:
            deliveries.record_sent(connection, alert, round_.clock.now())
    if failures:
        _tell(alert, _BETWEEN.join(failures))
    return not failures


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


def _tell(alert: Alert, error: str) -> None:
    """A warning at first and at last: cron mails each."""
    tries = alert.tries + 1
    level = logging.WARNING if tries in {1, TRY_LIMIT} else logging.INFO
    then = "not tried again" if tries == TRY_LIMIT else "tried again by the next run"
    log.log(level, "alert %d could not be sent, and is %s: %s", alert.id, then, error)
