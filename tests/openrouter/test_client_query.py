"""Questions that are posted: sent whole each time, and tried again except where they are too heavy."""

from __future__ import annotations

import json

import httpx
import pytest
import respx

from orwatch import __version__
from orwatch.errors import (
    EXIT_TRY_AGAIN,
    ApiError,
    ApiUnavailableError,
    QueryTooHeavyError,
)
from orwatch.openrouter import client as client_module
from orwatch.openrouter.client import Client
from tests.openrouter.conftest import Turns
from tests.support import API_URL, SECRET, FakeClock

PATH = "/analytics/query"
QUERY_URL = f"{API_URL}{PATH}"
CONTENT = json.dumps({"metrics": ["request_count"], "limit": 10_000}).encode()
REDIRECTS = [301, 302, 303, 307, 308]


def contents(route: respx.Route) -> list[tuple[str, bytes, str]]:
    """What was sent each time: method, body, and the kind of the body."""
    requests = [call.request for call in route.calls]
    return [(request.method, request.content, request.headers["Content-Type"]) for request in requests]


SENT = ("POST", CONTENT, "application/json")


# What is sent, and what comes back.


def test_a_query_is_posted_as_json_with_the_key_and_the_body_comes_back(
    client: Client, turns: Turns, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.post(QUERY_URL).respond(content=b"body")
    assert client.query(PATH, SECRET, CONTENT) == b"body"
    request = route.calls.last.request
    assert contents(route) == [SENT]
    assert request.headers["Authorization"] == f"Bearer {SECRET}"
    assert request.headers["Accept"] == "application/json"
    assert request.headers["User-Agent"] == f"orwatch/{__version__}"
    assert request.headers["Content-Length"] == str(len(CONTENT))
    assert request.url.query == b""
    assert turns.count == 1


def test_a_question_that_is_not_posted_has_no_body_and_no_kind_of_body(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.get(f"{API_URL}/key").respond(200)
    client.get("/key", SECRET)
    request = route.calls.last.request
    assert request.content == b""
    assert "Content-Type" not in request.headers


# Statuses.


def test_a_query_that_is_too_heavy_is_not_asked_again_for_less_must_be_asked(
    client: Client, clock: FakeClock, turns: Turns, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.post(QUERY_URL).respond(
        408, json={"error": {"code": 408, "message": "Query timed out"}}, headers={"Retry-After": "5"}
    )
    with pytest.raises(QueryTooHeavyError) as raised:
        client.query(PATH, SECRET, CONTENT)
    assert str(raised.value) == "POST /analytics/query answered 408: Query timed out"
    assert (raised.value.status, raised.value.is_passing) == (408, True)
    assert raised.value.exit_code == EXIT_TRY_AGAIN
    assert (route.call_count, turns.count, clock.slept) == (1, 1, [])


def test_a_408_to_anything_but_a_query_is_passing_trouble_still(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(f"{API_URL}/activity").respond(408)
    with pytest.raises(ApiUnavailableError, match=r"GET /activity answered 408 \(tried 5 times\)"):
        client.get("/activity", SECRET)


def test_queries_that_are_too_heavy_are_answers_and_no_outage(
    client: Client, clock: FakeClock, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.post(QUERY_URL).respond(408)
    for _ in range(5):
        with pytest.raises(QueryTooHeavyError):
            client.query(PATH, SECRET, CONTENT)
    route.respond(503)
    with pytest.raises(ApiUnavailableError, match="tried 5 times"):
        client.query(PATH, SECRET, CONTENT)
    assert clock.slept == [1, 2, 4, 8]


def test_a_query_that_is_too_heavy_after_passing_trouble_is_so_at_once(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.post(QUERY_URL)
    route.side_effect = [httpx.Response(503), httpx.Response(408)]
    with pytest.raises(QueryTooHeavyError):
        client.query(PATH, SECRET, CONTENT)
    assert route.call_count == 2


def test_in_passing_trouble_the_same_body_is_sent_again(
    client: Client, clock: FakeClock, turns: Turns, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.post(QUERY_URL)
    route.side_effect = [httpx.Response(429), httpx.Response(503), httpx.Response(200, content=b"ok")]
    assert client.query(PATH, SECRET, CONTENT) == b"ok"
    assert contents(route) == [SENT] * 3
    assert (turns.count, clock.slept) == (3, [1, 2])


@pytest.mark.parametrize("error", [httpx.ConnectError(""), httpx.ReadTimeout(""), httpx.ReadError("")])
def test_a_query_whose_connection_breaks_is_sent_again_for_it_changes_nothing(
    client: Client, respx_mock: respx.MockRouter, error: httpx.TransportError
) -> None:
    route = respx_mock.post(QUERY_URL)
    route.side_effect = [error, httpx.Response(200, content=b"ok")]
    assert client.query(PATH, SECRET, CONTENT) == b"ok"
    assert contents(route) == [SENT] * 2


# The log.


def test_a_query_is_logged_by_method_and_path_and_without_its_body(
    client: Client, respx_mock: respx.MockRouter, caplog: pytest.LogCaptureFixture
) -> None:
    respx_mock.post(QUERY_URL).side_effect = [httpx.Response(503), httpx.Response(200)]
    client.query(PATH, SECRET, CONTENT)
    messages = [record.getMessage() for record in caplog.records if record.name == client_module.__name__]
    assert messages == [
        "POST /api/v1/analytics/query 503 0 ms",
        "POST /analytics/query answered 503; trying again in 1.0 s",
        "POST /api/v1/analytics/query 200 0 ms",
    ]


# Redirects.


@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize("location", ["/api/v2/query", "https://openrouter.example:443/api/v2/query"])
def test_a_redirect_within_the_origin_is_followed_with_the_whole_query_and_takes_a_turn(
    client: Client, turns: Turns, respx_mock: respx.MockRouter, status: int, location: str
) -> None:
    respx_mock.post(QUERY_URL).respond(status, headers={"Location": location})
    target = respx_mock.post("https://openrouter.example/api/v2/query").respond(content=b"there")
    assert client.query(PATH, SECRET, CONTENT) == b"there"
    assert contents(target) == [SENT]
    assert target.calls.last.request.headers["Authorization"] == f"Bearer {SECRET}"
    assert turns.count == 2


@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize(
    "location",
    [
        "https://other.example/api/v1/analytics/query",
        "//other.example/x",
        "http://openrouter.example/x",
        "https://openrouter.example:8443/x",
    ],
)
def test_a_redirect_to_another_origin_is_refused_and_neither_key_nor_query_is_sent_there(
    client: Client, respx_mock: respx.MockRouter, status: int, location: str
) -> None:
    first = respx_mock.post(QUERY_URL).respond(status, headers={"Location": location})
    elsewhere = respx_mock.route().respond(200)
    with pytest.raises(ApiError, match="where the key is not sent") as raised:
        client.query(PATH, SECRET, CONTENT)
    assert raised.value.status == status
    assert (first.call_count, elsewhere.call_count) == (1, 0)


def test_what_the_target_of_a_redirect_answers_is_what_counts(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    first = respx_mock.post(QUERY_URL).respond(307, headers={"Location": "/x"})
    respx_mock.post("https://openrouter.example/x").side_effect = [httpx.Response(503), httpx.Response(408)]
    with pytest.raises(QueryTooHeavyError, match="POST /analytics/query answered 408"):
        client.query(PATH, SECRET, CONTENT)
    assert contents(first) == [SENT] * 2
