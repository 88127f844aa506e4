"""Cleanup: what goes, what stays, and that nothing is lost on the way."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from orwatch.domain.money import from_nano
from orwatch.domain.runs import Job, RunStatus
from orwatch.errors import LockHeldError, WrongClockError
from orwatch.jobs.cleanup import run as cleanup_job
from orwatch.jobs.cleanup.result import CleanupResult
from orwatch.jobs.key import change as key_jobs
from orwatch.store import runs
from orwatch.store.engine import locks
from orwatch.store.engine.database import Store
from orwatch.store.ledger import retention
from orwatch.store.ledger import write as ledger
from orwatch.store.schema import from_day_number, request_log
from tests.jobs.support import add_key, days_ago, spend
from tests.store.support import dump, execute, on_each_engine, path_of, scalar, without_transaction, write
from tests.support import NOW, TODAY, FakeClock, usage_answer, usage_row

TABLES = (
    *("usage_stats", "usage_months", "usage_by_key", "usage_by_model"),
    *("usage_days", "ledger_state", "job_runs", "request_log"),
)


@pytest.fixture(autouse=True)
def key(store: Store) -> None:
    add_key(store)


def days_left(store: Store) -> list[date]:
    return sorted(from_day_number(row[0]) for row in dump(store, "usage_stats"))


def months(store: Store) -> dict[str, str]:
    with store.read() as connection:
        found = connection.exec_driver_sql("SELECT month, sum(cost_nano) FROM usage_months GROUP BY month")
        return {f"{from_day_number(month):%Y-%m}": str(from_nano(cost)) for month, cost in found}


def total(store: Store) -> int:
    return int(scalar(store, "SELECT sum(cost_nano) FROM usage_months"))


def everything(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    return {table: dump(store, table) for table in TABLES}


def watermark(store: Store) -> date | None:
    with store.read() as connection:
        return ledger.kept_from(connection)


@pytest.mark.parametrize("retention_days", [1, 2, 30, 365])
def test_a_row_exactly_as_old_as_the_retention_stays_and_an_older_one_goes(
    store: Store, clock: FakeClock, retention_days: int
) -> None:
    ages = (0, retention_days, retention_days + 1)
    spend(store, *((days_ago(age), "a", "1") for age in ages))

    result = cleanup_job.run(store, retention_days, clock)

    assert days_left(store) == [days_ago(retention_days), TODAY]
    assert watermark(store) == result.kept_from == days_ago(retention_days)
    assert (result.rows_removed, result.days_removed, result.cost_moved_usd) == (1, 1, Decimal(1))


@pytest.mark.parametrize("time", ["00:00:00", "23:59:59.999999"])
def test_ages_are_counted_in_days_whatever_the_time_of_day(store: Store, clock: FakeClock, time: str) -> None:
    clock.current = NOW.fromisoformat(f"2026-11-20T{time}+00:00")
    spend(store, (days_ago(2), "a", "1"), (days_ago(1), "a", "1"))

    cleanup_job.run(store, 1, clock)

    assert days_left(store) == [days_ago(1)]


def test_what_goes_is_in_the_monthly_totals_to_the_nano_dollar(store: Store, clock: FakeClock) -> None:
    spend(
        store,
        (date(2026, 9, 30), "a", "9999999.999999999"),
        (date(2026, 10, 1), "a", "0.000000001"),
        (date(2026, 10, 31), "a", "0.1"),
        (date(2026, 10, 31), "b", "0.2"),
        (TODAY, "a", "1"),
    )
    before = total(store)

    result = cleanup_job.run(store, 7, clock)

    assert result.rows_removed == 4
    assert result.days_removed == 3
    assert result.cost_moved_usd == Decimal("10000000.3")
    assert months(store) == {"2026-09": "9999999.999999999", "2026-10": "0.300000001", "2026-11": "1"}
    assert scalar(store, "SELECT sum(cost_nano) FROM usage_stats") == 10**9
    assert total(store) == before


class ClockOfAnotherWriter(FakeClock):
    """A clock that writes to the database whenever somebody sleeps on it."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        execute(self.store, "UPDATE ledger_state SET id = id")


@on_each_engine
def test_others_may_write_after_each_day_that_goes(store: Store) -> None:
    spend(store, *((days_ago(age), "a", "1") for age in (9, 10, 11)))
    clock = ClockOfAnotherWriter(store)

    result = cleanup_job.run(store, 7, clock)

    assert result.days_removed == 3
    assert len(clock.slept) >= 3
    assert 0 < sum(clock.slept) < 1


def test_a_second_cleanup_changes_nothing(store: Store, clock: FakeClock) -> None:
    spend(store, (days_ago(9), "a", "1"), (TODAY, "a", "1"))
    cleanup_job.run(store, 7, clock)
    tables = [table for table in TABLES if table != "job_runs"]
    before = [dump(store, table) for table in tables]

    result = cleanup_job.run(store, 7, clock)

    assert (result.rows_removed, result.days_removed, result.cost_moved_usd) == (0, 0, Decimal(0))
    assert [dump(store, table) for table in tables] == before


def test_a_dry_run_tells_what_would_go_and_changes_nothing(store: Store, clock: FakeClock) -> None:
    spend(store, (days_ago(9), "a", "1"), (days_ago(8), "a", "2"), (TODAY, "a", "1"))
    add_records(store)
    before = everything(store)

    planned = cleanup_job.run(store, 7, clock, is_dry_run=True)

    assert everything(store) == before
    assert planned == CleanupResult(
        retention_days=7,
        kept_from=days_ago(7),
        rows_removed=2,
        days_removed=2,
        cost_moved_usd=Decimal(3),
        records_removed=2,
        bytes_freed=0,
        duration_seconds=0,
        is_dry_run=True,
    )
    done = cleanup_job.run(store, 7, clock)
    assert (done.rows_removed, done.cost_moved_usd, done.records_removed) == (2, Decimal(3), 2)


