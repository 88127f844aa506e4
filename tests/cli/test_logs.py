"""Logs: where they go, what is in them, and what is left out."""

from __future__ import annotations

import json
import logging
import os
import stat
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import httpx
import pytest
import respx
from freezegun import freeze_time

from orwatch.cli.logs import start_log
from orwatch.config.settings import load_settings
from orwatch.domain.runs import Job
from orwatch.errors import SettingsError
from orwatch.redaction import keep_api_key
from tests.cli.support import CI_SECRET, Home, Orwatch, Terminal, key_answer, usage_json
from tests.support import NOW, SECRET

log = logging.getLogger("orwatch.jobs.somewhere")

Start: TypeAlias = Callable[..., None]

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Begin to log with these settings, until the end of the test."""
    stops: list[Callable[[], None]] = []

    def start(*, quiet: bool = False, verbose: bool = False, job: Job = Job.SYNC, **settings: str) -> None:
        environ = {
            "HOME": str(tmp_path),
            **{f"ORWATCH_LOG_{name}": value for name, value in settings.items()},
        }
        stops.append(start_log(load_settings(environ), job, is_verbose=verbose, is_quiet=quiet))

    yield start
    for stop in stops:
        stop()


def say_everything() -> None:
    for level in LEVELS:
        log.log(logging.getLevelNamesMapping()[level], "said")


def lowest_level(text: str) -> str:
    return next(level for level in LEVELS if f" {level} " in text)


@pytest.mark.parametrize(
    ("terminal", "quiet", "verbose", "level", "lowest"),
    [
        (False, False, False, "", "WARNING"),
        (False, True, False, "", "WARNING"),
        (True, False, False, "", "ERROR"),
        (True, True, False, "", "WARNING"),
        (True, False, True, "", "DEBUG"),
        (False, False, True, "", "DEBUG"),
        (False, False, False, "INFO", "INFO"),
        (True, False, False, "DEBUG", "DEBUG"),
        (True, False, False, "error", "ERROR"),
        (False, True, False, "DEBUG", "WARNING"),
        (False, True, False, "ERROR", "WARNING"),
        (False, False, True, "ERROR", "DEBUG"),
    ],
)
def test_what_goes_to_standard_error(
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    terminal: bool,
    quiet: bool,
    verbose: bool,
    level: str,
    lowest: str,
) -> None:
    if terminal:
        monkeypatch.setattr(sys, "stderr", Terminal())
    start(quiet=quiet, verbose=verbose, LEVEL=level)
    say_everything()
    text = sys.stderr.getvalue() if isinstance(sys.stderr, Terminal) else capsys.readouterr().err
    assert lowest_level(text) == lowest
    assert len(text.splitlines()) == len(LEVELS) - LEVELS.index(lowest)


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize(
    ("verbose", "level", "lowest"),
    [(False, "", "INFO"), (True, "", "DEBUG"), (False, "ERROR", "ERROR"), (False, "DEBUG", "DEBUG")],
)
def test_what_goes_to_a_file_depends_on_neither_terminal_nor_quiet(
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    quiet: bool,
    verbose: bool,
    level: str,
    lowest: str,
) -> None:
    if terminal:
        monkeypatch.setattr(sys, "stderr", Terminal())
    start(quiet=quiet, verbose=verbose, LEVEL=level, FILE=f"{tmp_path}/o.log")
    say_everything()
    assert lowest_level((tmp_path / "o.log").read_text(encoding="utf-8")) == lowest


def test_text_is_one_line_with_time_level_job_key_and_duration(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    start(job=Job.VALIDATE)
    log.warning("%d rows", 3, extra={"key": "ci", "duration_seconds": 0.314159})
    log.warning("alone")
    assert capsys.readouterr().err == (
        "2026-11-20T12:30:00Z WARNING validate key=ci duration=0.31s: 3 rows\n"
        "2026-11-20T12:30:00Z WARNING validate: alone\n"
    )


def test_json_is_one_object_a_line_with_what_is_known(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    start(FORMAT="json")
    log.warning("%d rows", 3, extra={"key": "ci", "duration_seconds": 0.314})
    log.error("alone")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first == {
        "time": "2026-11-20T12:30:00Z",
        "level": "WARNING",
        "job": "sync",
        "key": "ci",
        "duration_seconds": 0.314,
        "message": "3 rows",
    }
    assert second == {
        "time": "2026-11-20T12:30:00Z",
        "level": "ERROR",
        "job": "sync",
        "message": "alone",
    }


def test_control_characters_forge_no_line_and_move_no_cursor(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    start()
    log.warning("a\nforged line \x1b[2J\u202e", extra={"key": "ci\nx"})
    text = capsys.readouterr().err
    assert text.endswith(": a�forged line �[2J�\n")
    assert text.count("\n") == 1
    assert "key=ci�x" in text


def test_control_characters_are_escaped_in_json(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    start(FORMAT="json")
    log.warning("a\n\x1b[2J\u202e", extra={"key": "ci\n"})
    text = capsys.readouterr().err
    assert text.isascii()
    assert text.count("\n") == 1
    assert "\x1b" not in text
    assert json.loads(text)["message"] == "a\n\x1b[2J\u202e"


def test_a_key_whose_name_has_blanks_cannot_pose_as_other_fields(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    start()
    log.warning("said", extra={"key": "ci duration=9.99s: all is well"})
    assert 'key="ci duration=9.99s: all is well": said' in capsys.readouterr().err


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_logged_whatever_is_said(
    start: Start, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    keep_api_key(SECRET)
    start(FORMAT=form)
    log.warning("no %s", SECRET, extra={"key": SECRET})
    text = capsys.readouterr().err
    assert SECRET[:12] not in text
    assert text.encode().decode("unicode_escape" if form == "json" else "utf-8").count("sk-or-…") == 2


def test_a_file_is_added_to_and_opened_anew_when_logrotate_has_moved_it(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "o.log"
    file.write_text("before\n", encoding="utf-8")
    start(FILE=str(file))
    log.info("first")
    file.rename(tmp_path / "o.log.1")
    log.info("second")
    assert (tmp_path / "o.log.1").read_text(encoding="utf-8").startswith("before\n")
    assert "first" in (tmp_path / "o.log.1").read_text(encoding="utf-8")
    assert "second" in file.read_text(encoding="utf-8")


def test_a_file_that_cannot_be_opened_is_a_settings_error(start: Start, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot open ORWATCH_LOG_FILE=.*No such file or directory"):
        start(FILE=f"{tmp_path}/missing/o.log")


def test_a_new_file_is_its_owners_alone_and_not_made_through_a_link(start: Start, tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        start(FILE=f"{tmp_path}/o.log")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "o.log").stat().st_mode) == 0o600
    (tmp_path / "link.log").symlink_to(tmp_path / "nothing")
    with pytest.raises(SettingsError, match="cannot open ORWATCH_LOG_FILE="):
        start(FILE=f"{tmp_path}/link.log")
    assert not (tmp_path / "nothing").exists()


def test_other_libraries_say_nothing(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    start(verbose=True)
    logging.getLogger("httpcore.http11").debug("Authorization: Bearer")
    assert capsys.readouterr().err == ""


def test_after_its_end_nothing_is_logged_any_more(tmp_path: Path) -> None:
    file = tmp_path / "o.log"
    settings = load_settings({"HOME": "/", "ORWATCH_LOG_FILE": str(file)})
    stop = start_log(settings, Job.SYNC, is_verbose=True, is_quiet=False)
    log.info("first")
    stop()
    log.info("second")
    assert file.read_text(encoding="utf-8") == "2026-11-20T12:30:00Z INFO sync: first\n"


def test_a_full_disk_is_told_once_and_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    settings = load_settings({"HOME": "/", "ORWATCH_LOG_FILE": "/dev/full"})
    stop = start_log(settings, Job.SYNC, is_verbose=False, is_quiet=False)
    for number in range(3):
        log.warning("said %d", number)
    stop()
    assert capsys.readouterr().err == (
        "orwatch: cannot write to the log /dev/full: [Errno 28] No space left on device\n"
    )


def test_a_folder_of_the_log_that_vanishes_is_told_once_and_stops_nothing(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    start(FILE=f"{folder}/o.log")
    (folder / "o.log").unlink()
    folder.rmdir()
    log.warning("said")
    log.warning("said again")
    text = capsys.readouterr().err
    assert text.startswith(f"orwatch: cannot write to the log {folder}/o.log: ")
    assert len(text.splitlines()) == 1


def test_a_job_whose_log_is_on_a_full_disk_is_done(orwatch: Orwatch, home: Home) -> None:
    home.set_up()
    home.write_settings(ORWATCH_LOG_FILE="/dev/full")
    code, out, err = orwatch("cleanup", "--quiet")
    assert (code, out) == (0, "")
    assert len(err.splitlines()) == 1
    assert "/dev/full" in err


def test_a_job_with_an_unusable_log_file_is_78_and_does_nothing(orwatch: Orwatch, home: Home) -> None:
    home.write_settings(ORWATCH_LOG_FILE="/nonexistent/o.log")
    code, out, err = orwatch("sync")
    assert (code, out) == (78, "")
    assert "cannot open ORWATCH_LOG_FILE='/nonexistent/o.log'" in err
    assert not home.database.exists()


def test_a_quiet_run_with_a_log_file_still_warns_on_standard_error_for_crons_mail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "o.log"
    settings = load_settings({"HOME": "/", "ORWATCH_LOG_FILE": str(file)})
    stop = start_log(settings, Job.SYNC, is_verbose=False, is_quiet=True)
    log.info("all is well")
    log.warning("a key is refused")
    stop()
    warning = "2026-11-20T12:30:00Z WARNING sync: a key is refused\n"
    assert capsys.readouterr().err == warning
    assert file.read_text(encoding="utf-8") == f"2026-11-20T12:30:00Z INFO sync: all is well\n{warning}"


def test_a_new_log_file_is_its_owners_alone_and_another_keeps_its_mode(start: Start, tmp_path: Path) -> None:
    there = tmp_path / "there.log"
    there.touch(mode=0o640)
    for name in ("there.log", "new.log"):
        start(FILE=f"{tmp_path}/{name}")
    assert there.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "new.log").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_missed_job_logs_under_its_own_name_and_is_announced(
    orwatch: Orwatch, home: Home, api: respx.MockRouter, form: str
) -> None:
    log_file = home.folder / "o.log"
    home.set_up("production")
    home.write_settings(ORWATCH_LOG_FILE=str(log_file), ORWATCH_LOG_FORMAT=form)
    api.get("/usage").mock(return_value=usage_json())
    api.get("/key").mock(return_value=key_answer())
    with freeze_time(NOW + timedelta(days=8)):
        finished = orwatch("sync", "--catch-up", "-v")
    assert finished.code == 0
    assert finished.err == (
        "orwatch: validate was missed, and is run now:\norwatch: cleanup was missed, and is run now:\n"
    )
    lines = log_file.read_text(encoding="utf-8").splitlines()
    jobs = [json.loads(line)["job"] if form == "json" else line.split()[2].rstrip(":") for line in lines]
    assert list(dict.fromkeys(jobs)) == ["sync", "validate", "cleanup"]
    assert any("GET /api/v1/key" in line and "validate" in line for line in lines)


def test_a_catch_up_asks_again_about_what_validate_has_just_deactivated(
    orwatch: Orwatch, home: Home, api: respx.MockRouter
) -> None:
    home.set_up("production", "ci")
    home.write_settings(ORWATCH_REFUSAL_WAIT_SECONDS="0")
    api.get("/usage").mock(return_value=usage_json())
    refusal = httpx.Response(401, json={"error": {"code": 401, "message": "User not found."}})
    asked = api.get("/key", headers={"Authorization": f"Bearer {CI_SECRET}"}).mock(return_value=refusal)
    api.get("/key").mock(return_value=key_answer())
    with freeze_time(NOW):
        assert orwatch("validate", "--quiet").code == 1
    with freeze_time(NOW + timedelta(hours=1)):
        again = orwatch("sync", "--catch-up", "--quiet")
        assert (again.code, again.out, again.err, asked.call_count) == (0, "", "", 3)
        asked.mock(return_value=key_answer())
        assert orwatch("sync", "--catch-up").out.endswith("1 key valid, 0 invalid, 0 unknown, in 0.0 s.\n")
        assert orwatch("sync").out.startswith("Key")
    with freeze_time(NOW + timedelta(hours=2)):
        orwatch("sync", "--catch-up")
    assert asked.call_count == 4


def test_with_json_a_missed_job_is_run_in_silence(
    orwatch: Orwatch, home: Home, api: respx.MockRouter
) -> None:
    home.set_up("production")
    api.get("/usage").mock(return_value=usage_json())
    api.get("/key").mock(return_value=key_answer())
    with freeze_time(NOW + timedelta(days=8)):
        code, out, err = orwatch("sync", "--catch-up", "--json")
    assert (code, json.loads(out)["job"], err) == (0, "sync", "")
