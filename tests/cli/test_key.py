"""``orwatch key``, but for ``add``."""

from __future__ import annotations

import json

import pytest

from tests.cli.support import SECRET, Home, Orwatch, piped, write_usage
from tests.support import usage_row


@pytest.fixture(autouse=True)
def two_keys(home: Home) -> None:
    home.set_up("production", "ci")
    write_usage(home, "production", usage_row(), usage_row(model="x/y"))


def usage_rows(home: Home) -> int:
    count: int = home.scalar("SELECT count(*) FROM usage_stats")
    return count


def test_the_list_shows_every_key_and_no_secret(orwatch: Orwatch) -> None:
    code, out, err = orwatch("key", "list")
    assert (code, err) == (0, "")
    assert [line.split()[:2] for line in out.splitlines()[2:4]] == [
        ["production", "active"],
        ["ci", "active"],
    ]
    assert SECRET[9:] not in out
    assert f"sk-or-…{SECRET[-4:]}" in out


def test_the_list_in_json_has_every_key(orwatch: Orwatch) -> None:
    code, out, err = orwatch("key", "list", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["schema_version"] == 1
    assert [key["name"] for key in document["keys"]] == ["production", "ci"]


def test_one_key_is_shown_in_full(orwatch: Orwatch) -> None:
    code, out, err = orwatch("key", "show", "production")
    assert (code, err) == (0, "")
    assert "Name            production\n" in out
    assert "Synced through  2026-11-20\n" in out
    assert json.loads(orwatch("key", "show", "production", "--json").out)["key"]["name"] == "production"


@pytest.mark.parametrize(
    "arguments", [["show"], ["rename", "*", "new"], ["enable"], ["disable"], ["remove", "--yes"]]
)
def test_a_name_that_no_key_has_suggests_the_nearest(orwatch: Orwatch, arguments: list[str]) -> None:
    first, *rest = arguments
    names = ["producton" if word == "*" else word for word in rest] if "*" in rest else [*rest, "producton"]
    code, out, err = orwatch("key", first, *names)
    assert (code, out) == (2, "")
    assert err == "orwatch: there is no key named 'producton'. Did you mean 'production'?\n"


def test_a_key_gets_another_name(orwatch: Orwatch, home: Home) -> None:
    assert orwatch("key", "rename", "ci", " github ") == (0, "'ci' is now 'github'.\n", "")
    assert list(home.keys()) == ["production", "github"]


@pytest.mark.parametrize(
    ("new_name", "code", "message"),
    [
        ("production", 2, "a key named 'production' exists already."),
        ("a\x1b[2J", 2, "the name 'a�[2J' has control characters in it."),
    ],
)
def test_a_name_that_is_taken_or_cannot_be_shown_is_refused(
    orwatch: Orwatch, home: Home, new_name: str, code: int, message: str
) -> None:
    assert orwatch("key", "rename", "ci", new_name) == (code, "", f"orwatch: {message}\n")
    assert list(home.keys()) == ["production", "ci"]


def test_a_key_is_disabled_and_enabled_and_says_when_that_changed_nothing(
    orwatch: Orwatch, home: Home
) -> None:
    said = [orwatch("key", verb, "ci").out for verb in ("enable", "disable", "disable", "enable", "enable")]
    assert said == [
        "'ci' is watched already.\n",
        "'ci' is disabled.\n",
        "'ci' is already disabled.\n",
        "'ci' is watched again.\n",
        "'ci' is watched already.\n",
    ]
    orwatch("key", "disable", "ci")
    assert not home.keys()["ci"].is_active
    assert home.keys()["production"].is_active


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"no\n"])
def test_removing_asks_and_no_removes_nothing(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr("sys.stdin", piped(answer))
    code, out, err = orwatch("key", "remove", "production")
    assert (code, out.strip()) == (1, "")
    assert "Remove 'production' (its usage stays)? [y/N]" in err
    assert err.endswith("orwatch: nothing was removed.\n")
    assert list(home.keys()) == ["production", "ci"]


def test_removing_without_an_answer_removes_nothing(orwatch: Orwatch, home: Home) -> None:
    code, out, err = orwatch("key", "remove", "production")
    assert (code, out.strip()) == (2, "")
    assert "not a terminal; confirm with --yes" in err
    assert list(home.keys()) == ["production", "ci"]


def test_removing_forgets_the_secret_and_keeps_the_usage(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", piped(b"y\n"))
    code, out, _err = orwatch("key", "remove", "production")
    assert (code, out.strip()) == (0, "Removed 'production'; its usage stays.")
    assert list(home.keys()) == ["ci"]
    assert home.scalar("SELECT count(*) FROM api_keys WHERE secret_encrypted IS NOT NULL") == 1
    assert usage_rows(home) == 2


@pytest.mark.parametrize("option", ["--yes", "-y"])
def test_yes_asks_nothing(orwatch: Orwatch, home: Home, option: str) -> None:
    assert orwatch("key", "remove", option, "ci") == (0, "Removed 'ci'; its usage stays.\n", "")
    assert list(home.keys()) == ["production"]


def test_purging_asks_about_all_the_usage_and_deletes_it(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", piped(b"y\n"))
    code, out, err = orwatch("key", "remove", "production", "--purge")
    assert "Remove 'production' and ALL ITS USAGE?" in err
    assert (code, out.strip()) == (0, "Removed 'production' and 2 rows of usage.")
    assert usage_rows(home) == 0


def test_the_group_alone_lists(orwatch: Orwatch) -> None:
    assert orwatch("key") == orwatch("key", "list")
    assert orwatch("key")[0] == 0
