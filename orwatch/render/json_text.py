"""JSON in which money keeps its decimals: the standard library would make a float of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TypeAlias

from orwatch.render.numbers import plain

JsonValue: TypeAlias = (
    "str | int | bool | Decimal | date | Mapping[str, JsonValue] | Sequence[JsonValue] | None"
)

SCHEMA_VERSION = 1


def document(members: Mapping[str, JsonValue]) -> str:
    """An object with ``schema_version`` first, one line for each member."""
    lines = [f"  {json.dumps(name)}: {_member(value)}" for name, value in _versioned(members).items()]
    return "{\n" + ",\n".join(lines) + "\n}"


def _versioned(members: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {"schema_version": SCHEMA_VERSION, **members}


def _member(value: JsonValue) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return "[\n" + ",\n".join(f"    {dumps(item)}" for item in value) + "\n  ]"
    return dumps(value)


def dumps(value: JsonValue) -> str:
    """One value on one line. Decimals as numbers without trailing zeros; days and UTC times as text."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return json.dumps(f"{value:%Y-%m-%dT%H:%M:%SZ}")
    if isinstance(value, date):
        return json.dumps(value.isoformat())
    if value is None or isinstance(value, str | int):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(name)}: {dumps(item)}" for name, item in value.items()) + "}"
    return "[" + ", ".join(dumps(item) for item in value) + "]"
