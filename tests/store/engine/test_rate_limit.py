"""At most N requests start within any 60 seconds, whoever asks."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orwatch.clock import Clock
from orwatch.errors import StoreUnavailableError
from orwatch.store.engine import backend
from orwatch.store.engine.backend import TransactionLostError, Writing
from orwatch.store.engine.database import Connection, Store, open_store
from orwatch.store.engine.postgres import PostgresBackend
from orwatch.store.engine.rate_limit import WINDOW_MS, RateLimiter
from tests.store.support import dump, postgres_only, run_python, scalar
from tests.support import NOW, FakeClock

MINUTE = timedelta(seconds=60)
WINDOW = timedelta(milliseconds=WINDOW_MS)


@pytest.fixture(autouse=True)
def _the_server_s_clock_is_the_test_s(monkeypatch: pytest.MonkeyPatch) -> None:
    def now_ms(_backend: PostgresBackend, _connection: Connection, clock: Clock) -> int:
        return int(clock.now().timestamp() * 1000)

    monkeypatch.setattr(PostgresBackend, "now_ms", now_ms)


def starts_of(limiter: RateLimiter, clock: FakeClock, number: int) -> list[datetime]:
    starts = []
    for _ in range(number):
        limiter.wait_for_turn()
        starts.append(clock.now())
    return starts


def most_within_a_minute(starts: list[datetime]) -> int:
    return max(sum(first <= start < first + MINUTE for start in starts) for first in starts)


def test_a_burst_of_the_limit_goes_through_at_once_and_the_next_one_waits(
    store: Store, clock: FakeClock
) -> None:
    told: list[float] = []
    limiter = RateLimiter(store, 5, clock, told.append)

    assert starts_of(limiter, clock, 5) == [NOW] * 5
    assert clock.slept == []
    assert starts_of(limiter, clock, 1) == [NOW + WINDOW]
    assert told == [0, 0, 0, 0, 0, WINDOW.total_seconds(), 0]


def test_requests_follow_one_by_one_as_old_ones_leave_the_window(store: Store, clock: FakeClock) -> None:
    limiter = RateLimiter(store, 2, clock)
    starts_of(limiter, clock, 1)
    clock.advance(seconds=10)
    starts_of(limiter, clock, 1)

    assert starts_of(limiter, clock, 3) == [
        NOW + WINDOW,
        NOW + WINDOW + timedelta(seconds=10),
        NOW + 2 * WINDOW,
    ]


def test_a_limit_of_zero_lets_everything_through_and_logs_nothing(store: Store, clock: FakeClock) -> None:
    limiter = RateLimiter(store, 0, clock)

    assert starts_of(limiter, clock, 500) == [NOW] * 500
    assert dump(store, "request_log") == []


def test_a_limit_that_was_lowered_counts_what_started_under_the_old_one(
    store: Store, clock: FakeClock
) -> None:
    starts_of(RateLimiter(store, 10, clock), clock, 5)
    clock.advance(seconds=30)
    starts_of(RateLimiter(store, 10, clock), clock, 5)

    assert starts_of(RateLimiter(store, 3, clock), clock, 1) == [NOW + WINDOW + timedelta(seconds=30)]
    assert len(clock.slept) == 1


def test_a_clock_that_was_set_back_blocks_for_no_more_than_a_window(store: Store, clock: FakeClock) -> None:
    limiter = RateLimiter(store, 3, clock)
    starts_of(limiter, clock, 3)
    clock.advance(days=-400)

    starts_of(limiter, clock, 4)

    assert sum(clock.slept) <= 2 * WINDOW_MS / 1000
    assert scalar(store, "SELECT max(started_at_ms) FROM request_log") <= clock.now().timestamp() * 1000


def test_another_process_counts_too(store: Store, database_url: str, clock: FakeClock) -> None:
    script = """
