"""Columns of an answer's rows, checked: of all rows one field at a time, which is much quicker than by rows.

What is valid is said once, of one value, by the functions that begin with ``read``. Plain numbers are valid
where the least and the greatest of them are; of texts each is read once, however often it comes. The columns
raise ``RowError`` where any row has a fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from types import NoneType
from typing import Any, TypeAlias

from orwatch.domain.money import ZERO, round_to_nano
from orwatch.openrouter.values import (
    LONGEST_DAY,
    MAX_NAME_LENGTH,
    MAX_USD,
    Json,
    is_storable,
    number_of,
    optional_count,
    shown,
)

_DAY = re.compile(
    r"(\d{4}-\d{2}-\d{2})"
    r"(?:[ Tt](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?(?:[Zz]|[+-]00(?::?00)?| UTC)?)?",
    re.ASCII,
)

Item: TypeAlias = dict[str, Json]  # a row as it came
Column: TypeAlias = list[Any]  # a value for each row


class RowError(Exception):
    """Why a row is rejected."""


def column_of(items: Sequence[Item], field: str) -> Column:
    """The values as they came; None where a row has none."""
    try:
        return [item[field] for item in items]
    except KeyError:
        return [item.get(field) for item in items]


def days_of(items: Sequence[Item], *fields: str) -> Column:
    """The days, each from the first of ``fields`` (``date``) that its row has."""
    first, *others = (*fields, "date")
    values = column_of(items, first)
    for field in others:
        if NoneType in _kinds(values):
            pairs = zip(values, column_of(items, field), strict=True)
            values = [other if value is None else value for value, other in pairs]
    return each(read_day, values)


def names_of(items: Sequence[Item], field: str) -> Column:
    """Names that can be stored; None where there is none."""
    return _where_given(partial(each, partial(read_name, field)), column_of(items, field))


def models_of(items: Sequence[Item]) -> Column:
    """The models' names; null is a model that is not known, and none at all a fault."""
    names = names_of(items, "model")
    if NoneType in _kinds(names) and any("model" not in item for item in items):
        read_name("model", None)
    return names


def counts_of(items: Sequence[Item], field: str) -> Column:
    """Plausible counts; None where there is none."""
    return _where_given(partial(_counts, partial(read_count, field)), column_of(items, field))


def costs_of(items: Sequence[Item], field: str) -> Column:
    """Plausible amounts in dollars."""
    return _costs(partial(read_cost, field), column_of(items, field))


def optional_costs_of(items: Sequence[Item], field: str) -> Column:
    """Plausible amounts in dollars; None where there is none."""
    return _where_given(partial(_costs, partial(read_cost, field)), column_of(items, field))


def _kinds(values: Column) -> set[type]:
    return {*map(type, values)}


def _where_given(read: Callable[[Column], Column], values: Column) -> Column:
    kinds = _kinds(values)
    if NoneType not in kinds:
        return read(values)
    if len(kinds) == 1:
        return values
    found = iter(read([value for value in values if value is not None]))
    return [None if value is None else next(found) for value in values]


def each(read: Callable[[Json], object], values: Column) -> Column:
    """What ``read`` makes of each value."""
    if not _kinds(values) <= {str, NoneType}:
        return [*map(read, values)]
    known = {value: read(value) for value in {*values}}
    return [known[value] for value in values]


def _counts(read: Callable[[Json], object], values: Column) -> Column:
    is_plain = _kinds(values) == {int} and _are_unchanged(read, values)
    return values if is_plain else each(read, values)


def _costs(read: Callable[[Json], object], values: Column) -> Column:
    kinds = _kinds(values)
    if kinds <= {Decimal, int}:
        amounts = [*map(Decimal, values)] if int in kinds else values
        # Zero may come with any exponent, and is no measure of the others.
        used = [*filter(None, amounts)]
        if not used or _are_unchanged(read, used):
            return amounts if len(used) == len(amounts) else [amount or ZERO for amount in amounts]
    return each(read, values)


def _are_unchanged(read: Callable[[Json], object], values: Column) -> bool:
    """Whether numbers are valid as they are: those between two that are valid are so, too."""
    return all(read(value) == value for value in (min(values), max(values)))


def read_day(value: Json) -> date:
    """A day, or the day of a moment in UTC. Raises ``RowError``."""
    text = value[: LONGEST_DAY + 1] if isinstance(value, str) else ""
    match = _DAY.fullmatch(text)
    if match is None or len(text) > LONGEST_DAY:
        raise RowError(f"the date {shown(value)} is not a day")
    try:
        return date.fromisoformat(match[1])
    except ValueError:
        raise RowError(f"the date {shown(value)} does not exist") from None


def read_name(field: str, name: Json) -> str:
    """A name that can be stored. Raises ``RowError``."""
    if isinstance(name, str) and len(name) > MAX_NAME_LENGTH:
        raise RowError(f"the {field}'s name has {len(name):,} characters")
    if not isinstance(name, str) or not (stripped := name.strip()):
        raise RowError(f"the {field} is {shown(name)}, not a name")
    if not is_storable(name):
        raise RowError(f"the {field}'s name {shown(name)} is not valid Unicode")
    return stripped


def read_count(field: str, value: Json) -> int:
    """A plausible count. Raises ``RowError``."""
    # As nearly all texts come; to read one as a number takes three times as long.
    is_plain = isinstance(value, str) and len(value) < 15 and value.isascii() and value.isdigit()
    number = optional_count(int(value) if is_plain else value)
    if number is None:
        raise RowError(f"{field} is {shown(value)}, not a plausible count")
    return number


def read_cost(field: str, value: Json) -> Decimal:
    """A plausible amount in dollars. Raises ``RowError``."""
    number = number_of(value)
    # Sums of binary fractions come out as -2e-17 where they are zero.
    if number is not None and number < 0 and not round_to_nano(number):
        return ZERO
    if number is None or not 0 <= number <= MAX_USD:
        raise RowError(f"{field} is {shown(value)}, not a plausible amount")
    return number
