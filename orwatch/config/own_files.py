"""The files that orwatch lives by: nothing that a command writes may take their place."""

from __future__ import annotations

import os
from pathlib import Path

from orwatch.config.database_url import is_postgres, sqlite_path
from orwatch.config.settings import Settings
from orwatch.errors import SettingsError, UsageError
from orwatch.files import is_same_file
from orwatch.leftovers import SQLITE_LOGS


def refuse_own_file(file: Path, settings: Settings) -> None:
    """Raises ``UsageError`` for a file that orwatch lives by, whatever it is called and there or not."""
    what = _own_file(file, settings)
    if what is None and settings.log_file is not None and is_same_file(file, settings.log_file):
        what = "the log file"
    if what is not None:
        raise UsageError(f"{file} is {what}", "Name another file.")


def check_log_file(file: Path, settings: Settings) -> None:
    """Raises ``SettingsError`` for a log in a file that orwatch lives by."""
    what = _own_file(file, settings)
    if what is not None:
        raise SettingsError(f"ORWATCH_LOG_FILE={str(file)!r} is {what}", "Name another file.")


def _own_file(file: Path, settings: Settings) -> str | None:
    if is_same_file(file, settings.env_file):
        return "the env file"
    if is_postgres(settings.database_url):
        return None
    database = sqlite_path(settings.database_url)
    if is_companion(Path(os.path.realpath(file)), database):
        return "a file of the database"
    return "the database itself" if is_same_file(file, database) else None


def is_companion(file: Path, database: Path) -> bool:
    """Whether a file would be SQLite's log of this database, or one of its locks; there now or not."""
    for named in (database, database.resolve()):
        if file.parent.resolve() == named.parent.resolve() and file.name.startswith(named.name):
            ending = file.name.removeprefix(named.name)
            if ending in SQLITE_LOGS or (ending.startswith(".") and ending.endswith(".lock")):
                return True
    return False
