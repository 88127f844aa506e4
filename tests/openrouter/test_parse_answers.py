"""Answers that are not what an endpoint promises."""

from __future__ import annotations

import json
from datetime import date

import pytest

from orwatch.errors import UnexpectedAnswerError
from orwatch.openrouter.parse import parse_key, parse_usage

SINCE, UNTIL = date(2026, 2, 14), date(2026, 2, 20)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<!DOCTYPE html><html><body>502 Bad Gateway", "begins with '<!DOCTYPE html>"),
        (b"", "is empty (0 bytes)"),
        (b"  \n", "is empty (3 bytes)"),
        (b'{"data": [{"date": "2026-02', "is not JSON"),
        (b"\x1b[2J\x07boo", "begins with '\ufffd[2J\ufffdboo'"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[" * 200_000, "is not JSON"),
        (b'{"data": ' + b'{"a": ' * 200_000, "is not JSON"),
        (b"[]", "the answer is a list"),
        (b"null", "the answer is null"),
        (b"true", "the answer is a boolean"),
        (b"17", "the answer is a number"),
        (b"9" * 5000, "the answer is a number"),
        (b'"data"', "the answer is a string"),
        (b"NaN", "the answer is a string"),
        (b"{}", "the answer has no data"),
        (b'{"error": {"message": "no"}}', "the answer has no data"),
        (b'{"data": null}', "the answer's data is null"),
        (b'{"data": "x"}', "the answer's data is a string"),
        (b'{"data": 1.5}', "the answer's data is a number"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_what_is_not_the_promised_shape_is_an_unexpected_answer_that_says_what_came(
    body: bytes, said: str
) -> None:
    for parser in (lambda: parse_usage(body, SINCE, UNTIL), lambda: parse_key(body)):
        with pytest.raises(UnexpectedAnswerError) as raised:
            parser()
        assert said in str(raised.value)
        assert str(raised.value).isprintable()
        assert len(str(raised.value)) < 160


def test_usage_data_that_is_an_object_and_key_data_that_is_a_list_are_unexpected() -> None:
    with pytest.raises(UnexpectedAnswerError, match="data is an object, not a list of rows"):
        parse_usage(b'{"data": {}}', SINCE, UNTIL)
    with pytest.raises(UnexpectedAnswerError, match="data is a list, not an object"):
        parse_key(b'{"data": []}')


def test_a_byte_order_mark_and_utf_16_are_read() -> None:
    text = json.dumps({"data": [{"date": "2026-02-20", "model": "a", "cost": 1}]})
    for body in (b"\xef\xbb\xbf" + text.encode(), text.encode("utf-16")):
        assert len(parse_usage(body, SINCE, UNTIL).rows) == 1
