"""Signals and the time limit of a run."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack

import pytest

from orwatch.cli.interruption import StoppedBySignal, interruptible
from orwatch.errors import JobTimeoutError

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_ends_the_block_and_tells_the_shells_exit_code(
    number: signal.Signals, exit_code: int
) -> None:
    before = {each: signal.getsignal(each) for each in HANDLED}
    with pytest.raises(StoppedBySignal, match=f"stopped by {number.name}") as stopped, interruptible(0):
        signal.raise_signal(number)
    assert stopped.value.exit_code == exit_code
    assert {each: signal.getsignal(each) for each in HANDLED} == before


def test_what_becomes_of_the_run_is_told_as_it_is_when_the_signal_comes() -> None:
    stored: list[str] = []

    def stop() -> None:
        stored.append("3 rows")
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(StoppedBySignal) as stopped, interruptible(0, outcome=lambda: f"{stored[-1]} stored."):
        stop()
    assert stopped.value.outcome == "3 rows stored."


def test_what_ends_the_run_is_not_interrupted_by_a_second_signal() -> None:
    done = []

    def end() -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        done.append("ended")

    ends = ExitStack()
    ends.callback(end)
    with pytest.raises(StoppedBySignal), interruptible(1), ends:
        signal.raise_signal(signal.SIGTERM)
    assert done == ["ended"]
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_signal_that_the_starter_has_it_ignore_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible(0):
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_that_takes_too_long_is_ended() -> None:
    with pytest.raises(JobTimeoutError, match="ORWATCH_JOB_TIMEOUT") as ended, interruptible(0.0005):
        time.sleep(30)
    assert ended.value.exit_code == 75


def test_without_a_limit_no_timer_runs() -> None:
    with interruptible(0):
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    with interruptible(50):
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 3000
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_the_time_limit_begins_when_the_waiting_is_over() -> None:
    with interruptible(50, 600) as restart_limit:
        assert 3000 < signal.getitimer(signal.ITIMER_REAL)[0] <= 3600
        restart_limit()
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 3000
    with interruptible(0, 600) as restart_limit:
        restart_limit()
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_one_minute_is_one_minute() -> None:
    with pytest.raises(JobTimeoutError, match=r"longer than 1 minute and"), interruptible(1):
        signal.raise_signal(signal.SIGALRM)
