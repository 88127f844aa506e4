"""JSON with exact decimals."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orwatch.render import json_text
from orwatch.render.json_text import JsonValue

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False).filter(lambda value: abs(value.adjusted()) < 60)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), DECIMALS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def exactly(text: str) -> Any:
    """The value, its numbers as they are written."""
    return json.loads(text, parse_float=Decimal)


@given(DECIMALS)
def test_money_keeps_every_digit(amount: Decimal) -> None:
    read = exactly(json_text.dumps(amount))
    assert Decimal(read) == amount


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0.1", "0.1"),
        ("1E-9", "0.000000001"),
        ("1E+3", "1000"),
        ("12345678901234567890.123456789", "12345678901234567890.123456789"),
        ("0.10", "0.1"),
        ("18.8409390", "18.840939"),
        ("100.000", "100"),
        ("0E-9", "0"),
    ],
)
def test_money_is_a_plain_decimal_number(amount: str, text: str) -> None:
    assert json_text.dumps(Decimal(amount)) == text


@given(VALUES)
def test_any_value_can_be_read_back(value: JsonValue) -> None:
    assert exactly(json_text.dumps(value)) == value


@given(VALUES)
def test_a_value_is_one_line_of_ascii(value: JsonValue) -> None:
    text = json_text.dumps(value)
    assert text.isascii()
    assert len(text.splitlines()) == 1


def test_a_truth_value_is_no_number() -> None:
    assert json_text.dumps({"yes": True, "one": 1}) == '{"yes": true, "one": 1}'


def test_a_day_is_an_iso_date_and_a_time_ends_with_z() -> None:
    moment = datetime(2026, 11, 20, 2, 0, 1, 999, tzinfo=UTC)
    assert json_text.dumps([date(2026, 11, 20), moment]) == '["2026-11-20", "2026-11-20T02:00:01Z"]'


@given(st.dictionaries(st.text(), VALUES, max_size=3))
def test_a_document_is_its_members_after_the_version(members: dict[str, JsonValue]) -> None:
    members.pop("schema_version", None)
    document = exactly(json_text.document(members))
    assert next(iter(document)) == "schema_version"
    assert document == {"schema_version": 1, **members}


def test_a_document_has_a_line_for_each_member_and_each_item() -> None:
    text = json_text.document({"job": "sync", "keys": [{"name": "ci", "days": [1, 2]}, {}], "notes": []})
    assert text.splitlines() == [
        "{",
        '  "schema_version": 1,',
        '  "job": "sync",',
        '  "keys": [',
        '    {"name": "ci", "days": [1, 2]},',
        "    {}",
        "  ],",
        '  "notes": []',
        "}",
    ]


def test_a_text_with_control_characters_is_escaped() -> None:
    assert json_text.dumps("\x1b[31m\u202e\n") == '"\\u001b[31m\\u202e\\n"'
