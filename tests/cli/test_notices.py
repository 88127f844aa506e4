"""What is said in sentences: on a terminal wrapped at words, elsewhere a line each."""

from __future__ import annotations

import io
import sys

import pytest

from orwatch.cli.notices import notice, say, wrapped
from tests.cli.support import Terminal

SENTENCE = (
    "wrote a new encryption key to /home/you/.config/orwatch/a-long-name-without-a-blank.env; keep a copy"
)


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (
            "40",
            [
                "orwatch: wrote a new encryption key to",
                "/home/you/.config/orwatch/a-long-name-without-a-blank.env;",
                "keep a copy",
            ],
        ),
        ("200", [f"orwatch: {SENTENCE}"]),
    ],
)
def test_a_terminal_gets_whole_words(columns: str, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", columns)
    notice(SENTENCE)
    assert terminal.getvalue().splitlines() == lines


def test_what_is_no_terminal_gets_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    notice(SENTENCE)
    say(SENTENCE)
    assert capsys.readouterr() == (f"{SENTENCE}\n", f"orwatch: {SENTENCE}\n")
    assert wrapped(SENTENCE, io.StringIO()) == wrapped(SENTENCE, None) == SENTENCE
