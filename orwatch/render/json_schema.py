"""The JSON Schema of each answer, made from its shape and the annotations of what that reads."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from orwatch.domain.usage import COLUMNS, Dimension
from orwatch.render import (
    alert,
    alert_trial,
    budget,
    cleanup,
    cron,
    db,
    doctor,
    key,
    report,
    runs,
    status,
    sync,
    validate,
)
from orwatch.render.json_text import FAILURE, SCHEMA_VERSION, Member, Merged, Shape

Schema: TypeAlias = dict[str, Any]

# By the names of the commands.
ANSWERS = {
    "sync": sync.ANSWER,
    "validate": validate.ANSWER,
    "cleanup": cleanup.ANSWER,
    "report": report.answer_shape(tuple(Dimension), COLUMNS),
    "status": status.ANSWER,
    "alert list": alert.LIST,
    "alert show": alert.ALERT,
    "alert ack": alert.LIST,
    "alert test": alert_trial.ANSWER,
    "doctor": doctor.ANSWER,
    "runs": runs.ANSWER,
    "key list": key.LIST,
    "key show": key.SHOW,
    "budget set": budget.SET,
    "budget list": budget.LIST,
    "budget show": budget.SHOW,
    "budget check": budget.CHECK,
    "budget remove": budget.REMOVE,
    "cron show": cron.ANSWER,
    "db info": db.INFO,
    "db check": db.CHECK_ANSWER,
    "db upgrade": db.UPGRADE,
    "db backup": db.BACKUP,
    "db restore": db.RESTORE,
    "db copy": db.COPY,
}
_VERSION = {
    "description": "Another number where a change breaks readers.",
    "type": "integer",
    "const": SCHEMA_VERSION,
}
# The first that fits: a bool is an int, and a datetime a date.
_SCALARS: Mapping[type, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    Decimal: {"type": "number"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    str: {"type": "string"},
}


def text(command: str) -> str:
    """The JSON Schema of what a command answers, and of its line on standard error when it fails."""
    return json.dumps(answer(command), indent=2)


def answer(command: str) -> Schema:
    """The same, not yet as text."""
    found = of_shape(ANSWERS[command])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"orwatch {command} --json",
        **found,
        "properties": {"schema_version": _VERSION, **found["properties"]},
        "required": ["schema_version", *found["required"]],
        "$defs": {"error": {"description": "A failure, on standard error.", **of_shape(FAILURE)}},
    }


def of_shape(shape: Shape) -> Schema:
    """The schema of one object: the members that it may have, and those that it always has."""
    properties: dict[str, Schema] = {}
    required: list[str] = []
    for member in shape.members:
        if isinstance(member, Member):
            properties[member.name] = _of_member(shape.made_from, member)
            always = [member.name]
        else:
            merged = of_shape(member.shape)
            properties |= merged["properties"]
            always = merged["required"]
        required += [] if member.is_optional else always
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _of_member(made_from: Any, member: Member) -> Schema:
    kind, may_be_null = type_of(made_from, member)
    schema = _of_type(kind, member.shape)
    if may_be_null:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    return {"description": member.about, **schema}


def type_of(made_from: Any, member: Member | Merged) -> tuple[Any, bool]:
    """The type of what a member is read from, without None, and whether it may be None."""
    source = member.name if isinstance(member, Member) and member.source is None else member.source
    if callable(source):
        return _without_none(get_type_hints(source)["return"])
    found, may_be_none = made_from, False
    for name in source.split(".") if source else ():
        getter = _getter(found, name)
        hint = get_type_hints(getter)["return"] if getter else get_type_hints(found)[name]
        found, is_nullable = _without_none(hint)
        may_be_none |= is_nullable
    return found, may_be_none


def _getter(kind: Any, name: str) -> Callable[[Any], Any] | None:
    attribute = getattr(kind, name, None)
    return attribute.fget if isinstance(attribute, property) else None


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) is ClassVar:
        (annotation,) = get_args(annotation)
    if get_origin(annotation) not in {Union, types.UnionType}:
        return annotation, False
    (kind,) = (each for each in get_args(annotation) if each is not types.NoneType)
    return kind, True


def _of_type(kind: Any, shape: Shape | None = None) -> Schema:
    """The schema of a value; ``shape``: of an object, or of each in a list. Raises ``TypeError``."""
    origin = get_origin(kind)
    if origin in {Union, types.UnionType}:
        kinds = [each for each in get_args(kind) if each is not types.NoneType]
        return {"type": [*(_of_type(each)["type"] for each in kinds), "null"]}
    if origin is Literal:
        return {"type": "string", "enum": [*get_args(kind)]}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _of_type(get_args(kind)[1])}
    if origin is not None and issubclass(origin, Sequence):
        return {"type": "array", "items": _of_type(get_args(kind)[0], shape)}
    if shape is not None:
        return of_shape(shape)
    if issubclass(kind, StrEnum):
        return {"type": "string", "enum": [each.value for each in kind]}
    for scalar, schema in _SCALARS.items():
        if issubclass(kind, scalar):
            return {**schema}
    raise TypeError(f"{kind} is nothing that JSON can hold")


def in_words() -> str:
    """Every member of every answer, in Markdown."""
    lines: list[str] = []
    for name, shape in ANSWERS.items():
        lines += [f"### orwatch {name} --json", ""]
        lines += [f"- `{path}` ({words}): {about}" for path, words, about in _members(of_shape(shape))]
        lines.append("")
    return "\n".join(lines)


def _members(schema: Schema, above: str = "") -> Iterator[tuple[str, str, str]]:
    """The members of an object, each before its own ones: path, type in words, and what it is."""
    for name, member in schema["properties"].items():
        yield above + name, _type_in_words(member), member["description"]
        inner, between = (member["items"], "[].") if "items" in member else (member, ".")
        if "properties" in inner:
            yield from _members(inner, f"{above}{name}{between}")


def _type_in_words(schema: Schema) -> str:
    if "items" in schema:
        return f"list of {_type_in_words(schema['items'])}"
    may_be_null = "null" in schema["type"]
    kind = schema["type"][0] if may_be_null else schema["type"]
    values = ", ".join(f"`{value}`" for value in schema.get("enum", ()) if value is not None)
    return (values or schema.get("format", kind)) + (" or null" if may_be_null else "")
