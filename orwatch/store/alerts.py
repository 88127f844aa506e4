"""Reads and writes of ``alerts``, and since when there are any."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, RowMapping, Select, Text, cast, or_, select

from orwatch.domain.alerts.alert import Alert, Figures, Finding, Rule
from orwatch.redaction import redact
from orwatch.store.schema import alerts, ledger_state
from orwatch.text import printable, without_secrets

# What a text may take: names in it come from outside.
_MAX_LETTERS = 1000
_MAX_LETTERS_OF_A_NAME = 200


def watched_since(connection: Connection) -> datetime | None:
    """When alerts were first judged; None: never."""
    moment: datetime | None = connection.execute(select(ledger_state.c.watched_since)).scalar()
    return moment


def begin_to_watch(connection: Connection, now: datetime) -> None:
    """Store that alerts are judged from now on, where they were not yet."""
    is_first = ledger_state.c.watched_since.is_(None)
    connection.execute(ledger_state.update().where(is_first).values(watched_since=now))


def insert_alerts(connection: Connection, findings: Iterable[Finding], now: datetime) -> list[Alert]:
    """Store findings that are met, which the caller, in this transaction, has seen not to be stored yet."""
    ids = []
    for finding in findings:
        values = {
            "rule": finding.rule,
            "subject": finding.subject,
            "time_window": finding.window,
            "threshold": finding.threshold,
            "name": _presentable(finding.name, _MAX_LETTERS_OF_A_NAME),
            "summary": _presentable(finding.summary),
            "figures": redact(json.dumps(dict(finding.figures or {}), default=str)),
            "raised_at": now,
        }
        key = connection.execute(alerts.insert().values(values)).inserted_primary_key
        ids += [] if key is None else [int(key[0])]
    return list_alerts(connection, ids=ids)


def recover(connection: Connection, alert_id: int, recovery: str, now: datetime) -> None:
    """Store that an alert does not hold any more, and how things stand; that is to be sent as well."""
    values = {"recovered_at": now, "recovery": _presentable(recovery), "ended_at": now}
    connection.execute(alerts.update().where(alerts.c.id == alert_id).values(**values))


def end(connection: Connection, alert_ids: Collection[int], now: datetime) -> None:
    """Store that alerts are over; nothing is said of it."""
    connection.execute(alerts.update().where(alerts.c.id.in_(alert_ids)).values(ended_at=now))


def end_budget(connection: Connection, budget_id: int, now: datetime) -> None:
    """Store that the alerts of a budget that is removed are over; nothing is said of it.

    They get a subject of their own, for the database may give the budget's id to the next one.
    """
    of_budget = alerts.c.rule.in_([Rule.BUDGET, Rule.FORECAST]) & (alerts.c.subject == f"budget:{budget_id}")
    connection.execute(alerts.update().where(of_budget & alerts.c.ended_at.is_(None)).values(ended_at=now))
    subject = alerts.c.subject.concat(" (removed) #").concat(cast(alerts.c.id, Text))
    connection.execute(alerts.update().where(of_budget).values(subject=subject))


def reopen(connection: Connection, alert_ids: Collection[int]) -> None:
    """Store that alerts which were over hold again; nothing is said of it."""
    connection.execute(alerts.update().where(alerts.c.id.in_(alert_ids)).values(ended_at=None))


def acknowledge(connection: Connection, alert_ids: Collection[int], now: datetime) -> None:
    """Store that a person knows of alerts; the first time counts."""
    is_news = alerts.c.id.in_(alert_ids) & alerts.c.acknowledged_at.is_(None)
    connection.execute(alerts.update().where(is_news).values(acknowledged_at=now))


def list_alerts(
    connection: Connection,
    *,
    ids: Collection[int] | None = None,
    rule: Rule | None = None,
    only_open: bool = False,
) -> list[Alert]:
    """The alerts, by id: all, or those of these ids, of a rule, that still hold."""
    query = select(alerts)
    if ids is not None:
        query = query.where(alerts.c.id.in_(ids))
    if rule is not None:
        query = query.where(alerts.c.rule == rule)
    if only_open:
        query = query.where(alerts.c.ended_at.is_(None))
    return _listed(connection, query)


def open_or_of_windows(connection: Connection, windows: Collection[str]) -> list[Alert]:
    """The alerts that still hold, and all of these windows, by id."""
    wanted = or_(alerts.c.ended_at.is_(None), alerts.c.time_window.in_(windows))
    return _listed(connection, select(alerts).where(wanted))


def _listed(connection: Connection, query: Select[tuple[object, ...]]) -> list[Alert]:
    return [_to_alert(row) for row in connection.execute(query.order_by(alerts.c.id)).mappings()]


def _presentable(text: str, most: int = _MAX_LETTERS) -> str:
    """On one line, without a secret, and no longer than that."""
    text = printable(without_secrets(redact(text)))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _to_alert(row: RowMapping) -> Alert:
    same = {name: row[name] for name in _SAME_NAMES}
    return Alert(**same, rule=Rule(row["rule"]), window=row["time_window"], figures=_figures(row["figures"]))


def _figures(text: str) -> Figures:
    """Money stands there as text, for it is exact."""
    return {
        name: Decimal(value) if "_usd" in name and value is not None else value
        for name, value in json.loads(text).items()
    }


_SAME_NAMES = {column.name for column in alerts.columns} - {"rule", "time_window", "figures"}
