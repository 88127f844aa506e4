"""Doctor's look at the settings: what is wrong in them, and who may read and write the files they name."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from orwatch.config.settings import Settings, examine_settings
from orwatch.errors import SettingsError
from orwatch.jobs.doctor.result import Check, CheckArea

_AREA = CheckArea.SETTINGS

_BY_OTHERS = 0o077  # of a file: read, written or run by its group or by everybody
_WRITTEN_BY_OTHERS = 0o022
_READ_BY_ALL_OR_WRITTEN = 0o026  # a log may be for its group to read


@dataclass(frozen=True, slots=True)
class FoundSettings:
    """The settings, as far as they can be used: ``wrong`` names those that are as by default.

    ``settings`` None: not even the env file could be read.
    """

    settings: Settings | None
    wrong: frozenset[str]
    checks: tuple[Check, ...]


def examine(environ: Mapping[str, str], env_file_option: str | None) -> FoundSettings:
    """Read the settings and check them and their files."""
    try:
        settings, errors = examine_settings(environ, env_file_option)
    except SettingsError as error:
        return FoundSettings(None, frozenset(), (_wrong("env file", error),))
    wrong = frozenset(error.setting for error in errors if error.setting)
    checks = [_wrong(error.setting or "env file", error) for error in errors]
    checks = checks or [_AREA.ok("settings", "every value can be used")]
    checks += [_unknown_name(name, nearest) for name, nearest in settings.unknown_names]
    is_named = bool(env_file_option or environ.get("ORWATCH_ENV_FILE", "").strip())
    checks += _env_file_checks(settings.env_file, is_named=is_named)
    if "ORWATCH_HEARTBEAT_URL" not in wrong:
        is_set = settings.heartbeat_url is not None
        checks.append(
            _AREA.ok("heartbeat", "an address is set; nothing was sent" if is_set else "none is set here")
        )
    if settings.log_file is not None and "ORWATCH_LOG_FILE" not in wrong:
        checks += _log_checks(settings.log_file)
    return FoundSettings(settings, wrong, tuple(checks))


def _wrong(subject: str, error: SettingsError) -> Check:
    advice = error.advice or "Correct it in the environment or in the env file."
    return _AREA.finding(subject, error.problem, advice)


def _unknown_name(name: str, nearest: str | None) -> Check:
    advice = f"Did you mean {nearest}?" if nearest else "Delete it; the README lists every setting."
    return _AREA.finding(name, "there is no such setting: it is ignored", advice)


def _env_file_checks(env_file: Path, *, is_named: bool) -> Iterator[Check]:
    if not os.path.lexists(env_file):
        if is_named:
            yield _AREA.finding(
                "env file",
                f"{env_file} does not exist",
                "Correct --env-file or ORWATCH_ENV_FILE, or let `orwatch init` write the file.",
            )
        else:
            yield _AREA.skipped("env file", f"there is none ({env_file})")
        return
    checks = [*_mode_checks("env file", env_file, _BY_OTHERS), *_folder_checks("env file", env_file.parent)]
    yield from checks or [_AREA.ok("env file", f"{env_file} is yours alone to read and write")]


def _log_checks(log_file: Path) -> Iterator[Check]:
    if not log_file.parent.is_dir():
        advice = f"Create it: mkdir -p {_quoted(log_file.parent)}"
        yield _AREA.finding("log file", f"the folder {log_file.parent} does not exist", advice)
        return
    target = log_file if log_file.exists() else log_file.parent
    checks = []
    if not os.access(target, os.W_OK):
        advice = "Make it writable for the user whose cron runs orwatch, or name another ORWATCH_LOG_FILE."
        checks.append(_AREA.finding("log file", f"{target} cannot be written", advice))
    checks += _mode_checks("log file", log_file, _READ_BY_ALL_OR_WRITTEN)
    checks += _folder_checks("log file", log_file.parent)
    yield from checks or [_AREA.ok("log file", f"{log_file} can be written")]


def database_mode_checks(database: Path) -> list[Check]:
    """Whether others may read or write the database, its write-ahead log, or the folder they are in."""
    checks = list(_mode_checks("database", database, _BY_OTHERS))
    for suffix in () if checks else ("-wal", "-shm"):  # SQLite gives them the mode of the database
        checks += _mode_checks("database", database.with_name(database.name + suffix), _BY_OTHERS)
    checks += _folder_checks("database", database.parent)
    checks = checks or [_AREA.ok("database", f"{database} is yours alone to read and write")]
    return [replace(check, area=CheckArea.DATABASE) for check in checks]


def _mode_checks(subject: str, file: Path, forbidden: int) -> Iterator[Check]:
    found = _status(file)
    if found is None:
        return
    # What belongs to somebody else, root as a rule, may be there for this user by its group.
    is_own = found.st_uid == os.geteuid() or os.geteuid() == 0
    excess = stat.S_IMODE(found.st_mode) & (forbidden if is_own else forbidden & 0o027)
    if excess:
        mode, wanted = f"{stat.S_IMODE(found.st_mode):04o}", "600" if is_own else "640"
        yield _AREA.finding(
            subject,
            f"{file} can be {_deeds(excess)} by others (mode {mode})",
            f"chmod {wanted} {_quoted(file)}",
        )


def _folder_checks(subject: str, folder: Path) -> Iterator[Check]:
    found = _status(folder)
    if found is None or not stat.S_IMODE(found.st_mode) & _WRITTEN_BY_OTHERS:
        return
    mode = f"{stat.S_IMODE(found.st_mode):04o}"
    is_shared = bool(found.st_mode & stat.S_ISVTX)
    advice = "Move the file to a folder of your own." if is_shared else f"chmod go-w {_quoted(folder)}"
    yield _AREA.finding(subject, f"others can put files into the folder {folder} (mode {mode})", advice)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _deeds(mode: int) -> str:
    read, written = mode & 0o044, mode & 0o022
    return "read and written" if read and written else "written" if written else "read"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
