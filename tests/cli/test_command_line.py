"""The group of commands: help, names, and how every end becomes an exit code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from inspect import cleandoc
from pathlib import Path
from typing import TextIO

import click
import pytest

from orwatch import __main__, __version__
from orwatch.cli import COMMANDS, cli, run
from orwatch.domain.runs import Job
from orwatch.errors import OrwatchError, SettingsError, TryAgainError
from orwatch.jobs.report import run as report_job
from orwatch.jobs.status import run as status_job
from orwatch.store import runs
from orwatch.store.engine import locks
from tests.cli.support import Home, Orwatch, write_usage
from tests.support import NOW, FakeClock, usage_row


def subcommands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {sub}", each) for sub, each in command.commands.items())


def help_of(command: click.Command) -> str:
    """The docstring; whether its indentation is still there depends on click."""
    return cleandoc(command.help or "")


ALL_COMMANDS = dict(subcommands())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_help_begins_as_the_list_of_commands_says(name: str) -> None:
    assert help_of(ALL_COMMANDS[name]).splitlines()[0] == COMMANDS[name]
    assert ALL_COMMANDS[name].name == name


@pytest.mark.parametrize("name", ALL_COMMANDS)
def test_a_commands_help_ends_with_an_example(name: str) -> None:
    last_paragraph = help_of(ALL_COMMANDS[name]).rsplit("\n\n", 1)[-1]
    assert re.match(r"\x08\nExamples?:\n", last_paragraph)
    assert f"orwatch {name}" in last_paragraph


@pytest.mark.parametrize("name", ALL_COMMANDS)
def test_the_example_of_a_command_names_only_options_that_it_has(name: str) -> None:
    command = ALL_COMMANDS[name]
    known = {spelling for parameter in command.params for spelling in parameter.opts}
    examples = help_of(command).rsplit("\x08", 1)[-1]
    assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", examples)) <= known


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("name", ["", *ALL_COMMANDS])
def test_help_goes_to_standard_output_and_does_nothing(
    orwatch: Orwatch, home: Home, name: str, option: str
) -> None:
    code, out, err = orwatch(*name.split(), option)
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: orwatch {name}".rstrip())
    assert not home.database.exists()


def test_the_help_lists_every_command_in_the_order_of_use(orwatch: Orwatch) -> None:
    listed = re.findall(r"^  ([a-z]+)  +\S", orwatch("--help").out.partition("Commands:")[2], re.MULTILINE)
    assert listed == list(COMMANDS)


def test_without_a_command_it_tells_how_to_begin_and_then_how_all_stands(
    orwatch: Orwatch, home: Home, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    code, out, err = orwatch()
    assert (code, out.splitlines()[0], err) == (0, "Three steps to see what OpenRouter costs:", "")
    assert sorted(tmp_path.rglob("*")) == before
    home.set_up("ci")
    assert "1. orwatch key add NAME  done\n" in orwatch().out
    write_usage(home, "ci", usage_row(cost="1.5"))
    code, out, err = orwatch()
    assert (code, out.splitlines()[:2], err) == (
        0,
        ["This month: $1.50 so far", "Today:      $1.50 (UTC)"],
        "",
    )


def test_without_a_command_it_says_that_a_sync_is_running(orwatch: Orwatch, home: Home) -> None:
    home.set_up("ci")
    with home.store() as store:
        store.run_write(lambda connection: runs.start_run(connection, Job.SYNC, NOW))
        with locks.job_lock(store, Job.SYNC, FakeClock()):
            assert "2. orwatch sync          running now\n" in orwatch().out
            write_usage(home, "ci", usage_row(cost="1.5"))
            assert orwatch().out.splitlines()[2] == "A sync is running: there is more to come."
    # Killed: it lets go of its lock.
    assert "A sync is running" not in orwatch().out


def test_the_version_is_told(orwatch: Orwatch) -> None:
    assert orwatch("--version") == (0, f"orwatch {__version__}\n", "")


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60
    )


def test_the_version_alone_needs_no_import_of_click() -> None:
    script = (
        "import sys; sys.argv = ['orwatch', '--version']\n"
        "from orwatch.__main__ import main\n"
        "main()\n"
        "sys.exit('click' in sys.modules or 'orwatch.cli' in sys.modules)"
    )
    done = run_script(script)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"orwatch {__version__}\n", "")


def test_the_help_imports_no_command_and_no_heavy_library() -> None:
    script = (
        "import sys\n"
        "from orwatch.cli import run\n"
        "run(['--help'])\n"
        "heavy = {'sqlalchemy', 'alembic', 'httpx', 'rich', 'cryptography', 'orwatch.cli.sync'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    done = run_script(script)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_program_ends_with_the_commands_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["orwatch", "synk"])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 2
    monkeypatch.setattr(sys, "argv", ["orwatch", "--version"])
    __main__.main()
    assert capsys.readouterr().out == f"orwatch {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "near"),
    [(["synk"], "sync"), (["rapport"], "report"), (["ky"], "key")],
)
def test_an_unknown_command_suggests_the_nearest(orwatch: Orwatch, arguments: list[str], near: str) -> None:
    code, out, err = orwatch(*arguments)
    assert (code, out) == (2, "")
    assert f"No such command '{arguments[-1]}'" in err
    assert f"'{near}'" in err


def test_a_command_that_is_like_no_other_suggests_none(orwatch: Orwatch) -> None:
    code, _out, err = orwatch("xyzzy")
    assert code == 2
    assert "No such command 'xyzzy'" in err
    assert "Did you mean" not in err


def test_an_unknown_option_is_a_usage_error(orwatch: Orwatch) -> None:
    code, out, err = orwatch("sync", "--dyas", "3")
    assert (code, out) == (2, "")
    assert "--dyas" in err


def raising(error: BaseException) -> object:
    def raise_it(*_arguments: object, **_options: object) -> None:
        raise error

    return raise_it


@pytest.mark.parametrize(
    ("error", "code"),
    [(OrwatchError("a person"), 1), (TryAgainError("later"), 75), (SettingsError("wrong"), 78)],
)
def test_an_expected_failure_is_one_line_and_its_exit_code(
    orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch, error: OrwatchError, code: int
) -> None:
    orwatch("init")
    monkeypatch.setattr(status_job, "run", raising(error))
    assert orwatch("status") == (code, "", f"orwatch: {error}\n")


def test_a_failures_message_brings_no_control_characters(
    orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    orwatch("init")
    monkeypatch.setattr(status_job, "run", raising(OrwatchError("bad \x1b[31m\u202e\nname")))
    assert orwatch("status").err == "orwatch: bad �[31m��name\n"


def test_a_bug_is_a_traceback_on_standard_error_and_70(
    orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    orwatch("init")
    monkeypatch.setattr(status_job, "run", raising(RuntimeError("not thought of")))
    code, out, err = orwatch("status")
    assert (code, out) == (70, "")
    assert err.startswith("Traceback (most recent call last):\n")
    assert "RuntimeError: not thought of" in err
    assert err.endswith("orwatch: this is a bug; please report it with the lines above.\n")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interruption_is_130(
    orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    orwatch("init")
    monkeypatch.setattr(status_job, "run", raising(error))
    code, out, err = orwatch("status")
    assert (code, out) == (130, "")
    assert err.strip() == "orwatch: interrupted."


def test_an_exit_code_that_is_asked_for_is_given(orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch) -> None:
    orwatch("init")
    monkeypatch.setattr(report_job, "run", raising(click.exceptions.Exit(3)))
    assert orwatch("report") == (3, "", "")


@contextmanager
def broken_pipe() -> Iterator[TextIO]:
    """A standard output whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w", encoding="utf-8")
    try:
        yield stream
    finally:
        with suppress(OSError):
            stream.close()


