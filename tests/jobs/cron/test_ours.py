"""What is another set-up's, or somebody's own, is left alone and not taken over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orwatch.errors import OrwatchError
from orwatch.jobs.cron.install import install, remove
from orwatch.jobs.cron.ours import InstallRequest
from orwatch.jobs.cron.result import CronChange
from orwatch.jobs.cron.show import show
from orwatch.jobs.cron.text import MARK_END
from tests.jobs.cron.machine import CronMachine
from tests.jobs.cron.test_install import CRON_D, SYSTEMD, URL, USER_CRONTAB, block, installed, needs_root
from tests.support import NOW


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
    install(request, machine.host(), replace(machine.settings(), env_file=other))
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
    result = remove(machine.host(), machine.env_file)
    assert (result.locations, result.exit_code) == ((), 1)
    assert removal in result.warnings[0].text
    assert "--replace" not in result.warnings[0].text

    assert state_of_places(machine) == before
    assert remove(machine.host(), other).exit_code == 0
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
    remove(machine.host(), machine.env_file)
    install_other(machine, USER_CRONTAB).unlink()
    assert remove(machine.host(), machine.env_file).exit_code == 0


def test_another_set_ups_entries_are_left_alone_also_where_they_were_changed_by_hand(
    machine: CronMachine,
) -> None:
    other = install_other(machine, USER_CRONTAB)
    text = machine.tab.read_text(encoding="utf-8").replace("*/15", "*/5")
    machine.tab.write_text(text, encoding="utf-8")
    with pytest.raises(OrwatchError, match=f"another set-up, with the env file {other}"):
        installed(machine)
    assert machine.tab.read_text(encoding="utf-8") == text


def test_somebodys_lines_between_our_marks_are_named_and_kept(machine: CronMachine) -> None:
    installed(machine)
    text = machine.tab.read_text(encoding="utf-8").replace(MARK_END, f"5 4 * * * backup\n{MARK_END}")
    machine.tab.write_text(text, encoding="utf-8")
    with pytest.raises(OrwatchError, match=r"has not written: 5 4 \* \* \* backup\. Nothing was changed"):
        installed(machine, InstallRequest(log_file="/tmp/new"))
    assert "5 4 * * * backup" in remove(machine.host(), machine.env_file).warnings[0].text
    assert machine.tab.read_text(encoding="utf-8") == text


def test_a_line_of_ones_own_that_starts_a_job_beside_the_entries_is_told(machine: CronMachine) -> None:
    own = "7 * * * * /opt/orwatch sync"
    machine.tab.write_text(f"{own}\n8 * * * * /opt/orwatch --env-file /other sync\n", encoding="utf-8")
    (machine.folder / "crontab").write_text(
        "9 * * * * you orwatch sync\n9 * * * * me orwatch sync\n", "utf-8"
    )
    result = installed(machine)
    texts = [warning.text for warning in result.warnings]
    assert (len(texts), result.exit_code) == (2, 0)
    assert texts[0].startswith(f"{machine.folder}/crontab has a line of your own")
    assert texts[1].endswith(f"so that jobs are started twice: delete it ({own}).")
    elsewhere = replace(machine.host(), home=machine.folder)  # where such a line reads another one
    again = install(USER_CRONTAB, elsewhere, machine.settings())
    assert not any("of your own" in warning.text for warning in again.warnings)
    shown = show(machine.host(), machine.settings(), NOW)
    assert [warning.text for warning in shown.warnings] == texts
