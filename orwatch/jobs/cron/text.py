"""The text of crontabs and systemd units: made, found, read, and when they fire. Pure.

cron runs in the machine's own time zone, orwatch in UTC. Each entry wakes every quarter of an hour and asks
the clock in UTC; that is right in every zone, over every clock change, and when cron is 14 minutes late.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo

from orwatch.domain.runs import Job
from orwatch.domain.schedule import next_slot
from orwatch.errors import BrokenMarksError, UsageError
from orwatch.jobs.cron.result import CronTime

MARK_BEGIN = "# >>> orwatch >>>"
MARK_END = "# <<< orwatch <<<"
UNIT_MARK = "# Written by `orwatch cron install --systemd`; `orwatch cron remove` deletes it."
# Debian's cron ignores a whole file for one command of 1,000 characters.
MAX_LINE_BYTES = 900

ARGUMENTS: Mapping[Job, tuple[str, ...]] = {
    Job.SYNC: ("sync", "--catch-up", "--quiet"),
    Job.VALIDATE: ("validate", "--quiet"),
    Job.CLEANUP: ("cleanup", "--quiet"),
}
WHEN: Mapping[Job, str] = {
    Job.SYNC: "every hour",
    Job.VALIDATE: "daily, 02:00",
    Job.CLEANUP: "Sundays, 03:00",
}
# What `date -u` is asked for, and the shell's patterns of the answers in which the job is due.
_GUARDS: Mapping[Job, tuple[str, str]] = {
    Job.SYNC: ("%M", "0?|1[0-4]"),
    Job.VALIDATE: ("%H%M", "020?|021[0-4]"),
    Job.CLEANUP: ("%u%H%M", "7030?|7031[0-4]"),
}
_PURPOSES: Mapping[Job, str] = {
    Job.SYNC: "Every hour, on the hour: fetch the usage of every active key, and run what was missed.",
    Job.VALIDATE: "Every day at 02:00 UTC: ask about every key, deactivate those that are really invalid.",
    Job.CLEANUP: "Every Sunday at 03:00 UTC: move usage past the retention to the monthly totals.",
}
# A file in /etc/cron.d has its own variables; in a user's crontab they would reach the entries below.
_CRON_D_VARIABLES = "SHELL=/bin/sh\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
_LOG_FILE = "ORWATCH_LOG_FILE"
_HEARTBEAT_URL = "ORWATCH_HEARTBEAT_URL"

_ENTRY = re.compile(
    r"\*/15 \* \* \* \* (?:(?P<user>\S+) )?"
    r'case "\$\(date -u \+(?P<asked>[\\%a-zA-Z]+)\)" in (?P<patterns>[^)]+)\) (?P<command>.*);; esac'
)
# A program named orwatch, options, and a job: not a path that has the word in it.
_PROGRAM = r"orwatch(?:\.pyz|\.pex)?"
_WORD = r"""(?:[^\s'"]|'[^']*'|"[^"]*")+"""
_CALL = re.compile(
    rf"""(?<![\w.-]){_PROGRAM}["']?(?:\s+-[\w-]+(?:[= ](?!-){_WORD})?)*\s+(?:{"|".join(Job)})(?![\w./-])"""
)
_NAMED_ENV_FILE = re.compile(rf"--env-file[= ]({_WORD})")
_COMMENTED_OUT = re.compile(r"#\s*[\d*@]")
PLAIN = re.compile(r"[\w@+=:,./-]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Invocation:
    """What every entry calls: the program, its env file, and settings that are the entries' own."""

    program: str
    env_file: str
    log_file: str | None = None
    heartbeat_url: str | None = None

    @property
    def variables(self) -> tuple[tuple[str, str], ...]:
        """The settings as variables of the environment."""
        pairs = ((_HEARTBEAT_URL, self.heartbeat_url), (_LOG_FILE, self.log_file))
        return tuple((name, value) for name, value in pairs if value is not None)

    def words(self, job: Job) -> tuple[str, ...]:
        """The command of a job."""
        return (self.program, "--env-file", self.env_file, *ARGUMENTS[job])


@dataclass(frozen=True, slots=True)
class Block:
    """Our lines in a crontab, marks included, and where they begin and end."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line that starts something. ``job`` None: it is none of ours, or fires at other times.

    ``command``: as a shell would be given it.
    """

    job: Job | None
    command: str
    invocation: Invocation | None
    user: str | None = None


def entries(invocation: Invocation, user: str | None = None) -> str:
    """The lines between and with the marks; with ``user`` for /etc/cron.d.

    Raises ``UsageError`` for a path that no crontab can hold.
    """
    lines = [f"# {_PURPOSES[job]}\n{_checked(_entry(job, invocation, user))}\n" for job in ARGUMENTS]
    return f"{MARK_BEGIN}\n{_CRON_D_VARIABLES if user else ''}{''.join(lines)}{MARK_END}\n"


def _entry(job: Job, invocation: Invocation, user: str | None) -> str:
    asked, patterns = _GUARDS[job]
    escaped = asked.replace("%", "\\%")
    assignments = [f"{name}={quoted(value)}" for name, value in invocation.variables]
    command = " ".join([*assignments, *(quoted(word) for word in invocation.words(job))])
    column = f"{user} " if user else ""
    return f'*/15 * * * * {column}case "$(date -u +{escaped})" in {patterns}) {command};; esac'


def _checked(line: str) -> str:
    if len(line.encode("utf-8", "surrogateescape")) > MAX_LINE_BYTES:
        raise UsageError(
            f"an entry would be longer than {MAX_LINE_BYTES} characters, and some crons then ignore the "
            "whole file: use shorter paths, and set the log file and the heartbeat in the env file."
        )
    return line


def quoted(text: str) -> str:
    """The text as one word of a crontab's command, the same for every cron.

    Some crons take the backslash of ``\\%`` away and some leave it to the shell, so it stands outside quotes,
    where both come to the same. Raises ``UsageError`` for what cannot be said so.
    """
    refuse_control(text)
    if "\\" in text:
        raise UsageError(f"{text!r} has a backslash, which crons read differently: use a path without.")
    parts = (_quoted_part(part) for part in re.split("([%'])", text) if part)
    return "".join(parts) or "''"


def _quoted_part(part: str) -> str:
    if part == "%":
        return "\\%"
    if part == "'":
        return '"\'"'
    return part if PLAIN.fullmatch(part) else f"'{part}'"


def refuse_control(text: str) -> None:
    if _CONTROL.search(text):
        raise UsageError(f"{text!r} has a line end or another control character: use a path without.")


def find_block(text: str) -> Block | None:
    """Our lines in a crontab, or None. Raises ``BrokenMarksError`` for marks that are no pair."""
    begins, ends = [], []
    position = 0
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        if line.strip() == MARK_BEGIN:
            begins.append(position)
        position += len(line)
        if line.strip() == MARK_END:
            ends.append(position)
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or begins[0] >= ends[0]:
        what = "the jobs are in there more than once: " if len(begins) > 1 and len(ends) > 1 else ""
        raise BrokenMarksError(
            f"{what}the marks of orwatch's lines, {MARK_BEGIN!r} and {MARK_END!r}, are there "
            f"{len(begins)} and {len(ends)} times and not as one pair, so that it cannot be told which lines "
            "are orwatch's",
            "Delete them and the lines between by hand (`crontab -e`), then run `orwatch cron install`.",
        )
    return Block(begins[0], ends[0], text[begins[0] : ends[0]])


def with_block(text: str, block: str) -> str:
    """The crontab with our lines as ``block``: in their place, or at the end. Ends with a line end."""
    found = find_block(text)
    if found is None:
        return _with_line_end(text) + block
    return _with_line_end(text[: found.start] + block + text[found.end :])


def _with_line_end(text: str) -> str:
    # Without one at the end of the file, some crons ignore all of it.
    return text if not text or text.endswith("\n") else f"{text}\n"


def without_block(text: str) -> str:
    """The crontab without our lines, every other byte as it was."""
    found = find_block(text)
    return text if found is None else text[: found.start] + text[found.end :]


def read_entries(text: str) -> tuple[Entry, ...]:
    """What the lines of a block start."""
    lines = (line.strip() for line in text.split("\n"))
    is_entry = re.compile(r"(?!#|\w+\s*=)\S")
    return tuple(_read_entry(line) for line in lines if is_entry.match(line))


def _read_entry(line: str) -> Entry:
    match = _ENTRY.fullmatch(line)
    if match is None:
        return Entry(None, line, None)
    guard = match["asked"].replace("\\", ""), match["patterns"]
    command = match["command"]
    job = next((job for job, known in _GUARDS.items() if known == guard), None)
    try:
        words = shlex.split(command)
    except ValueError:
        return Entry(None, line, None)
    return _as_entry(job, words, match["user"])


def _as_entry(job: Job | None, words: list[str], user: str | None) -> Entry:
    variables: dict[str, str] = {}
    while words and (assignment := re.fullmatch(r"(ORWATCH_\w+)=(.*)", words[0])):
        variables[assignment[1]] = assignment[2]
        words = words[1:]
    return entry_of(job, words, variables, user)


def entry_of(job: Job | None, words: list[str], variables: Mapping[str, str], user: str | None) -> Entry:
    shown = [*(f"{name}={shlex.quote(value)}" for name, value in variables.items()), shlex.join(words)]
    command = " ".join(shown)
    if job is None or len(words) < 4 or words[1] != "--env-file" or words[3] != job.value:
        return Entry(None, command, None, user)
    invocation = Invocation(words[0], words[2], variables.get(_LOG_FILE), variables.get(_HEARTBEAT_URL))
    return Entry(job, command, invocation, user)


def calls_of_orwatch(text: str) -> tuple[str, ...]:
    """The lines of a crontab, whoever wrote them, that start one of the jobs."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if not line.startswith("#") and _CALL.search(line))


def env_file_named_in(line: str) -> str | None:
    """The env file that a line names with ``--env-file``."""
    named = _NAMED_ENV_FILE.search(line)
    return re.sub(r"['\"\\]", "", named[1]) if named else None


def foreign_lines(block: Block) -> tuple[str, ...]:
    """Lines between our marks that are none of ours, as somebody wrote them; comments may be an older ours.

    An entry of ours that was changed, or commented out, is ours.
    """
    known = {MARK_BEGIN, MARK_END, "", *_CRON_D_VARIABLES.splitlines()}
    lines = (line.strip() for line in block.text.split("\n"))
    return tuple(
        line
        for line in lines
        if line not in known
        and (_COMMENTED_OUT.match(line) or not line.startswith("#"))
        and not _CALL.search(line)
    )


def variables_above(text: str) -> dict[str, str]:
    """The variables that a user's crontab sets for our entries: those above them, the last of each."""
    found = find_block(text)
    above = text[: found.start] if found else text
    matches = re.finditer(r"^[ \t]*(['\"]?)(\w+)\1[ \t]*=[ \t]*(.*?)[ \t\r]*$", above, re.MULTILINE)
    return {match[2]: re.sub(r"\A(['\"])(.*)\1\Z", r"\2", match[3]) for match in matches}


def unit_name(job: Job, kind: str) -> str:
    """The file name of a job's ``service`` or ``timer``."""
    return f"orwatch-{job.value}.{kind}"


def next_times(job: Job, now: datetime, count: int, zone: tzinfo | None = None) -> tuple[CronTime, ...]:
    """The next times at which a job is due, in UTC and in a zone (None: the machine's own)."""
    times = []
    for _ in range(count):
        now = next_slot(job, now)
        times.append(CronTime(now, now.astimezone(zone)))
    return tuple(times)