@pytest.mark.parametrize(
    "arguments", [["report"], ["report", "--json"], ["key", "list"], ["key", "list", "--json"], ["--help"]]
)
def test_a_reader_that_has_gone_is_141_and_no_word(
    orwatch: Orwatch,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:
    orwatch("init")
    with broken_pipe() as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert run(arguments) == 141
    assert capsys.readouterr().err == ""


def test_a_reader_that_is_missed_only_at_the_end_is_141_too(
    orwatch: Orwatch, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_without_a_flush(*_arguments: object, **_options: object) -> None:
        sys.stdout.write("what is still in the buffer")
        raise click.exceptions.Exit(0)

    orwatch("init")
    monkeypatch.setattr(status_job, "run", write_without_a_flush)
    with broken_pipe() as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert run(["status"]) == 141
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("arguments", [["report"], ["report", "--json"], ["key", "list"]])
def test_a_full_disk_behind_standard_output_is_told(
    orwatch: Orwatch,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:
    orwatch("init")
    with suppress(OSError), open("/dev/full", "w", encoding="utf-8") as stream:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", stream)
        assert run(arguments) == 75
    text = "cannot write: No space left on device"
    in_json = {"error": {"code": 75, "message": text, "advice": None, "setting": None}}
    expected = json.dumps(in_json) if "--json" in arguments else f"orwatch: {text}."
    assert capsys.readouterr().err == f"{expected}\n"


def test_it_runs_where_standard_output_is_closed(
    orwatch: Orwatch, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    orwatch("init")
    monkeypatch.setattr(sys, "stdout", None)
    assert run(["report"]) == 0
    assert capsys.readouterr().err == ""


def test_it_runs_where_standard_error_is_closed(orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch) -> None:
    orwatch("init")
    monkeypatch.setattr(sys, "stderr", None)
    assert run(["sync"]) == 0


def test_what_the_terminal_cannot_show_is_replaced(
    orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    orwatch("init")
    out = f"{tmp_path}/out"
    with open(out, "w", encoding="ascii") as stream:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", stream)
        assert run(["report"]) == 0
    with open(out, encoding="ascii") as stream:  # noqa: PTH123
        assert "2026-10-22 to 2026-11-20 ? 30 days (UTC)" in stream.read()


def test_a_lock_that_is_held_is_told_with_its_holder(orwatch: Orwatch, home: Home) -> None:
    home.set_up()
    with home.store() as store, locks.job_lock(store, Job.SYNC, FakeClock()):
        code, out, err = orwatch("sync")
    assert (code, out) == (75, "")
    assert err.startswith("orwatch: another sync of this database is running")
    assert f"process {os.getpid()}" in err


@pytest.mark.parametrize("option", ["--quiet", "-q", "-vq"])
def test_a_lock_that_is_held_is_no_word_when_all_is_to_be_quiet(
    orwatch: Orwatch, home: Home, option: str
) -> None:
    home.set_up()
    with home.store() as store, locks.job_lock(store, Job.SYNC, FakeClock()):
        assert orwatch("sync", option) == (75, "", "")


def test_quiet_is_read_from_the_programs_own_arguments_too(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home.set_up()
    monkeypatch.setattr(sys, "argv", ["orwatch", "sync", "--quiet"])
    with home.store() as store, locks.job_lock(store, Job.SYNC, FakeClock()):
        assert run() == 75
    assert capsys.readouterr() == ("", "")


def test_quiet_silences_no_other_failure(orwatch: Orwatch, home: Home) -> None:
    home.set_up()
    code, out, err = orwatch("sync", "--quiet", "--key", "nobody")
    assert (code, out) == (2, "")
    assert "there is no key named 'nobody'" in err
