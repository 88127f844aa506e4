"""Whose usage is it? An account's rows to its keys, and the remainder that is no key's. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from operator import lt

from orwatch.domain.keys import StoredKey
from orwatch.domain.money import ZERO, add_exactly
from orwatch.domain.usage import OwnedRow, UsageRow, sum_rows

# Sums of rounded amounts differ by less than this for no reason of their own.
DUST_USD = Decimal("0.000001")


# What analytics calls the usage of no key. A key may have that name, too.
NO_KEY_LABEL = "Chatroom"


@dataclass(frozen=True, slots=True)
class NamedKeys:
    """The keys of an account by the names that analytics gives them.

    ``shared``: names that several keys bear, or a key and the usage of no key, with all of these.
    """

    unique: Mapping[str, StoredKey]
    shared: Mapping[str, tuple[StoredKey, ...]]


def keys_by_name(keys: Iterable[StoredKey], since: date) -> NamedKeys:
    """The keys that may have usage from ``since`` on: the listed ones, and those deleted since then."""
    groups: dict[str, list[StoredKey]] = {}
    for key in keys:
        listing = key.listing
        if listing is not None and (listing.deleted_at is None or listing.deleted_at.date() >= since):
            groups.setdefault(listing.name, []).append(key)
    return NamedKeys(
        {name: group[0] for name, group in groups.items() if len(group) == 1 and name != NO_KEY_LABEL},
        {name: tuple(group) for name, group in groups.items() if len(group) > 1 or name == NO_KEY_LABEL},
    )


def shared_names(rows: Iterable[OwnedRow], names: NamedKeys) -> tuple[StoredKey, ...]:
    """The keys that have to be asked for one by one: rows bear a name that they share."""
    used = {each.owner for each in rows}
    return tuple(key for name, keys in names.shared.items() if name in used for key in keys)


def by_key(rows: Iterable[OwnedRow], names: NamedKeys) -> dict[int, list[UsageRow]]:
    """The rows of each key whose name is its own, by the key's id.

    A row from before a key was created belongs to an older one of the same name.
    """
    found: dict[int, list[UsageRow]] = {}
    for each in rows:
        key = None if each.owner is None else names.unique.get(each.owner)
        if key is not None and not _is_before_creation(each.row.day, key):
            found.setdefault(key.id, []).append(each.row)
    return found


def _is_before_creation(day: date, key: StoredKey) -> bool:
    created_at = None if key.listing is None else key.listing.created_at
    return created_at is not None and day < created_at.date()


def add_up(rows: Iterable[UsageRow]) -> list[UsageRow]:
    """One row for each day, model and provider, sorted."""
    rows = [*rows]
    cells = [(row.day, row.model or "", row.provider or "") for row in rows]
    if all(map(lt, cells, cells[1:])):
        return rows
    groups: dict[tuple[date, str, str], list[UsageRow]] = {}
    for cell, row in zip(cells, rows, strict=True):
        groups.setdefault(cell, []).append(row)
    return [_sum(groups[cell]) for cell in sorted(groups)]


def remainder(account: Sequence[UsageRow], keys: Sequence[UsageRow]) -> list[UsageRow]:
    """What an account used beyond its keys, for each day of ``account``, sorted.

    By model and provider where that is known: where a key's rows are of a coarser kind, or exceed the
    account's, by model only, and at last as a sum of the day. No row where the keys have used it all.
    """
    account_days = _by_day(account)
    key_days = _by_day(keys)
    rows = [
        row for day, used in sorted(account_days.items()) for row in _rest_of_day(used, key_days.get(day, []))
    ]
    return sorted(rows, key=lambda row: (row.day, row.model or "", row.provider or ""))


def _rest_of_day(account: Sequence[UsageRow], keys: Sequence[UsageRow]) -> list[UsageRow]:
    if all(row.provider is not None for row in keys):
        rest = _subtract(account, keys)
        if _is_possible(rest) and _is_countable(rest):
            return _with_use(rest)
    rest = _subtract(map(_without_provider, account), map(_without_provider, keys))
    if _is_possible(rest) and _is_countable(rest):
        return _with_use(rest)
    rest = _subtract(map(_without_model, account), map(_without_model, keys))
    return _with_use(rest) if _is_possible(rest) else []


def _without_provider(row: UsageRow) -> UsageRow:
    # Mostly there is none; to make a row takes several times as long as to look.
    return row if row.provider is None else row._replace(provider=None)


def _without_model(row: UsageRow) -> UsageRow:
    return row._replace(model=None, provider=None)


def _subtract(account: Iterable[UsageRow], keys: Iterable[UsageRow]) -> list[UsageRow]:
    cells: dict[tuple[str | None, str | None], tuple[list[UsageRow], list[UsageRow]]] = {}
    for place, rows in enumerate((account, keys)):
        for row in rows:
            cells.setdefault((row.model, row.provider), ([], []))[place].append(row)
    return [_sum([*whole, *([_negated(_sum(parts))] if parts else [])]) for whole, parts in cells.values()]


def _negated(row: UsageRow) -> UsageRow:
    return row._replace(
        requests=_negated_count(row.requests),
        tokens_input=_negated_count(row.tokens_input),
        tokens_output=_negated_count(row.tokens_output),
        tokens_reasoning=_negated_count(row.tokens_reasoning),
        tokens_cached=_negated_count(row.tokens_cached),
        cost_usd=-row.cost_usd,
        byok_cost_usd=None if row.byok_cost_usd is None else -row.byok_cost_usd,
    )


def _negated_count(count: int | None) -> int | None:
    return None if count is None else -count


def _sum(rows: Sequence[UsageRow]) -> UsageRow:
    """As ``sum_rows``; of an account, BYOK that is missing beside other rows is zero."""
    added = sum_rows(rows)
    is_missing = len(rows) > 1 and added.byok_cost_usd is None
    return added._replace(byok_cost_usd=ZERO) if is_missing else added


def _is_possible(rest: Iterable[UsageRow]) -> bool:
    return all(row.cost_usd > -DUST_USD and (row.byok_cost_usd or ZERO) > -DUST_USD for row in rest)


def _is_countable(rest: Iterable[UsageRow]) -> bool:
    return all((row.requests or 0) >= 0 for row in rest)


def _with_use(rest: Iterable[UsageRow]) -> list[UsageRow]:
    """The rows with any use, none of their numbers below zero."""
    rows = []
    for row in rest:
        byok = max(row.byok_cost_usd or ZERO, ZERO)
        has_use = max(row.requests or 0, row.tokens_input or 0, row.tokens_output or 0) > 0
        if has_use or max(row.cost_usd, byok) > DUST_USD:
            rows.append(
                row._replace(
                    requests=_not_negative(row.requests),
                    tokens_input=_not_negative(row.tokens_input),
                    tokens_output=_not_negative(row.tokens_output),
                    tokens_reasoning=_not_negative(row.tokens_reasoning),
                    tokens_cached=_not_negative(row.tokens_cached),
                    cost_usd=max(row.cost_usd, ZERO),
                    byok_cost_usd=None if row.byok_cost_usd is None else byok,
                )
            )
    return rows


def _not_negative(count: int | None) -> int | None:
    return None if count is None else max(count, 0)


def differing_days(
    account: Iterable[UsageRow], stored: Iterable[UsageRow], *, with_requests: bool = True
) -> set[date]:
    """The days of ``account`` whose dollars or requests are not what is stored of all keys together."""
    reported, known = _by_day(account), _by_day(stored)
    return {
        day
        for day, rows in reported.items()
        if _differ(_day_sums(rows), _day_sums(known.get(day, [])), with_requests=with_requests)
    }


def _day_sums(rows: Iterable[UsageRow]) -> tuple[Decimal, Decimal, int]:
    cost, byok, requests = ZERO, ZERO, 0
    for row in rows:
        cost = add_exactly(cost, row.cost_usd)
        byok = add_exactly(byok, row.byok_cost_usd or ZERO)
        requests += row.requests or 0
    return cost, byok, requests


def _differ(
    first: tuple[Decimal, Decimal, int], second: tuple[Decimal, Decimal, int], *, with_requests: bool
) -> bool:
    return (
        abs(first[0] - second[0]) > DUST_USD
        or abs(first[1] - second[1]) > DUST_USD
        or (with_requests and first[2] != second[2])
    )


def _by_day(rows: Iterable[UsageRow]) -> dict[date, list[UsageRow]]:
    days: dict[date, list[UsageRow]] = {}
    for row in rows:
        days.setdefault(row.day, []).append(row)
    return days
