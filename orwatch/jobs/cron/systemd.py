"""systemd's user units: their text, and how they are found, installed and removed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from orwatch.config.settings import Settings
from orwatch.domain.runs import Job
from orwatch.errors import OrwatchError, UsageError
from orwatch.jobs.cron import text as crontab
from orwatch.jobs.cron.host import Host, delete_file, read_file, run_command, write_file
from orwatch.jobs.cron.ours import Found, InstallRequest, check_invocation, refuse_others, wanted_invocation
from orwatch.jobs.cron.result import CronChange, CronInstallResult, CronPlace, CronWarning
from orwatch.jobs.cron.text import (
    ARGUMENTS,
    PLAIN,
    UNIT_MARK,
    WHEN,
    Entry,
    Invocation,
    entry_of,
    refuse_control,
    unit_name,
)

_ON_CALENDAR: Mapping[Job, str] = {
    Job.SYNC: "*-*-* *:00:00 UTC",
    Job.VALIDATE: "*-*-* 02:00:00 UTC",
    Job.CLEANUP: "Sun *-*-* 03:00:00 UTC",
}


def units(invocation: Invocation) -> dict[str, str]:
    """systemd's user units, by file name. Raises ``UsageError`` for a path that they cannot hold."""
    if set("$'\"\\") & set(invocation.program):
        raise UsageError(
            f"{invocation.program!r}: systemd starts no program with a quote, a backslash or $ in its path."
        )
    files = {}
    for job in ARGUMENTS:
        files[unit_name(job, "service")] = _service(job, invocation)
        files[unit_name(job, "timer")] = _timer(job)
    return files


# Only what systemd can do for a user without privileges: no option here needs a namespace of its own.
_HARDENING = """\
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
"""


def _service(job: Job, invocation: Invocation) -> str:
    program, *arguments = invocation.words(job)
    words = [_unit_word(program), *(_unit_word(word).replace("$", "$$") for word in arguments)]
    environment = "".join(
        f"Environment={_unit_word(f'{name}={value}')}\n" for name, value in invocation.variables
    )
    return (
        f"{UNIT_MARK}\n[Unit]\nDescription=orwatch {job.value}\n\n"
        f"[Service]\nType=oneshot\nExecStart={' '.join(words)}\n{environment}"
        f"Nice=10\n{_HARDENING}"
    )


def _timer(job: Job) -> str:
    return (
        f"{UNIT_MARK}\n[Unit]\nDescription=When orwatch {job.value} runs (UTC): {WHEN[job]}\n\n"
        f"[Timer]\nOnCalendar={_ON_CALENDAR[job]}\nPersistent=true\nRandomizedDelaySec=2min\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )


def _unit_word(text: str) -> str:
    refuse_control(text)
    text = text.replace("%", "%%")
    if PLAIN.fullmatch(text.replace("%%", "")):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def read_service(job: Job, text: str) -> Entry:
    """What a service starts."""
    start = re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)
    try:
        words = shlex.split(_unescaped(start[1]).replace("$$", "$")) if start else []
        assignments = [
            word
            for line in re.findall(r"^Environment=(.*)$", text, re.MULTILINE)
            for word in shlex.split(_unescaped(line))
        ]
    except ValueError:
        return Entry(None, start[1] if start else "", None)
    variables = dict(word.partition("=")[::2] for word in assignments)
    return entry_of(job, words, variables, None)


def _unescaped(text: str) -> str:
    return text.replace("%%", "%")


def install_units(request: InstallRequest, host: Host, settings: Settings) -> CronInstallResult:
    before = read_units(host)
    invocation = wanted_invocation(request, host, settings, unit_entries(before))
    files = units(invocation)
    folder = host.unit_folder
    change = (
        CronChange.UNCHANGED if before == files else CronChange.CORRECTED if before else CronChange.INSTALLED
    )
    text = "\n".join(f"# {folder / name}\n{text}" for name, text in files.items())
    warnings: list[CronWarning] = []
    if not request.is_dry_run:
        if before != files:
            write_units(host, files)
        warnings += _start_timers(host)
    warnings += check_lingering(host)
    warnings += check_invocation(invocation, host, settings)
    return CronInstallResult(request.place, str(folder), change, text, request.is_dry_run, tuple(warnings))


