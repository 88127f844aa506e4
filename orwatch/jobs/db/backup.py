"""Back the database up into a file, while others use it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from orwatch.jobs.db.opening import stored_revision
from orwatch.jobs.db.result import DbBackupResult
from orwatch.store.engine.database import open_as_it_is
from orwatch.store.upkeep.backup import back_up, file_backend

_ON_A_SERVER = (
    "back it up there, with pg_dump for example. "
    "Or copy it to a file: `orwatch db copy --to sqlite:////path/to/file.db`."
)


def run(
    url: str, file: Path, on_pages: Callable[[int, int], None], *, is_forced: bool = False
) -> DbBackupResult:
    """Write the database, as it is at this moment and whatever its schema, to ``file``: whole or not at all.

    ``on_pages`` is called with how many pages of how many are copied. Raises ``UsageError`` for a file that
    is there already, unless ``is_forced``; ``StoreUnusableError``, ``StoreUnavailableError``.
    """
    with closing(open_as_it_is(url)) as store:
        backend = file_backend(store, _ON_A_SERVER)
        stored_revision(url)
        rows = back_up(backend, file, on_pages, is_forced=is_forced)
        return DbBackupResult(
            store.location,
            str(file),
            file.stat().st_size,
            {name: count for name, count in rows.items() if name != "alembic_version"},
        )
