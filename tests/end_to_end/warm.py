"""The installed program in a fork of a process that has imported it, which is most of a short run's time."""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import NoReturn

# Begins of what the interpreter, or a library below it, reads only once.
_READ_AT_THE_START = ("PYTHON", "LANG", "LC_", "LD_", "FAKETIME", "NO_FAKE")
_LONGEST_MESSAGE_BYTES = 1 << 17
_turn = Lock()


def read_at_the_start(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that a fork has from the process it was made of, whatever it is given."""
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_THE_START)}


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], text: str, timeout_seconds: float
) -> tuple[int, str, str]:
    """The code and both outputs of a Python program that ran to its end. Raises ``TimeoutError``."""
    message = json.dumps([list(command), str(folder), dict(environment)]).encode()
    with _turn, TemporaryFile() as stdin, TemporaryFile() as stdout, TemporaryFile() as stderr:
        stdin.write(text.encode())
        stdin.seek(0)
        process, connection = _server(tuple(read_at_the_start(environment).items()))
        connection.settimeout(timeout_seconds)
        try:
            socket.send_fds(connection, [message], [file.fileno() for file in (stdin, stdout, stderr)])
            code = int(connection.recv(_LONGEST_MESSAGE_BYTES))
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            _server.cache_clear()
            raise
        for file in (stdout, stderr):
            file.seek(0)
        return code, stdout.read().decode(), stderr.read().decode()


@cache
def _server(environment: tuple[tuple[str, str], ...]) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """The process that forks, and what it is asked by; it ends with this one."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        process = subprocess.Popen(
            [sys.executable, __file__, str(its.fileno())],
            env=dict(environment),
            # Nothing goes through them: what Python makes of them fits any that are no terminal.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[its.fileno()],
            start_new_session=True,
        )
    atexit.register(_end, process, ours)
    return process, ours


def _end(process: subprocess.Popen[bytes], connection: socket.socket) -> None:
    connection.close()
    process.communicate()


def _import_the_program() -> None:
    import orwatch

    importlib.import_module("alembic.command")
    for module in pkgutil.walk_packages(orwatch.__path__, "orwatch."):
        if "migrations." not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()


def _command_of_a_fork(connection: socket.socket) -> list[str] | None:
    """What a fork is to become, in the fork; None at the end, in the process that forks."""
    while True:
        message, files, _, _ = socket.recv_fds(connection, _LONGEST_MESSAGE_BYTES, 3)
        if not message:
            return None
        process_id = os.fork()
        if not process_id:
            break
        for file in files:
            os.close(file)
        _, status = os.waitpid(process_id, 0)
        connection.send(b"%d" % os.waitstatus_to_exitcode(status))
    connection.close()
    command, folder, environment = json.loads(message)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    ahead = environment.pop(dates.VARIABLE, None)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    if ahead is not None:
        dates.move(float(ahead))
    return [*command]


def _end_at_once(code: int) -> NoReturn:
    """As Python ends, but for its taking all modules apart, which copies the memory that a fork shares."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    import dates  # it stands beside this file

    sys.path[0] = str(Path(sys.executable).parent)
    with socket.socket(fileno=int(sys.argv[1])) as asked_by:
        _import_the_program()
        sys.argv = _command_of_a_fork(asked_by) or sys.exit()
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as done:
        if isinstance(done.code, str):
            raise
        _end_at_once(done.code or 0)
