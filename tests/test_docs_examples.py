"""Every command line in the README and the help topics parses; those that need no network are run.

They run one after the other, as a reader would type them: those of the README in an empty home, those of a
topic in one whose account was synced. Below a `$` line stands what the program really prints.
"""

from __future__ import annotations

import getpass
import io
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import click
import pytest
from freezegun import freeze_time
from freezegun.api import FrozenDateTimeFactory

from orwatch.cli import cli, run
from orwatch.cli.context import Context
from orwatch.demo.account import ACCOUNT_DAYS, demo_account
from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import FakeServer
from orwatch.domain.alerts.alert import Finding, Rule
from orwatch.render.json_schema import ANSWERS
from orwatch.store.alerts import insert_alerts
from orwatch.store.engine.database import open_store
from tests import answers
from tests.cli.support import Terminal
from tests.documents import DOCUMENTS, TOPICS, inline_commands, lines
from tests.jobs.cron.machine import CRONTAB, write_program
from tests.support import NOW, TODAY

HOME_IN_DOCUMENTS = "/home/you"
ACCOUNT = demo_account(TODAY)
SECRETS = {"ops": ACCOUNT.management_secret} | {key.name: key.secret for key in reversed(ACCOUNT.keys)}
# Other keys of the account: each is to be the new one of a key that was rotated.
NEW_SECRETS = {"production": SECRETS["research"], "ci": SECRETS["old-laptop"]}
PLACEHOLDERS = {
    "COMMAND": "sync",
    "DIR": "folder",
    "ID": "1",
    "FILE": "file.db",
    "NAME": "ops",
    "OTHER": "other.env",
    "SECONDS": "60",
    "TOPIC": "cron",
    "URL": "https://example.org/ping",
}
# They would write to this machine, not to the home folder; and `demo` has tests of its own.
NOT_RUN = {"--etc-cron-d", "--systemd", "demo"}
# Their reader has nothing yet.
FROM_THE_START = {"accounts"}
Run: TypeAlias = "Callable[[list[str]], Shown]"


@dataclass(frozen=True, slots=True)
class Shown:
    """What somebody at a terminal sees of a command: both streams as one."""

    code: int
    text: str


@pytest.fixture(scope="module")
def api_url() -> Iterator[str]:
    """The demo's account, as it is on the tests' day."""
    api = FakeOpenRouter(
        (), account=ACCOUNT, history_days=ACCOUNT_DAYS, serves_usage=False, today=lambda: TODAY
    )
    with FakeServer(api.answer) as server:
        yield server.url


