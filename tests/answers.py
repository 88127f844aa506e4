"""Whether a JSON answer is as its schema says: each one that a test gets from the command line is checked."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.protocols import Validator

from orwatch.render import json_schema

FORMATS = FormatChecker(["date"])


@FORMATS.checks("date-time")
def is_time(value: object) -> bool:
    """UTC, as orwatch writes it."""
    return not isinstance(value, str) or bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value))


@cache
def validator(command: str, definition: str | None = None) -> Validator:
    """Of the answer of a command, or of what its schema defines beside it."""
    schema = json_schema.answer(command)
    return Draft202012Validator(schema["$defs"][definition] if definition else schema, format_checker=FORMATS)


def check(arguments: Sequence[str], out: str, err: str) -> None:
    """Fail where a command line with --json has answered something that its schema does not allow."""
    command = _command(arguments)
    if command is None or not {"--json", "-j"} & {*arguments}:
        return
    if out:
        validator(command).validate(json.loads(out))
    for line in err.splitlines():
        if line.startswith('{"error": '):
            validator(command, "error").validate(json.loads(line))


def _command(arguments: Sequence[str]) -> str | None:
    """The name of the command with JSON that these words call; None: it is none."""
    words = [*arguments]
    if words[:1] == ["--env-file"]:
        words = words[2:]
    return next((name for name in json_schema.ANSWERS if words[: len(name.split())] == name.split()), None)