def _start_timers(host: Host) -> Iterator[CronWarning]:
    timers = timer_names()
    problem = run_systemctl(host, "daemon-reload") or run_systemctl(host, "enable", "--now", *timers)
    if problem is not None:
        yield CronWarning(
            f"the units are written, but not started: {problem}. Run `systemctl --user daemon-reload && "
            f"systemctl --user enable --now {' '.join(timers)}` as {host.user}, logged in.",
            is_fatal=True,
        )


def remove_units(host: Host, env_file: str) -> tuple[CronWarning, ...] | None:
    files = read_units(host)
    if not files:
        return None
    refuse_others(CronPlace.SYSTEMD, host, unit_entries(files), env_file)
    timers = [name for name in timer_names() if name in files]
    # Asked before they are gone, and the links deleted by hand where no systemd answers.
    stopped = run_systemctl(host, "disable", "--now", *timers) if timers else None
    wants = host.unit_folder / "timers.target.wants"
    for name in timers:
        if (wants / name).is_symlink():
            delete_file(wants / name)
    delete_units(host, tuple(files))
    problem = stopped or run_systemctl(host, "daemon-reload")
    if problem is None:
        return ()
    return (
        CronWarning(
            f"the units are deleted, but systemd was not told: {problem}. Where it runs, "
            "`systemctl --user daemon-reload` tells it."
        ),
    )


def check_lingering(host: Host) -> Iterator[CronWarning]:
    """Whether the user's timers run while nobody is logged in."""
    if not (host.linger / host.user).exists():
        yield CronWarning(
            "the timers run only while you are logged in: `loginctl enable-linger` lets them run always."
        )


_UNIT_MODE = 0o600  # a heartbeat's address is a secret, and the user's own systemd reads them


def read_units(host: Host) -> dict[str, str]:
    """Our unit files that are there, by name; a file of that name that is not ours is none of them.

    Raises ``UnreadableError``.
    """
    texts = {name: read_file(host.unit_folder / name) for name in unit_names()}
    return {name: text for name, text in texts.items() if text.startswith(UNIT_MARK)}


def unit_names() -> tuple[str, ...]:
    """The names of all our unit files."""
    return tuple(unit_name(job, kind) for job in Job for kind in ("service", "timer"))


def write_units(host: Host, files: Mapping[str, str]) -> None:
    """Write the unit files. Raises ``OrwatchError``, also for one of that name that is not ours."""
    folder = host.unit_folder
    for name in files:
        before = read_file(folder / name)
        if before and not before.startswith(UNIT_MARK):
            raise OrwatchError(
                f"{folder / name} was not written by orwatch; nothing was changed. Move it away first."
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OrwatchError(f"cannot create {folder}: {error.strerror}.") from error
    for name, text in files.items():
        write_file(folder / name, text, _UNIT_MODE)


def delete_units(host: Host, names: Sequence[str]) -> None:
    """Delete unit files. Raises ``OrwatchError``."""
    for name in names:
        delete_file(host.unit_folder / name)


def timer_names() -> tuple[str, ...]:
    """The timers, as systemctl is told of them."""
    return tuple(unit_name(job, "timer") for job in Job)


def run_systemctl(host: Host, *arguments: str) -> str | None:
    """Tell the user's systemd something; why it did not work, or None."""
    command = host.find_command("systemctl")
    if command is None:
        return "there is no systemctl"
    try:
        done = run_command(host, [command, "--user", *arguments])
    except OrwatchError as error:
        return str(error).rstrip(".")
    return (done.problem or f"it exited with {done.code}") if done.code else None


def find_units(host: Host) -> Found | None:
    files = read_units(host)
    if not files:
        return None
    wants = host.unit_folder / "timers.target.wants"
    missing = [name for name in timer_names() if not (wants / name).is_symlink()]
    warnings = list(check_lingering(host))
    if missing:
        warnings.append(
            CronWarning(
                f"not enabled: run `systemctl --user enable --now {' '.join(missing)}`.", is_fatal=True
            )
        )

    def expected(invocation: crontab.Invocation) -> str:
        return _joined(units(invocation))

    return Found(unit_entries(files), _joined(files), expected, tuple(warnings))


def _joined(files: Mapping[str, str]) -> str:
    return "".join(f"{name}\n{text}" for name, text in sorted(files.items()))


def unit_entries(files: Mapping[str, str]) -> tuple[Entry, ...]:
    """What the services among unit files start."""
    named = ((job, files.get(crontab.unit_name(job, "service"))) for job in Job)
    return tuple(read_service(job, text) for job, text in named if text is not None)
