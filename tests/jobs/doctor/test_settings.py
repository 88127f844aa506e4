"""Doctor's look at the settings and at the modes of files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orwatch.config.settings import SETTING_NAMES
from orwatch.jobs.doctor.result import CheckArea, CheckStatus
from orwatch.jobs.doctor.settings import FoundSettings, database_mode_checks, examine
from tests.jobs.doctor.support import findings, told


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    path = tmp_path / "settings" / ".env"
    path.parent.mkdir(mode=0o700)
    path.touch(mode=0o600)
    return path


def look(env_file: Path, **environ: str) -> FoundSettings:
    return examine({"HOME": str(env_file.parent), "ORWATCH_ENV_FILE": str(env_file), **environ}, None)


def test_settings_in_order_have_no_finding(env_file: Path) -> None:
    env_file.write_text("# mine\n\nORWATCH_SYNC_DAYS=10\nexport OTHER='a\nb'\n", encoding="utf-8")
    found = look(env_file)
    assert told(found.checks) == [
        ("settings", "ok", "every value can be used"),
        ("env file", "ok", f"{env_file} is yours alone to read and write"),
        ("heartbeat", "ok", "none is set here"),
    ]
    assert found.settings is not None
    assert (found.settings.sync_days, found.wrong) == (10, frozenset())


def test_every_wrong_value_is_told_and_the_rest_is_read_all_the_same(env_file: Path) -> None:
    env_file.write_text("ORWATCH_SYNC_DAYS=many\nORWATCH_RATE_LIMIT_PER_MINUTE=7\n", encoding="utf-8")
    found = look(env_file, ORWATCH_CONCURRENCY="0", ORWATCH_LOG_FILE="orwatch.log")
    assert findings(found.checks) == [
        (
            "ORWATCH_SYNC_DAYS",
            f"ORWATCH_SYNC_DAYS='many' is not a whole number from 1 to 365 (set in {env_file})",
        ),
        ("ORWATCH_CONCURRENCY", "ORWATCH_CONCURRENCY='0' is not a whole number from 1 to 64"),
        (
            "ORWATCH_LOG_FILE",
            "ORWATCH_LOG_FILE='orwatch.log' is not an absolute path",
        ),
    ]
    assert found.wrong == {"ORWATCH_SYNC_DAYS", "ORWATCH_CONCURRENCY", "ORWATCH_LOG_FILE"}
    assert found.settings is not None
    assert found.settings.rate_limit_per_minute == 7


@pytest.mark.parametrize("name", sorted({*SETTING_NAMES} - {"ORWATCH_ENV_FILE", "ORWATCH_ENCRYPTION_KEY"}))
def test_every_setting_that_can_be_wrong_has_something_to_go_on_with(env_file: Path, name: str) -> None:
    found = look(env_file, **{name: "no such \x00 value"})
    assert found.wrong <= {name}
    assert found.settings is not None


def test_a_wrong_database_shows_no_password(env_file: Path) -> None:
    found = look(env_file, ORWATCH_DATABASE_URL="mysql://me:hunter2@db/orwatch")
    assert [subject for subject, _ in findings(found.checks)] == ["ORWATCH_DATABASE_URL"]
    assert "hunter2" not in str(found.checks)


def test_an_env_file_that_cannot_be_read_is_a_finding_and_there_are_no_settings(env_file: Path) -> None:
    env_file.write_bytes(b"ORWATCH_SYNC_DAYS=\xff\n")
    found = look(env_file)
    assert found.settings is None
    [(subject, message)] = findings(found.checks)
    assert (subject, f"cannot read the env file {env_file}" in message) == ("env file", True)


def test_an_unknown_name_is_told_with_the_nearest_one(env_file: Path) -> None:
    found = look(env_file, ORWATCH_SYNC_DAY="3", ORWATCH_QQQ="1")
    advice = {check.subject: check.advice for check in found.checks if check.status is CheckStatus.FINDING}
    assert advice == {
        "ORWATCH_QQQ": "Delete it; the README lists every setting.",
        "ORWATCH_SYNC_DAY": "Did you mean ORWATCH_SYNC_DAYS?",
    }


def test_an_env_file_that_is_named_and_not_there_is_a_finding(tmp_path: Path) -> None:
    named = examine({"HOME": str(tmp_path)}, str(tmp_path / "nowhere.env"))
    assert findings(named.checks) == [("env file", f"{tmp_path}/nowhere.env does not exist")]
    unnamed = examine({"XDG_CONFIG_HOME": f"{tmp_path}/.config"}, None)
    assert told(unnamed.checks)[1] == (
        "env file",
        "skipped",
        f"there is none ({tmp_path}/.config/orwatch/.env)",
    )


def test_lines_that_say_nothing_are_counted_but_never_shown(env_file: Path) -> None:
    lines = ["ORWATCH_SYNC_DAYS=3", "", "sk-or-v1-secret", "ORWATCH_LOG_LEVEL", "A='x", "y'", "what is this"]
    env_file.write_text("\n".join(lines), encoding="utf-8")
    found = look(env_file)
    assert findings(found.checks) == [
        ("env file", f"line {number} of {env_file} is not NAME=value") for number in (3, 4, 7)
    ]
    assert "sk-or" not in str(found.checks)


@pytest.mark.parametrize(
    ("mode", "deeds"),
    [(0o644, "read"), (0o640, "read"), (0o620, "written"), (0o666, "read and written")],
)
def test_an_env_file_that_is_open_to_others_is_a_finding(env_file: Path, mode: int, deeds: str) -> None:
    env_file.chmod(mode)
    [check] = [check for check in look(env_file).checks if check.status is CheckStatus.FINDING]
    assert check.message == f"{env_file} can be {deeds} by others (mode {mode:04o})"
    assert check.advice == f"chmod 600 {env_file}"


def test_what_belongs_to_somebody_else_may_be_read_by_its_group(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: env_file.stat().st_uid + 1)
    env_file.chmod(0o640)
    assert findings(look(env_file).checks) == []
    env_file.chmod(0o644)
    [check] = [check for check in look(env_file).checks if check.status is CheckStatus.FINDING]
    assert check.advice == f"chmod 640 {env_file}"


def test_a_folder_that_others_can_write_to_is_a_finding(env_file: Path) -> None:
    env_file.parent.chmod(0o770)
    [check] = [check for check in look(env_file).checks if check.status is CheckStatus.FINDING]
    assert check.message == f"others can put files into the folder {env_file.parent} (mode 0770)"
    assert check.advice == f"chmod go-w {env_file.parent}"
    env_file.parent.chmod(0o1777)
    [check] = [check for check in look(env_file).checks if check.status is CheckStatus.FINDING]
    assert check.advice == "Move the file to a folder of your own."


def test_a_path_in_a_command_is_quoted(tmp_path: Path) -> None:
    env_file = tmp_path / "my settings"
    env_file.touch(mode=0o644)
    env_file.chmod(0o644)
    [check] = [check for check in look(env_file).checks if check.status is CheckStatus.FINDING]
    assert check.advice == f"chmod 600 '{env_file}'"


def test_a_database_and_its_log_are_for_nobody_else(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    database = tmp_path / "orwatch.db"
    for name in ("orwatch.db", "orwatch.db-wal"):
        (tmp_path / name).touch(mode=0o600)
    assert told(database_mode_checks(database)) == [
        ("database", "ok", f"{database} is yours alone to read and write")
    ]
    (tmp_path / "orwatch.db-wal").chmod(0o604)
    checks = database_mode_checks(database)
    assert findings(checks) == [("database", f"{database}-wal can be read by others (mode 0604)")]
    assert {check.area for check in checks} == {CheckArea.DATABASE}


def test_a_log_file_may_be_for_its_group_to_read(env_file: Path, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "orwatch.log"
    log.parent.mkdir(mode=0o755)
    assert told(look(env_file, ORWATCH_LOG_FILE=str(log)).checks)[-1] == (
        "log file",
        "ok",
        f"{log} can be written",
    )
    log.touch()
    log.chmod(0o640)
    assert findings(look(env_file, ORWATCH_LOG_FILE=str(log)).checks) == []
    log.chmod(0o644)
    assert findings(look(env_file, ORWATCH_LOG_FILE=str(log)).checks) == [
        ("log file", f"{log} can be read by others (mode 0644)")
    ]


def test_a_log_whose_folder_is_not_there_or_not_writable_is_a_finding(
    env_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "no logs" / "orwatch.log"
    [check] = [
        check
        for check in look(env_file, ORWATCH_LOG_FILE=str(log)).checks
        if check.status is CheckStatus.FINDING
    ]
    assert check.message == f"the folder {log.parent} does not exist"
    assert check.advice == f"Create it: mkdir -p '{log.parent}'"
    log.parent.mkdir(mode=0o700)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert findings(look(env_file, ORWATCH_LOG_FILE=str(log)).checks) == [
        ("log file", f"{log.parent} cannot be written")
    ]


def test_a_heartbeat_that_is_set_is_told_without_its_address(env_file: Path) -> None:
    checks = told(look(env_file, ORWATCH_HEARTBEAT_URL="https://ping.example/secret").checks)
    assert ("heartbeat", "ok", "an address is set; nothing was sent") in checks
