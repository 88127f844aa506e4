"""How far a sync has come, as a line on a terminal that is always true."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.cells import cell_len
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from orwatch.jobs.sync.progress import SyncProgress
from orwatch.render.console import console_on
from orwatch.text import counted, printable

_BAR_WIDTH = 12
_NARROWEST = 10
_WIDEST_REST = _BAR_WIDTH + len("  334/365 days · 1,234,567 rows · rate limit: 60 s")


class ProgressBar:
    """The line: the stage, how much of it is done, the rows, and the wait for the rate limit."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task("Syncing", total=None, told=None, requests=0, waits_until=None)

    def tell(self, progress: SyncProgress) -> None:
        """Show a step."""
        self._progress.update(
            self._task,
            description=_end(printable(progress.stage), self._progress.console.width - _WIDEST_REST),
            completed=progress.done,
            total=progress.total,
            told=progress,
        )

    def wait(self, seconds: float) -> None:
        """Show for how many seconds the next request waits; 0: it starts, and counts."""
        task = self._progress.tasks[0]
        if seconds:
            self._progress.update(self._task, waits_until=task.get_time() + seconds)
        else:
            self._progress.update(self._task, waits_until=None, requests=task.fields["requests"] + 1)

    def write_above(self, line: str) -> None:
        """Write a line above this one, as it is: the terminal may wrap it."""
        self._progress.console.print(Text(line), soft_wrap=True)


class _Counts(ProgressColumn):
    def render(self, task: Task) -> Text:
        told: SyncProgress | None = task.fields["told"]
        waits_until = task.fields["waits_until"]
        wait_seconds = 0 if waits_until is None else math.ceil(waits_until - task.get_time())
        parts = []
        if told is not None and told.total is not None:
            parts.append(f"{told.done:,}/{told.total:,} {told.unit}")
        if wait_seconds <= 0:
            parts.append(counted(task.fields["requests"], "request"))
        if told is not None and told.rows_written:
            parts.append(counted(told.rows_written, "row"))
        if wait_seconds > 0:
            parts.append(f"rate limit: {wait_seconds} s")
        return Text(" · ".join(parts))


def _end(text: str, cells: int) -> str:
    """The end of a text that is too long: there the stage stands, behind the name of a key."""
    while cell_len(text) > max(cells, _NARROWEST):
        text = f"…{text.removeprefix('…')[1:]}"
    return text


@contextmanager
def progress_bar() -> Iterator[ProgressBar]:
    """The line on standard error; nothing where that is no terminal."""
    console = console_on(sys.stderr)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(_BAR_WIDTH), _Counts())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield ProgressBar(progress)
