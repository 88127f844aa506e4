"""What ``orwatch`` alone shows."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from orwatch.domain.forecast import Forecast
from orwatch.domain.runs import Job, JobRun, RunStatus
from orwatch.jobs.report.result import MonthCourse
from orwatch.jobs.status.result import JobStatus, KeyStatus, StatusResult
from orwatch.render.overview import steps_view, view
from tests.render.support import HOSTILE_NAME, INERT_NAME, rendered, stored_key, widest_line
from tests.support import NOW

STATUS = StatusResult(NOW, (), (), "orwatch.db", 0, 9, None, None, None, Decimal("125.25"))
COURSE = MonthCourse(Decimal("125.25"), Forecast(Decimal(179), Decimal(164), Decimal(196), False))


def lines(result: StatusResult) -> list[str]:
    return rendered(view(result)).splitlines()


@pytest.mark.parametrize(
    ("result", "first"),
    [
        (STATUS, ["This month: $125.25 so far", "Today:      – (UTC)", "Nothing needs you."]),
        (
            replace(STATUS, course=COURSE, spent_today_usd=Decimal(0)),
            ["This month: $125.25 so far, on course for $179 (164 to 196)", "Today:      $0.00 (UTC)"],
        ),
    ],
)
def test_it_is_the_month_today_what_is_open_and_two_lines_of_what_next(
    result: StatusResult, first: list[str]
) -> None:
    shown = lines(result)
    assert shown[: len(first)] == first
    assert [line.startswith("`orwatch ") for line in shown[-3:]] == [False, True, True]
    assert widest_line("\n".join(shown)) <= 80


@pytest.mark.parametrize("is_syncing", [False, True])
def test_while_a_sync_is_running_that_is_said(is_syncing: bool) -> None:
    status = RunStatus.RUNNING if is_syncing else RunStatus.OK
    jobs = tuple(
        JobStatus(job, JobRun(1, job, NOW, None, each, None), None, is_missed=False)
        for job, each in ((Job.SYNC, status), (Job.CLEANUP, RunStatus.RUNNING))
    )
    shown = lines(replace(STATUS, jobs=jobs))
    assert ("A sync is running: there is more to come." in shown) == is_syncing
    assert ("Nothing needs you." in shown) == (not is_syncing)
    steps = rendered(steps_view(has_keys=True, is_syncing=is_syncing)).splitlines()
    assert steps[2].endswith("running now") == is_syncing


def test_of_many_problems_three_are_told_and_how_many_more_there_are() -> None:
    keys = [KeyStatus(stored_key(f"{HOSTILE_NAME}{index}"), "active", f"p{index}") for index in range(5)]
    shown = [line for line in lines(replace(STATUS, keys=tuple(keys))) if line.startswith("!")]
    assert shown == [
        *(f"! {INERT_NAME}{index}: p{index}" for index in range(3)),
        "! 2 more: `orwatch status`",
    ]


@pytest.mark.parametrize("has_keys", [False, True])
def test_to_begin_there_are_three_steps(has_keys: bool) -> None:
    shown = rendered(steps_view(has_keys=has_keys)).splitlines()
    assert [line.split()[:2] for line in shown[1:4]] == [
        ["1.", "orwatch"],
        ["2.", "orwatch"],
        ["3.", "orwatch"],
    ]
    assert shown[1].endswith("  done") == has_keys
    assert len(shown) == 5
