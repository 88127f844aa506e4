"""What would make a schedule fail without a word: each with what to do about it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from orwatch.config.database_url import describe
from orwatch.config.settings import PREFIX, SETTING_NAMES, Settings, load_settings
from orwatch.errors import SettingsError
from orwatch.files import exists
from orwatch.jobs.cron.host import Host, is_gone
from orwatch.jobs.cron.result import CronPlace, CronWarning
from orwatch.jobs.cron.text import Invocation

_DAEMONS = frozenset({"cron", "crond"})
# Without these from the environment, a run under cron fails or works on another database.
_DECISIVE = ("ORWATCH_DATABASE_URL", "ORWATCH_ENCRYPTION_KEY")
DATA_HOME = "XDG_DATA_HOME"
_READ, _WRITE, _EXECUTE = 4, 2, 1


def check_daemon(host: Host, place: CronPlace) -> Iterator[CronWarning]:
    """Whether a cron runs that reads that place."""
    daemons = running_daemons(host.processes)
    if daemons is None:
        return  # macOS, or other users' processes are hidden
    if not daemons:
        is_installed = any(host.find_command(name) for name in _DAEMONS)
        what = "no cron daemon is running" if is_installed else "no cron daemon is installed"
        yield CronWarning(
            f"{what}: nothing starts the jobs. Debian: `apt install cron`, `service cron start`; "
            "RHEL: `dnf install cronie`, `systemctl enable --now crond`; Alpine: `rc-update add crond`, "
            "`rc-service crond start`; in a container: start `crond` or `cron` as one of its processes. "
            "Or use `orwatch cron install --systemd`.",
            is_fatal=True,
        )
    elif place is CronPlace.ETC_CRON_D and daemons == {"busybox"}:
        yield CronWarning(
            "the cron that runs is busybox's, which does not read /etc/cron.d: use `--user-crontab`.",
            is_fatal=True,
        )


def running_daemons(processes: Path) -> frozenset[str] | None:
    """Which crons run: ``cron``, ``crond``, ``busybox``; None where processes cannot be seen."""
    try:
        (processes / "1" / "cmdline").read_bytes()
    except OSError:
        return None
    found = set()
    for folder in processes.iterdir():
        if folder.name.isdigit() and (name := _daemon(folder)):
            found.add(name)
    return frozenset(found)


def _daemon(process: Path) -> str | None:
    try:
        name = (process / "comm").read_bytes().strip().decode("utf-8", "replace")
        words = [os.fsdecode(word) for word in (process / "cmdline").read_bytes().split(b"\0")]
    except OSError:  # it has ended meanwhile
        return None
    if not words[0]:  # a zombie
        return None
    if Path(words[0]).name == "busybox":
        return "busybox" if words[1:2] == ["crond"] else None
    if name not in _DAEMONS:
        return None
    try:
        program = (process / "exe").readlink().name
    except OSError:
        program = name
    return "busybox" if program.startswith("busybox") else name


def data_folder(home: str) -> dict[str, str]:
    """What a home folder says to a program under cron: where the database is, unless it is named."""
    return {DATA_HOME: str(Path(home, ".local", "share"))}


def check_files(invocation: Invocation, host: Host) -> Iterator[CronWarning]:
    """Whether the user who is to run the jobs can use the program and the files."""
    user = host.user
    program, env_file = Path(invocation.program), Path(invocation.env_file)
    if problem := program_problem(program):
        yield CronWarning(problem, is_fatal=True)
    elif not _may(host, program, _EXECUTE):
        yield CronWarning(
            f"{user} may not run {program}: install orwatch where {user} reaches it.", is_fatal=True
        )
    elif (interpreter := _interpreter(program)) and not _may(host, interpreter, _EXECUTE):
        yield CronWarning(
            f"{user} may not run {interpreter}, which {program} needs: install orwatch with a Python that "
            f"{user} reaches.",
            is_fatal=True,
        )
    elif ".cache" in program.parts:
        yield CronWarning(
            f"{program} is in a cache, where uvx and `pipx run` put what is to be deleted again: install "
            "orwatch (`uv tool install` or `pipx install`), then run `orwatch cron install`."
        )
    if not exists(env_file):
        if _may(host, _nearest_folder(env_file), _EXECUTE):
            yield CronWarning(
                f"there is no env file {env_file} yet: `orwatch init` makes it, "
                "or name the right one with --env-file."
            )
        else:
            yield _unreadable(user, env_file)
    elif not _may(host, env_file, _READ):
        yield _unreadable(user, env_file)
    if invocation.log_file is not None and (problem := log_file_problem(invocation.log_file, host)):
        yield CronWarning(problem, is_fatal=True)


def log_file_problem(log_file: str, host: Host) -> str | None:
    """Why the user who is to run the jobs cannot write the log file, if they cannot."""
    path = Path(log_file)
    if _may(host, path if exists(path) else path.parent, _WRITE):
        return None
    user = host.user
    return f"{user} cannot write the log file {log_file}: make its folder, or give it to {user}."


def _nearest_folder(path: Path) -> Path:
    return next(folder for folder in path.parents if exists(folder))


def _unreadable(user: str, env_file: Path) -> CronWarning:
    return CronWarning(
        f"{user} cannot read the env file {env_file}: "
        "name one of theirs with --env-file, or let them read that one.",
        is_fatal=True,
    )


def program_problem(program: Path) -> str | None:
    """What is wrong with an installed program, if anything."""
    again = "install orwatch again, then run `orwatch cron install` with it"
    try:
        with program.open("rb") as file:
            first_line = file.readline(500)
    except (FileNotFoundError, NotADirectoryError):
        return f"{program} is gone (a virtual environment that was deleted or moved?): {again}."
    except OSError as error:
        if isinstance(error, PermissionError) and not exists(program):
            return f"{program} cannot be seen by this user (permission denied): look as who runs the jobs."
        return None  # who may run it is another question
    interpreter = _named_interpreter(first_line)
    if interpreter is not None and is_gone(interpreter):
        return (
            f"{program} cannot run: its {interpreter} is gone (an upgrade of Python under a virtual "
            f"environment?): {again}."
        )
    return None


def _interpreter(program: Path) -> Path | None:
    try:
        with program.open("rb") as file:
            return _named_interpreter(file.readline(500))
    except OSError:
        return None


def _named_interpreter(first_line: bytes) -> Path | None:
    """What a program's first line says that it is run by."""
    words = first_line[2:].split() if first_line.startswith(b"#!") else []
    return Path(os.fsdecode(words[0])) if words else None