def add_records(store: Store) -> None:
    """One old and one new record of each kind."""
    with store.write() as connection:
        for days in (8, 1):
            run_id = runs.start_run(connection, Job.SYNC, NOW.replace(day=20 - days))
            runs.finish_run(connection, run_id, status=RunStatus.OK, counts={}, error=None, now=NOW)
        for day in (18, 20):
            started_at_ms = int(NOW.replace(day=day).timestamp() * 1000)
            connection.execute(request_log.insert().values(started_at_ms=started_at_ms))


def test_space_is_given_back_and_the_file_shrinks(store: Store, clock: FakeClock) -> None:
    with store.write() as connection:
        for age in range(30, 40):
            rows = (usage_row(days_ago(age), f"maker/{'x' * 50}-{number}") for number in range(1500))
            ledger.write_usage(connection, 1, usage_answer(*rows), NOW)
    with without_transaction(store) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    before = path_of(store).stat().st_size

    result = cleanup_job.run(store, 7, clock)

    assert result.rows_removed == 15_000
    assert before - path_of(store).stat().st_size > 400_000
    assert 400_000 < result.bytes_freed < before
    assert scalar(store, "PRAGMA integrity_check") == "ok"


def test_a_cleanup_that_is_killed_between_two_days_is_carried_on_by_the_next(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    spend(store, *((days_ago(age), "a", f"{age}.000000001") for age in range(5, 25)))
    before = total(store)
    move = retention.remove_day
    moved: list[date] = []

    def move_some_and_die(connection: Any, day: date) -> None:
        move(connection, day)
        if len(moved) == 6:
            raise KeyboardInterrupt  # within the transaction: this day's move is undone
        moved.append(day)

    monkeypatch.setattr(retention, "remove_day", move_some_and_die)
    with pytest.raises(KeyboardInterrupt):
        cleanup_job.run(store, 7, clock)
    monkeypatch.undo()

    assert total(store) == before
    assert watermark(store) == days_ago(18)
    assert len(days_left(store)) == 14
    assert dump(store, "job_runs")[0][4] == "interrupted"

    result = cleanup_job.run(store, 7, clock)

    assert (result.days_removed, total(store)) == (11, before)
    assert days_left(store) == [days_ago(7), days_ago(6), days_ago(5)]
    assert watermark(store) == days_ago(7)


def test_the_watermark_rises_over_days_without_use_and_never_goes_down(
    store: Store, clock: FakeClock
) -> None:
    cleanup_job.run(store, 7, clock)
    assert watermark(store) == days_ago(7)

    cleanup_job.run(store, 365, clock)
    assert watermark(store) == days_ago(7)


@on_each_engine
def test_a_removed_day_is_not_written_again_by_any_later_answer(store: Store, clock: FakeClock) -> None:
    answer = usage_answer(usage_row(days_ago(9), cost="1"), usage_row(days_ago(7), cost="2"))
    write(store, answer)
    cleanup_job.run(store, 7, clock)

    counts = write(store, answer)

    assert (counts.rows_written, counts.rows_unchanged) == (0, 1)
    assert months(store) == {"2026-11": "3"}
    assert days_left(store) == [days_ago(7)]


def test_a_run_is_recorded_with_its_counts(store: Store, clock: FakeClock) -> None:
    spend(store, (days_ago(9), "a", "1"))

    result = cleanup_job.run(store, 7, clock)

    ((_, job, _, _, status, counts, *_),) = dump(store, "job_runs")
    assert (job, status) == ("cleanup", "ok")
    assert json.loads(counts) == {
        "rows_removed": 1,
        "days_removed": 1,
        "records_removed": 0,
        "bytes_freed": result.bytes_freed,
    }


def test_another_cleanup_under_way_is_left_alone(store: Store, clock: FakeClock) -> None:
    spend(store, (days_ago(9), "a", "1"))
    with locks.job_lock(store, Job.CLEANUP, FakeClock()), pytest.raises(LockHeldError):
        cleanup_job.run(store, 7, clock)

    assert days_left(store) == [days_ago(9)]


def note_good_sync(store: Store, days_before: int) -> None:
    seconds = int((NOW - timedelta(days=days_before)).timestamp())
    execute(store, "UPDATE api_keys SET last_synced_at = ?", seconds)


@pytest.mark.parametrize("is_dry_run", [False, True])
def test_with_a_clock_far_ahead_of_the_last_good_sync_nothing_goes(
    store: Store, clock: FakeClock, is_dry_run: bool
) -> None:
    spend(store, (days_ago(3), "a", "1"), (TODAY, "a", "1"))
    note_good_sync(store, 0)
    clock.advance(days=1500)
    before = dump(store, "usage_stats"), watermark(store)

    with pytest.raises(WrongClockError, match=r"says 2030-12-29 12:30 UTC.*2026-11-20 12:30.*`orwatch sync`"):
        cleanup_job.run(store, 365, clock, is_dry_run=is_dry_run)

    assert (dump(store, "usage_stats"), watermark(store)) == before


def test_a_machine_that_was_off_for_weeks_and_keys_that_nobody_watches_are_no_wrong_clock(
    store: Store, clock: FakeClock
) -> None:
    spend(store, (days_ago(400), "a", "1"))
    note_good_sync(store, 29)
    assert cleanup_job.run(store, 365, clock).days_removed == 1
    spend(store, (days_ago(20), "a", "1"))
    note_good_sync(store, 400)
    key_jobs.disable(store, "work", NOW)
    assert cleanup_job.run(store, 7, clock).days_removed == 1
