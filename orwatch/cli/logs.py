"""Logs: to standard error or to a file, as text or as JSON lines, times in UTC."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path

from orwatch.cli import notices
from orwatch.config.own_files import check_log_file
from orwatch.config.settings import Settings
from orwatch.domain.runs import Job
from orwatch.errors import SettingsError
from orwatch.files import open_file
from orwatch.redaction import redact
from orwatch.text import is_terminal, printable


def start_log(settings: Settings, job: Job, *, is_verbose: bool, is_quiet: bool) -> Callable[[], None]:
    """Begin to log; what is returned ends it.

    To a file: from INFO on. To standard error: warnings; on a terminal only errors, for the summary that
    follows has the rest. ``ORWATCH_LOG_LEVEL`` and ``-v`` (DEBUG) say otherwise. With ``--quiet``
    warnings, and nothing less, go to standard error whatever else is set, for cron mails what it finds
    there; with ``--json`` as JSON lines. Raises ``SettingsError`` when the file cannot be opened.
    """
    to_file, to_stderr = _to_file(settings), _to_stderr(settings, is_quiet)
    handlers = [handler for handler in (to_file, to_stderr) if handler]
    logger = logging.getLogger("orwatch")
    for handler in handlers:
        is_json = settings.log_format == "json" or (handler is to_stderr and notices.is_json())
        handler.setFormatter(_JsonFormatter(job) if is_json else _TextFormatter(job))
        if not handler.level:
            handler.setLevel(_level(settings, is_verbose=is_verbose))
        logger.addHandler(handler)
    logger.setLevel(min((handler.level for handler in handlers), default=logging.CRITICAL))
    logger.propagate = False

    def stop() -> None:
        for handler in handlers:
            logger.removeHandler(handler)
            with suppress(OSError):  # a full disk has been reported already
                handler.close()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True

    return stop


def _to_file(settings: Settings) -> logging.Handler | None:
    if settings.log_file is None:
        return None
    check_log_file(settings.log_file, settings)
    try:
        # Opens the file again when logrotate has put it away.
        return _LogFile(settings.log_file, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise SettingsError(
            f"cannot open ORWATCH_LOG_FILE={str(settings.log_file)!r}: {error.strerror}."
        ) from error


def _to_stderr(settings: Settings, is_quiet: bool) -> logging.Handler | None:
    if sys.stderr is None or (settings.log_file is not None and not is_quiet):
        return None
    handler = _StderrLog()
    # What a command says there itself shall not stand there twice.
    handler.addFilter(lambda record: not getattr(record, "is_said", False))
    if is_quiet:
        handler.setLevel(logging.WARNING)
    return handler


class _StderrLog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            notices.write_line(self.format(record))
        except Exception:  # as every handler of the standard library does
            self.handleError(record)


def _private(path: str, flags: int) -> int:
    """What is there may be a link or a device; a new file is never made through a link."""
    if os.path.lexists(path):
        return os.open(path, flags & ~os.O_CREAT)
    return open_file(Path(path), flags & ~os.O_CREAT, owner_of=Path(path).parent)


class _LogFile(WatchedFileHandler):
    _has_complained = False

    def _open(self) -> TextIOWrapper:
        """As its class does; a new file is its owner's alone."""
        return open(self.baseFilename, "a", encoding=self.encoding, errors=self.errors, opener=_private)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # the file was put away and its folder too
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """A log that cannot be written (a full disk) stops no job: it is reported once."""
        if not self._has_complained:
            self._has_complained = True
            error = sys.exc_info()[1]
            if sys.stderr is not None:
                notices.notice(f"cannot write to the log {self.baseFilename}: {error}")


def _level(settings: Settings, *, is_verbose: bool) -> int:
    if is_verbose:
        return logging.DEBUG
    if settings.log_level is not None:
        return int(logging.getLevelNamesMapping()[settings.log_level])
    if settings.log_file is not None:
        return logging.INFO
    return logging.ERROR if is_terminal(sys.stderr) else logging.WARNING


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _message(record: logging.LogRecord) -> str:
    """What it says, and the traceback of a bug that stopped nothing, on one line."""
    if record.exc_info is None:
        return record.getMessage()
    lines = logging.Formatter().formatException(record.exc_info).splitlines()
    return f"{record.getMessage()}: {' | '.join(map(str.strip, lines))}"


class _Formatter(logging.Formatter):
    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job


class _TextFormatter(_Formatter):
    """``2026-11-20T02:00:01Z WARNING validate key=ci duration=0.31s: message``, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        key = getattr(record, "key", None)
        seconds = getattr(record, "duration_seconds", None)
        parts = [_time(record), record.levelname, self._job.value]
        if key is not None:
            parts.append(f"key={key if ' ' not in key else json.dumps(key, ensure_ascii=False)}")
        if seconds is not None:
            parts.append(f"duration={seconds:.2f}s")
        return printable(redact(f"{' '.join(parts)}: {_message(record)}"))


class _JsonFormatter(_Formatter):
    """One object a line: time, level, job, key, duration_seconds, message."""

    def format(self, record: logging.LogRecord) -> str:
        key = getattr(record, "key", None)
        members = {
            "time": _time(record),
            "level": record.levelname,
            "job": self._job.value,
            "key": None if key is None else redact(key),
            "duration_seconds": getattr(record, "duration_seconds", None),
            "message": redact(_message(record)),
        }
        return json.dumps({name: value for name, value in members.items() if value is not None})
