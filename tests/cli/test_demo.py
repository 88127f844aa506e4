"""``orwatch demo``: the real commands against the fake server, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import respx

from orwatch.cli.demo import BUDGET_USD, WILD_COUNTS, WILD_MODEL
from orwatch.config.settings import load_settings
from orwatch.demo.account import demo_keys
from orwatch.demo.usage import PRICES, usage_of
from orwatch.errors import TryAgainError
from orwatch.jobs.cleanup import run as cleanup_job
from orwatch.jobs.sync import run as sync_job
from tests.cli.support import Home, Orwatch
from tests.support import TODAY


@pytest.fixture(autouse=True)
def api() -> Iterator[None]:
    """The fake server is asked over real HTTP."""
    return


@pytest.fixture(autouse=True)
def temporary_folder(home: Home, monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> Path:
    folder = home.folder / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_it_shows_every_command_asks_nobody_outside_and_leaves_nothing_behind(
    orwatch: Orwatch, home: Home, temporary_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORWATCH_DATABASE_URL", f"sqlite:///{home.folder}/mine.db")
    monkeypatch.setenv("ORWATCH_ENCRYPTION_KEY", "not a key")
    before = (dict(os.environ), sys.stdin)
    with respx.mock(assert_all_mocked=True, assert_all_called=False) as router:
        router.route(host="127.0.0.1").pass_through()
        demo = orwatch("demo")
        assert router.calls.call_count > 5
    assert demo.code == 0
    shown = [line for line in demo.out.splitlines() if line.startswith("$ ")]
    assert shown == [
        "$ orwatch key add ops",
        "$ orwatch key add old-laptop",
        "$ orwatch sync",
        "$ orwatch sync",
        "$ orwatch report",
        "$ orwatch validate",
        "$ orwatch budget set ci --limit 10 --per day --key ci",
        "$ orwatch sync",
        "$ orwatch budget list",
        "$ orwatch alert list",
        "$ orwatch key list",
        "$ orwatch status",
        "$ orwatch cleanup --retention-days 90",
        "$ orwatch report --by month --last all",
    ]
    assert "ops: discovered: ci, production, research, ci (" in demo.out
    assert "ops: deleted at OpenRouter, history kept: old-laptop" in demo.out
    assert demo.out.count("Wrote 0 rows (") == 1
    alerts = re.findall(r"^orwatch: alert \d+ \((.+?)\): (\S+):", demo.err, re.MULTILINE)
    # On one day of thirty another job runs wild as well.
    assert [alert for alert in alerts if alert[0] != "spike"] == [
        *(("key", "ci"), ("model", "deepseek/deepseek-chat-v3.1")),
        *(("key", "old-laptop"), ("budget", "ci")),
    ]
    assert {("spike", "ci"), ("spike", WILD_MODEL)} <= set(alerts)
    assert re.search(r"^ci +ci +\$10\.00 a day +\$[89]\.\d\d +[89]\d%", demo.out, re.MULTILINE)
    assert "          on course for $" in demo.out
    # What is reported again by a better source in the same run counts once: so many rows are there.
    written = re.search(r"Wrote ([1-9][\d,]*) rows \(0 unchanged\)", demo.out)
    assert written is not None
    assert f" kB, {written[1]} rows, " in demo.out
    assert "1 key valid, 1 invalid" in demo.out
    assert demo.out.endswith("That was made-up data. `orwatch key add NAME` starts with yours.\n")
    assert (dict(os.environ), sys.stdin) == before
    assert list(home.folder.iterdir()) == [temporary_folder]
    assert list(temporary_folder.iterdir()) == []


def test_on_every_day_the_job_that_runs_wild_brings_the_budget_to_between_80_and_100_percent() -> None:
    ci = replace(demo_keys(TODAY)[1], expires_at=None)
    wild_usd = PRICES[WILD_MODEL].cost_usd(*WILD_COUNTS[1:])
    for days in range(400):
        usual_usd = sum(row.cost_usd for row in usage_of(ci, TODAY + timedelta(days=days)))
        assert Decimal(BUDGET_USD) * 80 / 100 <= wild_usd + usual_usd
        # Nor is it on course for more, where the day has just begun.
        assert wild_usd + 2 * usual_usd < Decimal(BUDGET_USD)


def test_keep_leaves_everything_in_the_folder_and_says_how_to_look(orwatch: Orwatch, home: Home) -> None:
    folder = home.folder / "a folder"
    folder.mkdir()  # in the end-to-end test it is new
    code, out, _err = orwatch("demo", "--keep", "a folder")
    assert code == 0
    assert f"`orwatch --env-file '{folder}/.env' report`" in out
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    assert load_settings({}, str(folder / ".env")).api_url.startswith("http://127.0.0.1:")
    looked = orwatch("--env-file", str(folder / ".env"), "report", "--by", "key")
    assert looked.code == 0
    assert "production" in looked.out


def test_a_folder_that_holds_something_is_left_alone(orwatch: Orwatch, home: Home) -> None:
    folder = home.folder / "full"
    folder.mkdir()
    (folder / "mine").touch()
    code, out, err = orwatch("demo", "--keep", str(folder))
    assert (code, out, err) == (2, "", f"orwatch: --keep {str(folder)!r}: the folder is not empty.\n")
    assert [file.name for file in folder.iterdir()] == ["mine"]


def test_a_folder_that_cannot_be_made_is_a_usage_error(orwatch: Orwatch, home: Home) -> None:
    (home.folder / "file").touch()
    code, out, err = orwatch("demo", "--keep", "file/folder")
    assert (code, out, err) == (2, "", "orwatch: --keep 'file/folder': Not a directory.\n")


def test_a_step_that_ends_otherwise_than_it_should_ends_the_demo(
    orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch, temporary_folder: Path
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise TryAgainError("the disk is full.")

    monkeypatch.setattr(cleanup_job, "run", fail)
    code, out, err = orwatch("demo")
    assert code == 1
    assert "the demo's `orwatch cleanup --retention-days 90` ended with exit code 75." in err
    assert not out.endswith("starts with yours.\n")
    assert list(temporary_folder.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_demo_with_its_own_exit_code(
    orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch, temporary_folder: Path, number: signal.Signals
) -> None:
    def stop(*_arguments: object, **_options: object) -> None:
        signal.raise_signal(number)

    monkeypatch.setattr(sync_job, "run", stop)
    code, _, err = orwatch("demo")
    assert code == 128 + number
    assert "ended with exit code" not in err
    assert list(temporary_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--serve", "--keep", "folder"],
            "--serve runs no command, so there is nothing for --keep to leave.",
        ),
        (["--port", "8080"], "--port is for --serve."),
    ],
)
def test_options_that_do_not_go_together_are_a_usage_error(
    orwatch: Orwatch, home: Home, options: list[str], message: str
) -> None:
    assert orwatch("demo", *options) == (2, "", f"orwatch: {message}\n")
    assert not (home.folder / "folder").exists()


def test_what_it_serves_is_ended_by_ctrl_c(orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "pause", lambda: signal.raise_signal(signal.SIGINT))
    code, out, err = orwatch("demo", "--serve")
    assert (code, err) == (0, "")
    assert out.startswith("ORWATCH_OPENROUTER_API_URL=http://127.0.0.1:")
    assert out.count("sk-or-v1-") == 6


def test_a_port_that_is_taken_is_said(orwatch: Orwatch) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        code, out, err = orwatch("demo", "--serve", "--port", f"{port}")
    assert (code, out) == (1, "")
    assert f"cannot serve on port {port} of 127.0.0.1: Address already in use" in err
