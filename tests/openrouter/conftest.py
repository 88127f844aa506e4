"""A client without real network, real waiting or real chance, and a look at what it did."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import respx

from orwatch.openrouter.client import Client
from tests.support import API_URL, SECRET, FakeClock


class Turns:
    """A rate limit that counts, and takes as long for each turn as it is told to."""

    def __init__(self, clock: FakeClock) -> None:
        self.count = 0
        self.sent = 0
        self.seconds_each = 0.0
        self._clock = clock

    def __call__(self) -> Callable[[], None]:
        self.count += 1
        self._clock.advance(seconds=self.seconds_each)
        return self._leave

    def _leave(self) -> None:
        self.sent += 1


@pytest.fixture
def turns(clock: FakeClock) -> Turns:
    return Turns(clock)


@pytest.fixture
def make_client(clock: FakeClock, turns: Turns) -> Iterator[Callable[..., Client]]:
    """Makes clients that are closed at the end; their jitter is 0 unless told otherwise."""
    with ExitStack() as stack:

        def make(base_url: str = API_URL, **others: object) -> Client:
            options = {"clock": clock, "wait_for_turn": turns, "jitter": lambda: 0.0} | others
            return stack.enter_context(Client(base_url, **options))  # type: ignore[arg-type]

        yield make


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    return make_client()


class Question:
    """A question that is asked in one of both ways, with the route that answers it."""

    def __init__(self, method: str, path: str, client: Client, router: respx.MockRouter) -> None:
        self.name = f"{method} {path}"
        self.route = router.route(method=method, url=f"{API_URL}{path}")
        self._method, self._path, self._client = method, path, client

    def ask(self) -> bytes:
        if self._method == "GET":
            return self._client.get(self._path, SECRET)
        return self._client.query(self._path, SECRET, b'{"limit": 10}')


@pytest.fixture(params=[("GET", "/key"), ("POST", "/analytics/query")], ids=["get", "query"])
def question(request: pytest.FixtureRequest, client: Client, respx_mock: respx.MockRouter) -> Question:
    return Question(*request.param, client, respx_mock)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(autouse=True)
def _the_secret_is_never_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test does, no log record of any library may hold the secret, or most of it."""
    caplog.set_level(logging.DEBUG)
    yield
    for record in caplog.get_records("call"):
        assert SECRET[:24] not in record.getMessage()
        assert SECRET[:24] not in repr(record.__dict__)
