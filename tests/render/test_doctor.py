"""Doctor's checks as a list by area, and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from orwatch.jobs.doctor.result import Check, CheckArea, CheckStatus, Comparison, DoctorResult
from orwatch.render.doctor import ANSWER, view
from tests.render.support import HOSTILE_NAME, INERT_NAME, WIDTHS, rendered, widest_line
from tests.support import NOW, TODAY

ANSWERS = Check(CheckArea.API, "API", CheckStatus.OK, "answers")
CLOCK = Check(CheckArea.API, "clock", CheckStatus.UNKNOWN, "the API does not report its time")
HIDDEN = Check(CheckArea.API, "ci", CheckStatus.SKIPPED, "not asked about: disabled")
MISSING = Check(
    CheckArea.TOTALS,
    "production",
    CheckStatus.FINDING,
    "this month: $9.13 stored, $12.34 at OpenRouter: $3.21 is missing. Days that could explain it: "
    "no data for 2026-11-03 to 2026-11-05.",
    "`orwatch sync --days 18` reads those days again, then run this again.",
    Comparison(date(2026, 11, 1), TODAY, Decimal("9.13"), Decimal("12.340000001")),
)
EXPLAINED = Check(
    CheckArea.TOTALS,
    "ci",
    CheckStatus.OK,
    "lifetime: $1.00 stored, $2.00 at OpenRouter: history begins on 2026-11-14",
    "`orwatch sync --days 31` fetches what OpenRouter still has.",
    Comparison(None, TODAY, Decimal(1), Decimal(2)),
)
RESULT = DoctorResult((ANSWERS, CLOCK, HIDDEN, MISSING, EXPLAINED), NOW)


def lines_of(result: DoctorResult, width: int = 80) -> list[str]:
    return [line.rstrip() for line in rendered(view(result), width).splitlines()]


def test_each_area_has_its_checks_with_marks_and_what_to_do_beneath() -> None:
    assert lines_of(RESULT) == [
        "OpenRouter",
        "ok  API    answers",
        "?   clock  the API does not report its time",
        "–   ci     not asked about: disabled",
        "",
        "Totals compared with OpenRouter's",
        "!   production  this month: $9.13 stored, $12.34 at OpenRouter: $3.21 is",
        "                missing. Days that could explain it: no data for 2026-11-03 to",
        "                2026-11-05.",
        "                To do: `orwatch sync --days 18` reads those days again, then run",
        "                this again.",
        "ok  ci          lifetime: $1.00 stored, $2.00 at OpenRouter: history begins on",
        "                2026-11-14",
        "                `orwatch sync --days 31` fetches what OpenRouter still has.",
        "",
        "1 finding.",
    ]


def test_a_wide_terminal_takes_a_check_on_a_line() -> None:
    lines = lines_of(RESULT, 200)
    assert f"!   production  {MISSING.message}" in lines
    assert f"                To do: {MISSING.advice}" in lines


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_is_wider_than_the_terminal_and_no_word_is_lost(width: int) -> None:
    text = rendered(view(RESULT), width)
    assert widest_line(text) <= width
    words = text.split()
    assert all(word in words for word in ("$9.13", "$12.34", "$3.21", "missing."))


@pytest.mark.parametrize(
    ("statuses", "sentence"),
    [
        ((CheckStatus.OK, CheckStatus.SKIPPED), "Nothing found; 2 checks."),
        ((CheckStatus.OK, CheckStatus.UNKNOWN), "Nothing found; 2 checks; 1 without an answer."),
        ((CheckStatus.FINDING, CheckStatus.OK), "1 finding."),
        ((CheckStatus.FINDING, CheckStatus.FINDING), "2 findings."),
    ],
)
def test_the_last_line_says_how_it_stands(statuses: tuple[CheckStatus, ...], sentence: str) -> None:
    result = DoctorResult(tuple(replace(ANSWERS, status=status) for status in statuses), NOW)
    assert lines_of(result)[-1] == sentence


def test_of_many_keys_those_are_listed_that_want_a_look() -> None:
    many = [replace(ANSWERS, subject=f"key-{number:03}") for number in range(500)]
    lines = lines_of(DoctorResult((ANSWERS, *many, CLOCK, replace(MISSING, area=CheckArea.API)), NOW))
    assert [line.split()[:2] for line in lines[1:]][:2] == [["?", "clock"], ["!", "production"]]
    assert "ok  others      501 more checks" in lines
    assert not any("key-" in line for line in lines)


def test_a_long_name_leaves_room_for_the_message() -> None:
    lines = lines_of(DoctorResult((replace(ANSWERS, subject="n" * 100),), NOW), 60)
    assert lines[1] == f"ok  {'n' * 23}…  answers"


def test_what_a_name_holds_deceives_nobody() -> None:
    hostile = replace(MISSING, subject=HOSTILE_NAME, message=HOSTILE_NAME, advice=HOSTILE_NAME)
    text = rendered(view(DoctorResult((hostile,), NOW)), 200)
    assert INERT_NAME in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_on_a_terminal_without_unicode_nothing_fails() -> None:
    assert "1 finding." in rendered(view(RESULT), encoding="ascii")


def parsed(result: DoctorResult) -> Any:
    return json.loads(ANSWER.document(result), parse_float=Decimal)


def test_json_has_every_check_with_its_amounts() -> None:
    answer = parsed(RESULT)
    assert list(answer) == ["schema_version", "status", "now", "findings", "checks"]
    assert (answer["status"], answer["now"], answer["findings"]) == ("attention", "2026-11-20T12:30:00Z", 1)
    assert answer["checks"][0] == {
        "area": "api",
        "subject": "API",
        "status": "ok",
        "message": "answers",
        "advice": None,
    }
    assert answer["checks"][3] == {
        "area": "totals",
        "subject": "production",
        "status": "finding",
        "message": MISSING.message,
        "advice": MISSING.advice,
        "since": "2026-11-01",
        "until": "2026-11-20",
        "stored_usd": Decimal("9.13"),
        "told_usd": Decimal("12.340000001"),
        "difference_usd": Decimal("3.210000001"),
    }
    assert (answer["checks"][4]["since"], answer["checks"][4]["difference_usd"]) == (None, 1)


def test_json_without_a_finding_is_ok() -> None:
    answer = parsed(DoctorResult((ANSWERS,), NOW))
    assert (answer["status"], answer["findings"]) == ("ok", 0)
