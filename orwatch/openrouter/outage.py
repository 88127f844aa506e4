"""Whether the API answers at all: what all requests of one client find out together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from orwatch.clock import Clock
from orwatch.errors import ApiUnavailableError

# After this many requests in a row that failed in all their tries, the API counts as down, and further
# requests get one try each: an outage must not take hours where there are hundreds of keys.
_FAILURES_UNTIL_DOWN = 3

# Where a person waits and nothing was answered yet, the requests after that many failed ones are not sent
# at all. It takes several: what is wrong with one key must not keep the others from being read.
_FAILURES_UNTIL_DEAD = 5

# Where a person waits: how long one try may take once the API is down.
_SHORT_TRY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a request is tried, and how long at most from its first start to its last answer.

    ``max_outage_seconds``: how long requests are tried again while nothing is answered; None: no limit.
    """

    max_tries: int = 5
    max_seconds: float = 300.0
    max_outage_seconds: float | None = None


# For a person who waits: together with the last short tries of an outage it makes ten seconds. An answer
# that has begun may take longer than that.
OF_A_PERSON = Patience(max_tries=3, max_seconds=30.0, max_outage_seconds=8.0)


class Outage:
    """Counts the failures since the last answer. Safe to use from several threads at once."""

    def __init__(self, clock: Clock, patience: Patience) -> None:
        self._clock = clock
        self._patience = patience
        self._lock = threading.Condition()
        self._begun = 0
        self._has_answered = False
        self._failures_in_a_row = 0
        self._began_at: float | None = None
        self._last_error: ApiUnavailableError | None = None

    @contextmanager
    def request(self) -> Iterator[None]:
        """One request, in all its tries. Raises ``ApiUnavailableError`` where the API is found dead.

        Where a person waits, the first request goes alone, and if it failed a few at once: more would use up
        the rate limit, and make the next command wait for it.
        """
        if self._patience.max_outage_seconds is None:
            yield
            return
        with self._lock:
            self._lock.wait_for(self._may_begin)
            error = self._last_error
            if self._is_dead() and error is not None:
                raise ApiUnavailableError(error.outage or error.problem, error.status, error.outage)
            self._begun += 1
        try:
            yield
        except ApiUnavailableError:
            raise
        except BaseException:
            # It found out nothing: another may.
            with self._lock:
                self._begun -= 1
                self._lock.notify_all()
            raise

    @property
    def tries(self) -> int:
        """How often a request may be tried that begins now."""
        with self._lock:
            return 1 if self._is_down() else self._patience.max_tries

    def try_seconds(self, usual: float) -> float:
        """How long a try that begins now may take, which usually may take ``usual``."""
        longest = self._patience.max_outage_seconds
        with self._lock:
            if longest is None or (self._has_answered and not self._is_down()):
                return usual
            if self._is_down():
                return min(usual, _SHORT_TRY_SECONDS)
            return min(usual, max(self._seconds_left(longest), _SHORT_TRY_SECONDS))

    def allows_wait(self, seconds: float) -> bool:
        """Whether there is time to wait for so long, and to try once more then."""
        longest = self._patience.max_outage_seconds
        with self._lock:
            return longest is None or seconds + _SHORT_TRY_SECONDS <= self._seconds_left(longest)

    def note_failed_try(self, started_at: float) -> None:
        """A try that began then came to nothing."""
        with self._lock:
            if self._began_at is None:
                self._began_at = started_at

    def note_failure(self, error: ApiUnavailableError) -> None:
        """A request failed in all its tries."""
        with self._lock:
            self._failures_in_a_row += 1
            self._last_error = error
            self._lock.notify_all()

    def note_answer(self) -> None:
        """The API answered, whatever it said."""
        with self._lock:
            self._has_answered = True
            self._failures_in_a_row = 0
            self._began_at = None
            self._lock.notify_all()

    def _may_begin(self) -> bool:
        if self._has_answered or self._is_dead():
            return True
        return self._begun < (_FAILURES_UNTIL_DEAD if self._failures_in_a_row else 1)

    def _is_dead(self) -> bool:
        return not self._has_answered and self._failures_in_a_row >= _FAILURES_UNTIL_DEAD

    def _is_down(self) -> bool:
        is_impatient = self._patience.max_outage_seconds is not None
        return self._failures_in_a_row >= (1 if is_impatient else _FAILURES_UNTIL_DOWN)

    def _seconds_left(self, longest: float) -> float:
        return longest if self._began_at is None else self._began_at + longest - self._clock.monotonic()