@pytest.fixture
def home(tmp_path: Path, api_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, where a `crontab` command keeps its file too."""
    for name in list(os.environ):
        if name.startswith(("ORWATCH_", "XDG_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    bin_folder = tmp_path / ".local" / "bin"
    write_program(bin_folder / "crontab", CRONTAB.replace("{folder}", str(tmp_path)))
    program = write_program(bin_folder / "orwatch", "#!/bin/sh\n")
    environment = {
        "COLUMNS": "80",
        "HOME": str(tmp_path),
        "ORWATCH_OPENROUTER_API_URL": api_url,
        "ORWATCH_RATE_LIMIT_PER_MINUTE": "0",
        "PATH": f"{bin_folder}:/usr/bin:/bin",
        "TERM": "dumb",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def stopped() -> Iterator[FrozenDateTimeFactory]:
    """The real clock stands: once for all, for to stop it takes long."""
    with freeze_time(NOW, ignore=["_pytest.timing"]) as factory:
        yield factory


@pytest.fixture
def show(home: Path, stopped: FrozenDateTimeFactory, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command as at a terminal; asked for a secret, it types that of the key it adds or replaces."""

    def show(words: list[str]) -> Shown:
        # Others would show their progress there, and move in pages.
        screen = Terminal() if words[0] == "report" else io.StringIO()

        def ask_hidden(prompt: str) -> str:
            screen.write(f"{prompt}\n")
            return (NEW_SECRETS if "replace" in words else SECRETS)[words[-1]]

        with monkeypatch.context() as patch:
            patch.setattr(getpass, "getpass", ask_hidden)
            patch.setattr(sys, "stdin", Terminal())
            patch.setattr(sys, "stdout", screen)
            patch.setattr(sys, "stderr", screen)
            code = run([word.replace(HOME_IN_DOCUMENTS, str(home)) for word in words])
        return Shown(code, screen.getvalue().replace(str(home), HOME_IN_DOCUMENTS))

    stopped.move_to(NOW)
    return show


@pytest.fixture(scope="module")
def data_of_synced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what the first sync leaves in a home folder; made by the first test that wants it."""
    return tmp_path_factory.mktemp("synced") / "home"


@pytest.fixture
def synced(home: Path, show: Run, data_of_synced: Path) -> None:
    """A home folder with the management key, whose account was read."""
    if data_of_synced.exists():
        shutil.copytree(data_of_synced, home, dirs_exist_ok=True)
        return
    for words in (["key", "add", "ops"], ["sync"]):
        assert show(words).code in {0, 1}  # a key of the account soon expires
    shutil.copytree(home, data_of_synced, ignore=shutil.ignore_patterns("bin"))


def parse(words: list[str]) -> None:
    """Let click read a command line as if it were to run it. Raises ``click.UsageError``."""
    # With its settings: a command keeps the help option of the first context in which it is parsed.
    context = click.Context(cli, info_name="orwatch", obj=Context(None), **cli.context_settings)
    if words[:1] == ["--env-file"]:
        words = words[2:]
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"no command {name!r}")
        command = found
    if not isinstance(command, click.Group):
        # --help and --json-schema have said all when they are read.
        with suppress(click.exceptions.Exit):
            command.make_context(command.name, words, parent=context)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_line_parses(document: str) -> None:
    for line in lines(document):
        for words in line.commands():
            parse(words)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_line_within_a_sentence_parses(document: str) -> None:
    for text in inline_commands(document):
        # A command may be named without what it takes: `orwatch key add`.
        with suppress(click.MissingParameter):
            parse([PLACEHOLDERS.get(word, word) for word in text.split()[1:]])


def test_a_wrong_command_line_would_be_seen() -> None:
    for wrong in ("snyc", "key ad ops", "report --bye day", "report --by planet", "key add", "sync --days x"):
        with pytest.raises(click.UsageError):
            parse(wrong.split())
    parse(["--env-file", "other.env", "cron", "remove"])


def same(text: str) -> list[str]:
    """The lines of an output, without what differs from one run to the next: how long it took."""
    text = re.sub(r"\bin \d+\.\d s\b", "in TIME", text)
    return [line.rstrip() for line in text.strip().splitlines()]


def walk(document: str, show: Run) -> None:
    """Type every line of a document."""
    for line in lines(document):
        for words in line.commands():
            if NOT_RUN & set(words):
                continue
            shown = show(words)
            # That something needs a person is no matter of the document: on this machine no cron may run.
            # A key of the account soon expires.
            may_need_person = words[0] in {"cron", "status", "doctor", "sync", "validate"}
            assert shown.code in ({0, 1} if may_need_person else {0}), (words, shown.text)
            if line.output is not None:
                assert same(shown.text) == same(line.output), words


def test_the_readme_can_be_typed_from_its_first_line_to_its_last(show: Run) -> None:
    walk("README", show)


@pytest.mark.parametrize("topic", TOPICS)
def test_what_a_topic_shows_can_be_typed(topic: str, show: Run, request: pytest.FixtureRequest) -> None:
    if topic not in FROM_THE_START:
        request.getfixturevalue("synced")
    walk(topic, show)


def raise_alert(home: Path) -> None:
    """As a sync may have done."""
    url = f"sqlite:///{home}/.local/share/orwatch/orwatch.db"
    found = Finding(Rule.BUDGET, "budget:1", "team", "2026-11", True, "80 %", 80, {"spent_usd": "80"})
    with closing(open_store(url, NOW)) as store, store.write() as connection:
        insert_alerts(connection, [found], NOW)


@pytest.mark.usefixtures("synced")
def test_every_answer_with_json_is_as_its_schema_says(
    home: Path, show: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORWATCH_ON_ALERT", "true")
    show(["validate"])
    show(["cron", "install"])
    raise_alert(home)
    needed = {
        "alert show": ["1"],
        "alert ack": ["1"],
        "db backup": ["file.db"],
        "db restore": ["file.db", "--yes"],
        "db copy": ["--to", f"sqlite:///{home}/copy.db"],
        "key show": ["ops"],
        "budget set": ["all", "--limit", "250", "--per", "month"],
        "budget show": ["all"],
        "budget remove": ["all", "--yes"],
    }
    for command in ANSWERS:
        words = [*command.split(), *needed.get(command, ()), "--json"]
        shown = show(words)
        assert shown.code in {0, 1}, (words, shown.text)
        answers.check(words, shown.text[shown.text.index("{") :], "")
