"""Another date for a test that reads the real one, for its fake server, and for the programs that it runs.

What reads the date, and nothing else does, has it from the ``datetime`` of its module: this process and each
program that `warm` forks are given another one there. A program that is started anew has the real date.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

READERS = ("orwatch.cli.context", "orwatch.demo.api")
VARIABLE = "SECONDS_AHEAD"  # tells a forked program how far ahead it is

# What the keys of the demo and of these tests have used differs as much as the days do. From each of them the
# clock goes on as the real one does.
MOMENTS = {
    "a Monday that begins a month": datetime(2027, 3, 1, 0, 0, 5, tzinfo=UTC),
    "1 January, a Saturday": datetime(2028, 1, 1, 9, 20, tzinfo=UTC),
    "29 February, which ends its month": datetime(2028, 2, 29, 21, 30, tzinfo=UTC),
    "31 December, a Sunday that ends a month of 31 days, across an hour's end": datetime(
        2028, 12, 31, 18, 59, 40, tzinfo=UTC
    ),
}
_REAL = datetime
ahead: float | None = None  # how many seconds this process is, while a test runs on another date


def now() -> datetime:
    """The time, in UTC."""
    return _REAL.now(UTC) + timedelta(seconds=ahead or 0)


def for_programs() -> dict[str, str]:
    """What a forked program is told."""
    return {} if ahead is None else {VARIABLE: f"{ahead}"}


def move(seconds: float, put: Callable[[Any, str, object], None] = setattr) -> None:
    """Have this process be so far ahead. ``put`` sets an attribute of a module."""
    real_time = time.time

    class Moved(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return _REAL.now(tz) + timedelta(seconds=seconds)

    for name in READERS:
        put(importlib.import_module(name), "datetime", Moved)
    # The lines of a log have it from here, and the head of each answer of the fake server.
    put(time, "time", lambda: real_time() + seconds)
