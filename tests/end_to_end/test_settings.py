"""Settings: where they are read, and what each command says when they, a name or the database are wrong."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date

import pytest

from orwatch.demo.server import FakeServer
from orwatch.demo.usage import FakeKey
from orwatch.secrets import generate_encryption_key
from tests.end_to_end.support import Machine
from tests.support import secret_of

COMMANDS = (
    ("init",),
    ("key", "add", "new"),
    ("key", "list"),
    ("sync",),
    ("validate",),
    ("cleanup",),
    ("report",),
    ("status",),
    ("secret", "rotate"),
)


def named(commands: tuple[tuple[str, ...], ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("command", commands, ids=[" ".join(command) for command in commands])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ORWATCH_DATABASE_URL", "sqlite:///orwatch.db"),
        ("ORWATCH_OPENROUTER_API_URL", "http://openrouter.example/api/v1"),
        ("ORWATCH_CONCURRENCY", "eight"),
        ("ORWATCH_LOG_FILE", "/no/such/folder/orwatch.log"),
    ],
)
def test_a_wrong_setting_stops_a_sync_and_is_told_by_name(
    watching: Machine, server: FakeServer, name: str, value: str
) -> None:
    before = watching.files()

    finished = watching.run("sync", **{name: value})

    assert (finished.code, finished.stdout) == (78, "")
    assert name in finished.stderr
    assert "Traceback" not in finished.stderr
    assert server.received == ()
    assert watching.files() == before
    assert list(watching.current_folder.iterdir()) == []


@named(COMMANDS)
def test_every_command_stops_at_a_wrong_setting(machine: Machine, command: tuple[str, ...]) -> None:
    finished = machine.run(*command, input=secret_of("new"), ORWATCH_CONCURRENCY="0")

    assert (finished.code, finished.stdout) == (78, "")
    assert finished.stderr == "orwatch: ORWATCH_CONCURRENCY='0' is not a whole number from 1 to 64.\n"
    assert machine.files() == {}


def test_help_and_version_need_no_right_settings(machine: Machine) -> None:
    for arguments in (("--help",), ("sync", "--help"), ("--version",)):
        finished = machine.run(*arguments, ORWATCH_CONCURRENCY="0")
        assert (finished.code, finished.stderr) == (0, "")
        assert "orwatch" in finished.stdout


UNKNOWN_KEY = (
    ("sync", "--key", "prodution"),
    ("validate", "--key", "prodution"),
    ("report", "--key", "prodution"),
    ("key", "show", "prodution"),
    ("key", "rename", "prodution", "other"),
    ("key", "remove", "--yes", "prodution"),
)


@named(UNKNOWN_KEY)
def test_an_unknown_key_is_a_usage_error_with_the_nearest_name(
    synced: Machine, server: FakeServer, command: tuple[str, ...]
) -> None:
    before = synced.dump()

    finished = synced.run(*command)

    assert (finished.code, finished.stdout) == (2, "")
    assert finished.stderr == "orwatch: there is no key named 'prodution'. Did you mean 'production'?\n"
    assert (synced.dump(), server.received) == (before, ())


@named(COMMANDS)
def test_a_database_that_is_newer_than_the_program_is_not_touched(
    synced: Machine, server: FakeServer, command: tuple[str, ...]
) -> None:
    with closing(sqlite3.connect(synced.database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = synced.files()

    finished = synced.run(*command, input=secret_of("new"))

    assert (finished.code, finished.stdout) == (78, "")
    assert "was written by a newer orwatch (schema 9999" in finished.stderr
    assert "Upgrade orwatch; nothing was changed." in finished.stderr
    assert (synced.files(), server.received) == (before, ())


NEED_SECRETS = (
    ("sync",),
    ("validate",),
    ("key", "add", "new", "--no-check"),
    ("secret", "rotate"),
    ("init",),
)
WRONG_KEYS = {
    "missing": ("", "Put back the one"),
    "malformed": ("ORWATCH_ENCRYPTION_KEY=not-a-key\n", "Put back the one"),
    "another": (f"ORWATCH_ENCRYPTION_KEY={generate_encryption_key()}\n", "stored with"),
}


@pytest.mark.parametrize(
    ("command", "kind"),
    # init opens no secret, and can only miss the key.
    [
        pytest.param(command, kind, id=f"{' '.join(command)}-{kind}")
        for command in NEED_SECRETS
        for kind in WRONG_KEYS
        if command != ("init",) or kind == "missing"
    ],
)
def test_without_the_right_encryption_key_nothing_is_changed(
    synced: Machine, server: FakeServer, command: tuple[str, ...], kind: str
) -> None:
    text, advice = WRONG_KEYS[kind]
    synced.env_file.write_text(text, encoding="utf-8")
    before = synced.dump()

    finished = synced.run(*command, input=secret_of("new"))

    assert finished.code == 78
    assert "ORWATCH_ENCRYPTION_KEY" in finished.stderr
    assert advice in finished.stderr
    assert "Traceback" not in finished.stderr
    assert synced.dump() == before
    assert synced.env_file.read_text(encoding="utf-8") == text
    assert server.received == ()


def test_what_needs_no_secret_works_without_the_encryption_key(synced: Machine) -> None:
    synced.env_file.unlink()
    before = synced.dump()

    for command, code in ((("report",), 0), (("status",), 1), (("key", "list"), 0), (("cleanup",), 0)):
        finished = synced.run(*command)
        assert (finished.code, finished.stderr) == (code, "")
    # Status works as well, and says what the next sync will need.
    assert "! ORWATCH_ENCRYPTION_KEY is not set" in synced.run("status").stdout
    assert synced.dump() == before | {"ledger_state": synced.dump()["ledger_state"]}
    assert not synced.env_file.exists()


@pytest.mark.parametrize("how", ["option", "environment"])
def test_another_env_file_can_be_named(machine: Machine, keys: tuple[FakeKey, ...], how: str) -> None:
    other = machine.home / "other settings"
    database = machine.home / "other.db"
    other.write_text(f"ORWATCH_DATABASE_URL=sqlite:///{database}\n", encoding="utf-8")
    option, variable = (("--env-file", other), None) if how == "option" else ((), str(other))

    finished = machine.run(*option, "key", "add", "ci", input=keys[0].secret, ORWATCH_ENV_FILE=variable)

    assert finished.code == 0
    assert database.exists()
    assert "ORWATCH_ENCRYPTION_KEY=" in other.read_text(encoding="utf-8")
    assert oct(other.stat().st_mode)[-3:] == "600"
    assert not machine.database.exists()
    assert not machine.env_file.exists()


def test_an_env_file_of_the_current_folder_is_not_read(machine: Machine) -> None:
    elsewhere = machine.current_folder / "elsewhere.db"
    for name in (".env", "orwatch.env"):
        (machine.current_folder / name).write_text(
            f"ORWATCH_DATABASE_URL=sqlite:///{elsewhere}\nORWATCH_CONCURRENCY=0\n", encoding="utf-8"
        )

    assert machine.run("init").code == 0
    assert machine.database.exists()
    assert not elsewhere.exists()


def test_the_environment_wins_over_the_env_file_and_an_empty_variable_hides_nothing(
    watching: Machine, server: FakeServer
) -> None:
    with watching.env_file.open("a", encoding="utf-8") as file:
        file.write("ORWATCH_SYNC_DAYS=3\n")

    def days_asked(**environment: str) -> int:
        result = watching.run("sync", "--key", "ci", "--dry-run", "--json", **environment)
        assert result.code == 0
        query = server.received[-1][1].query
        return (date.fromisoformat(query["end_date"]) - date.fromisoformat(query["start_date"])).days + 1

    from_file, empty, from_environment = (
        days_asked(),
        days_asked(ORWATCH_SYNC_DAYS="", ORWATCH_ENCRYPTION_KEY=""),
        days_asked(ORWATCH_SYNC_DAYS="1"),
    )
    assert (from_file, empty, from_environment) == (3, 3, 1)
