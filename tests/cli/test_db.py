"""``orwatch db``: what is printed, and how it ends."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orwatch.domain.runs import Job
from orwatch.store.engine import locks
from orwatch.store.schema import SCHEMA_REVISION
from tests.cli.support import OTHER_ENCRYPTION_KEY, Home, Orwatch, Terminal, piped, write_usage
from tests.databases import content
from tests.store.support import execute, pretend_older_schema
from tests.support import FakeClock, usage_row


@pytest.fixture(autouse=True)
def _usage(request: pytest.FixtureRequest, home: Home) -> None:
    if "without" not in request.node.name:
        home.set_up("production", "ci")
        write_usage(home, "ci", usage_row())


def spoil_a_total(home: Home) -> None:
    with home.store() as store, store.write() as connection:
        connection.exec_driver_sql("UPDATE usage_by_key SET cost_nano = 0")


def test_info_shows_the_database(orwatch: Orwatch, home: Home) -> None:
    code, out, err = orwatch("db", "info")
    assert (code, err) == (0, "")
    assert f"Database:       {home.database}\n" in out
    assert f"Schema:         {SCHEMA_REVISION}, current\n" in out
    assert "Ledger:         2026-11-20 to 2026-11-20\n" in out
    assert "Journal mode:   wal\n" in out
    assert "api_keys            2" in out


def test_info_in_json(orwatch: Orwatch, home: Home) -> None:
    code, out, err = orwatch("db", "info", "--json")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert (told["schema_version"], told["database"], told["engine"]) == (1, str(home.database), "SQLite")
    assert (told["is_current"], told["first_day"], told["kept_from"]) == (True, "2026-11-20", None)
    assert (told["tables"]["usage_stats"], told["settings"]["auto_vacuum"]) == (1, "incremental")


def test_info_of_an_older_schema_says_how_to_upgrade_it(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with home.store() as store:
        revision = pretend_older_schema(store, monkeypatch)
    code, out, _err = orwatch("db", "info")
    assert code == 0
    assert f"Schema:         {revision}; this version's is {SCHEMA_REVISION}: `orwatch db upgrade`\n" in out


@pytest.mark.parametrize("arguments", [["db", "info"], ["db", "upgrade"], ["report"], ["sync"]])
def test_a_database_of_an_unreleased_version_is_exit_78_in_one_line(
    orwatch: Orwatch, home: Home, arguments: list[str]
) -> None:
    with home.store() as store:
        execute(store, "UPDATE alembic_version SET version_num = '0005'")
    code, out, err = orwatch(*arguments)
    assert (code, out) == (78, "")
    assert err == (
        f"orwatch: the database {home.database} is of an unreleased version of orwatch (schema 0005) and "
        "cannot be upgraded. Move it away (PostgreSQL: create an empty database), run `orwatch init`, and "
        "add your keys again; nothing was changed.\n"
    )


@pytest.mark.parametrize("arguments", [["info"], ["upgrade"], ["check"], ["backup", "b.db"]])
def test_without_a_database_it_is_exit_78_and_none_is_created(
    orwatch: Orwatch, home: Home, arguments: list[str]
) -> None:
    code, out, err = orwatch("db", *arguments)
    assert (code, out) == (78, "")
    assert f"there is no database {home.database}" in err
    assert list(home.folder.iterdir()) == []


def test_upgrade_says_that_the_schema_is_current(orwatch: Orwatch, home: Home) -> None:
    assert orwatch("db", "upgrade") == (
        0,
        f"{home.database} has the schema {SCHEMA_REVISION} already, this version's.\n",
        "",
    )
    told = json.loads(orwatch("db", "upgrade", "--json").out)
    assert (told["from_revision"], told["to_revision"]) == (SCHEMA_REVISION, SCHEMA_REVISION)


def test_check_finds_repairs_and_then_finds_nothing(orwatch: Orwatch, home: Home) -> None:
    assert orwatch("db", "check").code == 0
    spoil_a_total(home)

    code, out, err = orwatch("db", "check")
    assert (code, err) == (1, "")
    assert "those of 2026-11-20 do not match the ledger" in out
    assert "To do: `orwatch db check --repair` corrects them." in out
    assert "1 finding." in out

    code, out, err = orwatch("db", "check", "--repair")
    assert (code, err) == (0, "")
    assert out.startswith("Recalculated the totals of 2026-11-20.\n")

    code, out, err = orwatch("db", "check", "--repair", "--json")
    told = json.loads(out)
    assert (code, told["status"], told["repaired_days"], told["repaired_months"]) == (0, "ok", [], [])
    assert [check["subject"] for check in told["checks"]] == [
        "schema",
        "file",
        "totals",
        "multi-day rows",
        "names",
    ]


def test_backup_says_what_is_not_in_it(orwatch: Orwatch, home: Home, tmp_path: Path) -> None:
    code, out, err = orwatch("db", "backup", "backup.db")
    assert (code, err) == (0, "")
    assert out.startswith(f"{tmp_path}/backup.db: ")
    assert "The encryption key is not in it" in out
    assert content(f"sqlite:///{tmp_path}/backup.db") == content(f"sqlite:///{home.database}")


def test_backup_overwrites_only_when_forced(orwatch: Orwatch, tmp_path: Path) -> None:
    (tmp_path / "backup.db").write_text("dear")
    code, out, err = orwatch("db", "backup", "backup.db")
    assert (code, out) == (2, "")
    assert "--force" in err
    told = json.loads(orwatch("db", "backup", "backup.db", "--force", "--json").out)
    assert (told["file"], told["tables"]["api_keys"]) == (f"{tmp_path}/backup.db", 2)


def test_backup_wants_the_name_of_a_file(orwatch: Orwatch, tmp_path: Path) -> None:
    code, out, err = orwatch("db", "backup", "-", "--force")
    assert (code, out) == (2, "")
    assert "Give the name of a file" in err
    assert not (tmp_path / "-").exists()


@pytest.fixture
def backup(orwatch: Orwatch, home: Home, tmp_path: Path) -> Path:
    """A backup from before a third key was added."""
    assert orwatch("db", "backup", "backup.db").code == 0
    home.set_up("later")
    return tmp_path / "backup.db"


@pytest.mark.parametrize("answer", ["y", "--yes"])
def test_restore_goes_back_and_says_where_the_old_database_is(
    orwatch: Orwatch, home: Home, backup: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr("sys.stdin", piped(b"y\n"))
    code, out, err = orwatch("db", "restore", "backup.db", *(["--yes"] if answer == "--yes" else []))
    (kept,) = home.database.parent.glob("orwatch-before-restore-*.db")
    question = f"Replace {home.database} by backup.db (the present one is kept)? [y/N]: "
    assert (code, err) == (0, "" if answer == "--yes" else question)
    assert out.startswith(f"{home.database} is the backup {backup} now: ")
    assert out.splitlines()[0].endswith(" rows, ledger 2026-11-20 to 2026-11-20.")
    assert f"\nWhat it was before is kept in {kept}.\n" in out
    assert list(home.keys()) == ["production", "ci"]


@pytest.mark.parametrize(
    ("stdin", "code", "told"),
    [
        (b"n\n", 1, "[y/N]: orwatch: nothing was restored.\n"),
        (b"", 2, "not a terminal; confirm with --yes; nothing was restored.\n"),
    ],
)
def test_restore_asks_before_it_changes_anything(
    orwatch: Orwatch,
    home: Home,
    backup: Path,
    monkeypatch: pytest.MonkeyPatch,
    stdin: bytes,
    code: int,
    told: str,
) -> None:
    monkeypatch.setattr("sys.stdin", piped(stdin))
    outcome = orwatch("db", "restore", "backup.db")
    assert (outcome.code, outcome.out) == (code, "")
    assert outcome.err.endswith(told)
    assert list(home.keys()) == ["production", "ci", "later"]


def test_restore_names_the_keys_that_the_encryption_key_does_not_open(
    orwatch: Orwatch, home: Home, backup: Path
) -> None:
    home.write_settings(ORWATCH_ENCRYPTION_KEY=OTHER_ENCRYPTION_KEY)
    code, out, err = orwatch("db", "restore", "backup.db", "--yes", "--json")
    told = json.loads(out)
    assert (code, told["unopened_keys"], told["tables"]["api_keys"]) == (0, ["production", "ci"], 2)
    assert json.loads(err)["notice"]["message"] == (
        "ORWATCH_ENCRYPTION_KEY does not open the secrets of 'production', 'ci' in the backup: they "
        "cannot be used until you put back the encryption key that they were stored with."
    )


def test_where_there_is_no_database_the_question_says_so(
    orwatch: Orwatch, home: Home, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.database.unlink()
    monkeypatch.setattr("sys.stdin", piped(b"y\n"))
    code, _, err = orwatch("db", "restore", "backup.db")
    assert (code, err) == (0, f"There is no {home.database} now. Put backup.db there? [y/N]: ")
    assert list(home.keys()) == ["production", "ci"]


def test_while_a_job_runs_a_restore_is_exit_75(orwatch: Orwatch, home: Home, backup: Path) -> None:
    home.write_settings(ORWATCH_ENCRYPTION_KEY=OTHER_ENCRYPTION_KEY)
    with home.store() as store, locks.job_lock(store, Job.SYNC, FakeClock()):
        code, out, err = orwatch("db", "restore", "backup.db", "--yes")
    assert (code, out) == (75, "")
    assert err.startswith("orwatch: another sync of this database is running")
    assert err.count("\n") == 1
    assert list(home.keys()) == ["production", "ci", "later"]


def test_copy_says_what_to_put_into_the_env_file(orwatch: Orwatch, home: Home, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path}/copy/orwatch.db"
    code, out, err = orwatch("db", "copy", "--to", target)
    assert (code, err) == (0, "")
    assert out.endswith(
        "put this into the env file; the encryption key stays the one that it is:\n"
        f"  ORWATCH_DATABASE_URL={target}\n"
    )
    assert content(target) == content(f"sqlite:///{home.database}")

    home.write_settings(ORWATCH_DATABASE_URL=target)
    assert [key["name"] for key in json.loads(orwatch("key", "list", "--json").out)["keys"]] == [
        "production",
        "ci",
    ]


def test_copy_in_json(orwatch: Orwatch, tmp_path: Path) -> None:
    told = json.loads(orwatch("db", "copy", "--to", f"sqlite:///{tmp_path}/copy.db", "--json").out)
    assert told["tables"]["usage_stats"] == 1
    assert told["target"] == f"{tmp_path}/copy.db"


def test_copy_reads_the_address_from_a_pipe(
    orwatch: Orwatch, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"sqlite:///{tmp_path}/copy.db"
    monkeypatch.setattr("sys.stdin", piped(f"{target}\n".encode()))
    assert orwatch("db", "copy", "--to", "-").code == 0
    assert content(target) == content(f"sqlite:///{home.database}")


def test_progress_is_shown_on_a_terminal_alone(
    orwatch: Orwatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert orwatch("db", "copy", "--to", f"sqlite:///{tmp_path}/copy.db").code == 0
    assert "Comparing" in terminal.getvalue()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["copy", "--to"], "nothing was copied."),
        (["backup"], "no backup was written."),
        (["restore", "--yes"], "nothing was restored."),
    ],
)
def test_when_it_is_stopped_it_says_what_becomes_of_it(
    orwatch: Orwatch,
    home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    told: str,
) -> None:
    @contextmanager
    def stopping_bar() -> Iterator[Callable[[str, int, int], None]]:
        yield lambda *_progress: signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("orwatch.render.console.counting_bar", stopping_bar)
    target = f"sqlite:///{tmp_path}/copy.db" if "--to" in arguments else "backup.db"
    if "restore" in arguments:
        shutil.copy(home.database, "backup.db")
    assert orwatch("db", *arguments, target) == (143, "", f"orwatch: stopped by SIGTERM; {told}\n")


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("sqlite:///copy.db", "--to='sqlite:///copy.db' does not name a file by its absolute path"),
        ("mysql://me:s3cret@host/db", "--to begins with 'mysql'. Use SQLite, "),
        ("postgresql://me:s3cret@host", "--to cannot be used: it names no database after the host"),
        ("postgresql://me:s3 cret[@host/db", "%5B and %5D for [ and ], and %20 for a blank"),
        ("/tmp/copy.db", "--to='/tmp/copy.db' is a path and not an address. Write sqlite:////tmp/copy.db"),
        ("s3cret", "--to is not an address. Use SQLite, sqlite:////var/lib/"),
        ("", "--to is empty. Use SQLite, sqlite:////var/lib/"),
        ("-", "--to is empty. Use SQLite, sqlite:////var/lib/"),
    ],
)
def test_an_address_that_is_none_is_a_usage_error_and_shows_no_password(
    orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch, address: str, told: str
) -> None:
    monkeypatch.setattr("sys.stdin", piped(b""))
    code, out, err = orwatch("db", "copy", "--to", address)
    assert (code, out) == (2, "")
    assert told in err
    assert "s3cret" not in err


def test_a_copy_never_takes_the_place_of_the_env_file(orwatch: Orwatch, home: Home, tmp_path: Path) -> None:
    before = home.env_file.read_bytes()
    link = tmp_path / "link.db"
    link.symlink_to(home.env_file)
    for file in (home.env_file, link):
        code, out, err = orwatch("db", "copy", "--to", f"sqlite:///{file}")
        assert (code, out, err) == (2, "", f"orwatch: {file} is the env file. Name another file.\n")
    assert home.env_file.read_bytes() == before


def test_while_a_job_runs_a_copy_is_exit_75(orwatch: Orwatch, home: Home, tmp_path: Path) -> None:
    with home.store() as store, locks.job_lock(store, Job.SYNC, FakeClock()):
        code, out, err = orwatch("db", "copy", "--to", f"sqlite:///{tmp_path}/copy.db")
    assert (code, out) == (75, "")
    assert "another sync of this database is running" in err
    assert not (tmp_path / "copy.db").exists()


def test_a_database_that_is_in_use_is_not_copied_over(orwatch: Orwatch, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path}/copy.db"
    assert orwatch("db", "copy", "--to", target).code == 0
    code, out, err = orwatch("db", "copy", "--to", target)
    assert (code, out) == (78, "")
    assert "holds data already" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message", "advice"),
    [
        (
            ["backup", "there"],
            2,
            "{folder}/there is there already",
            "Name another file, or overwrite it with --force.",
        ),
        (
            ["restore", "none"],
            2,
            "there is no file {folder}/none",
            "Name a backup that `orwatch db backup` wrote.",
        ),
        (
            ["info"],
            78,
            "there is no database {folder}/none.db",
            "`orwatch key add NAME` creates it, or `orwatch init`; or correct ORWATCH_DATABASE_URL.",
        ),
    ],
)
def test_a_failure_has_its_advice_apart(
    orwatch: Orwatch, home: Home, tmp_path: Path, arguments: list[str], code: int, message: str, advice: str
) -> None:
    (tmp_path / "there").write_text("dear")
    if code == 78:
        home.write_settings(ORWATCH_DATABASE_URL=f"sqlite:///{tmp_path}/none.db")
    error = json.loads(orwatch("db", *arguments, "--json").err)["error"]
    assert (error["code"], error["advice"]) == (code, advice)
    assert error["message"] == message.format(folder=tmp_path)
