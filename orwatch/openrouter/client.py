"""The HTTP client: time-outs, retries, the rate limit, and every failure mapped to an ``ApiError``.

The only user of httpx. Safe to use from several threads at once.
"""

from __future__ import annotations

import logging
import random
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from traceback import walk_tb
from typing import TypeAlias

import httpx

from orwatch.clock import Clock
from orwatch.errors import (
    ApiError,
    ApiUnavailableError,
    OrwatchError,
    TimeShareError,
    UnexpectedAnswerError,
)
from orwatch.openrouter.large_answers import wait_for_turn
from orwatch.openrouter.network import Network, open_http, when_sent
from orwatch.openrouter.outage import Outage, Patience
from orwatch.openrouter.responses import (
    MAX_MESSAGE_LENGTH,
    PassingError,
    answer_of,
    presentable,
    redirect_target,
    sent_at,
)
from orwatch.openrouter.unpacking import Body, packing_of
from orwatch.redaction import keep_api_key, redact
from orwatch.text import printable, secret_hint

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_REDIRECTS = 3
MAX_WAIT_SECONDS = 60.0  # for one retry, whatever Retry-After asks
FIRST_WAIT_SECONDS = 1.0
CONNECT_TIMEOUT_SECONDS = 10.0
TIMEOUT_SECONDS = 30.0

