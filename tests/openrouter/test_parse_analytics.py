"""What ``POST /analytics/query`` answers: each quirk of a row, and when the answer is whole."""

from __future__ import annotations

from decimal import Decimal

import pytest

from orwatch.domain.usage import OwnedRow, UsageRow
from orwatch.errors import TruncatedAnswerError, UnexpectedAnswerError
from orwatch.openrouter.parse_account import (
    parse_analytics,
)
from orwatch.openrouter.values import MAX_COUNT
from tests.openrouter.management_answers import (
    ANALYTICS_ROW,
    LIMIT,
    LISTED_KEY,
    PERMASLUG,
    SINCE,
    UNTIL,
    analytics,
    analytics_body,
    exact_json,
    keys,
    only,
    without,
)

ODD_TEXTS = ["\x1b[31mred\x1b[0m", " spaced ", "tab\there", "\u202egnp.exe", "模型 😀", "a\nb", "n" * 1000]


def test_an_analytics_row_is_told_in_full_with_its_counts_from_texts() -> None:
    read = analytics(ANALYTICS_ROW)
    assert (read.since, read.until, read.rejected) == (SINCE, UNTIL, ())
    row = UsageRow(
        day=UNTIL,
        model=PERMASLUG,
        provider=None,
        requests=5,
        tokens_input=50,
        tokens_output=125,
        cost_usd=Decimal("0.015"),
        tokens_reasoning=25,
        tokens_cached=10,
        byok_cost_usd=Decimal("0.012"),
    )
    assert read.rows == (OwnedRow("laptop", row),)


def test_counts_may_come_as_numbers_too() -> None:
    numbers = {name: int(value) for name, value in ANALYTICS_ROW.items() if str(value).isdigit()}
    assert len(numbers) == 5
    assert analytics(ANALYTICS_ROW | numbers) == analytics(ANALYTICS_ROW)


@pytest.mark.parametrize(
    ("told", "cost", "byok"),
    [
        ({"credits_usage": None, "byok_usage": None}, "0", "0"),
        ({"credits_usage": None, "byok_usage": 0.5}, "0", "0.5"),
        ({"credits_usage": 0.25, "byok_usage": None}, "0.25", "0"),
        ({"credits_usage": 0, "byok_usage": 0}, "0", "0"),
        ({"credits_usage": "0.25", "byok_usage": "1e-7"}, "0.25", "0.0000001"),
        # The total does not take the place of credits that were not used.
        ({"credits_usage": None, "byok_usage": 0.5, "total_usage": 0.5}, "0", "0.5"),
    ],
)
def test_money_that_was_not_used_is_null_and_counts_as_nothing(
    told: dict[str, object], cost: str, byok: str
) -> None:
    row = only(analytics(ANALYTICS_ROW | told).rows).row
    assert (row.cost_usd, row.byok_cost_usd) == (Decimal(cost), Decimal(byok))


@pytest.mark.parametrize(
    ("told", "cost", "byok"),
    [
        ({"total_usage": 0.75, "byok_usage": 0.5}, "0.25", "0.5"),
        ({"total_usage": 0.75, "byok_usage": None}, "0.75", "0"),
        ({"total_usage": 0.75}, "0.75", "0"),
        ({"total_usage": Decimal("0.500000001"), "byok_usage": 0.5}, "0.000000001", "0.5"),
        # Two roundings, and no refund.
        ({"total_usage": 0.49999999, "byok_usage": 0.5}, "0", "0.5"),
    ],
)
def test_where_the_credits_are_missing_they_are_the_total_without_byok(
    told: dict[str, object], cost: str, byok: str
) -> None:
    row = only(analytics(without(ANALYTICS_ROW, "credits_usage", "byok_usage") | told).rows).row
    assert (row.cost_usd, row.byok_cost_usd) == (Decimal(cost), Decimal(byok))


def test_a_row_that_tells_neither_credits_nor_total_is_rejected_and_not_free() -> None:
    read = analytics(without(ANALYTICS_ROW, "credits_usage"))
    assert read.rows == ()
    assert "total_usage is null, not a plausible amount" in only(read.rejected).reason


