"""What was used lately, as far as alerts are judged by it: few statements, each from the smallest totals.

Amounts are nano-dollars.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection

from orwatch.domain.days import month_start
from orwatch.domain.money import from_nano
from orwatch.store.ledger.conditions import among, among_days, between
from orwatch.store.schema import UNKNOWN_NAME_ID, from_day_number, to_day_number

_OWN = "COALESCE(k.replaced_by, k.id)"
_OF_KEYS = "usage_by_key u JOIN api_keys k ON k.id = u.api_key_id"


def known_days(connection: Connection, since: date, until: date) -> list[date]:
    """The days that were read of any key."""
    # Each looked up by itself: there are a thousand rows of each day.
    numbers = range(to_day_number(since), to_day_number(until) + 1)
    each = " UNION ALL ".join(
        f"SELECT {number} WHERE EXISTS (SELECT 1 FROM usage_days WHERE date = {number})" for number in numbers
    )
    return [from_day_number(number) for (number,) in connection.exec_driver_sql(each)]


def daily_costs(connection: Connection, since: date, until: date) -> dict[date, Decimal]:
    """What all keys cost together on each day with use, in dollars."""
    return {
        from_day_number(day): from_nano(int(cost))
        for day, cost in connection.exec_driver_sql(
            "SELECT date, SUM(cost_nano) FROM usage_by_model "
            f"WHERE {between('date', since, until)} GROUP BY date"
        )
    }


def daily_costs_of_account(
    connection: Connection, owner_id: int, since: date, until: date
) -> dict[date, Decimal]:
    """What an account cost on each day with use, in dollars."""
    return {
        from_day_number(day): from_nano(int(cost))
        for day, cost in connection.exec_driver_sql(
            f"SELECT u.date, SUM(u.cost_nano) FROM {_OF_KEYS} WHERE {among_days('u.date', since, until)} "
            f"AND (k.id = {int(owner_id)} OR k.account_key_id = {int(owner_id)}) GROUP BY u.date"
        )
    }


def dear_rows(connection: Connection, since: date, until: date, above_nano: int) -> set[int]:
    """The rows of ``api_keys`` that cost more than that on one of these days."""
    query = (
        f"SELECT DISTINCT api_key_id FROM usage_by_key WHERE {among_days('date', since, until)} "
        f"AND cost_nano > {int(above_nano)}"
    )
    return {row_id for (row_id,) in connection.exec_driver_sql(query).all()}


def daily_costs_by_key(
    connection: Connection, key_ids: Collection[int], since: date, until: date
) -> dict[int, dict[date, Decimal]]:
    """What each of these keys, with all its secrets, cost on each day with use, in dollars."""
    return _by_day(
        connection,
        f"SELECT {_OWN}, u.date, SUM(u.cost_nano) FROM {_OF_KEYS} WHERE {among_days('u.date', since, until)} "
        f"AND {among(_OWN, key_ids)} GROUP BY {_OWN}, u.date",
    )


def dear_models(connection: Connection, since: date, until: date, above_nano: int) -> set[int]:
    """The models that cost more than that on one of these days."""
    query = (
        f"SELECT DISTINCT model_id FROM usage_by_model WHERE {between('date', since, until)} "
        f"AND model_id <> {UNKNOWN_NAME_ID} "
        f"GROUP BY date, model_id HAVING SUM(cost_nano) > {int(above_nano)}"
    )
    return {model_id for (model_id,) in connection.exec_driver_sql(query).all()}


def daily_costs_by_model(
    connection: Connection, model_ids: Collection[int], since: date, until: date
) -> dict[int, dict[date, Decimal]]:
    """What each of these models cost on each day with use, in dollars."""
    return _by_day(
        connection,
        f"SELECT model_id, date, SUM(cost_nano) FROM usage_by_model WHERE {between('date', since, until)} "
        f"AND {among('model_id', model_ids)} GROUP BY model_id, date",
    )


def _by_day(connection: Connection, query: str) -> dict[int, dict[date, Decimal]]:
    found: dict[int, dict[date, Decimal]] = {}
    for number, day, cost in connection.exec_driver_sql(query):
        found.setdefault(number, {})[from_day_number(day)] = from_nano(int(cost))
    return found


def used_rows(connection: Connection, since: date, until: date, not_on: date) -> dict[int, date]:
    """The rows of ``api_keys`` that were used on these days and not on that one, with the first day."""
    query = (
        f"SELECT api_key_id, MIN(date) FROM usage_by_key WHERE {among_days('date', since, until)} "
        f"AND api_key_id NOT IN (SELECT api_key_id FROM usage_by_key WHERE date = {to_day_number(not_on)}) "
        "GROUP BY api_key_id"
    )
    return {row_id: from_day_number(day) for row_id, day in connection.exec_driver_sql(query).all()}


def were_used(connection: Connection, row_ids: Collection[int], since: date, until: date) -> set[int]:
    """Those of these rows of ``api_keys`` that were used on these days."""
    query = (
        f"SELECT DISTINCT api_key_id FROM usage_by_key WHERE {among_days('date', since, until)} "
        f"AND {among('api_key_id', row_ids)}"
    )
    return {row_id for (row_id,) in connection.exec_driver_sql(query).all()}


def last_use_before(connection: Connection, key_id: int, day: date) -> date | None:
    """The last day before that one on which a key, with all its secrets, was used."""
    query = (
        f"SELECT MAX(u.date) FROM {_OF_KEYS} WHERE {_OWN} = {int(key_id)} AND u.date < {to_day_number(day)}"
    )
    number = connection.exec_driver_sql(query).scalar()
    return None if number is None else from_day_number(number)


def read_from(connection: Connection, key_id: int) -> date | None:
    """The first day that was read of a key; None: no day of it is recorded."""
    query = f"SELECT MIN(date) FROM usage_days WHERE api_key_id = {int(key_id)}"
    number = connection.exec_driver_sql(query).scalar()
    return None if number is None else from_day_number(number)


def month_costs(connection: Connection, day: date) -> dict[int, int]:
    """What each row of ``api_keys`` has cost in the month of that day."""
    query = (
        "SELECT api_key_id, SUM(cost_nano) FROM usage_months "
        f"WHERE month = {to_day_number(month_start(day))} GROUP BY api_key_id"
    )
    return {key_id: int(cost) for key_id, cost in connection.exec_driver_sql(query).all()}
