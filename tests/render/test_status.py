"""Status as tables and JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from orwatch.models import InactiveReason, Job, JobRun, RunStatus
from orwatch.render.status import as_json, view
from orwatch.results import JobStatus, KeyStatus, StatusResult
from tests.render.support import HOSTILE_NAME, INERT_NAME, WIDTHS, rendered, stored_key, widest_line
from tests.support import NOW, TODAY

STARTED = NOW - timedelta(minutes=30)
DUE = NOW + timedelta(minutes=30)


def job_status(
    job: Job = Job.SYNC,
    status: RunStatus | None = RunStatus.OK,
    started_at: datetime = STARTED,
    **changes: Any,
) -> JobStatus:
    run = None if status is None else JobRun(1, job, started_at, started_at, status, None)
    return replace(JobStatus(job, run, DUE, False), **changes)


GOOD = StatusResult(
    now=NOW,
    jobs=(job_status(), job_status(Job.CLEANUP, None)),
    keys=(KeyStatus(stored_key()),),
    database="/var/lib/orwatch/orwatch.db",
    database_bytes=1_400_000,
    ledger_rows=12345,
    first_day=TODAY,
    last_day=TODAY,
)
MISSED = "sync was due and did not run: is it in the crontab, and does cron run?"
REFUSED = "invalid: OpenRouter refuses it"
TROUBLED = replace(
    GOOD,
    jobs=(job_status(is_missed=True, problem=MISSED), job_status(Job.CLEANUP, RunStatus.FAILED)),
    keys=(
        KeyStatus(stored_key("good")),
        KeyStatus(stored_key("bad", is_active=False, inactive_reason=InactiveReason.INVALID), REFUSED),
    ),
)


def test_each_job_is_a_row() -> None:
    lines = rendered(view(GOOD), 100).splitlines()
    assert lines[0].split() == [
        "Job",
        "Last",
        "run",
        "(UTC)",
        "Age",
        "Result",
        "Missed",
        "Next",
        "due",
        "(UTC)",
    ]
    assert lines[2].split() == [
        "sync",
        "2026-11-20",
        "12:00",
        "30",
        "min",
        "ago",
        "ok",
        "no",
        "2026-11-20",
        "13:00",
    ]
    assert lines[3].split() == ["cleanup", "never", "–", "–", "no", "2026-11-20", "13:00"]


def test_each_key_is_a_row_and_the_database_is_told() -> None:
    text = rendered(view(GOOD), 100)
    assert "production  active  5 min ago  none" in text
    assert "Database: /var/lib/orwatch/orwatch.db\n" in text
    assert "          1.4 MB, 12,345 rows, 2026-11-20 to 2026-11-20\n" in text
    assert text.endswith("\nNothing needs you.\n")


def test_what_needs_a_person_stands_at_the_end() -> None:
    lines = rendered(view(TROUBLED), 100).splitlines()
    assert lines[-2:] == [f"! {MISSED}", f"! bad: {REFUSED}"]
    assert "Nothing needs you." not in lines
    assert "sync 2026-11-20 12:00 30 min ago ok yes" in " ".join(lines[2].split())
    assert any(
        line.split() == ["bad", "invalid", "5", "min", "ago", "yes,", "see", "below"] for line in lines
    )


def test_a_database_without_usage_says_so() -> None:
    text = rendered(view(replace(GOOD, ledger_rows=0, first_day=None, last_day=None, keys=())), 100)
    assert "1.4 MB, no usage yet" in text
    assert "None" not in text


def test_of_many_keys_only_those_with_trouble_are_listed() -> None:
    many = tuple(KeyStatus(stored_key(f"good-{number}")) for number in range(1030))
    text = rendered(view(replace(GOOD, keys=(*many, KeyStatus(stored_key("bad"), REFUSED)))), 100)
    assert "good-" not in text
    assert any(line.split()[:2] == ["bad", "active"] for line in text.splitlines())
    assert "1,030 more keys without problems: `orwatch key list`" in text


def test_up_to_twenty_five_keys_are_all_listed() -> None:
    keys = tuple(KeyStatus(stored_key(f"good-{number}")) for number in range(25))
    text = rendered(view(replace(GOOD, keys=keys)), 100)
    assert text.count("good-") == 25
    assert "more keys" not in text


def test_of_many_keys_without_trouble_none_is_listed() -> None:
    keys = tuple(KeyStatus(stored_key(f"good-{number}")) for number in range(26))
    text = rendered(view(replace(GOOD, keys=keys)), 100)
    assert "good-" not in text
    assert "26 more keys without problems" in text


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("result", [GOOD, TROUBLED], ids=["good", "troubled"])
def test_it_fits_the_terminal_and_cuts_no_age(result: StatusResult, width: int) -> None:
    long = (*result.keys, KeyStatus(stored_key("a-key-with-a-long-name-of-its-own", last_synced_at=None)))
    text = rendered(view(replace(result, keys=long, database="/a/very/long/path" * 10)), width)
    assert widest_line(text) <= width
    assert text.count("30 min ago") == sum(job.last_run is not None for job in result.jobs)
    assert text.count("5 min ago") == len(result.keys)


def test_hostile_names_paths_and_messages_are_inert() -> None:
    result = replace(
        GOOD,
        keys=(KeyStatus(stored_key(HOSTILE_NAME), "\x1b[2J\u202e[bold]"),),
        database="/\x1b[2J\u202e[bold]",
    )
    text = rendered(view(result), 200)
    assert f"! {INERT_NAME}: �[2J�[bold]\n" in text
    assert "Database: /�[2J�[bold]\n" in text
    assert "\x1b" not in text


def test_json_tells_jobs_keys_database_and_problems() -> None:
    document = json.loads(as_json(TROUBLED))
    assert document["schema_version"] == 1
    assert document["status"] == "attention"
    assert document["now"] == "2026-11-20T12:30:00Z"
    assert document["problems"] == [MISSED, f"bad: {REFUSED}"]
    assert document["jobs"][0] == {
        "job": "sync",
        "last_run_at": "2026-11-20T12:00:00Z",
        "finished_at": "2026-11-20T12:00:00Z",
        "result": "ok",
        "error": None,
        "age_seconds": 1800,
        "next_due_at": "2026-11-20T13:00:00Z",
        "is_missed": True,
    }
    assert document["keys"][1] == {
        "name": "bad",
        "state": "invalid",
        "last_synced_at": "2026-11-20T12:25:00Z",
        "problem": REFUSED,
    }
    assert document["database"] == {
        "path": "/var/lib/orwatch/orwatch.db",
        "size_bytes": 1_400_000,
        "rows": 12345,
        "first_day": "2026-11-20",
        "last_day": "2026-11-20",
    }


def test_json_of_a_job_that_never_ran_is_null_and_not_zero() -> None:
    document = json.loads(as_json(GOOD))
    assert document["status"] == "ok"
    assert document["problems"] == []
    never = document["jobs"][1]
    assert {never[name] for name in ("last_run_at", "finished_at", "result", "age_seconds")} == {None}
    assert never["next_due_at"] == "2026-11-20T13:00:00Z"
