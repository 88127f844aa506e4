"""What `cron install` writes, under Debian's cron, cronie and busybox's crond, at the times that matter."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orwatch.crontab import Invocation, entries
from tests.end_to_end.daemons import (
    DAEMONS,
    LEAD,
    UnavailableError,
    Unpacked,
    run_daemon,
    serve_under,
    unpack,
)
from tests.end_to_end.support import ORWATCH, Machine, make_keys

# They fetch packages and take minutes: asked for by name until CI has the time for them.
pytestmark = pytest.mark.skipif(
    not os.environ.get("ORWATCH_TEST_DAEMONS"), reason="set ORWATCH_TEST_DAEMONS=1 to run real cron daemons"
)

UTC_ZONE = "UTC0"
KATHMANDU = "<+0545>-5:45"  # the same on a machine without the zones' files
# A user's own entry in the same quarters: it is the last to end, and tells what the jobs were given.
OWN_ENTRY = "*/15 * * * * (sleep 3; pwd; env) > {told}.part && mv {told}.part {told}\n"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a quarter of an hour brought: runs as (job, status, slot), and what cron gave its jobs."""

    runs: list[tuple[str, str, str]]
    folder: str
    environment: dict[str, str]
    machine: Machine


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    """The daemons' files, shared by all of the tests' processes."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    try:
        return unpack(base / "cron-daemons")
    except UnavailableError as error:
        if "CI" in os.environ and not error.is_final:
            pytest.fail(f"no cron daemons in CI: {error}")
        pytest.skip(f"no cron daemons: {error}")


def coming_sunday(hour: int, minute: int = 0) -> datetime:
    tomorrow = datetime.now(UTC).replace(hour=hour, minute=minute, second=0, microsecond=0) + timedelta(
        days=1
    )
    return tomorrow + timedelta(days=(6 - tomorrow.weekday()) % 7)


def see(unpacked: Unpacked, daemon: str, folder: Path, quarter: datetime, zone: str) -> Seen:
    """Install orwatch 25 minutes before a quarter of an hour, and start the daemon seconds before it."""
    before = unpacked.fake_clock(quarter - timedelta(minutes=25))
    told = folder / "told"
    with ExitStack() as stack:
        machine = Machine(folder / "machine", stack.enter_context(serve_under(before)))
        # The settings are in the env file: nothing else of them reaches what cron starts.
        machine.env_file.parent.mkdir(parents=True)
        machine.env_file.write_text(
            f"ORWATCH_DATABASE_URL=sqlite:///{machine.database}\n"
            f"ORWATCH_OPENROUTER_API_URL={machine.api_url}\nORWATCH_RATE_LIMIT_PER_MINUTE=0\n",
            encoding="utf-8",
        )
        assert machine.run("init", **before).code == 0
        key = make_keys(1)[0]
        assert machine.run("key", "add", key.name, input=f"{key.secret}\n", **before).code == 0
        assert machine.query("SELECT * FROM job_runs") == []
        written = machine.run("cron", "install", "--dry-run", **before).stdout
        assert written == entries(Invocation(str(ORWATCH), str(machine.env_file)))
        crontab = written + OWN_ENTRY.format(told=told)
        running = stack.enter_context(
            run_daemon(unpacked, daemon, folder / "daemon", crontab, quarter - LEAD, zone)
        )
        running.wait_for_jobs(told)
    runs = machine.query("SELECT job, status, datetime(slot, 'unixepoch') FROM job_runs ORDER BY job")
    where, *variables = told.read_text(encoding="utf-8").splitlines()
    return Seen(runs, where, dict(line.split("=", 1) for line in variables), machine)


@pytest.mark.parametrize("daemon", DAEMONS)
@pytest.mark.parametrize(
    ("hour", "job", "zone"),
    [(2, "validate", UTC_ZONE), (3, "cleanup", UTC_ZONE), (2, "validate", KATHMANDU)],
    ids=["validate", "cleanup", "validate-in-kathmandu"],
)
def test_what_is_due_runs_once_from_the_root_folder_in_a_bare_environment(
    unpacked: Unpacked, tmp_path: Path, daemon: str, hour: int, job: str, zone: str
) -> None:
    quarter = coming_sunday(hour)
    seen = see(unpacked, daemon, tmp_path, quarter, zone)

    slot = f"{quarter:%Y-%m-%d %H:%M:%S}"
    assert seen.runs == sorted([(job, "ok", slot), ("sync", "ok", slot)])
    assert seen.machine.stored()
    assert seen.folder == "/"
    assert seen.environment["HOME"] == "/"
    assert not [name for name in seen.environment if name.startswith(("ORWATCH", "XDG", "PYTHON", "VIRTUAL"))]
    assert str(ORWATCH.parent) not in seen.environment["PATH"].split(":")


@pytest.mark.parametrize("daemon", DAEMONS)
@pytest.mark.parametrize(
    ("hour", "minute", "zone"),
    [(2, 15, UTC_ZONE), (20, 15, KATHMANDU)],
    ids=["a-quarter-past", "two-o-clock-in-kathmandu"],
)
def test_nothing_runs_in_another_quarter(
    unpacked: Unpacked, tmp_path: Path, daemon: str, hour: int, minute: int, zone: str
) -> None:
    assert see(unpacked, daemon, tmp_path, coming_sunday(hour, minute), zone).runs == []
