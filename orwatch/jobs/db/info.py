"""Show what the database is, how large, and what is in it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from orwatch.jobs.db.opening import stored_revision
from orwatch.jobs.db.result import DbInfoResult
from orwatch.jobs.doctor.database import free_bytes
from orwatch.store.engine.database import SchemaBehindError, open_as_it_is, open_existing
from orwatch.store.schema import SCHEMA_REVISION
from orwatch.store.upkeep.facts import read_facts


def run(url: str, free: Callable[[Path], int] = free_bytes) -> DbInfoResult:
    """Look at the database. Nothing is created or upgraded.

    Raises ``StoreUnusableError`` where there is none or it is not one of this or an earlier version's,
    ``StoreUnavailableError``.
    """
    revision = stored_revision(url)
    try:
        store = open_existing(url)
    except SchemaBehindError:
        store = open_as_it_is(url)
    with closing(store):
        facts = read_facts(store)
        available = None
        if store.backend.file is not None:
            with suppress(OSError):
                available = free(store.backend.file.parent)
        return DbInfoResult(
            location=store.location,
            engine=facts.engine,
            engine_version=facts.engine_version,
            revision=revision,
            wanted_revision=SCHEMA_REVISION,
            size_bytes=store.size_bytes(),
            free_bytes=available,
            created_at=facts.created_at,
            first_day=facts.first_day,
            last_day=facts.last_day,
            kept_from=facts.kept_from,
            tables=facts.rows,
            settings=facts.settings,
            notes=facts.notes,
        )