Turn: TypeAlias = Callable[[], None]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Question:
    """One request, whatever number of tries it takes."""

    method: str
    path: str
    params: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Client:
    """Asks the API at one base address. Close it, or use it as a context manager."""

    def __init__(
        self,
        base_url: str,
        *,
        clock: Clock,
        wait_for_turn: Callable[[], Turn],
        connections: int = 8,
        patience: Patience | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """``wait_for_turn`` is called before each request and returns when it may start.

        What it returns is called when the request leaves: by then a connection may have been opened.

        Raises ``SettingsError`` for an address, a proxy or certificates that cannot be used.
        """
        # Which of /key and /auth/key this server has, as far as is known.
        self.key_path = "/key"
        self._base_url = base_url.rstrip("/")
        self._clock = clock
        self._wait_for_turn = wait_for_turn
        self._patience = patience or Patience()
        self._jitter = jitter
        self._outage = Outage(clock, self._patience)
        self._ends_at: float | None = None
        self._end_reason = ""
        self._network = Network(clock.monotonic)
        self._http = open_http(base_url, connections, self._network)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def until(self, ends_at: float, reason: str) -> Client:
        """This client, for requests that begin by then; later ones raise ``TimeShareError`` unsent."""
        limited = copy(self)
        limited._ends_at, limited._end_reason = ends_at, reason
        return limited

    def get(self, path: str, secret: str, params: Mapping[str, str] | None = None) -> bytes:
        """The body of a 200 answer to ``GET path``.

        Passing trouble is tried again: exponential waits with jitter, or what ``Retry-After`` says.
        Raises ``KeyRejectedError`` (401), ``EndpointMissingError`` (404), ``ApiUnavailableError`` (the
        tries are used up), ``UnexpectedAnswerError`` (too large) or ``ApiError`` (any other status).
        """
        return self.get_dated(path, secret, params)[0]

    def get_dated(
        self, path: str, secret: str, params: Mapping[str, str] | None = None
    ) -> tuple[bytes, datetime]:
        """As ``get``, with the time of the answer: the server's (``Date``), or ours where it has none."""
        return self._ask(_Question("GET", path, dict(params or {})), secret)

    def query(self, path: str, secret: str, content: bytes) -> bytes:
        """The body of a 200 answer to ``POST path`` with a JSON text that asks and changes nothing.

        Raises as ``get`` does, and ``QueryTooHeavyError`` (408).
        """
        return self._ask(_Question("POST", path, content=content), secret)[0]

    def _ask(self, question: _Question, secret: str) -> tuple[bytes, datetime]:
        if self._ends_at is not None and self._clock.monotonic() >= self._ends_at:
            raise TimeShareError(f"{question} was not sent: {self._end_reason}")
        with self._outage.request():
            return self._ask_until_answered(question, secret)

    def _ask_until_answered(self, question: _Question, secret: str) -> tuple[bytes, datetime]:
        tries = self._outage.tries
        deadline: float | None = None
        attempt = 0
        failure: PassingError | None = None
        while True:
            turn = self._wait_for_turn()
            started_at = self._clock.monotonic()
            if deadline is None:
                deadline = started_at + self._patience.max_seconds
            if failure is not None and not self._has_time(deadline):
                raise self._given_up(failure, attempt) from failure
            attempt += 1
            try:
                answer = self._try(question, secret, deadline, turn)
            except PassingError as error:
                failure = error
                self._outage.note_failed_try(started_at)
                wait = self._wait_seconds(attempt, error.retry_after_seconds)
                if attempt == tries or not self._has_time(deadline, wait):
                    raise self._given_up(error, attempt) from error
                log.info("%s; trying again in %.1f s", error, wait, extra={"key": secret_hint(secret)})
                self._clock.sleep(wait)
            except ApiError:
                self._outage.note_answer()
                raise
            else:
                self._outage.note_answer()
                return answer

    def _has_time(self, deadline: float, wait: float = 0.0) -> bool:
        """Whether there is time for one more try, after a wait."""
        return self._clock.monotonic() + wait < deadline and self._outage.allows_wait(wait)

    def _try(self, question: _Question, secret: str, deadline: float, turn: Turn) -> tuple[bytes, datetime]:
        """One try, following redirects within the origin."""
        keep_api_key(secret)
        url = httpx.URL(self._base_url + question.path, params=question.params)
        for redirects_left in reversed(range(MAX_REDIRECTS + 1)):
            with self._errors_of(question, secret):
                response, body = self._exchange(question, url, secret, deadline, turn)
                target = redirect_target(response, url, secret)
            if target is None:
                answer = answer_of(
                    response,
                    body,
                    str(question),
                    secret,
                    self._clock.now(),
                    is_query=question.content is not None,
                )
                return answer, sent_at(response) or self._clock.now()
            url = target
            if redirects_left:
                turn = self._wait_for_turn()
        raise UnexpectedAnswerError(f"{question} is redirected more than {MAX_REDIRECTS} times")

    @contextmanager
    def _errors_of(self, question: _Question, secret: str) -> Iterator[None]:
        """Make whatever a request raises an error of this one, whatever the libraries below call it."""
        try:
            yield
        except httpx.TimeoutException as error:
            what = "connection" if isinstance(error, httpx.ConnectTimeout) else "answer"
            raise PassingError(
                f"no answer in time from {self._base_url} ({type(error).__name__})",
                f"does not answer (no {what} in time)",
            ) from error
        except httpx.TransportError as error:
            reason = presentable(str(error), secret) or type(error).__name__
            raise PassingError(
                f"cannot reach {self._base_url}: {reason}", f"does not answer ({_plain_reason(reason)})"
            ) from error
        except Exception as error:
            if _is_our_own(error):
                raise
            # httpx reads the target of a redirect even where it is not to follow it.
            reason = presentable(str(error), secret) or type(error).__name__
            raise UnexpectedAnswerError(f"the answer to {question} cannot be read: {reason}") from error

    def _exchange(
        self, question: _Question, url: httpx.URL, secret: str, deadline: float, turn: Turn
    ) -> tuple[httpx.Response, bytes]:
        started_at = self._clock.monotonic()
        status = "no answer"
        try:
            seconds_left = deadline - started_at
            if seconds_left <= 0:
                raise httpx.ReadTimeout("no time is left to ask")
            timeout = httpx.Timeout(
                self._outage.try_seconds(min(TIMEOUT_SECONDS, seconds_left)),
                connect=self._outage.try_seconds(min(CONNECT_TIMEOUT_SECONDS, seconds_left)),
                pool=None,
            )
            headers = {"Authorization": f"Bearer {secret}"}
            if question.content is not None:
                headers["Content-Type"] = "application/json"
            with (
                # Until its headers have come it is no answer, however it begins.
                self._network.until(started_at + self._outage.try_seconds(seconds_left)),
                self._http.stream(
                    question.method,
                    url,
                    content=question.content,
                    headers=headers,
                    timeout=timeout,
                    extensions={"trace": when_sent(turn)},
                ) as response,
                self._network.until(deadline),
            ):
                status = str(response.status_code)
                return response, self._read(response, question, deadline)
        finally:
            duration_ms = (self._clock.monotonic() - started_at) * 1000
            log.debug(
                "%s %s %s %.0f ms",
                question.method,
                presentable(url.path, secret),
                status,
                duration_ms,
                extra={"key": secret_hint(secret)},
            )

    def _read(self, response: httpx.Response, question: _Question, deadline: float) -> bytes:
        def wait() -> None:
            nonlocal deadline
            began_at = self._clock.monotonic()
            wait_for_turn()
            # It is not the server that took this time.
            waited = self._clock.monotonic() - began_at
            deadline += waited
            self._network.extend(waited)

        encodings = response.headers.get_list("Content-Encoding", split_commas=True)
        try:
            body = Body(packing_of(encodings), MAX_ANSWER_BYTES, wait)
        except ValueError as error:
            if response.status_code != 200:
                return b""  # the status says enough
            reason = printable(redact(str(error)))[:MAX_MESSAGE_LENGTH]
            raise UnexpectedAnswerError(f"the answer to {question} cannot be read: {reason}") from None
        for chunk in response.iter_raw():
            if not body.add(chunk):
                raise UnexpectedAnswerError(
                    f"the answer is larger than {MAX_ANSWER_BYTES // 1024**2} MiB", response.status_code
                )
            if self._clock.monotonic() > deadline:
                raise httpx.ReadTimeout("the answer trickles in")
        return body.whole()

    def _wait_seconds(self, attempt: int, retry_after: float | None) -> float:
        if retry_after is not None:
            # A little later than asked, so that not all clients come back in the same instant.
            return min(retry_after + self._jitter(), MAX_WAIT_SECONDS)
        longest = FIRST_WAIT_SECONDS * float(2**attempt)
        return min(longest * (0.5 + self._jitter() / 2), MAX_WAIT_SECONDS)

    def _given_up(self, failure: PassingError, tries: int) -> ApiUnavailableError:
        times = "once" if tries == 1 else f"{tries} times"
        outage = f"the API at {self._base_url} {failure.reason}"
        error = ApiUnavailableError(f"{failure} (tried {times})", failure.status, outage)
        self._outage.note_failure(error)
        return error


def _plain_reason(text: str) -> str:
    """``[Errno 111] Connection refused`` in words alone."""
    words = re.sub(r"^\[Errno -?\d+\] ", "", text)
    return words if words[:2].isupper() else words[:1].lower() + words[1:]


def _is_our_own(error: Exception) -> bool:
    """Whether our code raised it, or it is about how our code uses a library: then it is no key's error."""
    if isinstance(error, zlib.error):
        return False
    modules = [frame.f_globals.get("__name__", "") for frame, _line in walk_tb(error.__traceback__)]
    # The rate limit is asked from within httpx, and asks a library in its turn.
    is_called_back = any(name.startswith("orwatch.store.") for name in modules)
    is_raised_here = modules[-1].startswith("orwatch.")
    # RuntimeError: a client that is closed.
    return is_called_back or is_raised_here or isinstance(error, OrwatchError | RuntimeError | AssertionError)
