"""The JSON Schema of each answer: complete, in plain words, and strict."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from orwatch.domain.usage import COLUMNS, MEASURES
from orwatch.render import json_schema
from orwatch.render.json_schema import ANSWERS
from orwatch.render.json_text import Member, Shape
from tests.answers import validator
from tests.documents import commands

DOLLARS_OR_PART = ("US dollars", "0 to 1")
ANSWER = {
    "schema_version": 1,
    "runs": [
        {
            "job": "sync",
            "started_at": "2026-11-20T12:00:00Z",
            "finished_at": None,
            "duration_seconds": 2,
            "result": "ok",
            "slot": None,
            "counts": {"rows_written": 1},
            "error": None,
        }
    ],
}


@dataclass(frozen=True)
class Odd:
    """Has a value that JSON has no word for."""

    value: complex


def members(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each member of an object and of those within it, with its schema."""
    for name, member in schema.get("properties", {}).items():
        yield name, member
        yield from members(member.get("items", member))


def test_each_command_with_json_has_a_schema_and_the_option_that_prints_it() -> None:
    options = {
        name: {spelling for parameter in command.params for spelling in parameter.opts}
        for name, command in commands().items()
    }
    for option in ("--json", "--json-schema"):
        assert {name for name, spellings in options.items() if option in spellings} == {*ANSWERS}


@pytest.mark.parametrize("command", ANSWERS)
def test_it_is_a_schema_that_says_of_each_member_what_it_is_and_in_which_unit(command: str) -> None:
    schema = json.loads(json_schema.text(command))
    Draft202012Validator.check_schema(schema)
    for name, member in (*members(schema), *members(schema["$defs"]["error"])):
        about = member["description"]
        assert about.endswith("."), name
        if "number" in member["type"]:
            assert any(unit in about for unit in DOLLARS_OR_PART), name
        for unit in ("seconds", "bytes", "days"):
            if "integer" in member["type"] and unit in name:
                assert unit in about, name


@pytest.mark.parametrize(
    ("member", "values"),
    [
        ("job", ["sync", "cleanup"]),
        ("started_at", ["2026-11-20T23:59:59Z"]),
        ("finished_at", ["2026-11-20T12:00:00Z", None]),
        ("duration_seconds", [0, None]),
        ("counts", [{}, {"keys": 3}]),
        ("error", ["the API is away", None]),
    ],
)
def test_it_allows_the_values_that_there_may_be(member: str, values: list[Any]) -> None:
    for value in values:
        answer = deepcopy(ANSWER)
        answer["runs"][0][member] = value
        validator("runs").validate(answer)


@pytest.mark.parametrize(
    ("member", "values"),
    [
        ("job", ["report", None, 1]),
        ("started_at", [None, "2026-11-20", "soon", 1_700_000_000]),
        ("duration_seconds", ["2", 2.5, True]),
        ("counts", [{"keys": "3"}, [], None]),
        ("error", [False]),
        ("new", [1]),
    ],
)
def test_it_allows_no_other(member: str, values: list[Any]) -> None:
    for value in values:
        answer = deepcopy(ANSWER)
        answer["runs"][0][member] = value
        with pytest.raises(ValidationError):
            validator("runs").validate(answer)


@pytest.mark.parametrize("member", ANSWER["runs"][0])
def test_it_misses_a_member_that_is_not_there(member: str) -> None:
    answer = deepcopy(ANSWER)
    del answer["runs"][0][member]
    with pytest.raises(ValidationError, match=f"'{member}' is a required property"):
        validator("runs").validate(answer)


def test_what_some_answers_leave_out_is_not_required() -> None:
    rows = json_schema.answer("report")["properties"]["rows"]["items"]
    assert {*rows["properties"]} - {*rows["required"]} == {
        *("day", "week", "month", "model", "provider", "key"),
        *(COLUMNS.keys() - MEASURES.keys()),
    }
    checks = json_schema.answer("doctor")["properties"]["checks"]["items"]
    assert {*checks["properties"]} - {*checks["required"]} == {
        *("since", "until", "stored_usd", "told_usd", "difference_usd")
    }


def test_a_failure_is_described_as_well() -> None:
    failure = {"error": {"code": 78, "message": "no", "advice": None, "setting": "ORWATCH_SYNC_DAYS"}}
    validator("sync", "error").validate(failure)
    with pytest.raises(ValidationError):
        validator("sync", "error").validate({"error": failure["error"] | {"code": "78"}})


def test_a_value_that_json_cannot_hold_has_no_schema() -> None:
    with pytest.raises(TypeError, match="complex"):
        json_schema.of_shape(Shape(Odd, Member("value", "Something odd.")))
