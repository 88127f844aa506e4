"""Answers of great length: what is kept of them is bounded."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from datetime import date, timedelta

import pytest

from orwatch.domain.usage import RejectedRow
from orwatch.errors import UnexpectedAnswerError
from orwatch.jobs.sync.result import number_of_rows, rejections_text
from orwatch.openrouter import values
from orwatch.openrouter.parse import parse_usage
from orwatch.openrouter.parse_account import parse_activity, parse_models
from orwatch.openrouter.rows import MAX_REJECTED_KEPT
from tests.openrouter.test_parse import GOOD_ROW, SINCE, UNTIL, parse

FIRST = MAX_REJECTED_KEPT


def test_of_many_rejected_rows_the_first_are_kept_and_the_others_counted_by_day() -> None:
    earlier = (UNTIL - timedelta(days=1)).isoformat()
    negative = GOOD_ROW | {"cost": -1}
    answer = parse(*[{}] * (FIRST + 50), *[negative] * 30, *[negative | {"date": earlier}] * 20, GOOD_ROW)
    assert len(answer.rows) == 1
    assert [(row.day, row.count) for row in answer.rejected[FIRST:]] == [
        (None, 50),
        (UNTIL, 30),
        (date.fromisoformat(earlier), 20),
    ]
    assert number_of_rows(answer.rejected) == FIRST + 100
    assert rejections_text(answer.rejected).startswith(f"{FIRST + 100} rows of the answer rejected: ")
    assert rejections_text(answer.rejected).endswith(f"; and {FIRST + 97} more")


def test_many_days_that_were_not_asked_for_are_one_number() -> None:
    rows = [GOOD_ROW | {"date": (SINCE - timedelta(days=n)).isoformat()} for n in range(1, FIRST + 401)]
    answer = parse(*rows)
    assert len(answer.rejected) == FIRST + 1
    assert answer.rejected[-1] == RejectedRow(
        answer.rejected[-1].reason, SINCE - timedelta(days=FIRST + 1), is_outside_window=True, count=400
    )


def test_rows_that_add_up_to_the_implausible_are_counted_too() -> None:
    answer = parse(*[GOOD_ROW | {"cost": 9_000_000}] * (FIRST + 7))
    assert answer.rows == ()
    assert [row.count for row in answer.rejected[FIRST:]] == [7]


def test_a_day_that_is_only_counted_is_doubtful_still() -> None:
    negative = GOOD_ROW | {"cost": -1, "date": SINCE.isoformat()}
    answer = parse(*[GOOD_ROW | {"cost": -1}] * FIRST, negative)
    assert answer.doubtful_days({SINCE, UNTIL, SINCE + timedelta(days=1)}) == {SINCE, UNTIL}


@pytest.mark.parametrize("value", ["{}", "[]", "1", '""', "{},{}", "1.5"])
def test_an_answer_of_too_many_values_is_not_even_read(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setattr(values, "MAX_VALUES", 50_000)
    monkeypatch.setattr(values, "MAX_OBJECTS", 20_000)
    monkeypatch.setattr(values, "_SMALL_BYTES", 100_000)
    body = f'{{"data": [{",".join([value] * 60_000)}]}}'.encode()
    tracemalloc.start()
    try:
        with pytest.raises(UnexpectedAnswerError, match="more than 50,000 values or 20,000 objects"):
            parse_usage(body, SINCE, UNTIL)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_the_largest_answer_of_usage_is_within_the_bounds() -> None:
    # With names as short as they can be; what comes is longer.
    row = json.dumps(GOOD_ROW | {"model": "a/b"}).encode()
    rows = 64 * 1024**2 // len(row)
    assert rows * row.count(b"{") < values.MAX_OBJECTS
    assert rows * (row.count(b",") + 1) < values.MAX_VALUES


def _usage(names: range) -> object:
    return parse(*(GOOD_ROW | {"model": f"model/{number}"} for number in names))


def _activity(names: range) -> object:
    rows = [GOOD_ROW | {"usage": 1, "provider_name": f"provider {number}"} for number in names]
    return parse_activity(json.dumps({"data": rows}).encode(), SINCE, UNTIL)


def _models(names: range) -> object:
    rows = [{"canonical_slug": f"m-{number}", "id": "m"} for number in names]
    return parse_models(json.dumps({"data": rows}).encode())


@pytest.mark.parametrize("ask", [_usage, _activity, _models])
def test_more_names_than_there_can_be_are_an_unexpected_answer(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[[range], object]
) -> None:
    monkeypatch.setattr(values, "MAX_NAMES", 50)
    ask(range(49))
    with pytest.raises(UnexpectedAnswerError, match="more than 50 models and providers"):
        ask(range(51))
