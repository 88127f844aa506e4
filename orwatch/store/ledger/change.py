"""What an answer changes in the ledger, and how that is written, with the totals."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import Connection

from orwatch.store.engine import bulk
from orwatch.store.ledger import rollups
from orwatch.store.schema import from_day_number, to_day_number, usage_stats

KEY_COLUMNS = ("date", "api_key_id", "model_id", "provider_id")
VALUE_COLUMNS = (
    "requests",
    "tokens_input",
    "tokens_output",
    "tokens_reasoning",
    "tokens_cached",
    "cost_nano",
    "byok_cost_nano",
)

Cell: TypeAlias = tuple[Any, ...]  # where a row is in the ledger: day, key, model and provider
LedgerRow: TypeAlias = tuple[Any, ...]  # the columns of the key, then the values
DAY, KEY, _COST, _BYOK = map(
    (KEY_COLUMNS + VALUE_COLUMNS).index, ("date", "api_key_id", "cost_nano", "byok_cost_nano")
)


@dataclass(frozen=True, slots=True)
class Change:
    """What an answer changes: rows that are new or differ, what they replace, and rows that go.

    ``growth``: by day, by how many nano-dollars (credits, BYOK) what is stored grows. ``is_first``: nothing
    was stored of the days that change.
    """

    written: list[LedgerRow]
    replaced: list[LedgerRow]
    vanished: list[LedgerRow]
    growth: dict[date, tuple[int, int]]
    is_first: bool

    @property
    def days(self) -> set[date]:
        """Those of which anything changes."""
        return set(self.growth)


# Where a row is; in half the time that a function of Python takes.
cell_of: Callable[[LedgerRow], Cell] = itemgetter(slice(len(KEY_COLUMNS)))


def compare(stored: list[LedgerRow], rows: list[LedgerRow], whole_days: set[date]) -> Change:
    """What writing these rows changes; of ``whole_days``, rows that are not among them go.

    Both in the order of the ledger's key. Most of what is synced is stored already, and compared as a whole:
    that is several times as fast as row by row.
    """
    if rows == stored:
        return Change([], [], [], {}, is_first=False)
    known, reported = set(stored), set(rows)
    written = [row for row in rows if row not in known]
    cells = set(map(cell_of, written))
    whole = {to_day_number(day) for day in whole_days}
    differing = [row for row in stored if row not in reported]
    vanished = [row for row in differing if cell_of(row) not in cells and row[DAY] in whole]
    replaced = [row for row in differing if cell_of(row) in cells]
    growth: dict[int, tuple[int, int]] = {}
    for sign, changed in ((1, written), (-1, replaced), (-1, vanished)):
        for row in changed:
            cost, byok = growth.get(row[DAY], (0, 0))
            growth[row[DAY]] = cost + sign * row[_COST], byok + sign * (row[_BYOK] or 0)
    return Change(
        written,
        replaced,
        vanished,
        {from_day_number(day): each for day, each in growth.items()},
        is_first=not any(row[DAY] in growth for row in stored),
    )


def apply(connection: Connection, changes: Mapping[int, Change]) -> None:
    """Write what changes of several keys, by their ids, and keep the totals exact."""
    parts = _parts(connection, {key_id: change for key_id, change in changes.items() if change.growth})
    vanished = [row for change in changes.values() for row in change.vanished]
    for part, is_new in parts:
        if not is_new:
            rollups.take_out(connection, part)
    bulk.delete(connection, usage_stats, [cell_of(row) for row in vanished])
    # In the order of the ledger's key: rows that lie together are written together.
    written = sorted(row for change in changes.values() for row in change.written)
    bulk.upsert(connection, usage_stats, written)
    for part, _ in parts:
        rollups.put_in(connection, part)
    if vanished:
        days, key_ids = ({row[column] for row in vanished} for column in (DAY, KEY))
        rollups.drop_empty(connection, rollups.Part(sorted(days), sorted(key_ids)))


def _parts(connection: Connection, changes: Mapping[int, Change]) -> list[tuple[rollups.Part, bool]]:
    """The parts of the ledger whose totals change, and of each whether nothing is stored there yet."""
    whole = rollups.Part(
        day_numbers(set().union(*(change.days for change in changes.values()))), sorted(changes)
    )
    if not rollups.has_any(connection, whole):
        return [(whole, True)]
    alike: dict[frozenset[date], list[int]] = {}
    for key_id, change in changes.items():
        alike.setdefault(frozenset(change.days), []).append(key_id)
    return [
        (rollups.Part(day_numbers(days), key_ids), all(changes[key_id].is_first for key_id in key_ids))
        for days, key_ids in alike.items()
    ]


def day_numbers(days: Collection[date]) -> list[int]:
    """The numbers of days, in order."""
    return sorted(map(to_day_number, days))
