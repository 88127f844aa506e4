"""The tests that read the real date, or could unseen, once more on days and at times unlike the others."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.end_to_end.faked_clock import PYTHON, FakedClock

PROJECT = Path(__file__).parents[2]
PYTEST = ("-m", "pytest", "-m", "real_clock", "-p", "no:cacheprovider")
THEIRS = (Path(__file__).parent, PROJECT / "tests" / "test_docs_examples.py")
LONGEST_SECONDS = 1800  # where much else goes on; on an idle machine it takes half a minute

# What the keys of the demo and of these tests have used differs as much as the days do. No test begins in the
# last two minutes of a day: those that start before midnight wait, and run on the next day.
MOMENTS = {
    "a Monday that begins a month": "2027-03-01 00:00:05",
    "1 January, a Saturday, from the last seconds of a year": "2027-12-31 23:59:30",
    "29 February, which ends its month, from before midnight": "2028-02-28 23:59:30",
    "31 December, a Sunday that ends a month of 31 days, across an hour's end": "2028-12-31 18:59:40",
}


@pytest.mark.parametrize("moment", [pytest.param(moment, id=what) for what, moment in MOMENTS.items()])
def test_they_hold(faked_clock: FakedClock, tmp_path: Path, moment: str) -> None:
    clock = faked_clock.at(datetime.fromisoformat(moment).replace(tzinfo=UTC))
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}

    done = subprocess.run(
        [sys.executable, *PYTEST, "--basetemp", str(tmp_path / "theirs"), *map(str, THEIRS)],
        cwd=PROJECT,
        env={**ours, **clock, **PYTHON},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LONGEST_SECONDS,
    )

    assert done.returncode == 0, done.stdout
