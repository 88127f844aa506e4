"""Installing the schedule and taking it out: nothing else changes, and again changes nothing."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from orwatch.config.settings import load_settings
from orwatch.errors import OrwatchError
from orwatch.jobs.cron.install import install, remove
from orwatch.jobs.cron.ours import InstallRequest
from orwatch.jobs.cron.result import CronChange, CronInstallResult, CronPlace
from orwatch.jobs.cron.systemd import units
from orwatch.jobs.cron.text import MARK_BEGIN, Invocation, entries
from orwatch.render.cron import remove_sentence
from tests.jobs.cron.machine import CronMachine

OTHERS = "# mine\n5 4 * * * backup\n"
URL = "https://hc-ping.com/key/orwatch-{job}"
USER_CRONTAB = InstallRequest()
CRON_D = InstallRequest(CronPlace.ETC_CRON_D)
SYSTEMD = InstallRequest(CronPlace.SYSTEMD)
DRY = InstallRequest(is_dry_run=True)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may own what cron reads")


@pytest.fixture
def machine(tmp_path: Path) -> CronMachine:
    return CronMachine(tmp_path / "machine")


def installed(
    machine: CronMachine, request: InstallRequest = USER_CRONTAB, **environ: str
) -> CronInstallResult:
    return install(request, machine.host(**environ), machine.settings(**environ))


def block(machine: CronMachine, log_file: str | None = None, heartbeat_url: str | None = None) -> str:
    return entries(Invocation(str(machine.program), str(machine.env_file), log_file, heartbeat_url))


@pytest.mark.parametrize("before", [None, "", OTHERS, "5 4 * * * no line end"])
def test_the_entries_come_after_what_is_there(machine: CronMachine, before: str | None) -> None:
    if before is not None:
        machine.tab.write_bytes(os.fsencode(before))
    result = installed(machine)
    assert (result.change, result.warnings, result.exit_code) == (CronChange.INSTALLED, (), 0)
    line_end = "\n" if before and not before.endswith("\n") else ""
    assert machine.tab.read_bytes() == os.fsencode((before or "") + line_end + block(machine))


def test_bytes_that_are_no_text_stay_as_they_are(machine: CronMachine) -> None:
    before = b"# caf\xe9 \xff\xfe\r\n"
    machine.tab.write_bytes(before)
    installed(machine)
    assert machine.tab.read_bytes() == before + block(machine).encode()
    remove(machine.host(), machine.env_file)
    assert machine.tab.read_bytes() == before


def test_again_it_writes_nothing(machine: CronMachine) -> None:
    installed(machine)
    result = installed(machine)
    assert (result.change, machine.times_written) == (CronChange.UNCHANGED, 1)


def test_after_a_move_the_entries_are_corrected_and_keep_what_was_set(machine: CronMachine) -> None:
    machine.tab.write_text(OTHERS, encoding="utf-8")
    log_file = str(machine.folder / "log")
    installed(machine, InstallRequest(log_file=log_file, heartbeat_url=URL))
    moved = machine.program.rename(machine.folder / "home" / "orwatch")
    host = replace(machine.host(), program=moved)

    result = install(InstallRequest(), host, machine.settings())

    assert result.change is CronChange.CORRECTED
    expected = entries(Invocation(str(moved), str(machine.env_file), log_file, URL))
    assert machine.tab.read_text(encoding="utf-8") == OTHERS + expected


def test_what_is_set_anew_replaces_what_was_set(machine: CronMachine) -> None:
    installed(machine, InstallRequest(log_file="/tmp/old", heartbeat_url=URL))
    installed(machine, InstallRequest(log_file="/tmp/new"))
    assert machine.tab.read_text(encoding="utf-8") == block(machine, "/tmp/new", URL)


def test_a_variable_above_the_entries_that_redirects_the_jobs_is_told_by_install(
    machine: CronMachine,
) -> None:
    machine.tab.write_text("XDG_DATA_HOME=/srv/other\n", encoding="utf-8")
    assert installed(machine).exit_code == 1


def test_a_link_to_this_program_stays_spelt_as_it_is(machine: CronMachine) -> None:
    link = machine.folder / "home" / "orwatch"
    link.symlink_to(machine.program)
    install(InstallRequest(), replace(machine.host(), program=link), machine.settings())
    assert installed(machine).change is CronChange.UNCHANGED


def test_a_dry_run_changes_nothing_and_tells_what_would_be_written(machine: CronMachine) -> None:
    machine.tab.write_text(OTHERS, encoding="utf-8")
    result = installed(machine, DRY)
    assert (result.text, result.is_dry_run) == (block(machine), True)
    assert (machine.tab.read_text(encoding="utf-8"), machine.times_written) == (OTHERS, 0)


def test_a_dry_run_needs_no_crontab_command_and_says_that_there_is_none(machine: CronMachine) -> None:
    machine.refuse("You (me) are not allowed to use this program (crontab)")
    result = installed(machine, DRY)
    assert result.text == block(machine)
    assert "not allowed to use this program" in result.warnings[0].text
    assert result.exit_code == 1


@pytest.mark.parametrize("text", [MARK_BEGIN, f"{MARK_BEGIN}\n{MARK_BEGIN}\n"])
def test_broken_marks_change_nothing(machine: CronMachine, text: str) -> None:
    machine.tab.write_text(text, encoding="utf-8")
    for request in (InstallRequest(), DRY):
        with pytest.raises(OrwatchError, match="Nothing was changed"):
            installed(machine, request)
    assert remove(machine.host(), machine.env_file).exit_code == 1
    assert (machine.tab.read_text(encoding="utf-8"), machine.times_written) == (text, 0)


@pytest.mark.parametrize("request_of", [USER_CRONTAB, SYSTEMD, pytest.param(CRON_D, marks=needs_root)])
def test_a_log_file_that_cannot_be_written_changes_nothing(
    machine: CronMachine, request_of: InstallRequest
) -> None:
    machine.add_systemctl()
    for is_dry_run in (True, False):
        request = replace(request_of, log_file="/nonex/dir/x.log", is_dry_run=is_dry_run)
        with pytest.raises(OrwatchError, match=r"cannot write the log file .* Nothing was changed"):
            installed(machine, request)
    assert not any(path.exists() for path in (machine.tab, machine.cron_d_file, machine.unit_folder))


@pytest.mark.parametrize(
    "message",
    ["You (me) are not allowed to use this program (crontab)", "crontab: must be suid to work properly"],
)
def test_a_crontab_that_refuses_is_told_with_its_words_and_a_way_out(
    machine: CronMachine, message: str
) -> None:
    machine.refuse(message)
    with pytest.raises(OrwatchError) as caught:
        installed(machine)
    assert message in str(caught.value)
    assert "cron.allow" in str(caught.value)
    assert "--systemd" in str(caught.value)


def test_busyboxs_word_for_no_crontab_is_understood(machine: CronMachine) -> None:
    machine.add_crontab_command(
        "#!/bin/sh\n"
        "if [ $1 = - ]; then cat >{folder}/tab; exit; fi\n"
        "cat {folder}/tab || { echo \"crontab: can't open 'me': No such file or directory\" >&2; exit 1; }\n"
    )
    assert installed(machine).change is CronChange.INSTALLED
    assert machine.tab.read_text(encoding="utf-8") == block(machine)


def test_a_crontab_that_cannot_be_written_is_told(machine: CronMachine) -> None:
    machine.add_crontab_command(
        "#!/bin/sh\n[ $1 = -l ] && exit 0\necho 'installing failed: disk full' >&2\nexit 1\n"
    )
    with pytest.raises(OrwatchError, match="cannot be changed: installing failed: disk full"):
        installed(machine)


def test_a_crontab_that_takes_nothing_and_says_nothing_is_found_out(machine: CronMachine) -> None:
    machine.add_crontab_command("#!/bin/sh\ncat >/dev/null\n")
    with pytest.raises(OrwatchError, match="reads back as something else"):
        installed(machine)


def test_no_line_end_in_the_middle_of_a_message(machine: CronMachine) -> None:
    machine.refuse("first\nsecond\n")
    with pytest.raises(OrwatchError, match="first second") as caught:
        installed(machine)
    assert "\n" not in str(caught.value)


def test_a_path_that_no_crontab_holds_changes_nothing(machine: CronMachine) -> None:
    settings = replace(machine.settings(), env_file=Path("/a\nb"))
    with pytest.raises(OrwatchError, match="line end"):
        install(InstallRequest(), machine.host(), settings)
    assert machine.times_written == 0


def test_a_crontab_that_held_nothing_else_is_removed(machine: CronMachine) -> None:
    installed(machine)
    assert remove(machine.host(), machine.env_file).locations == ("the crontab of me",)
    assert not machine.tab.exists()
    assert remove(machine.host(), machine.env_file).locations == ()


@needs_root
def test_the_file_in_cron_d_is_as_cron_wants_it(machine: CronMachine) -> None:
    result = installed(machine, CRON_D)
    assert (result.change, result.warnings) == (CronChange.INSTALLED, ())
    path = machine.cron_d_file
    assert "." not in path.name
    assert stat.filemode(path.stat().st_mode) == "-rw-r--r--"
    assert path.stat().st_uid == 0
    invocation = Invocation(str(machine.program), str(machine.env_file))
    assert path.read_text(encoding="utf-8") == entries(invocation, "me")
    assert [each.name for each in path.parent.iterdir()] == ["orwatch"]
    assert installed(machine, CRON_D).change is CronChange.UNCHANGED


@needs_root
def test_the_user_column_is_who_called_sudo(machine: CronMachine) -> None:
    user = pwd.getpwnam("nobody")
    result = installed(machine, CRON_D, SUDO_USER="nobody")
    assert " * nobody case " in machine.cron_d_file.read_text(encoding="utf-8")
    assert any("nobody" in warning.text for warning in result.warnings) or user.pw_uid == 0
    with pytest.raises(OrwatchError, match="no user of this machine"):
        installed(machine, CRON_D, SUDO_USER="no-such-user")


@needs_root
def test_with_sudo_only_what_is_set_is_compared_and_not_what_follows_from_roots_home(
    machine: CronMachine,
) -> None:
    machine.env_file.chmod(0o644)
    settings = load_settings({"HOME": "/root"}, str(machine.env_file))
    result = install(CRON_D, machine.host(SUDO_USER="nobody", HOME="/root"), settings)
    assert "ORWATCH_DATABASE_URL" not in " ".join(warning.text for warning in result.warnings)
    url = "sqlite:////srv/explicit.db"
    settings = load_settings({"HOME": "/root", "ORWATCH_DATABASE_URL": url}, str(machine.env_file))
    host = machine.host(SUDO_USER="nobody", HOME="/root", ORWATCH_DATABASE_URL=url)
    texts = [warning.text for warning in install(CRON_D, host, settings).warnings]
    assert any(text.startswith("ORWATCH_DATABASE_URL is set in this shell") for text in texts)


@needs_root
def test_a_wrong_mode_in_cron_d_is_corrected(machine: CronMachine) -> None:
    installed(machine, CRON_D)
    machine.cron_d_file.chmod(0o666)
    assert installed(machine, CRON_D).change is CronChange.CORRECTED
    assert installed(machine, CRON_D).change is CronChange.UNCHANGED
    assert stat.S_IMODE(machine.cron_d_file.stat().st_mode) == 0o644


@needs_root
def test_everybody_can_read_a_heartbeats_address_in_cron_d(machine: CronMachine) -> None:
    result = installed(machine, replace(CRON_D, heartbeat_url=URL))
    assert any("heartbeat's address" in warning.text for warning in result.warnings)
    assert result.exit_code == 0


def test_only_root_may_write_cron_d_and_others_may_look_at_what_it_would_be(machine: CronMachine) -> None:
    host = machine.host(uid=1000)
    with pytest.raises(OrwatchError, match="only root may write"):
        install(CRON_D, host, machine.settings())
    result = install(replace(CRON_D, is_dry_run=True), host, machine.settings())
    assert " * me case " in result.text
    assert not machine.cron_d_file.exists()


def test_without_a_cron_d_it_says_so(machine: CronMachine) -> None:
    machine.cron_d_file.parent.rmdir()
    with pytest.raises(OrwatchError, match="does not read one"):
        installed(machine, CRON_D)


@needs_root
def test_a_file_in_cron_d_that_somebody_else_wrote_is_left_alone(machine: CronMachine) -> None:
    machine.cron_d_file.write_text(OTHERS, encoding="utf-8")
    with pytest.raises(OrwatchError, match="was not written by orwatch"):
        installed(machine, CRON_D)
    assert remove(machine.host(), machine.env_file).locations == ()
    assert machine.cron_d_file.read_text(encoding="utf-8") == OTHERS


@needs_root
def test_removing_takes_our_lines_out_of_cron_d_and_the_file_when_nothing_else_is_in_it(
    machine: CronMachine,
) -> None:
    installed(machine, CRON_D)
    assert remove(machine.host(), machine.env_file).locations == (str(machine.cron_d_file),)
    assert not machine.cron_d_file.exists()
    installed(machine, CRON_D)
    with machine.cron_d_file.open("a", encoding="utf-8") as file:
        file.write(OTHERS)
    remove(machine.host(), machine.env_file)
    assert machine.cron_d_file.read_text(encoding="utf-8") == OTHERS


@needs_root
@pytest.mark.parametrize("place", [USER_CRONTAB, CRON_D, SYSTEMD])
def test_a_dry_run_removes_nothing_and_says_what_it_would(
    machine: CronMachine, place: InstallRequest
) -> None:
    machine.add_systemctl()
    installed(machine, place)
    before = {path: path.read_bytes() for path in machine.folder.rglob("*") if path.is_file()}

    result = remove(machine.host(), machine.env_file, is_dry_run=True)

    assert {path: path.read_bytes() for path in before} == before
    assert remove_sentence(result) == f"Would remove the three jobs from {result.locations[0]}."
    assert remove(machine.host(), machine.env_file).locations == result.locations


def test_what_only_root_may_remove_is_told(machine: CronMachine) -> None:
    machine.cron_d_file.write_text(block(machine), encoding="utf-8")
    result = remove(machine.host(uid=1000), machine.env_file)
    assert (result.locations, result.exit_code) == ((), 1)
    # With its env file: root's own is another one.
    assert f"`sudo orwatch --env-file {machine.env_file} cron remove`" in result.warnings[0].text


def test_the_units_are_written_for_their_owner_alone_and_started(machine: CronMachine) -> None:
    machine.add_systemctl()
    (machine.folder / "linger" / "me").touch()
    umask = os.umask(0)
    try:
        result = installed(machine, SYSTEMD)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(machine.unit_folder.stat().st_mode) == 0o700
    assert (result.change, result.warnings) == (CronChange.INSTALLED, ())
    expected = units(Invocation(str(machine.program), str(machine.env_file)))
    assert {path.name: path.read_text(encoding="utf-8") for path in machine.unit_folder.iterdir()} == expected
    assert {stat.S_IMODE(path.stat().st_mode) for path in machine.unit_folder.iterdir()} == {0o600}
    timers = "orwatch-sync.timer orwatch-validate.timer orwatch-cleanup.timer"
    assert machine.told == ["--user daemon-reload", f"--user enable --now {timers}"]
    assert installed(machine, SYSTEMD).change is CronChange.UNCHANGED
    assert installed(machine, replace(SYSTEMD, log_file="/tmp/log")).change is CronChange.CORRECTED


def test_where_no_systemd_answers_it_says_what_to_run(machine: CronMachine) -> None:
    machine.add_systemctl(works=False)
    result = installed(machine, SYSTEMD)
    assert result.exit_code == 1
    fatal = [warning.text for warning in result.warnings if warning.is_fatal]
    assert len(fatal) == 1
    assert "Failed to connect to bus" in fatal[0]
    assert "systemctl --user enable --now orwatch-sync.timer" in fatal[0]
    assert any("enable-linger" in warning.text for warning in result.warnings)


def test_a_dry_run_of_the_units_writes_and_starts_nothing(machine: CronMachine) -> None:
    machine.add_systemctl()
    result = installed(machine, replace(SYSTEMD, is_dry_run=True))
    assert f"# {machine.unit_folder}/orwatch-sync.service\n" in result.text
    assert (machine.told, machine.unit_folder.exists()) == ([], False)


def test_a_unit_of_that_name_that_somebody_else_wrote_is_left_alone(machine: CronMachine) -> None:
    machine.unit_folder.mkdir(parents=True)
    theirs = machine.unit_folder / "orwatch-sync.timer"
    theirs.write_text("[Timer]\n", encoding="utf-8")
    with pytest.raises(OrwatchError, match="not written by orwatch"):
        installed(machine, SYSTEMD)
    assert remove(machine.host(), machine.env_file).locations == ()
    assert [path.name for path in machine.unit_folder.iterdir()] == ["orwatch-sync.timer"]


@pytest.mark.parametrize("works", [True, False])
def test_removing_deletes_the_units_and_their_links_also_without_a_systemd(
    machine: CronMachine, works: bool
) -> None:
    machine.add_systemctl(works=works)
    installed(machine, SYSTEMD)
    wants = machine.unit_folder / "timers.target.wants"
    wants.mkdir()
    (wants / "orwatch-sync.timer").symlink_to(machine.unit_folder / "orwatch-sync.timer")
    theirs = machine.unit_folder / "other.timer"
    theirs.touch()

    result = remove(machine.host(), machine.env_file)

    assert (result.locations, result.exit_code) == ((str(machine.unit_folder),), 0)
    assert bool(result.warnings) is not works
    assert [path for path in machine.unit_folder.rglob("*") if path not in {theirs, wants}] == []


def test_the_jobs_in_two_places_are_told(machine: CronMachine) -> None:
    machine.add_systemctl()
    installed(machine)
    result = installed(machine, SYSTEMD)
    assert any("the crontab of me has the jobs too" in warning.text for warning in result.warnings)
    assert len(remove(machine.host(), machine.env_file).locations) == 2
