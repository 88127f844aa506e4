"""How the jobs that look after databases open one: never created, and never upgraded in passing."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime

from orwatch.errors import StoreUnusableError
from orwatch.jobs.db.result import DbUpgradeResult
from orwatch.store.engine.backend import NoDatabaseError
from orwatch.store.engine.database import (
    SchemaBehindError,
    Store,
    open_existing,
    open_store,
    peek_revision,
)
from orwatch.store.schema import SCHEMA_REVISION

NO_DATABASE_ADVICE = "`orwatch key add NAME` creates it, or `orwatch init`; or correct ORWATCH_DATABASE_URL."


def open_current(url: str) -> Store:
    """Open a database that is there and has this version's schema. Raises as ``open_store`` does."""
    try:
        return open_existing(url)
    except NoDatabaseError as error:
        raise absent(error) from error
    except SchemaBehindError as error:
        raise StoreUnusableError(error.problem, "`orwatch db upgrade` brings it up to date.") from error


def stored_revision(url: str) -> str:
    """The revision of the schema of a database that is there."""
    try:
        return peek_revision(url)
    except NoDatabaseError as error:
        raise absent(error) from error


def absent(error: NoDatabaseError) -> StoreUnusableError:
    """That there is no database, and what to do."""
    return StoreUnusableError(error.problem, NO_DATABASE_ADVICE)


def run(url: str, now: datetime) -> DbUpgradeResult:
    """Upgrade the schema, in one transaction. Nothing is created.

    Raises ``StoreUnusableError`` where there is no database or it is a newer version's,
    ``StoreUnavailableError``.
    """
    before = stored_revision(url)
    with closing(open_store(url, now)) as store:
        return DbUpgradeResult(store.location, before, SCHEMA_REVISION)
