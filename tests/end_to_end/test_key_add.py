"""`key add`: where the secret comes from, who refuses it, and that nobody else gets to see it."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import Answer, FakeServer, Request, Response, error_response
from orwatch.demo.usage import FakeKey
from tests.end_to_end.support import DEADLINE_SECONDS, Machine, failing_for, finish
from tests.end_to_end.terminal import ON_TERMINAL, read_rest, read_until
from tests.support import secret_of

Serve = Callable[[Answer], FakeServer]


def names(machine: Machine) -> list[str]:
    return [name for (name,) in machine.query("SELECT name FROM api_keys ORDER BY id")]


def test_on_a_terminal_it_asks_and_does_not_show_what_is_typed(
    machine: Machine, keys: tuple[FakeKey, ...]
) -> None:
    ours, theirs = pty.openpty()
    process = machine.start(
        "key", "add", "production", launcher=ON_TERMINAL, stdin=theirs, stderr=theirs, own_session=True
    )
    os.close(theirs)
    shown = read_until(ours, b"Secret of production (what you type stays hidden): ")
    os.write(ours, f"{keys[0].secret}\n".encode())
    shown += read_rest(ours)
    os.close(ours)
    finished = finish(process)

    assert finished.code == 0
    assert finished.stdout.startswith("Stored 'production' (sk-or-…")
    assert keys[0].secret.encode() not in shown
    assert names(machine) == ["production"]


def test_the_secret_is_in_no_process_list_while_it_is_checked(
    machine: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...], serve: Serve
) -> None:
    asked, may_answer = threading.Event(), threading.Event()

    def answer(request: Request) -> Response:
        asked.set()
        may_answer.wait(DEADLINE_SECONDS)
        return api.answer(request)

    machine.api_url = serve(answer).url
    process = machine.start("key", "add", "production", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(keys[0].secret)
    process.stdin.close()
    process.stdin = None
    try:
        assert asked.wait(DEADLINE_SECONDS)
        proc = Path("/proc") / str(process.pid)
        command_line, environment = (proc / "cmdline").read_bytes(), (proc / "environ").read_bytes()
    finally:
        may_answer.set()
    assert finish(process).code == 0

    assert b"key\0add\0production" in command_line
    assert keys[0].secret.encode() not in command_line + environment


def test_a_secret_that_openrouter_refuses_is_not_stored(machine: Machine, server: FakeServer) -> None:
    secret = secret_of("nobody's")

    finished = machine.run("key", "add", "production", input=secret)

    assert (finished.code, finished.stdout) == (1, "")
    assert "OpenRouter refuses this key (GET /key answered 401" in finished.stderr
    assert "Nothing was stored." in finished.stderr
    assert secret not in finished.stderr
    assert names(machine) == []
    assert [request.secret for _, request in server.received] == [secret]


def test_without_an_answer_it_is_stored_only_when_nobody_wants_to_ask(
    machine: Machine, keys: tuple[FakeKey, ...]
) -> None:
    with closing(socket.socket()) as taken:
        # Bound and not listening: connections are refused, and nobody else gets the port.
        taken.bind(("127.0.0.1", 0))
        machine.api_url = f"http://127.0.0.1:{taken.getsockname()[1]}/api/v1"
        refused = machine.run("key", "add", "production", input=keys[0].secret)
        names_then = names(machine)
        unchecked = machine.run("key", "add", "production", "--no-check", input=keys[0].secret)

    assert (refused.code, refused.stdout, names_then) == (75, "", [])
    assert f"the API at {machine.api_url} does not answer (" in refused.stderr
    assert "--no-check" in refused.stderr
    assert (unchecked.code, unchecked.stderr) == (0, "")
    assert unchecked.stdout.startswith("Stored 'production' (sk-or-…")
    assert names(machine) == ["production"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (error_response(402, "Insufficient credits"), 0),
        (error_response(403, "Forbidden"), 0),
        (Response(503, b"<html>", {"Retry-After": "0"}, "text/html"), 75),
        (Response(200, b"<html>Log in to the hotel's network</html>", content_type="text/html"), 75),
    ],
    ids=["no credit", "forbidden", "trouble", "hotel"],
)
def test_only_an_answer_about_the_key_decides_about_it(
    machine: Machine, keys: tuple[FakeKey, ...], serve: Serve, answer: Response, code: int
) -> None:
    machine.api_url = serve(lambda _request: answer).url

    finished = machine.run("key", "add", "production", input=keys[0].secret)

    assert finished.code == code
    assert (names(machine) == ["production"], finished.stdout != "") == (code == 0, code == 0)
    assert ("Nothing was stored" in finished.stderr) == (code == 75)


def test_an_older_server_is_asked_at_its_older_address(
    machine: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...], serve: Serve
) -> None:
    missing = failing_for(api.answer, keys[0].secret, lambda _: error_response(404, "Not Found"), "/key")
    older = serve(missing)
    machine.api_url = older.url

    assert machine.run("key", "add", "production", input=keys[0].secret).code == 0
    assert [request.path for _, request in older.received] == ["/key", "/auth/key"]


def test_what_is_stored_already_is_refused_by_name(watching: Machine, keys: tuple[FakeKey, ...]) -> None:
    before = watching.dump()

    same_secret = watching.run("key", "add", "another", input=keys[1].secret)
    same_name = watching.run("key", "add", "ci", input=secret_of("another"))

    assert (same_secret.code, same_secret.stdout) == (2, "")
    assert same_secret.stderr == "orwatch: this secret is stored already, as 'ci'.\n"
    assert (same_name.code, same_name.stdout) == (2, "")
    assert same_name.stderr == "orwatch: a key named 'ci' exists already.\n"
    assert watching.dump() == before


@pytest.mark.parametrize(
    ("name", "secret", "message"),
    [
        ("production", "sk-or-v1-abc\x1b[31mdef-0123456789", "control characters"),
        ("production", "sk-or-v1-0123456789\nsk-or-v1-9876543210", "line ends inside it"),
        ("production", " \n", "the secret is empty"),
        ("production", "sk or v1", "spaces"),
        ("production", "x" * 5000, "4,096 characters"),
        ("pro\x1b[2Jduction", "sk-or-v1-0123456789abcdef", "control characters"),
        ("pro\nduction", "sk-or-v1-0123456789abcdef", "control characters"),
        (" ", "sk-or-v1-0123456789abcdef", "the name is empty"),
    ],
    ids=["escape", "two lines", "empty", "spaces", "long", "escape in name", "line end in name", "no name"],
)
def test_what_cannot_be_a_name_or_a_secret_is_refused_before_anybody_is_asked(
    machine: Machine, server: FakeServer, name: str, secret: str, message: str
) -> None:
    finished = machine.run("key", "add", name, input=secret)

    assert (finished.code, finished.stdout) == (2, "")
    assert message in finished.stderr
    assert "\x1b" not in finished.stderr
    assert secret.strip() == "" or secret not in finished.stderr
    assert server.received == ()
    assert not machine.database.exists() or names(machine) == []


def test_a_name_that_looks_like_markup_is_shown_as_it_is(machine: Machine, keys: tuple[FakeKey, ...]) -> None:
    name = "[red]prod[/red] :smile: [link=x]"
    assert machine.run("key", "add", name, input=keys[0].secret).code == 0

    for arguments in (("key", "list"), ("key", "show", name), ("status",)):
        finished = machine.run(*arguments, COLUMNS="160")
        assert (finished.code, finished.stderr) == (0, "")
        assert name in finished.stdout
