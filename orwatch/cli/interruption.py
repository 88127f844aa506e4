"""Signals and the time limit: a run that is told to stop ends cleanly, recorded, and soon."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from orwatch.errors import JobTimeoutError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StoppedBySignal(BaseException):
    """A signal asked the run to end; not an error that anything but the command line catches."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"stopped by {signal.Signals(number).name}")

    @property
    def exit_code(self) -> int:
        """As shells tell it."""
        return 128 + self.number


@contextmanager
def interruptible(timeout_minutes: float) -> Iterator[None]:
    """Raise ``StoppedBySignal`` or, after so many minutes, ``JobTimeoutError`` in the block; 0: no limit.

    A signal that the program's starter has it ignore (nohup) is ignored still.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        # What ends the run shall not be interrupted itself.
        for other in caught:
            signal.signal(other, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if number == signal.SIGALRM:
            raise JobTimeoutError(
                f"the run took longer than {timeout_minutes} minutes (ORWATCH_JOB_TIMEOUT) and was ended; "
                "what was written stays, the next run carries on."
            )
        raise StoppedBySignal(number)

    before = {number: signal.getsignal(number) for number in (*_SIGNALS, signal.SIGALRM)}
    caught = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    try:
        for number in caught:
            signal.signal(number, stop)
        signal.setitimer(signal.ITIMER_REAL, timeout_minutes * 60)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in caught:
            signal.signal(number, before[number])
