"""What every JSON answer is made from: names that exist, and values that JSON can hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest

from orwatch.render import json_schema
from orwatch.render.json_schema import ANSWERS
from orwatch.render.json_text import Member, Shape


def nested(shape: Shape) -> Iterator[Shape]:
    yield shape
    for member in shape.members:
        if member.shape is not None:
            yield from nested(member.shape)


@pytest.mark.parametrize("name", ANSWERS)
def test_every_member_is_read_from_something_that_json_can_hold(name: str) -> None:
    # Raises where a name does not exist, or is of another type.
    json_schema.of_shape(ANSWERS[name])
    for shape in nested(ANSWERS[name]):
        for member in shape.members:
            if member.shape is not None:
                found, _ = json_schema.type_of(shape.made_from, member)
                assert member.shape.made_from in {found, *get_args(found)}, member


@pytest.mark.parametrize("name", ANSWERS)
def test_no_object_has_two_members_of_one_name(name: str) -> None:
    def names(shape: Shape) -> list[str]:
        return [
            name
            for each in shape.members
            for name in ([each.name] if isinstance(each, Member) else names(each.shape))
        ]

    for shape in nested(ANSWERS[name]):
        assert len(names(shape)) == len(set(names(shape)))
