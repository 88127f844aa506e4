"""The machine and the user, as the commands need them that look at cron."""

from __future__ import annotations

import os
import pwd
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from orwatch.cli.context import Context
from orwatch.errors import UsageError

if TYPE_CHECKING:
    from orwatch.config.settings import Settings
    from orwatch.jobs.cron.host import Host
    from orwatch.jobs.cron.result import CronShowResult


_PROGRAM = "orwatch"


def read_host(context: Context) -> Host:
    """Who runs this, and which program it is. Raises ``UsageError`` where it cannot be found."""
    from orwatch.jobs.cron.host import Host

    uid = os.geteuid()
    try:
        user = pwd.getpwuid(uid)
        name, home = user.pw_name, user.pw_dir
    except KeyError:  # a container's made-up user
        name, home = str(uid), "/"
    return Host(context.environ, name, uid, Path(home), _program())


def _program() -> Path:
    """This very installation's program, by the path by which it was called. Raises ``UsageError``."""
    called = Path(os.path.normpath(Path(sys.argv[0]).absolute()))
    candidates = (
        called,
        Path(sys.executable).with_name(_PROGRAM),
        Path(sysconfig.get_path("scripts"), _PROGRAM),
        Path(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user")), _PROGRAM),
    )
    if zipfile.is_zipfile(called):
        return _zip_application(called)
    for path in candidates:
        if path.name == _PROGRAM and path.is_file() and os.access(path, os.X_OK):
            return path
    raise UsageError(
        f"cannot find the program of this installation, {candidates[1]}", "Call `orwatch` itself."
    )


def _zip_application(path: Path) -> Path:
    """A file made by shiv or pex, if cron can start it. Raises ``UsageError``.

    An installed orwatch that its Python has as well is another program.
    """
    if not os.access(path, os.X_OK):
        raise UsageError(f"cron cannot start {path}: it is not executable", f"Run `chmod +x {path}`.")
    with path.open("rb") as file:
        if file.read(2) != b"#!":
            raise UsageError(
                f"cron cannot start {path}: its first line names no Python",
                "Build it again with one (shiv and zipapp: `--python`).",
            )
    return path


def look_at_schedule(context: Context, settings: Settings) -> CronShowResult:
    """What is installed, for commands whose concern is another one: it never fails."""
    from orwatch.jobs.cron import show as cron_show
    from orwatch.jobs.cron.result import CronShowResult

    try:
        host = read_host(context)
    except UsageError as error:
        return CronShowResult(context.now, (), unreadable=(error,))
    return cron_show.look(host, settings, context.now)
