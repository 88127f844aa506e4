"""Which of the stored alerts are still to be sent, who sends them, and what became of that."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, or_, select

from orwatch.domain.alerts.alert import TRY_LIMIT, Alert
from orwatch.store.alerts import list_alerts
from orwatch.store.schema import alerts

# What nobody tried to send for so long was raised where there was no destination, and is no news any more.
NEWS_DAYS = 3
# For so long an alert is left to the process that has begun to send it, and may have been killed.
CLAIM_SECONDS = 120

_UNSENT = alerts.c.sent_at.is_(None)
# What holds again is not said to be over.
_UNSENT_RECOVERY = (
    alerts.c.sent_at.is_not(None)
    & alerts.c.recovered_at.is_not(None)
    & alerts.c.ended_at.is_not(None)
    & alerts.c.recovery_sent_at.is_(None)
)


def list_pending(connection: Connection, now: datetime) -> list[Alert]:
    """The alerts that are to be sent, or of which a recovery is, by id."""
    since = now - timedelta(days=NEWS_DAYS)
    is_unsent = (
        _UNSENT & alerts.c.acknowledged_at.is_(None) & or_(alerts.c.tries > 0, alerts.c.raised_at > since)
    )
    is_unsent_recovery = _UNSENT_RECOVERY & or_(alerts.c.tries > 0, alerts.c.recovered_at > since)
    wanted = or_(is_unsent, is_unsent_recovery) & (alerts.c.tries < TRY_LIMIT) & _is_free(now)
    return _listed(connection, wanted)


def list_undelivered(connection: Connection) -> list[Alert]:
    """The alerts that are not tried to be sent any more, nobody has acknowledged, by id."""
    is_given_up = or_(_UNSENT, _UNSENT_RECOVERY) & (alerts.c.tries >= TRY_LIMIT)
    return _listed(connection, is_given_up & alerts.c.acknowledged_at.is_(None))


def claim(connection: Connection, alert: Alert, now: datetime) -> bool:
    """Begin a try to send an alert, or its recovery; False: it is another process's to send."""
    # Each try adds one: whoever has read the same, and comes second, finds it changed.
    is_as_read = (alerts.c.id == alert.id) & (alerts.c.tries == alert.tries)
    column = alerts.c.sent_at if alert.sent_at is None else alerts.c.recovery_sent_at
    claimed = connection.execute(
        alerts.update()
        .where(is_as_read, column.is_(None))
        .values(tries=alert.tries + 1, tried_at=now, send_error=None)
    )
    return claimed.rowcount == 1


def record_sent(connection: Connection, alert: Alert, now: datetime) -> None:
    """Store that an alert, or its recovery, was sent."""
    column = "sent_at" if alert.sent_at is None else "recovery_sent_at"
    values = {column: now, "tries": 0, "tried_at": None, "send_error": None}
    connection.execute(alerts.update().where(alerts.c.id == alert.id).values(values))


def record_failure(connection: Connection, alert: Alert, error: str) -> None:
    """Store why it could not be sent."""
    connection.execute(alerts.update().where(alerts.c.id == alert.id).values(send_error=error))


def _is_free(now: datetime) -> ColumnElement[bool]:
    """Nobody is sending it: the last try has said how it ended, or was killed."""
    return or_(
        alerts.c.tried_at.is_(None),
        alerts.c.send_error.is_not(None),
        alerts.c.tried_at <= now - timedelta(seconds=CLAIM_SECONDS),
        alerts.c.tried_at > now + timedelta(days=1),  # by a machine whose clock was wrong
    )


def _listed(connection: Connection, wanted: ColumnElement[bool]) -> list[Alert]:
    ids = connection.execute(select(alerts.c.id).where(wanted)).scalars().all()
    return list_alerts(connection, ids=ids)
