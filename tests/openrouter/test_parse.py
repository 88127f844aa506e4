"""The parser: rows and facts that are believed, and how everything else is refused."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orwatch.domain.keys import KeyFacts
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageAnswer
from orwatch.errors import UnexpectedAnswerError
from orwatch.openrouter.parse import parse_error, parse_key, parse_usage
from orwatch.openrouter.values import MAX_COUNT, MAX_NAME_LENGTH, MAX_USD

SINCE, UNTIL = date(2026, 2, 14), date(2026, 2, 20)
GOOD_ROW = {
    "date": "2026-02-20",
    "model": "openai/gpt-4.1",
    "requests_count": 5,
    "tokens_input": 50,
    "tokens_output": 125,
    "cost": 0.015,
}


def parse(*rows: object) -> UsageAnswer:
    return parse_usage(json.dumps({"data": rows}).encode(), SINCE, UNTIL)


def parse_with(field: str, json_text: str) -> UsageAnswer:
    """A bad or odd row, its field written as this JSON text, before a good row of another model."""
    row = {name: json.dumps(value) for name, value in GOOD_ROW.items()} | {field: json_text}
    odd = ", ".join(f'"{name}": {value}' for name, value in row.items())
    good = json.dumps(GOOD_ROW | {"model": "good/model"})
    return parse_usage(f'{{"data": [{{{odd}}}, {good}]}}'.encode(), SINCE, UNTIL)


# What can come as JSON at all.

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["2026-02-20", "openai/gpt-4.1", "1e999999999", "\ud800", *GOOD_ROW]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        | st.fixed_dictionaries({}, optional=dict.fromkeys(GOOD_ROW, inner))
        | st.fixed_dictionaries({"data": inner})
    ),
    max_leaves=20,
)
almost_rows = st.fixed_dictionaries(
    {}, optional={name: st.just(value) | json_values for name, value in GOOD_ROW.items()}
)


@given(json_values | st.fixed_dictionaries({"data": json_values | st.lists(almost_rows, max_size=3)}))
def test_any_json_at_all_is_parsed_or_is_an_unexpected_answer(value: Any) -> None:
    body = json.dumps(value).encode()
    try:
        answer = parse_usage(body, SINCE, UNTIL)
        assert len(value["data"]) >= len(answer.rows)
        for row in answer.rows:
            assert SINCE <= row.day <= UNTIL
            assert 0 <= row.cost_usd <= MAX_USD
    except UnexpectedAnswerError:
        assert not isinstance(value, dict) or not isinstance(value.get("data"), list)
    try:
        assert isinstance(parse_key(body), KeyFacts)
    except UnexpectedAnswerError:
        assert not isinstance(value, dict) or not isinstance(value.get("data"), dict)
    said = parse_error(body)
    assert said is None or said.isprintable()


@given(
    st.binary(max_size=200)
    | st.text(max_size=50).map(str.encode)
    | st.text().map(lambda t: t.encode("utf-16"))
)
def test_any_bytes_at_all_are_parsed_or_are_an_unexpected_answer(body: bytes) -> None:
    for parser in (lambda: parse_usage(body, SINCE, UNTIL), lambda: parse_key(body)):
        with pytest.raises(UnexpectedAnswerError) as raised:
            parser()
        assert str(raised.value).isprintable()
    assert parse_error(body) is None


@given(st.integers(0, len(json.dumps({"data": [GOOD_ROW]})) - 1))
def test_an_answer_cut_anywhere_is_an_unexpected_answer(length: int) -> None:
    with pytest.raises(UnexpectedAnswerError):
        parse_usage(json.dumps({"data": [GOOD_ROW]}).encode()[:length], SINCE, UNTIL)


# Sums.

days = st.dates(SINCE, UNTIL)
model_names = st.sampled_from(["openai/gpt-4.1", "anthropic/claude-opus-4.5", "x/y:free", "Ünïcode/模型"])
counts = st.none() | st.integers(0, 10**9)
costs = st.decimals(0, 1000, places=12) | st.decimals(0, Decimal("1e-6"), places=15)


@st.composite
def valid_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    rows = []
    for _ in range(draw(st.integers(0, 12))):
        day = draw(days).isoformat()
        row: dict[str, Any] = {"date": draw(st.sampled_from([day, f"{day} 00:00:00", f"{day}T00:00:00Z"]))}
        row["model"] = draw(model_names)
        for name in ("requests_count", "tokens_input", "tokens_output"):
            count = draw(counts)
            row[name] = str(count) if count is not None and draw(st.booleans()) else count
        row["cost"] = draw(costs)
        rows.append(row)
    return rows


def body_of(rows: list[dict[str, Any]]) -> bytes:
    """JSON with the costs written as exact numbers, some of them like 1.5E-7."""
    return (
        json.dumps({"data": [{**row, "cost": f"<{row['cost']}>"} for row in rows]})
        .replace('"<', "")
        .replace('>"', "")
        .encode()
    )


def expected(
    rows: list[dict[str, Any]],
) -> dict[tuple[str, str], tuple[int | None, int | None, int | None, int]]:
    """By day and model: the counts, and the cost in nano-dollars, by integers and fractions alone."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["date"][:10], row["model"]].append(row)
    sums = {}
    for key, group in groups.items():
        totals = []
        for name in ("requests_count", "tokens_input", "tokens_output"):
            values = [row[name] for row in group]
            totals.append(None if None in values else sum(int(value) for value in values))
        sums[key] = (*totals, round(sum(Fraction(row["cost"]) for row in group) * 10**9))
    return sums


