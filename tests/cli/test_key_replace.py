"""``orwatch key replace``: where the new secret comes from, what is asked about it, and what is said."""

from __future__ import annotations

import getpass
import json
import sys

import pytest
import respx

from tests.cli.support import CI_SECRET, ENCRYPTION_KEY, SECRET, Home, Orwatch, Terminal, key_answer, piped
from tests.cli.support import refusal as refused
from tests.support import secret_of

NEW = secret_of("new")


@pytest.fixture(autouse=True)
def new_secret_in_a_pipe(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.set_up("production", "ci")
    monkeypatch.setattr(sys, "stdin", piped(f" {NEW}\n".encode()))


def test_the_new_secret_is_checked_stored_and_shown_by_its_hint(
    orwatch: Orwatch, home: Home, api: respx.MockRouter
) -> None:
    route = api.get("/key").mock(return_value=key_answer())

    code, out, err = orwatch("key", "replace", "production")

    assert (code, err) == (0, "")
    assert out == (
        f"'production' has a new secret (sk-or-…{NEW[-4:]}); its history stays. "
        f"The old one (sk-or-…{SECRET[-4:]}) is asked until OpenRouter refuses it. "
        "`orwatch sync` fetches its usage.\n"
    )
    assert route.calls.last.request.headers["Authorization"] == f"Bearer {NEW}"
    assert home.opened_secret("production", ENCRYPTION_KEY) == NEW
    shown = orwatch("key", "show", "production").out
    assert f"Secrets before  sk-or-…{SECRET[-4:]} (still asked)\n" in shown
    document = json.loads(orwatch("key", "show", "production", "--json").out)
    assert document["key"]["replaced_hints"] == [f"sk-or-…{SECRET[-4:]}"]


def test_without_a_check_nothing_is_asked(orwatch: Orwatch, api: respx.MockRouter) -> None:
    assert orwatch("key", "replace", "production", "--no-check").code == 0
    assert not api.calls


def test_on_a_terminal_the_new_secret_is_asked_for(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal())
    prompts: list[str] = []

    def ask_hidden(prompt: str) -> str:
        prompts.append(prompt)
        return NEW

    monkeypatch.setattr(getpass, "getpass", ask_hidden)
    assert orwatch("key", "replace", "ci", "--no-check").code == 0
    assert prompts == ["New secret of ci (what you type stays hidden): "]
    assert home.opened_secret("ci", ENCRYPTION_KEY) == NEW


def test_a_name_that_no_key_has_is_said_before_the_secret_is_read(
    orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    code, out, err = orwatch("key", "replace", "producton")
    assert (code, out) == (2, "")
    assert err == "orwatch: there is no key named 'producton'. Did you mean 'production'?\n"


def test_a_secret_that_openrouter_refuses_replaces_nothing(
    orwatch: Orwatch, home: Home, api: respx.MockRouter
) -> None:
    api.get("/key").mock(return_value=refused(401))
    code, out, err = orwatch("key", "replace", "production")
    assert (code, out) == (1, "")
    assert "OpenRouter refuses this key" in err
    assert home.opened_secret("production", ENCRYPTION_KEY) == SECRET


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        (SECRET, "'production' has this secret already; nothing was changed."),
        (CI_SECRET, "this secret is stored already, as 'ci'; nothing was changed."),
    ],
)
def test_a_secret_that_is_taken_is_refused_without_asking(
    orwatch: Orwatch, api: respx.MockRouter, monkeypatch: pytest.MonkeyPatch, secret: str, message: str
) -> None:
    monkeypatch.setattr(sys, "stdin", piped(secret.encode()))
    assert orwatch("key", "replace", "production") == (2, "", f"orwatch: {message}\n")
    assert not api.calls
