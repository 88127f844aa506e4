"""Results as JSON: which member has which value, and money with all its decimals."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from orwatch.domain.money import plain

JsonValue: TypeAlias = (
    "str | int | bool | Decimal | date | Mapping[str, JsonValue] | Sequence[JsonValue] | None"
)

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a JSON object, what it is, and where its value lies in the result.

    ``about``: for the reader of the answer, with the unit. ``source``: attributes joined by dots (null where
    one of them is None), or a function of the result; ``""`` is the result itself, and None the attribute
    that has the member's name. Annotations there are the member's type. ``shape``: the value is an object, or
    a list of objects. ``is_optional``: some answers leave it out.
    """

    name: str
    about: str
    source: str | Callable[[Any], Any] | None = None
    shape: Shape | None = None
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Merged:
    """The members of another shape, in the same object; left out where ``source`` is None.

    ``is_optional``: that may be.
    """

    source: str
    shape: Shape
    is_optional: bool = False


class Shape:
    """A JSON object that is made from a result of the type ``made_from``."""

    def __init__(self, made_from: Any, *members: Member | Merged) -> None:
        self.made_from = made_from
        self.members = members

    def read(self, result: Any) -> dict[str, JsonValue]:
        """The members of one object."""
        found: dict[str, JsonValue] = {}
        for member in self.members:
            if isinstance(member, Member):
                value = _find(result, member.name if member.source is None else member.source)
                found[member.name] = value if member.shape is None else _read_each(value, member.shape)
            elif (value := _find(result, member.source)) is not None:
                found |= member.shape.read(value)
        return found

    def document(self, result: Any) -> str:
        """The whole answer of a command."""
        return document(self.read(result))


def _find(result: Any, source: str | Callable[[Any], Any]) -> Any:
    if callable(source):
        return source(result)
    for name in source.split(".") if source else ():
        if result is None:
            return None
        result = getattr(result, name)
    return result


def _read_each(value: Any, shape: Shape) -> JsonValue:
    if isinstance(value, Sequence):
        return [shape.read(item) for item in value]
    return None if value is None else shape.read(value)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a command failed."""

    code: int
    message: str
    advice: str | None
    setting: str | None


_ERROR = Shape(
    Failure,
    Member("code", "The exit code."),
    Member("message", "What failed, with which value."),
    Member("advice", "What to do next."),
    Member("setting", "The name of the setting that is wrong."),
)
FAILURE = Shape(Failure, Member("error", "Why the command failed.", "", _ERROR))


def ok_or_attention(result: Any) -> Literal["ok", "attention"]:
    """``ok``, or ``attention`` where the command exits with another code than 0."""
    return "attention" if result.exit_code else "ok"


def document(members: Mapping[str, JsonValue]) -> str:
    """An object with ``schema_version`` first, one line for each member."""
    versioned = {"schema_version": SCHEMA_VERSION, **members}
    lines = [f"  {json.dumps(name)}: {_member(value)}" for name, value in versioned.items()]
    return "{\n" + ",\n".join(lines) + "\n}"


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
