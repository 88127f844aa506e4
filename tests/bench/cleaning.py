"""A cleanup of one million of ten million rows, beside one plain DELETE and beside another writer."""

from __future__ import annotations

import shutil
import sqlite3
import sys
import threading
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from orwatch.jobs.cleanup import run as cleanup_job
from orwatch.store.schema import to_day_number
from tests.bench.big import DAYS, big_database, open_big
from tests.bench.measure import NOW, TODAY, Options, RealClock, Row, helper, in_child, work_seconds

_DAYS_REMOVED = 37  # of 365: a tenth of the rows
_ROUNDS = 3


def measure(options: Options) -> list[Row]:
    """The longest wait of the other writer, and the time of it all."""
    path = big_database(options)
    copy = options.folder / "copy.db"
    waits, cleaned, deleted = [], [], []
    for _ in range(_ROUNDS if options.scale == 1 else 1):
        shutil.copyfile(path, copy)
        with helper(__name__, "write_all_the_time", str(copy)) as writer:
            cleaned.append(in_child(__name__, "clean", str(copy)))
            waits.append(float(writer.communicate()[0]))
        _remove(copy)
        shutil.copyfile(path, copy)
        deleted.append(in_child(__name__, "delete", str(copy)))
        _remove(copy)
    return [
        Row("longest wait of a writer beside a cleanup of 1,000,000 rows", 0.05, min(waits)),
        Row(
            "cleanup of 1,000,000 rows / one DELETE, its space given back",
            1.3,
            min(cleaned),
            beside=min(deleted),
        ),
    ]


def clean(path: str) -> float:
    """The processor seconds of the cleanup."""
    with closing(open_big(path)) as store:
        return work_seconds(lambda: cleanup_job.run(store, DAYS - 1 - _DAYS_REMOVED, RealClock(NOW)))


def delete(path: str) -> float:
    """The processor seconds of deleting the same rows at once, and of giving their space back at once."""
    first_kept = to_day_number(TODAY - timedelta(days=DAYS - 1 - _DAYS_REMOVED))

    def work() -> None:
        driver.execute("DELETE FROM usage_stats WHERE date < ?", (first_kept,))
        driver.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)")

    with closing(sqlite3.connect(path, isolation_level=None)) as driver:
        driver.execute("PRAGMA synchronous = NORMAL")
        return work_seconds(work)


def write_all_the_time(path: str) -> None:
    """Write until standard input ends; print the longest wait for a transaction, in seconds."""
    input_ends = threading.Thread(target=sys.stdin.read, daemon=True)
    input_ends.start()
    longest = 0.0
    with closing(open_big(path)) as store:
        while input_ends.is_alive():
            started = time.perf_counter()
            with store.write() as connection:
                longest = max(longest, time.perf_counter() - started)
                connection.exec_driver_sql("UPDATE ledger_state SET id = id")
            time.sleep(0.001)
    print(longest)


def _remove(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
