"""What is installed is found in every place, compared with what would be written, and told with its times."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from orwatch.domain.runs import Job
from orwatch.errors import OrwatchError
from orwatch.jobs.cron import show as cron_show
from orwatch.jobs.cron.host import Host
from orwatch.jobs.cron.install import install
from orwatch.jobs.cron.ours import InstallRequest
from orwatch.jobs.cron.result import HOW_TO_GET_CRON, CronPlace, CronShowResult, ScheduleState
from orwatch.jobs.cron.show import look, show
from orwatch.jobs.cron.summary import summarise
from orwatch.jobs.cron.systemd import Systemd, units
from orwatch.jobs.cron.text import Invocation, entries
from orwatch.jobs.cron.user_crontab import UserCrontab
from tests.jobs.cron.machine import CronMachine

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)  # a Friday


@pytest.fixture
def machine(tmp_path: Path) -> CronMachine:
    machine = CronMachine(tmp_path / "machine")
    machine.add_systemctl()
    (machine.folder / "linger" / "me").touch()
    return machine


def put(machine: CronMachine, place: CronPlace = CronPlace.USER_CRONTAB) -> None:
    install(InstallRequest(place), machine.host(), machine.settings())


def shown(machine: CronMachine) -> CronShowResult:
    return show(machine.host(), machine.settings(), NOW, ZoneInfo("Asia/Kathmandu"))


def text_of(result: CronShowResult) -> str:
    return "\n".join(warning.text for warning in result.all_warnings)


def test_nothing_installed_is_told(machine: CronMachine) -> None:
    result = shown(machine)
    assert (result.state, result.schedules, result.exit_code) == (ScheduleState.NOT_INSTALLED, (), 0)
    (machine.folder / "bin" / "crontab").unlink()
    assert shown(machine).state is ScheduleState.NOT_INSTALLED


def test_without_cron_what_to_install_first_is_told_and_not_an_install_that_fails(
    machine: CronMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert summarise(shown(machine)).advice == "`orwatch cron install` lets cron run the jobs."
    monkeypatch.setattr(Host, "find_command", lambda _host, _name: None)
    found = summarise(shown(machine))
    assert found.message == "not installed, and there is no `crontab` command"
    assert found.advice == HOW_TO_GET_CRON
    with pytest.raises(OrwatchError) as refused:
        UserCrontab(machine.host()).read()
    assert refused.value.advice == HOW_TO_GET_CRON


def test_what_was_installed_is_shown_with_its_next_times(machine: CronMachine) -> None:
    put(machine)
    result = shown(machine)
    assert (result.state, result.all_warnings, result.exit_code) == (ScheduleState.INSTALLED, (), 0)
    (schedule,) = result.schedules
    assert (schedule.place, schedule.location) == (CronPlace.USER_CRONTAB, "the crontab of me")
    assert [entry.job for entry in schedule.entries] == list(Job)
    assert schedule.entries[0].command == (
        f"{machine.program} --env-file {machine.env_file} sync --catch-up --quiet"
    )
    times = {
        entry.job: [f"{time.utc:%d %H:%M}|{time.local:%d %H:%M}" for time in entry.next_times]
        for entry in schedule.entries
    }
    assert times == {
        Job.SYNC: ["20 13:00|20 18:45", "20 14:00|20 19:45", "20 15:00|20 20:45"],
        Job.VALIDATE: ["21 02:00|21 07:45", "22 02:00|22 07:45", "23 02:00|23 07:45"],
        Job.CLEANUP: ["22 03:00|22 08:45", "29 03:00|29 08:45", "06 03:00|06 08:45"],
    }


def test_entries_of_another_version_differ(machine: CronMachine) -> None:
    put(machine)
    text = machine.tab.read_text(encoding="utf-8")
    machine.tab.write_text(text.replace(" --catch-up", ""), encoding="utf-8")
    result = shown(machine)
    assert (result.state, result.exit_code) == (ScheduleState.DIFFERS, 1)


def test_a_variable_above_the_entries_that_redirects_the_jobs_is_told(machine: CronMachine) -> None:
    put(machine)
    text = machine.tab.read_text(encoding="utf-8")
    machine.tab.write_text(f"HOME=/srv/other\n{text}", encoding="utf-8")
    result = shown(machine)
    assert (result.state, result.exit_code) == (ScheduleState.BROKEN, 1)
    assert "the crontab sets HOME above the entries" in text_of(result)


def test_an_address_that_a_file_gives_to_this_shell_is_not_shown(
    machine: CronMachine, tmp_path: Path
) -> None:
    put(machine)
    (tmp_path / "url").write_text("postgresql+psycopg://me:hunter2@db/orwatch")
    environ = {"ORWATCH_DATABASE_URL_FILE": f"{tmp_path}/url"}
    result = show(machine.host(**environ), machine.settings(**environ), NOW, compares_shell=True)
    assert text_of(result).startswith("ORWATCH_DATABASE_URL_FILE is set in this shell, and cron will not")
    assert (result.exit_code, "hunter2" in text_of(result)) == (1, False)


def test_a_shell_that_works_on_another_database_is_told_where_that_is_asked(machine: CronMachine) -> None:
    put(machine)
    environ = {"ORWATCH_DATABASE_URL": "sqlite:////srv/other.db"}
    host, settings = machine.host(**environ), machine.settings(**environ)
    assert show(host, settings, NOW).all_warnings == ()
    result = show(host, settings, NOW, compares_shell=True)
    assert text_of(result).startswith("ORWATCH_DATABASE_URL is set in this shell, and cron will not have it")
    assert result.exit_code == 1
    assert show(machine.host(), machine.settings(), NOW, compares_shell=True).exit_code == 0


def test_an_entry_that_somebody_changed_has_no_times_that_could_be_wrong(machine: CronMachine) -> None:
    put(machine)
    text = machine.tab.read_text(encoding="utf-8")
    machine.tab.write_text(text.replace("020?|021[0-4]", "040?|041[0-4]"), encoding="utf-8")
    (schedule,) = shown(machine).schedules
    assert schedule.state is ScheduleState.DIFFERS
    assert [(entry.job, len(entry.next_times)) for entry in schedule.entries] == [
        (Job.SYNC, 3),
        (None, 0),
        (Job.CLEANUP, 3),
    ]


def test_entries_of_an_old_path_and_a_virtual_environment_that_is_gone_are_told(
    machine: CronMachine,
) -> None:
    machine.tab.write_text(
        entries(Invocation("/old/venv/bin/orwatch", str(machine.env_file))), encoding="utf-8"
    )
    result = shown(machine)
    assert (result.state, result.exit_code) == (ScheduleState.BROKEN, 1)
    assert "the entries run /old/venv/bin/orwatch, and this program is" in text_of(result)
    assert "/old/venv/bin/orwatch is gone" in text_of(result)


def test_entries_that_read_another_env_file_are_told(machine: CronMachine) -> None:
    other = machine.folder / "other.env"
    other.touch()
    machine.tab.write_text(entries(Invocation(str(machine.program), str(other))), encoding="utf-8")
    result = shown(machine)
    (schedule,) = result.schedules
    assert (result.state, result.exit_code) == (ScheduleState.OTHER_SETTINGS, 0)
    assert (schedule.state, schedule.other_env_file) == (ScheduleState.OTHER_SETTINGS, str(other))
    assert text_of(result) == (
        f"the entries read {other}, and this command reads {machine.env_file}; "
        f"`orwatch --env-file {other} cron remove` removes them."
    )
    other.unlink()
    other.symlink_to(machine.env_file)
    assert shown(machine).schedules[0].other_env_file is None


def test_another_set_ups_file_in_cron_d_is_no_trouble_of_this_ones(machine: CronMachine) -> None:
    other = machine.folder / "other.env"
    other.touch()
    machine.cron_d_file.write_text(entries(Invocation("/hidden/orwatch", str(other)), "nobody"), "utf-8")
    put(machine)
    result = shown(machine)
    assert (result.state, result.exit_code, len(result.schedules)) == (ScheduleState.INSTALLED, 0, 2)
    assert not any(warning.is_fatal for warning in result.all_warnings)


def test_entries_whose_env_file_has_moved_cannot_work(machine: CronMachine) -> None:
    old = str(machine.folder / "old" / ".env")
    machine.tab.write_text(entries(Invocation(str(machine.program), old)), encoding="utf-8")
    result = shown(machine)
    assert (result.state, result.exit_code, result.schedules[0].other_env_file) == (
        ScheduleState.BROKEN,
        1,
        None,
    )
    (warning,) = result.all_warnings
    assert warning.is_fatal
    assert warning.text == (
        f"the entries read {old}, which is gone; this command reads {machine.env_file}: "
        "run `orwatch cron install` again."
    )


def test_lines_of_somebodys_own_are_found_in_every_table_that_can_be_read(machine: CronMachine) -> None:
    machine.tab.write_text("# orwatch sync\n5 * * * * cd /; /opt/orwatch -q sync\n", encoding="utf-8")
    (machine.folder / "crontab").write_text("7 * * * * me orwatch --env-file /e cleanup\n", encoding="utf-8")
    (machine.folder / "cron.d" / "mine").write_bytes(b"\xff\n8 * * * * me orwatch validate\n")
    (machine.folder / "cron.d" / "other").write_text("8 * * * * me orwatch status\n", encoding="utf-8")
    (machine.folder / "cron.d" / "folder").mkdir()
    result = shown(machine)
    assert (result.state, result.exit_code) == (ScheduleState.OWN, 0)
    assert result.own_lines == (
        "the crontab of me",
        str(machine.folder / "crontab"),
        str(machine.folder / "cron.d" / "mine"),
    )
    put(machine)
    assert shown(machine).own_lines == ()


def test_what_cannot_be_looked_into_is_told_apart_from_what_is_broken(machine: CronMachine) -> None:
    machine.refuse("not allowed")
    assert "not allowed" in str(shown(machine).unreadable[0])
    assert (shown(machine).state, shown(machine).exit_code) == (ScheduleState.UNKNOWN, 1)
    (machine.folder / "spool" / "refusal").unlink()
    put(machine)
    machine.tab.write_text(machine.tab.read_text(encoding="utf-8") * 2, encoding="utf-8")
    result = shown(machine)
    assert (result.unreadable, result.warnings, len(result.broken)) == ((), (), 1)
    assert (result.state, result.exit_code) == (ScheduleState.UNCLEAR, 1)
    told = str(result.broken[0])
    assert told.startswith("the crontab of me: the jobs are in there more than once: the marks ")
    assert "othing was changed" not in told


def glanced(machine: CronMachine, **environ: str) -> CronShowResult:
    return look(machine.host(**environ), machine.settings(), NOW)


def test_a_look_sees_that_no_cron_runs(machine: CronMachine) -> None:
    put(machine)
    assert glanced(machine).all_warnings == ()
    (machine.folder / "proc" / "7" / "cmdline").write_text("", encoding="utf-8")
    assert "no cron daemon is" in text_of(glanced(machine))


def test_a_look_waits_for_no_command_that_hangs(
    machine: CronMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cron_show, "_GLANCE_SECONDS", 0.2)
    machine.add_crontab_command("#!/bin/sh\necho asked >>{folder}/asked\nexec sleep 60\n")
    result = glanced(machine)
    assert (machine.folder / "spool" / "asked").read_text(encoding="utf-8") == "asked\n"
    assert (result.schedules, result.own_lines) == ((), ())
    assert list(map(str, result.unreadable)) == [
        f"`{machine.folder}/bin/crontab` did not end within 0.2 seconds."
    ]


def test_a_look_never_fails(machine: CronMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bool:
        raise PermissionError(13, "Permission denied", "/etc/cron.d")

    monkeypatch.setattr(Systemd, "read", refuse)
    [error] = glanced(machine).unreadable
    assert str(error) == "the schedule cannot be looked at: [Errno 13] Permission denied: '/etc/cron.d'"


def test_where_there_is_no_cron_and_no_systemd_a_look_finds_nothing(
    machine: CronMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orwatch.jobs.cron.host.shutil.which", lambda *_, **__: None)
    shutil.rmtree(machine.folder / "cron.d")
    shutil.rmtree(machine.folder / "proc")
    assert glanced(machine) == CronShowResult(NOW, (), has_crontab=False)


def test_a_crontab_that_cannot_be_read_or_is_broken_is_told(machine: CronMachine) -> None:
    put(machine)
    machine.tab.write_text(machine.tab.read_text(encoding="utf-8") * 2, encoding="utf-8")
    assert "not as one pair" in text_of(shown(machine))
    machine.refuse("not allowed")
    result = shown(machine)
    assert "not allowed" in text_of(result)
    assert result.exit_code == 1


def test_no_running_cron_is_told(machine: CronMachine) -> None:
    put(machine)
    (machine.folder / "proc" / "7" / "cmdline").write_text("", encoding="utf-8")
    result = shown(machine)
    assert (result.state, result.exit_code) == (ScheduleState.BROKEN, 1)
    assert "no cron daemon is" in text_of(result)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may own what cron reads")
def test_the_file_in_cron_d_is_shown_also_to_others_than_its_user(machine: CronMachine) -> None:
    put(machine, CronPlace.ETC_CRON_D)
    (schedule,) = shown(machine).schedules
    assert (schedule.place, schedule.location) == (CronPlace.ETC_CRON_D, str(machine.cron_d_file))
    assert (schedule.state, schedule.warnings) == (ScheduleState.INSTALLED, ())
    machine.cron_d_file.chmod(0o755)
    assert shown(machine).exit_code == 1


def test_the_units_are_shown_and_whether_they_are_enabled(machine: CronMachine) -> None:
    put(machine, CronPlace.SYSTEMD)
    result = shown(machine)
    assert (result.state, result.exit_code) == (ScheduleState.BROKEN, 1)
    assert "not enabled" in text_of(result)
    wants = machine.unit_folder / "timers.target.wants"
    wants.mkdir()
    for job in Job:
        name = f"orwatch-{job.value}.timer"
        (wants / name).symlink_to(machine.unit_folder / name)
    result = shown(machine)
    assert (result.state, result.all_warnings, result.exit_code) == (ScheduleState.INSTALLED, (), 0)
    (schedule,) = result.schedules
    assert [entry.job for entry in schedule.entries] == list(Job)


@pytest.mark.parametrize("name", ["orwatch-sync.timer", "orwatch-sync.service"])
def test_a_unit_that_is_missing_or_changed_differs(machine: CronMachine, name: str) -> None:
    put(machine, CronPlace.SYSTEMD)
    path = machine.unit_folder / name
    with path.open("a", encoding="utf-8") as file:
        file.write("# mine\n")
    assert shown(machine).schedules[0].state is ScheduleState.DIFFERS
    path.unlink()
    assert shown(machine).schedules[0].state is ScheduleState.DIFFERS


def test_units_that_could_not_be_written_again_differ(machine: CronMachine) -> None:
    machine.unit_folder.mkdir(parents=True)
    for name, text in units(Invocation("/old/orwatch", "/env")).items():
        (machine.unit_folder / name).write_text(text, encoding="utf-8")
    host = machine.host()
    odd = CronMachine(machine.folder / "it's")
    result = show(odd.host(XDG_CONFIG_HOME=str(host.unit_folder.parents[1])), odd.settings(), NOW)
    assert result.schedules[0].state is ScheduleState.DIFFERS
    assert "systemd starts no program" in text_of(result)


def test_what_is_in_two_places_is_told(machine: CronMachine) -> None:
    put(machine)
    put(machine, CronPlace.SYSTEMD)
    result = shown(machine)
    assert len(result.schedules) == 2
    assert "more than one place" in text_of(result)


def test_the_same_jobs_with_other_settings_in_another_place_are_other_jobs(machine: CronMachine) -> None:
    put(machine, CronPlace.SYSTEMD)
    other = machine.folder / "other.env"
    other.touch()
    machine.tab.write_text(entries(Invocation(str(machine.program), str(other))), encoding="utf-8")
    assert len(shown(machine).schedules) == 2
    assert "more than one place" not in text_of(shown(machine))
    again = install(InstallRequest(CronPlace.SYSTEMD), machine.host(), machine.settings())
    assert "started twice" not in " ".join(warning.text for warning in again.warnings)
