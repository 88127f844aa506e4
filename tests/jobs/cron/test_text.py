"""The text of crontabs and units: right for every cron, found again, and read back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from orwatch.domain.runs import Job
from orwatch.errors import OrwatchError, UsageError
from orwatch.jobs.cron.systemd import read_service, units
from orwatch.jobs.cron.text import (
    MARK_BEGIN,
    MARK_END,
    MAX_LINE_BYTES,
    Block,
    Invocation,
    calls_of_orwatch,
    entries,
    env_file_named_in,
    find_block,
    foreign_lines,
    quoted,
    read_entries,
    unit_name,
    variables_above,
    with_block,
    without_block,
)

PLAIN = Invocation("/home/you/.local/bin/orwatch", "/home/you/.config/orwatch/.env")
# What people have in their paths, as hard as it may be.
ODD = '/home/J. O\'Neil & co/100% #1 $HOME `x` "q" ~é;(a)*?[b]{c}!<>|'
OTHERS = "MAILTO=me\n# mine\n\n 5 4 * * *\tbackup  \n"
BLOCK = entries(PLAIN)


def test_the_entries_are_in_the_form_that_was_measured_with_real_crons() -> None:
    call = "/home/you/.local/bin/orwatch --env-file /home/you/.config/orwatch/.env"
    assert [line for line in BLOCK.splitlines() if not line.startswith("#")] == [
        f'*/15 * * * * case "$(date -u +\\%M)" in 0?|1[0-4]) {call} sync --catch-up --quiet;; esac',
        f'*/15 * * * * case "$(date -u +\\%H\\%M)" in 020?|021[0-4]) {call} validate --quiet;; esac',
        f'*/15 * * * * case "$(date -u +\\%u\\%H\\%M)" in 7030?|7031[0-4]) {call} cleanup --quiet;; esac',
    ]


def test_the_entries_stand_between_the_marks_and_end_with_a_line_end() -> None:
    assert BLOCK.startswith(f"{MARK_BEGIN}\n")
    assert BLOCK.endswith(f"\n{MARK_END}\n")
    assert BLOCK.isascii()
    assert "\r" not in BLOCK


def test_a_file_for_cron_d_has_the_user_column_and_its_own_variables() -> None:
    lines = entries(PLAIN, "alice").splitlines()
    assert "SHELL=/bin/sh" in lines
    assert [line for line in lines if line.startswith("PATH=/")]
    jobs = [line for line in lines if line.startswith("*/15")]
    assert len(jobs) == 3
    assert all(line.startswith('*/15 * * * * alice case "$(date') for line in jobs)


def test_a_users_crontab_gets_no_variable_for_it_would_reach_other_entries() -> None:
    lines = [line for line in BLOCK.splitlines() if not line.startswith("#")]
    assert all(line.startswith("*/15 ") for line in lines)


def test_every_line_is_far_below_what_debians_cron_takes() -> None:
    assert all(len(line) < 250 for line in BLOCK.splitlines())
    with pytest.raises(UsageError, match="longer than 900"):
        entries(Invocation("/" + "x" * MAX_LINE_BYTES, "/env"))


def as_cron_runs_it(command: str, *, removes_backslash: bool) -> str:
    """What a cron hands to the shell: some take the backslash before a percent sign away, some leave it."""
    assert "\n" not in command
    assert "%" not in command.replace("\\%", "")
    return command.replace("\\%", "%") if removes_backslash else command


@pytest.mark.parametrize("removes_backslash", [True, False])
@pytest.mark.parametrize("text", ["plain", "/a b", "50%", "it's", "'", "%'%", "", "%", ODD])
def test_the_shell_of_every_cron_reads_a_quoted_word_as_it_was(text: str, removes_backslash: bool) -> None:
    command = as_cron_runs_it(
        f"printf %s {quoted(text)}".replace("%s", "\\%s"), removes_backslash=removes_backslash
    )
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=True, timeout=30)
    assert done.stdout.decode() == text


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\tb", "a\0b", "a\\b", "a\x7f"])
def test_what_no_crontab_can_hold_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="use a path without"):
        quoted(text)
    with pytest.raises(UsageError):
        entries(Invocation("/bin/orwatch", text))


@pytest.mark.parametrize("removes_backslash", [True, False])
def test_a_whole_entry_with_odd_paths_starts_the_program_with_its_arguments_and_variables(
    tmp_path: Path, removes_backslash: bool
) -> None:
    folder = tmp_path / "J. O'Neil's 100% $HOME"
    folder.mkdir()
    program = folder / "orwatch"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$ORWATCH_LOG_FILE" "$ORWATCH_HEARTBEAT_URL" "$@"\n')
    program.chmod(0o755)
    url = "https://example.com/p%20/{job}?a=1&b='"
    block = entries(Invocation(str(program), f"{folder}/.env", f"{folder}/log", url))
    line = next(line for line in block.splitlines() if "--catch-up" in line)
    command = as_cron_runs_it(line.split(maxsplit=5)[5], removes_backslash=removes_backslash)
    asked = "$(date -u +%M)" if removes_backslash else "$(date -u +\\%M)"

    done = subprocess.run(
        ["/bin/sh", "-c", command.replace(asked, "07")],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    assert done.stdout.splitlines() == [
        f"{folder}/log",
        url,
        "--env-file",
        f"{folder}/.env",
        "sync",
        "--catch-up",
        "--quiet",
    ]


@pytest.mark.parametrize("before", ["", OTHERS, "*/5 * * * * x\r\n# >>> conda >>>\n"])
def test_installing_and_removing_leaves_every_other_byte_as_it_was(before: str) -> None:
    installed = with_block(before, BLOCK)
    assert installed == before + BLOCK
    assert with_block(installed, BLOCK) == installed
    assert without_block(installed) == before


def test_a_crontab_without_a_line_end_gets_one_so_that_no_cron_ignores_it() -> None:
    assert with_block("5 4 * * * x", BLOCK) == f"5 4 * * * x\n{BLOCK}"
    assert with_block(f"{BLOCK}5 4 * * * x", BLOCK) == f"{BLOCK}5 4 * * * x\n"
    assert with_block(BLOCK.rstrip("\n"), BLOCK) == BLOCK


def test_a_block_is_corrected_in_its_place() -> None:
    old = f"{OTHERS}{MARK_BEGIN}\r\n0 2 * * * orwatch sync\r\n{MARK_END}\r\n{OTHERS}"
    assert with_block(old, BLOCK) == f"{OTHERS}{BLOCK}{OTHERS}"
    assert without_block(old) == OTHERS * 2


def test_a_block_is_found_with_its_place() -> None:
    text = f"a\n{MARK_BEGIN}\nb\n{MARK_END}\nc\n"
    found = find_block(text)
    assert found == Block(2, len(text) - 2, f"{MARK_BEGIN}\nb\n{MARK_END}\n")
    assert find_block(OTHERS) is None


@pytest.mark.parametrize(
    "text",
    [
        BLOCK + BLOCK,
        MARK_BEGIN,
        f"{MARK_END}\n",
        f"{MARK_END}\n{MARK_BEGIN}\n",
        f"{MARK_BEGIN}\n{BLOCK}",
        f"{BLOCK}{MARK_END}\n",
    ],
)
def test_marks_that_are_doubled_or_no_pair_are_refused(text: str) -> None:
    for function in (find_block, without_block, lambda text: with_block(text, BLOCK)):
        with pytest.raises(OrwatchError, match="not as one pair"):
            function(text)


FULL = Invocation(
    "/opt/o w/orwatch", "/etc/100%/it's", "/var/log/o%.log", "https://hc-ping.com/k/orwatch-{job}"
)


@pytest.mark.parametrize("invocation", [PLAIN, FULL, Invocation("/o", ODD)])
@pytest.mark.parametrize("user", [None, "alice"])
def test_what_was_written_is_read_back(invocation: Invocation, user: str | None) -> None:
    read = read_entries(entries(invocation, user))
    assert [entry.job for entry in read] == list(Job)
    assert all(entry.invocation == invocation for entry in read)
    assert {entry.user for entry in read} == {user}


@pytest.mark.parametrize(
    "line",
    [
        "0 2 * * * /bin/orwatch validate",
        '*/15 * * * * case "$(date -u +\\%M)" in 1?) /bin/orwatch --env-file /e sync --quiet;; esac',
        '*/15 * * * * case "$(date -u +\\%M)" in 0?|1[0-4]) /bin/orwatch --env-file /e validate;; esac',
        '*/15 * * * * case "$(date -u +\\%M)" in 0?|1[0-4]) /bin/or\'watch;; esac',
        '*/15 * * * * case "$(date -u +\\%M)" in 0?|1[0-4]) ;; esac',
    ],
)
def test_a_line_that_is_none_of_ours_is_told_as_such(line: str) -> None:
    (entry,) = read_entries(f"# comment\n\nPATH=/bin\n{line}\n")
    assert (entry.job, entry.invocation) == (None, None)
    assert entry.command in line


@pytest.mark.parametrize(
    "line",
    [
        "5 * * * * orwatch sync",
        "5 * * * * /opt/orwatch.pyz sync",
        "5 * * * * '/opt/my tools/orwatch.pex' --env-file /etc/e validate",
        "5 * * * * cd /; X=1 nice /opt/bin/orwatch -q --env-file /e sync >/dev/null",
        "@hourly me '/opt/my tools/orwatch' --env-file=/e sync --catch-up",
        "5 * * * * orwatch --env-file '/an e' sync",
        "5 * * * * python3 -m orwatch cleanup",
    ],
)
def test_a_line_that_starts_a_job_is_recognised(line: str) -> None:
    assert calls_of_orwatch(f"# orwatch sync\n{line}\n") == (line,)


@pytest.mark.parametrize(
    "line",
    [
        "# 5 * * * * orwatch sync",
        "5 * * * * rsync -a /home/me/orwatch /backup",
        "5 * * * * rsync -a /home/me/orwatch /backup/sync",
        "5 * * * * /srv/orwatch/run sync",
        "5 * * * * my-orwatch sync",
        "5 * * * * orwatch.sh sync",
        "5 * * * * orwatch status",
        "5 * * * * orwatch sync-notes",
    ],
)
def test_a_line_that_starts_none_of_the_jobs_is_none(line: str) -> None:
    assert calls_of_orwatch(line) == ()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("orwatch --env-file '/an e' sync", "/an e"),
        ("orwatch --env-file=/e\\ sync", "/e"),
        ("orwatch --env-file=/e sync", "/e"),
        ("orwatch sync", None),
    ],
)
def test_the_env_file_of_somebodys_own_line_is_read(line: str, named: str | None) -> None:
    assert env_file_named_in(line) == named


@pytest.mark.parametrize("line", ["5 4 * * * backup", "MAILTO=me", "#5 4 * * * backup", "# @daily x"])
def test_a_line_that_somebody_wrote_between_our_marks_is_found(line: str) -> None:
    found = find_block(BLOCK.replace(MARK_END, f"{line}\n{MARK_END}"))
    assert found is not None
    assert foreign_lines(found) == (line,)


def test_our_own_lines_are_ours_also_when_somebody_changed_them() -> None:
    text = (
        entries(Invocation("/bin/orwatch", "/env"), "me")
        .replace("*/15", "*/5")
        .replace("# Every", "\n# At any")
    )
    found = find_block(text.replace("*/5 * * * * me case", "#*/5 * * * * me case", 1))
    assert found is not None
    assert foreign_lines(found) == ()


def test_the_variables_above_the_entries_are_those_that_reach_them() -> None:
    text = f"SHELL=/bin/zsh\n PATH = \"/a:/b\" \n'SHELL'='/bin/fish'\n# X=1\n{BLOCK}PATH=/c\n"
    assert variables_above(text) == {"SHELL": "/bin/fish", "PATH": "/a:/b"}
    assert variables_above("A=1\n") == {"A": "1"}


@pytest.mark.parametrize("invocation", [PLAIN, FULL, Invocation("/o w/100%", ODD + "\\")])
def test_units_are_read_back(invocation: Invocation) -> None:
    files = units(invocation if "'" not in invocation.program else Invocation("/o", invocation.env_file))
    for job in Job:
        entry = read_service(job, files[unit_name(job, "service")])
        assert (entry.job, entry.invocation) == (job, invocation)


def test_the_timers_fire_in_utc_make_up_for_what_they_missed_and_do_not_all_fire_at_once() -> None:
    files = units(PLAIN)
    assert len(files) == 6
    calendars = [files[unit_name(job, "timer")] for job in (Job.SYNC, Job.VALIDATE, Job.CLEANUP)]
    for text, when in zip(
        calendars, ["*-*-* *:00:00 UTC", "*-*-* 02:00:00 UTC", "Sun *-*-* 03:00:00 UTC"], strict=True
    ):
        assert f"\nOnCalendar={when}\nPersistent=true\nRandomizedDelaySec=" in text


@pytest.mark.parametrize(
    "program", ["/a$b/orwatch", "/it's/orwatch", '/a"b/orwatch', "/a\\b/orwatch", "/a\nb"]
)
def test_a_program_that_systemd_cannot_start_is_refused(program: str) -> None:
    with pytest.raises(UsageError):
        units(Invocation(program, "/env"))


def test_a_service_that_somebody_changed_is_none_of_ours() -> None:
    assert read_service(Job.SYNC, "[Service]\n").job is None
    assert read_service(Job.SYNC, '[Service]\nExecStart=/bin/x "\n').job is None
    assert read_service(Job.SYNC, "[Service]\nExecStart=/bin/x --env-file /e validate\n").job is None
