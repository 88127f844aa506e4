"""The rate limit of all processes that share a database: at most N requests start within any 60 seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from sqlalchemy import Connection, func, select

from orwatch.clock import Clock
from orwatch.store.engine.backend import Writing
from orwatch.store.engine.database import Store
from orwatch.store.schema import request_log

# A request leaves a moment after it is logged. The margin keeps two such moments of different length
# from bringing N + 1 requests into 60 seconds as the server counts them.
WINDOW_MS = 60_500
# One that leaves later than that, since it takes time to connect, is logged anew: half of the margin.
_MOMENT_SECONDS = 0.25


class RateLimiter:
    """Lets requests through in a burst until the limit, then one by one as old ones leave the window."""

    def __init__(
        self,
        store: Store,
        requests_per_minute: int,
        clock: Clock,
        on_wait: Callable[[float], None] | None = None,
    ) -> None:
        """``requests_per_minute`` 0: no limit, nothing is logged.

        ``on_wait`` is told for how many seconds the next request waits; 0: it starts.
        """
        self._on_wait = on_wait or (lambda _seconds: None)
        self._store = store
        self._limit = requests_per_minute
        self._clock = clock
        # Threads of this process queue here; only the first of them asks the database.
        self._turn = threading.Lock()

    def wait_for_turn(self) -> Callable[[], None]:
        """Return when one more request may start, having logged its start.

        What is returned is to be called when the request leaves, and then it counts as from now.
        """
        if self._limit == 0:
            self._on_wait(0.0)
            return lambda: None
        with self._turn:
            while True:
                asked_at = self._clock.monotonic()
                seconds, number = self._store.run_write(self._try_to_start, Writing.REQUEST_LOG)
                self._on_wait(seconds)
                if not seconds:
                    return partial(self._leave, number, asked_at)
                self._clock.sleep(seconds)

    def _leave(self, number: int, asked_at: float) -> None:
        if self._clock.monotonic() - asked_at <= _MOMENT_SECONDS:
            return
        if not self._store.run_write(partial(self._log_anew, number), Writing.REQUEST_LOG):
            self.wait_for_turn()

    def _log_anew(self, number: int, connection: Connection) -> bool:
        """Let a start count from now, if it counts at all still: then there is room for it."""
        now_ms = self._store.backend.now_ms(connection, self._clock)
        counts_still = request_log.c.started_at_ms > now_ms - WINDOW_MS
        moved = request_log.update().where(request_log.c.id == number, counts_still)
        return connection.execute(moved.values(started_at_ms=now_ms)).rowcount == 1

    def _try_to_start(self, connection: Connection) -> tuple[float, int]:
        """Log a start, if there is room now: 0 and its number, or the seconds until there may be."""
        started_at = request_log.c.started_at_ms
        # Not before: the wait for the database may have been long, and others have logged meanwhile.
        now_ms = self._store.backend.now_ms(connection, self._clock)
        # The clock was set back: those requests started before now, how long before is lost.
        connection.execute(request_log.update().where(started_at > now_ms).values(started_at_ms=now_ms))
        in_window = select(started_at).where(started_at > now_ms - WINDOW_MS)
        count = connection.execute(select(func.count()).select_from(in_window.subquery())).scalar_one()
        if count < self._limit:
            logged = connection.execute(request_log.insert().values(started_at_ms=now_ms))
            return 0.0, int(logged.inserted_primary_key[0]) if logged.inserted_primary_key else 0
        # There is room again when all but limit - 1 of those in the window have left it.
        leaves_next = in_window.order_by(started_at).offset(count - self._limit).limit(1)
        oldest_ms = int(connection.execute(leaves_next).scalar_one())
        return (oldest_ms + WINDOW_MS - now_ms) / 1000, 0