def _may(host: Host, path: Path, wanted: int) -> bool:
    """Whether the user may read, write or execute; all folders above included."""
    if host.uid == os.geteuid():
        return os.access(path, wanted)
    if host.uid == 0:
        return path.exists()
    try:
        groups = set(os.getgrouplist(host.user, pwd.getpwuid(host.uid).pw_gid))
    except KeyError:
        groups = set()
    try:
        path = path.resolve()
        return all(
            _is_allowed(each.stat(), host.uid, groups, wanted if each == path else _EXECUTE)
            for each in (path, *path.parents)
        )
    except OSError:
        return False


def _is_allowed(status: os.stat_result, uid: int, groups: set[int], wanted: int) -> bool:
    shift = 6 if status.st_uid == uid else 3 if status.st_gid in groups else 0
    return bool(status.st_mode >> shift & wanted)


def check_environment(
    invocation: Invocation, host: Host, settings: Settings, *, is_their_shell: bool = True
) -> Iterator[CronWarning]:
    """Which settings of this shell cron will not have.

    ``is_their_shell``: it is a shell of the user who is to run the jobs. In root's, reached with sudo, what
    follows from the home folder says nothing of them.
    """
    bare = data_folder(str(host.home))
    env_file = invocation.env_file
    try:
        under_cron = load_settings(bare, env_file)
    except SettingsError as error:
        yield CronWarning(f"without this shell's environment, as under cron: {error}", is_fatal=True)
        return
    for name in SETTING_NAMES:
        value = host.environ.get(name, "").strip()
        if not value or name == f"{PREFIX}ENV_FILE" or name in dict(invocation.variables):
            continue
        with_it = load_settings({**bare, name: value}, env_file)
        if replace(with_it, encryption_keys_elsewhere=None) != under_cron:
            yield CronWarning(
                f"{name} is set in this shell, and cron will not have it: put it into {env_file}.",
                is_fatal=name.startswith(_DECISIVE),
            )
    is_set_here = any(
        value.strip() for name, value in host.environ.items() if name.startswith("ORWATCH_DATABASE_URL")
    )
    if is_their_shell and not is_set_here and settings.database_url != under_cron.database_url:
        yield CronWarning(
            f"this shell works on the database {describe(settings.database_url)}, and cron would on "
            f"{describe(under_cron.database_url)}: put ORWATCH_DATABASE_URL={settings.database_url} "
            f"into {env_file}.",
            is_fatal=True,
        )
