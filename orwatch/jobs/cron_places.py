"""The places that hold a schedule: the user's crontab, /etc/cron.d and systemd's user units."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orwatch.crontab import UNIT_MARK, unit_name
from orwatch.errors import OrwatchError, UnreadableError
from orwatch.models import Job

_NO_CRONTAB_YET = ("no crontab for", "can't open", "no such file")
CRON_D_MODE = 0o644
_UNIT_MODE = 0o600  # a heartbeat's address is a secret, and the user's own systemd reads them


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The machine and the user for whom the schedule is kept.

    ``user``: whose crontab it is, and the user column of /etc/cron.d. ``home``: the folder that cron takes
    for their home, whatever this shell's is.
    """

    environ: Mapping[str, str]
    user: str
    uid: int
    home: Path
    program: Path
    cron_d: Path = Path("/etc/cron.d")
    processes: Path = Path("/proc")
    linger: Path = Path("/var/lib/systemd/linger")
    timeout_seconds: float = 30.0

    @property
    def cron_d_file(self) -> Path:
        """Our file; a dot in its name would keep some crons from reading it."""
        return self.cron_d / "orwatch"

    @property
    def system_crontab(self) -> Path:
        """The machine's own table, with a user column."""
        return self.cron_d.with_name("crontab")

    @property
    def unit_folder(self) -> Path:
        """Where a user's own units are."""
        named = self.environ.get("XDG_CONFIG_HOME", "")
        home = Path(self.environ.get("HOME") or self.home)
        return (Path(named) if named.startswith("/") else home / ".config") / "systemd" / "user"

    def find_command(self, name: str) -> str | None:
        """A program of the system, by its absolute path."""
        path = os.pathsep.join((self.environ.get("PATH", ""), "/usr/bin", "/bin", "/usr/sbin", "/sbin"))
        return shutil.which(name, path=path)


@dataclass(frozen=True, slots=True)
class _Done:
    code: int
    stdout: bytes
    problem: str


def read_crontab(surroundings: Surroundings) -> str:
    """The user's crontab; empty when there is none.

    Raises ``OrwatchError`` when there is no ``crontab`` command, ``UnreadableError`` when it refuses.
    """
    done = _run_crontab(surroundings, "-l")
    if done.code == 0:
        return os.fsdecode(done.stdout)
    if not done.stdout and any(words in done.problem.lower() for words in _NO_CRONTAB_YET):
        return ""
    raise UnreadableError(_refusal("read", surroundings, done))


def write_crontab(surroundings: Surroundings, text: str) -> None:
    """Replace the user's crontab; an empty text removes it.

    Raises ``OrwatchError`` when it was not taken, or reads back as something else.
    """
    done = _run_crontab(surroundings, "-", text) if text else _run_crontab(surroundings, "-r")
    if done.code:
        raise OrwatchError(_refusal("changed", surroundings, done))
    if read_crontab(surroundings) != text:
        raise OrwatchError(
            f"the crontab of {surroundings.user} reads back as something else than was written. Somebody may "
            "have changed it at the same moment: look at it (`crontab -l`), and try again."
        )


def _refusal(verb: str, surroundings: Surroundings, done: _Done) -> str:
    reason = done.problem or f"crontab exited with {done.code}"
    return (
        f"the crontab of {surroundings.user} cannot be {verb}: {reason}. Where users may have no crontab "
        "(cron.allow, cron.deny), root can allow it, or use `--etc-cron-d` as root, or `--systemd`."
    )


def _run_crontab(surroundings: Surroundings, argument: str, text: str | None = None) -> _Done:
    command = surroundings.find_command("crontab")
    if command is None:
        raise OrwatchError(
            "there is no `crontab` command: install cron (Debian: `apt install cron`, RHEL: "
            "`dnf install cronie`, Alpine: `apk add busybox-suid` or `apk add cronie`), "
            "or use `orwatch cron install --systemd`."
        )
    return _run(surroundings, [command, argument], None if text is None else os.fsencode(text))