@pytest.mark.parametrize("column", ["date__day", "created_at__day"])
@pytest.mark.parametrize(
    "text",
    [
        "2026-02-20",
        "2026-02-20T00:00:00Z",
        "2026-02-20T00:00:00.000Z",
        "2026-02-20T00:00:00.000000Z",
        "2026-02-20T00:00:00+00:00",
        "2026-02-20T00:00:00",
        "2026-02-20 00:00:00",
        "2026-02-20 00:00:00.000",
        "2026-02-20 00:00:00+00:00",
    ],
)
def test_the_bucket_is_a_date_an_rfc_3339_time_or_an_sql_time_in_either_column(
    column: str, text: str
) -> None:
    row = without(ANALYTICS_ROW, "date__day") | {column: text}
    assert only(analytics(row).rows).row.day == UNTIL


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"date__day": None},
        {"date__day": 20260220},
        {"date__day": ["2026-02-20"]},
        {"date__day": {"day": "2026-02-20"}},
        {"date__day": "2026-02-20T25:00:00Z"},
        {"date__hour": "2026-02-20T00:00:00Z"},
        {"created_at__day": "2026-02-30"},
    ],
)
def test_an_analytics_row_without_a_day_is_rejected(told: dict[str, object]) -> None:
    read = analytics(without(ANALYTICS_ROW, "date__day") | told, ANALYTICS_ROW)
    assert only(read.rows).row.requests == 5
    assert (only(read.rejected).day, only(read.rejected).is_outside_window) == (None, False)


@pytest.mark.parametrize("fields", [["api_key_id"], []])
def test_an_api_key_id_of_null_or_none_at_all_is_use_by_no_key(fields: list[str]) -> None:
    row = without(ANALYTICS_ROW, *fields) | ({} if fields else {"api_key_id": None})
    assert only(analytics(row).rows).owner is None


def test_two_rows_with_the_same_name_are_added_up_and_other_names_stay_apart() -> None:
    read = analytics(
        ANALYTICS_ROW,
        ANALYTICS_ROW | {"api_key_id": None},
        ANALYTICS_ROW | {"api_key_id": "Laptop"},
        ANALYTICS_ROW | {"credits_usage": 0.1, "request_count": 2},
        ANALYTICS_ROW | {"api_key_id": "laptop "},
    )
    assert [(each.owner, each.row.requests, each.row.cost_usd) for each in read.rows] == [
        (None, 5, Decimal("0.015")),
        ("Laptop", 5, Decimal("0.015")),
        ("laptop", 7, Decimal("0.115")),
        ("laptop ", 5, Decimal("0.015")),
    ]


@pytest.mark.parametrize("name", ODD_TEXTS)
def test_the_name_of_a_key_stays_as_it_came_so_that_the_list_and_analytics_agree(name: str) -> None:
    assert only(analytics(ANALYTICS_ROW | {"api_key_id": name}).rows).owner == name
    assert keys(LISTED_KEY | {"name": name})[0].name == name


@pytest.mark.parametrize("owner", [5, 1.5, True, [], ["laptop"], {}, {"id": "laptop"}, "\ud800", "a\0b"])
def test_an_api_key_id_that_is_no_name_is_rejected_and_not_use_by_no_key(owner: object) -> None:
    read = analytics(ANALYTICS_ROW | {"api_key_id": owner}, ANALYTICS_ROW)
    assert only(read.rows).owner == "laptop"
    assert only(read.rejected).reason == "2026-02-20: the api_key_id is not a name"


@pytest.mark.parametrize("told", [{}, {"model": None}])
def test_use_of_no_model_is_kept_without_one(told: dict[str, object]) -> None:
    read = analytics(without(ANALYTICS_ROW, "model") | told)
    assert (only(read.rows).row.model, read.rejected) == (None, ())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            (field, value)
            for field in ("credits_usage", "byok_usage")
            for value in (-0.01, "free", True, [], {}, 10_000_001)
        ),
        *(
            (field, value)
            for field in (
                *("request_count", "tokens_prompt", "tokens_completion"),
                *("reasoning_tokens", "cached_tokens"),
            )
            for value in (-1, "1.5", "many", "", [], {}, True, MAX_COUNT + 1)
        ),
        *(("model", value) for value in ("", " ", 5, [], {}, "\ud800", "m" * 257)),
    ],
)
def test_an_analytics_row_with_a_fault_is_rejected_and_the_rest_kept(field: str, value: object) -> None:
    read = analytics(ANALYTICS_ROW | {field: value}, ANALYTICS_ROW | {"api_key_id": "other"})
    assert only(read.rows).owner == "other"
    rejected = only(read.rejected)
    assert (rejected.day, rejected.is_outside_window) == (UNTIL, False)
    assert field in rejected.reason
    assert rejected.reason.isprintable()


