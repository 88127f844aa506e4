"""Which endpoint is asked for which thing."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import httpx
import pytest
import respx

from orwatch.domain.keys import KeyFacts, KeyKind
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageAnswer
from orwatch.errors import ApiError, ApiUnavailableError, EndpointMissingError, KeyRejectedError
from orwatch.openrouter.client import Client
from orwatch.openrouter.sources import fetch, fetch_counters, fetch_key_facts, fetch_usage
from tests.support import API_URL, NOW, SECRET, stored_key, usage_row

SINCE, UNTIL = date(2026, 11, 14), date(2026, 11, 20)
KEY_BODY = {"data": {"usage": 25.5, "is_management_key": True}}
USAGE_BODY = {
    "data": [
        {
            "date": "2026-11-20",
            "model": "openai/gpt-4.1",
            "requests_count": 5,
            "tokens_input": 50,
            "tokens_output": 125,
            "cost": 0.015,
        }
    ]
}


def test_facts_come_from_key(client: Client, respx_mock: respx.MockRouter) -> None:
    respx_mock.get(f"{API_URL}/key").respond(json=KEY_BODY)
    facts = fetch_key_facts(client, SECRET)
    assert facts == KeyFacts(KeyKind.MANAGEMENT, usage_usd=Decimal("25.5"))


def test_on_a_server_without_key_facts_come_from_auth_key(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(f"{API_URL}/key").respond(404)
    older = respx_mock.get(f"{API_URL}/auth/key").respond(json=KEY_BODY)
    assert fetch_key_facts(client, SECRET).usage_usd == Decimal("25.5")
    assert older.calls.last.request.headers["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("status", "error_class"),
    [(401, KeyRejectedError), (403, ApiError), (404, EndpointMissingError), (503, ApiUnavailableError)],
)
def test_what_auth_key_answers_is_what_counts(
    client: Client, respx_mock: respx.MockRouter, status: int, error_class: type[ApiError]
) -> None:
    respx_mock.get(f"{API_URL}/key").respond(404)
    refusal = {"error": {"code": status, "message": "no"}}
    respx_mock.get(f"{API_URL}/auth/key").respond(status, json=refusal)
    with pytest.raises(error_class, match=f"GET /auth/key answered {status}"):
        fetch_key_facts(client, SECRET)


@pytest.mark.parametrize("status", [401, 402, 403, 503])
def test_only_a_404_makes_it_ask_the_older_endpoint(
    client: Client, respx_mock: respx.MockRouter, status: int
) -> None:
    respx_mock.get(f"{API_URL}/key").respond(status)
    older = respx_mock.get(f"{API_URL}/auth/key").respond(json=KEY_BODY)
    with pytest.raises(ApiError, match=f"GET /key answered {status}"):
        fetch_key_facts(client, SECRET)
    assert older.call_count == 0


def test_usage_is_asked_for_from_the_first_day_to_the_last(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.get(f"{API_URL}/usage").respond(json=USAGE_BODY)
    answer = fetch_usage(client, SECRET, SINCE, UNTIL)
    assert dict(route.calls.last.request.url.params) == {"start_date": "2026-11-14", "end_date": "2026-11-20"}
    assert (answer.source, answer.since, answer.until) == (UsageSource.USAGE, SINCE, UNTIL)
    assert answer.rows == (usage_row(),)


@pytest.mark.parametrize("kind", list(KeyKind))
def test_usage_is_asked_for_first_whatever_the_kind_of_the_key(
    client: Client, respx_mock: respx.MockRouter, kind: KeyKind
) -> None:
    respx_mock.get(f"{API_URL}/usage").respond(json=USAGE_BODY)
    key = stored_key(facts=KeyFacts(kind))
    answer = fetch(client, key, None, SECRET, SINCE, UNTIL, NOW)
    assert isinstance(answer, UsageAnswer)


def test_the_counters_are_of_the_servers_day(client: Client, respx_mock: respx.MockRouter) -> None:
    headers = {"Date": "Sat, 21 Nov 2026 00:00:05 GMT"}
    respx_mock.get(f"{API_URL}/key").respond(json={"data": {"usage": 9, "usage_daily": 1}}, headers=headers)
    reading = fetch_counters(client, SECRET)
    assert (reading.day, reading.before_usd) == (date(2026, 11, 21), 8)


@pytest.mark.parametrize("header", ["", "yesterday", "Sat, 99 Nov 2026 00:00:05 GMT"])
def test_without_a_date_of_the_server_the_day_is_ours(
    client: Client, respx_mock: respx.MockRouter, header: str
) -> None:
    data = {"usage": 9, "usage_daily": 1}
    respx_mock.get(f"{API_URL}/key").respond(json={"data": data}, headers={"Date": header})
    assert fetch_counters(client, SECRET).day == NOW.date()


@pytest.mark.parametrize("source", [UsageSource.ACTIVITY, UsageSource.ANALYTICS])
def test_a_source_of_accounts_is_none_of_a_key_that_no_management_key_lists(
    client: Client, respx_mock: respx.MockRouter, source: UsageSource
) -> None:
    with pytest.raises(ApiError, match=f"set to {source}, which only a management key of its account"):
        fetch(client, stored_key(source_setting=source), None, SECRET, SINCE, UNTIL, NOW)
    assert respx_mock.calls.call_count == 0


def test_a_server_with_auth_key_only_is_asked_for_key_once(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    key = respx_mock.get(f"{API_URL}/key").respond(404)
    auth_key = respx_mock.get(f"{API_URL}/auth/key").respond(json={"data": {"usage": 1}})
    for _ in range(3):
        assert fetch_key_facts(client, SECRET).usage_usd == 1
    assert (key.call_count, auth_key.call_count) == (1, 3)


def test_a_404_for_one_key_only_leaves_the_others_their_answers(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    answer = httpx.Response(200, json={"data": {"usage": 1}})
    key = respx_mock.get(f"{API_URL}/key")
    key.side_effect = [httpx.Response(404), answer, answer]
    auth_key = respx_mock.get(f"{API_URL}/auth/key").respond(404)
    with pytest.raises(EndpointMissingError):
        fetch_key_facts(client, SECRET)
    for _ in range(2):
        assert fetch_key_facts(client, SECRET).usage_usd == 1
    assert (key.call_count, auth_key.call_count) == (3, 2)