import sys
from orwatch.store.engine.database import open_store
from orwatch.store.engine.postgres import PostgresBackend
from orwatch.store.engine.rate_limit import RateLimiter
from orwatch.store.engine.sqlite import SqliteBackend
from tests.support import NOW, FakeClock
PostgresBackend.now_ms = SqliteBackend.now_ms
store = open_store(sys.argv[1], NOW)
limiter = RateLimiter(store, 3, FakeClock())
limiter.wait_for_turn()
limiter.wait_for_turn()
store.close()
"""
    assert run_python(script, database_url).stderr == ""

    assert starts_of(RateLimiter(store, 3, clock), clock, 2) == [NOW, NOW + WINDOW]


def test_threads_share_the_limit(store: Store, clock: FakeClock) -> None:
    limiter = RateLimiter(store, 4, clock)
    threads = [threading.Thread(target=limiter.wait_for_turn) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    starts = [row[1] for row in dump(store, "request_log")]
    assert sorted(start - starts[0] for start in starts) == [
        *[0] * 4,
        *[WINDOW_MS] * 4,
        *[2 * WINDOW_MS] * 2,
    ]


def test_a_start_is_logged_at_the_time_it_happens_not_when_the_wait_for_the_database_began(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = RateLimiter(store, 5, clock), RateLimiter(store, 5, clock)
    write = store.write

    def write_after_a_wait(writing: Writing) -> AbstractContextManager[Connection]:
        # Meanwhile the other process, which held the database, logs a start of its own.
        monkeypatch.setattr(store, "write", write)
        clock.advance(seconds=20)
        first.wait_for_turn()
        clock.advance(seconds=5)
        return write(writing)

    monkeypatch.setattr(store, "write", write_after_a_wait)
    second.wait_for_turn()

    now_ms = int(NOW.timestamp() * 1000)
    assert [row[1] - now_ms for row in dump(store, "request_log")] == [20_000, 25_000]


def test_a_database_that_stays_busy_ends_the_wait(
    store: Store, database_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "BUSY_TIMEOUT_SECONDS", 0.01)
    busy = open_store(database_url, NOW)

    with store.write(Writing.REQUEST_LOG), pytest.raises(StoreUnavailableError, match="is locked"):
        RateLimiter(busy, 3, clock).wait_for_turn()

    busy.close()


@contextmanager
def two_stores(new_database: Path) -> Iterator[tuple[Store, Store]]:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(new_database, f"{folder}/orwatch.db")
        first, second = (open_store(f"sqlite:///{folder}/orwatch.db", NOW) for _ in range(2))
        yield first, second
        first.close()
        second.close()


@given(
    limit=st.integers(1, 6),
    calls=st.lists(st.tuples(st.booleans(), st.floats(0, 90)), min_size=1, max_size=25),
)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_never_more_than_the_limit_start_within_any_minute_from_two_processes(
    new_database: Path, limit: int, calls: list[tuple[bool, float]]
) -> None:
    clock = FakeClock()
    with two_stores(new_database) as stores:
        limiters = [RateLimiter(store, limit, clock) for store in stores]
        starts = []
        for is_second, seconds_later in calls:
            clock.advance(seconds=seconds_later)
            asked_at = clock.now()
            limiters[is_second].wait_for_turn()
            starts.append(clock.now())
            assert clock.now() - asked_at <= WINDOW + timedelta(milliseconds=2)

    assert most_within_a_minute(starts) <= limit


def test_a_start_is_logged_once_more_when_the_database_broke_off(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = store.write

    @contextmanager
    def broken_write(writing: Writing) -> Iterator[Connection]:
        monkeypatch.setattr(store, "write", write)
        with write(writing):
            raise TransactionLostError("broken off")
        yield

    monkeypatch.setattr(store, "write", broken_write)
    RateLimiter(store, 2, clock).wait_for_turn()

    assert len(dump(store, "request_log")) == 1


@postgres_only
def test_no_request_waits_for_a_long_write_of_the_ledger(store: Store, clock: FakeClock) -> None:
    with store.write():
        RateLimiter(store, 2, clock).wait_for_turn()

    assert len(dump(store, "request_log")) == 1


@postgres_only
def test_machines_whose_clocks_differ_share_the_server_s(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    before = scalar(store, "SELECT extract(epoch FROM now())")
    RateLimiter(store, 5, clock).wait_for_turn()
    clock.advance(days=-3)
    RateLimiter(store, 5, clock).wait_for_turn()

    starts = [row[1] / 1000 for row in dump(store, "request_log")]
    assert all(before - 1 < start < before + 60 for start in starts), (before, starts)


# A request leaves later than its turn came: its connection took time.


def test_a_request_that_takes_time_to_connect_counts_from_when_it_leaves(
    store: Store, clock: FakeClock
) -> None:
    limiter = RateLimiter(store, 2, clock)
    leave = limiter.wait_for_turn()
    clock.advance(seconds=20)
    leave()
    limiter.wait_for_turn()
    now_ms = int(NOW.timestamp() * 1000)
    assert [row[1] - now_ms for row in dump(store, "request_log")] == [20_000, 20_000]
    assert starts_of(limiter, clock, 1) == [NOW + timedelta(seconds=20) + WINDOW]


def test_a_request_that_leaves_at_once_is_logged_once(store: Store, clock: FakeClock) -> None:
    leave = RateLimiter(store, 2, clock).wait_for_turn()
    clock.advance(seconds=0.25)
    leave()
    assert [row[1] for row in dump(store, "request_log")] == [int(NOW.timestamp() * 1000)]


def test_a_request_that_leaves_after_its_turn_is_forgotten_takes_another(
    store: Store, clock: FakeClock
) -> None:
    limiter = RateLimiter(store, 1, clock)
    leave = limiter.wait_for_turn()
    clock.advance(seconds=61)
    limiter.wait_for_turn()
    leave()
    assert clock.now() == NOW + timedelta(seconds=61) + WINDOW
    assert len(dump(store, "request_log")) == 3


def test_without_a_limit_nothing_is_logged_when_a_request_leaves(store: Store, clock: FakeClock) -> None:
    leave = RateLimiter(store, 0, clock).wait_for_turn()
    clock.advance(seconds=20)
    leave()
    assert dump(store, "request_log") == []


@given(
    limit=st.integers(1, 4),
    requests=st.lists(st.tuples(st.floats(0, 40), st.floats(0, 70)), min_size=1, max_size=15),
)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_never_more_than_the_limit_leave_within_any_minute_however_long_they_take_to_connect(
    new_database: Path, limit: int, requests: list[tuple[float, float]]
) -> None:
    clock = FakeClock()
    left: list[datetime] = []
    waiting: list[tuple[datetime, Callable[[], None]]] = []

    def let_leave(until: datetime) -> None:
        for entry in sorted(waiting, key=lambda entry: entry[0]):
            due, leave = entry
            if due <= until:
                waiting.remove(entry)
                clock.current = max(clock.current, due)
                leave()
                left.append(clock.now())

    with two_stores(new_database) as stores:
        limiters = [RateLimiter(store, limit, clock) for store in stores]
        for number, (seconds_later, connecting) in enumerate(requests):
            let_leave(clock.now() + timedelta(seconds=seconds_later))
            leave = limiters[number % 2].wait_for_turn()
            waiting.append((clock.now() + timedelta(seconds=connecting), leave))
        let_leave(clock.now() + timedelta(days=1))
    assert len(left) == len(requests)
    assert most_within_a_minute(left) <= limit
