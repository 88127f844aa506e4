"""What cleanup does to the database, step by step."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from orwatch.domain.alerts.alert import Finding, Rule
from orwatch.domain.money import from_nano
from orwatch.domain.runs import Job, RunStatus
from orwatch.store import alerts as stored_alerts
from orwatch.store import runs
from orwatch.store.engine.database import Store
from orwatch.store.ledger import retention
from orwatch.store.ledger import write as ledger
from orwatch.store.schema import COUNTS, request_log, to_day_number
from tests.store.support import (
    add_key,
    dump,
    execute,
    path_of,
    scalar,
    sqlite_only,
    without_transaction,
    write,
)
from tests.support import NOW, TODAY, usage_answer, usage_row

YESTERDAY = TODAY - timedelta(days=1)
BEFORE = TODAY - timedelta(days=2)
OCTOBER = to_day_number(date(2026, 10, 1))
NOVEMBER = to_day_number(date(2026, 11, 1))


@pytest.fixture(autouse=True)
def key(store: Store) -> None:
    add_key(store)


def move(store: Store, *days: date) -> None:
    for day in days:
        with store.write() as connection:
            retention.remove_day(connection, day)


def raise_watermark(store: Store, day: date) -> None:
    with store.write() as connection:
        retention.raise_watermark(connection, day)


def watermark(store: Store) -> date | None:
    with store.read() as connection:
        return ledger.kept_from(connection)


def test_expired_days_are_those_before_the_first_kept_one_oldest_first(store: Store) -> None:
    write(store, usage_answer(usage_row(), usage_row(YESTERDAY), usage_row(YESTERDAY, "b", cost="1e-9")))
    write(store, usage_answer(usage_row(date(2026, 10, 31))))

    with store.read() as connection:
        expired = retention.expired_days(connection, TODAY)

    assert [(removed.day, removed.rows, removed.cost_usd) for removed in expired] == [
        (date(2026, 10, 31), 1, Decimal("0.015")),
        (YESTERDAY, 2, Decimal("0.015000001")),
    ]


def months(store: Store, column: str) -> dict[tuple[int, int, int, int], int | None]:
    with store.read() as connection:
        found = connection.exec_driver_sql(
            f"SELECT month, api_key_id, model_id, provider_id, {column} FROM usage_months"
        )
        return {tuple(row[:4]): row[4] for row in found}


def test_a_day_that_is_removed_is_in_the_months_and_not_in_the_ledger(store: Store) -> None:
    write(store, usage_answer(usage_row(YESTERDAY, provider="azure"), usage_row()))

    move(store, YESTERDAY)

    for table in ("usage_stats", "usage_by_key", "usage_by_model", "usage_days"):
        assert [row[0] for row in dump(store, table)] == [to_day_number(TODAY)]
    assert months(store, "requests") == {(NOVEMBER, 1, 1, 1): 5, (NOVEMBER, 1, 1, 0): 5}
    assert months(store, "tokens_output") == {(NOVEMBER, 1, 1, 1): 125, (NOVEMBER, 1, 1, 0): 125}
    assert months(store, "cost_nano") == {(NOVEMBER, 1, 1, 1): 15_000_000, (NOVEMBER, 1, 1, 0): 15_000_000}
    assert watermark(store) == TODAY


def test_a_month_keeps_keys_models_and_providers_apart_and_adds_up_the_rest(store: Store) -> None:
    second = add_key(store, "second")
    days = (date(2026, 10, 31), date(2026, 11, 1), date(2026, 11, 2))
    write(store, usage_answer(*(usage_row(day, cost="9999999.999999999") for day in days)))
    write(store, usage_answer(usage_row(days[2], "b"), usage_row(days[2], provider="azure")))
    write(store, usage_answer(usage_row(days[1], "b")), second.id)
    before = dump(store, "usage_months")

    move(store, *days)

    assert dump(store, "usage_months") == before
    assert months(store, "cost_nano") == {
        (OCTOBER, 1, 1, 0): 10**16 - 1,
        (NOVEMBER, 1, 1, 0): 10**16 - 1,
        (NOVEMBER, 1, 1, 1): 15_000_000,
        (NOVEMBER, 1, 2, 0): 15_000_000,
        (NOVEMBER, 2, 2, 0): 15_000_000,
    }


@pytest.mark.parametrize(
    ("first", "second", "total"), [(None, None, None), (None, 5, 5), (5, None, 5), (0, None, 0), (2, 3, 5)]
)
def test_a_month_knows_what_any_of_its_days_knows(
    store: Store, first: int | None, second: int | None, total: int | None
) -> None:
    days = (YESTERDAY, TODAY)
    write(
        store,
        usage_answer(
            *(
                usage_row(day, requests=count, tokens_input=count, tokens_output=count)._replace(
                    tokens_reasoning=count,
                    tokens_cached=count,
                    byok_cost_usd=None if count is None else from_nano(count),
                )
                for day, count in zip(days, (first, second), strict=True)
            )
        ),
    )

    move(store, *days)

    for column in COUNTS:
        assert months(store, column) == {(NOVEMBER, 1, 1, 0): total}
    assert months(store, "cost_nano") == {(NOVEMBER, 1, 1, 0): 30_000_000}


def test_the_watermark_rises_and_never_goes_down(store: Store) -> None:
    found = []
    for day in (BEFORE, TODAY, YESTERDAY):
        raise_watermark(store, day)
        found.append(watermark(store))

    assert found == [BEFORE, TODAY, TODAY]


def test_the_watermark_forgets_which_days_before_it_were_read(store: Store) -> None:
    write(store, usage_answer(since=date(2026, 11, 1), until=TODAY))

    raise_watermark(store, YESTERDAY)

    assert [row[0] for row in dump(store, "usage_days")] == [to_day_number(YESTERDAY), to_day_number(TODAY)]


def test_old_records_are_counted_and_deleted_and_a_run_under_way_is_neither(store: Store) -> None:
    with store.write() as connection:
        for age, job in ((9, Job.SYNC), (8, Job.SYNC), (1, Job.SYNC), (9, Job.CLEANUP)):
            run_id = runs.start_run(connection, job, NOW - timedelta(days=age))
            if job is Job.SYNC:
                runs.finish_run(connection, run_id, status=RunStatus.OK, counts={}, error=None, now=NOW)
        for hours in (30, 20):
            at = NOW - timedelta(hours=hours)
            connection.execute(request_log.insert().values(started_at_ms=int(at.timestamp() * 1000)))
    limits = (NOW - timedelta(days=8), NOW - timedelta(days=1))

    with store.read() as connection:
        counted = retention.count_old_records(connection, *limits)
    with store.write() as connection:
        deleted = retention.delete_old_records(connection, *limits)

    assert counted == deleted == 2
    assert [(row[1], row[4]) for row in dump(store, "job_runs")] == [
        ("sync", "ok"),
        ("sync", "ok"),
        ("cleanup", "running"),
    ]
    assert scalar(store, "SELECT count(*) FROM request_log") == 1


def test_alerts_that_were_over_before_the_retention_go_and_those_that_hold_stay(store: Store) -> None:
    old, recent = NOW - timedelta(days=9), NOW - timedelta(days=7)
    with store.write() as connection:
        found = (Finding(Rule.SPIKE, name, name, "2026-11-01", True, "x") for name in ("old", "new", "open"))
        ended, late, _ = stored_alerts.insert_alerts(connection, found, old)
        stored_alerts.end(connection, [ended.id], old)
        stored_alerts.recover(connection, late.id, "x", recent)
    limits = (NOW - timedelta(days=8), NOW)

    with store.read() as connection:
        counted = retention.count_old_records(connection, *limits)
    with store.write() as connection:
        deleted = retention.delete_old_records(connection, *limits)

    with store.read() as connection:
        left = [alert.subject for alert in stored_alerts.list_alerts(connection)]
    assert (counted, deleted, left) == (1, 1, ["new", "open"])


def test_however_old_the_last_run_of_a_job_and_the_last_slot_that_it_finished_stay(store: Store) -> None:
    ages = (
        (Job.SYNC, 50, RunStatus.OK),
        (Job.SYNC, 40, RunStatus.PARTIAL),
        (Job.SYNC, 30, RunStatus.FAILED),
        (Job.SYNC, 20, RunStatus.INTERRUPTED),
        (Job.VALIDATE, 60, RunStatus.OK),
        (Job.CLEANUP, 60, RunStatus.OK),
        (Job.CLEANUP, 1, RunStatus.OK),
    )
    with store.write() as connection:
        for job, days, status in ages:
            at = NOW - timedelta(days=days)
            run_id = runs.start_run(connection, job, at, at)
            runs.finish_run(connection, run_id, status=status, counts={}, error=None, now=at)
    limits = (NOW - timedelta(days=2), NOW)

    with store.read() as connection:
        counted = retention.count_old_records(connection, *limits)
        done_before = {job: runs.latest_done_slot(connection, job, NOW) for job in Job}
    with store.write() as connection:
        deleted = retention.delete_old_records(connection, *limits)

    with store.read() as connection:
        done_after = {job: runs.latest_done_slot(connection, job, NOW) for job in Job}
        kept = [(run.job, run.status) for run in runs.list_runs(connection, None, 9)]
    assert counted == deleted == 3
    assert done_after == done_before
    assert kept == [
        (Job.CLEANUP, RunStatus.OK),
        (Job.VALIDATE, RunStatus.OK),
        (Job.SYNC, RunStatus.INTERRUPTED),
        (Job.SYNC, RunStatus.PARTIAL),
    ]


def fill_and_empty(store: Store) -> None:
    with store.write() as connection:
        names = [(f"maker/{'x' * 500}-{number}",) for number in range(8000)]
        connection.exec_driver_sql("INSERT INTO models (name) VALUES (?)", names)
    execute(store, "DELETE FROM models WHERE id > 0")


@sqlite_only
def test_free_pages_are_given_back_to_the_file_system(store: Store) -> None:
    fill_and_empty(store)
    before = store.size_bytes()

    freed = store.backend.give_space_back(lambda: None)

    assert freed > 8_000_000
    assert path_of(store).stat().st_size < 200_000
    assert store.size_bytes() < before - freed / 2
    assert scalar(store, "PRAGMA freelist_count") == 0
    assert scalar(store, "PRAGMA integrity_check") == "ok"
    assert store.backend.give_space_back(lambda: None) == 0


@sqlite_only
def test_space_is_given_back_in_steps_of_many_pages_with_a_pause_after_each(store: Store) -> None:
    fill_and_empty(store)
    free_pages = scalar(store, "PRAGMA freelist_count")
    pauses: list[int] = []

    store.backend.give_space_back(lambda: pauses.append(scalar(store, "PRAGMA freelist_count")))

    assert free_pages > 1000
    assert 1 < len(pauses) <= free_pages / 200
    assert pauses == sorted(pauses, reverse=True)
    assert pauses[-1] == 0


@sqlite_only
def test_a_file_that_cannot_shrink_keeps_its_pages_and_ends_the_attempt(store: Store) -> None:
    with without_transaction(store) as connection:
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("VACUUM")
    fill_and_empty(store)

    assert store.backend.give_space_back(lambda: None) == 0
    assert scalar(store, "PRAGMA freelist_count") > 1000
