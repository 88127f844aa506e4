"""Doctor's look at cron and at the jobs that it starts."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from orwatch import schedule
from orwatch.jobs.doctor_cron import CronFacts, check_cron, check_jobs, read_cron
from orwatch.models import Job, RunStatus
from orwatch.store import keys as stored_keys
from orwatch.store import runs
from orwatch.store.database import Store
from tests.jobs.doctor_support import FULL_CRONTAB, GOOD_CRON, findings, told
from tests.jobs.support import add_key
from tests.store.support import execute
from tests.support import NOW

ROOT = Path(__file__).parents[2]


def write_program(folder: Path, script: str) -> None:
    program = folder / "crontab"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The only folder with programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def look(path: Path, processes: Path, tables: Sequence[Path] = (), **environ: str) -> CronFacts:
    return read_cron({"PATH": str(path), **environ}, processes, tables)


@pytest.fixture
def processes(tmp_path: Path) -> Path:
    """Processes as ``/proc`` shows them: number 1, and what is added."""
    folder = tmp_path / "proc"
    (folder / "self").mkdir(parents=True)
    add_process(folder, 1, "init", "/sbin/init")
    return folder


def add_process(processes: Path, number: int, name: str, *words: str) -> None:
    folder = processes / str(number)
    folder.mkdir()
    (folder / "comm").write_text(f"{name}\n", encoding="utf-8")
    (folder / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))


def test_a_cron_that_runs_with_all_three_jobs_is_fine() -> None:
    assert told(check_cron(GOOD_CRON)) == [
        ("cron", "ok", "runs"),
        ("crontab", "ok", "names sync, validate and cleanup"),
    ]


def test_the_entries_of_the_example_are_all_that_is_wanted() -> None:
    example = (ROOT / "crontab.example").read_text(encoding="utf-8")
    assert findings(check_cron(CronFacts(has_program=True, runs=True, table=example))) == []


def test_jobs_that_no_crontab_names_are_a_finding() -> None:
    table = "#0 * * * * orwatch sync\n0 2 * * * /opt/orwatch --env-file /x/.env validate -q\n5 * * * * sync\n"
    [check] = [
        check for check in check_cron(CronFacts(has_program=True, runs=True, table=table)) if check.advice
    ]
    assert check.message == "does not name `orwatch sync`, `orwatch cleanup`"
    assert "`orwatch cron install`" in (check.advice or "")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (CronFacts(False, False, FULL_CRONTAB), ("finding", "there is no crontab program on the PATH")),
        (CronFacts(False, None, FULL_CRONTAB), ("finding", "there is no crontab program on the PATH")),
        (CronFacts(True, False, FULL_CRONTAB), ("finding", "no cron seems to run on this machine")),
        (CronFacts(True, None, FULL_CRONTAB), ("unknown", "the processes of this machine cannot be seen")),
        (CronFacts(False, True, FULL_CRONTAB), ("ok", "runs")),
    ],
)
def test_a_cron_is_there_and_runs_or_is_told_of(facts: CronFacts, expected: tuple[str, str]) -> None:
    assert told(check_cron(facts))[0] == ("cron", *expected)


def test_a_crontab_that_cannot_be_read_is_unknown() -> None:
    checks = check_cron(CronFacts(has_program=True, runs=True, table=None))
    assert told(checks)[1] == ("crontab", "unknown", "the crontab cannot be read")


@pytest.mark.parametrize(
    ("script", "table"),
    [
        ("echo '0 * * * * orwatch sync'", "0 * * * * orwatch sync\n"),
        ("echo 'no crontab for you' >&2; exit 1", ""),
        ("echo 'you are not allowed' >&2; exit 1", None),
        ("exec /no/such/program", None),
    ],
)
def test_the_users_crontab_is_what_the_program_prints(
    path: Path, processes: Path, script: str, table: str | None
) -> None:
    write_program(path, script)
    assert look(path, processes) == CronFacts(has_program=True, runs=False, table=table)


def test_a_crontab_program_that_cannot_be_run_is_no_failure(path: Path, processes: Path) -> None:
    program = path / "crontab"
    program.write_bytes(b"#!/no/such/interpreter\n")
    program.chmod(0o700)
    assert look(path, processes).table is None


def test_the_systems_crontabs_count_too(path: Path, processes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cron.d"
    folder.mkdir()
    (folder / "orwatch").write_text("0 * * * * root orwatch sync\n", encoding="utf-8")
    places = (tmp_path / "nowhere", folder)
    assert look(path, processes, places) == CronFacts(False, False, "0 * * * * root orwatch sync\n")
    assert look(path, processes, places[:1]).table is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cron", ("/usr/sbin/cron", "-f")),
        ("crond", ("crond",)),
        ("busybox", ("/bin/busybox", "crond", "-f")),
        ("supercronic", ("/usr/local/bin/supercronic", "/etc/tab")),
    ],
)
def test_a_cron_among_the_processes_is_seen(
    path: Path, processes: Path, name: str, words: tuple[str, ...]
) -> None:
    add_process(processes, 77, name, *words)
    assert look(path, processes).runs is True


def test_what_only_mentions_cron_is_none(path: Path, processes: Path) -> None:
    add_process(processes, 78, "vim", "vim", "crond")
    add_process(processes, 79, "kworker", *())
    (processes / "80").mkdir()
    assert look(path, processes).runs is False


def test_where_processes_are_hidden_it_is_not_known_whether_cron_runs(path: Path, tmp_path: Path) -> None:
    assert look(path, tmp_path / "no proc").runs is None
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    add_process(hidden, 4711, "sh", "sh")
    assert look(path, hidden).runs is None


def test_the_real_machine_can_be_looked_at() -> None:
    assert read_cron(os.environ).runs in {True, False, None}


@pytest.mark.parametrize("names_config", [True, False])
def test_timers_of_systemd_that_are_enabled_are_seen(
    path: Path, processes: Path, tmp_path: Path, names_config: bool
) -> None:
    wants = tmp_path / ".config" / "systemd" / "user" / "timers.target.wants"
    wants.mkdir(parents=True)
    for job in (Job.SYNC, Job.CLEANUP):
        (wants / f"orwatch-{job.value}.timer").symlink_to("../gone.timer")
    config = {"XDG_CONFIG_HOME": str(tmp_path / ".config")} if names_config else {"HOME": str(tmp_path)}
    assert look(path, processes, **config).timers == {Job.SYNC, Job.CLEANUP}
    assert look(path, processes).timers == frozenset()


def test_where_timers_start_every_job_no_cron_is_wanted() -> None:
    facts = CronFacts(False, False, None, timers=frozenset(Job))
    assert told(check_cron(facts)) == [("systemd", "ok", "its timers start sync, validate and cleanup")]
    partly = CronFacts(True, True, "0 2 * * * orwatch validate", timers=frozenset({Job.SYNC}))
    assert findings(check_cron(partly)) == [("crontab", "does not name `orwatch cleanup`")]


def job_checks(store: Store) -> list[tuple[str, str, str]]:
    with store.read() as connection:
        return told(check_jobs(connection, stored_keys.list_keys(connection), NOW))


def record(store: Store, job: Job, hours_ago: float, status: RunStatus = RunStatus.OK) -> None:
    moment = NOW - timedelta(hours=hours_ago)
    with store.write() as connection:
        run_id = runs.start_run(connection, job, moment, schedule.latest_slot(job, moment))
        error = "work: GET /key answered 503" if status is RunStatus.FAILED else None
        runs.finish_run(connection, run_id, status=status, counts={}, error=error, now=moment)


def make_old(store: Store) -> None:
    seconds = int((NOW - timedelta(days=100)).timestamp())
    execute(store, "UPDATE ledger_state SET created_at = ?", seconds)
    execute(store, "UPDATE api_keys SET created_at = ?", seconds)


def test_without_a_key_nothing_is_due(store: Store) -> None:
    assert job_checks(store) == [("jobs", "skipped", "with no key to watch none is due")]


def test_a_new_database_has_missed_nothing(store: Store) -> None:
    add_key(store)
    assert [status for _, status, _ in job_checks(store)] == ["ok", "ok", "ok"]


def test_a_job_that_was_due_and_did_not_run_is_a_finding(store: Store) -> None:
    add_key(store)
    make_old(store)
    record(store, Job.SYNC, 0.4)
    record(store, Job.VALIDATE, 30)
    assert job_checks(store) == [
        ("sync", "ok", "is due at 2026-11-20 13:00 UTC; it last ran at 2026-11-20 12:06 UTC"),
        (
            "validate",
            "finding",
            "was due at 2026-11-20 02:00 UTC and did not run; it last ran at 2026-11-19 06:30 UTC",
        ),
        ("cleanup", "finding", "was due at 2026-11-15 03:00 UTC and did not run; it never ran"),
    ]


def test_a_job_that_failed_is_a_finding_with_its_error(store: Store) -> None:
    add_key(store)
    record(store, Job.SYNC, 0.4, RunStatus.FAILED)
    assert job_checks(store)[0] == (
        "sync",
        "finding",
        "it last ran at 2026-11-20 12:06 UTC, and failed: work: GET /key answered 503",
    )
