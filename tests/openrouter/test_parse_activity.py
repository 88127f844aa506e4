"""What ``GET /activity`` answers, and the plain names of models that it and ``GET /models`` give."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import ListedModel, UsageRow
from orwatch.errors import TruncatedAnswerError
from orwatch.openrouter.parse_account import (
    parse_activity,
    parse_models,
    with_model_name,
)
from orwatch.openrouter.values import MAX_COUNT, MAX_NAME_LENGTH, MAX_USD
from tests.openrouter.management_answers import (
    ACTIVITY_ROW,
    MODEL,
    PERMASLUG,
    SINCE,
    UNTIL,
    activity,
    exact_json,
    only,
    without,
)
from tests.support import usage_row


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


@pytest.mark.parametrize(
    ("reported", "provider"),
    [
        *((value, None) for value in (None, "", "  ", 5, [], {}, "\ud800", "p" * (MAX_NAME_LENGTH + 1))),
        (" OpenAI ", "OpenAI"),
    ],
)
def test_a_provider_that_is_no_name_is_unknown_and_costs_no_row(
    reported: object, provider: str | None
) -> None:
    read = activity(ACTIVITY_ROW | {"provider_name": reported}).answer
    assert (only(read.rows).provider, read.rejected) == (provider, ())


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
        *(("model", value) for value in ("", " ", 5, [], {}, "\ud800", "a\0b", "m" * 257)),
        *(("date", value) for value in (None, 20260220, [], "2026-02-30", "2026-02-20 24:00:00", "today")),
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


def test_endpoints_that_add_up_to_the_implausible_are_rejected_together() -> None:
    read = activity(
        ACTIVITY_ROW | {"byok_usage_inference": MAX_USD},
        ACTIVITY_ROW,
        ACTIVITY_ROW | {"provider_name": "Azure"},
    ).answer
    assert only(read.rows).provider == "Azure"
    assert [(each.day, each.is_outside_window) for each in read.rejected] == [(UNTIL, False)] * 2


def test_an_activity_answer_that_is_marked_as_truncated_is_refused() -> None:
    with pytest.raises(TruncatedAnswerError):
        parse_activity(exact_json({"data": [ACTIVITY_ROW], "truncated": True}), SINCE, UNTIL)


# The slugs of models by their permaslugs.


def test_activity_tells_the_plain_slugs_of_its_models_even_in_rows_that_are_rejected() -> None:
    read = activity(
        ACTIVITY_ROW,
        ACTIVITY_ROW | {"date": "2020-01-01", "model": "a/b", "model_permaslug": "a/b-2020"},
        ACTIVITY_ROW | {"usage": None, "model": "c/d", "model_permaslug": "c/d-2020"},
    )
    assert read.model_names == {PERMASLUG: MODEL, "a/b-2020": "a/b", "c/d-2020": "c/d"}


def test_models_tell_their_plain_slugs() -> None:
    models = [
        {"id": MODEL, "canonical_slug": PERMASLUG, "name": "GPT-4.1"},
        {"id": "a", "canonical_slug": "a"},
    ]
    assert parse_models(exact_json({"data": models})).names == {PERMASLUG: MODEL, "a": "a"}


@pytest.mark.parametrize(
    ("expiration_date", "retires_on"),
    [
        ("2026-12-31", date(2026, 12, 31)),
        ("2026-12-31T00:00:00Z", date(2026, 12, 31)),
        *((value, None) for value in (None, "", "soon", "2026-02-30", 20261231, [], {})),
    ],
)
def test_models_tell_when_they_are_to_be_retired(expiration_date: object, retires_on: date | None) -> None:
    both = {"canonical_slug": PERMASLUG, "date": "2026-01-01"}
    models = [
        both | {"id": MODEL},
        both | {"id": f"{MODEL}:free", "expiration_date": expiration_date},
        {"id": None, "canonical_slug": []},
    ]
    assert parse_models(exact_json({"data": models})).models == (
        ListedModel(PERMASLUG, MODEL),
        ListedModel(f"{PERMASLUG}:free", f"{MODEL}:free", retires_on),
    )


@given(st.permutations([("p", "b"), ("p", "a"), ("p", "c:free"), ("q", "c:free"), ("q", "a:free")]))
def test_of_several_slugs_of_one_kind_it_is_always_the_same(pairs: list[tuple[str, str]]) -> None:
    models = [{"id": slug, "canonical_slug": permaslug} for permaslug, slug in pairs]
    assert parse_models(exact_json({"data": models})).names == {"p": "b", "q": "c:free"}


@pytest.mark.parametrize(
    "value", [None, True, 5, 1.5, [], ["a"], {}, {"a": 1}, "", "\ud800", "a\0b", "m" * (MAX_NAME_LENGTH + 1)]
)
@pytest.mark.parametrize("field", ["id", "canonical_slug"])
def test_a_slug_that_is_no_name_is_left_out_and_crashes_nothing(field: str, value: object) -> None:
    good = {"id": MODEL, "canonical_slug": PERMASLUG}
    odd = {"id": "a/b", "canonical_slug": "a/b-1"} | {field: value}
    assert parse_models(exact_json({"data": [odd, None, 5, "model", [], {}, good]})).names == {
        PERMASLUG: MODEL
    }
    row_field = {"id": "model", "canonical_slug": "model_permaslug"}[field]
    odd_row = ACTIVITY_ROW | {"model": "a/b", "model_permaslug": "a/b-1"} | {row_field: value}
    assert activity(odd_row, ACTIVITY_ROW).model_names == {PERMASLUG: MODEL}


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
    assert with_model_name(usage_row(model=model), slugs) == usage_row(model=slug)


def test_a_row_that_is_named_plainly_already_stays_the_very_row() -> None:
    row = usage_row(model=MODEL)
    assert with_model_name(row, {PERMASLUG: MODEL, MODEL: MODEL}) is row


def test_an_activity_row_whose_model_is_null_keeps_its_dollars() -> None:
    answer = activity(ACTIVITY_ROW | {"model": None, "model_permaslug": None}).answer
    assert [(row.model, row.cost_usd) for row in answer.rows] == [(None, Decimal("0.015"))]
    assert answer.rejected == ()
