"""How things are measured: in turn, several times, the best of each; beside something wherever that can be.

Other programs only ever make work slower: the best of several rounds is what it takes.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent

# What the benchmarks' databases take for now, so that they are the same on every day.
NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
TODAY = NOW.date()

Seconds = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    ``goal``: how much ``measured`` may be, as a multiple of ``beside`` (and ``allowance`` more), or as it is
    where nothing is done beside it. ``unit``: of ``measured``, ``beside``, ``allowance``; "s", "MB", "$" or
    "%".
    """

    what: str
    goal: float
    measured: float
    unit: str = "s"
    beside: float | None = None
    allowance: float = 0.0

    @property
    def figure(self) -> float:
        """What is compared with the goal."""
        if self.beside is None:
            return self.measured
        return (self.measured - self.allowance) / self.beside

    @property
    def is_met(self) -> bool:
        """Whether the goal is met."""
        return self.figure <= self.goal


@dataclass(frozen=True, slots=True)
class Options:
    """What a section is told: an empty folder, one for what is kept between runs, and how much to do.

    ``scale`` 1: as the goals say; less makes a section end sooner, with figures that mean nothing.
    """

    folder: Path
    kept_folder: Path
    scale: float = 1.0

    def scaled(self, number: int) -> int:
        """So many of the things of which the goal names ``number``."""
        return max(2, round(number * self.scale))

    @property
    def rounds(self) -> int:
        """How often to repeat what is quick."""
        return 10 if self.scale == 1 else 1


class RealClock:
    """Time as it is, but for ``now`` where a made-up one is given."""

    def __init__(self, now: datetime | None = None) -> None:
        self._now = now

    def now(self) -> datetime:
        """The current time, or the made-up one."""
        return self._now or datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def in_turn(measured: Seconds, beside: Seconds, rounds: int) -> tuple[float, float]:
    """The best of both, each done ``rounds`` times, one after the other."""
    pairs = [(measured(), beside()) for _ in range(rounds)]
    return min(first for first, _ in pairs), min(second for _, second in pairs)


def work_seconds(work: Callable[[], object]) -> float:
    """The processor time of this process that something takes."""
    started = time.process_time()
    work()
    return time.process_time() - started


def wall_seconds(work: Callable[[], object]) -> float:
    """The time that something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def process_seconds(command: Sequence[str | Path], environment: Mapping[str, str]) -> float:
    """The processor time of a whole process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=dict(environment), capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def user_environment(**others: str) -> dict[str, str]:
    """The environment without orwatch's settings, and with compiled modules as users have them."""
    left_out = ("ORWATCH_", "PYTHONDONTWRITEBYTECODE", "XDG_")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)} | others


def in_child(module: str, function: str, *arguments: Any) -> Any:
    """What a function of a benchmark module answers in a process of its own: its memory is its own too.

    It looks for garbage as often as the program does: by Python's own thresholds a sync takes a fifth longer.
    """
    code = (
        "import gc, importlib, json, sys; module, function, arguments = sys.argv[1:]; "
        "from orwatch.__main__ import GARBAGE_THRESHOLDS; gc.set_threshold(*GARBAGE_THRESHOLDS); "
        "print(json.dumps(getattr(importlib.import_module(module), function)(*json.loads(arguments))))"
    )
    command = [sys.executable, "-c", code, module, function, json.dumps(arguments)]
    done = subprocess.run(
        command, cwd=ROOT, env=user_environment(), stdout=subprocess.PIPE, check=True, text=True
    )
    return json.loads(done.stdout)


@contextmanager
def helper(module: str, function: str, *arguments: Any) -> Iterator[subprocess.Popen[str]]:
    """A process beside this one that runs a function; it is to end when its standard input does."""
    code = (
        "import importlib, json, sys; module, function, arguments = sys.argv[1:]; "
        "getattr(importlib.import_module(module), function)(*json.loads(arguments))"
    )
    command = [sys.executable, "-c", code, module, function, json.dumps(arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, env=user_environment(), stdin=pipe, stdout=pipe, text=True
    ) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()


def peak_memory_mb() -> float:
    """The most memory that this process has had."""
    # Not ru_maxrss where that can be helped: on Linux it begins with the parent's.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1024**2 if sys.platform == "darwin" else most / 1024


def table(rows: Iterable[Row], last: Mapping[str, float]) -> str:
    """The rows as a table; ``last``: the figures of the results that were kept, by ``what``."""
    lines = [("", "goal", "is", "last", "measured", "beside", "")]
    for row in rows:
        unit = "" if row.beside is not None else row.unit
        lines.append(
            (
                row.what,
                _figure(row.goal, unit),
                _figure(row.figure, unit),
                _figure(last[row.what], unit) if row.what in last else "–",
                _figure(row.measured, row.unit),
                "" if row.beside is None else _figure(row.beside, row.unit),
                "pass" if row.is_met else "MISS",
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column > 0 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _figure(number: float, unit: str) -> str:
    if unit == "s":
        return f"{number * 1000:,.1f} ms" if number < 1 else f"{number:,.2f} s"
    if unit == "MB":
        return f"{number:,.1f} MB"
    if unit == "$":
        return f"${number:,.2f}"
    if unit == "%":
        return f"{number:.1%}"
    return f"{number:.3f} ×" if abs(number - 1) < 0.1 else f"{number:.2f} ×"
