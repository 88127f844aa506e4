"""What the client keeps to itself and what it does not believe: secrets, echoes, floods, the environment."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest
import respx

from orwatch.errors import (
    ApiError,
    ApiUnavailableError,
    SettingsError,
    UnexpectedAnswerError,
    WrongClockError,
)
from orwatch.openrouter import client as client_module
from orwatch.openrouter.client import Client
from orwatch.openrouter.responses import presentable
from orwatch.openrouter.sources import fetch_key_facts
from orwatch.text import secret_hint
from tests.openrouter.conftest import Question
from tests.support import API_URL, NOW, SECRET, FakeClock

KEY_URL = f"{API_URL}/key"
HINT = "sk-or-…a29f"


def error_of(ask: Callable[[], object]) -> str:
    """The message of a failing request, after a look for the secret in all that the error carries."""
    with pytest.raises(ApiError) as raised:
        ask()
    error: BaseException | None = raised.value
    while error is not None:
        assert SECRET[:24] not in f"{error} {error!r}"
        error = error.__cause__
    return str(raised.value)


# The secret.


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 429, 500])
def test_a_secret_that_the_server_echoes_in_its_error_is_shown_as_its_hint(
    question: Question, status: int
) -> None:
    question.route.respond(status, json={"error": {"message": f"key {SECRET} is bad"}})
    assert f"answered {status}: key {HINT} is bad" in error_of(question.ask)


@pytest.mark.parametrize("length", range(120, 205, 7))
def test_an_echoed_secret_is_not_cut_in_half_where_a_long_message_ends(
    client: Client, respx_mock: respx.MockRouter, length: int
) -> None:
    respx_mock.get(KEY_URL).respond(400, json={"error": {"message": "x" * length + SECRET + "y" * 999}})
    message = error_of(lambda: client.get("/key", SECRET))
    assert SECRET[:12] not in message
    assert len(message) == len("GET /key answered 400: ") + 200


def test_a_secret_with_letters_that_json_escapes_is_hidden_too(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    secret = 'gateway/key+"with"\\odd=letters'
    body = json.dumps({"error": {"message": f"bad {secret}"}}).replace("/", "\\/")
    respx_mock.get(KEY_URL).respond(400, text=body)
    with pytest.raises(ApiError, match=r"answered 400: bad …ters$"):
        client.get("/key", secret)


@pytest.mark.parametrize("body", [f"{SECRET}", f'{{"data": "{SECRET}"}}', f"<html>{SECRET}</html>"])
def test_a_secret_echoed_in_an_unexpected_answer_is_not_quoted(
    client: Client, respx_mock: respx.MockRouter, body: str
) -> None:
    respx_mock.get(KEY_URL).respond(text=body)
    with pytest.raises(UnexpectedAnswerError) as raised:
        fetch_key_facts(client, SECRET)
    assert SECRET[:12] not in str(raised.value)
    assert client.get("/key", SECRET) == body.replace(SECRET, HINT).encode()


@pytest.mark.parametrize("exception_class", [httpx.RemoteProtocolError, httpx.ConnectError, httpx.ProxyError])
def test_a_secret_quoted_by_a_broken_connection_is_shown_as_its_hint(
    client: Client, respx_mock: respx.MockRouter, exception_class: type[Exception]
) -> None:
    respx_mock.get(KEY_URL).mock(side_effect=exception_class(f"illegal header line: {SECRET}"))
    with pytest.raises(ApiUnavailableError) as raised:
        client.get("/key", SECRET)
    assert f"illegal header line: {HINT}" in str(raised.value)
    assert SECRET[:12] not in str(raised.value)


@pytest.mark.parametrize("error", [ValueError, UnicodeError, KeyError, TypeError, ArithmeticError, Exception])
def test_whatever_a_library_raises_is_an_error_of_that_request(
    client: Client, respx_mock: respx.MockRouter, error: type[Exception]
) -> None:
    respx_mock.get(KEY_URL).mock(side_effect=error(f"\x1b[1m{SECRET}"))
    with pytest.raises(UnexpectedAnswerError) as raised:
        client.get("/key", SECRET)
    assert str(raised.value).startswith("the answer to GET /key cannot be read: ")
    assert HINT in str(raised.value)
    assert SECRET[:12] not in str(raised.value)
    assert str(raised.value).isprintable()


def test_a_mistake_of_our_own_is_no_error_of_a_key(
    client: Client, respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    respx_mock.get(KEY_URL).respond(200)
    monkeypatch.setattr(client_module, "TIMEOUT_SECONDS", "thirty")
    with pytest.raises(TypeError):
        client.get("/key", SECRET)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32-be"])
def test_a_secret_that_is_echoed_in_other_bytes_is_shown_as_its_hint(
    question: Question, encoding: str
) -> None:
    letters = "".join(f"\\u{ord(letter):04X}" for letter in SECRET)
    body = f'{{"error": {{"message": "no {letters}, {SECRET}"}}}}'.encode(encoding)
    question.route.respond(403, content=body)
    assert error_of(question.ask) == f"{question.name} answered 403: no {HINT}, {HINT}"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_a_secret_is_not_quoted_from_what_is_no_json_in_another_encoding(
    client: Client, respx_mock: respx.MockRouter, encoding: str
) -> None:
    respx_mock.get(KEY_URL).respond(content=f"<{SECRET}>".encode(encoding))
    with pytest.raises(UnexpectedAnswerError, match=f"it begins with '<{HINT}>'"):
        fetch_key_facts(client, SECRET)


def test_no_secret_is_in_the_repr_of_the_client(client: Client, respx_mock: respx.MockRouter) -> None:
    respx_mock.get(KEY_URL).respond(200)
    client.get("/key", SECRET)
    assert SECRET not in repr(client)
    assert SECRET not in repr(vars(client))


# What a server says.


def test_control_characters_in_an_error_message_are_neutralised_and_its_length_is_limited(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    said = "\x1b]0;owned\x07\r\nBcc: x\u202egnp" + "!" * 1000
    respx_mock.get(KEY_URL).respond(400, json={"error": {"message": said}})
    message = error_of(lambda: client.get("/key", SECRET))
    assert message.startswith("GET /key answered 400: \ufffd]0;owned\ufffd Bcc: x\ufffdgnp!!!")
    assert message.isprintable()
    assert len(message) < 250


@pytest.mark.parametrize("body", [b"", b"<html>\x1b[2J</html>", b"[" * 100_000, b'{"error": []}', b"\xff"])
def test_an_error_answer_without_a_message_is_told_by_its_status_alone(
    client: Client, respx_mock: respx.MockRouter, body: bytes
) -> None:
    respx_mock.get(KEY_URL).respond(403, content=body)
    assert error_of(lambda: client.get("/key", SECRET)) == "GET /key answered 403"


# The log.


def debug_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == client_module.__name__ and record.levelno == logging.DEBUG
    ]


def test_each_request_is_logged_with_method_path_status_and_time_and_nothing_else(
    client: Client, clock: FakeClock, respx_mock: respx.MockRouter, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        clock.advance(milliseconds=250)
        return next(answers)

    answers = iter([httpx.Response(503), httpx.Response(200)])
    respx_mock.get(KEY_URL).mock(side_effect=answer)
    client.get("/key", SECRET, {"start_date": "2026-11-20"})
    assert debug_lines(caplog) == ["GET /api/v1/key 503 250 ms", "GET /api/v1/key 200 250 ms"]


def test_a_request_without_an_answer_is_logged_as_such(
    client: Client, respx_mock: respx.MockRouter, caplog: pytest.LogCaptureFixture
) -> None:
    respx_mock.get(KEY_URL).mock(side_effect=httpx.ConnectError("no route"))
    error_of(lambda: client.get("/key", SECRET))
    assert debug_lines(caplog) == ["GET /api/v1/key no answer 0 ms"] * 5


def test_the_log_tells_why_and_when_it_is_tried_again(
    client: Client, respx_mock: respx.MockRouter, caplog: pytest.LogCaptureFixture
) -> None:
    respx_mock.get(KEY_URL).side_effect = [
        httpx.Response(429, headers={"Retry-After": "9"}, json={"error": {"message": f"slow, {SECRET}"}}),
        httpx.Response(200),
    ]
    client.get("/key", SECRET)
    assert f"GET /key answered 429: slow, {HINT}; trying again in 9.0 s" in caplog.messages


def test_a_path_that_a_redirect_chose_is_logged_without_the_secret_and_without_escapes(
    client: Client,
    respx_mock: respx.MockRouter,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # httpx has a log of its own, with whole addresses; nothing here switches it on.
    monkeypatch.setattr(logging.getLogger("httpx"), "disabled", True)
    respx_mock.get(KEY_URL).respond(302, headers={"Location": f"/echo/{SECRET}%1b%5b2J"})
    respx_mock.get(url__startswith="https://openrouter.example/echo/").respond(200)
    client.get("/key", SECRET)
    assert debug_lines(caplog)[-1] == f"GET /echo/{HINT}\ufffd[2J 200 0 ms"


# The size limit.


@pytest.mark.parametrize("status", [200, 503, 302])
def test_an_answer_above_the_size_limit_is_unexpected_and_not_read_to_its_end(
    question: Question, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    sent = 0

    def flood() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 100
            yield b"x" * 100

    monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", 2048)
    question.route.mock(return_value=httpx.Response(status, content=flood()))
    with pytest.raises(UnexpectedAnswerError, match="the answer is larger than") as raised:
        question.ask()
    assert raised.value.status == status
    assert question.route.call_count == 1
    assert sent == 2100


def test_an_answer_of_just_the_size_limit_is_taken(
    client: Client, respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", 1000)
    respx_mock.get(KEY_URL).respond(content=b"x" * 1000)
    assert len(client.get("/key", SECRET)) == 1000


# The environment.


def test_an_address_that_httpx_cannot_use_is_a_wrong_setting(make_client: Callable[..., Client]) -> None:
    for base_url in ("https://xn--/api", "https://a\x7fb/api", "https://host:port/api"):
        with pytest.raises(SettingsError, match=re.escape(f"ORWATCH_OPENROUTER_API_URL={base_url!r}")):
            make_client(base_url)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "ftp://user:hunter2@proxy.example"),
        ("ALL_PROXY", "http://user:hunter2@proxy.example:port"),
        ("ALL_PROXY", "socks5://proxy.example:1080"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_a_wrong_setting_except_on_loopback(
    make_client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match="cannot use the environment's proxy") as raised:
        make_client()
    assert "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None or "hunter2" not in repr(raised.value.__cause__)
    for base_url in ("http://127.0.0.1:9/api", "http://localhost:9", "http://[::1]:9/api"):
        make_client(base_url)


def test_a_cookie_that_comes_with_one_keys_answer_does_not_go_out_with_another_key(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.get(f"{API_URL}/key").respond(headers={"Set-Cookie": "session=one; Path=/"}, json={})
    client.get("/key", SECRET)
    client.get("/key", SECRET[::-1])
    assert [call.request.headers.get("Cookie") for call in route.calls] == [None, None]


@pytest.mark.parametrize("days", [-2, 2])
def test_a_clock_that_is_days_off_ends_everything(question: Question, days: int) -> None:
    theirs = format_datetime(NOW + timedelta(days=days), usegmt=True)
    question.route.respond(json={"data": []}, headers={"Date": theirs})
    with pytest.raises(WrongClockError, match="this machine's clock says 2026-11-20 12:30 UTC, the API's"):
        question.ask()


def test_a_clock_that_is_hours_off_is_none_of_the_clients_business(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    told = format_datetime(NOW + timedelta(hours=23), usegmt=True)
    respx_mock.get(f"{API_URL}/usage").respond(json={"data": []}, headers={"Date": told})
    assert client.get("/usage", SECRET) == b'{"data":[]}'


def test_a_key_that_lacks_its_last_letter_is_not_shown_either() -> None:
    assert presentable(f"no {SECRET[:-1]}!", SECRET) == f"no {secret_hint(SECRET[:-1])}!"
