"""The loopback server: what its function answers arrives as such, and nothing is printed or left behind."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from urllib.parse import urlsplit

import httpx
import pytest

from orwatch.demo import server as server_module
from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import FakeServer, Json, Request, Response, error_response, json_response
from orwatch.demo.usage import PRODUCTION, FakeKey
from tests.support import SECRET, TODAY


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """A client that ignores the proxies of the environment."""
    with httpx.Client(trust_env=False, timeout=10) as client:
        yield client


def answer_ok(_request: Request) -> Response:
    return json_response({"data": "ok"})


def port_of(server: FakeServer) -> int:
    port = urlsplit(server.url).port
    assert port is not None
    return port


def served_threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("fake "))


def wait_until_served() -> None:
    """Wait for the threads of connections that are closing."""
    deadline = time.monotonic() + 5
    while "fake connection" in served_threads() and time.monotonic() < deadline:
        time.sleep(0.001)


def test_it_listens_on_the_loopback_interface_only(http: httpx.Client) -> None:
    with FakeServer(answer_ok) as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert server.url.endswith("/api/v1")
        assert http.get(f"{server.url}/key").json() == {"data": "ok"}


def test_it_hands_the_request_over_in_its_parts(http: httpx.Client) -> None:
    with FakeServer(answer_ok) as server:
        headers = {"Authorization": "Bearer sk-or-v1-a"}
        http.get(f"{server.url}/usage?start_date=2026-11-20&empty=&plus=a%2Bb", headers=headers)
        http.post(f"{server.url}/analytics/query", content=b'{"limit": 1}')
        requests = [request for _, request in server.received]
    query = {"start_date": "2026-11-20", "empty": "", "plus": "a+b"}
    assert requests == [
        Request("GET", "/usage", query, "sk-or-v1-a", b""),
        Request("POST", "/analytics/query", {}, None, b'{"limit": 1}'),
    ]


@pytest.mark.parametrize(
    ("authorization", "secret"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc", "abc"),
        ("Bearer", None),
        ("Basic abc", None),
    ],
)
def test_only_a_bearer_token_is_a_secret(http: httpx.Client, authorization: str, secret: str | None) -> None:
    with FakeServer(answer_ok) as server:
        http.get(f"{server.url}/key", headers={"Authorization": authorization})
        assert server.received[0][1].secret == secret


def test_a_request_does_not_show_its_secret() -> None:
    assert "sk-or-hidden" not in repr(Request("GET", "/key", secret="sk-or-hidden"))


def test_requests_are_kept_in_order_with_the_time_of_their_arrival(http: httpx.Client) -> None:
    before = time.monotonic()
    with FakeServer(answer_ok) as server:
        for number in range(5):
            http.get(f"{server.url}/{number}")
        received = server.received
    times = [moment for moment, _ in received]
    assert [request.path for _, request in received] == ["/0", "/1", "/2", "/3", "/4"]
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= time.monotonic()


def test_what_was_received_can_still_be_read_after_closing(http: httpx.Client) -> None:
    with FakeServer(answer_ok) as server:
        http.get(f"{server.url}/key")
    assert [request.path for _, request in server.received] == ["/key"]


def test_many_clients_are_served_at_once() -> None:
    everybody_is_here = threading.Barrier(16)

    def answer(_request: Request) -> Response:
        everybody_is_here.wait(timeout=10)
        return json_response({})

    statuses: list[int] = []

    def ask(url: str) -> None:
        statuses.append(httpx.get(url, trust_env=False, timeout=10).status_code)

    with FakeServer(answer) as server:
        threads = [threading.Thread(target=ask, args=(f"{server.url}/key",)) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [200] * 16
        assert len(server.received) == 16


def test_a_connection_is_kept_alive_and_small_answers_are_quick(http: httpx.Client) -> None:
    with FakeServer(answer_ok) as server:
        http.get(f"{server.url}/key")
        started_at = time.monotonic()
        for _ in range(50):
            http.get(f"{server.url}/key")
        duration_seconds = time.monotonic() - started_at
        assert served_threads() == ["fake connection", "fake server"]
    assert duration_seconds < 50 * 0.02


def test_status_headers_and_content_type_are_those_of_the_response(http: httpx.Client) -> None:
    def answer(_request: Request) -> Response:
        return Response(503, b"<html>busy</html>", {"Retry-After": "7"}, content_type="text/html")

    with FakeServer(answer) as server:
        response = http.get(f"{server.url}/key")
    assert (response.status_code, response.text) == (503, "<html>busy</html>")
    assert (response.headers["Retry-After"], response.headers["Content-Type"]) == ("7", "text/html")


def test_an_answer_may_be_empty(http: httpx.Client) -> None:
    with FakeServer(lambda _: Response(500)) as server:
        response = http.get(f"{server.url}/key")
    assert (response.status_code, response.content) == (500, b"")


def test_a_cut_answer_ends_before_its_content_length(
    http: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    with FakeServer(lambda _: Response(200, b'{"data": [', content_length=1000)) as server:
        with pytest.raises(httpx.RemoteProtocolError, match="received 10 bytes, expected 1000"):
            http.get(f"{server.url}/key")
        assert len(server.received) == 1
    assert capfd.readouterr() == ("", "")


def test_an_answer_that_aborts_drops_the_connection_and_the_next_one_is_served(
    http: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    def answer(request: Request) -> Response:
        if request.path == "/drop":
            raise ConnectionAbortedError
        return json_response({})

    with FakeServer(answer) as server:
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            http.get(f"{server.url}/drop")
        assert http.get(f"{server.url}/key").status_code == 200
        assert len(server.received) == 2
    assert capfd.readouterr() == ("", "")


def test_an_answer_with_a_bug_shows_its_traceback(
    http: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    def answer(_request: Request) -> Response:
        raise ZeroDivisionError("a bug")

    with FakeServer(answer) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            http.get(f"{server.url}/key")
        wait_until_served()
    assert "ZeroDivisionError: a bug" in capfd.readouterr().err


def test_addresses_outside_of_the_api_get_404_and_count_as_not_received(http: httpx.Client) -> None:
    with FakeServer(answer_ok) as server:
        response = http.get(server.url.removesuffix("/api/v1") + "/key")
        assert server.received == ()
    assert response.status_code == 404
    assert response.json() == {"error": {"code": 404, "message": "Not Found"}}


def test_nothing_is_printed_whatever_clients_do(
    http: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    asked, dropped = threading.Event(), threading.Event()

    def answer(request: Request) -> Response:
        if request.path == "/slow":
            asked.set()
            dropped.wait(timeout=10)
            return Response(200, b"x" * 50_000_000)
        return error_response(401, "User not found.")

    with FakeServer(answer) as server:
        http.get(f"{server.url}/key")
        http.request("PROPFIND", f"{server.url}/key")
        address = ("127.0.0.1", port_of(server))
        with closing(socket.create_connection(address)) as connection:
            connection.sendall(b"not HTTP\r\n\r\n")
            assert connection.recv(100)
        with closing(socket.create_connection(address)) as connection:
            connection.sendall(b"GET /api/v1/slow HTTP/1.1\r\n\r\n")
            assert asked.wait(timeout=10)
        dropped.set()
        http.close()
        wait_until_served()
    assert capfd.readouterr() == ("", "")


def test_closing_ends_idle_connections_joins_every_thread_and_frees_the_port(http: httpx.Client) -> None:
    with FakeServer(answer_ok) as server:
        http.get(f"{server.url}/key")
        port = port_of(server)
        assert served_threads() == ["fake connection", "fake server"]
        started_at = time.monotonic()
    assert time.monotonic() - started_at < 1
    assert served_threads() == []
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
    with pytest.raises(httpx.ConnectError):
        http.get(f"http://127.0.0.1:{port}/api/v1/key")


def test_closing_twice_does_no_harm() -> None:
    server = FakeServer(answer_ok)
    server.close()
    server.close()
    assert served_threads() == []


def test_closing_does_not_wait_for_an_answer_that_never_ends(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server_module, "CLOSE_SECONDS", 0.05)
    asked, go_on = threading.Event(), threading.Event()

    def answer(_request: Request) -> Response:
        asked.set()
        go_on.wait(timeout=10)
        return json_response({})

    with (
        FakeServer(answer) as server,
        closing(socket.create_connection(("127.0.0.1", port_of(server)))) as c,
    ):
        c.sendall(b"GET /api/v1/key HTTP/1.1\r\n\r\n")
        assert asked.wait(timeout=10)
        server.close()
        assert served_threads() == ["fake connection"]
        go_on.set()
        wait_until_served()
    assert served_threads() == []
    assert capfd.readouterr() == ("", "")


def test_the_api_is_served_over_http(http: httpx.Client) -> None:
    api = FakeOpenRouter([FakeKey("production", SECRET, PRODUCTION)], today=lambda: TODAY)
    with FakeServer(api.answer) as server:
        headers = {"Authorization": f"Bearer {SECRET}"}
        params = {"start_date": f"{TODAY}", "end_date": f"{TODAY}"}
        usage = http.get(f"{server.url}/usage", params=params, headers=headers)
        key = http.get(f"{server.url}/key", headers=headers)
        api.revoke("production")
        refused = http.get(f"{server.url}/key", headers=headers)
    assert (usage.headers["Content-Type"], key.status_code, refused.status_code) == (
        "application/json",
        200,
        401,
    )
    rows = json.loads(usage.content, parse_float=Decimal)["data"]
    daily = json.loads(key.content, parse_float=Decimal)["data"]["usage_daily"]
    assert daily == sum(row["cost"] for row in rows)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("0.000000001"), "0.000000001"),
        (Decimal("123456789012345678901234567890.123456789"), "123456789012345678901234567890.123456789"),
        (Decimal("1E+3"), "1000"),
        (Decimal("-0.50"), "-0.50"),
        ([1, True, None, 'say "hi"'], '[1, true, null, "say \\"hi\\""]'),
        ({"a": {"b": (Decimal(1), {})}}, '{"a": {"b": [1, {}]}}'),
    ],
)
def test_json_keeps_every_digit_of_a_decimal_as_a_number(value: Json, text: str) -> None:
    response = json_response(value)
    assert (response.status, response.content_type, response.body.decode()) == (200, "application/json", text)
    json.loads(response.body)
