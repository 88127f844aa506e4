"""An API that does not answer while a person waits: soon found out, and not asked for each key anew."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx
import pytest
import respx

from orwatch.errors import ApiError, ApiUnavailableError, InterruptedRunError
from orwatch.openrouter.client import Client
from orwatch.openrouter.fan_out import ask_concurrently
from orwatch.openrouter.outage import OF_A_PERSON, Patience
from tests.openrouter.conftest import Turns
from tests.support import API_URL, SECRET, FakeClock

KEY_URL = f"{API_URL}/key"
REFUSED = httpx.ConnectError("[Errno 111] Connection refused")


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    return make_client(patience=OF_A_PERSON)


def failure(client: Client) -> ApiUnavailableError:
    with pytest.raises(ApiUnavailableError) as raised:
        client.get("/key", SECRET)
    return raised.value


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        (REFUSED, "does not answer (connection refused)"),
        (httpx.ConnectError("[Errno -2] Name or service not known"), "does not answer (name or service not"),
        (httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] bad"), "does not answer ([SSL: WRONG_VERSION"),
        (httpx.ConnectTimeout("timed out"), "does not answer (no connection in time)"),
        (httpx.ReadTimeout("timed out"), "does not answer (no answer in time)"),
        (httpx.Response(503, json={"error": {"message": "of one key"}}), "answers with errors only (503)"),
    ],
)
def test_an_error_says_what_it_means_for_the_api_as_a_whole(
    client: Client, respx_mock: respx.MockRouter, trouble: httpx.Response | Exception, sentence: str
) -> None:
    respx_mock.get(KEY_URL).mock(side_effect=lambda _request: raise_or_answer(trouble))
    assert (failure(client).outage or "").startswith(f"the API at {API_URL} {sentence}")


def raise_or_answer(trouble: httpx.Response | Exception) -> httpx.Response:
    if isinstance(trouble, Exception):
        raise trouble
    return trouble


def test_after_five_failures_without_any_answer_no_more_is_sent(
    client: Client, clock: FakeClock, turns: Turns, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.get(KEY_URL).mock(side_effect=REFUSED)
    errors = [failure(client) for _ in range(50)]
    assert route.call_count == turns.count == 3 + 4
    assert clock.monotonic() <= 10
    assert len({error.outage for error in errors}) == 1
    assert str(errors[-1]) == errors[-1].outage
    assert errors[-1].is_passing


@pytest.mark.parametrize(("patience", "seconds"), [(OF_A_PERSON, 30), (None, 300)])
def test_an_answer_that_trickles_ends_after_half_a_minute_for_a_person_and_five_for_a_job(
    make_client: Callable[..., Client],
    clock: FakeClock,
    respx_mock: respx.MockRouter,
    patience: Patience | None,
    seconds: int,
) -> None:
    def trickle() -> Iterator[bytes]:
        while True:
            clock.advance(seconds=1)
            yield b" "

    respx_mock.get(KEY_URL).mock(side_effect=lambda _request: httpx.Response(200, content=trickle()))
    assert "in time" in str(failure(make_client(patience=patience)))
    assert seconds <= clock.monotonic() <= seconds + 2


@pytest.mark.parametrize("jitter", [0.0, 1.0])
@pytest.mark.parametrize("seconds_each", [0.0, 1.0, 4.0, 7.5, 60.0])
@pytest.mark.parametrize("retry_after", [None, "3", "60"])
def test_one_request_waits_ten_seconds_at_most(
    make_client: Callable[..., Client],
    clock: FakeClock,
    respx_mock: respx.MockRouter,
    jitter: float,
    seconds_each: float,
    retry_after: str | None,
) -> None:
    def slow(request: httpx.Request) -> httpx.Response:
        patience = request.extensions["timeout"]["read"]
        clock.advance(seconds=min(seconds_each, patience))
        if seconds_each > patience:
            raise httpx.ReadTimeout("timed out")
        return httpx.Response(503, headers={"Retry-After": retry_after} if retry_after else {})

    respx_mock.get(KEY_URL).mock(side_effect=slow)
    failure(make_client(patience=OF_A_PERSON, jitter=lambda: jitter))
    assert clock.monotonic() <= 10


def test_a_try_of_an_api_that_is_down_is_short_and_of_one_that_answers_as_long_as_ever(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.get(KEY_URL).mock(side_effect=httpx.ReadTimeout("timed out"))
    failure(client)
    failure(client)
    route.mock(return_value=httpx.Response(200))
    client.get("/key", SECRET)
    client.get("/key", SECRET)
    first, *_, down, back, up = [call.request.extensions["timeout"] for call in route.calls]
    assert (first["connect"], first["read"]) == (8, 8)
    assert down == back == {"connect": 2, "read": 2, "write": 2, "pool": None}
    assert (up["connect"], up["read"]) == (10, 30)


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("trouble", [REFUSED, httpx.Response(503)])
def test_a_few_failing_keys_stop_none_of_the_others(
    client: Client, respx_mock: respx.MockRouter, concurrency: int, trouble: httpx.Response | Exception
) -> None:
    failing = {f"key-{number}" for number in range(4)}

    def answer(request: httpx.Request) -> httpx.Response:
        is_failing = request.headers["Authorization"].removeprefix("Bearer ") in failing
        return raise_or_answer(trouble if is_failing else httpx.Response(200, content=b"{}"))

    respx_mock.get(KEY_URL).mock(side_effect=answer)
    names = [f"key-{number}" for number in range(20)]
    answers = dict(ask_concurrently(names, lambda name: client.get("/key", name), concurrency))
    assert {name for name in names if isinstance(answers[name], ApiError)} == failing


@pytest.mark.parametrize("status", [200, 401, 404])
def test_an_api_that_has_answered_once_is_asked_for_each_key(
    client: Client, respx_mock: respx.MockRouter, status: int
) -> None:
    route = respx_mock.get(KEY_URL)
    # An error of OpenRouter's own: any other 401 is doubted, and no answer.
    first = httpx.Response(status, json={"error": {"code": status, "message": "no"}})
    route.side_effect = [first, *[REFUSED] * 30, httpx.Response(200, content=b"back")]
    with suppress(ApiError):
        client.get("/key", SECRET)
    while route.call_count < 31:
        failure(client)
    assert client.get("/key", SECRET) == b"back"


def test_the_first_request_goes_alone_and_then_a_few_at_once(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    at_once: list[int] = []
    under_way = 0
    lock = threading.Lock()

    def refuse(_request: httpx.Request) -> httpx.Response:
        nonlocal under_way
        with lock:
            under_way += 1
            at_once.append(under_way)
        with lock:
            under_way -= 1
        raise REFUSED

    respx_mock.get(KEY_URL).mock(side_effect=refuse)
    answers = dict(ask_concurrently(range(50), lambda _number: client.get("/key", SECRET), 8))
    assert all(isinstance(answer, ApiUnavailableError) for answer in answers.values())
    assert at_once[:3] == [1, 1, 1]
    assert len(at_once) == 3 + 4


def test_a_first_request_that_is_interrupted_keeps_no_other_waiting(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.get(KEY_URL)
    route.side_effect = [InterruptedRunError("stopped"), httpx.Response(200, content=b"good")]
    with pytest.raises(InterruptedRunError):
        client.get("/key", SECRET)
    assert client.get("/key", SECRET) == b"good"
