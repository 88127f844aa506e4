"""The records of runs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import timedelta

import pytest

from orwatch.domain.runs import Job, JobRun, RunStatus
from orwatch.store import runs
from orwatch.store.engine.database import Store
from tests.store.support import dump, scalar
from tests.support import NOW

LATER = NOW + timedelta(minutes=3)


def start(store: Store, job: Job = Job.SYNC) -> int:
    with store.write() as connection:
        return runs.start_run(connection, job, NOW)


def finish(
    store: Store,
    run_id: int,
    status: RunStatus = RunStatus.OK,
    counts: Mapping[str, int] | None = None,
    error: str | None = None,
) -> None:
    with store.write() as connection:
        runs.finish_run(connection, run_id, status=status, counts=counts or {}, error=error, now=LATER)


def last(store: Store, job: Job = Job.SYNC) -> JobRun | None:
    with store.read() as connection:
        return runs.last_run(connection, job)


def test_a_job_that_never_ran_has_no_last_run(store: Store) -> None:
    start(store, Job.CLEANUP)

    assert last(store, Job.SYNC) is None


def test_a_run_under_way_is_recorded_with_its_process(store: Store) -> None:
    run_id = start(store)

    assert last(store) == JobRun(run_id, Job.SYNC, NOW, None, RunStatus.RUNNING, None)
    assert scalar(store, "SELECT pid FROM job_runs") == os.getpid()


@pytest.mark.parametrize("status", [RunStatus.OK, RunStatus.PARTIAL, RunStatus.FAILED])
def test_a_run_that_ended_says_how_and_when(store: Store, status: RunStatus) -> None:
    run_id = start(store)

    finish(store, run_id, status, {"rows_written": 3, "keys": 2}, "the reason")

    counts = {"rows_written": 3, "keys": 2}
    assert last(store) == JobRun(run_id, Job.SYNC, NOW, LATER, status, "the reason", None, counts)
    assert json.loads(scalar(store, "SELECT counts FROM job_runs")) == {"rows_written": 3, "keys": 2}


def test_a_run_that_counted_nothing_stores_no_counts(store: Store) -> None:
    finish(store, start(store))

    assert scalar(store, "SELECT counts FROM job_runs") is None


def test_a_killed_run_is_found_interrupted_by_the_next_of_its_job(store: Store) -> None:
    killed, other, following = start(store), start(store, Job.VALIDATE), start(store)

    statuses = {row[0]: (row[4], row[6] is not None) for row in dump(store, "job_runs")}

    assert statuses == {
        killed: ("interrupted", True),
        other: ("running", False),
        following: ("running", False),
    }


def test_a_run_that_ended_well_stays_so_when_the_next_begins(store: Store) -> None:
    finish(store, start(store))

    start(store)

    assert [row[4] for row in dump(store, "job_runs")] == ["ok", "running"]


def test_the_last_run_is_the_latest_one_even_when_the_clock_was_set_back(store: Store) -> None:
    finish(store, start(store))
    with store.write() as connection:
        latest = runs.start_run(connection, Job.SYNC, NOW - timedelta(days=9))

    found = last(store)

    assert found is not None
    assert found.id == latest


def test_the_recent_slots_are_told_once_each_the_newest_first(store: Store) -> None:
    with store.write() as connection:
        for hours_ago in (3, 1, 2, 1):
            slot = NOW - timedelta(hours=hours_ago)
            runs.start_run(connection, Job.SYNC, slot, slot)
        runs.start_run(connection, Job.SYNC, NOW)
        runs.start_run(connection, Job.CLEANUP, NOW, NOW)
    with store.read() as connection:
        assert runs.recent_slots(connection, Job.SYNC, 2, NOW) == [
            NOW - timedelta(hours=1),
            NOW - timedelta(hours=2),
        ]
        assert runs.recent_slots(connection, Job.VALIDATE, 2, NOW) == []


def test_slots_that_are_yet_to_come_are_not_believed(store: Store) -> None:
    with store.write() as connection:
        for days_ahead in (365, 0):
            slot = NOW + timedelta(days=days_ahead)
            run_id = runs.start_run(connection, Job.SYNC, slot, slot)
            runs.finish_run(connection, run_id, status=RunStatus.OK, counts={}, error=None, now=slot)
    with store.read() as connection:
        assert runs.recent_slots(connection, Job.SYNC, 2, NOW) == [NOW]
        assert runs.latest_done_slot(connection, Job.SYNC, NOW) == NOW
