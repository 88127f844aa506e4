"""What commands say beside their answer: on standard error, as lines or, with --json, as JSON lines."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import IO

import click

from orwatch.redaction import redact
from orwatch.text import is_terminal, printable

# --json, alone or among other short options that take no value.
_JSON_OPTION = re.compile("--json|-[acnqvy]*j[acnqvy]*")

_is_json = ContextVar("is_json", default=False)
# Who writes above the line that is live on the terminal, while one is; for all threads.
_above_live_line: list[Callable[[str], None]] = []


@contextmanager
def as_asked(words: Sequence[str]) -> Iterator[bool]:
    """Whether a command line asks for JSON, and so gets it. As typed: a wrong one is not read to its end."""
    token = _is_json.set(any(map(_JSON_OPTION.fullmatch, words)))
    try:
        yield is_json()
    finally:
        _is_json.reset(token)


def is_json() -> bool:
    """Whether standard error is to be JSON, too."""
    return _is_json.get()


def notice(text: str) -> None:
    """Say something that is neither the answer nor an error."""
    text = redact(text)
    if is_json():
        import json

        write_line(json.dumps({"notice": {"message": text}}))
    else:
        write_line(wrapped(f"orwatch: {printable(text)}", sys.stderr))


def say(text: str) -> None:
    """Say on standard output what was done, in a sentence."""
    click.echo(wrapped(text, sys.stdout))


def wrapped(line: str, stream: IO[str] | None) -> str:
    """The line as it is, or for a terminal as several ones: that would break it within words."""
    if not is_terminal(stream):
        return line
    from shutil import get_terminal_size
    from textwrap import fill

    return fill(line, get_terminal_size().columns, break_long_words=False, break_on_hyphens=False)


def write_line(line: str) -> None:
    """Write a line to standard error that begins where nothing else stands."""
    if _above_live_line:
        _above_live_line[-1](line)
    else:
        click.echo(line, err=True)


@contextmanager
def written_by(write_above: Callable[[str], None]) -> Iterator[None]:
    """While a line is live on standard error: who writes lines above it."""
    _above_live_line.append(write_above)
    try:
        yield
    finally:
        _above_live_line.remove(write_above)
