"""Another set-up's schedule, with an env file of its own, is left alone and not taken over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orwatch.errors import OrwatchError
from orwatch.jobs.cron import InstallRequest, install, remove
from orwatch.results.cron import CronChange
from tests.jobs.cron_machine import CronMachine
from tests.jobs.test_cron import CRON_D, SYSTEMD, URL, USER_CRONTAB, block, installed, needs_root


@pytest.fixture
def machine(tmp_path: Path) -> CronMachine:
    return CronMachine(tmp_path / "machine")


PLACES = [USER_CRONTAB, SYSTEMD, pytest.param(CRON_D, marks=needs_root)]


def state_of_places(machine: CronMachine) -> dict[str, str]:
    """What is in all places that could hold a schedule."""
    files = [machine.tab, machine.cron_d_file, *machine.unit_folder.glob("orwatch-*")]
    return {str(path): path.read_text(encoding="utf-8") for path in files if path.exists()}


def install_other(machine: CronMachine, request: InstallRequest) -> Path:
    """Install the jobs of another set-up, with a heartbeat and a log file; its env file."""
    other = machine.folder / "other one.env"
    other.touch(mode=0o600)
    request = replace(request, heartbeat_url=URL, log_file=str(machine.folder / "log"))
    install(request, machine.surroundings(), replace(machine.settings(), env_file=other))
    return other


@pytest.mark.parametrize("request_of", PLACES)
def test_another_set_ups_entries_are_left_alone(machine: CronMachine, request_of: InstallRequest) -> None:
    machine.add_systemctl()
    other = install_other(machine, request_of)
    before = state_of_places(machine)

    with pytest.raises(OrwatchError) as caught:
        installed(machine, request_of)
    sudo = "sudo " if request_of is CRON_D else ""
    removal = f"`{sudo}orwatch --env-file '{other}' cron remove`"
    assert str(machine.env_file) in str(caught.value)
    assert f"{removal}, or write this one's in their place with" in str(caught.value)
    assert f"`{request_of.place.install_command} --replace`" in str(caught.value)
    result = remove(machine.surroundings(), machine.env_file)
    assert (result.locations, result.exit_code) == ((), 1)
    assert removal in result.warnings[0].text
    assert "--replace" not in result.warnings[0].text

    assert state_of_places(machine) == before
    assert remove(machine.surroundings(), other).exit_code == 0
    assert state_of_places(machine) == {}


@pytest.mark.parametrize("request_of", PLACES)
def test_replacing_another_set_ups_entries_takes_nothing_over(
    machine: CronMachine, request_of: InstallRequest
) -> None:
    machine.add_systemctl()
    other = install_other(machine, request_of)
    result = installed(machine, replace(request_of, replaces=True))
    assert result.change is CronChange.CORRECTED
    texts = "".join(state_of_places(machine).values())
    assert f"--env-file {machine.env_file}" in texts
    for word in (str(other), "ORWATCH_LOG_FILE", "ORWATCH_HEARTBEAT_URL"):
        assert word not in texts


def test_entries_whose_env_file_is_gone_are_corrected_and_removed(machine: CronMachine) -> None:
    install_other(machine, USER_CRONTAB).unlink()
    assert installed(machine).change is CronChange.CORRECTED
    assert machine.tab.read_text(encoding="utf-8") == block(machine, str(machine.folder / "log"), URL)
    remove(machine.surroundings(), machine.env_file)
    install_other(machine, USER_CRONTAB).unlink()
    assert remove(machine.surroundings(), machine.env_file).exit_code == 0
