"""Reading and writing where the schedule is kept: every failure is told, and leaves nothing half done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orwatch.errors import OrwatchError
from orwatch.jobs.cron.host import delete_file, read_file, write_file
from orwatch.jobs.cron.systemd import Systemd
from orwatch.jobs.cron.user_crontab import UserCrontab
from tests.jobs.cron.machine import CronMachine, write_program


@pytest.fixture
def machine(tmp_path: Path) -> CronMachine:
    return CronMachine(tmp_path / "machine")


def test_no_crontab_command_says_how_to_get_one(
    machine: CronMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(OrwatchError, match=r"no `crontab` command. Install cron .*--systemd"):
        UserCrontab(machine.host()).read()
    assert Systemd(machine.host()).systemctl("x") == "there is no systemctl"


def test_a_command_that_hangs_is_ended(machine: CronMachine) -> None:
    host = replace(machine.host(), timeout_seconds=0.2)
    machine.add_crontab_command("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(OrwatchError, match="did not end within"):
        UserCrontab(host).read()
    write_program(machine.folder / "bin" / "systemctl", "#!/bin/sh\nexec sleep 60\n")
    problem = Systemd(host).systemctl("daemon-reload")
    assert problem is not None
    assert "did not end within" in problem


def test_a_command_that_cannot_be_started_is_told(machine: CronMachine) -> None:
    machine.add_crontab_command("#!/nowhere/sh\n")
    with pytest.raises(OrwatchError, match="cannot run"):
        UserCrontab(machine.host()).read()


def test_a_refusal_without_a_word_is_told_by_its_exit_code(machine: CronMachine) -> None:
    machine.add_crontab_command("#!/bin/sh\nexit 3\n")
    with pytest.raises(OrwatchError, match="crontab exited with 3"):
        UserCrontab(machine.host()).read()


@pytest.mark.parametrize(
    ("action", "verb"),
    [
        (read_file, "read"),
        (lambda path: write_file(path, "text"), "write"),
        (delete_file, "delete"),
    ],
)
def test_a_folder_in_the_place_of_a_file_is_told(
    tmp_path: Path, action: Callable[[Path], object], verb: str
) -> None:
    path = tmp_path / "orwatch"
    path.mkdir()
    with pytest.raises(OrwatchError, match=f"cannot {verb} {path}: "):
        action(path)
    assert [each.name for each in tmp_path.iterdir()] == ["orwatch"]


def test_a_folder_of_units_that_cannot_be_made_is_told(machine: CronMachine) -> None:
    (machine.unit_folder.parents[1] / "systemd").touch()
    with pytest.raises(OrwatchError):
        Systemd(machine.host()).write({"orwatch-sync.timer": "x"})


def test_a_file_that_is_gone_is_empty_and_deleted(tmp_path: Path) -> None:
    assert read_file(tmp_path / "none") == ""
    delete_file(tmp_path / "none")
