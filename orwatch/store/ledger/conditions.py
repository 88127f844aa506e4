"""Conditions of plain SQL, the numbers in them: to make a statement anew takes longer than to run it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from orwatch.domain.days import days_between
from orwatch.store.schema import to_day_number


def among(column: str, numbers: Iterable[int]) -> str:
    """That a column is one of these numbers; of none it never is."""
    return f"{column} IN ({', '.join(str(int(number)) for number in numbers) or 'NULL'})"


def among_days(column: str, since: date, until: date) -> str:
    """Each day by its number: with a key's that is a place in the order of a table."""
    return among(column, map(to_day_number, days_between(since, until)))


def between(column: str, since: date, until: date) -> str:
    """That a day or month lies between two."""
    return f"{column} BETWEEN {to_day_number(since)} AND {to_day_number(until)}"
