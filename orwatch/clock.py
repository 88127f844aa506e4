"""Time as the jobs see it: a thing that is handed to them, so that tests can hand them another."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The wall clock, a stop-watch and a way to wait."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; raises ``InterruptedRunError`` when the program is told to stop meanwhile."""
        ...
