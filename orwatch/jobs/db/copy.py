"""Copy everything from the configured database to another one, and find it there to the last row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from orwatch.clock import Clock
from orwatch.config.database_url import without_password
from orwatch.errors import OrwatchError, StoreUnavailableError, StoreUnusableError, UsageError
from orwatch.jobs.db.opening import open_current
from orwatch.jobs.db.result import DbCopyResult
from orwatch.store.engine import locks
from orwatch.store.engine.database import Store, open_as_it_is
from orwatch.store.upkeep import copy as store_copy

# What is being done, and how many rows of how many are.
OnProgress = Callable[[str, int, int], None]


def run(url: str, target_url: str, clock: Clock, on_progress: OnProgress) -> DbCopyResult:
    """Copy a database into an empty one, in one transaction of that.

    No job writes to either of them meanwhile, and no other program to the source. Raises ``LockHeldError``
    when a job runs, ``UsageError`` when both are the same, ``StoreUnusableError`` when the target holds data
    or rows of the source refer to nothing, ``StoreUnavailableError``, and ``OrwatchError`` when the two
    differ at the end. Nothing is copied then.
    """
    started_at = clock.monotonic()
    with (
        closing(open_current(url)) as source,
        locks.all_jobs(source, clock, "copy"),
        _open_target(target_url, source, clock) as target,
        locks.all_jobs(target, clock, "copy"),
    ):
        rows = _copy(source, target, on_progress)
        return DbCopyResult(
            source=source.location,
            target=target.location,
            tables=rows,
            setting=f"ORWATCH_DATABASE_URL={without_password(target_url)}",
            duration_seconds=clock.monotonic() - started_at,
        )


def _copy(source: Store, target: Store, on_progress: OnProgress) -> dict[str, int]:
    """Copy all rows and compare them; how many there are by table."""
    with source.write() as reading, target.write() as writing:
        store_copy.require_empty(writing, target.location)
        rows = store_copy.row_counts(reading)
        total = sum(rows.values())
        store_copy.copy_rows(reading, writing, _counting("Copying", total, on_progress))
        different = store_copy.differing_tables(reading, writing, _counting("Comparing", total, on_progress))
        if different:
            raise OrwatchError(
                f"the copy differs from {source.location} in {', '.join(different)}: another program has "
                f"written to {target.location}. Nothing was copied; run this again."
            )
    return rows


@contextmanager
def _open_target(url: str, source: Store, clock: Clock) -> Iterator[Store]:
    """The database to copy to, once it is clear that the source can be copied there."""
    with _blaming_the_option(), closing(open_as_it_is(url)) as target:
        if target.backend.identity() == source.backend.identity():
            raise UsageError("--to names the database itself", "Name another one, which is empty.")
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


def _counting(doing: str, total: int, on_progress: OnProgress) -> Callable[[int], None]:
    done = 0

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        on_progress(doing, done, total)

    return count
