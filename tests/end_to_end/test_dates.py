"""What has another date in the tests that run on several days is all that reads the date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import orwatch
from tests.end_to_end import dates
from tests.end_to_end.support import Machine

FOLDER = Path(orwatch.__file__).parent
READS = re.compile(
    r"\bdatetime\.(utc)?now\(|\bdate(time)?\.today\(|\btime\.(time|localtime|gmtime|strftime|ctime)"
)


def test_nothing_else_reads_the_date() -> None:
    found = {path for path in FOLDER.rglob("*.py") if READS.search(path.read_text(encoding="utf-8"))}
    assert found == {FOLDER.parent.joinpath(*name.split(".")).with_suffix(".py") for name in dates.READERS}


@pytest.mark.real_clock
def test_programs_and_the_server_have_the_date_of_the_test(watching: Machine) -> None:
    begun = dates.now().replace(microsecond=0)
    assert watching.run("sync", "--days", "1").code == 0
    report = watching.run("report", "--last", "1d", "--json").json
    ((stored, ran_at),) = watching.query(
        "SELECT max(date), (SELECT max(started_at) FROM job_runs) FROM usage_stats"
    )
    assert (report["until"], stored) == (f"{begun:%Y-%m-%d}", int(begun.timestamp()) // 86400)
    assert begun.timestamp() <= ran_at <= dates.now().timestamp()
