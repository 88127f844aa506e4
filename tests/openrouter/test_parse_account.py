"""What the management endpoints answer: each quirk of theirs, and how everything else is refused."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orwatch.domain.keys import Credits, KeyKind, ListedKey, Workspace
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import OwnedRow, UsageRow
from orwatch.errors import TruncatedAnswerError, UnexpectedAnswerError
from orwatch.openrouter.parse_account import (
    Activity,
    Analytics,
    parse_activity,
    parse_analytics,
    parse_credits,
    parse_keys,
    parse_slugs,
    parse_workspaces,
    with_slugs,
)
from orwatch.openrouter.values import MAX_COUNT, MAX_NAME_LENGTH, MAX_USD
from tests.support import usage_row

SINCE, UNTIL = date(2026, 2, 14), date(2026, 2, 20)
MODEL, PERMASLUG = "openai/gpt-4.1", "openai/gpt-4.1-2025-04-14"
LIMIT = 1000
ACTIVITY_ROW = {
    "date": "2026-02-20",
    "model": MODEL,
    "model_permaslug": PERMASLUG,
    "endpoint_id": "550e8400-e29b-41d4-a716-446655440000",
    "provider_name": "OpenAI",
    "usage": 0.015,
    "byok_usage_inference": 0.012,
    "requests": 5,
    "prompt_tokens": 50,
    "completion_tokens": 125,
    "reasoning_tokens": 25,
}
ANALYTICS_ROW = {
    "date__day": "2026-02-20",
    "model": PERMASLUG,
    "api_key_id": "laptop",
    "request_count": "5",
    "tokens_prompt": "50",
    "tokens_completion": "125",
    "reasoning_tokens": "25",
    "cached_tokens": "10",
    "credits_usage": 0.015,
    "byok_usage": 0.012,
}
HASH = "0123456789abcdef" * 4
LISTED_KEY = {
    "hash": HASH,
    "name": "laptop",
    "label": "sk-or-v1-012...a29f",
    "disabled": False,
    "workspace_id": "w1",
    "created_at": "2026-01-02T03:04:05.678Z",
    "expires_at": None,
    "usage": 25.5,
    "usage_daily": 1.25,
    "usage_weekly": 5,
    "usage_monthly": 12.75,
    "byok_usage": 0.5,
    "byok_usage_daily": 0,
    "byok_usage_weekly": 0,
    "byok_usage_monthly": 0.25,
    "limit": 100,
    "limit_remaining": 74.5,
    "limit_reset": "monthly",
}
ODD_TEXTS = ["\x1b[31mred\x1b[0m", " spaced ", "tab\there", "\u202egnp.exe", "模型 😀", "a\nb", "n" * 1000]


def without(row: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in fields}


def exact_json(value: object) -> bytes:
    """JSON whose ``Decimal``s are written as exact numbers, some of them like 1.5E-7."""
    text = json.dumps(value, default=lambda amount: f"<{amount}>")
    return text.replace('"<', "").replace('>"', "").encode()


def activity(*rows: object) -> Activity:
    return parse_activity(exact_json({"data": rows}), SINCE, UNTIL)


def analytics_body(*rows: object, **metadata: object) -> bytes:
    told = {"query_time_ms": 12, "row_count": len(rows), "truncated": False} | metadata
    return exact_json({"data": {"data": rows, "metadata": told, "cachedAt": 1771545600}})


def analytics(*rows: object) -> Analytics:
    return parse_analytics(analytics_body(*rows), SINCE, UNTIL, LIMIT)


def only(rows: tuple[Any, ...]) -> Any:
    (row,) = rows
    return row


def keys(*items: object, **workspaces: str) -> list[ListedKey]:
    return parse_keys(exact_json({"data": items}), workspaces)


# GET /activity: what a row becomes.


def test_an_activity_row_is_told_in_full() -> None:
    read = activity(ACTIVITY_ROW)
    assert (read.answer.source, read.answer.since, read.answer.until) == (UsageSource.ACTIVITY, SINCE, UNTIL)
    assert read.answer.rejected == ()
    assert read.answer.rows == (
        UsageRow(
            day=UNTIL,
            model=MODEL,
            provider="OpenAI",
            requests=5,
            tokens_input=50,
            tokens_output=125,
            cost_usd=Decimal("0.015"),
            tokens_reasoning=25,
            tokens_cached=None,
            byok_cost_usd=Decimal("0.012"),
        ),
    )


def test_several_endpoints_of_one_model_and_provider_are_added_up_and_none_overwrites_another() -> None:
    second = ACTIVITY_ROW | {"endpoint_id": "another", "usage": 0.1, "requests": 2, "reasoning_tokens": 5}
    row = only(activity(ACTIVITY_ROW, second, ACTIVITY_ROW).answer.rows)
    assert (row.requests, row.tokens_input, row.tokens_output) == (12, 150, 375)
    assert (row.tokens_reasoning, row.cost_usd, row.byok_cost_usd) == (55, Decimal("0.13"), Decimal("0.036"))


def test_providers_days_and_models_stay_apart_and_come_sorted() -> None:
    rows = activity(
        ACTIVITY_ROW | {"provider_name": "Azure"},
        ACTIVITY_ROW | {"model": "a/b"},
        ACTIVITY_ROW,
        ACTIVITY_ROW | {"date": "2026-02-19"},
        ACTIVITY_ROW | {"provider_name": "Azure"},
    ).answer.rows
    assert [(row.day.day, row.model, row.provider, row.requests) for row in rows] == [
        (19, MODEL, "OpenAI", 5),
        (20, "a/b", "OpenAI", 5),
        (20, MODEL, "Azure", 10),
        (20, MODEL, "OpenAI", 5),
    ]


def test_both_forms_of_the_date_are_the_same_day() -> None:
    row = only(
        activity(
            ACTIVITY_ROW | {"date": "2026-02-20"}, ACTIVITY_ROW | {"date": "2026-02-20 00:00:00"}
        ).answer.rows
    )
    assert (row.day, row.requests) == (UNTIL, 10)


def test_reasoning_tokens_are_never_added_to_the_completion_tokens() -> None:
    row = only(activity(ACTIVITY_ROW | {"completion_tokens": 125, "reasoning_tokens": 120}).answer.rows)
    assert (row.tokens_output, row.tokens_reasoning) == (125, 120)


def test_with_byok_the_near_zero_credits_are_kept_beside_the_estimate() -> None:
    told = {"usage": Decimal("0.000000003"), "byok_usage_inference": Decimal("1.5")}
    row = only(activity(ACTIVITY_ROW | told, ACTIVITY_ROW | told).answer.rows)
    assert (row.cost_usd, row.byok_cost_usd) == (Decimal("0.000000006"), 3)


@pytest.mark.parametrize("told", [{}, {"byok_usage_inference": None}])
def test_byok_that_is_not_told_is_unknown_and_what_is_told_of_the_rest_still_adds_up(
    told: dict[str, object],
) -> None:
    silent = without(ACTIVITY_ROW, "byok_usage_inference") | told
    assert only(activity(silent).answer.rows).byok_cost_usd is None
    assert only(activity(silent, ACTIVITY_ROW).answer.rows).byok_cost_usd == Decimal("0.012")


def test_cached_tokens_are_told_where_all_endpoints_tell_them_and_else_unknown() -> None:
    cached = ACTIVITY_ROW | {"cached_tokens": 10}
    assert only(activity(cached, cached).answer.rows).tokens_cached == 20
    assert only(activity(cached, ACTIVITY_ROW).answer.rows).tokens_cached is None


def test_what_activity_tells_beyond_that_changes_nothing() -> None:
    more = {"byok_requests": 3, "workspace_id": "w1", "new_field": {"nested": [1]}}
    assert activity(ACTIVITY_ROW | more).answer == activity(ACTIVITY_ROW).answer


@pytest.mark.parametrize("told", ["5", " 5 ", 5.0, 5])
def test_a_count_may_be_a_text(told: object) -> None:
    assert only(activity(ACTIVITY_ROW | {"requests": told}).answer.rows).requests == 5


@pytest.mark.parametrize("provider", [None, "", "  ", 5, [], {}, "\ud800", "p" * (MAX_NAME_LENGTH + 1)])
def test_a_provider_that_is_no_name_is_unknown_and_costs_no_row(provider: object) -> None:
    read = activity(ACTIVITY_ROW | {"provider_name": provider}).answer
    assert (only(read.rows).provider, read.rejected) == (None, ())


def test_a_provider_is_named_without_the_blanks_around_it() -> None:
    assert only(activity(ACTIVITY_ROW | {"provider_name": " OpenAI "}).answer.rows).provider == "OpenAI"


@pytest.mark.parametrize("day", [SINCE - timedelta(days=1), UNTIL + timedelta(days=1), date.min, date.max])
def test_an_activity_row_outside_of_the_window_is_rejected_as_outside(day: date) -> None:
    read = activity(ACTIVITY_ROW, ACTIVITY_ROW | {"date": f"{day} 00:00:00", "usage": "rubbish"}).answer
    assert only(read.rows).requests == 5
    rejected = only(read.rejected)
    assert (rejected.day, rejected.is_outside_window) == (day, True)
    assert f"{day} is outside of 2026-02-14 to 2026-02-20" in rejected.reason


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("usage", value) for value in (None, -0.01, "free", True, [], {}, 10_000_001)),
        *(("byok_usage_inference", value) for value in (-1, "much", [], 10_000_001)),
        *(
            (field, value)
            for field in (
                "requests",
                "prompt_tokens",
                "completion_tokens",
                "reasoning_tokens",
                "cached_tokens",
            )
            for value in (-1, 1.5, "many", [], {}, True, MAX_COUNT + 1)
        ),
        *(("model", value) for value in (None, "", " ", 5, [], {}, "\ud800", "a\0b", "m" * 257)),
        *(("date", value) for value in (None, 20260220, [], "2026-02-30", "2026-02-20 12:00:00", "today")),
    ],
)
def test_an_activity_row_with_a_fault_is_rejected_and_the_rest_kept(field: str, value: object) -> None:
    read = activity(ACTIVITY_ROW | {field: value}, ACTIVITY_ROW | {"model": "good/model"}).answer
    assert only(read.rows).model == "good/model"
    rejected = only(read.rejected)
    assert not rejected.is_outside_window
    assert rejected.day == (None if field == "date" else UNTIL)
    assert field in rejected.reason
    assert rejected.reason.isprintable()


@pytest.mark.parametrize("row", [None, True, 1, "row", [], [ACTIVITY_ROW]])
def test_a_row_that_is_no_object_is_rejected_by_both_endpoints(row: object) -> None:
    for read in (activity(row, ACTIVITY_ROW).answer, analytics(row, ANALYTICS_ROW)):
        assert len(read.rows) == 1
        assert [(each.day, each.is_outside_window) for each in read.rejected] == [(None, False)]


def test_endpoints_that_add_up_to_the_implausible_are_rejected_together() -> None:
    read = activity(
        ACTIVITY_ROW | {"byok_usage_inference": MAX_USD},
        ACTIVITY_ROW,
        ACTIVITY_ROW | {"provider_name": "Azure"},
    ).answer
    assert only(read.rows).provider == "Azure"
    assert [(each.day, each.is_outside_window) for each in read.rejected] == [(UNTIL, False)] * 2


def test_no_activity_at_all_is_an_answer() -> None:
    read = activity()
    assert (read.answer.rows, read.answer.rejected, read.slugs) == ((), (), {})


def test_an_activity_answer_that_is_marked_as_truncated_is_refused() -> None:
    with pytest.raises(TruncatedAnswerError):
        parse_activity(exact_json({"data": [ACTIVITY_ROW], "truncated": True}), SINCE, UNTIL)


# GET /activity and GET /models: slugs by permaslugs.


def test_activity_tells_the_plain_slugs_of_its_models_even_in_rows_that_are_rejected() -> None:
    read = activity(
        ACTIVITY_ROW,
        ACTIVITY_ROW | {"date": "2020-01-01", "model": "a/b", "model_permaslug": "a/b-2020"},
        ACTIVITY_ROW | {"usage": None, "model": "c/d", "model_permaslug": "c/d-2020"},
    )
    assert read.slugs == {PERMASLUG: MODEL, "a/b-2020": "a/b", "c/d-2020": "c/d"}


def test_models_tell_their_plain_slugs() -> None:
    models = [
        {"id": MODEL, "canonical_slug": PERMASLUG, "name": "GPT-4.1"},
        {"id": "a", "canonical_slug": "a"},
    ]
    assert parse_slugs(exact_json({"data": models})) == {PERMASLUG: MODEL, "a": "a"}


VARIANTS = ["a/b:free", "a/b", "a/b:thinking"]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2]])
def test_where_variants_share_a_permaslug_the_plain_slug_wins_in_whatever_order(order: list[int]) -> None:
    slugs = [VARIANTS[index] for index in order]
    models = [{"id": slug, "canonical_slug": "a/b-2025"} for slug in slugs]
    rows = [ACTIVITY_ROW | {"model": slug, "model_permaslug": "a/b-2025"} for slug in slugs]
    assert parse_slugs(exact_json({"data": models})) == {"a/b-2025": "a/b"}
    assert activity(*rows).slugs == {"a/b-2025": "a/b"}


@given(st.permutations([("p", "b"), ("p", "a"), ("p", "c:free"), ("q", "c:free"), ("q", "a:free")]))
def test_of_several_slugs_of_one_kind_it_is_always_the_same(pairs: list[tuple[str, str]]) -> None:
    models = [{"id": slug, "canonical_slug": permaslug} for permaslug, slug in pairs]
    assert parse_slugs(exact_json({"data": models})) == {"p": "b", "q": "c:free"}


@pytest.mark.parametrize(
    "value", [None, True, 5, 1.5, [], ["a"], {}, {"a": 1}, "", "\ud800", "a\0b", "m" * (MAX_NAME_LENGTH + 1)]
)
@pytest.mark.parametrize("field", ["id", "canonical_slug"])
def test_a_slug_that_is_no_name_is_left_out_and_crashes_nothing(field: str, value: object) -> None:
    good = {"id": MODEL, "canonical_slug": PERMASLUG}
    odd = {"id": "a/b", "canonical_slug": "a/b-1"} | {field: value}
    assert parse_slugs(exact_json({"data": [odd, None, 5, "model", [], {}, good]})) == {PERMASLUG: MODEL}
    row_field = {"id": "model", "canonical_slug": "model_permaslug"}[field]
    odd_row = ACTIVITY_ROW | {"model": "a/b", "model_permaslug": "a/b-1"} | {row_field: value}
    assert activity(odd_row, ACTIVITY_ROW).slugs == {PERMASLUG: MODEL}


@pytest.mark.parametrize(
    ("model", "slug"),
    [
        (PERMASLUG, MODEL),
        (MODEL, MODEL),
        ("unheard/of-2026-01-01", "unheard/of-2026-01-01"),
        ("unheard/of:free", "unheard/of:free"),
        (f"{PERMASLUG}:free", f"{MODEL}:free"),
        (f"{PERMASLUG}:a:b", f"{MODEL}:a:b"),
        (f"{PERMASLUG}:", f"{MODEL}:"),
        ("own/one-2025:free", "own/one:free"),
        ("only/free-2025", "only/free:free"),
        # Not "only/free:free:free".
        ("only/free-2025:free", "only/free:free"),
        ("only/free-2025:thinking", "only/free:thinking"),
        ("", ""),
        (":free", ":free"),
        (None, None),
    ],
)
def test_a_row_gets_its_models_plain_slug_and_a_variant_keeps_its_ending(
    model: str | None, slug: str | None
) -> None:
    slugs = {
        PERMASLUG: MODEL,
        "own/one-2025:free": "own/one:free",
        "own/one-2025": "own/other",
        "only/free-2025": "only/free:free",
    }
    assert with_slugs(usage_row(model=model), slugs) == usage_row(model=slug)


def test_a_row_that_is_named_plainly_already_stays_the_very_row() -> None:
    row = usage_row(model=MODEL)
    assert with_slugs(row, {PERMASLUG: MODEL, MODEL: MODEL}) is row


# POST /analytics/query: what a row becomes.


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


def test_rows_of_both_bucket_columns_and_all_forms_are_the_same_day() -> None:
    other = without(ANALYTICS_ROW, "date__day") | {"created_at__day": "2026-02-20T00:00:00Z"}
    assert only(analytics(ANALYTICS_ROW, other).rows).row.requests == 10


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"date__day": None},
        {"date__day": 20260220},
        {"date__day": ["2026-02-20"]},
        {"date__day": {"day": "2026-02-20"}},
        {"date__day": "2026-02-20T15:00:00Z"},
        {"date__hour": "2026-02-20T00:00:00Z"},
        {"created_at__day": "2026-02-30"},
    ],
)
def test_an_analytics_row_without_a_day_is_rejected(told: dict[str, object]) -> None:
    read = analytics(without(ANALYTICS_ROW, "date__day") | told, ANALYTICS_ROW)
    assert only(read.rows).row.requests == 5
    assert (only(read.rejected).day, only(read.rejected).is_outside_window) == (None, False)


@pytest.mark.parametrize("day", [SINCE - timedelta(days=1), UNTIL + timedelta(days=1)])
def test_an_analytics_row_outside_of_the_window_is_rejected_as_outside(day: date) -> None:
    read = analytics(ANALYTICS_ROW, ANALYTICS_ROW | {"date__day": f"{day}T00:00:00Z", "credits_usage": []})
    assert only(read.rows).row.requests == 5
    assert (only(read.rejected).day, only(read.rejected).is_outside_window) == (day, True)


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


# POST /analytics/query: whole or not at all.


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


@pytest.mark.parametrize(
    "others", [{}, {"metadata": None}, {"metadata": []}, {"metadata": {}}, {"warnings": ["odd"]}]
)
def test_an_answer_without_metadata_is_taken_for_whole(others: dict[str, object]) -> None:
    body = exact_json({"data": {"data": [ANALYTICS_ROW], **others}})
    assert parse_analytics(body, SINCE, UNTIL, LIMIT) == analytics(ANALYTICS_ROW)


@pytest.mark.parametrize("data", [None, [], [ANALYTICS_ROW], "data", 5, {}, {"data": None}, {"data": {}}])
def test_analytics_of_another_shape_are_unexpected(data: object) -> None:
    with pytest.raises(UnexpectedAnswerError) as raised:
        parse_analytics(exact_json({"data": data}), SINCE, UNTIL, LIMIT)
    assert not isinstance(raised.value, TruncatedAnswerError)


# Money: neither lost nor invented.

nanos = st.integers(0, 10**12) | st.integers(0, 1000)
forms: list[Callable[[Decimal], object]] = [lambda amount: amount, str, lambda amount: f"{amount:f}"]
day_forms = st.sampled_from(["{}", "{} 00:00:00", "{}T00:00:00Z"])


def dollars(nano: int) -> Decimal:
    return Decimal(nano).scaleb(-9)


@st.composite
def split_amounts(draw: st.DrawFn, spots: st.SearchStrategy[tuple[Any, ...]]) -> list[tuple[Any, int, int]]:
    """Spots with their credits and BYOK in nano-dollars, some spots several times, in any order."""
    parts = []
    for spot in draw(st.lists(spots, max_size=6)):
        for _ in range(draw(st.integers(1, 4))):
            parts.append((spot, draw(nanos), draw(nanos)))
    return draw(st.permutations(parts))


def sums_of(parts: list[tuple[Any, int, int]]) -> dict[Any, tuple[int, int]]:
    sums: dict[Any, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for spot, credits, byok in parts:
        sums[spot] = (sums[spot][0] + credits, sums[spot][1] + byok)
    return dict(sums)


def nano_of(row: UsageRow) -> tuple[Fraction, Fraction]:
    assert row.byok_cost_usd is not None
    return Fraction(row.cost_usd) * 10**9, Fraction(row.byok_cost_usd) * 10**9


days = st.dates(SINCE, UNTIL)
models = st.sampled_from(["openai/gpt-4.1", "a/b", "a/b:free", "Ünïcode/模型"])


@given(split_amounts(st.tuples(days, models, st.sampled_from([None, "OpenAI", "Azure", "azure"]))), st.data())
def test_activity_never_loses_or_invents_money(
    parts: list[tuple[Any, int, int]], data: st.DataObject
) -> None:
    rows = [
        ACTIVITY_ROW
        | {
            "date": data.draw(day_forms).format(day),
            "model": model,
            "provider_name": provider,
            "usage": data.draw(st.sampled_from(forms))(dollars(credits)),
            "byok_usage_inference": data.draw(st.sampled_from(forms))(dollars(byok)),
        }
        for (day, model, provider), credits, byok in parts
    ]
    read = activity(*rows).answer
    assert read.rejected == ()
    assert {(row.day, row.model, row.provider): nano_of(row) for row in read.rows} == sums_of(parts)
    assert len(read.rows) == len(sums_of(parts))


@given(
    split_amounts(st.tuples(days, models, st.sampled_from([None, "laptop", "Laptop", " ", "\x1b[1m"]))),
    st.data(),
)
def test_analytics_never_lose_or_invent_money(parts: list[tuple[Any, int, int]], data: st.DataObject) -> None:
    rows = []
    for (day, model, owner), credits, byok in parts:
        column = data.draw(st.sampled_from(["date__day", "created_at__day"]))
        row = without(ANALYTICS_ROW, "date__day", "credits_usage") | {
            column: data.draw(day_forms).format(day),
            "model": model,
            "api_key_id": owner,
            "byok_usage": data.draw(st.sampled_from(forms))(dollars(byok)) if byok else None,
        }
        if data.draw(st.booleans()):
            row["credits_usage"] = data.draw(st.sampled_from(forms))(dollars(credits)) if credits else None
        else:
            row["total_usage"] = dollars(credits + byok)
        rows.append(row)
    read = analytics(*rows)
    assert read.rejected == ()
    assert {(each.row.day, each.row.model, each.owner): nano_of(each.row) for each in read.rows} == sums_of(
        parts
    )
    assert len(read.rows) == len(sums_of(parts))


# GET /keys.


def test_a_listed_key_is_told_in_full() -> None:
    key = keys(LISTED_KEY, w1="Team")[0]
    assert (key.key_hash, key.name, key.workspace, key.is_disabled) == (HASH, "laptop", "Team", False)
    assert key.created_at == datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    assert key.facts.kind is KeyKind.INFERENCE
    assert key.facts.label == "sk-or-v1-012...a29f"
    assert (key.facts.usage_usd, key.facts.usage_daily_usd) == (Decimal("25.5"), Decimal("1.25"))
    assert (key.facts.byok_usage_usd, key.facts.byok_usage_daily_usd) == (Decimal("0.5"), 0)
    assert (key.facts.limit_usd, key.facts.limit_remaining_usd) == (100, Decimal("74.5"))
    assert (key.facts.limit_reset, key.facts.expires_at) == ("monthly", None)


def test_what_a_key_does_not_tell_is_unknown() -> None:
    (key,) = keys({"hash": HASH})
    assert (key.name, key.workspace, key.is_disabled, key.created_at) == ("", None, False, None)
    assert (key.facts.usage_usd, key.facts.limit_usd) == (None, None)


def test_a_limit_of_null_is_unlimited_and_its_rest_unknown() -> None:
    (key,) = keys(LISTED_KEY | {"limit": None, "limit_remaining": None, "limit_reset": None})
    facts = key.facts
    assert (facts.limit_usd, facts.limit_remaining_usd, facts.limit_reset) == (None, None, None)


def test_the_rest_of_a_limit_may_be_negative_and_is_never_computed() -> None:
    (key,) = keys(LISTED_KEY | {"limit": 20, "usage": 1000, "limit_remaining": -0.25})
    assert key.facts.limit_remaining_usd == Decimal("-0.25")
    (key,) = keys(without(LISTED_KEY, "limit_remaining"))
    assert key.facts.limit_remaining_usd is None


@pytest.mark.parametrize(
    ("told", "is_disabled"), [(True, True), (False, False), (None, False), ("true", False), (1, False)]
)
def test_a_key_is_disabled_only_where_the_server_says_so(told: object, is_disabled: bool) -> None:
    assert keys(LISTED_KEY | {"disabled": told})[0].is_disabled is is_disabled


def test_a_hash_in_upper_case_is_the_same_key() -> None:
    assert keys(LISTED_KEY | {"hash": HASH.upper()})[0].key_hash == HASH


def test_two_keys_may_bear_one_name() -> None:
    listed = keys(LISTED_KEY, LISTED_KEY | {"hash": HASH[::-1]})
    assert [(key.key_hash, key.name) for key in listed] == [(HASH, "laptop"), (HASH[::-1], "laptop")]


@pytest.mark.parametrize("name", [None, 5, True, [], {}, "\ud800", "a\0b"])
def test_a_name_that_is_none_costs_the_name_and_not_the_key(name: object) -> None:
    assert [key.name for key in keys(LISTED_KEY | {"name": name})] == [""]


@pytest.mark.parametrize(
    ("told", "workspace"), [("w1", "Team"), ("w2", "w2"), (None, None), (5, None), ([], None), ({}, None)]
)
def test_a_workspace_goes_by_its_name_where_that_is_known(told: object, workspace: str | None) -> None:
    assert keys(LISTED_KEY | {"workspace_id": told}, w1="Team")[0].workspace == workspace


@pytest.mark.parametrize("field", sorted(LISTED_KEY.keys() - {"hash"}))
@pytest.mark.parametrize("value", [None, True, 1e300, -5, "rubbish\ud800", [], [1], {}, {"a": []}])
def test_no_malformed_value_of_a_key_costs_more_than_that_value(field: str, value: object) -> None:
    assert [key.key_hash for key in keys(LISTED_KEY | {field: value})] == [HASH]


@pytest.mark.parametrize(
    "item",
    [
        *(None, True, 5, "key", [], [LISTED_KEY], {}),
        *(
            LISTED_KEY | {"hash": told}
            for told in (None, 5, True, [], [HASH], {}, "", HASH[1:], f"{HASH}0", "\ud800" * 64, "\0" * 64)
        ),
    ],
)
def test_one_item_without_a_hash_spoils_the_page_for_a_key_left_out_would_seem_deleted(item: object) -> None:
    with pytest.raises(UnexpectedAnswerError, match="a key in the answer has no hash"):
        keys(LISTED_KEY, item)


def test_no_keys_at_all_is_an_answer() -> None:
    assert keys() == []


# GET /workspaces and GET /credits.


def test_workspaces_are_told_by_id_and_name() -> None:
    items = [{"id": "w1", "name": "Team", "slug": "team"}, {"id": "w2"}, {"id": "w3", "name": ""}]
    body = exact_json({"data": items, "total_count": 3})
    assert parse_workspaces(body) == [Workspace("w1", "Team"), Workspace("w2", "w2"), Workspace("w3", "w3")]


@pytest.mark.parametrize("name", [None, 5, [], {}, "\ud800", "n" * (MAX_NAME_LENGTH + 1)])
def test_a_workspace_whose_name_is_none_goes_by_its_id(name: object) -> None:
    body = exact_json({"data": [{"id": "w1", "name": name}]})
    assert parse_workspaces(body) == [Workspace("w1", "w1")]


@pytest.mark.parametrize(
    "item", [None, 5, "w1", [], {}, *({"id": told} for told in (None, "", 5, [], {}, "\ud800"))]
)
def test_a_workspace_without_an_id_spoils_the_answer_for_its_keys_would_seem_deleted(item: object) -> None:
    with pytest.raises(UnexpectedAnswerError, match="a workspace in the answer has no id"):
        parse_workspaces(exact_json({"data": [{"id": "w1"}, item]}))


def test_credits_are_exact_and_their_balance_may_be_negative() -> None:
    told = parse_credits(b'{"data": {"total_credits": 100.5, "total_usage": 25.750000001}}')
    assert told == Credits(Decimal("100.5"), Decimal("25.750000001"))
    assert told.balance_usd == Decimal("74.749999999")
    overdrawn = parse_credits(b'{"data": {"total_credits": "1", "total_usage": 1.25}}')
    assert overdrawn.balance_usd == Decimal("-0.25")


@pytest.mark.parametrize(
    "data",
    [
        *(None, [], [100.5, 25.75], 100.5, "much", {}),
        {"total_credits": 100.5},
        {"total_usage": 25.75},
        *({"total_credits": told, "total_usage": 1} for told in (None, True, "much", [], {}, float("nan"))),
        *({"total_credits": 1, "total_usage": told} for told in (None, True, "much", [], {}, float("inf"))),
    ],
)
def test_credits_that_are_not_both_told_are_unexpected_and_not_zero(data: object) -> None:
    with pytest.raises(UnexpectedAnswerError, match="total_credits and total_usage"):
        parse_credits(exact_json({"data": data}))


# Whatever comes.

PARSERS: list[Callable[[bytes], object]] = [
    lambda body: parse_activity(body, SINCE, UNTIL),
    lambda body: parse_analytics(body, SINCE, UNTIL, LIMIT),
    lambda body: parse_keys(body, {"w1": "Team"}),
    parse_workspaces,
    parse_credits,
    parse_slugs,
]
TEMPLATES: list[dict[str, object]] = [
    ACTIVITY_ROW | {"cached_tokens": 3},
    ANALYTICS_ROW | {"total_usage": 1},
    LISTED_KEY,
    {"id": "w1", "name": "Team"},
    {"total_credits": 1, "total_usage": 1, "data": [], "metadata": {}},
    {"id": MODEL, "canonical_slug": PERMASLUG},
]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["2026-02-20", MODEL, HASH, "1e999999999", "\ud800"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
almost_items = st.sampled_from(TEMPLATES).flatmap(
    lambda item: st.fixed_dictionaries(
        {}, optional={name: st.just(value) | json_values for name, value in item.items()}
    )
)
almost_lists = st.lists(almost_items, max_size=3)
almost_data = json_values | almost_items | almost_lists | st.fixed_dictionaries({"data": almost_lists})


def refusal(parser: Callable[[bytes], object], body: bytes) -> str:
    """Why the body is an unexpected answer; empty where it is none."""
    try:
        parser(body)
    except UnexpectedAnswerError as error:
        return str(error)
    return ""


@given(json_values | st.fixed_dictionaries({"data": almost_data}))
def test_any_json_at_all_is_parsed_or_is_an_unexpected_answer(value: Any) -> None:
    body = json.dumps(value).encode()
    for parser in PARSERS:
        assert refusal(parser, body).isprintable()


@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_any_bytes_at_all_are_an_unexpected_answer(body: bytes) -> None:
    for parser in PARSERS:
        with pytest.raises(UnexpectedAnswerError):
            parser(body)


@given(st.data())
def test_a_management_answer_cut_anywhere_is_an_unexpected_answer(data: st.DataObject) -> None:
    body = data.draw(
        st.sampled_from(
            [
                exact_json({"data": [ACTIVITY_ROW]}),
                analytics_body(ANALYTICS_ROW),
                exact_json({"data": [LISTED_KEY]}),
                exact_json({"data": {"total_credits": 1, "total_usage": 1}}),
            ]
        )
    )
    cut = body[: data.draw(st.integers(0, len(body) - 1))]
    for parser in PARSERS:
        with pytest.raises(UnexpectedAnswerError):
            parser(cut)
