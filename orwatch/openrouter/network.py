"""The connections to the API: where they may lead, and one deadline for all that a request does on them.

Time-outs of the libraries below hold for one read or write each. Here each gets what is left of the whole
request's time, from the look-up of the name to the last byte: slow headers end with it, and so does what
only ever begins to be an answer.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore
import httpx

from orwatch import __version__
from orwatch.config.values import is_loopback
from orwatch.errors import SettingsError
from orwatch.openrouter.certificates import certificate_error, trusted_certificates
from orwatch.openrouter.proxies import proxy_for
from orwatch.openrouter.unpacking import PACKINGS
from orwatch.waiting import within

# At once; a server that takes one byte at a time shall not keep a long query beyond its time.
_WRITTEN_BYTES = 16 * 1024


class Network(httpcore.NetworkBackend):
    """Opens connections on which requests end in time. ``monotonic``: the clock of the deadlines."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._backend = httpcore.SyncBackend()
        self._monotonic = monotonic
        # Each thread has one request under way at a time.
        self._request = threading.local()

    @contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """Let what this thread does in the block end by then, with a time-out of httpcore; may be nested."""
        before: float | None = getattr(self._request, "deadline", None)
        self._request.deadline = deadline
        try:
            yield
        finally:
            self._request.deadline = before

    def extend(self, seconds: float) -> None:
        """Give the request of this thread so much more time, until the end of the innermost ``until``."""
        self._request.deadline += seconds

    def seconds_left(self, timeout: float | None, error: type[Exception]) -> float | None:
        """The time-out, or what is left of the request's time where that is less. Raises ``error``."""
        deadline: float | None = getattr(self._request, "deadline", None)
        if deadline is None:
            return timeout
        left = deadline - self._monotonic()
        if left <= 0:
            raise error("the time for the request is over")
        return left if timeout is None else min(timeout, left)

    def timed_socket(self) -> type[ssl.SSLSocket]:
        """What an SSL context makes of the connections to a proxy: there may be another TLS within its TLS.

        For one read of that httpcore reads as often as it takes, each time with the whole time-out.
        """
        seconds_left = self.seconds_left

        class TimedSocket(ssl.SSLSocket):
            def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
                self.settimeout(seconds_left(self.gettimeout(), TimeoutError))
                return super().recv(buflen, flags)

            def send(self, data: Any, flags: int = 0) -> int:  # sendall calls it, too
                self.settimeout(seconds_left(self.gettimeout(), TimeoutError))
                return super().send(data, flags)

        return TimedSocket

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect. The time-out is for each address of the host."""
        each = self.seconds_left(timeout, httpcore.ConnectTimeout)

        def connect() -> httpcore.NetworkStream:
            return self._backend.connect_tcp(host, port, each, local_address, socket_options)

        seconds = self.seconds_left(None, httpcore.ConnectTimeout)
        try:
            # By itself no look-up of a name ends in time.
            stream = within(seconds, connect, lambda late: late.close())
        except TimeoutError:
            raise httpcore.ConnectTimeout("the time for the request is over") from None
        return _Stream(stream, self)


class _Stream(httpcore.NetworkStream):
    """A connection that knows the time of the request that it is used for."""

    def __init__(self, stream: httpcore.NetworkStream, network: Network) -> None:
        self._stream = stream
        self._network = network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._network.seconds_left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for place in range(0, len(buffer), _WRITTEN_BYTES):
            seconds = self._network.seconds_left(timeout, httpcore.WriteTimeout)
            self._stream.write(buffer[place : place + _WRITTEN_BYTES], seconds)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        seconds = self._network.seconds_left(timeout, httpcore.ConnectTimeout)
        try:
            return _Stream(self._stream.start_tls(ssl_context, server_hostname, seconds), self._network)
        except httpcore.ConnectError as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                raise certificate_error(server_hostname or "the server", error.__cause__) from error
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def when_sent(call: Callable[[], None]) -> Callable[[str, dict[str, Any]], None]:
    """A ``trace`` extension for a request: it calls when the connection is there and the request leaves."""

    def trace(event: str, info: dict[str, Any]) -> None:
        # A proxy is asked first to make the connection.
        if event == "http11.send_request_headers.started" and info["request"].method != b"CONNECT":
            call()

    return trace


def open_http(base_url: str, connections: int, network: Network) -> httpx.Client:
    """The HTTP client for this address. Raises ``SettingsError`` for what cannot be used."""
    try:
        url = httpx.URL(base_url)
        # Proxies of the environment are for the world outside, not for this machine.
        has_proxy = not is_loopback(url.host)
    except (httpx.InvalidURL, ValueError) as error:
        raise SettingsError(f"ORWATCH_OPENROUTER_API_URL={base_url!r} is not an address: {error}.") from error
    certificates = trusted_certificates()
    certificates.sslsocket_class = network.timed_socket()
    try:
        http = httpx.Client(
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            headers={
                "User-Agent": f"orwatch/{__version__}",
                "Accept": "application/json",
                "Accept-Encoding": PACKINGS,
            },
            follow_redirects=False,
            # One client serves many keys: a gateway's session cookie of one must not go out with another.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            verify=certificates,
            proxy=proxy_for(url, certificates) if has_proxy else None,
            trust_env=False,
        )
    except ImportError as error:
        raise SettingsError(f"cannot use the environment's proxy: {str(error).rstrip('.')}.") from error
    except (httpx.InvalidURL, ValueError):
        # Without what was found: a proxy's address may hold a password.
        raise SettingsError(
            "cannot use the environment's proxy: HTTP_PROXY, HTTPS_PROXY or ALL_PROXY is not an address."
        ) from None
    # httpx has no parameter for it.
    for transport in (http._transport, *http._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):
            transport._pool._network_backend = network
    return http
