"""The history of runs as a table."""

from __future__ import annotations

import textwrap
from datetime import timedelta

import pytest

from orwatch.domain.runs import Job, JobRun, RunStatus
from orwatch.render.runs import view
from tests.render.support import rendered
from tests.support import NOW


def run_of(seconds: int = 3, error: str | None = None, **counts: int) -> JobRun:
    return JobRun(
        1, Job.SYNC, NOW, NOW + timedelta(seconds=seconds), RunStatus.OK, error, None, counts=counts
    )


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "<1 s"), (3, "3 s"), (59, "59 s"), (200, "3 min 20 s"), (-5, "<1 s")]
)
def test_a_run_takes_whole_seconds_for_no_others_are_stored(seconds: int, words: str) -> None:
    assert f"  {words}" in rendered(view([run_of(seconds)]))


def test_one_is_not_many() -> None:
    told = rendered(view([run_of(keys=1, rows_written=1), run_of(keys=1200, rows_removed=2, valid=1)]))
    assert "1 key, 1 row written" in told
    assert "1,200 keys, 2 rows removed, 1 valid" in told


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_long_error_uses_the_width_and_goes_on_below(width: int) -> None:
    error = "work: GET /usage/x answered 503: " + "and so on " * 20
    first, *others = rendered(view([run_of(error=error)]), width).splitlines()[2:]
    column = first.index("work:")
    assert [first[column:].split(), *map(str.split, others)] == [
        words.split() for words in textwrap.wrap(error, width - column)
    ]
