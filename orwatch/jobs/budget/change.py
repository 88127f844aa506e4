"""Budgets: set and removed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from orwatch.domain.budgets import DEFAULT_WARN_PERCENT, Budget, Per, Scope
from orwatch.domain.keys import StoredKey
from orwatch.jobs.budget.overview import find_budget, key_names_of, show_budgets
from orwatch.jobs.budget.result import BudgetSet, Change, covered_text
from orwatch.jobs.key.change import clean_name
from orwatch.jobs.key.selection import find_known_key, key_labels
from orwatch.jobs.report import models
from orwatch.store import alerts as stored_alerts
from orwatch.store import budgets as stored_budgets
from orwatch.store.engine.database import Connection, Store
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import read as usage_reads
from orwatch.text import holding_or_nearest, printable


@dataclass(frozen=True, slots=True)
class BudgetRequest:
    """A budget as a user gives it: keys by their names."""

    name: str
    limit_usd: Decimal
    per: Per
    key_names: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    workspaces: tuple[str, ...] = ()
    warn_percent: tuple[int, ...] = DEFAULT_WARN_PERCENT
    with_byok: bool = False


def set_budget(store: Store, request: BudgetRequest, now: datetime) -> BudgetSet:
    """Store a new budget, or let the one of that name be as asked. Raises ``UsageError``."""
    name = clean_name(request.name)
    filters = [
        tuple(dict.fromkeys(map(clean_name, items)))
        for items in (request.models, request.providers, request.workspaces)
    ]
    with store.write() as connection:
        keys = stored_keys.list_keys(connection, with_removed=True)
        key_ids = tuple(dict.fromkeys(find_known_key(keys, name).id for name in request.key_names))
        wanted = Budget(
            0,
            name,
            request.limit_usd,
            request.per,
            Scope(key_ids, *filters),
            request.warn_percent,
            request.with_byok,
            now,
        )
        known = {budget.name: budget for budget in stored_budgets.list_budgets(connection)}
        before = known.get(name)
        if before is None:
            stored_budgets.insert_budget(connection, wanted)
        else:
            wanted = replace(wanted, id=before.id, created_at=before.created_at)
            if wanted != before:
                stored_budgets.update_budget(connection, wanted)
        (stored,) = [each for each in stored_budgets.list_budgets(connection) if each.name == name]
        (shown,) = show_budgets(connection, now, [stored])
        changes = () if before is None else tuple(_changes(before, stored, stored_keys.list_rows(connection)))
        notes = (*_notes_on_keys(stored.scope, keys), *_notes_on_names(connection, stored.scope, keys))
    return BudgetSet(shown, before is None, changes, notes)


def remove_budget(store: Store, name: str, now: datetime) -> Budget:
    """Delete a budget, and nothing of what was spent; its alerts are over. Returns what it was.

    Raises ``UsageError``.
    """
    with store.write() as connection:
        budget = find_budget(stored_budgets.list_budgets(connection), name)
        stored_budgets.delete_budget(connection, budget.id)
        stored_alerts.end_budget(connection, budget.id, now)
    return budget


def _changes(before: Budget, after: Budget, rows: Sequence[StoredKey]) -> Iterator[Change]:
    for what, old, new in zip(
        ("limit", "per", "covers", "warns at", "BYOK"),
        _words(before, rows),
        _words(after, rows),
        strict=True,
    ):
        if old != new:
            yield Change(what, old, new)


def _words(budget: Budget, rows: Sequence[StoredKey]) -> tuple[str, ...]:
    return (
        f"${budget.limit_usd:f}",
        budget.per.value,
        covered_text(budget, key_names_of(budget, rows)),
        f"{', '.join(map(str, budget.warn_percent))} %",
        "counts" if budget.with_byok else "does not count",
    )


def _notes_on_keys(scope: Scope, keys: Sequence[StoredKey]) -> Iterator[str]:
    labels = key_labels(keys)
    for key in keys:
        if key.id in scope.key_ids and key.is_management:
            yield (
                f"{printable(labels[key.id])!r} is a management key: it covers what its account uses "
                "without a listed key. Without --key a budget covers everything"
            )


def _notes_on_names(connection: Connection, scope: Scope, keys: Sequence[StoredKey]) -> Iterator[str]:
    """What is in no database may come one day, but more likely it is misspelt."""
    stored = [name for name in usage_reads.model_names(connection).values() if name is not None]
    yield from models.notes_on(scope.models, stored)
    providers = {name for name in usage_reads.provider_names(connection).values() if name is not None}
    yield from _unknown("provider", scope.providers, providers)
    workspaces = {key.listing.workspace for key in keys if key.listing and key.listing.workspace}
    yield from _unknown("workspace", scope.workspaces, workspaces)


def _unknown(kind: str, wanted: Sequence[str], known: Collection[str]) -> Iterator[str]:
    folded = {name.casefold() for name in known}
    for name in wanted:
        if name.casefold() not in folded:
            near = holding_or_nearest(name, known)
            hint = f"; the nearest: {printable(near[0])}" if near else ""
            yield f"no {kind} in the database is named {printable(name)}{hint}"
