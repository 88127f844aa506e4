"""Alerts through the real Apprise: to a webhook and to a mail server on loopback."""

from __future__ import annotations

import builtins
import email
import json
import logging
import time
from collections.abc import Iterator
from email import policy
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from orwatch.config.notify import notify_urls
from orwatch.demo.server import FakeServer, Response
from orwatch.jobs.alert import notify
from tests.jobs.alert.support import OUT, free_port, silent_server

LONG_SECONDS = 60.0


class Mailbox:
    """Keeps what a mail server got."""

    def __init__(self) -> None:
        self.got: list[Envelope] = []

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.got.append(envelope)
        return "250 OK"


@pytest.fixture
def mail() -> Iterator[tuple[Mailbox, int]]:
    """A mailbox, and the port of its server."""
    mailbox, port = Mailbox(), free_port()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    yield mailbox, port
    controller.stop()


def test_a_webhook_gets_title_and_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with FakeServer(lambda _request: Response(200)) as server:
        assert notify.deliver(f"{server.url}/hook".replace("http", "json"), OUT, LONG_SECONDS) is None
    ((_, request),) = server.received
    said = json.loads(request.body)
    assert (request.method, request.path) == ("POST", "/hook")
    assert (said["title"], said["message"], said["type"]) == (OUT.message.title, OUT.message.body, "warning")
    assert [*tmp_path.iterdir()] == []


def test_a_mail_server_gets_a_mail_of_plain_lines(mail: tuple[Mailbox, int]) -> None:
    mailbox, port = mail
    url = f"mailto://127.0.0.1:{port}?from=me@example.org&to=you@example.org"
    assert notify.deliver(url, OUT, LONG_SECONDS) is None
    (envelope,) = mailbox.got
    assert isinstance(envelope.content, bytes)
    message = email.message_from_bytes(envelope.content, policy=policy.default)
    assert (envelope.rcpt_tos, message["Subject"]) == (["you@example.org"], OUT.message.title)
    body = message.get_body(("plain",))
    assert body is not None
    assert body.get_content().splitlines() == OUT.message.body.splitlines()


@pytest.mark.parametrize("scheme", ["json", "mailto"])
def test_a_server_that_says_nothing_keeps_nobody_waiting(scheme: str) -> None:
    began = time.monotonic()
    with silent_server() as port:
        failure = notify.deliver(
            f"{scheme}://me:pw@127.0.0.1:{port}/?to=a@b.example&from=a@b.example&rto=60&cto=60", OUT, 1.5
        )
    assert failure is not None
    assert (failure.reason, failure.is_late) == ("no answer in 1.5 s", True)
    assert time.monotonic() - began < 30


def test_nothing_of_an_address_is_told_whatever_goes_wrong(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, "orwatch")
    addresses = [
        "json://s3cret-user:s3cret-pass@localhost:1/s3cret-path?+X-Token=s3cret-head",
        "mailto://s3cret-user:s3cret-pass@localhost:1?to=s3cret@s3cret.example",
        "slack://s3cret-token",
        "nosuch://s3cret",
    ]
    for url in notify_urls(" ".join(addresses), "X"):
        failure = notify.deliver(url, OUT, LONG_SECONDS)
        problem = notify.problem(url)
        assert failure is not None
        assert failure.reason
        for text in (failure.reason, problem or ""):
            assert "s3cret" not in text
            assert "localhost" not in text
    assert capfd.readouterr() == ("", "")
    assert "s3cret" not in "".join(r.getMessage() for r in caplog.records if r.name.startswith("orwatch"))


def test_what_the_service_said_is_told() -> None:
    with FakeServer(lambda _request: Response(404)) as server:
        failure = notify.deliver(f"{server.url}/hook".replace("http", "json"), OUT, LONG_SECONDS)
    assert failure is not None
    assert "404" in failure.reason


def test_a_wrong_address_is_found_without_sending_anything() -> None:
    assert notify.problem("ntfy://topic") is None
    assert notify.problem("slack://topic") == notify.problem("nosuch://x") == notify._NO_ADDRESS


def test_without_apprise_both_say_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def fail(name: str, *arguments: Any) -> Any:
        if name == "apprise":
            raise ModuleNotFoundError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", fail)
    failure = notify.deliver("ntfy://topic", OUT, LONG_SECONDS)
    assert failure is not None
    assert failure.reason == notify.problem("ntfy://topic") == notify.NOT_INSTALLED


def test_what_breaks_inside_of_apprise_is_told_by_its_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_named: object) -> None:
        raise RuntimeError("s3cret-topic")

    monkeypatch.setattr("apprise.Apprise.notify", fail)
    failure = notify.deliver("ntfy://s3cret-topic", OUT, LONG_SECONDS)
    assert failure is not None
    assert failure.reason == "RuntimeError"
