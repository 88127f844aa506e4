"""What every JSON answer is made from: names that exist, and values that JSON can hold."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

import pytest

from orwatch.domain.usage import Dimension
from orwatch.render import cleanup, cron, db, doctor, key, report, runs, status, sync, validate
from orwatch.render.json_text import Member, Merged, Shape

MODULES = (cleanup, cron, db, doctor, key, runs, status, sync, validate)
SCALARS = (str, int, bool, Decimal, date, datetime, StrEnum)
SHAPES = {
    f"{module.__name__.rpartition('.')[2]}{name}": shape
    for module in MODULES
    for name, shape in vars(module).items()
    if isinstance(shape, Shape)
} | {"report": report.answer_shape((Dimension.DAY, Dimension.KEY))}


def nested(shape: Shape) -> Iterator[Shape]:
    yield shape
    for member in shape.members:
        if member.shape is not None:
            yield from nested(member.shape)


def known(annotation: Any) -> Any:
    """The type without the None of what may be unknown, and of a class attribute."""
    if get_origin(annotation) is ClassVar:
        return get_args(annotation)[0]
    if get_origin(annotation) in {Union, types.UnionType}:
        (annotation,) = (each for each in get_args(annotation) if each is not types.NoneType)
    return annotation


def type_of(made_from: Any, member: Member | Merged) -> Any:
    """The type of a member, by the annotations of what it is read from."""
    source = member.name if isinstance(member, Member) and member.source is None else member.source
    if callable(source):
        assert source.__doc__, f"{source} says nowhere what it is"
        return known(get_type_hints(source)["return"])
    found = made_from
    for name in source.split(".") if source else ():
        attribute = getattr(found, name, None)
        getter = attribute.fget if isinstance(attribute, property) else None
        found = known(get_type_hints(getter)["return"] if getter else get_type_hints(found)[name])
    return found


def is_json(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, SCALARS):
        return True
    origin = get_origin(annotation)
    return (
        origin is not None
        and issubclass(origin, Sequence | Mapping)
        and all(each is ... or is_json(each) for each in get_args(annotation))
    )


@pytest.mark.parametrize("name", SHAPES)
def test_every_member_is_read_from_something_that_json_can_hold(name: str) -> None:
    for shape in nested(SHAPES[name]):
        for member in shape.members:
            found = type_of(shape.made_from, member)
            if member.shape is None:
                assert is_json(found), f"{member} has the type {found}"
            else:
                assert member.shape.made_from in {found, *get_args(found)}, member


@pytest.mark.parametrize("name", SHAPES)
def test_no_object_has_two_members_of_one_name(name: str) -> None:
    def names(shape: Shape) -> list[str]:
        return [
            name
            for each in shape.members
            for name in ([each.name] if isinstance(each, Member) else names(each.shape))
        ]

    for shape in nested(SHAPES[name]):
        assert len(names(shape)) == len(set(names(shape)))
