"""``orwatch cron`` as a user runs it: the program, a `crontab` command, and a process named cron."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orwatch.jobs.cron.text import Invocation, entries
from tests.end_to_end import dates
from tests.end_to_end.support import ORWATCH, Finished, Machine
from tests.jobs.cron.machine import CRONTAB, write_program

ME = pwd.getpwuid(os.geteuid()).pw_name
MINE = b"# caf\xe9\r\n5 4 * * * backup"


class Cron:
    """A machine whose `crontab` command keeps its file in a folder."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.folder = machine.home / "cron"
        self.tab = self.folder / "tab"
        write_program(self.folder / "crontab", CRONTAB.replace("{folder}", str(self.folder)))
        machine.env_file.parent.mkdir(parents=True, exist_ok=True)
        # cron takes another folder for this user's home than the test does.
        with machine.env_file.open("a", encoding="utf-8") as file:
            file.write(
                f"ORWATCH_DATABASE_URL=sqlite:///{machine.database}\n"
                f"ORWATCH_OPENROUTER_API_URL={machine.api_url}\nORWATCH_RATE_LIMIT_PER_MINUTE=0\n"
                "ORWATCH_REFUSAL_WAIT_SECONDS=0\n"
            )

    def run(self, *arguments: str, **environment: str | None) -> Finished:
        return self.see("cron", *arguments, **environment)

    def see(self, *arguments: str, **environment: str | None) -> Finished:
        """Run any command where this `crontab` is the one that is found."""
        return self.machine.run(*arguments, **{"PATH": f"{self.folder}:/usr/bin:/bin", **environment})

    @property
    def block(self) -> bytes:
        return entries(Invocation(str(ORWATCH), str(self.machine.env_file))).encode()


@pytest.fixture
def cron(machine: Machine) -> Cron:
    return Cron(machine)


