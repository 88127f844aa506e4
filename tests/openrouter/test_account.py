"""What is asked of a management key's account: activity, analytics, credits, models."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
import respx

from orwatch.domain.days import days_between
from orwatch.domain.keys import Credits
from orwatch.domain.sources import UsageSource
from orwatch.errors import (
    TruncatedAnswerError,
)
from orwatch.openrouter import account
from orwatch.openrouter.account import (
    fetch_activity,
    fetch_activity_by_day,
    fetch_analytics,
    fetch_credits,
    fetch_models,
)
from orwatch.openrouter.client import Client
from tests.support import API_URL, SECRET

ACTIVITY_URL, ANALYTICS_URL = f"{API_URL}/activity", f"{API_URL}/analytics/query"
SINCE, UNTIL = date(2026, 11, 14), date(2026, 11, 20)
HASH = "0123456789abcdef" * 4
COMPLETED = date(2026, 10, 21), date(2026, 11, 19)


# Activity.


def activity_row(day: str, **others: object) -> dict[str, object]:
    row = {"date": day, "model": "a/b", "model_permaslug": "a/b-2026", "provider_name": "P", "usage": 0.5}
    return row | {"requests": 1, "prompt_tokens": 2, "completion_tokens": 3} | others


def test_activity_of_the_account_is_asked_for_without_parameters(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.get(ACTIVITY_URL).respond(json={"data": [activity_row("2026-11-19 00:00:00")]})
    read = fetch_activity(client, SECRET, *COMPLETED)
    request = route.calls.last.request
    assert (request.url.query, request.headers["Authorization"]) == (b"", f"Bearer {SECRET}")
    assert read.answer.source is UsageSource.ACTIVITY
    assert [row.cost_usd for row in read.answer.rows] == [Decimal("0.5")]
    assert read.model_names == {"a/b-2026": "a/b"}


def test_activity_of_a_key_is_asked_for_by_its_hash(client: Client, respx_mock: respx.MockRouter) -> None:
    route = respx_mock.get(ACTIVITY_URL).respond(json={"data": []})
    fetch_activity(client, SECRET, *COMPLETED, HASH)
    assert dict(route.calls.last.request.url.params) == {"api_key_hash": HASH}


def test_activity_of_one_day_is_asked_for_by_its_date_and_a_server_that_answers_with_more_is_not_followed(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    told = [activity_row("2026-11-18"), activity_row("2026-11-19")]
    route = respx_mock.get(ACTIVITY_URL).respond(json={"data": told})
    answer = fetch_activity(client, SECRET, UNTIL - timedelta(days=1), UNTIL - timedelta(days=1)).answer
    assert dict(route.calls.last.request.url.params) == {"date": "2026-11-19"}
    assert [f"{row.day}" for row in answer.rows] == ["2026-11-19"]
    assert all(each.is_outside_window for each in answer.rejected)


def test_activity_asked_for_day_by_day_is_that_of_all_days_at_once(
    client: Client, respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "MOST_BYTES_AT_ONCE", 1_000)
    told = [
        activity_row("2026-11-17", model="a/b:free"),
        activity_row("2026-11-17", usage="nonsense"),
        activity_row("2026-11-18"),
        activity_row("2026-11-19", model="a/b:free", provider_name="Q"),
        activity_row("2026-11-19"),
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        day = request.url.params.get("date")
        return httpx.Response(200, json={"data": [row for row in told if day in {None, row["date"]}]})

    route = respx_mock.get(ACTIVITY_URL).mock(side_effect=answer)
    days = date(2026, 11, 16), date(2026, 11, 19)
    assert fetch_activity_by_day(client, SECRET, *days) == fetch_activity(client, SECRET, *days)
    asked = [call.request.url.params.get("date") for call in route.calls]
    assert asked == ["2026-11-19", "2026-11-16", "2026-11-17", "2026-11-18", None]


def test_activity_is_asked_for_at_once_where_the_last_day_says_that_one_answer_is_small(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    """Its rows are of endpoints: an account of many keys may have few."""
    route = respx_mock.get(ACTIVITY_URL).respond(json={"data": [activity_row("2026-11-19")]})
    assert len(fetch_activity_by_day(client, SECRET, *COMPLETED).answer.rows) == 1
    assert [call.request.url.params.get("date") for call in route.calls] == ["2026-11-19", None]


def test_activity_is_asked_for_at_once_where_the_server_answers_for_a_day_with_all(
    client: Client, respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "MOST_BYTES_AT_ONCE", 1_000)
    told = [activity_row(day) for day in ("2026-11-17", "2026-11-18", "2026-11-19")]
    route = respx_mock.get(ACTIVITY_URL).respond(json={"data": told})
    read = fetch_activity_by_day(client, SECRET, *COMPLETED)
    assert [f"{row.day}" for row in read.answer.rows] == ["2026-11-17", "2026-11-18", "2026-11-19"]
    assert [call.request.url.params.get("date") for call in route.calls] == ["2026-11-19", "2026-10-21", None]


@pytest.mark.parametrize("refused", [{"2026-10-21"}, {f"{day}" for day in days_between(*COMPLETED)}])
def test_activity_is_asked_for_at_once_where_the_server_refuses_a_day(
    client: Client, respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch, refused: set[str]
) -> None:
    """As at midnight, when the first day becomes the 31st."""
    monkeypatch.setattr(account, "MOST_BYTES_AT_ONCE", 1_000)
    told = [activity_row(day) for day in ("2026-11-18", "2026-11-19")]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.params.get("date") in refused:
            return httpx.Response(400, json={"error": {"code": 400, "message": "no such day"}})
        return httpx.Response(200, json={"data": told})

    respx_mock.get(ACTIVITY_URL).mock(side_effect=answer)
    read = fetch_activity_by_day(client, SECRET, *COMPLETED)
    assert read == fetch_activity(client, SECRET, *COMPLETED)
    last = fetch_activity(client, SECRET, COMPLETED[1], COMPLETED[1])
    assert [f"{row.day}" for row in last.answer.rows] == ["2026-11-19"]


def test_activity_is_believed_for_the_thirty_completed_days_alone(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    told = ["2026-10-20", "2026-10-21", "2026-11-19", "2026-11-20", "2026-11-21"]
    respx_mock.get(ACTIVITY_URL).respond(json={"data": [activity_row(day) for day in told]})
    answer = fetch_activity(client, SECRET, *COMPLETED).answer
    assert (answer.since, answer.until) == (date(2026, 10, 21), date(2026, 11, 19))
    assert (answer.until - answer.since).days + 1 == 30
    assert [f"{row.day}" for row in answer.rows] == ["2026-10-21", "2026-11-19"]
    assert [(f"{each.day}", each.is_outside_window) for each in answer.rejected] == [
        ("2026-10-20", True),
        ("2026-11-20", True),
        ("2026-11-21", True),
    ]


# Analytics.


def analytics_rows(*rows: dict[str, object], **metadata: object) -> dict[str, object]:
    return {"data": {"data": rows, "metadata": {"truncated": False} | metadata}}


def sent(route: respx.Route) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(route.calls.last.request.content)
    return value


ROW: dict[str, object] = {
    "date__day": "2026-11-20",
    "model": "a/b-2026",
    "api_key_id": "laptop",
    "request_count": "7",
    "credits_usage": 0.5,
}


def test_an_analytics_query_asks_by_day_model_and_key_with_an_exclusive_end(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.post(ANALYTICS_URL).respond(json=analytics_rows(ROW))
    read = fetch_analytics(client, SECRET, SINCE, UNTIL, by_key=True)
    assert sent(route) == {
        "metrics": [
            "request_count",
            "tokens_prompt",
            "tokens_completion",
            "reasoning_tokens",
            "cached_tokens",
            "credits_usage",
            "byok_usage",
        ],
        "dimensions": ["model", "api_key_id"],
        "granularity": "day",
        "time_range": {"start": "2026-11-14T00:00:00Z", "end": "2026-11-21T00:00:00Z"},
        "limit": 10_000,
    }
    assert route.calls.last.request.headers["Content-Type"] == "application/json"
    assert (read.since, read.until) == (SINCE, UNTIL)
    assert [(each.owner, each.row.requests, each.row.cost_usd) for each in read.rows] == [
        ("laptop", 7, Decimal("0.5"))
    ]


def test_a_query_that_is_not_by_key_asks_by_model_alone(client: Client, respx_mock: respx.MockRouter) -> None:
    route = respx_mock.post(ANALYTICS_URL).respond(json=analytics_rows(ROW | {"api_key_id": None}))
    read = fetch_analytics(client, SECRET, SINCE, UNTIL, by_key=False)
    assert sent(route)["dimensions"] == ["model"]
    assert "filters" not in sent(route)
    assert [each.owner for each in read.rows] == [None]


@pytest.mark.parametrize(
    ("day", "start", "end"),
    [
        (date(2026, 11, 20), "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"),
        (date(2026, 12, 31), "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"),
        (date(2028, 2, 29), "2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z"),
    ],
)
def test_a_single_day_ends_when_the_next_begins(
    client: Client, respx_mock: respx.MockRouter, day: date, start: str, end: str
) -> None:
    route = respx_mock.post(ANALYTICS_URL).respond(json=analytics_rows())
    fetch_analytics(client, SECRET, day, day, by_key=True)
    assert sent(route)["time_range"] == {"start": start, "end": end}


@pytest.mark.parametrize(
    ("hashes", "filters"),
    [
        ([HASH], [{"field": "api_key_id", "operator": "eq", "value": HASH}]),
        ((HASH, HASH[::-1]), [{"field": "api_key_id", "operator": "in", "value": [HASH, HASH[::-1]]}]),
    ],
)
@pytest.mark.parametrize("by_key", [True, False])
def test_keys_are_filtered_by_their_hashes_though_they_are_answered_by_their_names(
    client: Client,
    respx_mock: respx.MockRouter,
    by_key: bool,
    hashes: list[str],
    filters: list[dict[str, object]],
) -> None:
    route = respx_mock.post(ANALYTICS_URL).respond(json=analytics_rows(ROW))
    read = fetch_analytics(client, SECRET, SINCE, UNTIL, by_key=by_key, key_hashes=hashes)
    assert sent(route)["filters"] == filters
    assert [each.owner for each in read.rows] == ["laptop"]


def test_as_many_rows_as_were_asked_for_at_most_are_no_whole_answer(
    client: Client, respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "MAX_ANALYTICS_ROWS", 3)
    rows = [ROW | {"api_key_id": f"key {index}"} for index in range(3)]
    route = respx_mock.post(ANALYTICS_URL).respond(json=analytics_rows(*rows))
    with pytest.raises(TruncatedAnswerError):
        fetch_analytics(client, SECRET, SINCE, UNTIL, by_key=True)
    assert sent(route)["limit"] == 3


# Credits and models.


def test_credits_are_of_the_whole_account(client: Client, respx_mock: respx.MockRouter) -> None:
    route = respx_mock.get(f"{API_URL}/credits").respond(
        json={"data": {"total_credits": 100.5, "total_usage": 25.75}}
    )
    assert fetch_credits(client, SECRET) == Credits(Decimal("100.5"), Decimal("25.75"))
    assert route.calls.last.request.headers["Authorization"] == f"Bearer {SECRET}"


def test_the_names_of_models_come_from_models(client: Client, respx_mock: respx.MockRouter) -> None:
    models = [{"id": "a/b:free", "canonical_slug": "a/b-2026"}, {"id": "a/b", "canonical_slug": "a/b-2026"}]
    respx_mock.get(f"{API_URL}/models").respond(json={"data": models})
    assert fetch_models(client, SECRET).names == {"a/b-2026": "a/b"}
