"""The client: what is sent, tried again, waited for and given up, and how failures are told apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
import respx
from hypothesis import given
from hypothesis import strategies as st

from orwatch import __version__
from orwatch.errors import (
    ApiError,
    ApiUnavailableError,
    EndpointMissingError,
    InterruptedRunError,
    KeyRejectedError,
    UnexpectedAnswerError,
)
from orwatch.openrouter.client import Client
from orwatch.openrouter.outage import Patience
from orwatch.openrouter.responses import _retry_after_seconds
from tests.openrouter.conftest import Question, Turns
from tests.support import API_URL, NOW, SECRET, FakeClock

KEY_URL = f"{API_URL}/key"
# Of a query 408 says that it is too heavy, and nothing passing.
RETRIED_STATUSES = [425, 429, 500, 501, 502, 503, 504, 520, 529, 599]


def subclasses(parent: type[Exception]) -> Iterator[type[Exception]]:
    yield parent
    for child in parent.__subclasses__():
        yield from subclasses(child)


# What is sent, and what comes back.


def test_the_key_goes_in_the_authorization_header_and_the_body_comes_back(
    client: Client, turns: Turns, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.get(f"{API_URL}/usage", params={"start_date": "2026-11-20"}).respond(content=b"body")
    assert client.get("/usage", SECRET, {"start_date": "2026-11-20"}) == b"body"
    request = route.calls.last.request
    assert request.headers["Authorization"] == f"Bearer {SECRET}"
    assert request.headers["User-Agent"] == f"orwatch/{__version__}"
    assert request.headers["Accept"] == "application/json"
    assert turns.count == 1


def test_a_slash_at_the_end_of_the_base_address_changes_nothing(
    make_client: Callable[..., Client], respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(KEY_URL).respond(content=b"{}")
    assert make_client(f"{API_URL}/").get("/key", SECRET) == b"{}"


def test_a_closed_client_asks_no_more(make_client: Callable[..., Client]) -> None:
    client = make_client()
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.get("/key", SECRET)


# Statuses.

REFUSED = {"error": {"code": 401, "message": "User not found."}}


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (204, ApiError),
        (304, ApiError),
        (400, ApiError),
        (401, KeyRejectedError),
        (402, ApiError),
        (403, ApiError),
        (404, EndpointMissingError),
        (405, ApiError),
        (410, ApiError),
        (413, ApiError),
        (422, ApiError),
    ],
)
def test_a_status_that_would_stay_the_same_is_not_asked_for_again(
    question: Question, clock: FakeClock, turns: Turns, status: int, error_class: type[ApiError]
) -> None:
    question.route.respond(status, json={"error": {"message": "said the server"}})
    with pytest.raises(error_class) as raised:
        question.ask()
    assert type(raised.value) is error_class
    assert str(raised.value) == f"{question.name} answered {status}: said the server"
    assert raised.value.status == status
    assert not raised.value.is_passing
    assert (question.route.call_count, turns.count, clock.slept) == (1, 1, [])


@pytest.mark.parametrize("status", RETRIED_STATUSES)
def test_a_passing_status_is_tried_five_times(question: Question, turns: Turns, status: int) -> None:
    question.route.respond(status, html="<h1>down</h1>")
    with pytest.raises(ApiUnavailableError) as raised:
        question.ask()
    assert str(raised.value) == f"{question.name} answered {status} (tried 5 times)"
    assert raised.value.status == status
    assert raised.value.is_passing
    assert question.route.call_count == turns.count == 5


@pytest.mark.parametrize("status", RETRIED_STATUSES)
def test_an_answer_after_a_passing_status_is_taken(question: Question, status: int) -> None:
    question.route.side_effect = [httpx.Response(status), httpx.Response(200, content=b"at last")]
    assert question.ask() == b"at last"


# Broken connections: every class that httpx has, so that one added later is noticed here.


@pytest.mark.parametrize("exception_class", list(subclasses(httpx.TransportError)))
def test_every_transport_failure_is_passing_trouble(
    client: Client, turns: Turns, respx_mock: respx.MockRouter, exception_class: type[Exception]
) -> None:
    route = respx_mock.get(KEY_URL).mock(side_effect=exception_class("out of \x1b[1mreach"))
    with pytest.raises(ApiUnavailableError) as raised:
        client.get("/key", SECRET)
    if issubclass(exception_class, httpx.TimeoutException):
        said = f"no answer in time from {API_URL} ({exception_class.__name__})"
    else:
        said = f"cannot reach {API_URL}: out of \ufffd[1mreach"
    assert str(raised.value) == f"{said} (tried 5 times)"
    assert raised.value.status is None
    assert route.call_count == turns.count == 5


def test_a_transport_failure_without_a_text_is_told_by_its_name(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(KEY_URL).mock(side_effect=httpx.ReadError(""))
    with pytest.raises(ApiUnavailableError, match=r"cannot reach .*: ReadError"):
        client.get("/key", SECRET)


def test_an_answer_that_cannot_be_decoded_is_unexpected_and_not_asked_for_again(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    answer = httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=iter([b"no gzip"]))
    route = respx_mock.get(KEY_URL).mock(return_value=answer)
    with pytest.raises(UnexpectedAnswerError, match="the answer to GET /key cannot be read"):
        client.get("/key", SECRET)
    assert route.call_count == 1


def test_a_connection_that_breaks_in_the_middle_of_an_answer_is_tried_again(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    def broken() -> Iterator[bytes]:
        yield b'{"data": '
        raise httpx.RemoteProtocolError("peer closed connection")

    respx_mock.get(KEY_URL).side_effect = [
        httpx.Response(200, content=broken()),
        httpx.Response(200, content=b"whole"),
    ]
    assert client.get("/key", SECRET) == b"whole"


def test_being_told_to_stop_while_waiting_ends_the_request(
    client: Client, clock: FakeClock, respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_seconds: float) -> None:
        raise InterruptedRunError("stopped")

    route = respx_mock.get(KEY_URL).respond(503)
    monkeypatch.setattr(clock, "sleep", interrupt)
    with pytest.raises(InterruptedRunError):
        client.get("/key", SECRET)
    assert route.call_count == 1


# How long is waited between tries.


@pytest.mark.parametrize(
    ("jitter", "waits"), [(0.0, [1, 2, 4, 8]), (0.5, [1.5, 3, 6, 12]), (1.0, [2, 4, 8, 16])]
)
def test_waits_double_with_jitter(
    make_client: Callable[..., Client],
    clock: FakeClock,
    respx_mock: respx.MockRouter,
    jitter: float,
    waits: list[float],
) -> None:
    respx_mock.get(KEY_URL).respond(503)
    with pytest.raises(ApiUnavailableError):
        make_client(jitter=lambda: jitter).get("/key", SECRET)
    assert clock.slept == waits


def test_the_jitter_is_by_chance_unless_told_otherwise(
    clock: FakeClock, turns: Turns, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(KEY_URL).respond(503)
    with Client(API_URL, clock=clock, wait_for_turn=turns) as client, pytest.raises(ApiUnavailableError):
        client.get("/key", SECRET)
    assert all(2**n <= wait <= 2 ** (n + 1) for n, wait in enumerate(clock.slept))
    assert clock.slept != [1, 2, 4, 8]


def test_no_wait_is_longer_than_a_minute(
    make_client: Callable[..., Client], clock: FakeClock, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(KEY_URL).respond(503)
    with pytest.raises(ApiUnavailableError, match="tried 12 times"):
        make_client(patience=Patience(12, 1e6)).get("/key", SECRET)
    assert clock.slept[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert set(clock.slept[7:]) == {60}


@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [
        ("0", 0.25),
        ("7", 7.25),
        (" 7 ", 7.25),
        ("59", 59.25),
        ("60", 60),
        ("3600", 60),
        ("00000000000007", 7.25),
        ("9" * 5000, 60),
        (format_datetime(NOW + timedelta(seconds=20), usegmt=True), 20.25),
        (format_datetime(NOW + timedelta(days=400), usegmt=True), 60),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.25),
        ("Fri, 20 Nov 2026 12:30:20", 20.25),
        ("Fri, 20 Nov 2026 13:30:20 +0100", 20.25),
        ("Friday, 20-Nov-26 12:30:20 GMT", 20.25),
        ("", 1.25),
        ("soon", 1.25),
        ("-5", 1.25),
        ("1.5", 1.25),
        ("٣", 1.25),
        ("Fri, 20 Nov 99999999999999999999 12:30:20 GMT", 1.25),
        ("Fri, 20 Nov 2026 12:30:20 +9999999999999999", 1.25),
    ],
)
def test_retry_after_is_honoured_in_both_forms_and_capped(
    make_client: Callable[..., Client],
    clock: FakeClock,
    respx_mock: respx.MockRouter,
    retry_after: str,
    wait: float,
) -> None:
    respx_mock.get(KEY_URL).side_effect = [
        httpx.Response(429, headers={"Retry-After": retry_after.encode()}),
        httpx.Response(200),
    ]
    make_client(jitter=lambda: 0.25).get("/key", SECRET)
    assert clock.slept == [wait]


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ Nov \d+ \d+:\d+:\d+ ([+-]\d+|GMT)", fullmatch=True))
def test_any_retry_after_at_all_is_a_number_of_seconds_or_nothing(value: str) -> None:
    seconds = _retry_after_seconds(value, NOW)
    assert seconds is None or seconds >= 0


def test_an_http_date_without_a_zone_is_utc_wherever_the_machine_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert _retry_after_seconds("Fri, 20 Nov 2026 12:30:20", NOW) == 20
    finally:
        monkeypatch.undo()
        time.tzset()


def test_without_the_header_there_is_no_retry_after() -> None:
    assert _retry_after_seconds(None, NOW) is None


# The time limit.


@pytest.mark.parametrize("seconds_each", [0.0, 5.0, 15.0, 29.0, 30.0, 400.0])
@pytest.mark.parametrize("retry_after", ["0", "1", "30", "60", None])
def test_no_request_can_last_beyond_five_minutes_after_the_first_began(
    client: Client,
    clock: FakeClock,
    respx_mock: respx.MockRouter,
    seconds_each: float,
    retry_after: str | None,
) -> None:
    def slow(request: httpx.Request) -> httpx.Response:
        timeouts = request.extensions["timeout"]
        assert all(timeouts[phase] > 0 for phase in ("connect", "read", "write"))
        clock.advance(seconds=min(seconds_each, timeouts["read"]))
        if seconds_each > timeouts["read"]:
            raise httpx.ReadTimeout("")
        return httpx.Response(503, headers={"Retry-After": retry_after} if retry_after else {})

    route = respx_mock.get(KEY_URL).mock(side_effect=slow)
    with pytest.raises(ApiUnavailableError):
        client.get("/key", SECRET)
    assert 3 < route.call_count <= 5
    assert clock.monotonic() <= 300


def test_a_try_may_take_ten_seconds_to_connect_and_thirty_to_answer(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.get(KEY_URL).respond(200)
    client.get("/key", SECRET)
    timeouts = route.calls.last.request.extensions["timeout"]
    assert timeouts == {"connect": 10, "read": 30, "write": 30, "pool": None}


def test_a_turn_that_comes_after_the_time_limit_is_not_used(
    client: Client, turns: Turns, respx_mock: respx.MockRouter
) -> None:
    turns.seconds_each = 200
    route = respx_mock.get(KEY_URL).respond(503)
    with pytest.raises(ApiUnavailableError, match=r"answered 503 \(tried 2 times\)"):
        client.get("/key", SECRET)
    assert (route.call_count, turns.count) == (2, 3)


def test_the_wait_for_the_first_turn_does_not_count(
    client: Client, turns: Turns, respx_mock: respx.MockRouter
) -> None:
    turns.seconds_each = 100_000
    respx_mock.get(KEY_URL).respond(content=b"{}")
    assert client.get("/key", SECRET) == b"{}"


def test_an_answer_that_trickles_in_ends_at_the_time_limit(
    client: Client, clock: FakeClock, respx_mock: respx.MockRouter
) -> None:
    def trickle() -> Iterator[bytes]:
        while True:
            clock.advance(seconds=25)
            yield b" "

    route = respx_mock.get(KEY_URL).mock(side_effect=lambda _request: httpx.Response(200, content=trickle()))
    with pytest.raises(ApiUnavailableError, match=r"no answer in time .* \(tried once\)"):
        client.get("/key", SECRET)
    assert route.call_count == 1
    assert clock.monotonic() == 325


# An outage.


@pytest.mark.parametrize(
    ("answer", "doubt"),
    [
        (
            {"html": "<h1>Log in</h1>", "headers": {"WWW-Authenticate": "Basic"}},
            "is a login or a gateway in ",
        ),
        ({"text": ""}, "is a login or a gateway in between?"),
        ({"json": {"detail": "Not authenticated"}}, "is a login or a gateway in between?"),
        (
            {"json": REFUSED, "headers": {"Date": "Tue, 20 Oct 2026 12:30:00 GMT"}},
            "but it is dated 2026-10-20 12:30 UTC: from a cache, or a clock is wrong",
        ),
    ],
)
def test_a_refusal_that_is_not_openrouters_says_nothing_about_the_key(
    question: Question, answer: dict[str, Any], doubt: str
) -> None:
    question.route.respond(401, **answer)
    with pytest.raises(ApiUnavailableError, match=r"\(tried 5 times\)") as raised:
        question.ask()
    assert doubt in str(raised.value)


@pytest.mark.parametrize("date", ["Thu, 19 Nov 2026 12:31:00 GMT", "soon", None])
def test_a_refusal_of_openrouters_is_believed(question: Question, date: str | None) -> None:
    question.route.respond(401, json=REFUSED, headers={"Date": date} if date else None)
    with pytest.raises(KeyRejectedError):
        question.ask()


def fail(client: Client) -> str:
    with pytest.raises(ApiUnavailableError) as raised:
        client.get("/key", SECRET)
    return str(raised.value)


@pytest.mark.parametrize("answer", [200, 401, 403, 404])
def test_after_three_failed_requests_the_next_get_one_try_each_until_something_answers(
    client: Client, clock: FakeClock, respx_mock: respx.MockRouter, answer: int
) -> None:
    route = respx_mock.get(KEY_URL).respond(503)
    assert [fail(client)[-16:] for _ in range(3)] == [" (tried 5 times)"] * 3
    waited = len(clock.slept)
    assert [fail(client)[-13:] for _ in range(2)] == [" (tried once)"] * 2
    assert len(clock.slept) == waited
    assert route.call_count == 3 * 5 + 2

    json = None if answer == 200 else {"error": {"code": answer, "message": "said the server"}}
    respx_mock.get(f"{API_URL}/usage").respond(answer, json=json)
    if answer == 200:
        client.get("/usage", SECRET)
    else:
        with pytest.raises(ApiError):
            client.get("/usage", SECRET)
    assert "tried 5 times" in fail(client)


def test_failures_with_answers_between_them_are_no_outage(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(f"{API_URL}/usage").respond(200)
    respx_mock.get(KEY_URL).respond(503)
    for _ in range(4):
        assert "tried 5 times" in fail(client)
        client.get("/usage", SECRET)


# An error is an error, whatever the status.


@pytest.mark.parametrize("data", [[], {}, None, {"usage": 0, "usage_daily": 0}])
@pytest.mark.parametrize("code", [400, 401, 403, 404, None, "odd"])
def test_an_error_in_an_answer_with_200_is_an_error_with_its_message(
    question: Question, data: object, code: object
) -> None:
    error = {"code": code, "message": f"the account of {SECRET} is locked"}
    question.route.respond(json={"data": data, "error": error})
    with pytest.raises(UnexpectedAnswerError, match="answered 200 with an error: the account of") as raised:
        question.ask()
    assert SECRET not in str(raised.value)
    assert question.route.call_count == 1


@pytest.mark.parametrize("code", [408, 429, 500, 502])
def test_a_passing_error_in_an_answer_with_200_is_asked_again(question: Question, code: int) -> None:
    error = {"data": [], "error": {"code": code, "message": "overloaded"}}
    question.route.side_effect = [httpx.Response(200, json=error), httpx.Response(200, content=b"{}")]
    assert question.ask() == b"{}"


@pytest.mark.parametrize("error", ["odd", {"odd": 1}, [1], True])
def test_an_error_without_a_message_is_an_error(question: Question, error: object) -> None:
    question.route.respond(json={"data": [], "error": error})
    with pytest.raises(UnexpectedAnswerError, match=r"answered 200 with an error$"):
        question.ask()


@pytest.mark.parametrize(
    "body",
    [b'{"data": [], "error": null}', b'{"error": {}}', b'{"data": "\\"error\\""}', b'["error"]', b'"error"'],
)
def test_an_answer_without_an_error_is_none(question: Question, body: bytes) -> None:
    question.route.respond(content=body)
    assert question.ask() == body
