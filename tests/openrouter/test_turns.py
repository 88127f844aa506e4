"""The rate limit where the server counts: a request takes its turn when it is sent."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import datetime, timedelta

import httpcore
import pytest

from orwatch.errors import ApiUnavailableError
from orwatch.openrouter.client import Client, Patience
from orwatch.store.engine.database import Store
from orwatch.store.engine.rate_limit import RateLimiter
from tests.openrouter.raw_server import raw_server
from tests.store.engine.test_rate_limit import most_within_a_minute
from tests.support import SECRET, FakeClock

LIMIT = 3
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%s\r\n{}"


@pytest.mark.parametrize("seconds", [0.1, 1, 9, 45, 70])
def test_connections_that_take_time_bring_no_more_requests_into_a_minute(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    arrived: list[datetime] = []
    connect = httpcore.SyncBackend.connect_tcp
    waits = iter([seconds, 0.0] * 10)

    def connect_slowly(*arguments: object) -> httpcore.NetworkStream:
        clock.advance(seconds=next(waits))
        return connect(*arguments)

    def serve(connection: socket.socket) -> None:
        arrived.append(clock.now())
        connection.sendall(ANSWER % b"Connection: close\r\n")

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect_slowly)
    limiter = RateLimiter(store, LIMIT, clock)
    with (
        raw_server(serve) as base_url,
        Client(
            base_url, clock=clock, wait_for_turn=limiter.wait_for_turn, patience=Patience(1, 900)
        ) as client,
    ):
        for _ in range(3 * LIMIT):
            assert client.get("/key", SECRET) == b"{}"
    assert len(arrived) == 3 * LIMIT
    assert most_within_a_minute(arrived) <= LIMIT
    # And no fewer than there may be, but for the connections' own time.
    assert arrived[-1] - arrived[0] < timedelta(seconds=2 * 61 + 5 * seconds)


def test_a_turn_is_taken_before_the_connection_and_used_after_it(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    connect = httpcore.SyncBackend.connect_tcp

    def noted(*arguments: object) -> httpcore.NetworkStream:
        events.append("connected")
        return connect(*arguments)

    def wait_for_turn() -> Callable[[], None]:
        events.append("turn")
        return lambda: events.append("left")

    def serve(connection: socket.socket) -> None:
        events.append("arrived")
        connection.sendall(ANSWER % b"")
        connection.recv(65536)
        events.append("arrived")
        connection.sendall(ANSWER % b"")

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", noted)
    with raw_server(serve) as base_url, Client(base_url, clock=clock, wait_for_turn=wait_for_turn) as client:
        client.get("/key", SECRET)
        client.get("/key", SECRET)
    assert events == ["turn", "connected", "left", "arrived", "turn", "left", "arrived"]


def test_a_mistake_in_the_rate_limit_is_no_error_of_a_key(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter = RateLimiter(store, LIMIT, clock)

    def wait_for_turn() -> Callable[[], None]:
        leave = limiter.wait_for_turn()
        clock.advance(seconds=5)
        monkeypatch.setattr(store.backend, "now_ms", lambda *_arguments: object())
        return leave

    with (
        raw_server(lambda _connection: None) as base_url,
        Client(base_url, clock=clock, wait_for_turn=wait_for_turn) as client,
        pytest.raises(TypeError),
    ):
        client.get("/key", SECRET)


def test_a_proxy_that_is_asked_to_connect_uses_no_turn(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[str] = []

    def refuse(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")

    with raw_server(refuse) as address:
        monkeypatch.setenv("HTTPS_PROXY", address.removesuffix("/api/v1"))
        with (
            Client(
                "https://openrouter.example",
                clock=clock,
                wait_for_turn=lambda: lambda: left.append("left"),
                patience=Patience(1, 5),
            ) as client,
            pytest.raises(ApiUnavailableError, match="403"),
        ):
            client.get("/key", SECRET)
    assert left == []
