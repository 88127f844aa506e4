"""Logs: to standard error or to a file, as text or as JSON lines, times in UTC."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler

from orwatch.config import Settings
from orwatch.errors import SettingsError
from orwatch.models import Job
from orwatch.text import is_terminal, printable


def start_log(settings: Settings, job: Job, *, is_verbose: bool, is_quiet: bool) -> Callable[[], None]:
    """Begin to log; what is returned ends it.

    To a file: from INFO on. To standard error: warnings; on a terminal only errors, for the summary that
    follows tells the rest. ``ORWATCH_LOG_LEVEL`` and ``-v`` (DEBUG) say otherwise; ``--quiet`` keeps
    everything below a warning off standard error. Raises ``SettingsError`` when the file cannot be opened.
    """
    handler = _handler(settings)
    handler.setFormatter(_JsonFormatter(job) if settings.log_format == "json" else _TextFormatter(job))
    handler.setLevel(_level(settings, is_verbose=is_verbose, is_quiet=is_quiet))
    logger = logging.getLogger("orwatch")
    logger.addHandler(handler)
    logger.setLevel(handler.level)
    logger.propagate = False

    def stop() -> None:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
        with suppress(OSError):  # a full disk has been told of already
            handler.close()

    return stop


def _handler(settings: Settings) -> logging.Handler:
    if settings.log_file is None:
        return logging.NullHandler() if sys.stderr is None else logging.StreamHandler(sys.stderr)
    try:
        # Opens the file again when logrotate has put it away.
        return _LogFile(settings.log_file, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise SettingsError(
            f"cannot open ORWATCH_LOG_FILE={str(settings.log_file)!r}: {error.strerror}."
        ) from error


class _LogFile(WatchedFileHandler):
    _has_complained = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # the file was put away and its folder too
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """A log that cannot be written (a full disk) stops no job: it is told once."""
        if not self._has_complained:
            self._has_complained = True
            error = sys.exc_info()[1]
            print(f"orwatch: cannot write to the log {self.baseFilename}: {error}", file=sys.stderr)  # noqa: T201


def _level(settings: Settings, *, is_verbose: bool, is_quiet: bool) -> int:
    if is_verbose:
        return logging.DEBUG
    to_file = settings.log_file is not None
    if settings.log_level is not None:
        level = int(logging.getLevelNamesMapping()[settings.log_level])
        return max(level, logging.WARNING) if is_quiet and not to_file else level
    if to_file:
        return logging.INFO
    return logging.ERROR if is_terminal(sys.stderr) and not is_quiet else logging.WARNING


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _TextFormatter(logging.Formatter):
    """``2026-11-20T02:00:01Z WARNING validate key=ci duration=0.31s: message``, on one line."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job

    def format(self, record: logging.LogRecord) -> str:
        key = getattr(record, "key", None)
        seconds = getattr(record, "duration_seconds", None)
        parts = [_time(record), record.levelname, self._job.value]
        if key is not None:
            parts.append(f"key={key if ' ' not in key else json.dumps(key, ensure_ascii=False)}")
        if seconds is not None:
            parts.append(f"duration={seconds:.2f}s")
        return printable(f"{' '.join(parts)}: {record.getMessage()}")


class _JsonFormatter(logging.Formatter):
    """One object a line: time, level, job, key, duration_seconds, message."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job

    def format(self, record: logging.LogRecord) -> str:
        members = {
            "time": _time(record),
            "level": record.levelname,
            "job": self._job.value,
            "key": getattr(record, "key", None),
            "duration_seconds": getattr(record, "duration_seconds", None),
            "message": record.getMessage(),
        }
        return json.dumps({name: value for name, value in members.items() if value is not None})
