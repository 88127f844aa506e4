"""``orwatch cron`` on the command line: options, output streams and exit codes."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path

import pytest

from orwatch.cli import host as cli_host
from orwatch.errors import UsageError
from orwatch.jobs.cron import checks as cron_checks
from orwatch.jobs.cron.text import MARK_BEGIN, MARK_END
from tests.cli.support import Home, Orwatch
from tests.jobs.cron.machine import CRONTAB, write_program


@pytest.fixture(autouse=True)
def machine(home: Home, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a `crontab` command that works, with a program to install; cron runs."""
    folder = home.folder / "machine"
    write_program(folder / "crontab", CRONTAB.replace("{folder}", str(folder)))
    program = write_program(folder / "orwatch", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setattr(cron_checks, "running_daemons", lambda _: frozenset({"cron"}))
    home.write_settings(ORWATCH_DATABASE_URL=f"sqlite:///{home.database}")
    home.write_settings(ORWATCH_OPENROUTER_API_URL=os.environ["ORWATCH_OPENROUTER_API_URL"])
    return folder


def test_install_show_and_remove(orwatch: Orwatch, machine: Path) -> None:
    tab = machine / "tab"
    tab.write_text("# mine\n", encoding="utf-8")
    assert orwatch("cron", "install") == (0, f"Put the three jobs into {name_of_tab()}.\n", "")
    assert orwatch("cron", "install").out.endswith("as they should be; nothing was changed.\n")
    code, out, err = orwatch("cron", "show")
    assert (code, err) == (0, "")
    assert "as this version writes them." in out
    assert orwatch("cron", "remove") == (0, f"Removed the three jobs from {name_of_tab()}.\n", "")
    assert tab.read_text(encoding="utf-8") == "# mine\n"
    assert orwatch("cron", "remove") == (0, "There was nothing to remove.\n", "")


def name_of_tab() -> str:
    import pwd

    return f"the crontab of {pwd.getpwuid(os.geteuid()).pw_name}"


def test_a_dry_run_prints_the_lines_alone_on_standard_output(orwatch: Orwatch, machine: Path) -> None:
    code, out, err = orwatch("cron", "install", "--dry-run")
    assert code == 0
    assert out.startswith(f"{MARK_BEGIN}\n")
    assert out.endswith(f"{MARK_END}\n")
    assert f"{machine}/orwatch --env-file" in out
    assert err.startswith("orwatch: would put this into the crontab of ")
    assert not (machine / "tab").exists()


def test_nothing_installed_is_no_failure(orwatch: Orwatch) -> None:
    code, out, err = orwatch("cron", "show", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["state"] == "not-installed"


def test_what_will_not_work_is_told_on_standard_error_with_exit_code_1(
    orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cron_checks, "running_daemons", lambda _: frozenset())
    code, out, err = orwatch("cron", "install")
    assert (code, out) == (1, f"Put the three jobs into {name_of_tab()}.\n")
    assert err.startswith("orwatch: no cron daemon is")


def test_a_setting_of_this_shell_alone_is_a_warning(
    orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORWATCH_CONCURRENCY", "3")
    code, _, err = orwatch("cron", "install")
    assert code == 0
    assert err.startswith("orwatch: warning: ORWATCH_CONCURRENCY is set in this shell, and cron will not")


def test_the_options_reach_the_entries(orwatch: Orwatch, machine: Path) -> None:
    url = "https://hc-ping.com/key/orwatch-{job}"
    log_file = f"{machine}/100% of it.log"
    assert orwatch("cron", "install", "--log-file", log_file, "--heartbeat-url", url).code == 0
    text = (machine / "tab").read_text(encoding="utf-8")
    assert f"ORWATCH_HEARTBEAT_URL='{url}' ORWATCH_LOG_FILE={machine}/100\\%' of it.log' {machine}" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--systemd", "--user-crontab"), "exclude each other"),
        (("--systemd", "--etc-cron-d"), "exclude each other"),
        (("--log-file", "relative.log"), "not an absolute path"),
        (("--log-file", "/tmp"), "is a folder"),
        (("--log-file", "/a\nb"), "line end"),
        (("--heartbeat-url", "hc-ping.com/x"), "--heartbeat-url is not an address"),
        (("--heartbeat-url", "https://a b"), "--heartbeat-url is not an address"),
        (("--heartbeat-url", "https://a/\\"), "--heartbeat-url is not an address"),
        (("--heartbeat-url", "https://a/{name}"), "--heartbeat-url has braces"),
        (("--heartbeat-url", "https://a/" + "x" * 900), "longer than 900"),
    ],
)
def test_options_that_cannot_be_are_usage_errors(
    orwatch: Orwatch, machine: Path, options: tuple[str, ...], message: str
) -> None:
    code, out, err = orwatch("cron", "install", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert not (machine / "tab").exists()


def test_units_are_printed_with_their_paths(orwatch: Orwatch, home: Home) -> None:
    code, out, _ = orwatch("cron", "install", "--systemd", "--dry-run")
    assert code == 0
    folder = home.folder / "config" / "systemd" / "user"
    assert f"# {folder}/orwatch-sync.timer\n" in out
    assert not folder.exists()


def test_without_a_home_and_without_a_user_it_works(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.geteuid", lambda: 54321)
    code, out, err = orwatch("--env-file", str(home.env_file), "cron", "install", "--dry-run")
    assert MARK_BEGIN in out
    assert "the crontab of 54321" in err
    assert code in {0, 1}  # whether that user can read the file


@pytest.mark.parametrize("called", ["__main__.py", "../elsewhere"])
def test_the_program_is_found_also_when_it_was_not_called_by_its_name(
    monkeypatch: pytest.MonkeyPatch, called: str
) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    assert cli_host._program() == Path(sys.executable).with_name("orwatch")


def test_a_relative_call_becomes_an_absolute_path(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(machine)
    monkeypatch.setattr(sys, "argv", ["./orwatch"])
    assert cli_host._program() == machine / "orwatch"


def write_zip_application(path: Path, first_line: bytes = b"#!/usr/bin/env python3\n") -> Path:
    """As shiv and pex make them: a zip archive after a line that names a Python."""
    with path.open("wb") as file:
        file.write(first_line)
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("__main__.py", "")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("name", ["orwatch", "orwatch.pyz", "orwatch.pex", "money"])
def test_the_jobs_run_the_zip_application_that_installed_them(
    orwatch: Orwatch, machine: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(machine)
    write_zip_application(Path(name))
    monkeypatch.setattr(sys, "argv", [f"./{name}"])
    assert orwatch("cron", "install").code == 0
    assert (machine / "tab").read_text(encoding="utf-8").count(f"{machine}/{name} --env-file") == 3
    assert orwatch("cron", "show").code == 0


def test_a_zip_application_that_cron_cannot_start_is_not_exchanged_for_another_orwatch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_zip_application(tmp_path / "orwatch")
    monkeypatch.setattr(sys, "argv", [str(path)])
    path.chmod(0o644)
    with pytest.raises(UsageError, match=f"cron cannot start {path}: .* Run `chmod"):
        cli_host._program()
    write_zip_application(path, first_line=b"")
    with pytest.raises(UsageError, match=f"cron cannot start {path}: its first line names no Python"):
        cli_host._program()


def test_a_program_that_cannot_be_found_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["-m"])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr("sysconfig.get_path", lambda *_: str(tmp_path))
    with pytest.raises(UsageError, match="cannot find the program"):
        cli_host._program()
