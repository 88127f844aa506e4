"""``orwatch help``: the list, a topic, a command, and a name that does not exist."""

from __future__ import annotations

import re
import sys

import pytest
from click.shell_completion import ShellComplete

from orwatch.cli import COMMANDS, cli, run
from orwatch.render import json_schema
from tests.cli.support import Home, Orwatch, Terminal
from tests.documents import TOPICS
from tests.jobs.cron.machine import write_program


def test_without_a_topic_it_lists_each_with_its_summary_and_names_the_commands_help(
    orwatch: Orwatch, home: Home
) -> None:
    code, out, err = orwatch("help")
    assert (code, err) == (0, "")
    listed = dict(line.split(maxsplit=1) for line in out.splitlines() if line.startswith("  "))
    assert listed == {name: text.splitlines()[2] for name, text in TOPICS.items()}
    assert "`orwatch COMMAND --help`" in out
    assert not home.database.exists()


def test_the_list_fits_80_columns(orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = orwatch("help").out.splitlines()
    assert len([line for line in lines if line.startswith("  ")]) == len(TOPICS)


@pytest.mark.parametrize("topic", TOPICS)
def test_elsewhere_than_on_a_terminal_a_topic_is_its_markdown(orwatch: Orwatch, topic: str) -> None:
    code, out, err = orwatch("help", topic)
    assert (code, out.partition("\n### orwatch sync --json\n")[0], err) == (0, TOPICS[topic], "")


def test_the_topic_on_json_goes_on_with_every_member_of_every_answer(orwatch: Orwatch) -> None:
    out = orwatch("help", "json").out
    assert re.findall(r"^### orwatch (.+) --json$", out, re.MULTILINE) == list(json_schema.ANSWERS)
    assert out.count("\n- `keys[].rows_written` (integer): Rows that are new or differ") == 1
    assert "\n- `key.account.balance` (number or null): What is left, in US dollars;" in out
    assert "\n- `schedules[].entries[].next_times[].utc` (date-time): When it is due.\n" in out
    assert "\n- `checks[].status` (`ok`, `finding`, `skipped`, `unknown`): " in out
    assert "\n- `keys[].inactive_reason` (`invalid`, `disabled` or null): " in out
    assert "\n- `repaired_days` (list of date): " in out


def paged(home: Home, monkeypatch: pytest.MonkeyPatch, pager: str, *words: str) -> str:
    """What a terminal's pager of that name is given."""
    given = home.folder / "given"
    program = write_program(home.folder / "bin" / pager, f"#!/bin/sh\ncat >{given}\n")
    monkeypatch.setenv("PAGER", str(program))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("LESS", raising=False)
    with monkeypatch.context() as patch:
        for name in ("stdin", "stdout"):
            patch.setattr(sys, name, Terminal())
        assert run(words) == 0
    return given.read_text(encoding="utf-8")


def test_on_a_terminal_a_topic_is_rendered_into_the_pager(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = paged(home, monkeypatch, "more", "help", "heartbeat")
    assert "Heartbeat: hear when nothing runs any more" in text
    assert "• Nothing is sent for runs with --key or --dry-run." in text
    assert not {"`", "#", "|", "\x1b"} & set(text)


def test_a_pager_that_can_show_colours_gets_them(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[36morwatch doctor\x1b[0m" in paged(home, monkeypatch, "less", "help", "heartbeat")


@pytest.mark.parametrize("words", [["sync"], ["key"], ["cron", "install"], ["help"]])
def test_the_name_of_a_command_shows_its_help(orwatch: Orwatch, words: list[str]) -> None:
    assert orwatch("help", *words) == orwatch(*words, "--help")


def test_of_a_topic_and_a_command_of_one_name_the_topic_is_shown(orwatch: Orwatch) -> None:
    assert orwatch("help", "doctor").out == TOPICS["doctor"]


@pytest.mark.parametrize(
    ("words", "near"),
    [(["crno"], "cron"), (["postgress"], "postgres"), (["reprots"], "reports"), (["snyc"], "sync")],
)
def test_an_unknown_topic_names_the_nearest_and_all(orwatch: Orwatch, words: list[str], near: str) -> None:
    code, out, err = orwatch("help", *words)
    assert (code, out) == (2, "")
    assert f"there is no help topic or command {words[0]!r}. Did you mean {near!r}?" in err
    assert ", ".join(TOPICS) in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["xyzzy"], ["cron", "xyzzy"], ["sync", "xyzzy"], ["json", "xyzzy"], ["../README"]]
)
def test_a_name_that_is_like_no_other_suggests_none(orwatch: Orwatch, words: list[str]) -> None:
    code, out, err = orwatch("help", *words)
    assert (code, out) == (2, "")
    assert f"no help topic or command '{' '.join(words)}'." in err


def completions(words: list[str], incomplete: str) -> list[str]:
    complete = ShellComplete(cli, {}, "orwatch", "_ORWATCH_COMPLETE")
    return [item.value for item in complete.get_completions(words, incomplete)]


def test_the_shell_completes_topics_and_commands() -> None:
    assert completions(["help"], "") == [*TOPICS, *(name for name in COMMANDS if name not in TOPICS)]
    assert completions(["help"], "s") == [
        "security",
        "settings",
        "sources",
        "speed",
        "sync",
        "status",
        "secret",
    ]


def test_the_shell_completes_the_subcommands_of_a_group() -> None:
    assert completions(["help", "cron"], "") == ["install", "remove", "show"]
    assert completions(["help", "sync"], "") == []
    assert completions(["help", "xyzzy"], "") == []


def test_it_needs_no_settings(orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORWATCH_SYNC_DAYS", "many")
    assert orwatch("--env-file", "/nowhere", "help", "cron").code == 0


def test_its_own_help_names_the_topic_as_what_may_be_left_out(orwatch: Orwatch) -> None:
    assert orwatch("help", "--help").out.startswith("Usage: orwatch help [OPTIONS] [TOPIC]\n")
