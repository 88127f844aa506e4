"""One deadline for a request, whatever the server does: each kind on real connections."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpcore
import httpx
import pytest

from orwatch.cli.context import SystemClock
from orwatch.errors import ApiUnavailableError
from orwatch.openrouter import outage
from orwatch.openrouter.client import Client
from orwatch.openrouter.outage import Patience
from tests.openrouter.raw_server import raw_server
from tests.openrouter.tls import HERE, VALID, Authority, tls_server
from tests.support import SECRET, no_limit

SECONDS = 0.3
HEAD = b"HTTP/1.1 200 OK\r\n"
BODY = HEAD + b"Content-Length: 2\r\n\r\n{}"


@pytest.fixture
def ask() -> Iterator[Callable[[str], float]]:
    """Ask once, with a deadline of a fraction of a second; how long it took to give up."""
    with ExitStack() as stack:

        def ask(base_url: str, content: bytes | None = None, *, times: int = 1) -> float:
            patience = Patience(max_tries=1, max_seconds=SECONDS)
            client = stack.enter_context(
                Client(base_url, clock=SystemClock(), wait_for_turn=no_limit, patience=patience)
            )
            for _ in range(times - 1):
                client.get("/key", SECRET)
            began = time.monotonic()
            with pytest.raises(ApiUnavailableError, match="no answer in time from http"):
                client.get("/key", SECRET) if content is None else client.query("/key", SECRET, content)
            return time.monotonic() - began

        yield ask


def send_for_ever(connection: socket.socket, start: bytes, again: bytes) -> None:
    connection.sendall(start)
    while True:
        connection.sendall(again)
        time.sleep(0.02)


def nothing_packed() -> bytes:
    """The beginning of a gzip stream, and then a block with nothing in it."""
    return zlib.compressobj(wbits=zlib.MAX_WBITS | 16).compress(b"")


ENDLESS = {
    "nothing": (b"", b""),
    "a status line": (b"HTTP/1.1 2", b"0"),
    "headers": (HEAD + b"X: ", b"x"),
    "1xx": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "100": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
    "a body": (HEAD + b"Content-Length: 99999\r\n\r\n", b" "),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "a chunk's length": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "trailers": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
    "gzip of nothing": (
        HEAD + b"Content-Encoding: gzip\r\n\r\n" + nothing_packed(),
        b"\x00\x00\x00\xff\xff" * 20,
    ),
    "an error's body": (b"HTTP/1.1 500 No\r\nContent-Length: 99999\r\n\r\n", b" "),
    "a redirect's body": (b"HTTP/1.1 302 No\r\nLocation: /x\r\nContent-Length: 99999\r\n\r\n", b" "),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_answer_without_an_end_ends_at_the_deadline(ask: Callable[..., float], kind: str) -> None:
    with raw_server(lambda connection: send_for_ever(connection, *ENDLESS[kind])) as base_url:
        assert SECONDS * 0.9 < ask(base_url) < SECONDS + 2


def test_a_connection_that_is_used_again_has_the_deadline_of_the_new_request(
    ask: Callable[..., float],
) -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(BODY)
        connection.recv(65536)
        send_for_ever(connection, *ENDLESS["headers"])

    with raw_server(serve) as base_url:
        assert SECONDS * 0.9 < ask(base_url, times=2) < SECONDS + 2


def test_a_server_that_does_not_read_a_query_ends_at_the_deadline(ask: Callable[..., float]) -> None:
    with raw_server(lambda _connection: time.sleep(SECONDS * 3)) as base_url:
        assert SECONDS * 0.9 < ask(base_url, b" " * 32 * 1024**2) < SECONDS + 2


def test_a_handshake_without_an_end_ends_at_the_deadline(ask: Callable[..., float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert SECONDS * 0.9 < ask(f"https://127.0.0.1:{listener.getsockname()[1]}") < SECONDS + 2


def test_a_name_that_is_looked_up_for_ever_ends_at_the_deadline(
    ask: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over = threading.Event()

    def look_up(*_arguments: object, **_options: object) -> list[object]:
        is_over.wait(30)
        raise socket.gaierror("too late")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert SECONDS * 0.9 < ask("http://localhost:1") < SECONDS + 2
    is_over.set()


def test_a_connection_that_comes_too_late_is_closed(
    ask: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, may_connect = threading.Event(), threading.Event()

    class Late(httpcore.NetworkStream):
        def close(self) -> None:
            closed.set()

    def connect(*_arguments: object) -> Late:
        may_connect.wait(30)
        return Late()

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect)
    ask("http://127.0.0.1:1")
    assert not closed.is_set()
    may_connect.set()
    assert closed.wait(10)


def test_what_ends_in_time_is_an_answer_and_later_requests_have_a_time_of_their_own() -> None:
    def serve(connection: socket.socket) -> None:
        while True:
            connection.sendall(BODY)
            if not connection.recv(65536):
                return
            time.sleep(SECONDS / 2)

    patience = Patience(max_tries=1, max_seconds=SECONDS)
    with (
        raw_server(serve) as base_url,
        Client(base_url, clock=SystemClock(), wait_for_turn=no_limit, patience=patience) as client,
    ):
        assert [client.get("/key", SECRET) for _ in range(4)] == [b"{}"] * 4


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "https://127.0.0.1:9"])
def test_connections_through_a_proxy_have_the_deadline_too(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with Client("https://openrouter.example", clock=SystemClock(), wait_for_turn=no_limit) as client:
        transports = [client._http._transport, *client._http._mounts.values()]
        backends = [
            transport._pool._network_backend
            for transport in transports
            if isinstance(transport, httpx.HTTPTransport)
        ]
        assert backends == [client._network] * 2


TUNNEL = b"HTTP/1.1 200 OK\r\n\r\n"
HANDSHAKE = b"\x16\x03\x03\x3f\xff"  # a record of 16 kB begins
RECORD = b"\x17\x03\x03\x3f\xff"


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    authority = Authority(tmp_path / "ours")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


def test_a_handshake_within_the_tls_of_a_proxy_ends_at_the_deadline(
    ask: Callable[..., float], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(connection: ssl.SSLSocket) -> None:
        connection.sendall(TUNNEL)
        connection.recv(65536)
        send_for_ever(connection, HANDSHAKE, b"\0")

    with tls_server(authority.certificate(HERE, VALID), serve) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"https://localhost:{proxy.port}")
        assert SECONDS * 0.9 < ask("https://openrouter.example") < SECONDS + 2


def test_an_answer_within_the_tls_of_a_proxy_ends_at_the_deadline(
    ask: Callable[..., float], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def serve(connection: ssl.SSLSocket) -> None:
        connection.sendall(TUNNEL)
        received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = inner.wrap_bio(received, sent, server_side=True)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(sent.read())
                received.write(connection.recv(65536))
        send_for_ever(connection, sent.read() + RECORD, b"\0")

    inner.load_cert_chain(authority.certificate(("openrouter.example",), VALID))
    with tls_server(authority.certificate(HERE, VALID), serve) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"https://localhost:{proxy.port}")
        assert SECONDS * 0.9 < ask("https://openrouter.example") < SECONDS + 2


@pytest.fixture
def of_a_person(monkeypatch: pytest.MonkeyPatch) -> Patience:
    monkeypatch.setattr(outage, "_SHORT_TRY_SECONDS", 0.1)
    return Patience(max_tries=1, max_seconds=60, max_outage_seconds=SECONDS)


@pytest.mark.parametrize("kind", ["nothing", "a status line", "headers", "1xx"])
def test_where_a_person_waits_what_is_no_answer_ends_with_the_outage(
    of_a_person: Patience, kind: str
) -> None:
    with (
        raw_server(lambda connection: send_for_ever(connection, *ENDLESS[kind])) as base_url,
        Client(base_url, clock=SystemClock(), wait_for_turn=no_limit, patience=of_a_person) as client,
    ):
        began = time.monotonic()
        with pytest.raises(ApiUnavailableError):
            client.get("/key", SECRET)
        assert SECONDS * 0.9 < time.monotonic() - began < SECONDS + 2


def test_where_a_person_waits_an_answer_that_has_begun_is_read_to_its_end(of_a_person: Patience) -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(HEAD + b"Content-Length: 20\r\n\r\n")
        for _ in range(10):
            time.sleep(SECONDS / 6)
            connection.sendall(b"{}")

    with (
        raw_server(serve) as base_url,
        Client(base_url, clock=SystemClock(), wait_for_turn=no_limit, patience=of_a_person) as client,
    ):
        assert client.get("/key", SECRET) == b"{}" * 10


def test_a_connection_that_is_refused_says_so(ask: Callable[..., float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    patience = Patience(max_tries=1, max_seconds=5)
    with (
        Client(
            f"http://127.0.0.1:{port}", clock=SystemClock(), wait_for_turn=no_limit, patience=patience
        ) as client,
        pytest.raises(ApiUnavailableError, match="Connection refused"),
    ):
        client.get("/key", SECRET)