@given(valid_rows())
def test_rows_of_one_day_and_model_are_added_up_exactly(rows: list[dict[str, Any]]) -> None:
    answer = parse_usage(body_of(rows), SINCE, UNTIL)
    assert answer.rejected == ()
    assert {
        (row.day.isoformat(), row.model): (
            row.requests,
            row.tokens_input,
            row.tokens_output,
            Fraction(row.cost_usd) * 10**9,
        )
        for row in answer.rows
    } == expected(rows)
    assert list(answer.rows) == sorted(answer.rows, key=lambda row: (row.day, row.model))


@given(st.lists(almost_rows, max_size=5))
def test_each_row_is_judged_as_if_it_came_alone(rows: list[dict[str, Any]]) -> None:
    named = [row | {"model": f"model/{place}"} for place, row in enumerate(rows)]
    alone = [parse(row) for row in named]
    together = parse(*named)
    assert sorted(together.rows) == sorted(row for answer in alone for row in answer.rows)
    assert sorted(map(repr, together.rejected)) == sorted(
        repr(row) for answer in alone for row in answer.rejected
    )


huge = st.sampled_from([0, 1, 4 * 10**6, 6 * 10**6, 9 * 10**6])


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "date": st.sampled_from(["2026-02-20", "2026-02-19", "2026-01-01", "rubbish"]),
                "model": st.sampled_from(["a", "b", ""]),
                "requests_count": st.none() | st.sampled_from([1, MAX_COUNT, "x"]),
                "cost": huge,
            }
        ),
        max_size=6,
    ).flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(rows)))
)
def test_the_order_of_rows_does_not_matter(
    pair: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    first, second = (parse(*rows) for rows in pair)
    assert first.rows == second.rows
    assert sorted(map(repr, first.rejected)) == sorted(map(repr, second.rejected))


ROWS: list[Any] = [
    *(GOOD_ROW | {"date": day} for day in ("2026-02-20", "2026-02-19", "2026-02-01", "2026-02-30", None, [])),
    *(GOOD_ROW | {"cost": cost} for cost in ("1.5", 0.1234567891, 0, -1, "free", None, {})),
    *(GOOD_ROW | {"tokens_input": count} for count in (None, "7", 10**9, 1.5, True, [], -1)),
    *(GOOD_ROW | {"date": "2026-02-01", "cost": -1}, GOOD_ROW | {"tokens_output": -1, "cost": -1}),
    *({field: value for field, value in GOOD_ROW.items() if field != name} for name in GOOD_ROW),
]
ROWS = [{**row, "model": f"model {place}"} if "model" in row else row for place, row in enumerate(ROWS)]
ROWS += [*(GOOD_ROW | {"model": name} for name in (None, "", 5)), None, 5, "text", [], {}]


@given(st.lists(st.sampled_from(range(len(ROWS))), unique=True), st.integers(1, 50))
def test_each_row_is_judged_as_if_it_had_come_alone(places: list[int], rows_at_once: int) -> None:
    rows = [ROWS[place] for place in places]
    alone = [parse(row) for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orwatch.openrouter.rows._ROWS_AT_ONCE", rows_at_once)
        together = parse(*rows)
    assert sorted(together.rows, key=repr) == sorted((row for each in alone for row in each.rows), key=repr)
    assert together.rejected == tuple(row for each in alone for row in each.rejected)


def test_rows_of_one_model_that_add_up_to_the_implausible_are_rejected_together() -> None:
    answer = parse(
        GOOD_ROW | {"cost": 6_000_000},
        GOOD_ROW | {"cost": 6_000_000},
        GOOD_ROW | {"model": "good/model"},
        GOOD_ROW | {"model": "many", "tokens_input": MAX_COUNT},
        GOOD_ROW | {"model": "many", "tokens_input": 1},
    )
    assert [row.model for row in answer.rows] == ["good/model"]
    assert [(row.day, row.is_outside_window) for row in answer.rejected] == [(UNTIL, False)] * 4
    assert "add up to more than is plausible" in answer.rejected[0].reason


def test_the_answer_says_its_source_and_window() -> None:
    answer = parse()
    assert (answer.source, answer.since, answer.until) == (UsageSource.USAGE, SINCE, UNTIL)
    assert answer.rows == ()


# One row.


@pytest.mark.parametrize(
    ("field", "json_text", "attribute", "value"),
    [
        ("cost", "1e-7", "cost_usd", Decimal("0.0000001")),
        ("cost", "0.1", "cost_usd", Decimal("0.1")),
        ("cost", '"0.015"', "cost_usd", Decimal("0.015")),
        ("cost", "0", "cost_usd", Decimal(0)),
        ("cost", "-0.0", "cost_usd", Decimal(0)),
        ("cost", "0e999", "cost_usd", Decimal(0)),
        ("cost", "10000000", "cost_usd", MAX_USD),
        ("cost", "1.0000000005", "cost_usd", Decimal(1)),
        ("cost", "1.0000000015", "cost_usd", Decimal("1.000000002")),
        ("cost", "1e-399", "cost_usd", Decimal(0)),
        ("cost", "0." + "0" * 8 + "1" + "0" * 5000, "cost_usd", Decimal("1e-9")),
        ("requests_count", '"1523"', "requests", 1523),
        ("requests_count", '" 7 "', "requests", 7),
        ("requests_count", "5.0", "requests", 5),
        ("requests_count", "1e3", "requests", 1000),
        ("tokens_input", "10000000000000", "tokens_input", MAX_COUNT),
        ("tokens_output", "null", "tokens_output", None),
        ("date", '"2026-02-20 00:00:00"', "day", date(2026, 2, 20)),
        ("date", '"2026-02-19T00:00:00.000Z"', "day", date(2026, 2, 19)),
        ("date", '"2026-02-14T00:00:00+00:00"', "day", SINCE),
        ("model", '"  openai/gpt-4.1 "', "model", "openai/gpt-4.1"),
        ("model", json.dumps("m" * MAX_NAME_LENGTH), "model", "m" * MAX_NAME_LENGTH),
        ("model", '"模型/\\ud83d\\ude00"', "model", "模型/😀"),
    ],
)
def test_odd_but_honest_values_are_taken_exactly(
    field: str, json_text: str, attribute: str, value: object
) -> None:
    answer = parse_with(field, json_text)
    assert answer.rejected == ()
    odd = next(row for row in answer.rows if row.model != "good/model")
    assert getattr(odd, attribute) == value


NO_NUMBERS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "1e99999999999999999999",
    "true",
    "false",
    "[]",
    "{}",
    '""',
    '"NaN"',
    '"1e9999"',
    '"0x10"',
    '"١٢"',
    '"1_000"',
    '"1e99999999999999999999"',
    "9" * 5000,
    f'"{"9" * 401}"',
]
BAD_COUNTS = [*NO_NUMBERS, "-1", "1.5", '"-3"', '"many"', "10000000000001"]
BAD_COSTS = [
    *NO_NUMBERS,
    *("-0.01", "-1e-9", "null", '"free"', '"$1"', '"1,5"', '"sNaN"', "10000000.01", "1e-400"),
    f'"0.{"1" * 400}"',
]
BAD_DATES = [
    "null",
    "true",
    "20260220",
    "1771545600",
    "1e400",
    "[]",
    "{}",
    '""',
    '"yesterday"',
    '"2026-02-30"',
    '"2026-13-01"',
    '"0000-00-00"',
    '"2026-02"',
    '"2026-2-20"',
    '"20260220"',
    '"2026-W08-5"',
    '"2026-02-20x"',
    '"٢٠٢٦-02-20"',
    '"\\ud800"',
    '"2026-02-20 24:00:00"',
    '"2026-02-20T12:00:00+02:00"',
]
BAD_MODELS = [
    *[r"true", r"1", r"[]", r"{}", r'""', r'"\ud800"', r'"gpt\udfff"', r'"a\u0000b"'],
    *('"  "', json.dumps("m" * (MAX_NAME_LENGTH + 1)), json.dumps("m" * 10**6)),
]


@pytest.mark.parametrize(
    ("field", "json_text"),
    [
        *(("requests_count", text) for text in BAD_COUNTS),
        *(("tokens_input", text) for text in BAD_COUNTS),
        *(("tokens_output", text) for text in BAD_COUNTS),
        *(("cost", text) for text in BAD_COSTS),
        *(("date", text) for text in BAD_DATES),
        *(("model", text) for text in BAD_MODELS),
    ],
    ids=lambda value: value[:25].encode("unicode_escape").decode(),
)
def test_a_row_with_a_fault_is_rejected_and_the_rest_kept(field: str, json_text: str) -> None:
    answer = parse_with(field, json_text)
    assert [row.model for row in answer.rows] == ["good/model"]
    (rejected,) = answer.rejected
    assert not rejected.is_outside_window
    assert rejected.day == (None if field == "date" else UNTIL)
    assert rejected.reason.isprintable()
    assert len(rejected.reason) < 160
    assert {"date": "the date", "model": "the model"}.get(field, field) in rejected.reason


@pytest.mark.parametrize("row", [None, True, 1, "row", [], [GOOD_ROW]])
def test_a_row_that_is_no_object_is_rejected(row: object) -> None:
    answer = parse(row, GOOD_ROW)
    assert len(answer.rows) == 1
    assert [(rejected.day, rejected.is_outside_window) for rejected in answer.rejected] == [(None, False)]


@pytest.mark.parametrize("day", [SINCE - timedelta(days=1), UNTIL + timedelta(days=1), date.min, date.max])
def test_a_row_outside_of_the_asked_window_is_told_apart_from_a_faulty_one(day: date) -> None:
    answer = parse(GOOD_ROW, GOOD_ROW | {"date": day.isoformat(), "cost": "rubbish"})
    assert len(answer.rows) == 1
    (rejected,) = answer.rejected
    assert (rejected.day, rejected.is_outside_window) == (day, True)
    assert f"{day} is outside of 2026-02-14 to 2026-02-20" in rejected.reason


numerals = st.integers().map(str) | st.sampled_from(["-0", "0.0", "1e-399", "1e-400", "1e29", "1e30"])
numerals |= st.integers(MAX_COUNT - 2, MAX_COUNT + 2).map(str)
numerals |= st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,25})?", fullmatch=True)


