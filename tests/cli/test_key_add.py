"""``orwatch key add``: where the secret comes from, what is asked about it, and what is refused."""

from __future__ import annotations

import getpass
import sys

import httpx
import pytest
import respx

from orwatch.domain.keys import KeyKind
from orwatch.secrets import hash_secret
from tests.cli.support import (
    CI_SECRET,
    ENCRYPTION_KEY,
    OTHER_ENCRYPTION_KEY,
    SECRET,
    Home,
    Orwatch,
    Terminal,
    key_answer,
    piped,
    refusal,
)


@pytest.fixture(autouse=True)
def secret_in_a_pipe(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.set_up()
    monkeypatch.setattr(sys, "stdin", piped(f"\r\n {SECRET} \r\n".encode()))


def test_the_secret_is_read_from_a_pipe_without_the_blanks_around_it(
    orwatch: Orwatch, home: Home, api: respx.MockRouter
) -> None:
    route = api.get("/key").mock(return_value=key_answer(is_management_key=True))
    code, out, err = orwatch("key", "add", " production ")
    assert (code, err) == (0, "")
    assert out == (
        f"Stored 'production' (sk-or-…{SECRET[-4:]}, management). "
        "`orwatch sync` finds the keys of its account and fetches their usage, up to a year back.\n"
    )
    assert route.calls.last.request.headers["Authorization"] == f"Bearer {SECRET}"
    assert home.opened_secret("production", ENCRYPTION_KEY) == SECRET
    assert home.keys()["production"].key_hash == hash_secret(SECRET)


def test_the_secret_is_asked_for_on_a_terminal_and_not_shown(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal())
    prompts: list[str] = []

    def ask_hidden(prompt: str) -> str:
        prompts.append(prompt)
        return SECRET

    monkeypatch.setattr(getpass, "getpass", ask_hidden)
    code, out, err = orwatch("key", "add", "production", "--no-check")
    assert code == 0
    # Click shows the prompt itself or has it shown, depending on its version.
    assert "Secret of production (what you type stays hidden):" in "".join([err, *prompts])
    assert SECRET not in out + err
    assert home.opened_secret("production", ENCRYPTION_KEY) == SECRET


def test_where_standard_input_is_closed_there_is_no_secret(
    orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    code, out, err = orwatch("key", "add", "production")
    assert (code, out, err) == (2, "", "orwatch: the secret is empty. Nothing was stored.\n")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the secret is empty"),
        (b" \r\n\t", "the secret is empty"),
        (b"sk-or-v1-one\nsk-or-v1-two\n", "the secret has control characters or line ends inside it"),
        (b"sk-or-v1-\x1b[31m", "the secret has control characters or line ends inside it"),
        (b"sk or v1", "the secret has spaces or other characters that no API key has"),
        (b"sk-or-v1-\xff\xfe", "the secret has spaces or other characters that no API key has"),
        (b"x" * 513, "the secret has 513 characters; API keys have fewer than 100"),
    ],
)
def test_what_cannot_be_a_secret_is_refused_before_anybody_is_asked(
    orwatch: Orwatch,
    home: Home,
    api: respx.MockRouter,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    reason: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", piped(content))
    assert orwatch("key", "add", "production") == (2, "", f"orwatch: {reason}. Nothing was stored.\n")
    assert not api.calls
    assert home.keys() == {}


def test_of_a_pipe_that_never_ends_only_the_start_is_read(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("/dev/zero", encoding="latin-1") as endless:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", endless)
        code, out, err = orwatch("key", "add", "production")
    assert (code, out) == (2, "")
    assert "\0" not in err
    assert home.keys() == {}


@pytest.mark.parametrize(
    "arguments",
    [
        ("key", "add", "production", SECRET),
        ("key", "add", SECRET),
        ("key", "add", "--no-check", f" {SECRET}"),
        ("key", "rename", "production", SECRET),
        ("key", "replace", "production", SECRET),
        ("sync", "--key", SECRET),
        ("report", f"--model={SECRET}"),
        (SECRET,),
        ("--env-file", ENCRYPTION_KEY, "init"),
        ("status", "--json", SECRET),
    ],
)
def test_a_secret_on_the_command_line_is_neither_stored_nor_shown(
    orwatch: Orwatch, home: Home, api: respx.MockRouter, arguments: tuple[str, ...]
) -> None:
    code, out, err = orwatch(*arguments)
    assert (code, out) == (2, "")
    assert "the command line has an API key or an encryption key in it; nothing was done" in err
    assert SECRET not in err
    assert ENCRYPTION_KEY not in err
    assert not api.calls
    assert home.keys() == {}


def test_a_secret_that_openrouter_refuses_is_not_stored(
    orwatch: Orwatch, home: Home, api: respx.MockRouter
) -> None:
    api.get("/key").mock(return_value=refusal(401, "User not found."))
    code, out, err = orwatch("key", "add", "production")
    assert (code, out) == (1, "")
    assert err == (
        "orwatch: OpenRouter refuses this key (GET /key answered 401: User not found.). Nothing was stored.\n"
    )
    assert home.keys() == {}


@pytest.mark.parametrize("status", [402, 403])
def test_a_secret_that_is_known_but_may_not_ask_is_stored_without_facts(
    orwatch: Orwatch, home: Home, api: respx.MockRouter, status: int
) -> None:
    api.get("/key").mock(return_value=refusal(status))
    code, out, _err = orwatch("key", "add", "production")
    assert (code, out) == (
        0,
        f"Stored 'production' (sk-or-…{SECRET[-4:]}). `orwatch sync` fetches its usage.\n",
    )
    assert home.keys()["production"].facts.kind is KeyKind.UNKNOWN
    assert home.keys()["production"].facts_read_at is None


@pytest.mark.parametrize(
    "trouble", [refusal(500), refusal(429), httpx.ConnectError("refused"), httpx.ReadTimeout("slow")]
)
def test_without_an_answer_nothing_is_stored_and_no_check_is_offered(
    orwatch: Orwatch,
    home: Home,
    api: respx.MockRouter,
    waits: list[float],
    trouble: httpx.Response | Exception,
) -> None:
    route = api.get("/key").mock(side_effect=[trouble] * 3)
    code, out, err = orwatch("key", "add", "production")
    assert (code, out) == (75, "")
    assert "Nothing was stored: try again later, or store the key unchecked with --no-check." in err
    assert route.call_count == 3
    assert sum(waits) < 30
    assert home.keys() == {}


def test_an_answer_that_is_no_json_is_no_answer(orwatch: Orwatch, home: Home, api: respx.MockRouter) -> None:
    api.get("/key").mock(return_value=httpx.Response(200, text="<html>"))
    assert orwatch("key", "add", "production").code == 75
    assert home.keys() == {}


def test_no_check_asks_nobody(orwatch: Orwatch, home: Home, api: respx.MockRouter) -> None:
    assert orwatch("key", "add", "production", "--no-check").code == 0
    assert not api.calls
    assert home.keys()["production"].facts.kind is KeyKind.UNKNOWN


def test_the_same_secret_again_is_refused_by_name_and_nobody_is_asked(
    orwatch: Orwatch, home: Home, api: respx.MockRouter
) -> None:
    home.set_up("production")
    code, out, err = orwatch("key", "add", "again")
    assert (code, out, err) == (2, "", "orwatch: this secret is stored already, as 'production'.\n")
    assert not api.calls


def test_a_name_that_is_taken_is_refused_and_nobody_is_asked(
    orwatch: Orwatch, home: Home, api: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.set_up("production")
    monkeypatch.setattr(sys, "stdin", piped(CI_SECRET.encode()))
    code, out, err = orwatch("key", "add", "production")
    assert (code, out, err) == (2, "", "orwatch: a key named 'production' exists already.\n")
    assert not api.calls


def test_an_encryption_key_that_does_not_fit_the_others_is_78_and_stores_nothing(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.set_up("ci")
    monkeypatch.setenv("ORWATCH_ENCRYPTION_KEY", OTHER_ENCRYPTION_KEY)
    code, out, err = orwatch("key", "add", "production", "--no-check")
    assert (code, out) == (78, "")
    assert "ORWATCH_ENCRYPTION_KEY does not open the stored secret" in err
    assert list(home.keys()) == ["ci"]


def test_an_encryption_key_that_is_none_is_78_and_is_not_shown(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORWATCH_ENCRYPTION_KEY", "no-fernet-key-at-all")
    code, out, err = orwatch("key", "add", "production", "--no-check")
    assert (code, out) == (78, "")
    assert "ORWATCH_ENCRYPTION_KEY is not a Fernet key" in err
    assert "no-fernet-key-at-all" not in err
    assert home.keys() == {}


def test_a_taken_name_is_told_before_the_secret_is_asked_for(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.set_up("production")

    def refuse(*_arguments: object) -> str:
        raise AssertionError("the secret was asked for")

    monkeypatch.setattr("orwatch.cli.key._read_secret", refuse)
    code, out, err = orwatch("key", "add", "production")
    assert (code, out, err) == (2, "", "orwatch: a key named 'production' exists already.\n")
