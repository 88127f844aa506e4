"""Which rows of the ledger a budget covers. What is not known of a row may leave that open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orwatch.domain.budgets import Scope
from orwatch.jobs.report import models
from orwatch.jobs.report.daily import Cover
from orwatch.store.engine.database import Connection
from orwatch.store.keys.light import LightKey
from orwatch.store.ledger import read as usage_reads


@dataclass(frozen=True, slots=True)
class Names:
    """The stored models and providers by id."""

    models: Mapping[int, str | None]
    providers: Mapping[int, str | None]


def read_names(connection: Connection) -> Names:
    """All of them."""
    return Names(usage_reads.model_names(connection), usage_reads.provider_names(connection))


class KeyIndex:
    """The rows of keys, looked up many times."""

    def __init__(self, keys: Sequence[LightKey]) -> None:
        self._key_ids = {key.id: key.key_id for key in keys}
        self._old_rows: dict[int, list[int]] = {}
        self._in_workspaces: dict[str, set[int]] = {}
        for key in keys:
            if key.id != key.key_id:
                self._old_rows.setdefault(key.key_id, []).append(key.id)
            if key.workspace:
                self._in_workspaces.setdefault(key.workspace.casefold(), set()).add(key.key_id)

    def rows(self, scope: Scope) -> frozenset[int] | None:
        """All rows of the keys that a scope lets through; None: of whatever key."""
        if not scope.key_ids and not scope.workspaces:
            return None
        named = {self._key_ids[row_id] for row_id in scope.key_ids if row_id in self._key_ids}
        within = set[int]().union(
            *(self._in_workspaces.get(name.casefold(), ()) for name in scope.workspaces)
        )
        wanted = named & within if scope.key_ids and scope.workspaces else named | within
        return frozenset(wanted.union(*(self._old_rows.get(key_id, ()) for key_id in wanted)))


def cover(scope: Scope, keys: KeyIndex, names: Names) -> Cover:
    """What a scope means today. Replaced secrets are parts of their keys; removed keys stay covered."""
    model_ids = provider_ids = None
    if scope.models:
        model_ids = models.matching(names.models, scope.models)
    if scope.providers:
        provider_ids = _same_names(scope.providers, names.providers)
    return Cover(keys.rows(scope), model_ids, provider_ids)


def _same_names(wanted: Sequence[str], names: Mapping[int, str | None]) -> frozenset[int]:
    folded = {name.casefold() for name in wanted}
    return frozenset(number for number, name in names.items() if name and name.casefold() in folded)
