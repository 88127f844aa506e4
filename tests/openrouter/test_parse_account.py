"""All management endpoints: no money is lost or invented, and whatever comes is parsed or refused."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orwatch.domain.usage import UsageRow
from orwatch.errors import UnexpectedAnswerError
from orwatch.openrouter.parse_account import (
    parse_activity,
    parse_analytics,
    parse_credits,
    parse_keys,
    parse_models,
    parse_workspaces,
)
from tests.openrouter.management_answers import (
    ACTIVITY_ROW,
    ANALYTICS_ROW,
    HASH,
    LIMIT,
    LISTED_KEY,
    MODEL,
    PERMASLUG,
    SINCE,
    UNTIL,
    activity,
    analytics,
    analytics_body,
    exact_json,
    only,
    without,
)


@pytest.mark.parametrize("day", [SINCE - timedelta(days=1), UNTIL + timedelta(days=1), date.min, date.max])
def test_a_row_outside_of_the_window_is_rejected_as_outside_by_both_endpoints(day: date) -> None:
    for read in (
        activity(ACTIVITY_ROW, ACTIVITY_ROW | {"date": f"{day} 00:00:00", "usage": "rubbish"}).answer,
        analytics(ANALYTICS_ROW, ANALYTICS_ROW | {"date__day": f"{day}T00:00:00Z", "credits_usage": []}),
    ):
        assert len(read.rows) == 1
        rejected = only(read.rejected)
        assert (rejected.day, rejected.is_outside_window) == (day, True)
        assert f"{day} is outside of 2026-02-14 to 2026-02-20" in rejected.reason


@pytest.mark.parametrize("row", [None, True, 1, "row", [], [ACTIVITY_ROW]])
def test_a_row_that_is_no_object_is_rejected_by_both_endpoints(row: object) -> None:
    for read in (activity(row, ACTIVITY_ROW).answer, analytics(row, ANALYTICS_ROW)):
        assert len(read.rows) == 1
        assert [(each.day, each.is_outside_window) for each in read.rejected] == [(None, False)]


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


# Whatever comes.

PARSERS: list[Callable[[bytes], object]] = [
    lambda body: parse_activity(body, SINCE, UNTIL),
    lambda body: parse_analytics(body, SINCE, UNTIL, LIMIT),
    lambda body: parse_keys(body, {"w1": "Team"}),
    parse_workspaces,
    parse_credits,
    parse_models,
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
