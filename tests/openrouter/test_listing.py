"""When the list of an account's keys is whole, page by page and workspace by workspace."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import httpx
import pytest
import respx

from orwatch.errors import (
    ApiError,
    ApiUnavailableError,
    EndpointMissingError,
    KeyRejectedError,
    UnexpectedAnswerError,
)
from orwatch.openrouter import account
from orwatch.openrouter.account import (
    AccountListing,
    fetch_listing,
)
from orwatch.openrouter.client import Client
from tests.support import API_URL, NOW, SECRET

WORKSPACES_URL, KEYS_URL = f"{API_URL}/workspaces", f"{API_URL}/keys"
HASH = "0123456789abcdef" * 4
EVEN = {"include_disabled": "true", "include_expired": "true"}


def hash_of(name: object) -> str:
    return sha256(f"{name}".encode()).hexdigest()


def listed(workspace: str, count: int, **others: object) -> list[dict[str, object]]:
    """Keys of a workspace, as the server lists them."""
    names = [f"{workspace} {index}" for index in range(count)]
    return [{"hash": hash_of(name), "name": name, "workspace_id": workspace} | others for name in names]


def workspace_items(ids: Iterable[str]) -> list[dict[str, object]]:
    return [{"id": number, "name": f"Team {number}", "slug": number} for number in ids]


class Server:
    """``/workspaces`` and ``/keys`` of an account: 100 keys a page, those of one workspace at a time.

    Each page can be exchanged for one that the demo's server, which is right, would never give.
    """

    def __init__(self, router: respx.MockRouter, **workspaces: list[dict[str, object]]) -> None:
        self.workspaces = workspaces
        self.asked: list[dict[str, str]] = []
        self.knows_offset = True
        self.knows_workspaces = True
        self.without_workspaces = 404
        self.key: dict[str, object] = {"is_management_key": True}
        self.workspaces_asked: list[dict[str, str]] = []
        self.list_workspaces: Callable[[int, int], dict[str, object]] = self._page_of_workspaces
        self.date_of: Callable[[int], str] = lambda _number: ""
        self.change: Callable[[int, dict[str, Any]], object] = lambda _number, body: body
        router.get(WORKSPACES_URL).mock(side_effect=self._list_workspaces)
        router.get(KEYS_URL).mock(side_effect=self._list_keys)
        router.get(f"{API_URL}/key").mock(
            side_effect=lambda _request: httpx.Response(200, json={"data": self.key})
        )

    def _page_of_workspaces(self, offset: int, limit: int) -> dict[str, object]:
        page = [*self.workspaces][offset : offset + limit]
        return {"data": workspace_items(page), "total_count": len(self.workspaces)}

    def _list_workspaces(self, request: httpx.Request) -> httpx.Response:
        if not self.knows_workspaces:
            return httpx.Response(self.without_workspaces, json={"error": {"message": "none here"}})
        params = dict(request.url.params)
        self.workspaces_asked.append(params)
        return httpx.Response(200, json=self.list_workspaces(int(params["offset"]), int(params["limit"])))

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


def test_the_keys_of_the_one_workspace_are_asked_for_with_the_disabled_ones(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    server = Server(respx_mock, w1=listed("w1", 2))
    listing = fetch_listing(client, SECRET)
    assert server.asked == [{"offset": "0", **EVEN, "workspace_id": "w1"}]
    assert listing.account_id == "w1"
    assert [(key.name, key.workspace, key.key_hash) for key in listing.keys] == [
        ("w1 0", "Team w1", hash_of("w1 0")),
        ("w1 1", "Team w1", hash_of("w1 1")),
    ]
    assert {call.request.headers["Authorization"] for call in respx_mock.calls} == {f"Bearer {SECRET}"}


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
    assert server.asked == [{"offset": offset, **EVEN} for offset in ("0", "99")]
    # Its name is not known, but it is a workspace.
    assert {key.workspace for key in listing.keys} == {"w1"}


def test_an_account_that_tells_no_workspaces_is_asked_for_its_keys_alone(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    server = Server(respx_mock)
    assert fetch_listing(client, SECRET).account_id is None
    assert server.asked == [{"offset": "0", **EVEN}]


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
    refusal = httpx.Response(status, json={"error": {"code": status, "message": "no"}})
    server.change = lambda asked, body: refusal if asked >= number else body
    with pytest.raises(error_class, match=f"GET /keys answered {status}") as raised:
        fetch_listing(client, SECRET)
    assert raised.value.status == status


@pytest.mark.parametrize("status", [401, 429, 500])
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


def test_an_account_of_more_keys_than_memory_holds_is_given_up(
    client: Client, respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "_MAX_LISTED", 150)
    Server(respx_mock, w1=listed("w1", 151))
    with pytest.raises(UnexpectedAnswerError, match="GET /keys lists more than 150 keys"):
        fetch_listing(client, SECRET)


def test_the_list_is_dated_by_the_server(client: Client, respx_mock: respx.MockRouter) -> None:
    server = Server(respx_mock, w1=listed("w1", 1))
    server.date_of = lambda _number: "Sat, 21 Nov 2026 00:00:05 GMT"
    assert fetch_listing(client, SECRET).answered_at == datetime(2026, 11, 21, 0, 0, 5, tzinfo=UTC)


def test_without_a_date_of_the_server_the_list_is_dated_by_our_clock(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    Server(respx_mock, w1=listed("w1", 1))
    assert fetch_listing(client, SECRET).answered_at == NOW


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


def many_workspaces(router: respx.MockRouter, count: int) -> Server:
    return Server(router, **{f"w{number:03}": listed(f"w{number:03}", 1) for number in range(count)})


@pytest.mark.parametrize(
    ("count", "offsets"),
    [(1, ["0"]), (50, ["0"]), (100, ["0"]), (101, ["0", "99"]), (250, ["0", "99", "198"])],
)
def test_a_hundred_workspaces_come_a_page_and_all_are_gone_through(
    client: Client, respx_mock: respx.MockRouter, count: int, offsets: list[str]
) -> None:
    server = many_workspaces(respx_mock, count)
    assert len(fetch_listing(client, SECRET).keys) == count
    assert server.workspaces_asked == [{"offset": offset, "limit": "100"} for offset in offsets]


@pytest.mark.parametrize("is_counted", [True, False])
def test_a_server_that_lists_fifty_workspaces_a_page_whatever_the_limit_is_read_to_its_end(
    client: Client, respx_mock: respx.MockRouter, is_counted: bool
) -> None:
    server = many_workspaces(respx_mock, 120)

    def fifty(offset: int, _limit: int) -> dict[str, object]:
        page = workspace_items([*server.workspaces][offset : offset + 50])
        return {"data": page, **({"total_count": 120} if is_counted else {})}

    server.list_workspaces = fifty
    assert len(fetch_listing(client, SECRET).keys) == 120
    assert [params["offset"] for params in server.workspaces_asked] == ["0", "49", "98"]


@pytest.mark.parametrize("is_counted", [True, False])
def test_a_server_that_knows_no_pages_of_workspaces_lists_them_all_at_once(
    client: Client, respx_mock: respx.MockRouter, is_counted: bool
) -> None:
    server = many_workspaces(respx_mock, 120)
    more = {"total_count": 120} if is_counted else {}
    server.list_workspaces = lambda _offset, _limit: {"data": workspace_items(server.workspaces), **more}
    assert len(fetch_listing(client, SECRET).keys) == 120
    assert len(server.workspaces_asked) == (1 if is_counted else 2)


def test_workspaces_that_are_counted_but_not_listed_fail_the_whole_list(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    server = many_workspaces(respx_mock, 1)
    server.list_workspaces = lambda _offset, _limit: {"data": workspace_items(["w000"]), "total_count": 3}
    with pytest.raises(UnexpectedAnswerError, match="GET /workspaces lists 1 of 3 workspaces"):
        fetch_listing(client, SECRET)
    assert server.asked == []


def test_a_workspace_that_is_deleted_between_two_pages_hides_no_other(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    server = many_workspaces(respx_mock, 150)
    ids = [*server.workspaces]
    server.list_workspaces = lambda offset, limit: {
        "data": workspace_items((ids[2:] if offset else ids)[offset : offset + limit]),
        "total_count": 150,
    }
    with pytest.raises(ApiUnavailableError, match="workspaces changed while GET /workspaces was read page"):
        fetch_listing(client, SECRET)


def test_workspaces_that_never_end_are_given_up(
    client: Client, respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "_MAX_PAGES", 4)
    server = many_workspaces(respx_mock, 1)
    server.list_workspaces = lambda offset, limit: {
        "data": workspace_items(f"w{number}" for number in range(offset, offset + limit)),
        "total_count": 10**9,
    }
    with pytest.raises(UnexpectedAnswerError, match="GET /workspaces has more than 4 pages"):
        fetch_listing(client, SECRET)


def test_a_server_that_refuses_include_expired_is_asked_without_it_from_then_on(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    server = Server(respx_mock, w1=listed("w1", 150), w2=listed("w2", 1))
    refusal = httpx.Response(400, json={"error": {"code": 400, "message": "unknown: include_expired"}})
    server.change = lambda number, body: refusal if "include_expired" in server.asked[number - 1] else body
    assert len(fetch_listing(client, SECRET).keys) == 151
    assert ["include_expired" in params for params in server.asked] == [True, False, False, False]


def test_a_list_that_is_refused_with_400_either_way_is_an_error(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    server = Server(respx_mock, w1=[])
    server.change = lambda _number, _body: httpx.Response(400)
    with pytest.raises(ApiError, match="GET /keys answered 400"):
        fetch_listing(client, SECRET)
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize(
    ("key", "account_id"),
    [
        ({"organization_id": "org_1", "creator_user_id": "user_1"}, "org_1"),
        ({"organization_id": None, "creator_user_id": "user_1"}, "user_1"),
        ({}, None),
    ],
)
def test_without_workspaces_the_account_is_that_of_the_organization_or_the_user(
    client: Client, respx_mock: respx.MockRouter, status: int, key: dict[str, object], account_id: str | None
) -> None:
    server = Server(respx_mock, w1=listed("w1", 1))
    server.knows_workspaces, server.without_workspaces, server.key = False, status, key
    listing = fetch_listing(client, SECRET)
    assert (listing.account_id, len(listing.keys), listing.has_workspaces) == (account_id, 1, False)