@given(st.sampled_from(["requests_count", "tokens_input", "tokens_output", "cost"]), numerals)
def test_a_number_is_believed_and_read_as_the_text_of_it_is(field: str, numeral: str) -> None:
    number, text = parse_with(field, numeral), parse_with(field, f'"{numeral}"')
    padded = parse_with(field, f'" {numeral} "')
    assert number.rows == text.rows == padded.rows
    assert [row.day for row in number.rejected] == [row.day for row in text.rejected]


@given(valid_rows(), st.sampled_from(["9" * 5000, "1e99999999999999999999"]))
def test_a_number_that_is_too_much_for_a_quick_look_changes_no_other_row(
    rows: list[dict[str, Any]], numeral: str
) -> None:
    body = body_of([*rows, GOOD_ROW])
    answer = parse_usage(body.replace(b"[", f"[{numeral}, ".encode(), 1), SINCE, UNTIL)
    assert answer.rows == parse_usage(body, SINCE, UNTIL).rows
    assert [row.day for row in answer.rejected] == [None]


@pytest.mark.parametrize("text", ["2026-02-30", "rubbish", "2026-02-20T00:00:00." + "0" * 50 + "x"])
def test_a_faulty_date_is_as_faulty_the_second_time(text: str) -> None:
    answer = parse(GOOD_ROW | {"date": text}, GOOD_ROW | {"date": text}, GOOD_ROW)
    first, second = answer.rejected
    assert first == second
    assert len(answer.rows) == 1


