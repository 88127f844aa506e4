"""What the rule ``key`` goes by, of the keys of which something may hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

from orwatch.domain.alerts.alert import Finding, Rule
from orwatch.domain.alerts.key import DORMANT, WOKEN_DAYS, KeyState, find_key_matters
from orwatch.domain.days import ONE_DAY
from orwatch.domain.keys import EXPIRY_WARNING, InactiveReason, KeyKind
from orwatch.domain.money import from_nano
from orwatch.jobs.alert.readings import Readings, moment
from orwatch.store.keys.light import LightKey
from orwatch.store.ledger import recent

# Of each account so many of those that spend the most are looked at.
_BIGGEST = 3


def find_key_alerts(readings: Readings) -> Iterator[Finding]:
    """Every matter of every key. Of what spent nothing, and of which nothing can hold, nothing is said."""
    costs, woken = _month_costs(readings), _woken(readings)
    still_open = readings.keys_open(Rule.KEY)
    wanted = {*_of_interest(readings)} | woken.keys() | still_open
    compared = _compared_accounts(readings, costs, still_open)
    states = [
        _state(readings, row, costs, woken.get(row.id))
        for row in readings.rows
        if row.id == row.key_id and (row.id in wanted or (row.account_id in compared and row.id in costs))
    ]
    return find_key_matters(states, readings.open(Rule.KEY), readings.now)


def _of_interest(readings: Readings) -> Iterator[int]:
    """Those in use that are refused, expire, or are new."""
    soon, since = (readings.now + EXPIRY_WARNING).timestamp(), readings.watched_since.timestamp()
    for row in readings.rows:
        if row.is_in_use and (
            row.inactive_reason == InactiveReason.INVALID
            or (row.expires_at is not None and row.expires_at <= soon)
            or (row.listed_created_at or 0) > since
        ):
            yield row.id


def _state(readings: Readings, row: LightKey, costs: Mapping[int, int], used_on: date | None) -> KeyState:
    owner = readings.owners.get(row.account_id or 0)
    since = [readings.watched_since, *([] if owner is None else [moment(owner.created_at)])]
    is_refused = row.inactive_reason == InactiveReason.INVALID
    return KeyState(
        row.id,
        row.name,
        "" if owner is None else str(owner.id),
        max(since),
        is_in_use=bool(row.is_in_use),
        refused_since=moment(row.inactive_since or row.created_at) if is_refused else None,
        expires_at=None if row.expires_at is None else moment(row.expires_at),
        has_secret=bool(row.has_secret),
        made_at=None if row.listed_created_at is None else moment(row.listed_created_at),
        used_on=used_on,
        used_before=None if used_on is None else recent.last_use_before(readings.connection, row.id, used_on),
        use_known_from=None if used_on is None else readings.use_known_from(row),
        month_usd=from_nano(costs.get(row.id, 0)),
        is_limited=_is_limited(row),
    )


def _woken(readings: Readings) -> Mapping[int, date]:
    """The keys that were used lately and, with none of their secrets, in the month before: since when.

    And of those with an open alert since when they were used.
    """
    connection, today = readings.connection, readings.now.date()
    since = today - (WOKEN_DAYS - 1) * ONE_DAY
    key_ids = {row.id: row.key_id for row in readings.rows}
    found: dict[int, date] = {}
    # Most are in daily use: the day before tells.
    for row_id, day in recent.used_rows(connection, since, today, since - ONE_DAY).items():
        found[key_ids[row_id]] = min(day, found.get(key_ids[row_id], day))
    rows = [row.id for row in readings.rows if row.key_id in found]
    if rows:
        for row_id in recent.were_used(connection, rows, since - DORMANT, since - ONE_DAY):
            if f"key:{key_ids[row_id]}:dormant" not in readings.open(Rule.KEY):
                found.pop(key_ids[row_id], None)
    return found


def _month_costs(readings: Readings) -> Mapping[int, int]:
    """What each key, with all its secrets, has cost this month, in nano-dollars."""
    found: dict[int, int] = {}
    key_ids = {row.id: row.key_id for row in readings.rows}
    for row_id, cost in recent.month_costs(readings.connection, readings.now.date()).items():
        found[key_ids[row_id]] = found.get(key_ids[row_id], 0) + cost
    return found


def _compared_accounts(readings: Readings, costs: Mapping[int, int], still_open: set[int]) -> set[int | None]:
    """The accounts of which a key that spends the most has no limit, or a key has an open alert."""
    by_account: dict[int | None, list[LightKey]] = {}
    for row in readings.rows:
        if row.id in costs:
            by_account.setdefault(row.account_id, []).append(row)
    found = {row.account_id for row in readings.rows if row.id in still_open}
    for account_id, rows in by_account.items():
        biggest = sorted(rows, key=lambda row: costs[row.id])[-_BIGGEST:]
        if not all(map(_is_limited, biggest)):
            found.add(account_id)
    return found


def _is_limited(row: LightKey) -> bool | None:
    """Whether it has a limit of its own, or a budget at OpenRouter; None: that was never read."""
    if row.kind == KeyKind.MANAGEMENT:
        return True  # it cannot spend
    if row.facts_read_at is None:
        return None
    return (
        row.limit_nano is not None
        or row.limit_remaining_nano is not None
        or "limit_usd" in (row.layers or "")
    )
