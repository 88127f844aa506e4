"""What the commands share: the clock, the settings, and what first use creates."""

from __future__ import annotations

import os
import re
import stat
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import respx
from freezegun.api import FrozenDateTimeFactory, real_datetime

import orwatch.cli.context
from orwatch.cli.context import Context, SystemClock
from orwatch.config import env_file
from orwatch.config.env_file import write_encryption_keys
from orwatch.errors import InterruptedRunError, SettingsError
from tests.cli.support import (
    CI_SECRET,
    ENCRYPTION_KEY,
    OTHER_ENCRYPTION_KEY,
    Home,
    Orwatch,
    Terminal,
    key_answer,
    piped,
)
from tests.postgres import PostgresServer
from tests.support import NOW, TODAY


def test_the_clock_tells_utc(frozen: FrozenDateTimeFactory) -> None:
    clock = SystemClock()
    assert clock.now() == NOW
    assert clock.now().tzinfo is UTC
    before = clock.monotonic()
    frozen.tick(2.5)
    assert clock.monotonic() - before == 2.5


def test_today_is_the_day_that_the_clock_tells_now(frozen: FrozenDateTimeFactory) -> None:
    context = Context(None)
    assert (context.now, context.today) == (NOW, TODAY)
    frozen.move_to(datetime(2026, 11, 21, tzinfo=UTC))
    assert context.today.isoformat() == "2026-11-21"


@pytest.fixture
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine stands in the named zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


# At any time, one of these has another day than UTC.
@pytest.mark.parametrize("zone", ["Etc/GMT+12", "Etc/GMT-14"], indirect=True)
@pytest.mark.usefixtures("zone")
def test_today_is_the_utc_day_wherever_the_machine_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orwatch.cli.context, "datetime", real_datetime)
    before = real_datetime.now(UTC).date()
    today = Context(None).today
    assert before <= today <= real_datetime.now(UTC).date()


def test_a_clock_that_is_stopped_ends_all_waiting() -> None:
    clock = SystemClock()
    clock.sleep(0)
    ended: list[str] = []

    def wait() -> None:
        with pytest.raises(InterruptedRunError) as error:
            clock.sleep(60)
        ended.append(str(error.value))

    waiting = threading.Thread(target=wait)
    waiting.start()
    clock.stop()
    waiting.join(10)
    assert ended == ["interrupted while waiting."]
    with pytest.raises(InterruptedRunError):
        clock.sleep(60)


def test_the_end_of_a_context_stops_its_clock_and_closes_its_database(home: Home) -> None:
    with Context(None) as context:
        context.may_create = True
        store = context.store
        with store.read() as connection:
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    with pytest.raises(InterruptedRunError):
        context.clock.sleep(60)


@pytest.mark.parametrize(
    "command", [["doctor"], ["validate"], ["key", "add", "new"], ["key", "replace", "production"], ["sync"]]
)
@pytest.mark.parametrize("is_watched", [True, False])
def test_who_waits_at_a_terminal_for_the_rate_limit_is_told_for_how_long(
    orwatch: Orwatch,
    home: Home,
    api: respx.MockRouter,
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    is_watched: bool,
) -> None:
    home.set_up("production")
    monkeypatch.setenv("ORWATCH_RATE_LIMIT_PER_MINUTE", "1")
    api.get("/key").mock(return_value=key_answer())
    orwatch("validate")  # and the next minute is full
    waits.clear()
    monkeypatch.setattr(sys, "stdin", piped(CI_SECRET.encode()))
    monkeypatch.setenv("TERM", "xterm")
    if is_watched:
        monkeypatch.setattr(sys, "stderr", Terminal())
    err = orwatch(*command).err
    assert waits
    shown = sys.stderr.getvalue() if isinstance(sys.stderr, Terminal) else err
    assert bool(re.search(r"(Syncing|Asking OpenRouter) .* rate limit: 61 s", shown)) is is_watched
    assert is_watched or "\x1b" not in shown


