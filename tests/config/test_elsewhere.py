"""Settings whose value is in a file, or is printed by a command."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path

import pytest

from orwatch.config import elsewhere
from orwatch.config.settings import Settings, examine_settings, load_settings
from orwatch.errors import SettingsError, WrongSettingsError
from tests.support import SECRET

KEY, OTHER_KEY = "A" * 43 + "=", "B" * 43 + "="
URL = "postgresql+psycopg://me:hunter2@db/orwatch"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write_env_file(home: Path, text: str) -> None:
    env_file = home / ".config" / "orwatch" / ".env"
    env_file.parent.mkdir(parents=True, exist_ok=True)
    env_file.write_text(text)


def python(code: str) -> str:
    """A command that runs this."""
    return shlex.join([sys.executable, "-c", code])


def refusal(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as raised:
        load_settings(environ)
    return str(raised.value)


def test_a_file_gives_the_key_and_the_address(tmp_path: Path) -> None:
    key, url = tmp_path / "key", tmp_path / "url"
    key.write_text(f"\n {KEY}, {OTHER_KEY} \nmore\n")
    url.write_text(URL)
    environ = {"ORWATCH_ENCRYPTION_KEY_FILE": str(key), "ORWATCH_DATABASE_URL_FILE": "~/url"}

    settings = load_settings(environ)

    assert (settings.encryption_keys, settings.database_url) == ((KEY, OTHER_KEY), URL)
    assert settings.encryption_keys_elsewhere == "ORWATCH_ENCRYPTION_KEY_FILE"


def test_a_command_gives_the_key_and_the_address_and_no_shell_is_used() -> None:
    environ = {
        "ORWATCH_ENCRYPTION_KEY_COMMAND": python(f"print('{KEY}'); print('note')"),
        "ORWATCH_DATABASE_URL_COMMAND": "echo 'sqlite:////srv/$HOME; x.db'",
    }

    settings = load_settings(environ)

    assert settings.encryption_keys == (KEY,)
    assert settings.database_url == "sqlite:////srv/$HOME; x.db"
    assert settings.encryption_keys_elsewhere == "ORWATCH_ENCRYPTION_KEY_COMMAND"


def test_the_environment_s_file_comes_before_the_env_file_s_own_key(home: Path) -> None:
    (home / "key").write_text(KEY)
    write_env_file(home, f"ORWATCH_ENCRYPTION_KEY={OTHER_KEY}\n")
    assert load_settings({"ORWATCH_ENCRYPTION_KEY_FILE": f"{home}/key"}).encryption_keys == (KEY,)
    assert load_settings({"ORWATCH_ENCRYPTION_KEY_FILE": " "}).encryption_keys == (OTHER_KEY,)
    write_env_file(home, f"ORWATCH_ENCRYPTION_KEY_FILE={home}/key\n")
    found = load_settings({})
    assert (found.encryption_keys, found.encryption_keys_elsewhere) == (
        (KEY,),
        "ORWATCH_ENCRYPTION_KEY_FILE",
    )
    assert load_settings({"ORWATCH_ENCRYPTION_KEY": OTHER_KEY}).encryption_keys == (OTHER_KEY,)


def test_two_names_of_one_setting_in_one_place_are_refused(home: Path) -> None:
    write_env_file(home, f"ORWATCH_ENCRYPTION_KEY={KEY}\nORWATCH_ENCRYPTION_KEY_FILE=/x\n")
    assert "ORWATCH_ENCRYPTION_KEY_FILE and ORWATCH_ENCRYPTION_KEY are both set (set in " in refusal({})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("key", "is not an absolute path"),
        ("{home}/none", "is not a file"),
        ("{home}", "is not a file"),
        ("{home}/empty", "gives no value: there is no text"),
        ("{home}/commas", "gives no value: there is no text"),
        ("{home}/binary", "does not give UTF-8 text"),
    ],
)
def test_a_file_that_gives_no_key_is_refused_and_no_key_is_made(home: Path, value: str, reason: str) -> None:
    (home / "empty").write_text(" \n")
    (home / "commas").write_text(" , ")
    (home / "binary").write_bytes(b"\xff\xfe")
    message = refusal({"ORWATCH_ENCRYPTION_KEY_FILE": value.format(home=home)})
    assert message.startswith("ORWATCH_ENCRYPTION_KEY_FILE")
    assert reason in message


def test_a_file_that_cannot_be_read_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "key").write_text(KEY)

    def refuse(*_arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    message = refusal({"ORWATCH_ENCRYPTION_KEY_FILE": f"{home}/key"})
    assert message == f"ORWATCH_ENCRYPTION_KEY_FILE='{home}/key' cannot be read: Permission denied."


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/no/such/program", "cannot be run (No such file or directory)"),
        ("say 'no", "cannot be run (No closing quotation)"),
        ("say \x00", "cannot be run (embedded null byte)"),
        ("''", "cannot be run ("),
        ("true", "gives no value: there is no text."),
        ("false", "ended with 1."),
        (python("import sys; sys.exit('no agent\\n\\x1b[1mno key.')"), "ended with 1 (\ufffd[1mno key)."),
        (python("import os; os.kill(os.getpid(), 9)"), "ended with -9."),
    ],
)
def test_a_command_that_gives_no_key_is_refused_with_what_it_says(command: str, reason: str) -> None:
    message = refusal({"ORWATCH_ENCRYPTION_KEY_COMMAND": command})
    assert message.startswith("ORWATCH_ENCRYPTION_KEY_COMMAND ")
    assert reason in message


@pytest.mark.parametrize("said", [KEY, SECRET, "hunter2"])
def test_no_error_shows_what_a_command_printed_or_a_secret(said: str) -> None:
    code = f"import sys; print('hunter2'); print('{KEY}'); sys.exit('cannot use {said}')"
    assert said not in refusal({"ORWATCH_DATABASE_URL_COMMAND": python(code)})


def test_an_address_from_elsewhere_shows_no_password(home: Path) -> None:
    (home / "url").write_text("mysql://me:hunter2@db/orwatch")
    message = refusal({"ORWATCH_DATABASE_URL_FILE": f"{home}/url"})
    assert message.startswith("ORWATCH_DATABASE_URL_FILE begins with 'mysql'")
    assert "hunter2" not in message


def test_a_command_has_so_many_seconds_with_all_that_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "COMMAND_SECONDS", 0.5)
    began = time.monotonic()
    message = refusal({"ORWATCH_ENCRYPTION_KEY_COMMAND": "sh -c 'sleep 60; echo late'"})
    assert message == "ORWATCH_ENCRYPTION_KEY_COMMAND took longer than 0.5 seconds and was ended."
    assert time.monotonic() - began < 30


def test_a_command_that_prints_without_end_is_ended() -> None:
    message = refusal({"ORWATCH_ENCRYPTION_KEY_COMMAND": "yes x"})
    assert message.startswith("ORWATCH_ENCRYPTION_KEY_COMMAND ended with ")


def test_all_that_is_wrong_is_said_at_once_and_the_defaults_stand_in() -> None:
    environ = {"ORWATCH_ENCRYPTION_KEY_FILE": "key", "ORWATCH_DATABASE_URL_COMMAND": "false"}
    with pytest.raises(WrongSettingsError) as raised:
        load_settings(environ)
    assert [error.setting for error in raised.value.errors] == [
        "ORWATCH_DATABASE_URL_COMMAND",
        "ORWATCH_ENCRYPTION_KEY_FILE",
    ]
    settings, wrong = examine_settings(environ)
    assert isinstance(settings, Settings)
    assert (settings.encryption_keys, len(wrong)) == ((), 2)
