"""Doctor's look at where alerts go, without sending any, and at those that never arrived."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from orwatch.config.settings import Settings
from orwatch.domain.alerts.alert import TRY_LIMIT
from orwatch.jobs.alert import destinations
from orwatch.jobs.doctor.result import Check, CheckArea
from orwatch.store import deliveries
from orwatch.store.engine.database import Connection
from orwatch.text import counted, first_of

_SUBJECT = "alerts"
_ALERTS_LISTED = 5


def check_destinations(settings: Settings, wrong: Collection[str]) -> Iterator[Check]:
    """What is wrong with each destination. ``wrong``: the settings that could not be read."""
    if any(name.startswith(("ORWATCH_NOTIFY_URLS", "ORWATCH_ON_ALERT")) for name in wrong):
        return
    area = CheckArea.SETTINGS
    found = destinations.find(settings.notify_urls, settings.on_alert)
    labels: dict[str, list[str]] = {}
    for each in found:
        if (problem := each.problem()) is not None:
            labels.setdefault(problem, []).append(each.label)
    for problem, having_it in labels.items():
        advice = "`orwatch help notify` says what to write; `orwatch alert test` tries it."
        yield area.finding(_SUBJECT, f"{', '.join(having_it)}: {problem}", advice)
    if not labels:
        listed = ", ".join(each.label for each in found)
        yield area.ok(_SUBJECT, f"go to {listed}; nothing was sent" if found else "no address is set here")


def check_undelivered(connection: Connection) -> Iterator[Check]:
    """The alerts that are given up, because they could not be sent."""
    undelivered = deliveries.list_undelivered(connection)
    if not undelivered:
        return
    ids = [str(alert.id) for alert in undelivered]
    yield CheckArea.JOBS.finding(
        _SUBJECT,
        f"{counted(len(ids), 'alert')} could not be sent in {TRY_LIMIT} tries: "
        f"{first_of(ids, _ALERTS_LISTED)} (the last: {undelivered[-1].send_error or 'orwatch was killed'})",
        f"`orwatch alert test` shows what is wrong; `orwatch alert ack {' '.join(ids[:_ALERTS_LISTED])}` "
        "when you have seen them.",
    )
