"""How far a sync has come: what it reads, how much of that is done, and how many rows are stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class SyncProgress:
    """``done`` of ``total`` are read in this stage, of what ``unit`` says; None: there is no telling.

    ``rows_written``: of the whole run, stored for good unless it is a dry one.
    """

    stage: str
    done: int
    total: int | None
    unit: str
    rows_written: int


class ProgressReport:
    """Tells of each step; nothing to nobody unless ``tell`` is given."""

    def __init__(self, tell: Callable[[SyncProgress], None] = lambda _progress: None) -> None:
        self._tell = tell
        self._now = SyncProgress("", 0, None, "", 0)

    def begin(self, stage: str, total: int | None = None, unit: str = "keys", *, done: int = 0) -> None:
        """Another stage begins, with so much of it done."""
        self._change(SyncProgress(stage, done, total, unit, self._now.rows_written))

    def step(self, count: int = 1, *, rows: int = 0) -> None:
        """So much more is done, and so many rows are stored."""
        now = self._now
        self._change(replace(now, done=now.done + count, rows_written=now.rows_written + rows))

    def _change(self, progress: SyncProgress) -> None:
        self._now = progress
        self._tell(progress)
