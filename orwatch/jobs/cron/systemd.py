"""systemd's user units: their text, and how they are found, installed and removed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from orwatch.config.settings import Settings
from orwatch.domain.runs import Job
from orwatch.errors import OrwatchError, UsageError
from orwatch.files import make_private_folder
from orwatch.jobs.cron.host import Host, delete_file, read_file, write_file
from orwatch.jobs.cron.ours import Found, InstallRequest, check_invocation, refuse_other, wanted_invocation
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


_UNIT_MODE = 0o600  # a heartbeat's address is a secret, and the user's own systemd reads them
TIMERS = tuple(unit_name(job, "timer") for job in Job)
_UNITS = tuple(unit_name(job, kind) for job in Job for kind in ("service", "timer"))


@dataclass(frozen=True, slots=True)
class Systemd:
    """The units of the user's own systemd."""

    host: Host
    kind: ClassVar[CronPlace] = CronPlace.SYSTEMD

    @property
    def location(self) -> str:
        """The place's name for a person."""
        return str(self._folder)

    @property
    def _folder(self) -> Path:
        return self.host.unit_folder

    @property
    def _enabled(self) -> Path:
        """The folder of the links to the timers that are enabled."""
        return self._folder / "timers.target.wants"

    def find(self) -> Found | None:
        """What is installed there."""
        files = self.read()
        if not files:
            return None
        missing = [name for name in TIMERS if not (self._enabled / name).is_symlink()]
        warnings = list(check_lingering(self.host))
        if missing:
            warnings.append(
                CronWarning(
                    f"not enabled: run `systemctl --user enable --now {' '.join(missing)}`.", is_fatal=True
                )
            )

        def expected(invocation: Invocation) -> str:
            return _joined(units(invocation))

        return Found(unit_entries(files), _joined(files), expected, tuple(warnings))

    def install(self, request: InstallRequest, settings: Settings) -> CronInstallResult:
        """Write the units and start the timers."""
        before = self.read()
        invocation = wanted_invocation(request, self.location, self.host, settings, unit_entries(before))
        files = units(invocation)
        is_same = before == files
        change = CronChange.CORRECTED if before else CronChange.INSTALLED
        text = "\n".join(f"# {self._folder / name}\n{text}" for name, text in files.items())
        warnings: list[CronWarning] = []
        if not request.is_dry_run:
            if not is_same:
                self.write(files)
            warnings += self._start_timers()
        warnings += check_lingering(self.host)
        warnings += check_invocation(invocation, self.host, settings)
        return CronInstallResult(
            self.kind,
            self.location,
            CronChange.UNCHANGED if is_same else change,
            text,
            request.is_dry_run,
            tuple(warnings),
        )

    def _start_timers(self) -> Iterator[CronWarning]:
        problem = self.systemctl("daemon-reload") or self.systemctl("enable", "--now", *TIMERS)
        if problem is not None:
            yield CronWarning(
                f"the units are written, but not started: {problem}. Run `systemctl --user daemon-reload && "
                f"systemctl --user enable --now {' '.join(TIMERS)}` as {self.host.user}, logged in.",
                is_fatal=True,
            )

    def remove(self, env_file: str, *, is_dry_run: bool = False) -> tuple[CronWarning, ...] | None:
        """Delete the units of this env file; None: there were none."""
        files = self.read()
        if not files:
            return None
        refuse_other(self.kind, self.location, unit_entries(files), env_file)
        if is_dry_run:
            return ()
        timers = [name for name in TIMERS if name in files]
        # Asked before they are gone, and the links deleted by hand where no systemd answers.
        stopped = self.systemctl("disable", "--now", *timers) if timers else None
        for name in timers:
            if (self._enabled / name).is_symlink():
                delete_file(self._enabled / name)
        for name in files:
            delete_file(self._folder / name)
        problem = stopped or self.systemctl("daemon-reload")
        if problem is None:
            return ()
        return (
            CronWarning(
                f"the units are deleted, but systemd has not reloaded: {problem}. Where it runs, "
                "run `systemctl --user daemon-reload`."
            ),
        )

    def read(self) -> dict[str, str]:
        """Our unit files that are there, by name; a file of that name that is not ours is none of them.

        Raises ``UnreadableError``.
        """
        texts = {name: read_file(self._folder / name) for name in _UNITS}
        return {name: text for name, text in texts.items() if text.startswith(UNIT_MARK)}

    def write(self, files: Mapping[str, str]) -> None:
        """Write the unit files. Raises ``OrwatchError``, also for one of that name that is not ours."""
        folder = self._folder
        for name in files:
            before = read_file(folder / name)
            if before and not before.startswith(UNIT_MARK):
                raise OrwatchError(
                    f"{folder / name} was not written by orwatch; nothing was changed. Move it away first."
                )
        try:
            make_private_folder(folder)
        except OSError as error:
            raise OrwatchError(f"cannot create {folder}: {error.strerror}.") from error
        for name, text in files.items():
            write_file(folder / name, text, _UNIT_MODE)

    def systemctl(self, *arguments: str) -> str | None:
        """Give the user's systemd a command; why it did not work, or None."""
        command = self.host.find_command("systemctl")
        if command is None:
            return "there is no systemctl"
        try:
            done = self.host.run([command, "--user", *arguments])
        except OrwatchError as error:
            return error.problem
        return (done.problem or f"it exited with {done.code}") if done.code else None


def check_lingering(host: Host) -> Iterator[CronWarning]:
    """Whether the user's timers run while nobody is logged in."""
    if not (host.linger / host.user).exists():
        yield CronWarning(
            "the timers run only while you are logged in: `loginctl enable-linger` lets them run always."
        )


def _joined(files: Mapping[str, str]) -> str:
    return "".join(f"{name}\n{text}" for name, text in sorted(files.items()))


def unit_entries(files: Mapping[str, str]) -> tuple[Entry, ...]:
    """What the services among unit files start."""
    named = ((job, files.get(unit_name(job, "service"))) for job in Job)
    return tuple(read_service(job, text) for job, text in named if text is not None)