def test_a_total_with_a_fault_costs_its_row_and_no_other() -> None:
    rows = [{**ANALYTICS_ROW, "api_key_id": name, "total_usage": 0.5} for name in "abcd"]
    for row, total in ((rows[1], -1), (rows[2], 1)):
        del row["credits_usage"]
        row["total_usage"] = total
    read = analytics(*rows)
    assert [each.owner for each in read.rows] == ["a", "c", "d"]
    assert "total_usage is -1" in only(read.rejected).reason


@pytest.mark.parametrize(
    ("field", "attribute"),
    [
        ("request_count", "requests"),
        ("tokens_prompt", "tokens_input"),
        ("tokens_completion", "tokens_output"),
        ("reasoning_tokens", "tokens_reasoning"),
        ("cached_tokens", "tokens_cached"),
    ],
)
def test_a_count_that_is_null_or_missing_is_unknown(field: str, attribute: str) -> None:
    for row in (ANALYTICS_ROW | {field: None}, without(ANALYTICS_ROW, field)):
        assert getattr(only(analytics(row).rows).row, attribute) is None


# Whole or not at all.


def test_an_answer_that_says_it_is_truncated_is_refused() -> None:
    with pytest.raises(TruncatedAnswerError, match="truncated"):
        parse_analytics(analytics_body(ANALYTICS_ROW, truncated=True), SINCE, UNTIL, LIMIT)
    body = exact_json({"data": {"data": [ANALYTICS_ROW]}, "truncated": True})
    with pytest.raises(TruncatedAnswerError, match="truncated"):
        parse_analytics(body, SINCE, UNTIL, LIMIT)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_as_many_rows_as_the_limit_are_not_believed_to_be_all_whatever_the_server_says(limit: int) -> None:
    rows = [ANALYTICS_ROW | {"api_key_id": f"key {index}"} for index in range(3)]
    with pytest.raises(TruncatedAnswerError):
        parse_analytics(analytics_body(*rows, truncated=False), SINCE, UNTIL, limit)


def test_one_row_fewer_than_the_limit_is_a_whole_answer() -> None:
    rows = [ANALYTICS_ROW | {"api_key_id": f"key {index}"} for index in range(3)]
    assert len(parse_analytics(analytics_body(*rows), SINCE, UNTIL, 4).rows) == 3


@pytest.mark.parametrize("others", [{}, {"metadata": None}, {"metadata": []}, {"metadata": {}}])
def test_an_answer_without_metadata_is_taken_for_whole(others: dict[str, object]) -> None:
    body = exact_json({"data": {"data": [ANALYTICS_ROW], **others}})
    assert parse_analytics(body, SINCE, UNTIL, LIMIT) == analytics(ANALYTICS_ROW)


@pytest.mark.parametrize("data", [None, [], [ANALYTICS_ROW], "data", 5, {}, {"data": None}, {"data": {}}])
def test_analytics_of_another_shape_are_unexpected(data: object) -> None:
    with pytest.raises(UnexpectedAnswerError) as raised:
        parse_analytics(exact_json({"data": data}), SINCE, UNTIL, LIMIT)
    assert not isinstance(raised.value, TruncatedAnswerError)


@pytest.mark.parametrize(
    ("told", "warnings"),
    [
        (None, ()),
        ([], ()),
        (["hash not found"], ("hash not found",)),
        ("hash not found", ("hash not found",)),
        ([{"field": "api_key_id"}, None], ('{"field": "api_key_id"}',)),
    ],
)
def test_the_warnings_of_an_answer_are_kept_whatever_their_shape(
    told: object, warnings: tuple[str, ...]
) -> None:
    body = exact_json({"data": {"data": [], "warnings": told}})
    assert parse_analytics(body, SINCE, UNTIL, LIMIT).warnings == warnings
