"""How the jobs that look after databases open one: never created, and never upgraded in passing."""

from __future__ import annotations

from datetime import datetime

from orwatch.errors import StoreUnusableError
from orwatch.store import checks
from orwatch.store.backend import NoDatabaseError
from orwatch.store.checks import SchemaBehindError
from orwatch.store.database import Store


def open_current(url: str, now: datetime) -> Store:
    """Open a database that is there and has this version's schema. Raises as ``open_store`` does."""
    try:
        return checks.open_existing(url, now)
    except NoDatabaseError as error:
        raise absent(error) from error
    except SchemaBehindError as error:
        raise StoreUnusableError(f"{error} `orwatch db upgrade` brings it up to date.") from error


def stored_revision(url: str) -> str:
    """The revision of the schema of a database that is there."""
    try:
        return checks.peek_revision(url)
    except NoDatabaseError as error:
        raise absent(error) from error


def absent(error: NoDatabaseError) -> StoreUnusableError:
    """That there is no database, and what to do."""
    return StoreUnusableError(f"{error} `orwatch init` creates it; or correct ORWATCH_DATABASE_URL.")
