"""Doctor's look at the jobs: did they run when they were due, and is there a cron that starts them?"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from orwatch import schedule
from orwatch.models import Job, JobRun, RunStatus, StoredKey
from orwatch.results import Check, CheckArea, CheckStatus
from orwatch.store import ledger, runs
from orwatch.store.database import Connection

_CRONTAB_TIMEOUT_SECONDS = 5.0
_DAEMONS = frozenset({"cron", "crond", "fcron", "cronie", "dcron", "supercronic"})
_MULTI_CALL = frozenset({"busybox", "toybox"})
_SYSTEM_TABLES = (Path("/etc/crontab"), Path("/etc/cron.d"))
_JOB_LINE = re.compile(r"\borwatch\b.*?\s(sync|validate|cleanup)\b")


@dataclass(frozen=True, slots=True)
class CronFacts:
    """What is seen of cron. None: it cannot be seen from here.

    ``table``: the user's crontab and those of the system that can be read. ``timers``: the jobs that
    systemd's user timers start.
    """

    has_program: bool
    runs: bool | None
    table: str | None
    timers: frozenset[Job] = frozenset()


def read_cron(
    environ: Mapping[str, str],
    processes: Path = Path("/proc"),
    system_tables: Sequence[Path] = _SYSTEM_TABLES,
) -> CronFacts:
    """Look for cron on this machine."""
    program = shutil.which("crontab", path=environ.get("PATH"))
    tables = [None if program is None else _own_table(program), *_read_tables(system_tables)]
    told = [table for table in tables if table is not None]
    table = "\n".join(told) if told else None
    return CronFacts(program is not None, _runs(processes), table, _timers(environ))


def _timers(environ: Mapping[str, str]) -> frozenset[Job]:
    """The jobs whose timers are enabled: systemd links them into a folder."""
    named, home = environ.get("XDG_CONFIG_HOME", ""), environ.get("HOME", "")
    if not named.startswith("/") and not home.startswith("/"):
        return frozenset()
    config = Path(named) if named.startswith("/") else Path(home, ".config")
    wants = config / "systemd" / "user" / "timers.target.wants"
    return frozenset(job for job in Job if os.path.lexists(wants / f"orwatch-{job.value}.timer"))


def _own_table(program: str) -> str | None:
    """The user's crontab, empty where there is none; None where it could not be asked for."""
    try:
        finished = subprocess.run(  # noqa: S603
            [program, "-l"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_CRONTAB_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if finished.returncode == 0:
        return finished.stdout.decode("utf-8", "replace")
    return "" if b"no crontab" in finished.stderr.lower() else None


def _read_tables(places: Sequence[Path]) -> Iterator[str]:
    for place in places:
        try:
            files = sorted(place.iterdir()) if place.is_dir() else [place]
            yield from (
                file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file()
            )
        except OSError:
            continue


def _runs(processes: Path) -> bool | None:
    """Whether a cron is among the processes; None where not all of them can be seen."""
    try:
        folders = [folder for folder in processes.iterdir() if folder.name.isdigit()]
    except OSError:
        return None
    if any(_is_cron(folder) for folder in folders):
        return True
    return False if any(folder.name == "1" for folder in folders) else None


def _is_cron(process: Path) -> bool:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # it has just ended
        return False
    called = [Path(word.decode("utf-8", "replace")).name for word in words[:2]]
    return name in _DAEMONS or (called[0] in _MULTI_CALL and called[-1] in _DAEMONS)


def check_cron(facts: CronFacts) -> list[Check]:
    """Whether cron is there and is to start the jobs."""
    if facts.timers == frozenset(Job):
        return [_check("systemd", CheckStatus.OK, "its timers start sync, validate and cleanup")]
    checks = []
    if not facts.has_program and not facts.runs:
        message = "there is no crontab program on the PATH"
        checks.append(_finding("cron", message, "Install cron (`apt install cron`, for example)."))
    elif facts.runs is None:
        checks.append(_check("cron", CheckStatus.UNKNOWN, "the processes of this machine cannot be seen"))
    elif facts.runs:
        checks.append(_check("cron", CheckStatus.OK, "runs"))
    else:
        advice = "Start it, and let the machine start it: `systemctl enable --now cron` (or crond)."
        checks.append(_finding("cron", "no cron seems to run on this machine", advice))
    if facts.table is None:
        return [*checks, _check("crontab", CheckStatus.UNKNOWN, "the crontab cannot be read")]
    lines = [line for line in facts.table.splitlines() if not line.lstrip().startswith("#")]
    named = {match[1] for line in lines for match in _JOB_LINE.finditer(line)} | facts.timers
    absent = [job.value for job in Job if job.value not in named]
    if not absent:
        return [*checks, _check("crontab", CheckStatus.OK, "names sync, validate and cleanup")]
    message = ", ".join(f"`orwatch {job}`" for job in absent)
    advice = "`orwatch cron install` puts them there; or take the entries of crontab.example."
    return [*checks, _finding("crontab", f"does not name {message}", advice)]


def check_jobs(connection: Connection, keys: Sequence[StoredKey], now: datetime) -> Iterator[Check]:
    """Whether each job ran when it was last due, and how that ended."""
    watched = [key.created_at for key in keys if key.is_active]
    if not watched:
        yield _check("jobs", CheckStatus.SKIPPED, "with no key to watch none is due")
        return
    watched_since = max(ledger.created_at(connection), min(watched))
    for job in Job:
        last_slot = runs.latest_slot(connection, job)
        yield _check_job(job, runs.last_run(connection, job), last_slot, watched_since, now)


def _check_job(
    job: Job, last_run: JobRun | None, last_slot: datetime | None, watched_since: datetime, now: datetime
) -> Check:
    last = "it never ran" if last_run is None else f"it last ran at {last_run.started_at:%Y-%m-%d %H:%M} UTC"
    if schedule.is_missed(job, last_slot, watched_since, now):
        due_at = schedule.latest_slot(job, now - schedule.GRACE)
        return _finding(
            job.value,
            f"was due at {due_at:%Y-%m-%d %H:%M} UTC and did not run; {last}",
            f"See that cron runs and that its entry is right; `orwatch {job}` runs it now.",
        )
    if last_run is not None and last_run.status is RunStatus.FAILED:
        message = f"{last}, and failed: {last_run.error}"
        return _finding(job.value, message, f"See to what it says; `orwatch {job}` runs it again.")
    due = f"is due at {schedule.next_slot(job, now):%Y-%m-%d %H:%M} UTC; {last}"
    return _check(job.value, CheckStatus.OK, due)


def _finding(subject: str, message: str, advice: str) -> Check:
    return Check(CheckArea.JOBS, subject, CheckStatus.FINDING, message, advice)


def _check(subject: str, status: CheckStatus, message: str) -> Check:
    return Check(CheckArea.JOBS, subject, status, message)