def test_a_date_may_tell_any_number_of_zeros() -> None:
    assert parse(GOOD_ROW | {"date": f"2026-02-20T00:00:00.{'0' * 50}Z"}) == parse(GOOD_ROW)


def test_a_missing_count_is_unknown_and_a_missing_cost_costs_the_row() -> None:
    answer = parse({"date": "2026-02-20", "model": "a", "cost": 1}, {"date": "2026-02-20", "model": "b"})
    assert [(row.model, row.requests, row.tokens_input, row.tokens_output) for row in answer.rows] == [
        ("a", None, None, None)
    ]
    assert "cost is null" in answer.rejected[0].reason


@pytest.mark.parametrize("text", ["-2e-17", '"-2e-17"', "-4.9e-10", "-0.0"])
def test_a_cost_that_rounds_to_no_nano_dollars_is_zero(text: str) -> None:
    answer = parse_with("cost", text)
    assert ([row.cost_usd for row in answer.rows if row.model != "good/model"], answer.rejected) == ([0], ())


@pytest.mark.parametrize("time", ["12:00:00", "T23:59:59.999Z", "T07:05", " 23:59:59 UTC", "T01:02:03+00:00"])
def test_a_date_with_any_time_of_day_is_that_day(time: str) -> None:
    answer = parse_with("date", f'"2026-02-20{time if time[0] in " T" else " " + time}"')
    assert ([row.day for row in answer.rows], answer.rejected) == ([date(2026, 2, 20)] * 2, ())


def test_a_row_whose_model_is_null_keeps_its_dollars() -> None:
    answer = parse_with("model", "null")
    rows = [row for row in answer.rows if row.model is None]
    assert ([row.cost_usd for row in rows], answer.rejected) == ([Decimal(str(GOOD_ROW["cost"]))], ())
