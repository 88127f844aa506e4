"""The alerts that were raised: listed, one of them, acknowledged."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from orwatch.domain.alerts.alert import Alert, Rule
from orwatch.errors import UsageError
from orwatch.store import alerts as stored_alerts
from orwatch.store.engine.database import Store


def list_alerts(store: Store, rule: Rule | None = None, *, only_open: bool) -> list[Alert]:
    """The alerts of a rule, or of all, the newest first."""
    with store.read() as connection:
        found = stored_alerts.list_alerts(connection, rule=rule, only_open=only_open)
    return found[::-1]


def find_alert(store: Store, alert_id: int) -> Alert:
    """One alert. Raises ``UsageError``."""
    with store.read() as connection:
        found = stored_alerts.list_alerts(connection, ids=[alert_id])
    _require(found, [alert_id])
    return found[0]


def acknowledge(store: Store, alert_ids: Sequence[int], now: datetime) -> tuple[list[Alert], int]:
    """Store that a person knows of alerts; all of them or, with ``UsageError``, none.

    Returns them, and how many of them were not acknowledged before.
    """
    with store.write() as connection:
        before = stored_alerts.list_alerts(connection, ids=alert_ids)
        _require(before, alert_ids)
        stored_alerts.acknowledge(connection, alert_ids, now)
        new = sum(alert.acknowledged_at is None for alert in before)
        return stored_alerts.list_alerts(connection, ids=alert_ids), new


def _require(found: Sequence[Alert], alert_ids: Sequence[int]) -> None:
    known = {alert.id for alert in found}
    for alert_id in alert_ids:
        if alert_id not in known:
            raise UsageError(f"there is no alert {alert_id}", "`orwatch alert list --all` shows them all.")
