"""The documents say what the program does."""

from __future__ import annotations

import re
import subprocess
import tomllib

import click
import pytest

from orwatch import __version__, errors
from orwatch.cli import cli
from orwatch.config.settings import SETTING_NAMES
from orwatch.domain.runs import Job
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import Dimension
from orwatch.jobs.cron.text import MARK_BEGIN, Invocation
from orwatch.jobs.cron.text import entries as crontab_entries
from tests.documents import ALL_TEXT, DOCUMENTS, README, ROOT, TOPICS, commands

CONTRIBUTING = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
CRONTAB = (ROOT / "crontab.example").read_text(encoding="utf-8")
HOURS = [(1, 2), (3, 12), (7, 2), (7, 3)]  # weekday (Monday is 1) and hour, UTC
ENTRIES = [line for line in CRONTAB.splitlines() if line and not line.startswith("#")]


COMMANDS = commands()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    group, _, sub = name.partition(" ")
    rows = [row for row in README.splitlines() if row.startswith("| `orwatch ")]
    assert any(
        f"`orwatch {name}`" in row
        or f"`{name}`" in row
        or (f"`orwatch {group}` |" in row and f"`{sub}`" in row)
        for row in rows
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_long_option_is_documented(name: str) -> None:
    options = [option for option in COMMANDS[name].params if isinstance(option, click.Option)]
    long_names = {spelling for option in options for spelling in option.opts if spelling.startswith("--")}
    documented = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", ALL_TEXT))
    assert long_names - documented - {"--verbose", "--help"} == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_command_is_named_that_does_not_exist(document: str) -> None:
    for words in re.findall(r"`orwatch ([a-z]+(?: [a-z]+)?)", DOCUMENTS[document]):
        groups = {name.split()[0] for name in COMMANDS if " " in name}
        word, _, sub = words.partition(" ")
        assert words in COMMANDS or word in ({*COMMANDS} if sub else {*COMMANDS, *groups}), words


def test_it_is_installed_from_a_clone() -> None:
    # It is on no index: whoever registers its name on one would be installed.
    files = [*ROOT.glob("*.md"), *(ROOT / "orwatch").rglob("*.md"), *(ROOT / "orwatch").rglob("*.py")]
    by_name = re.compile(r"install [^`\n]*\borwatch\[")
    assert [file.name for file in files if by_name.search(file.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_option_is_named_that_does_not_exist(document: str) -> None:
    spellings = {
        spelling
        for command in [*COMMANDS.values(), cli]
        for option in command.params
        for spelling in option.opts
    }
    of_others = {"--quiet", "--editable", "--numprocesses", "--cov", "--help", "--from"}
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", DOCUMENTS[document]))
    assert mentioned - spellings - of_others == set()


def rows(document: str, first_cell: str) -> list[str]:
    """The rows of tables in a document that begin with such a cell."""
    return re.findall(rf"^\| {first_cell} \|.*$", DOCUMENTS[document], re.MULTILINE)


def test_the_readme_and_the_topic_list_the_same_settings_and_every_one() -> None:
    listed = rows("README", "`ORWATCH_[A-Z_]+`")
    assert listed == rows("settings", "`ORWATCH_[A-Z_]+`")
    assert [row.split("`")[1] for row in listed] == list(SETTING_NAMES)


def test_no_setting_is_named_that_does_not_exist() -> None:
    assert set(re.findall(r"(?<!_)ORWATCH_[A-Z_]+[A-Z]", ALL_TEXT)) == set(SETTING_NAMES)


def test_the_readme_and_the_topic_list_the_same_exit_codes_and_every_one() -> None:
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    listed = rows("README", r"\d+")
    assert listed == rows("json", r"\d+")
    assert {int(row.split()[1]) for row in listed} == codes


def test_no_exit_code_is_named_that_does_not_exist() -> None:
    named = {int(code) for code in re.findall(r"exit(?:s with| code)? (\d+)", ALL_TEXT, re.IGNORECASE)}
    of_signals = {128}
    codes = {int(row.split()[1]) for row in rows("README", r"\d+")}
    assert codes & named, "the text names codes in other words than these"
    assert named - codes - of_signals == set()


def test_the_readme_and_the_topic_list_the_same_jobs() -> None:
    listed = re.findall(
        r"^ *(\| `orwatch \w+` \| .* \|)$", README.partition("## Which keys")[0], re.MULTILINE
    )
    assert listed == rows("cron", r"`orwatch \w+`")
    assert [row.split("`")[1] for row in listed] == [f"orwatch {job}" for job in Job]


def test_the_topic_lists_every_dimension_of_a_report() -> None:
    (item,) = re.findall(r"^- `-b`, `--by`:.*?(?=^- )", TOPICS["reports"], re.MULTILINE | re.DOTALL)
    assert all(f"`{dimension.value}`" in item for dimension in Dimension)


def test_the_topic_lists_every_source() -> None:
    assert {row.split("`")[1] for row in rows("sources", "`\\w+`")} == {
        source.value for source in UsageSource
    }


def test_the_readme_takes_five_minutes() -> None:
    assert len(README.split()) <= 1800


def test_the_readme_links_to_every_topic() -> None:
    for name in TOPICS:
        assert f"[{name}](orwatch/help/{name}.md)" in README


def test_every_room_and_file_that_a_document_names_is_there() -> None:
    rooms = re.findall(r"^((?:orwatch|tests)/\S*)  ", README, re.MULTILINE)
    named = re.findall(r"`((?:orwatch|tests|\.ci)/[\w/.]*\w/?)`", CONTRIBUTING)
    assert rooms
    assert named
    assert [path for path in [*rooms, *named] if not (ROOT / path).exists() and "NAME" not in path] == []


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("https://")]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_begins_with_a_title_and_a_line_that_says_what_it_is_about(topic: str) -> None:
    title, gap, summary, after = TOPICS[topic].splitlines()[:4]
    assert re.fullmatch(r"# \S.*", title)
    assert (gap, after) == ("", "")
    assert re.fullmatch(r"[A-Z].*\.", summary)


@pytest.mark.parametrize("topic", TOPICS)
def test_the_lines_of_a_topic_fit_a_terminal(topic: str) -> None:
    assert [line for line in TOPICS[topic].splitlines() if len(line) > 100] == []
    assert TOPICS[topic].endswith("\n")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_topic_that_is_named_exists(document: str) -> None:
    named = re.findall(r"`orwatch help ([a-z]+)`", DOCUMENTS[document])
    assert set(named) <= set(TOPICS)


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
