"""Values that are not in the settings themselves: they stand in a file, or a command prints them.

Each reader gets the text and the name to blame. Raises ``SettingsError``, which shows nothing of the value.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from orwatch.config.values import absolute_path
from orwatch.errors import SettingsError
from orwatch.text import printable, without_secrets

if TYPE_CHECKING:
    import subprocess
    import threading

COMMAND_SECONDS = 10.0
_MAX_BYTES = 65_536
_MAX_SHOWN = 200


def file_content(text: str, name: str) -> str:
    """The first line of a file, as systemd, Docker and Kubernetes give secrets to a program."""
    return _first_line(whole_file(text, name))


def command_output(text: str, name: str) -> str:
    """The first line that a command prints, run without a shell."""
    return _first_line(whole_output(text, name))


def whole_file(text: str, name: str) -> str:
    """All lines of a file."""
    path = absolute_path(text, name)
    try:
        if not path.is_file():
            raise SettingsError(f"{name}={text!r} is not a file", "Name one that holds the value.")
        with path.open("rb") as file:
            return _text(file.read(_MAX_BYTES), f"{name}={text!r}")
    except OSError as error:
        raise SettingsError(f"{name}={text!r} cannot be read: {error.strerror}.") from error


def whole_output(text: str, name: str) -> str:
    """All lines that a command prints, run without a shell."""
    import subprocess
    import threading

    try:
        words = shlex.split(text)
        process = subprocess.Popen(  # noqa: S603 (the user's own command, in the user's own settings)
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError, IndexError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"{name} cannot be run ({printable(str(reason))})", "Write a program and its arguments, no shell."
        ) from None
    is_late = threading.Event()
    timer = threading.Timer(COMMAND_SECONDS, _end, (process, is_late))
    timer.start()
    try:
        with process:
            printed, said = _read(process)
    finally:
        timer.cancel()
    if is_late.is_set():
        raise SettingsError(f"{name} took longer than {COMMAND_SECONDS:g} seconds and was ended.")
    if process.returncode != 0:
        raise SettingsError(f"{name} ended with {process.returncode}{_reason(printed, said)}.")
    return _text(printed, name)


def _read(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """What it prints and what it says of that, no more of either than a secret needs."""
    streams = [stream for stream in (process.stdout, process.stderr) if stream is not None]
    contents = []
    for stream in streams:
        contents.append(stream.read(_MAX_BYTES))
        stream.close()  # what prints on is ended by that
    printed, said = contents
    return printed, said


def _end(process: subprocess.Popen[bytes], is_late: threading.Event) -> None:
    import os
    import signal
    from contextlib import suppress

    is_late.set()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _reason(printed: bytes, said: bytes) -> str:
    """The last line of its errors, unless what it printed stands in that."""
    lines = said.decode("utf-8", "replace").strip().splitlines()
    secret = printed.decode("utf-8", "replace").split()
    if not lines or any(word in lines[-1] for word in secret):
        return ""
    return f" ({printable(without_secrets(lines[-1]))[:_MAX_SHOWN].rstrip('.')})"


def _text(content: bytes, source: str) -> str:
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise SettingsError(f"{source} does not give UTF-8 text.") from None
    if not text:
        raise SettingsError(f"{source} gives no value: there is no text.")
    return text


def _first_line(text: str) -> str:
    return text.splitlines()[0].strip()