def test_first_use_creates_what_is_missing_and_says_so_once(orwatch: Orwatch, home: Home) -> None:
    first = orwatch("init")
    assert first.code == 0
    assert first.err.splitlines() == [
        f"orwatch: created the database {home.database}",
        f"orwatch: wrote a new encryption key to {home.env_file}; keep a copy of it, "
        "stored API keys cannot be read without it",
    ]
    assert orwatch("key", "list") == (0, "No keys yet. Add one: `orwatch key add NAME`.\n", "")


def test_an_encryption_key_for_a_shared_database_is_said_to_be_needed_by_every_machine(
    orwatch: Orwatch, home: Home, postgres: PostgresServer
) -> None:
    with postgres.database() as url:
        home.write_settings(ORWATCH_DATABASE_URL=url)
        code, _out, err = orwatch("init")
        assert code == 0
        assert err.splitlines()[-1] == (
            "orwatch: every machine that shares the database needs this very line, "
            "ORWATCH_ENCRYPTION_KEY=…; copy it to the others, or theirs to here"
        )
        for options in ([], ["--keep-old"]):
            code, out, err = orwatch("secret", "rotate", *options)
            assert (code, err) == (0, "")
            assert out.splitlines()[-1].startswith(
                "Every other machine that shares the database needs the new"
            )


def test_what_first_use_creates_is_for_the_owner_alone(orwatch: Orwatch, home: Home) -> None:
    before = os.umask(0)
    try:
        orwatch("init")
    finally:
        os.umask(before)
    modes = {
        path: stat.S_IMODE(path.stat().st_mode)
        for path in (home.env_file, home.env_file.parent, home.database, home.database.parent)
    }
    assert list(modes.values()) == [0o600, 0o700, 0o600, 0o700]


