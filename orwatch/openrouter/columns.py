"""Columns of an answer's rows, checked: of all rows one field at a time, which is much quicker than by rows.

What is valid is said once, of one value, by the functions that begin with ``read``. Plain numbers are valid
where the least and the greatest of them are; of texts each is read once, however often it comes. The columns
raise ``FaultyRowsError`` where any row has a fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from functools import cache, partial
from types import NoneType
from typing import Any, TypeAlias

from orwatch.domain.money import ZERO, round_to_nano
from orwatch.openrouter.values import (
    LONGEST_DAY,
    MAX_NAME_LENGTH,
    MAX_USD,
    Json,
    is_storable,
    kind_of,
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
_Read: TypeAlias = Callable[[Json], object]  # of one value; raises RowError
_Check: TypeAlias = Callable[[_Read, Column, set[type]], Column]


class RowError(Exception):
    """Why a row is rejected."""


class FaultyRowsError(Exception):
    """Why rows are rejected, by their places among those that were given."""

    def __init__(self, reasons: Mapping[int, str]) -> None:
        super().__init__(reasons)
        self.reasons = reasons


@contextmanager
def of_places(places: Sequence[int]) -> Iterator[None]:
    """What is read in here are some rows, which have these places among all."""
    try:
        yield
    except FaultyRowsError as errors:
        reasons = {places[place]: reason for place, reason in errors.reasons.items()}
        raise FaultyRowsError(reasons) from None


def column_of(items: Sequence[Item], field: str) -> Column:
    """The values as they came; None where a row has none."""
    try:
        # All rows of an answer share the text of a member's name: by that very text it is found much quicker.
        name = next((name for name in items[0] if name == field), field) if items else field
        return [item[name] for item in items]
    except (KeyError, TypeError):
        others = [(place, item) for place, item in enumerate(items) if type(item) is not dict]
        if others:
            reasons = {place: f"a row is {kind_of(item)}, not an object" for place, item in others}
            raise FaultyRowsError(reasons) from None
        return [item.get(field) for item in items]


def days_of(items: Sequence[Item], *fields: str) -> Column:
    """The days, each from the first of ``fields`` (``date``) that its row has."""
    first, *others = (*fields, "date")
    values = column_of(items, first)
    for field in others:
        if None in values:
            pairs = zip(values, column_of(items, field), strict=True)
            values = [other if value is None else value for value, other in pairs]
    return each(read_day, values)


def names_of(items: Sequence[Item], field: str) -> Column:
    """Names that can be stored; None where there is none."""
    return each(lambda name: None if name is None else read_name(field, name), column_of(items, field))


def models_of(items: Sequence[Item]) -> Column:
    """The models' names; null is a model that is not known, and none at all a fault."""
    names = names_of(items, "model")
    if None in names and (without := [place for place, item in enumerate(items) if "model" not in item]):
        raise FaultyRowsError(dict.fromkeys(without, "the model is missing"))
    return names


def counts_of(items: Sequence[Item], field: str) -> Column:
    """Plausible counts; None where there is none."""
    return _where_given(_counts, partial(read_count, field), column_of(items, field))


def costs_of(items: Sequence[Item], field: str) -> Column:
    """Plausible amounts in dollars."""
    values = column_of(items, field)
    return _costs(partial(read_cost, field), values, _kinds(values))


def optional_costs_of(items: Sequence[Item], field: str) -> Column:
    """Plausible amounts in dollars; None where there is none."""
    return _where_given(_costs, partial(read_cost, field), column_of(items, field))


def are_alike(values: Column) -> bool:
    """Whether all are the same: it is seen at the first that is not."""
    return values == values[:1] * len(values)


def _kinds(values: Column) -> set[type]:
    kinds = [*map(type, values)]
    return {*kinds[:1]} if are_alike(kinds) else {*kinds}


def _where_given(check: _Check, read: _Read, values: Column) -> Column:
    kinds = _kinds(values)
    if NoneType not in kinds:
        return check(read, values, kinds)
    if len(kinds) == 1:
        return values
    places = [place for place, value in enumerate(values) if value is not None]
    with of_places(places):
        found = iter(check(read, [values[place] for place in places], kinds - {NoneType}))
    return [None if value is None else next(found) for value in values]


def each(read: _Read, values: Column) -> Column:
    """What ``read`` makes of each value; texts are read once, however often they come."""
    try:
        distinct = {*values}
        are_texts = _kinds([*distinct]) <= {str, NoneType}
    except TypeError:  # an object or a list
        are_texts = False
    try:
        if not are_texts:  # of numbers 1 is the same as true
            return [*map(read, values)]
        known = {value: read(value) for value in distinct}
        return [*map(known.__getitem__, values)]
    except RowError:
        reason_of = partial(_reason, read)
        reasons = map(cache(reason_of) if are_texts else reason_of, values)
        raise FaultyRowsError({place: reason for place, reason in enumerate(reasons) if reason}) from None


def _counts(read: _Read, values: Column, kinds: set[type]) -> Column:
    return values if kinds == {int} and _are_unchanged(read, values) else each(read, values)


def _costs(read: _Read, values: Column, kinds: set[type]) -> Column:
    if kinds <= {Decimal, int}:
        amounts = [*map(Decimal, values)] if int in kinds else values
        # Zero may come with any exponent, and is no measure of the others.
        used = [*filter(None, amounts)]
        if not used or _are_unchanged(read, used):
            return amounts if len(used) == len(amounts) else [amount or ZERO for amount in amounts]
    return each(read, values)


def _reason(read: _Read, value: Json) -> str | None:
    try:
        read(value)
    except RowError as error:
        return str(error)
    return None


def _are_unchanged(read: _Read, values: Column) -> bool:
    """Whether numbers are valid as they are: those between two that are valid are so, too."""
    try:
        return all(read(value) == value for value in (min(values), max(values)))
    except RowError:
        return False


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
