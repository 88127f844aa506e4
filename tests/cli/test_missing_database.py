"""A database that is not there: only `init` and `key add` make one, and an encryption key."""

from __future__ import annotations

from pathlib import Path

import pytest

from orwatch.cli import COMMANDS
from tests.cli.support import SECRET, Home, Orwatch, piped
from tests.postgres import PostgresServer

CREATING = {("init",), ("key", "add", "ci", "--no-check")}
OTHERS = [
    ("key", "list"),
    ("key", "show", "ci"),
    ("key", "rename", "ci", "other"),
    ("key", "enable", "ci"),
    ("key", "disable", "ci"),
    ("key", "remove", "ci", "--yes"),
    ("sync",),
    ("sync", "--catch-up", "--quiet"),
    ("validate",),
    ("cleanup", "--quiet"),
    ("cleanup", "--dry-run"),
    ("report",),
    ("report", "--output", "usage.csv"),
    ("status",),
    ("runs",),
    ("alert", "list"),
    ("budget", "list"),
    ("budget", "set", "team", "--limit", "5", "--per", "day"),
    ("db", "info"),
    ("db", "check"),
    ("db", "upgrade"),
    ("db", "backup", "backup.db"),
    ("db", "copy", "--to", "sqlite:////nowhere/copy.db"),
    ("secret", "rotate"),
]


def files(home: Home) -> list[Path]:
    return sorted(home.folder.rglob("*"))


def test_every_command_that_works_on_a_database_is_tried() -> None:
    tried = {command[0] for command in OTHERS} | {command[0] for command in CREATING}
    # doctor has a test of its own, the others need no database
    assert set(COMMANDS) - tried == {"doctor", "cron", "demo", "help"}


@pytest.mark.parametrize("command", OTHERS, ids=" ".join)
@pytest.mark.parametrize("state", ["missing", "missing folder", "empty"])
def test_a_mistyped_path_makes_nothing(
    orwatch: Orwatch, home: Home, command: tuple[str, ...], state: str
) -> None:
    typo = home.folder / ("folder/typo.db" if state == "missing folder" else "typo.db")
    home.write_settings(ORWATCH_DATABASE_URL=f"sqlite:///{typo}")
    if state == "empty":
        typo.touch()
    before = files(home)
    assert orwatch(*command) == (
        78,
        "",
        f"orwatch: there is no database {typo}. "
        "`orwatch key add NAME` creates it, or `orwatch init`; or correct ORWATCH_DATABASE_URL.\n",
    )
    assert files(home) == before
    assert "ENCRYPTION" not in home.env_file.read_text()


@pytest.mark.parametrize("command", sorted(CREATING), ids=" ".join)
def test_a_database_and_an_encryption_key_are_made_by(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr("sys.stdin", piped(f"{SECRET}\n".encode()))
    assert orwatch(*command).code == 0
    assert home.database.exists()
    assert "ORWATCH_ENCRYPTION_KEY=" in home.env_file.read_text()


def test_a_database_without_tables_is_filled_by_nothing_else(
    orwatch: Orwatch, home: Home, postgres: PostgresServer
) -> None:
    with postgres.database() as url:
        home.write_settings(ORWATCH_DATABASE_URL=url)
        code, out, err = orwatch("status")
        assert (code, out) == (78, "")
        assert "was never finished: it has no tables. `orwatch key add NAME` creates it" in err
        assert orwatch("init").code == 0
        assert orwatch("key", "list").code == 0


def test_no_command_makes_an_encryption_key_in_passing(orwatch: Orwatch, home: Home) -> None:
    home.set_up()
    home.env_file.unlink()
    for command in ("status", "sync", "validate", "cleanup"):
        orwatch(command)
    assert not home.env_file.exists()
    assert orwatch("init").code == 0
    assert "ORWATCH_ENCRYPTION_KEY=" in home.env_file.read_text()
