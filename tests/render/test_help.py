"""A help topic, as a terminal shows it."""

from __future__ import annotations

import io
import re
import sys

import pytest

from orwatch.render import console, help
from tests.documents import TOPICS

ESCAPE = re.compile(r"\x1b\[[\d;]*m")


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """That of a terminal with 80 columns and colours."""
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def shown(markdown: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", Terminal())
        return console.for_pager(help.topic_view(markdown), help.THEME)


def plain(markdown: str) -> list[str]:
    return [line.rstrip() for line in ESCAPE.sub("", shown(markdown)).splitlines()]


def test_markdown_becomes_headings_lists_and_code() -> None:
    lines = plain("# Title\n\nSome `code`.\n\n## Part\n\n- one\n- **two**\n\n```sh\norwatch sync\n```\n")
    assert [line.strip() for line in lines if line] == [
        "Title",
        "Some code.",
        "Part",
        "• one",
        "• two",
        "orwatch sync",
    ]


def test_code_has_a_colour_and_no_background() -> None:
    text = shown("Some `code`.\n\n```console\n$ orwatch sync\n```\n")
    assert "\x1b[36mcode\x1b[0m" in text
    codes = {code for sequence in re.findall(r"\x1b\[([\d;]*)m", text) for code in sequence.split(";")}
    assert not codes & {*map(str, range(40, 49)), *map(str, range(100, 108))}


def test_without_colour_there_is_none(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("NO_COLOR", "1")
    assert "\x1b[36m" not in shown("Some `code`.")


def test_a_link_shows_its_address() -> None:
    assert plain("See [pipx](https://pipx.pypa.io/).")[0] == "See pipx (https://pipx.pypa.io/)."


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_no_name_in_a_table_is_cut_and_no_line_is_too_wide(
    environment: pytest.MonkeyPatch, columns: int
) -> None:
    environment.setenv("COLUMNS", str(columns))
    for topic in TOPICS.values():
        text = "\n".join(plain(topic))
        assert max(map(len, text.splitlines())) <= min(columns, 100)
        for name in re.findall(r"^\| `([^`]+)` \|", topic, re.MULTILINE):
            assert f" {name} " in text