def test_an_encryption_key_of_the_environment_is_used_and_none_is_written(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORWATCH_ENCRYPTION_KEY", ENCRYPTION_KEY)
    result = orwatch("init")
    assert result.code == 0
    assert "encryption key" not in result.err
    assert not home.env_file.exists()


def test_no_encryption_key_is_made_where_secrets_need_a_lost_one(orwatch: Orwatch, home: Home) -> None:
    home.set_up("production")
    home.env_file.unlink()
    assert orwatch("report").code == 0
    assert orwatch("key", "list").code == 0
    code, out, err = orwatch("sync")
    assert (code, out) == (78, "")
    assert err.startswith("orwatch: ORWATCH_ENCRYPTION_KEY is not set")
    assert not home.env_file.exists()


def test_an_encryption_key_that_another_process_wrote_meanwhile_is_kept(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    with Context(None) as context:
        context.may_create = True
        assert context.settings.encryption_keys == ()
        write_encryption_keys(home.env_file, (OTHER_ENCRYPTION_KEY,))
        assert context.store.is_new
        assert context.keyring.keys == (OTHER_ENCRYPTION_KEY,)
    assert "encryption key" not in capsys.readouterr().err


def test_an_encryption_key_that_another_process_wrote_and_used_meanwhile_is_read(home: Home) -> None:
    """As when several first `key add` run at once."""
    with Context(None) as context:
        context.may_create = True
        assert context.settings.encryption_keys == ()
        home.set_up("production")
        assert not context.store.is_new
        assert context.keyring.keys == (ENCRYPTION_KEY,)


def test_an_env_file_that_cannot_be_written_is_a_settings_error(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise SettingsError("cannot write the encryption key to there: Permission denied.")

    monkeypatch.setattr(env_file, "write_encryption_keys", refuse)
    code, out, err = orwatch("init")
    assert (code, out) == (78, "")
    assert err.endswith("orwatch: cannot write the encryption key to there: Permission denied.\n")


def test_unknown_settings_of_the_environment_are_told_once_with_the_nearest_known_one(
    orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORWATCH_SINC_DAYS", "3")
    monkeypatch.setenv("ORWATCH_XYZZYXYZZYXYZZY", "1")
    code, _, err = orwatch("init")
    assert code == 0
    assert [line for line in err.splitlines() if "unknown setting " in line] == [
        "orwatch: unknown setting ORWATCH_SINC_DAYS is ignored. Did you mean ORWATCH_SYNC_DAYS?",
        "orwatch: unknown setting ORWATCH_XYZZYXYZZYXYZZY is ignored.",
    ]


@pytest.mark.parametrize("command", [("cleanup", "--quiet"), ("sync",), ("status",), ("init",)])
def test_a_line_of_the_env_file_that_is_no_setting_stops_the_command(
    orwatch: Orwatch, home: Home, command: tuple[str, ...]
) -> None:
    home.write_settings(ORWATCH_SINC_DAYS="3")
    with home.env_file.open("a", encoding="utf-8") as file:
        file.write("ORWATCH_USAGE_STATS_RETENTION_DAYS: 3650\n")
    number = len(home.env_file.read_text(encoding="utf-8").splitlines())
    code, out, err = orwatch(*command)
    assert (code, out) == (78, "")
    assert err == (
        f"orwatch: line {number - 1} of {home.env_file} names no setting of orwatch. "
        "Did you mean ORWATCH_SYNC_DAYS?\n"
        f"orwatch: line {number} of {home.env_file} is not NAME=value. "
        "Write NAME=value, or begin the line with #.\n"
    )


def test_wrong_settings_are_78_each_on_its_line_and_nothing_is_created(orwatch: Orwatch, home: Home) -> None:
    home.write_settings(ORWATCH_SYNC_DAYS="many", ORWATCH_CONCURRENCY="0")
    code, out, err = orwatch("sync")
    assert (code, out) == (78, "")
    assert err == (
        "orwatch: ORWATCH_SYNC_DAYS='many' is not a whole number from 1 to 365 "
        f"(set in {home.env_file}).\n"
        "orwatch: ORWATCH_CONCURRENCY='0' is not a whole number from 1 to 64 "
        f"(set in {home.env_file}).\n"
    )
    assert not home.database.exists()


@pytest.mark.parametrize("how", ["option", "environment"])
@pytest.mark.parametrize("command", [("sync",), ("status",), ("report",), ("key", "list"), ("db", "info")])
def test_a_named_env_file_that_is_not_there_is_78_and_creates_nothing(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch, how: str, command: tuple[str, ...]
) -> None:
    typo = home.folder / "typo.env"
    if how == "environment":
        monkeypatch.setenv("ORWATCH_ENV_FILE", str(typo))
    option = ("--env-file", str(typo)) if how == "option" else ()
    code, out, err = orwatch(*option, *command)
    assert (code, out) == (78, "")
    assert err == (
        f"orwatch: there is no env file {typo}. Correct --env-file or ORWATCH_ENV_FILE, or create it: "
        f"`orwatch --env-file {typo} init`.\n"
    )
    assert not typo.exists()
    assert not home.database.exists()


@pytest.mark.parametrize("has_key", [False, True])
def test_init_creates_the_env_file_that_is_named(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch, has_key: bool
) -> None:
    if has_key:
        monkeypatch.setenv("ORWATCH_ENCRYPTION_KEY", ENCRYPTION_KEY)
    named = home.folder / "new" / "named.env"
    assert orwatch("--env-file", str(named), "init").code == 0
    assert named.stat().st_mode & 0o777 == 0o600
    assert orwatch("--env-file", str(named), "status").code == 0


def test_init_tells_where_everything_is_and_changes_nothing_the_second_time(
    orwatch: Orwatch, home: Home
) -> None:
    expected = (
        f"Database:       {home.database}\n"
        f"Encryption key: in {home.env_file}\n"
        f"Settings:       {home.env_file}\n"
    )
    assert orwatch("init")[:2] == (0, expected)
    before = home.env_file.read_bytes()
    assert orwatch("init") == (0, expected, "")
    assert home.env_file.read_bytes() == before


def test_init_tells_of_an_encryption_key_in_the_environment(
    orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORWATCH_ENCRYPTION_KEY", ENCRYPTION_KEY)
    assert "Encryption key: in the environment\n" in orwatch("init").out


def test_init_fails_where_the_encryption_key_is_lost(orwatch: Orwatch, home: Home) -> None:
    home.set_up("production")
    home.env_file.unlink()
    code, out, err = orwatch("init")
    assert code == 78
    assert "Encryption key: missing\n" in out
    assert "Put back the one they were stored with" in err
    assert not home.env_file.exists()
