"""The machine and the user for whom the schedule is kept: folders, commands and files."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orwatch.errors import OrwatchError, UnreadableError
from orwatch.files import replace_file

CRON_D_MODE = 0o644


@dataclass(frozen=True, slots=True)
class FinishedCommand:
    """How a command ended. ``problem``: what it said on standard error, on one line."""

    code: int
    stdout: bytes
    problem: str


@dataclass(frozen=True, slots=True)
class Host:
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

    def run(self, command: Sequence[str], content: bytes = b"") -> FinishedCommand:
        """Run a command with this on its standard input. Raises ``UnreadableError``."""
        try:
            done = subprocess.run(  # noqa: S603 (absolute path, fixed arguments)
                command,
                input=content,
                capture_output=True,
                timeout=self.timeout_seconds,
                env={**self.environ, "LC_ALL": "C"},
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise UnreadableError(
                f"`{command[0]}` did not end within {self.timeout_seconds:g} seconds."
            ) from None
        except OSError as error:
            raise UnreadableError(f"cannot run `{command[0]}`: {error.strerror}.") from error
        problem = " ".join(done.stderr.decode("utf-8", "replace").split()).rstrip(".")
        return FinishedCommand(done.returncode, done.stdout, problem)

    def system_tables(self) -> Iterator[tuple[Path, str]]:
        """The machine's tables that can be read, but for our own file: where they are, and their texts."""
        try:
            files = sorted(self.cron_d.iterdir())
        except OSError:
            files = []
        for path in (self.system_crontab, *files):
            if path != self.cron_d_file and path.is_file():
                with suppress(UnreadableError):
                    yield path, read_file(path)


def read_file(path: Path) -> str:
    """A file's text, each byte kept; empty when there is none. Raises ``UnreadableError``."""
    try:
        return os.fsdecode(path.read_bytes())
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UnreadableError(f"cannot read {path}: {error.strerror}.") from error


def write_file(path: Path, text: str, mode: int = CRON_D_MODE) -> None:
    """Exchange a file in one step, with this mode. Raises ``OrwatchError``."""
    try:
        replace_file(path, os.fsencode(text), mode)
    except OSError as error:
        raise OrwatchError(f"cannot write {path}: {error.strerror}.") from error


def delete_file(path: Path) -> None:
    """Delete a file. Raises ``OrwatchError``."""
    try:
        with suppress(FileNotFoundError):
            path.unlink()
    except OSError as error:
        raise OrwatchError(f"cannot delete {path}: {error.strerror}.") from error


def is_gone(path: str | Path) -> bool:
    """Whether a file is not there; one that this user may not see is not gone."""
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
