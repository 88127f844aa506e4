"""Signals and the time limit: a run that has to stop ends cleanly, recorded, and soon."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from orwatch.errors import JobTimeoutError
from orwatch.text import counted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CARRIES_ON = "what was written stays, the next run carries on."


class StoppedBySignal(BaseException):
    """A signal asked the run to end; not an error that anything but the command line catches."""

    def __init__(self, number: int, outcome: str) -> None:
        self.number = number
        self.outcome = outcome
        super().__init__(f"stopped by {signal.Signals(number).name}")

    @property
    def exit_code(self) -> int:
        """As shells report it."""
        return 128 + self.number


@contextmanager
def interruptible(
    timeout_minutes: float,
    wait_seconds: float = 0.0,
    outcome: str | Callable[[], str] = CARRIES_ON,
) -> Iterator[Callable[[], None]]:
    """Raise ``StoppedBySignal`` or, after so many minutes, ``JobTimeoutError`` in the block; 0: no limit.

    The limit counts from the call of what is yielded; until then the time that may be spent with waiting is
    added to it. ``outcome``: what becomes of it then, for the message. A signal that the program's starter
    has it ignore (nohup) is ignored still.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        # What ends the run shall not be interrupted itself.
        for other in caught:
            signal.signal(other, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)
        said = outcome if isinstance(outcome, str) else outcome()
        if number == signal.SIGALRM:
            raise JobTimeoutError(
                f"the run took longer than {counted(timeout_minutes, 'minute')} and was ended "
                "(if it needs that long, raise ORWATCH_JOB_TIMEOUT)",
                f"{said[0].upper()}{said[1:]}",
            )
        raise StoppedBySignal(number, said)

    def restart_limit() -> None:
        signal.setitimer(signal.ITIMER_REAL, timeout_minutes * 60)

    before = {number: signal.getsignal(number) for number in (*_SIGNALS, signal.SIGALRM)}
    caught = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    try:
        for number in caught:
            signal.signal(number, stop)
        if timeout_minutes:
            signal.setitimer(signal.ITIMER_REAL, wait_seconds + timeout_minutes * 60)
        yield restart_limit
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in caught:
            signal.signal(number, before[number])
