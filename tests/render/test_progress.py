"""The line of a sync on a terminal: what is read, how much of it is done, and what it waits for."""

from __future__ import annotations

import re
import sys

import pytest
from rich.progress import Task

from orwatch.jobs.sync.progress import SyncProgress
from orwatch.render import progress as render
from tests.cli.support import Terminal
from tests.render.support import HOSTILE_NAME


def shown_by(monkeypatch: pytest.MonkeyPatch, told: SyncProgress, waits: tuple[float, ...] = ()) -> str:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(Task, "get_time", lambda _self: 0.0)
    with render.progress_bar() as bar:
        bar.tell(told)
        for seconds in waits:
            bar.wait(seconds)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())


def test_it_says_how_much_of_what_is_done_and_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    told = SyncProgress("ops: latest days", 1, 31, "days", 1234)
    text = shown_by(monkeypatch, told, (0, 0))
    assert "ops: latest days" in text
    assert "1/31 days · 2 requests · 1,234 rows" in text
    assert "1/31 days · 1,234 rows · rate limit: 44 s" in shown_by(monkeypatch, told, (0, 43.2))


def test_what_is_not_known_is_not_shown_and_a_wait_that_is_over_neither(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = f"{HOSTILE_NAME * 9}: latest days"
    text = shown_by(monkeypatch, SyncProgress(stage, 0, None, "keys", 0), (43.2, 0))
    last = re.split(r"[\r\n]+", text.rstrip())[-1]
    assert last.startswith("…")
    assert re.search(r": latest days ━+ 1 request *$", last)
    assert not {"?", "\x07", "\x1b"} & set(text)


def test_where_there_is_no_terminal_there_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with render.progress_bar() as bar:
        bar.tell(SyncProgress("Syncing", 1, 3, "keys", 1234))
        bar.wait(3)
    assert capsys.readouterr() == ("", "")