@pytest.fixture(autouse=True)
def daemon(tmp_path: Path) -> Iterator[None]:
    """A process that is called cron."""
    name = tmp_path / "cron"
    name.symlink_to(Path(sys.executable).resolve())
    with subprocess.Popen(
        [name, "-c", "print(flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as it:
        assert it.stdout is not None
        it.stdout.readline()
        yield
        it.kill()


def test_from_nothing_to_installed_shown_and_removed(cron: Cron) -> None:
    cron.tab.write_bytes(MINE)
    assert cron.run("install") == Finished(0, f"Put the three jobs into the crontab of {ME}.\n", "")
    assert cron.tab.read_bytes() == MINE + b"\n" + cron.block
    again = cron.run("install")
    assert (again.code, again.stderr, "nothing was changed" in again.stdout) == (0, "", True)
    shown = cron.run("show", "--json")
    assert (shown.code, shown.json["state"], shown.json["warnings"]) == (0, "installed", [])
    assert cron.run("remove").code == 0
    assert cron.tab.read_bytes() == MINE + b"\n"
    assert cron.run("show") == Finished(
        0, "Not installed: `orwatch cron install` lets cron run the jobs.\n", ""
    )


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1", ""])
def test_the_locale_and_the_home_do_not_matter(cron: Cron, locale: str) -> None:
    cron.tab.write_bytes(MINE)
    arguments = ("--env-file", str(cron.machine.env_file))
    finished = cron.machine.run(
        *arguments,
        "cron",
        "install",
        PATH=f"{cron.folder}:/usr/bin:/bin",
        LANG=locale,
        LC_ALL=locale,
        HOME=None,
    )
    assert (finished.code, finished.stderr) == (0, "")
    assert cron.tab.read_bytes() == MINE + b"\n" + cron.block


def test_the_installed_entry_runs_in_the_bare_environment_of_cron(cron: Cron) -> None:
    assert cron.run("install").code == 0
    assert cron.machine.run("init").code == 0
    lines = cron.tab.read_text(encoding="utf-8").splitlines()
    command = next(line for line in lines if " cleanup " in line).split(maxsplit=5)[5]
    for asked, is_due in (("7" + "0314", True), ("7" + "0315", False)):
        guarded = command.replace('"$(date -u +\\%u\\%H\\%M)"', asked)
        assert guarded != command
        done = subprocess.run(
            ["/bin/sh", "-c", guarded],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "HOME": "/", "SHELL": "/bin/sh", "LOGNAME": ME},
            capture_output=True,
            timeout=60,
        )
        assert (done.returncode, done.stdout) == (0, b"")
        assert bool(cron.machine.query("SELECT * FROM job_runs WHERE job = 'cleanup'")) is is_due
        cron.machine.query("DELETE FROM job_runs")


def make_older(machine: Machine, days: int) -> None:
    """The same database, and all of its runs, so many days later."""
    for table in ("ledger_state", "api_keys"):
        machine.query(f"UPDATE {table} SET created_at = created_at - {days * 86400}")
    for column in ("started_at", "finished_at", "slot"):
        machine.query(f"UPDATE job_runs SET {column} = {column} - {days * 86400}")


@pytest.mark.real_clock
def test_status_and_doctor_know_the_installed_schedule(synced: Machine) -> None:
    cron = Cron(synced)
    assert cron.see("status", "--json").json["schedule"]["state"] == "not-installed"
    assert cron.run("install").code == 0
    status = cron.see("status", "--json")
    assert (status.code, status.json["schedule"]["state"]) == (0, "installed")

    make_older(synced, 30)
    status = cron.see("status", "--json")
    assert (status.code, [job["is_missed"] for job in status.json["jobs"]]) == (1, [True, True, True])
    assert cron.see("status").stdout.count("was due at ") == 3
    found = [check for check in cron.see("doctor", "--json").json["checks"] if check["area"] == "jobs"]
    assert [(check["subject"], check["status"]) for check in found] == [
        ("sync", "finding"),
        ("validate", "finding"),
        ("cleanup", "finding"),
        ("user-crontab", "ok"),
    ]


@pytest.mark.real_clock
def test_status_and_doctor_miss_a_crontab_that_was_removed(synced: Machine) -> None:
    cron = Cron(synced)
    make_older(synced, 30)
    # It was run every hour for two days, and for three hours it was not.
    for hours_ago in range(48, 2, -1):
        synced.query(
            "INSERT INTO job_runs (job, started_at, finished_at, status, pid, slot)"
            " SELECT 'sync', s, s, 'ok', 1, s FROM (SELECT ? / 3600 * 3600 AS s)",
            int(dates.now().timestamp()) - hours_ago * 3600,
        )
    status = cron.see("status")
    assert status.code == 1
    lines = " ".join(status.stdout.split())
    assert "! sync came every hour until " in lines
    assert "! schedule: not installed. `orwatch cron install` lets cron" in lines
    doctor = cron.see("doctor", "--json").json["checks"]
    assert [check["subject"] for check in doctor if check["status"] == "finding"] == ["sync", "schedule"]


def test_status_and_doctor_know_a_crontab_of_an_old_path(synced: Machine) -> None:
    cron = Cron(synced)
    old = Invocation("/old/venv/bin/orwatch", str(synced.env_file))
    cron.tab.write_text(entries(old), encoding="utf-8")
    status = cron.see("status", "--json")
    assert (status.code, status.json["schedule"]["state"]) == (1, "broken")
    assert "/old/venv/bin/orwatch is gone" in status.json["problems"][0]
    found = [check for check in cron.see("doctor", "--json").json["checks"] if check["status"] == "finding"]
    assert {check["subject"] for check in found} == {"user-crontab"}
    assert cron.run("install").stdout.startswith("Corrected the three jobs in ")
    assert cron.see("status").code == 0


@pytest.mark.parametrize("refusal", ["You are not allowed to use this program (crontab)", ""])
def test_a_crontab_that_is_refused_keeps_status_from_nothing(synced: Machine, refusal: str) -> None:
    cron = Cron(synced)
    (cron.folder / "refusal").write_text(refusal, encoding="utf-8")
    status = cron.see("status", "--json")
    assert (status.code, status.stderr) == (0, "")
    assert status.json["schedule"]["state"] == "unknown"


def test_a_setting_that_is_wrong_stops_it(cron: Cron) -> None:
    finished = cron.run("install", ORWATCH_CONCURRENCY="0")
    assert (finished.code, finished.stdout, cron.tab.exists()) == (78, "", False)
    cron.tab.write_bytes(MINE + b"\n" + cron.block)
    assert cron.run("remove", ORWATCH_CONCURRENCY="0").code == 0
    assert cron.tab.read_bytes() == MINE + b"\n"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_systemd_finds_nothing_wrong_with_the_units(cron: Cron, tmp_path: Path) -> None:
    finished = cron.run(
        "install",
        "--systemd",
        "--log-file",
        f'{tmp_path}/it\'s 100% $x "y".log',
        "--heartbeat-url",
        "https://hc-ping.com/k/orwatch-{job}?a=%20&b",
    )
    folder = cron.machine.home / ".config" / "systemd" / "user"
    assert str(folder) in finished.stdout
    files = sorted(folder.glob("orwatch-*"))
    assert len(files) == 6
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", *files],
        env={**cron.machine.environment(), "XDG_RUNTIME_DIR": str(runtime)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    calendars = [
        line.partition("=")[2]
        for file in files
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.startswith("OnCalendar=")
    ]
    done = subprocess.run(
        ["systemd-analyze", "calendar", *calendars], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.count("Next elapse:")) == (0, 3)
    assert cron.run("remove").code == 0
    assert list(folder.glob("orwatch-*")) == []
