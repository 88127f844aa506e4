"""Alerts to a command: what it gets, and that it cannot keep a job waiting."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from orwatch.jobs.alert import command
from orwatch.redaction import keep_secret
from tests.jobs.alert.support import OUT

LONG_SECONDS = 60.0


def python(code: str, *arguments: str) -> list[str]:
    """A command that runs this."""
    return [sys.executable, "-c", code, *arguments]


def test_the_command_gets_its_arguments_as_they_are_and_the_alert_on_its_input(tmp_path: Path) -> None:
    code = "import sys; open(sys.argv[1], 'w').write('|'.join(sys.argv[2:]) + '|' + sys.stdin.read())"
    words = python(code, str(tmp_path / "got"), "two words", "$HOME;", "'")
    assert command.deliver(words, OUT, LONG_SECONDS) is None
    assert (tmp_path / "got").read_text() == "two words|$HOME;|'|" + OUT.json


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (python("raise SystemExit(3)"), "ended with 3"),
        (python("raise SystemExit('first\\nno \\x1b[31m s3cret-1.')"), "ended with 1 (no �[31m …)"),
        (python("import os; os.kill(os.getpid(), 9)"), "ended with -9"),
        (["/nowhere/notify"], "cannot be run (No such file or directory)"),
        (["/"], "cannot be run (Permission denied)"),
    ],
)
def test_why_it_failed_is_told(words: list[str], reason: str) -> None:
    keep_secret("s3cret-1")
    failure = command.deliver(words, OUT, LONG_SECONDS)
    assert failure is not None
    assert (failure.reason, failure.is_late) == (reason, False)


@pytest.mark.parametrize("code", ["import os; os.close(0)", "import sys; sys.stderr.write('x' * 1_000_000)"])
def test_one_that_does_not_read_or_says_much_has_done_its_work(code: str) -> None:
    assert command.deliver(python(code), OUT, LONG_SECONDS) is None


def test_one_that_takes_too_long_and_ignores_signals_is_ended_with_all_that_it_started(
    tmp_path: Path,
) -> None:
    pids = tmp_path / "pids"
    code = (
        "import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); child = os.fork()\n"
        "with open(sys.argv[1], 'a') as file: file.write(f'{os.getpid()} ')\n"
        "time.sleep(600)"
    )
    began = time.monotonic()
    failure = command.deliver(python(code, str(pids)), OUT, 1.0)
    assert time.monotonic() - began < 30
    assert failure is not None
    assert (failure.reason, failure.is_late) == ("took longer than 1 s and was ended", True)
    for pid in map(int, pids.read_text().split()):
        assert is_gone(pid)


def test_what_it_leaves_running_behind_keeps_nobody_waiting() -> None:
    code = "import subprocess, sys; subprocess.Popen(['sleep', '5'], start_new_session=True)"
    began = time.monotonic()
    assert command.deliver(python(code), OUT, LONG_SECONDS) is None
    assert time.monotonic() - began < 5


def is_gone(pid: int) -> bool:
    """Whether a process has ended, also where nobody has waited for it yet."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.01)
    return False


def test_a_program_that_is_not_there_is_found_without_running_anything() -> None:
    assert command.problem([sys.executable, "-c", "x"]) is None
    assert command.problem(["no-such-program-1"]) == "there is no program no-such-program-1"
