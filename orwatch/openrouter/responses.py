"""What a response means: its answer, or the error that it stands for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx

from orwatch.errors import (
    ApiError,
    EndpointMissingError,
    KeyRejectedError,
    QueryTooHeavyError,
    UnexpectedAnswerError,
    WrongClockError,
)
from orwatch.openrouter.parse import error_code, parse_error
from orwatch.redaction import redact, without_echo
from orwatch.text import printable, secret_hint, without_secrets

# How much of what a server says goes into a message.
MAX_MESSAGE_LENGTH = 200

_MAX_CLOCK_DIFFERENCE = timedelta(days=1)

_PASSING_STATUSES = frozenset({408, 425, 429})  # and 5xx


class PassingError(Exception):
    """One try failed in a way that another may not. ``reason``: what that says of the API as a whole."""

    def __init__(
        self, message: str, reason: str, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.retry_after_seconds = retry_after


def answer_of(
    response: httpx.Response, body: bytes, question: str, secret: str, now: datetime, *, is_query: bool
) -> bytes:
    """The body of a whole answer, without the secret where a server echoes it.

    ``question``: ``GET /key``. ``is_query``: a query may be too heavy, which asking again does not change.
    Raises ``PassingError`` and what ``Client.get`` says, and ``WrongClockError``.
    """
    status = response.status_code
    if status == 200:
        _check_clock(response, now)
    # Most answers, and the large ones, have no such word and are read once only.
    code = error_code(body) if status == 200 and b'"error"' in body else None
    if status == 200 and code is None:
        # A server may echo what it was sent, and messages about an answer quote from it.
        return without_echo(body, secret)
    reason = parse_error(body)
    detail = f": {presentable(reason, secret)}" if reason else ""
    if code is not None:
        message = f"{question} answered 200 with an error{detail}"
        if _is_passing(code):
            raise PassingError(message, _only_errors(code), code)
        raise UnexpectedAnswerError(message, status)
    message = f"{question} answered {status}{detail}"
    if status == 408 and is_query:
        raise QueryTooHeavyError(message, status)
    if _is_passing(status):
        retry_after = _retry_after_seconds(response.headers.get("Retry-After"), now)
        raise PassingError(message, _only_errors(status), status, retry_after)
    if status == 401:
        if (doubt := _doubt(response, body, now)) is not None:
            answers = _only_errors(f"{status}, {doubt.rstrip('?')}")
            raise PassingError(f"{message}, {doubt}", answers, status)
        raise KeyRejectedError(message, status)
    if status == 404:
        raise EndpointMissingError(message, status)
    raise ApiError(message, status)


def redirect_target(response: httpx.Response, url: httpx.URL, secret: str) -> httpx.URL | None:
    """Where the same server sends us; None for no redirect. Raises ``ApiError`` for another origin."""
    if not response.has_redirect_location:
        return None
    target = url.join(response.headers["Location"])
    if (target.scheme, target.host, target.port) != (url.scheme, url.host, url.port):
        port = "" if target.port is None else f":{target.port}"
        shown = presentable(f"{target.scheme}://{target.host}{port}", secret)
        raise ApiError(
            f"{url.host} redirects to {shown}, where the key is not sent. "
            "If that is the right address, set ORWATCH_OPENROUTER_API_URL to it.",
            response.status_code,
        )
    # Without a user name: httpx would send that in the place of the key.
    return target.copy_with(userinfo=b"")


def sent_at(response: httpx.Response) -> datetime | None:
    """When the server says that it answered (``Date``)."""
    return _http_date(response.headers.get("Date", ""))


def presentable(text: str, secret: str) -> str:
    """What a server said, without secrets, safe for a terminal, and short."""
    # Its own secret even where that is too short to be kept.
    # A part of it, or another's, by what it looks like.
    shown = without_secrets(redact(text.replace(secret, secret_hint(secret))))
    return printable(shown)[:MAX_MESSAGE_LENGTH]


def _check_clock(response: httpx.Response, now: datetime) -> None:
    theirs = sent_at(response)
    if theirs is not None and abs(theirs - now) > _MAX_CLOCK_DIFFERENCE:
        raise WrongClockError(
            f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, the API's {theirs:%Y-%m-%d %H:%M}. "
            "Set the clock right; until then nothing is written, since it would go to wrong days."
        )


def _doubt(response: httpx.Response, body: bytes, now: datetime) -> str | None:
    """Why a refusal is not OpenRouter's own; None where nothing speaks against it."""
    if error_code(body) is None:
        return "but not as OpenRouter refuses a key: is a login or a gateway in between?"
    theirs = sent_at(response)
    if theirs is not None and abs(theirs - now) > _MAX_CLOCK_DIFFERENCE:
        return f"but it is dated {theirs:%Y-%m-%d %H:%M} UTC: from a cache, or a clock is wrong"
    return None


def _only_errors(status: int | str) -> str:
    return f"answers with errors only ({status})"


def _is_passing(status: int) -> bool:
    return status in _PASSING_STATUSES or status >= 500


def _retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """``Retry-After`` in both its forms, seconds or an HTTP date; None where it says nothing usable."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    moment = _http_date(value)
    return None if moment is None else max(0.0, (moment - now).total_seconds())


def _http_date(value: str) -> datetime | None:
    """A time as HTTP headers write it, in UTC; None for anything else."""
    try:
        moment = parsedate_to_datetime(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
