"""What would keep the jobs from running without a word is found, and told with what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orwatch.jobs.cron import checks as cron_checks
from orwatch.jobs.cron import cron_d, user_crontab
from orwatch.jobs.cron.checks import running_daemons
from orwatch.jobs.cron.result import CronPlace, CronWarning
from orwatch.jobs.cron.text import Invocation, entries
from tests.jobs.cron.machine import CronMachine, write_program
from tests.support import root_only

BLOCK = entries(Invocation("/bin/orwatch", "/env"))


@pytest.fixture
def machine(tmp_path: Path) -> CronMachine:
    return CronMachine(tmp_path / "machine")


def stop_cron(machine: CronMachine) -> None:
    (machine.folder / "proc" / "7" / "cmdline").write_text("", encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "words", "program", "expected"),
    [
        ("cron", ("/usr/sbin/cron", "-f"), "", "cron"),
        ("crond", ("/usr/sbin/crond", "-n"), "/usr/sbin/crond", "crond"),
        ("crond", ("crond", "-f"), "/bin/busybox", "busybox"),
        ("busybox", ("/bin/busybox", "crond", "-f"), "/bin/busybox", "busybox"),
        ("busybox", ("busybox", "sh"), "/bin/busybox", None),
        ("bash", ("bash", "cron"), "", None),
        ("crontab", ("crontab", "-e"), "", None),
    ],
)
def test_a_running_cron_is_recognised(
    machine: CronMachine, name: str, words: tuple[str, ...], program: str, expected: str | None
) -> None:
    stop_cron(machine)
    machine.add_process(42, name, *words, program=program)
    (machine.folder / "proc" / "43").mkdir()  # it has ended
    (machine.folder / "proc" / "self").mkdir()
    assert running_daemons(machine.folder / "proc") == ({expected} if expected else set())


def test_where_processes_cannot_be_seen_nothing_is_said_of_them(machine: CronMachine) -> None:
    assert running_daemons(machine.folder / "nowhere") is None
    (machine.folder / "proc" / "1" / "cmdline").unlink()
    stop_cron(machine)
    assert list(cron_checks.check_daemon(machine.host(), CronPlace.USER_CRONTAB)) == []


def test_a_cron_that_does_not_run_is_told(machine: CronMachine) -> None:
    host = machine.host()
    assert list(cron_checks.check_daemon(host, CronPlace.USER_CRONTAB)) == []
    stop_cron(machine)
    write_program(machine.folder / "bin" / "crond", "#!/bin/sh\n")
    (warning,) = cron_checks.check_daemon(host, CronPlace.USER_CRONTAB)
    assert warning.is_fatal
    assert warning.text.startswith("no cron daemon is running")
    assert "service cron start" in warning.text


def test_busyboxs_cron_reads_no_cron_d(machine: CronMachine) -> None:
    stop_cron(machine)
    machine.add_process(42, "busybox", "busybox", "crond")
    assert list(cron_checks.check_daemon(machine.host(), CronPlace.USER_CRONTAB)) == []
    (warning,) = cron_checks.check_daemon(machine.host(), CronPlace.ETC_CRON_D)
    assert (warning.is_fatal, "--user-crontab" in warning.text) == (True, True)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("SHELL=/usr/bin/fish", "written for sh"),
        ("PATH=$PATH:/opt/bin", "does not expand variables"),
        ('PATH="/nowhere:."', "no `date`"),
        ("PATH=", "no `date`"),
    ],
)
def test_a_variable_above_the_entries_that_breaks_them_is_told(line: str, word: str) -> None:
    (warning,) = user_crontab.check_crontab_variables(f"{line}\n{BLOCK}")
    assert (warning.is_fatal, word in warning.text) == (True, True)
    assert list(user_crontab.check_crontab_variables(f"{BLOCK}{line}\n")) == []


def test_good_variables_are_nothing_to_tell_of() -> None:
    text = f"SHELL=/bin/bash\nPATH=/nowhere:/usr/bin:/bin\nMAILTO=x\n{BLOCK}"
    assert list(user_crontab.check_crontab_variables(text)) == []


@pytest.mark.parametrize(
    ("line", "is_fatal"),
    [
        ("HOME=/srv/other", True),
        ("XDG_DATA_HOME=/srv/other", True),
        ("ORWATCH_DATABASE_URL=sqlite:////srv/other.db", True),
        ("ORWATCH_ENCRYPTION_KEY='secret'", True),
        ("ORWATCH_CONCURRENCY=0", True),
        ("ORWATCH_CONCURRENCY=3", False),
    ],
)
def test_a_variable_above_the_entries_that_redirects_the_jobs_is_told(
    machine: CronMachine, line: str, is_fatal: bool
) -> None:
    invocation = Invocation(str(machine.program), str(machine.env_file))
    host = machine.host()
    (warning,) = user_crontab.check_redirections(f"{line}\n{BLOCK}", invocation, host)
    assert warning.is_fatal is is_fatal
    assert f"sets {line.partition('=')[0]} above the entries" in warning.text
    assert "secret" not in warning.text
    assert list(user_crontab.check_redirections(f"{BLOCK}{line}\n", invocation, host)) == []


def test_a_variable_above_the_entries_that_changes_nothing_for_them_is_nothing_to_tell_of(
    machine: CronMachine,
) -> None:
    invocation = Invocation(str(machine.program), str(machine.env_file), "/tmp/log")
    lines = (
        f"HOME={machine.folder}/home\nXDG_CONFIG_HOME=/srv\nORWATCH_LOG_FILE=/else\nORWATCH_ENV_FILE=/else\n"
    )
    assert list(user_crontab.check_redirections(lines + BLOCK, invocation, machine.host())) == []
    machine.env_file.write_text("ORWATCH_DATABASE_URL=sqlite:////srv/mine.db\n", encoding="utf-8")
    text = f"HOME=/srv/other\n{BLOCK}"
    assert list(user_crontab.check_redirections(text, invocation, machine.host())) == []
    machine.env_file.write_text("ORWATCH_CONCURRENCY=0\n", encoding="utf-8")
    assert list(user_crontab.check_redirections(text, invocation, machine.host())) == []


def found(machine: CronMachine, invocation: Invocation | None = None, **user: str | int) -> list[CronWarning]:
    invocation = invocation or Invocation(str(machine.program), str(machine.env_file))
    return list(cron_checks.check_files(invocation, machine.host(**user)))  # type: ignore[arg-type]


def test_files_that_can_be_used_are_nothing_to_tell_of(machine: CronMachine) -> None:
    log_file = str(machine.folder / "log")
    assert found(machine, Invocation(str(machine.program), str(machine.env_file), log_file)) == []


def test_a_program_that_is_gone_is_told(machine: CronMachine) -> None:
    (warning,) = found(machine, Invocation("/nowhere/venv/bin/orwatch", str(machine.env_file)))
    assert (warning.is_fatal, "/nowhere/venv/bin/orwatch is gone" in warning.text) == (True, True)


def test_a_virtual_environment_whose_python_is_gone_is_told(machine: CronMachine) -> None:
    write_program(machine.program, "#!/nowhere/python3 -s\nimport orwatch\n")
    (warning,) = found(machine)
    assert (warning.is_fatal, "/nowhere/python3 is gone" in warning.text) == (True, True)


def test_a_program_or_a_python_that_this_user_may_not_see_is_not_gone(
    machine: CronMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    write_program(machine.program, "#!/hidden/python3\n")
    monkeypatch.setattr(Path, "stat", refuse)
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert cron_checks.program_problem(machine.program) is None
    monkeypatch.setattr(Path, "open", refuse)
    problem = cron_checks.program_problem(machine.program)
    assert problem is not None
    assert "cannot be seen by this user (permission denied)" in problem


def test_a_program_that_may_not_be_run_is_told(machine: CronMachine) -> None:
    machine.program.chmod(0o644)
    (warning,) = found(machine)
    assert (warning.is_fatal, "may not run" in warning.text) == (True, True)


def test_a_program_in_a_cache_is_a_finding(machine: CronMachine) -> None:
    program = write_program(
        machine.folder / ".cache" / "uv" / "archive-v0" / "bin" / "orwatch", "#!/bin/sh\n"
    )
    (warning,) = found(machine, Invocation(str(program), str(machine.env_file)))
    assert not warning.is_fatal
    assert f"{program} is in a cache" in warning.text


def test_a_python_that_may_not_be_run_is_told(machine: CronMachine) -> None:
    python = machine.folder / "python3"
    python.touch(mode=0o644)
    write_program(machine.program, f"#!{python}\nimport orwatch\n")
    (warning,) = found(machine)
    assert (warning.is_fatal, f"may not run {python}, which" in warning.text) == (True, True)
    python.chmod(0o755)
    assert found(machine) == []


def test_an_env_file_that_is_not_there_yet_is_told_but_is_no_failure(machine: CronMachine) -> None:
    (warning,) = found(machine, Invocation(str(machine.program), "/nowhere/at/all/.env"))
    assert (warning.is_fatal, "`orwatch init`" in warning.text) == (False, True)


def test_an_env_file_that_crons_user_cannot_read_is_told(tmp_path: Path) -> None:
    machine = CronMachine(tmp_path / "machine")
    machine.env_file.chmod(0o600)
    stranger = {"uid": os.geteuid() + 4242, "user": "stranger"}
    texts = [warning.text for warning in found(machine, **stranger) if warning.is_fatal]
    assert any("stranger cannot read the env file" in text for text in texts)


@pytest.mark.parametrize(
    ("mode", "uid", "groups", "is_allowed"),
    [
        (0o400, 5, set(), True),
        (0o044, 5, {7}, False),  # the owner is the owner, whatever others may
        (0o040, 6, {7}, True),
        (0o004, 6, {7}, False),
        (0o004, 6, {8}, True),
        (0o440, 6, {8}, False),
    ],
)
def test_owner_group_and_others_are_told_apart(
    mode: int, uid: int, groups: set[int], is_allowed: bool
) -> None:
    status = os.stat_result((mode, 0, 0, 1, 5, 7, 0, 0, 0, 0))
    assert cron_checks._is_allowed(status, uid, groups, cron_checks._READ) is is_allowed


@pytest.mark.parametrize("path", ["/nowhere/log", "/proc/1/log"])
def test_a_log_file_that_cannot_be_written_is_told(machine: CronMachine, path: str) -> None:
    (warning,) = found(machine, Invocation(str(machine.program), str(machine.env_file), path))
    assert (warning.is_fatal, f"cannot write the log file {path}" in warning.text) == (True, True)


def environment(machine: CronMachine, **environ: str) -> list[CronWarning]:
    invocation = Invocation(str(machine.program), str(machine.env_file), "/var/log/x")
    host = machine.host(**environ)
    return list(cron_checks.check_environment(invocation, host, machine.settings(**environ)))


@pytest.mark.parametrize(
    ("name", "value", "is_fatal"),
    [
        ("ORWATCH_CONCURRENCY", "3", False),
        ("ORWATCH_DATABASE_URL", "sqlite:////tmp/other.db", True),
        ("ORWATCH_ENCRYPTION_KEY", "secret", True),
        ("ORWATCH_HEARTBEAT_URL", "https://example.com/secret", False),
    ],
)
def test_a_setting_that_only_this_shell_has_is_told_without_its_value(
    machine: CronMachine, name: str, value: str, is_fatal: bool
) -> None:
    (warning,) = environment(machine, **{name: value})
    assert warning.is_fatal is is_fatal
    assert name in warning.text
    assert value not in warning.text.replace(str(machine.env_file), "")
    with machine.env_file.open("a", encoding="utf-8") as file:
        file.write(f"{name}={value}\n")
    assert environment(machine, **{name: value}) == []


def test_a_setting_that_the_entries_have_or_that_is_empty_is_nothing_to_tell_of(machine: CronMachine) -> None:
    assert environment(machine, ORWATCH_LOG_FILE="/tmp/log", ORWATCH_CONCURRENCY=" ") == []
    assert environment(machine, ORWATCH_ENV_FILE=str(machine.env_file)) == []


def test_a_data_folder_of_this_shell_alone_is_told_for_cron_would_make_another_database(
    machine: CronMachine,
) -> None:
    (warning,) = environment(machine, XDG_DATA_HOME="/srv/data")
    assert warning.is_fatal
    assert "ORWATCH_DATABASE_URL=sqlite:////srv/data/orwatch/orwatch.db" in warning.text


def test_an_env_file_that_is_wrong_without_this_shell_is_told(machine: CronMachine) -> None:
    machine.env_file.write_text("ORWATCH_CONCURRENCY=0\n", encoding="utf-8")
    (warning,) = environment(machine, ORWATCH_CONCURRENCY="3")
    assert (warning.is_fatal, "ORWATCH_CONCURRENCY='0'" in warning.text) == (True, True)


def test_a_file_in_cron_d_that_cron_skips_is_told(tmp_path: Path) -> None:
    path = tmp_path / "orwatch"
    assert list(cron_d.check_cron_d_file(path)) == []
    path.write_text(BLOCK, encoding="utf-8")
    for mode, is_fatal in ((0o755, True), (0o666, True), (0o600, False)):
        path.chmod(mode)
        (warning,) = (each for each in cron_d.check_cron_d_file(path) if "mode" in each.text)
        assert (warning.is_fatal, f"chmod 644 {path}" in warning.text) == (is_fatal, True)
    link = tmp_path / "link"
    link.symlink_to(path)
    (warning,) = cron_d.check_cron_d_file(link)
    assert (warning.is_fatal, "no regular file" in warning.text) == (True, True)


@root_only
def test_a_file_in_cron_d_that_is_not_roots_is_told(tmp_path: Path) -> None:
    path = tmp_path / "orwatch"
    path.write_text(BLOCK, encoding="utf-8")
    path.chmod(0o644)
    assert list(cron_d.check_cron_d_file(path)) == []
    os.chown(path, 12345, -1)
    (warning,) = cron_d.check_cron_d_file(path)
    assert (warning.is_fatal, "chown root" in warning.text) == (True, True)
