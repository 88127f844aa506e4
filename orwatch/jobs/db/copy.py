"""Copy everything from the configured database to another one, and find it there to the last row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

from orwatch.clock import Clock
from orwatch.config.database_url import describe, is_postgres, sqlite_path, without_password
from orwatch.domain.runs import Job
from orwatch.errors import OrwatchError, StoreUnavailableError, StoreUnusableError, UsageError
from orwatch.jobs.db.opening import open_current
from orwatch.jobs.db.result import CopiedTable, DbCopyResult
from orwatch.store.engine import locks
from orwatch.store.engine.database import Store, open_as_it_is
from orwatch.store.upkeep import copy as store_copy

# What is being done, and how many rows of how many are.
OnProgress = Callable[[str, int, int], None]


def run(url: str, target_url: str, clock: Clock, on_progress: OnProgress) -> DbCopyResult:
    """Copy a database into an empty one, or go on with a copy of it that was not finished.

    No job writes to either of them meanwhile, and nobody to the source. Raises ``LockHeldError`` when one
    runs, ``UsageError`` when both are the same, ``StoreUnusableError`` when the target holds anything else
    or rows of the source refer to nothing (nothing is changed then), ``StoreUnavailableError``;
    ``OrwatchError`` when the two differ at the end.
    """
    started_at = clock.monotonic()
    with (
        closing(open_current(url)) as source,
        _all_jobs(source, clock),
        _open_target(target_url, source, clock) as target,
        _all_jobs(target, clock),
        source.write() as reading,
    ):
        is_resumed = store_copy.begin(reading, _place(url), target)
        rows = store_copy.row_counts(reading)
        total = sum(rows.values())
        written = store_copy.copy_rows(reading, target, _counting("Copying", total, on_progress))
        different = store_copy.verify(reading, target, _counting("Comparing", total, on_progress))
        if different:
            raise OrwatchError(
                f"the copy {target.location} is not what {source.location} is, in {', '.join(different)}: "
                "somebody else writes to it. Run this again, and it is put right."
            )
        store_copy.finish(target)
        return DbCopyResult(
            source=source.location,
            target=target.location,
            is_resumed=is_resumed,
            tables=tuple(CopiedTable(name, count, written[name]) for name, count in rows.items()),
            setting=f"ORWATCH_DATABASE_URL={without_password(target_url)}",
            duration_seconds=clock.monotonic() - started_at,
        )


@contextmanager
def _open_target(url: str, source: Store, clock: Clock) -> Iterator[Store]:
    """The database to copy to, once it is clear that the source can be copied there."""
    with _blaming_the_option(), closing(open_as_it_is(url)) as target:
        if target.backend.identity() == source.backend.identity():
            raise UsageError("--to names the database itself. Name another one, which is empty.")
    dangling = source.backend.find_dangling_rows()
    if dangling:
        raise StoreUnusableError(
            f"the database {source.location} cannot be copied: {'; '.join(dangling)}. Restore it from a "
            "backup, or delete those rows; nothing was changed."
        )
    with _blaming_the_option():
        target = store_copy.open_target(url, clock.now())
    with closing(target):
        yield target


@contextmanager
def _blaming_the_option() -> Iterator[None]:
    """Errors of the database to copy to name the option that gave it, and not the setting."""
    try:
        yield
    except (StoreUnusableError, StoreUnavailableError) as error:
        raise type(error)(str(error).replace("ORWATCH_DATABASE_URL", "--to")) from error


def _place(url: str) -> str:
    """Where a database is, however its address is written."""
    return describe(url) if is_postgres(url) else str(sqlite_path(url).resolve())


@contextmanager
def _all_jobs(store: Store, clock: Clock) -> Iterator[None]:
    """Keep every job from this database."""
    with ExitStack() as held:
        for job in Job:
            held.enter_context(locks.job_lock(store, job, clock, is_for_copy=True))
        yield


def _counting(doing: str, total: int, on_progress: OnProgress) -> Callable[[int], None]:
    done = 0

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        on_progress(doing, done, total)

    return count
