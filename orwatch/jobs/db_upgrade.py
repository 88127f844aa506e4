"""Bring the schema of the database up to date."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime

from orwatch.jobs.databases import stored_revision
from orwatch.results.database import DbUpgradeResult
from orwatch.store.database import open_store
from orwatch.store.schema import SCHEMA_REVISION


def run(url: str, now: datetime) -> DbUpgradeResult:
    """Upgrade the schema, in one transaction. Nothing is created.

    Raises ``StoreUnusableError`` where there is no database or it is a newer version's,
    ``StoreUnavailableError``.
    """
    before = stored_revision(url)
    with closing(open_store(url, now)) as store:
        return DbUpgradeResult(store.location, before, SCHEMA_REVISION)
