"""The rows of an answer: those that are believed, by whose they are, and those that are rejected."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from itertools import groupby
from typing import Any

from orwatch.domain.money import ZERO, round_all_to_nano, round_to_nano
from orwatch.domain.usage import RejectedRow, UsageRow, sum_rows
from orwatch.openrouter.columns import Column, Item, RowError, days_of
from orwatch.openrouter.values import MAX_COUNT, MAX_USD, Json, check_names, kind_of

MAX_REJECTED_KEPT = 100  # of one answer

# So many are read at once; where any of them has a fault, one by one.
_ROWS_AT_ONCE = 1_000


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
    owners: Column = []
    rows: list[UsageRow] = []
    rejections = _Rejections()

    def read(some: Sequence[Item]) -> None:
        days = days_of(some, *day_fields)
        outside = {day for day in {*days} if not since <= day <= until}
        if outside:
            some = [item for item, day in zip(some, days, strict=True) if day not in outside]
        found, *others = read_columns(some)
        inside = [day for day in days if day not in outside] if outside else days
        owners.extend(found)
        rows.extend(map(_make_row, zip(inside, *others, strict=True)))
        for day in days if outside else ():
            if day in outside:
                reason = f"{day} is outside of {since} to {until}"
                rejections.add(RejectedRow(reason, day, is_outside_window=True))

    for start in range(0, len(items), _ROWS_AT_ONCE):
        some = items[start : start + _ROWS_AT_ONCE]
        try:
            read(_objects(some))
        except RowError:
            for item in some:
                try:
                    read(_objects([item]))
                except RowError as error:
                    rejections.add(_rejected(item, day_fields, error))
    return _arranged(owners, rows, rejections), rejections.rows()


# As UsageRow._make, in two thirds of its time.
_make_row = partial(tuple.__new__, UsageRow)


def _objects(items: Sequence[Json]) -> Sequence[Item]:
    for kind in {*map(type, items)} - {dict}:
        raise RowError(f"a row is {kind_of(kind())}, not an object")
    return items


def _rejected(item: Json, day_fields: Sequence[str], error: RowError) -> RejectedRow:
    try:
        (day,) = days_of(_objects([item]), *day_fields)
    except RowError:
        return RejectedRow(str(error), None)
    return RejectedRow(f"{day}: {error}", day)


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
    owners: Column, rows: list[UsageRow], rejections: _Rejections
) -> dict[str | None, list[UsageRow]]:
    """The rows by their owner, sorted and rounded, repeated ones added up."""
    days, models, providers = ([row[place] for row in rows] for place in range(3))
    check_names(zip(models, providers, strict=True), len(rows))
    cells = _ranks(owners, days, models, providers)
    order = sorted(range(len(rows)), key=cells.__getitem__)
    if len({*cells}) == len(cells):
        rows = [rows[place] for place in order]
    else:
        order, rows = _added_up(rows, groupby(order, key=cells.__getitem__), rejections)
    rows = _rounded(rows)
    found = [owners[place] for place in order]
    if len({*found}) == 1:
        return {found[0]: rows}
    by_owner: defaultdict[str | None, list[UsageRow]] = defaultdict(list)
    for owner, row in zip(found, rows, strict=True):
        by_owner[owner].append(row)
    return by_owner


def _ranks(*columns: Column) -> list[int]:
    """For each row where it stands by these columns, None first.

    To sort by whole numbers is several times as quick as by texts and days.
    """
    ranks = [0] * len(columns[0])
    for column in columns:
        values = {*column}
        if len(values) > 1:
            of_value = {value: rank for rank, value in enumerate(sorted(values - {None}), start=1)} | {
                None: 0
            }
            ranks = [
                rank * len(of_value) + of_value[value] for rank, value in zip(ranks, column, strict=True)
            ]
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


def _rounded(rows: list[UsageRow]) -> list[UsageRow]:
    costs, byok = [row.cost_usd for row in rows], [row.byok_cost_usd for row in rows if row.byok_cost_usd]
    # Mostly so already, and then no other rows are made.
    if round_all_to_nano(costs) == costs and round_all_to_nano(byok) == byok:
        return rows
    return [
        row._replace(
            cost_usd=round_to_nano(row.cost_usd),
            byok_cost_usd=None if row.byok_cost_usd is None else round_to_nano(row.byok_cost_usd),
        )
        for row in rows
    ]
