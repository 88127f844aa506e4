"""What is done beside, so that time and signals end the wait for it."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import pytest

from orwatch.waiting import within


@pytest.fixture
def is_over() -> threading.Event:
    return threading.Event()


def test_a_signal_ends_the_wait_and_what_comes_later_is_closed(is_over: threading.Event) -> None:
    closed = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise InterruptedError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(InterruptedError):
            within(None, lambda: is_over.wait(30), lambda _late: closed.set())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not closed.is_set()
    is_over.set()
    assert closed.wait(30)


def test_what_it_raises_is_raised(is_over: threading.Event) -> None:
    def fail() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        within(30, fail, lambda _late: is_over.set())
    assert not is_over.is_set()
