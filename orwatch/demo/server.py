"""A small HTTP server on the loopback interface that asks a function for every answer.

It knows nothing of OpenRouter: whoever wants errors, cut answers or delays hands it a function that
answers so.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

API_PREFIX = "/api/v1"
CLOSE_SECONDS = 2.0  # how long closing waits for answers that are still being made

# No float: an amount of money never is one on its way.
Json: TypeAlias = "bool | int | Decimal | str | Sequence[Json] | Mapping[str, Json] | None"


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked. ``path`` begins after ``/api/v1``; ``secret`` is the bearer token."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    secret: str | None = field(default=None, repr=False)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """What the client gets.

    ``content_length`` says something else than the body's length to make an answer that is cut: the
    connection is closed after the body.
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    content_length: int | None = None


Answer: TypeAlias = Callable[[Request], Response]


def json_response(value: Json, status: int = 200) -> Response:
    """The value as JSON, each ``Decimal`` as a number with all its digits."""
    return Response(status, _json_text(value).encode())


def error_response(status: int, message: str) -> Response:
    """An error in OpenRouter's shape: ``{"error": {"code": 401, "message": "…"}}``."""
    return json_response({"error": {"code": status, "message": message}}, status)


def _json_text(value: Json) -> str:
    # The standard encoder writes a Decimal as a float or as a text, and neither is the number itself.
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Mapping):
        members = (f"{json.dumps(name)}: {_json_text(member)}" for name, member in value.items())
        return "{" + ", ".join(members) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_json_text(item) for item in value) + "]"
    return json.dumps(value)


class FakeServer:
    """Serves on 127.0.0.1 until it is closed; close it, or use it as a context manager.

    ``port`` 0 is a free one. Raises ``OSError`` where it cannot be had.

    ``answer`` is called in a thread per connection. One that raises ``ConnectionAbortedError`` makes the
    server drop the connection without an answer; any other exception is a bug and shows its traceback.
    """

    def __init__(self, answer: Answer, port: int = 0) -> None:
        self._http = _HttpServer(answer, port)
        self._accepting = threading.Thread(
            target=self._http.serve_forever,
            kwargs={"poll_interval": 0.02},  # closing waits for one such interval
            name="fake server",
            daemon=True,
        )
        self._accepting.start()

    def __enter__(self) -> FakeServer:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The base address, as ``ORWATCH_OPENROUTER_API_URL`` takes it."""
        return f"http://127.0.0.1:{self._http.server_port}{API_PREFIX}"

    @property
    def received(self) -> tuple[tuple[float, Request], ...]:
        """Every request so far in the order of arrival, each with its monotonic time in seconds."""
        return self._http.received()

    def close(self) -> None:
        """Stop accepting, drop the connections, wait for their threads and give the port back."""
        self._http.shutdown()
        self._accepting.join()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: _HttpServer
    protocol_version = "HTTP/1.1"
    # Head and body are two small writes: together with the client's delayed acknowledgement, Nagle's
    # algorithm would make each answer take 40 ms.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: stderr belongs to the program that the server stands in for."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        url = urlsplit(self.path)
        if not url.path.startswith(f"{API_PREFIX}/"):
            self._send(error_response(404, "Not Found"))
            return
        request = Request(
            method=self.command,
            path=url.path.removeprefix(API_PREFIX),
            query=dict(parse_qsl(url.query, keep_blank_values=True)),
            secret=_bearer_token(self.headers.get("Authorization", "")),
            body=body,
        )
        self.server.note(request)
        self._send(self.server.answer(request))

    def _send(self, response: Response) -> None:
        length = len(response.body) if response.content_length is None else response.content_length
        if length != len(response.body):
            self.close_connection = True
        self.send_response(response.status)
        headers = {"Content-Type": response.content_type, "Content-Length": str(length), **response.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.body)


class _HttpServer(ThreadingHTTPServer):
    """The standard server, with its connections at hand so that closing can end them."""

    # For many clients that come at once, as those of a concurrent sync do.
    request_queue_size = 128

    def __init__(self, answer: Answer, port: int) -> None:
        self.answer = answer
        self._lock = threading.Lock()
        self._received: list[tuple[float, Request]] = []
        self._connections: dict[threading.Thread, Any] = {}
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        # The standard server looks its own name up, which may take seconds and nobody needs.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]

    def note(self, request: Request) -> None:
        with self._lock:
            self._received.append((time.monotonic(), request))

    def received(self) -> tuple[tuple[float, Request], ...]:
        with self._lock:
            return tuple(self._received)

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name="fake connection",
            # An answer that never ends must not keep the program from ending.
            daemon=True,
        )
        with self._lock:
            self._connections[thread] = request
        thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        super().process_request_thread(request, client_address)
        with self._lock:
            del self._connections[threading.current_thread()]

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A connection that ends early is the client's affair, or what the answer asked for.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            connections = dict(self._connections)
        # Connections that are kept alive wait for a next request that does not come.
        for connection in connections.values():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + CLOSE_SECONDS
        for thread in connections:
            thread.join(max(0.0, deadline - time.monotonic()))


def _bearer_token(authorization: str) -> str | None:
    scheme, _, token = authorization.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
