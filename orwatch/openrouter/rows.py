"""The rows of an answer: those that are believed, by whose they are, and those that are rejected."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import chain, groupby, repeat
from operator import add
from typing import Any

from orwatch.domain.money import ZERO, are_in_nano, round_to_nano
from orwatch.domain.usage import RejectedRow, UsageRow, sum_rows
from orwatch.openrouter.columns import Column, FaultyRowsError, Item, are_alike, days_of
from orwatch.openrouter.values import MAX_COUNT, MAX_USD, Json, check_names

MAX_REJECTED_KEPT = 100  # of one answer

# More at once are no quicker, and what is known of their faults takes memory.
_ROWS_AT_ONCE = 10_000

_AMOUNTS = {UsageRow._fields.index(name) for name in ("cost_usd", "byok_cost_usd")}


def read_rows(
    items: Sequence[Json],
    since: date,
    until: date,
    read_columns: Callable[[Sequence[Item]], tuple[Column, ...]],
    *day_fields: str,
) -> tuple[dict[str | None, list[UsageRow]], tuple[RejectedRow, ...]]:
    """The rows within ``since``..``until`` by their owner, those of one day, model and provider added up,
    sorted; and those that are implausible or not asked for.

    ``read_columns``: the owners, then what a ``UsageRow`` has beside its day, in that order.
    """
    parts: list[tuple[Column, ...]] = []
    rejections = _Rejections()

    def read(some: Sequence[Json]) -> Mapping[int, RejectedRow]:
        """Adds the columns of rows to the parts, or tells which rows are not believed."""
        try:
            days = days_of(some, *day_fields)
        except FaultyRowsError as errors:
            return {place: RejectedRow(reason, None) for place, reason in errors.reasons.items()}
        outside = {day for day in {*days} if not since <= day <= until}
        if outside:
            reasons = {day: f"{day} is outside of {since} to {until}" for day in outside}
            return {
                place: RejectedRow(reasons[day], day, is_outside_window=True)
                for place, day in enumerate(days)
                if day in outside
            }
        try:
            owners, *others = read_columns(some)
        except FaultyRowsError as errors:
            return {
                place: RejectedRow(f"{days[place]}: {reason}", days[place])
                for place, reason in errors.reasons.items()
            }
        parts.append((owners, days, *others))
        return {}

    for start in range(0, len(items), _ROWS_AT_ONCE):
        left = items[start : start + _ROWS_AT_ONCE]
        places: Sequence[int] = range(len(left))
        rejected: dict[int, RejectedRow] = {}
        # Again without the rows that have a fault: once for each column of which some have.
        while left and (faults := read(left)):
            rejected |= {places[place]: row for place, row in faults.items()}
            left = [item for place, item in enumerate(left) if place not in faults]
            places = [each for place, each in enumerate(places) if place not in faults]
        for place in sorted(rejected):
            rejections.add(rejected[place])
    if not parts:
        return {}, rejections.rows()
    owners, *columns = parts[0] if len(parts) == 1 else map(_joined, zip(*parts, strict=True))
    return _arranged(owners, columns, rejections), rejections.rows()


def _joined(parts: Iterable[Column]) -> Column:
    return [*chain.from_iterable(parts)]


class _Rejections:
    """Rejected rows: the first each by itself, of the others how many there were of each day."""

    def __init__(self) -> None:
        self._first: list[RejectedRow] = []
        self._others: dict[tuple[date | None, bool], RejectedRow] = {}
        self._counts: Counter[tuple[date | None, bool]] = Counter()

    def add(self, row: RejectedRow) -> None:
        if len(self._first) < MAX_REJECTED_KEPT:
            self._first.append(row)
            return
        # The days outside of the window, of which there can be any number, concern nobody.
        place = (None if row.is_outside_window else row.day, row.is_outside_window)
        self._others.setdefault(place, row)
        self._counts[place] += 1

    def rows(self) -> tuple[RejectedRow, ...]:
        return (
            *self._first,
            *(replace(row, count=self._counts[place]) for place, row in self._others.items()),
        )


def _arranged(
    owners: Column, columns: Sequence[Column], rejections: _Rejections
) -> dict[str | None, list[UsageRow]]:
    """The rows by their owner, sorted and rounded, repeated ones added up."""
    days, models, providers = columns[:3]
    check_names(zip(models, providers, strict=True), len(models))
    cells = _ranks(owners, days, models, providers)
    order = sorted(range(len(cells)), key=cells.__getitem__)
    if len({*cells}) == len(cells):
        rows = _rows_of(_rounded(columns))
        rows = [rows[place] for place in order]
    else:
        order, rows = _added_up(_rows_of(columns), groupby(order, key=cells.__getitem__), rejections)
        rows = _rows_of(_rounded(map(list, zip(*rows, strict=True)))) if rows else []
    if are_alike(owners):
        return {owners[0]: rows}
    by_owner: defaultdict[str | None, list[UsageRow]] = defaultdict(list)
    for place, row in zip(order, rows, strict=True):
        by_owner[owners[place]].append(row)
    return by_owner


def _rows_of(columns: Iterable[Column]) -> list[UsageRow]:
    # As UsageRow._make, in two thirds of its time.
    return [*map(tuple.__new__, repeat(UsageRow), zip(*columns, strict=True))]


def _ranks(*columns: Column) -> list[int]:
    """For each row where it stands by these columns, None first.

    To sort by whole numbers is several times as quick as by texts and days.
    """
    ranks, count = [0] * len(columns[0]), 1
    # Of two columns a value of the first counts as much as all of the second.
    for column in reversed(columns):
        if are_alike(column):
            continue
        values = {*column}
        ordered = [*({None} & values), *sorted(values - {None})]
        of_value = {value: place * count for place, value in enumerate(ordered)}
        of_rows = map(of_value.__getitem__, column)
        ranks = [*of_rows] if count == 1 else [*map(add, ranks, of_rows)]
        count *= len(ordered)
    return ranks


def _added_up(
    rows: Sequence[UsageRow], groups: Iterable[tuple[Any, Iterable[int]]], rejections: _Rejections
) -> tuple[list[int], list[UsageRow]]:
    """The sum of each group of places, and the first place of each.

    Those that add up to the implausible are rejected: which of them is the wrong one is not known.
    """
    firsts, sums = [], []
    for _, group in groups:
        places = [*group]
        row = rows[places[0]]
        if len(places) > 1:
            row = sum_rows([rows[place] for place in places])
            if not _is_plausible(row):
                reason = f"{row.day}: rows of one model add up to more than is plausible"
                for _ in places:
                    rejections.add(RejectedRow(reason, row.day))
                continue
        firsts.append(places[0])
        sums.append(row)
    return firsts, sums


def _is_plausible(row: UsageRow) -> bool:
    counts = (row.requests, row.tokens_input, row.tokens_output, row.tokens_reasoning, row.tokens_cached)
    amounts = (row.cost_usd, row.byok_cost_usd or ZERO)
    return max(amounts) <= MAX_USD and max(count or 0 for count in counts) <= MAX_COUNT


def _rounded(columns: Iterable[Column]) -> list[Column]:
    """The columns of rows with their amounts rounded; mostly they are so already."""
    return [
        [amount and round_to_nano(amount) for amount in column]
        if place in _AMOUNTS and not are_in_nano(filter(None, column))
        else column
        for place, column in enumerate(columns)
    ]
