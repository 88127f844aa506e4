"""What is asked of a management key's account, and when a list of its keys is whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

import httpx
import pytest
import respx

from orwatch.domain.keys import Credits
from orwatch.domain.sources import UsageSource
from orwatch.errors import (
    ApiError,
    ApiUnavailableError,
    EndpointMissingError,
    KeyRejectedError,
    QueryTooHeavyError,
    TruncatedAnswerError,
    UnexpectedAnswerError,
)
from orwatch.openrouter import account
from orwatch.openrouter.account import (
    AccountListing,
    fetch_activity,
    fetch_analytics,
    fetch_credits,
    fetch_listing,
    fetch_slugs,
)
from orwatch.openrouter.client import Client
from tests.support import API_URL, NOW, SECRET, TODAY, FakeClock

WORKSPACES_URL, KEYS_URL = f"{API_URL}/workspaces", f"{API_URL}/keys"
ACTIVITY_URL, ANALYTICS_URL = f"{API_URL}/activity", f"{API_URL}/analytics/query"
SINCE, UNTIL = date(2026, 11, 14), date(2026, 11, 20)
HASH = "0123456789abcdef" * 4


def hash_of(name: object) -> str:
    return sha256(f"{name}".encode()).hexdigest()


def listed(workspace: str, count: int, **others: object) -> list[dict[str, object]]:
    """Keys of a workspace, as the server lists them."""
    names = [f"{workspace} {index}" for index in range(count)]
    return [{"hash": hash_of(name), "name": name, "workspace_id": workspace} | others for name in names]


class Server:
    """``/workspaces`` and ``/keys`` of an account: 100 keys a page, those of one workspace at a time."""

    def __init__(self, router: respx.MockRouter, **workspaces: list[dict[str, object]]) -> None:
        self.workspaces = workspaces
        self.asked: list[dict[str, str]] = []
        self.knows_offset = True
        self.knows_workspaces = True
        self.date_of: Callable[[int], str] = lambda _number: ""
        self.change: Callable[[int, dict[str, Any]], object] = lambda _number, body: body
        router.get(WORKSPACES_URL).mock(side_effect=self._list_workspaces)
        router.get(KEYS_URL).mock(side_effect=self._list_keys)

    def _list_workspaces(self, _request: httpx.Request) -> httpx.Response:
        if not self.knows_workspaces:
            return httpx.Response(404, json={"error": {"code": 404, "message": "Not Found"}})
        items = [{"id": name, "name": f"Team {name}", "slug": name} for name in self.workspaces]
        return httpx.Response(200, json={"data": items, "total_count": len(items)})

    def _list_keys(self, request: httpx.Request) -> httpx.Response:
        params = dict(request.url.params)
        self.asked.append(params)
        default = next(iter(self.workspaces.values()), [])
        keys = self.workspaces.get(params["workspace_id"], []) if "workspace_id" in params else default
        offset = int(params["offset"]) if self.knows_offset else 0
        body = self.change(len(self.asked), {"data": keys[offset : offset + 100]})
        if isinstance(body, httpx.Response):
            return body
        return httpx.Response(200, json=body, headers={"Date": self.date_of(len(self.asked))})


def names_of(listing: AccountListing) -> list[str]:
    return [key.name for key in listing.keys]


# The list of keys.


def test_the_keys_of_the_one_workspace_are_asked_for_with_the_disabled_ones(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    server = Server(respx_mock, w1=listed("w1", 2))
    listing = fetch_listing(client, SECRET)
    assert server.asked == [{"offset": "0", "include_disabled": "true", "workspace_id": "w1"}]
    assert listing.account_id == "w1"
    assert [(key.name, key.workspace, key.key_hash) for key in listing.keys] == [
        ("w1 0", "Team w1", hash_of("w1 0")),
        ("w1 1", "Team w1", hash_of("w1 1")),
    ]
    assert {call.request.headers["Authorization"] for call in respx_mock.calls} == {f"Bearer {SECRET}"}


def test_disabled_keys_are_listed_as_such(client: Client, respx_mock: respx.MockRouter) -> None:
    Server(respx_mock, w1=listed("w1", 1, disabled=True))
    assert [key.is_disabled for key in fetch_listing(client, SECRET).keys] == [True]


@pytest.mark.parametrize(
    ("count", "offsets"),
    [
        (0, ["0"]),
        (1, ["0"]),
        (99, ["0"]),
        (100, ["0", "99"]),
        (101, ["0", "99"]),
        (200, ["0", "99", "198"]),
        (250, ["0", "99", "198"]),
    ],
)
def test_a_hundred_keys_come_a_page_and_a_full_page_is_never_taken_for_the_last(
    client: Client, respx_mock: respx.MockRouter, count: int, offsets: list[str]
) -> None:
    server = Server(respx_mock, w1=listed("w1", count))
    assert names_of(fetch_listing(client, SECRET)) == [f"w1 {index}" for index in range(count)]
    assert [params["offset"] for params in server.asked] == offsets


def test_every_workspace_is_gone_through_and_each_has_its_own_pages(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    server = Server(respx_mock, w2=listed("w2", 100), w1=listed("w1", 150), w3=[])
    listing = fetch_listing(client, SECRET)
    assert len(listing.keys) == 250
    assert {key.workspace for key in listing.keys} == {"Team w1", "Team w2"}
    assert [(params["workspace_id"], params["offset"]) for params in server.asked] == [
        *(("w2", "0"), ("w2", "99")),
        *(("w1", "0"), ("w1", "99")),
        ("w3", "0"),
    ]


def test_an_account_goes_by_the_same_id_in_whatever_order_its_workspaces_come(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    Server(respx_mock, w2=[], w1=[], w3=[])
    assert fetch_listing(client, SECRET).account_id == "w1"


def test_a_server_without_workspaces_is_asked_for_its_keys_alone(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    server = Server(respx_mock, w1=listed("w1", 150))
    server.knows_workspaces = False
    listing = fetch_listing(client, SECRET)
    assert (listing.account_id, len(listing.keys)) == (None, 150)
    assert server.asked == [{"offset": offset, "include_disabled": "true"} for offset in ("0", "99")]
    # Its name is not known, but it is a workspace.
    assert {key.workspace for key in listing.keys} == {"w1"}


def test_an_account_that_tells_no_workspaces_is_asked_for_its_keys_alone(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    server = Server(respx_mock)
    assert fetch_listing(client, SECRET).account_id is None
    assert server.asked == [{"offset": "0", "include_disabled": "true"}]


@pytest.mark.parametrize("count", [100, 150])
def test_a_server_that_ignores_the_offset_is_asked_twice_and_not_for_ever(
    client: Client, respx_mock: respx.MockRouter, count: int
) -> None:
    server = Server(respx_mock, w1=listed("w1", count))
    server.knows_offset = False
    assert len(fetch_listing(client, SECRET).keys) == 100
    assert len(server.asked) == 2


def test_a_server_that_ignores_pages_altogether_has_all_its_keys_in_one(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    server = Server(respx_mock, w1=[])
    server.change = lambda _number, _body: {"data": listed("w1", 250)}
    assert len(fetch_listing(client, SECRET).keys) == 250
    assert [params["offset"] for params in server.asked] == ["0", "249"]


def test_a_server_that_ignores_the_workspace_lists_no_key_twice(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    server = Server(respx_mock, w1=[], w2=[])
    server.change = lambda number, _body: {"data": listed("w1", 150)[99 * (number > 1) :][:100]}
    assert len(fetch_listing(client, SECRET).keys) == 150
    assert [params["workspace_id"] for params in server.asked] == ["w1", "w1", "w2"]


def test_a_key_that_moves_to_the_next_page_while_it_is_asked_for_is_listed_once(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    server = Server(respx_mock, w1=listed("w1", 120))
    # Between the pages a key was created, and the newest come first.
    server.change = lambda number, body: {"data": listed("w1", 120)[99:]} if number == 2 else body
    assert names_of(fetch_listing(client, SECRET)) == [f"w1 {index}" for index in range(120)]


def test_two_forms_of_one_hash_are_one_key(client: Client, respx_mock: respx.MockRouter) -> None:
    Server(respx_mock, w1=[{"hash": HASH, "name": "lower"}, {"hash": HASH.upper(), "name": "upper"}])
    assert [key.key_hash for key in fetch_listing(client, SECRET).keys] == [HASH]


def test_keys_of_one_name_are_both_listed(client: Client, respx_mock: respx.MockRouter) -> None:
    Server(respx_mock, w1=listed("w1", 1, name="laptop"), w2=listed("w2", 1, name="laptop"))
    assert names_of(fetch_listing(client, SECRET)) == ["laptop", "laptop"]


@pytest.mark.parametrize(
    "spoilt",
    [
        {"data": None},
        {"data": {}},
        {"error": {"message": "odd"}},
        {"data": [{"name": "no hash"}]},
        {"data": [None]},
        {"data": [{"hash": HASH}], "truncated": True},
        [],
        "rubbish",
    ],
)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_one_bad_page_fails_the_whole_list_for_its_keys_would_seem_deleted(
    client: Client, respx_mock: respx.MockRouter, number: int, spoilt: object
) -> None:
    server = Server(respx_mock, w1=listed("w1", 150), w2=listed("w2", 1))
    server.change = lambda asked, body: spoilt if asked == number else body
    with pytest.raises(UnexpectedAnswerError):
        fetch_listing(client, SECRET)
    assert len(server.asked) == number


@pytest.mark.parametrize(
    ("status", "error_class"),
    [(401, KeyRejectedError), (403, ApiError), (404, EndpointMissingError), (503, ApiUnavailableError)],
)
@pytest.mark.parametrize("number", [1, 3])
def test_a_page_that_is_refused_fails_the_whole_list(
    client: Client,
    respx_mock: respx.MockRouter,
    number: int,
    status: int,
    error_class: type[ApiError],
) -> None:
    server = Server(respx_mock, w1=listed("w1", 150), w2=listed("w2", 1))
    server.change = lambda asked, body: httpx.Response(status) if asked >= number else body
    with pytest.raises(error_class, match=f"GET /keys answered {status}") as raised:
        fetch_listing(client, SECRET)
    assert raised.value.status == status


@pytest.mark.parametrize("status", [401, 403, 500])
def test_workspaces_that_are_refused_are_not_a_server_without_workspaces(
    client: Client, respx_mock: respx.MockRouter, status: int
) -> None:
    respx_mock.get(WORKSPACES_URL).respond(status)
    keys = respx_mock.get(KEYS_URL).respond(json={"data": []})
    with pytest.raises(ApiError, match=f"GET /workspaces answered {status}"):
        fetch_listing(client, SECRET)
    assert keys.call_count == 0


@pytest.mark.parametrize("body", [{"data": [{"name": "no id"}]}, {"data": None}, {}])
def test_workspaces_that_cannot_be_read_fail_the_whole_list(
    client: Client, respx_mock: respx.MockRouter, body: object
) -> None:
    respx_mock.get(WORKSPACES_URL).respond(json=body)
    keys = respx_mock.get(KEYS_URL).respond(json={"data": []})
    with pytest.raises(UnexpectedAnswerError):
        fetch_listing(client, SECRET)
    assert keys.call_count == 0


def test_a_list_that_never_ends_is_given_up(
    client: Client, respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "_MAX_PAGES", 4)
    server = Server(respx_mock, w1=[])
    server.change = lambda number, _body: {"data": listed("w1", 1000)[99 * (number - 1) :][:100]}
    with pytest.raises(UnexpectedAnswerError, match="GET /keys has more than 4 pages"):
        fetch_listing(client, SECRET)
    assert len(server.asked) == 4


def test_the_list_is_dated_by_the_server(client: Client, respx_mock: respx.MockRouter) -> None:
    server = Server(respx_mock, w1=listed("w1", 1))
    server.date_of = lambda _number: "Sat, 21 Nov 2026 00:00:05 GMT"
    assert fetch_listing(client, SECRET).answered_at == datetime(2026, 11, 21, 0, 0, 5, tzinfo=UTC)


def test_without_a_date_of_the_server_the_list_is_dated_by_our_clock(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    Server(respx_mock, w1=listed("w1", 1))
    assert fetch_listing(client, SECRET).answered_at == NOW


# Activity.


def activity_row(day: str, **others: object) -> dict[str, object]:
    row = {"date": day, "model": "a/b", "model_permaslug": "a/b-2026", "provider_name": "P", "usage": 0.5}
    return row | {"requests": 1, "prompt_tokens": 2, "completion_tokens": 3} | others


def test_activity_of_the_account_is_asked_for_without_parameters(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.get(ACTIVITY_URL).respond(json={"data": [activity_row("2026-11-19 00:00:00")]})
    read = fetch_activity(client, SECRET, TODAY)
    request = route.calls.last.request
    assert (request.url.query, request.headers["Authorization"]) == (b"", f"Bearer {SECRET}")
    assert read.answer.source is UsageSource.ACTIVITY
    assert [row.cost_usd for row in read.answer.rows] == [Decimal("0.5")]
    assert read.slugs == {"a/b-2026": "a/b"}


def test_activity_of_a_key_is_asked_for_by_its_hash_and_never_for_a_single_day(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.get(ACTIVITY_URL).respond(json={"data": []})
    fetch_activity(client, SECRET, TODAY, HASH)
    assert dict(route.calls.last.request.url.params) == {"api_key_hash": HASH}


def test_activity_is_believed_for_the_thirty_completed_days_alone(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    told = ["2026-10-20", "2026-10-21", "2026-11-19", "2026-11-20", "2026-11-21"]
    respx_mock.get(ACTIVITY_URL).respond(json={"data": [activity_row(day) for day in told]})
    answer = fetch_activity(client, SECRET, date(2026, 11, 20)).answer
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


def test_rows_beyond_the_asked_days_are_told_apart(client: Client, respx_mock: respx.MockRouter) -> None:
    days = ["2026-11-13", "2026-11-14T00:00:00Z", "2026-11-20 00:00:00", "2026-11-21"]
    respx_mock.post(ANALYTICS_URL).respond(json=analytics_rows(*(ROW | {"date__day": day} for day in days)))
    read = fetch_analytics(client, SECRET, SINCE, UNTIL, by_key=True)
    assert [each.row.day for each in read.rows] == [SINCE, UNTIL]
    assert [(f"{each.day}", each.is_outside_window) for each in read.rejected] == [
        ("2026-11-13", True),
        ("2026-11-21", True),
    ]


def test_a_truncated_answer_is_no_answer(client: Client, respx_mock: respx.MockRouter) -> None:
    respx_mock.post(ANALYTICS_URL).respond(json=analytics_rows(ROW, truncated=True))
    with pytest.raises(TruncatedAnswerError):
        fetch_analytics(client, SECRET, SINCE, UNTIL, by_key=True)


@pytest.mark.parametrize("count", [2, 3])
def test_as_many_rows_as_were_asked_for_at_most_are_no_whole_answer(
    client: Client, respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(account, "MAX_ANALYTICS_ROWS", 3)
    rows = [ROW | {"api_key_id": f"key {index}"} for index in range(count)]
    route = respx_mock.post(ANALYTICS_URL).respond(json=analytics_rows(*rows))
    if count < 3:
        assert len(fetch_analytics(client, SECRET, SINCE, UNTIL, by_key=True).rows) == count
    else:
        with pytest.raises(TruncatedAnswerError):
            fetch_analytics(client, SECRET, SINCE, UNTIL, by_key=True)
    assert sent(route)["limit"] == 3


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (403, ApiError),
        (404, EndpointMissingError),
        (408, QueryTooHeavyError),
        (429, ApiUnavailableError),
    ],
)
def test_what_the_server_refuses_is_told_by_its_kind(
    client: Client, respx_mock: respx.MockRouter, status: int, error_class: type[ApiError]
) -> None:
    respx_mock.post(ANALYTICS_URL).respond(status)
    with pytest.raises(error_class, match=f"POST /analytics/query answered {status}") as raised:
        fetch_analytics(client, SECRET, SINCE, UNTIL, by_key=True)
    assert type(raised.value) is error_class
    assert raised.value.status == status


# Credits and models.


def test_credits_are_of_the_whole_account(client: Client, respx_mock: respx.MockRouter) -> None:
    route = respx_mock.get(f"{API_URL}/credits").respond(
        json={"data": {"total_credits": 100.5, "total_usage": 25.75}}
    )
    assert fetch_credits(client, SECRET) == Credits(Decimal("100.5"), Decimal("25.75"))
    assert route.calls.last.request.headers["Authorization"] == f"Bearer {SECRET}"


def test_credits_are_refused_to_an_ordinary_key(client: Client, respx_mock: respx.MockRouter) -> None:
    message = "Only management keys can perform this operation"
    respx_mock.get(f"{API_URL}/credits").respond(403, json={"error": {"code": 403, "message": message}})
    with pytest.raises(ApiError, match=f"GET /credits answered 403: {message}") as raised:
        fetch_credits(client, SECRET)
    assert (raised.value.status, raised.value.is_passing) == (403, False)


def test_the_names_of_models_come_from_models(client: Client, respx_mock: respx.MockRouter) -> None:
    models = [{"id": "a/b:free", "canonical_slug": "a/b-2026"}, {"id": "a/b", "canonical_slug": "a/b-2026"}]
    respx_mock.get(f"{API_URL}/models").respond(json={"data": models})
    assert fetch_slugs(client, SECRET) == {"a/b-2026": "a/b"}


def test_a_question_is_asked_again_in_passing_trouble(
    client: Client, clock: FakeClock, respx_mock: respx.MockRouter
) -> None:
    server = Server(respx_mock, w1=listed("w1", 150))
    server.change = lambda number, body: httpx.Response(503) if number == 2 else body
    assert len(fetch_listing(client, SECRET).keys) == 150
    assert [params["offset"] for params in server.asked] == ["0", "99", "99"]
    assert clock.slept == [1]


def test_a_key_that_is_deleted_between_two_pages_makes_no_other_seem_deleted(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    server = Server(respx_mock, w1=listed("w1", 150))
    # All that follow have moved up by two places.
    server.change = lambda number, body: {"data": listed("w1", 150)[101:]} if number == 2 else body
    with pytest.raises(ApiUnavailableError, match="changed while GET /keys was read page by page"):
        fetch_listing(client, SECRET)


def test_a_list_that_is_told_across_midnight_is_of_no_day(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    server = Server(respx_mock, w1=listed("w1", 150))
    server.date_of = lambda number: f"Fri, {19 + number} Nov 2026 00:00:00 GMT"
    with pytest.raises(ApiUnavailableError, match="partly before and partly after midnight"):
        fetch_listing(client, SECRET)


def test_workspaces_that_are_counted_but_not_told_make_the_list_none(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(f"{API_URL}/workspaces").respond(json={"data": [{"id": "w1"}], "total_count": 3})
    with pytest.raises(UnexpectedAnswerError, match="the answer lists 1 of 3 workspaces"):
        fetch_listing(client, SECRET)
