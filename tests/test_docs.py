"""The documents say what the program does."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from orwatch import __version__, errors
from orwatch.cli import cli
from orwatch.config.settings import SETTING_NAMES
from orwatch.domain.runs import Job
from orwatch.domain.usage import Dimension
from orwatch.jobs.cron.text import MARK_BEGIN, Invocation
from orwatch.jobs.cron.text import entries as crontab_entries

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CRONTAB = (ROOT / "crontab.example").read_text(encoding="utf-8")
HOURS = [(1, 2), (3, 12), (7, 2), (7, 3)]  # weekday (Monday is 1) and hour, UTC
ENTRIES = [line for line in CRONTAB.splitlines() if line and not line.startswith("#")]


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its whole name."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if isinstance(command, click.Group):
            yield from ((f"{name} {sub}", each) for sub, each in command.commands.items())
        else:
            assert command is not None
            yield name, command


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    assert f"orwatch {name}" in README or f"`{name.removeprefix('key ')} NAME`" in README


@pytest.mark.parametrize("name", COMMANDS)
def test_every_long_option_is_in_the_readme(name: str) -> None:
    options = [option for option in COMMANDS[name].params if isinstance(option, click.Option)]
    long_names = [spelling for option in options for spelling in option.opts if spelling.startswith("--")]
    missing = [
        spelling
        for spelling in long_names
        if f"{spelling}" not in README and spelling not in {"--verbose", "--help"}
    ]
    assert missing == []


def test_the_readme_names_no_command_that_does_not_exist() -> None:
    in_code = re.findall(r"`orwatch ([a-z]+(?: [a-z]+)?)", README)
    assert in_code
    for words in in_code:
        assert words in COMMANDS or words.split()[0] in COMMANDS, words


def test_the_readme_names_no_option_that_does_not_exist() -> None:
    spellings = {
        spelling
        for command in [*COMMANDS.values(), cli]
        for option in command.params
        for spelling in option.opts
    }
    of_others = {"--quiet", "--editable", "--numprocesses", "--cov", "--strict", "--help"}
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README))
    assert mentioned - spellings - of_others == set()


@pytest.mark.parametrize("name", SETTING_NAMES)
def test_every_setting_is_in_the_readme(name: str) -> None:
    assert f"| `{name}` |" in README


def test_the_readme_names_no_setting_that_does_not_exist() -> None:
    assert set(re.findall(r"(?<!_)ORWATCH_[A-Z_]+[A-Z]", README)) == {
        *SETTING_NAMES,
        "ORWATCH_TEST_POSTGRES_URL",
    }


def test_the_readme_lists_every_exit_code() -> None:
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)} == codes


def test_the_readme_lists_every_dimension_of_a_report() -> None:
    line = next(line for line in README.splitlines() if line.startswith("| `-b`, `--by`"))
    assert all(f"`{dimension.value}`" in line for dimension in Dimension)


def test_ci_runs_the_two_commands_of_the_readme() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    in_readme = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert len(in_readme) == 2
    assert all(command in ci for command in in_readme)


def test_the_picture_in_the_readme_exists_and_fetches_nothing() -> None:
    path = re.search(r"!\[[^\]]+\]\(([^)]+\.svg)\)", README)
    assert path is not None
    picture = (ROOT / path[1]).read_text(encoding="utf-8")
    assert "orwatch report" in picture.replace("&#160;", " ")
    assert re.search(r"(?:url|src|href)\W{1,3}https?:", picture) is None


def test_the_changelog_has_unreleased_on_top() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)
    assert headings[0] == "Unreleased"


def test_the_version_is_a_release_number() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


def test_every_runtime_dependency_has_a_lower_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert all(">=" in dependency for dependency in project["dependencies"])


def test_the_crontab_holds_what_is_installed_for_the_default_paths() -> None:
    default = Invocation("/home/you/.local/bin/orwatch", "/home/you/.config/orwatch/.env")
    explained, mark, block = CRONTAB.partition(MARK_BEGIN)
    assert mark + block == crontab_entries(default)
    assert all(line.startswith("#") or not line for line in explained.splitlines())


def test_the_crontab_explains_every_part_of_its_entries() -> None:
    explained = CRONTAB.partition(MARK_BEGIN)[0]
    parts = {
        part for entry in ENTRIES for part in re.findall(r"\*/15 \* \* \* \*|date -u|--[a-z-]+|esac", entry)
    }
    assert [part for part in parts if f"#   {part}" not in explained and part not in explained] == []
    assert all(f"#   {job.value}" in explained for job in Job)
    assert all(path in explained for entry in ENTRIES for path in re.findall(r"/home/\S+", entry))


def test_the_crontab_has_one_entry_for_each_job() -> None:
    jobs = [
        re.search(r"orwatch --env-file \S+ (\w+)(?: --catch-up)? --quiet;; esac$", entry) for entry in ENTRIES
    ]
    assert [match[1] for match in jobs if match] == ["sync", "validate", "cleanup"]


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_crontab_entry_has_five_fields_and_escapes_percent_signs(entry: str) -> None:
    fields = entry.split(maxsplit=5)
    assert fields[:5] == ["*/15", "*", "*", "*", "*"]
    assert re.search(r"(?<!\\)%", fields[5]) is None


def test_the_crontab_ends_with_a_line_end_and_has_no_carriage_return() -> None:
    assert CRONTAB.endswith("\n")
    assert "\r" not in CRONTAB


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_shell_accepts_every_crontab_entry_and_runs_it_in_its_quarter_of_an_hour(
    entry: str,
) -> None:
    command = entry.split(maxsplit=5)[5].replace("\\%", "%")
    command = re.sub(r"/\S+/orwatch --env-file", "echo ran", command)
    asked = re.search(r"\$\(date -u \+([%A-Za-z]+)\)", command)
    assert asked is not None
    ran_at = set()
    for weekday, hour in HOURS:
        for minute in (0, 14, 15, 30, 45, 59):
            # What `date -u` would print at that time.
            time = f"{hour:02}{minute:02}"
            printed = {"%M": time[2:], "%H%M": time, "%u%H%M": f"{weekday}{time}"}[asked[1]]
            shell = ["sh", "-c", command.replace(asked[0], printed)]
            if subprocess.run(shell, capture_output=True, check=True).stdout:
                ran_at.add((weekday, hour, minute))
    job = next(word for word in entry.split() if word in set(Job))
    due = {
        "sync": HOURS,
        "validate": [(weekday, hour) for weekday, hour in HOURS if hour == 2],
        "cleanup": [(7, 3)],
    }[job]
    assert ran_at == {(weekday, hour, minute) for weekday, hour in due for minute in (0, 14)}
