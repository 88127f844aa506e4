"""Pings: in the form that healthchecks.io takes, and never in the way."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import respx

from orwatch.cli import heartbeat as module
from orwatch.cli.heartbeat import Heartbeat
from orwatch.cli.interruption import StoppedBySignal, interruptible
from orwatch.domain.runs import Job
from orwatch.redaction import keep_api_key
from tests.support import SECRET

URL = "https://ping.example/secret-uuid"


def pinged(router: respx.MockRouter) -> list[tuple[str, bytes]]:
    return [(call.request.url.path, call.request.content) for call in router.calls]


@pytest.fixture
def router() -> Iterator[respx.MockRouter]:
    with respx.mock(assert_all_called=False) as router:
        router.post(host="ping.example").respond(200)
        yield router


def test_a_run_is_told_when_it_begins_and_how_it_ended(router: respx.MockRouter) -> None:
    heartbeat = Heartbeat(URL, Job.SYNC)
    heartbeat.start()
    heartbeat.finish(1, "partial: 5 keys")
    assert pinged(router) == [("/secret-uuid/start", b""), ("/secret-uuid/1", b"partial: 5 keys")]


def test_a_run_that_broke_off_is_a_failure_with_its_reason(router: respx.MockRouter) -> None:
    heartbeat = Heartbeat(URL, Job.SYNC)
    heartbeat.start()
    heartbeat.fail("stopped by SIGTERM")
    assert pinged(router)[1] == ("/secret-uuid/fail", b"stopped by SIGTERM")


def test_no_secret_is_in_what_is_reported(router: respx.MockRouter) -> None:
    keep_api_key(SECRET)
    heartbeat = Heartbeat(URL, Job.SYNC)
    heartbeat.start()
    heartbeat.fail(f"\x1b[1mno {SECRET}\nand no more")
    assert pinged(router)[1][1].decode() == "\ufffd[1mno sk-or-…a29f\nand no more"


def test_the_address_may_name_the_job(router: respx.MockRouter) -> None:
    heartbeat = Heartbeat("https://ping.example/key/orwatch-{job}", Job.VALIDATE)
    heartbeat.start()
    heartbeat.finish(0, "")
    assert [path for path, _ in pinged(router)] == ["/key/orwatch-validate/start", "/key/orwatch-validate/0"]


def test_a_run_that_never_began_tells_nothing(router: respx.MockRouter) -> None:
    Heartbeat(URL, Job.SYNC).finish(75, "another sync is running")
    Heartbeat(URL, Job.SYNC).fail("another sync is running")
    nothing = Heartbeat(None, Job.SYNC)
    nothing.start()
    nothing.finish(0, "")
    assert pinged(router) == []


@pytest.mark.parametrize("trouble", [httpx.ConnectError("no"), httpx.ReadTimeout("no"), ValueError("no")])
def test_a_ping_that_fails_fails_nothing_and_its_address_is_not_logged(
    router: respx.MockRouter, trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    router.post(host="ping.example").mock(side_effect=trouble)
    heartbeat = Heartbeat(URL, Job.SYNC)
    heartbeat.start()
    heartbeat.finish(0, "ok")
    told = [record.getMessage() for record in caplog.records if record.name == "orwatch.cli.heartbeat"]
    assert told == [f"heartbeat: {type(trouble).__name__}"] * 2


def test_an_answer_that_is_no_success_is_logged(
    router: respx.MockRouter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "orwatch.cli.heartbeat")
    router.post(host="ping.example").respond(404)
    heartbeat = Heartbeat(URL, Job.SYNC)
    heartbeat.start()
    heartbeat.finish(0, "x" * 20_000)
    assert "heartbeat: answered 404" in caplog.messages
    assert len(pinged(router)[1][1]) == 10_000


def test_the_answer_is_not_read_however_long_it_is(router: respx.MockRouter) -> None:
    read: list[int] = []

    def flood() -> Iterator[bytes]:
        while len(read) < 1000:
            read.append(1)
            yield b"x" * 100_000

    router.post(host="ping.example").mock(side_effect=lambda _request: httpx.Response(200, content=flood()))
    heartbeat = Heartbeat(URL, Job.SYNC)
    heartbeat.start()
    heartbeat.finish(0, "ok")
    assert [path for path, _ in pinged(router)] == ["/secret-uuid/start", "/secret-uuid/0"]
    assert read == []


def test_a_query_stays_behind_the_path(router: respx.MockRouter) -> None:
    heartbeat = Heartbeat("https://ping.example/uuid/?create=1", Job.SYNC)
    heartbeat.start()
    heartbeat.finish(0, "")
    heartbeat.start()
    heartbeat.fail("")
    assert [str(call.request.url) for call in router.calls] == [
        f"https://ping.example/uuid/{end}?create=1" for end in ("start", "0", "start", "fail")
    ]


@pytest.fixture
def slow(router: respx.MockRouter, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A server that answers nothing for as long as the test lasts; the paths that it was sent."""
    released = threading.Event()
    paths: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        released.wait(60)
        return httpx.Response(200)

    router.post(host="ping.example").mock(side_effect=answer)
    monkeypatch.setattr(module, "_HEARD_AFTER_SECONDS", 0.02)
    monkeypatch.setattr(module, "_LAST_WAIT_SECONDS", 0.2)
    yield paths
    released.set()


def test_a_slow_server_hears_of_the_end_and_is_not_waited_for_longer_than_said(
    slow: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "orwatch.cli.heartbeat")
    heartbeat = Heartbeat(URL, Job.SYNC)
    heartbeat.start()
    heartbeat.finish(0, "ok")
    assert slow == ["/secret-uuid/start", "/secret-uuid/0"]
    assert caplog.messages == ["heartbeat: no answer in 0.2 s"]


@contextmanager
def stop_soon() -> Iterator[None]:
    """Send this process a SIGTERM in a moment."""
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    yield
    timer.join()


def test_a_signal_ends_the_wait_for_the_last_ping(slow: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LAST_WAIT_SECONDS", 60.0)
    heartbeat = Heartbeat(URL, Job.SYNC)
    heartbeat.start()
    began = time.monotonic()
    with pytest.raises(StoppedBySignal), interruptible(0), stop_soon():
        heartbeat.finish(0, "ok")
    assert time.monotonic() - began < 30
