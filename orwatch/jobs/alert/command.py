"""Alerts to a command of the user's own: JSON on its standard input, one process for each."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO

from orwatch.jobs.alert.outgoing import Failure, Outgoing
from orwatch.redaction import redact
from orwatch.text import printable

_LAST_WORDS_SECONDS = 0.2
_CHUNK_BYTES = 65_536
_MAX_SHOWN = 200


def problem(words: Sequence[str]) -> str | None:
    """Why the command cannot be run, without running it."""
    return None if shutil.which(words[0]) else f"there is no program {printable(redact(words[0]))}"


def deliver(words: Sequence[str], outgoing: Outgoing, seconds: float) -> Failure | None:
    """Run the command, and end it with all that it started when it takes longer; why it failed, or None."""
    try:
        process = subprocess.Popen(  # noqa: S603 (the user's own command, in the user's own settings)
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        return Failure(f"cannot be run ({error.strerror})")
    said = bytearray()
    # Beside this thread: what the command starts, and leaves behind, may keep either end open.
    _start(_give, process.stdin, outgoing.json.encode("utf-8", "replace"))
    hearing = _start(_hear, process.stderr, said)
    try:
        code = process.wait(seconds)
    except BaseException as error:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            return Failure(f"took longer than {seconds:g} s and was ended", is_late=True)
        raise
    if code == 0:
        return None
    hearing.join(_LAST_WORDS_SECONDS)
    return Failure(f"ended with {code}{_reason(said)}")


def _start(
    target: Callable[..., None], stream: IO[bytes] | None, content: bytes | bytearray
) -> threading.Thread:
    thread = threading.Thread(target=target, args=(stream, content), name="alert", daemon=True)
    thread.start()
    return thread


def _give(stream: IO[bytes], content: bytes) -> None:
    with suppress(OSError), stream:  # it need not read it
        stream.write(content)


def _hear(stream: IO[bytes], said: bytearray) -> None:
    with suppress(OSError), stream:
        while chunk := os.read(stream.fileno(), _CHUNK_BYTES):
            said[:] = (said + chunk)[-_CHUNK_BYTES:]


def _reason(said: bytearray) -> str:
    """The last line of its errors."""
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return f" ({printable(redact(lines[-1]))[:_MAX_SHOWN].rstrip('.')})" if lines else ""
