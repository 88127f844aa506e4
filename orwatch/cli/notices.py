"""What commands say beside their answer: on standard error, as lines or, with --json, as JSON lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import click

from orwatch.redaction import redact
from orwatch.text import printable

# --json, alone or among other short options that take no value.
_JSON_OPTION = re.compile("--json|-[acnqvy]*j[acnqvy]*")

_is_json = ContextVar("is_json", default=False)


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

        click.echo(json.dumps({"notice": {"message": text}}), err=True)
    else:
        click.echo(f"orwatch: {printable(text)}", err=True)
