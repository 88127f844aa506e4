"""A terminal of the test's own: what is shown on it, and a program that has it as its own."""

from __future__ import annotations

import os
import select
import sys
import time

from tests.end_to_end.support import DEADLINE_SECONDS

# Makes its standard input the terminal of its session, so that a hidden prompt is asked there.
_ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
ON_TERMINAL = (sys.executable, "-c", _ON_TERMINAL)


def read_until(terminal: int, text: bytes) -> bytes:
    """What a terminal shows until it shows ``text``."""
    shown = b""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while text not in shown:
        assert time.monotonic() < deadline, shown
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 4096)
    return shown


def read_rest(terminal: int) -> bytes:
    """What is shown until nobody has the terminal open any more."""
    shown = b""
    try:
        while chunk := os.read(terminal, 4096):
            shown += chunk
    except OSError:  # how Linux says that the other side is closed
        pass
    return shown
