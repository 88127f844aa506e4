"""The line of a sync on a terminal: what is read, how much of it is done, and what it waits for."""

from __future__ import annotations

import re
import sys

import pytest
from rich.cells import cell_len
from rich.progress import Task

from orwatch.jobs.sync.progress import SyncProgress
from orwatch.render import progress as render
from orwatch.text import printable
from tests.cli.support import Terminal
from tests.render.support import HOSTILE_NAME


def shown_by(
    monkeypatch: pytest.MonkeyPatch, told: SyncProgress, waits: tuple[float, ...] = (), columns: int = 100
) -> str:
    """The line as it is last."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(Task, "get_time", lambda _self: 0.0)
    with render.progress_bar("Syncing") as bar:
        bar.tell(told)
        for seconds in waits:
            bar.wait(seconds)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert not {"?", "\x07", "\x1b"} & set(text)
    return re.split(r"[\r\n]+", text.rstrip())[-1].rstrip()


def test_it_says_how_much_of_what_is_done_and_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    told = SyncProgress("ops: latest days", 1, 31, "days", 1234)
    line = shown_by(monkeypatch, told, (0, 0))
    assert re.fullmatch("ops: latest days ━+ 1/31 days · 2 requests · 1,234 rows", line)
    line = shown_by(monkeypatch, told, (0, 43.2))
    assert re.fullmatch("ops: latest days ━+ 1/31 days · 1 request · 1,234 rows · rate limit: 44 s", line)
    line = shown_by(monkeypatch, told, (*[0] * 20, 43.2), columns=80)
    assert line == "ops: latest days 1/31 days · 20 requests · 1,234 rows · rate limit: 44 s"


def test_what_is_not_known_is_not_shown_and_a_wait_that_is_over_neither(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = shown_by(monkeypatch, SyncProgress("ops: latest days", 0, None, "keys", 0), (43.2, 0))
    assert re.fullmatch("ops: latest days ━+ 1 request", line)


@pytest.mark.parametrize("columns", [30, 40, 60, 80, 100, 200])
@pytest.mark.parametrize("waits", [(), (0, 60.0)])
@pytest.mark.parametrize("name", ["ops", "a management key: all workspaces", HOSTILE_NAME * 9, "钥匙" * 40])
def test_a_name_that_is_too_long_loses_its_end_and_the_stage_stays(
    monkeypatch: pytest.MonkeyPatch, name: str, waits: tuple[float, ...], columns: int
) -> None:
    told = SyncProgress(f"{name}: credits and limits", 30, 31, "days", 1_234_567)
    line = shown_by(monkeypatch, told, waits, columns)
    assert cell_len(line) <= columns
    label, has_bar, counts = re.fullmatch(r"(.*?)(?: ([━╸╺]+))?((?: \d| rate).*|)", line).groups()
    if columns == 30 and label.endswith("…"):
        assert ("…: " + "credits and limits").startswith(re.sub("^.*…:", "…:", label)[:-1])
    elif label != f"{printable(name)}: credits and limits":
        assert re.fullmatch("(.*)…: credits and limits", label)
        assert printable(name).startswith(label.split("…")[0])
        assert cell_len(line) >= columns - 1  # a wide character has no room in the last cell
    assert ("rate limit: 60 s" in counts) is bool(waits)
    if columns >= 80:
        assert "30/31 days" in counts
        assert "1,234,567 rows" in counts
        assert has_bar or name != "ops" or waits
        assert len(label) > 10 + len("…: credits and limits") or label.startswith("ops:") or not has_bar
    if columns >= 100:
        assert f" {len(waits) // 2} request" in counts


def test_where_there_is_no_terminal_there_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with render.progress_bar("Syncing") as bar:
        bar.tell(SyncProgress("Syncing", 1, 3, "keys", 1234))
        bar.wait(3)
    assert capsys.readouterr() == ("", "")