def _run(surroundings: Surroundings, command: Sequence[str], content: bytes | None = None) -> _Done:
    try:
        done = subprocess.run(  # noqa: S603 (absolute path, fixed arguments)
            command,
            input=b"" if content is None else content,
            capture_output=True,
            timeout=surroundings.timeout_seconds,
            env={**surroundings.environ, "LC_ALL": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        seconds = f"{surroundings.timeout_seconds:g}"
        raise UnreadableError(f"`{command[0]}` did not end within {seconds} seconds.") from None
    except OSError as error:
        raise UnreadableError(f"cannot run `{command[0]}`: {error.strerror}.") from error
    problem = " ".join(done.stderr.decode("utf-8", "replace").split()).rstrip(".")
    return _Done(done.returncode, done.stdout, problem)


def read_file(path: Path) -> str:
    """A file's text, each byte kept; empty when there is none. Raises ``UnreadableError``."""
    try:
        return os.fsdecode(path.read_bytes())
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UnreadableError(f"cannot read {path}: {error.strerror}.") from error


def read_system_tables(surroundings: Surroundings) -> Iterator[tuple[Path, str]]:
    """The machine's tables that can be read, but for our own file: where they are, and their texts."""
    try:
        files = sorted(surroundings.cron_d.iterdir())
    except OSError:
        files = []
    for path in (surroundings.system_crontab, *files):
        if path != surroundings.cron_d_file and path.is_file():
            with suppress(UnreadableError):
                yield path, read_file(path)


def write_file(path: Path, text: str, mode: int = CRON_D_MODE) -> None:
    """Exchange a file in one step, with this mode: nobody ever reads half of it. Raises ``OrwatchError``."""
    try:
        # A name that begins with a dot is read by neither.
        descriptor, name = tempfile.mkstemp(prefix=".orwatch-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.fsencode(text))
                os.fchmod(file.fileno(), mode)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OrwatchError(f"cannot write {path}: {error.strerror}.") from error


def read_units(surroundings: Surroundings) -> dict[str, str]:
    """Our unit files that are there, by name; a file of that name that is not ours is none of them.

    Raises ``UnreadableError``.
    """
    texts = {name: read_file(surroundings.unit_folder / name) for name in unit_names()}
    return {name: text for name, text in texts.items() if text.startswith(UNIT_MARK)}


def unit_names() -> tuple[str, ...]:
    """The names of all our unit files."""
    return tuple(unit_name(job, kind) for job in Job for kind in ("service", "timer"))


def write_units(surroundings: Surroundings, files: Mapping[str, str]) -> None:
    """Write the unit files. Raises ``OrwatchError``, also for one of that name that is not ours."""
    folder = surroundings.unit_folder
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


def delete_units(surroundings: Surroundings, names: Sequence[str]) -> None:
    """Delete unit files. Raises ``OrwatchError``."""
    for name in names:
        delete_file(surroundings.unit_folder / name)


def delete_file(path: Path) -> None:
    """Delete a file. Raises ``OrwatchError``."""
    try:
        with suppress(FileNotFoundError):
            path.unlink()
    except OSError as error:
        raise OrwatchError(f"cannot delete {path}: {error.strerror}.") from error


def timer_names() -> tuple[str, ...]:
    """The timers, as systemctl is told of them."""
    return tuple(unit_name(job, "timer") for job in Job)


def run_systemctl(surroundings: Surroundings, *arguments: str) -> str | None:
    """Tell the user's systemd something; why it did not work, or None."""
    command = surroundings.find_command("systemctl")
    if command is None:
        return "there is no systemctl"
    try:
        done = _run(surroundings, [command, "--user", *arguments])
    except OrwatchError as error:
        return str(error).rstrip(".")
    return (done.problem or f"it exited with {done.code}") if done.code else None
