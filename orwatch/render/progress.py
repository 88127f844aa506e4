"""How far a command has come with asking OpenRouter, as a line on a terminal that is always true."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID
from rich.table import Table
from rich.text import Text

from orwatch.jobs.sync.progress import SyncProgress
from orwatch.render.console import console_on
from orwatch.text import counted, printable

_BAR_WIDTH = 12
# With less room for the stage and its key's name the bar gives way, and then the counts.
_LEAST_BESIDE_BAR = 34
_LEAST = 22


class ProgressBar:
    """The line: the stage, how much of it is done, the rows, and the wait for the rate limit."""

    def __init__(self, progress: Progress, doing: str) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task(doing, total=None, told=None, requests=0, waits_until=None)

    def tell(self, progress: SyncProgress) -> None:
        """Show a step."""
        self._progress.update(
            self._task,
            description=printable(progress.stage),
            completed=progress.done,
            total=progress.total,
            told=progress,
        )

    def wait(self, seconds: float) -> None:
        """Show for how many seconds the next request waits; 0: it starts, and counts."""
        task = self._progress.tasks[0]
        if seconds:
            self._progress.update(self._task, waits_until=task.get_time() + seconds, refresh=True)
        else:
            self._progress.update(self._task, waits_until=None, requests=task.fields["requests"] + 1)

    def write_above(self, line: str) -> None:
        """Write a line above this one, as it is: the terminal may wrap it."""
        self._progress.console.print(Text(line), soft_wrap=True)


class _Line(ProgressColumn):
    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._bar = BarColumn(_BAR_WIDTH)

    def render(self, task: Task) -> RenderableType:
        for has_bar, counts in _choices(task):
            rest = (_BAR_WIDTH if has_bar else 0, cell_len(counts))
            room = self._console.width - sum(cells + 1 for cells in rest if cells)
            least = _LEAST_BESIDE_BAR if has_bar else _LEAST
            if min(cell_len(task.description), least) <= room:
                break
        parts: list[RenderableType] = [Text(_fitted(task.description, room), no_wrap=True)]
        if has_bar:
            parts.append(self._bar.render(task))
        if counts:
            parts.append(Text(counts, no_wrap=True))
        line = Table.grid(padding=(0, 1))
        line.add_row(*parts)
        return line


def _choices(task: Task) -> Iterator[tuple[bool, str]]:
    """Whether there is a bar, and the counts: from all to what a narrow terminal has room for."""
    told: SyncProgress | None = task.fields["told"]
    waits_until = task.fields["waits_until"]
    wait_seconds = 0 if waits_until is None else math.ceil(waits_until - task.get_time())
    done = requests = rows = wait = ""
    if told is not None and told.total is not None:
        done = f"{told.done:,}/{told.total:,} {told.unit}"
    if task.fields["requests"] or wait_seconds <= 0:
        requests = counted(task.fields["requests"], "request")
    if told is not None and told.rows_written:
        rows = counted(told.rows_written, "row")
    if wait_seconds > 0:
        wait = f"rate limit: {wait_seconds} s"
    whole = (done, requests, rows, wait)
    for has_bar, parts in ((True, whole), (False, whole), (False, (done, rows, wait)), (False, (done, wait))):
        yield has_bar, " · ".join(filter(None, parts))
    yield False, wait


def _fitted(text: str, cells: int) -> str:
    """``name: stage`` in so many cells: the name's end is cut, and the stage's only where it must be."""
    name, colon, stage = text.rpartition(": ")
    name = _cut(name, cells - cell_len(colon + stage))
    return _cut(name + colon + stage, cells)


def _cut(text: str, cells: int) -> str:
    while len(text) > 1 and cell_len(text) > cells:
        text = f"{text.removesuffix('…')[:-1]}…"
    return text


@contextmanager
def progress_bar(doing: str) -> Iterator[ProgressBar]:
    """The line on standard error, of what is done until a stage is told; nothing but on a terminal."""
    console = console_on(sys.stderr)
    with Progress(
        _Line(console), console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        yield ProgressBar(progress, doing)
