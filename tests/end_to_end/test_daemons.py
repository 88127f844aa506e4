"""What `cron install` writes, under Debian's cron, cronie and busybox's crond, at the times that matter."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orwatch.jobs.cron.text import Invocation, entries
from tests.end_to_end.daemons import (
    DAEMONS,
    LEAD,
    Unpacked,
    run_daemon,
    serve_under,
    unpack,
)
from tests.end_to_end.packages import UnavailableError, skip
from tests.end_to_end.support import ORWATCH, Machine, Usage, copy_home, make_keys

UTC_ZONE = "UTC0"
KATHMANDU = "<+0545>-5:45"  # the same on a machine without the zones' files
# A user's own entry in the same quarters: it is the last to end, and tells what the jobs were given.
OWN_ENTRY = "*/15 * * * * (sleep 3; pwd; env) > {told}.part && mv {told}.part {told}\n"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a quarter of an hour brought: runs as (job, status, slot), days, and what cron gave its jobs."""

    runs: list[tuple[str, str, str]]
    usage: Usage
    folder: str
    environment: dict[str, str]


@pytest.fixture(scope="session")
def unpacked(shared_folder: Path) -> Unpacked:
    """The daemons' files, shared by all of the tests' processes."""
    try:
        return unpack(shared_folder / "cron-daemons")
    except UnavailableError as error:
        skip("cron daemons", error)


def coming_sunday(hour: int, minute: int = 0) -> datetime:
    tomorrow = datetime.now(UTC).replace(hour=hour, minute=minute, second=0, microsecond=0) + timedelta(
        days=1
    )
    return tomorrow + timedelta(days=(6 - tomorrow.weekday()) % 7)


def prepare(machine: Machine, clock: dict[str, str]) -> None:
    """What a user does first. The settings are in the env file: nothing else of them reaches cron's jobs."""
    machine.env_file.parent.mkdir(parents=True)
    machine.env_file.write_text(
        f"ORWATCH_DATABASE_URL=sqlite:///{machine.database}\n"
        f"ORWATCH_OPENROUTER_API_URL={machine.api_url}\nORWATCH_RATE_LIMIT_PER_MINUTE=0\n",
        encoding="utf-8",
    )
    assert machine.run("init", **clock).code == 0
    key = make_keys(1)[0]
    assert machine.run("key", "add", key.name, input=f"{key.secret}\n", **clock).code == 0
    assert machine.query("SELECT * FROM job_runs") == []


def move_in(machine: Machine, prepared: Machine) -> None:
    """Another account with what one has."""
    copy_home(prepared.home, machine)
    settings = machine.env_file.read_text(encoding="utf-8")
    machine.env_file.write_text(settings.replace(f"{prepared.home}", f"{machine.home}"), encoding="utf-8")


def see(unpacked: Unpacked, folder: Path, quarter: datetime, zone: str) -> dict[str, Seen]:
    """Install orwatch 25 minutes before a quarter of an hour, and start each daemon seconds before it.

    They run side by side, with an account each: what takes long is to wait for the quarter.
    """
    before = unpacked.clock_at(quarter - timedelta(minutes=25))
    with ExitStack() as stack:
        api_url = stack.enter_context(serve_under(before))
        prepared = Machine(folder / "prepared", api_url)
        prepare(prepared, before)
        machines = {daemon: Machine(folder / daemon / "machine", api_url) for daemon in DAEMONS}
        crontabs = {}
        for daemon, machine in machines.items():
            move_in(machine, prepared)
            written = machine.run("cron", "install", "--dry-run", **before).stdout
            assert written == entries(Invocation(str(ORWATCH), str(machine.env_file)))
            crontabs[daemon] = written + OWN_ENTRY.format(told=folder / daemon / "told")
        running = {
            daemon: stack.enter_context(
                run_daemon(unpacked, daemon, folder / daemon / "daemon", crontab, quarter - LEAD, zone)
            )
            for daemon, crontab in crontabs.items()
        }
        for daemon, each in running.items():
            each.wait_for_jobs(folder / daemon / "told")
    return {daemon: seen(machine, folder / daemon / "told") for daemon, machine in machines.items()}


def seen(machine: Machine, told: Path) -> Seen:
    runs = machine.query("SELECT job, status, datetime(slot, 'unixepoch') FROM job_runs ORDER BY job")
    where, *variables = told.read_text(encoding="utf-8").splitlines()
    return Seen(runs, machine.stored(), where, dict(line.split("=", 1) for line in variables))


@pytest.mark.parametrize(
    ("hour", "job", "zone"),
    [(2, "validate", KATHMANDU), (3, "cleanup", UTC_ZONE)],
    ids=["validate-in-kathmandu", "cleanup"],
)
def test_what_is_due_runs_once_from_the_root_folder_in_a_bare_environment(
    unpacked: Unpacked, tmp_path: Path, hour: int, job: str, zone: str
) -> None:
    quarter = coming_sunday(hour)
    slot = f"{quarter:%Y-%m-%d %H:%M:%S}"
    for daemon, brought in see(unpacked, tmp_path, quarter, zone).items():
        assert brought.runs == sorted([(job, "ok", slot), ("sync", "ok", slot)]), daemon
        assert brought.usage, daemon
        assert brought.folder == "/", daemon
        assert brought.environment["HOME"] == "/", daemon
        ours = ("ORWATCH", "XDG", "PYTHON", "VIRTUAL")
        assert not [name for name in brought.environment if name.startswith(ours)], daemon
        assert str(ORWATCH.parent) not in brought.environment["PATH"].split(":"), daemon


def test_nothing_runs_in_another_quarter(unpacked: Unpacked, tmp_path: Path) -> None:
    two_in_kathmandu = coming_sunday(20, 15)
    brought = see(unpacked, tmp_path, two_in_kathmandu, KATHMANDU)
    assert {daemon: each.runs for daemon, each in brought.items()} == {daemon: [] for daemon in DAEMONS}
