"""What commands say beside their answer: on standard error, as lines or, with --json, as JSON lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import click

from orwatch.redaction import redact
from orwatch.text import printable

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
        write_line(f"orwatch: {printable(text)}")


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
