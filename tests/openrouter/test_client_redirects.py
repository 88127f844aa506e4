"""Redirects: followed within the origin, and never to where the key has no business."""

from __future__ import annotations

from contextlib import suppress

import httpx
import pytest
import respx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orwatch.errors import ApiError, ApiUnavailableError, KeyRejectedError, UnexpectedAnswerError
from orwatch.openrouter.client import Client
from tests.openrouter.conftest import Turns
from tests.support import API_URL, SECRET, FakeClock

KEY_URL = f"{API_URL}/key"
REDIRECTS = [301, 302, 303, 307, 308]


def redirect(location: str, status: int = 302) -> httpx.Response:
    return httpx.Response(status, headers={"Location": location.encode()})


@pytest.mark.parametrize(
    ("status", "location", "target"),
    [
        *((status, "/x", "https://openrouter.example/x") for status in REDIRECTS),
        (302, "/api/v2/key", "https://openrouter.example/api/v2/key"),
        (302, "me", f"{API_URL}/me"),
        (302, "?again=1", f"{KEY_URL}?again=1"),
        (302, "//openrouter.example/x", "https://openrouter.example/x"),
        (302, "https://OpenRouter.example:443/x", "https://openrouter.example/x"),
    ],
)
def test_a_redirect_within_the_origin_is_followed_with_the_key_and_takes_a_turn(
    client: Client, turns: Turns, respx_mock: respx.MockRouter, status: int, location: str, target: str
) -> None:
    route = respx_mock.route(url=target).respond(content=b"there")
    respx_mock.get(KEY_URL, params={}).mock(return_value=redirect(location, status))
    assert client.get("/key", SECRET) == b"there"
    request = route.calls.last.request
    assert request.method == "GET"
    assert request.headers["Authorization"] == f"Bearer {SECRET}"
    assert turns.count == 2


def test_a_user_name_in_a_redirect_does_not_take_the_place_of_the_key(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(KEY_URL).mock(return_value=redirect("https://eve:pw@openrouter.example/x"))
    route = respx_mock.get("https://openrouter.example/x").respond(200)
    client.get("/key", SECRET)
    assert route.calls.last.request.headers["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("status", "location", "shown"),
    [
        *((status, "https://other.example/x", "https://other.example") for status in REDIRECTS),
        (302, "https://other.example/api/v1/key", "https://other.example"),
        (302, "//other.example/api/v1/key", "https://other.example"),
        (302, "http://openrouter.example/api/v1/key", "http://openrouter.example"),
        (302, "https://openrouter.example:8443/api/v1/key", "https://openrouter.example:8443"),
        (302, "https://openrouter.example.evil.example/", "https://openrouter.example.evil.example"),
        (302, "https://openrouter.example@evil.example/", "https://evil.example"),
        (302, "https://openrouter.example%2f@evil.example/", "https://evil.example"),
        (302, "https://sub.openrouter.example/", "https://sub.openrouter.example"),
        (302, "ftp://openrouter.example/", "ftp://openrouter.example"),
    ],
)
def test_a_redirect_to_another_origin_is_refused_and_nothing_is_sent_there(
    client: Client, turns: Turns, respx_mock: respx.MockRouter, status: int, location: str, shown: str
) -> None:
    first = respx_mock.get(KEY_URL).mock(return_value=redirect(location, status))
    elsewhere = respx_mock.route().respond(200)
    with pytest.raises(ApiError, match="where the key is not sent") as raised:
        client.get("/key", SECRET)
    assert f"openrouter.example redirects to {shown}, where" in str(raised.value)
    assert "ORWATCH_OPENROUTER_API_URL" in str(raised.value)
    assert raised.value.status == status
    assert not raised.value.is_passing
    assert (first.call_count, elsewhere.call_count, turns.count) == (1, 0, 1)


def test_a_redirect_to_another_origin_is_refused_after_one_within_it_too(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(KEY_URL).mock(return_value=redirect("/x"))
    respx_mock.get("https://openrouter.example/x").mock(return_value=redirect("https://other.example/"))
    elsewhere = respx_mock.get(host="other.example").respond(200)
    with pytest.raises(ApiError, match=r"redirects to https://other\.example, where"):
        client.get("/key", SECRET)
    assert elsewhere.call_count == 0


def test_a_redirect_that_carries_the_secret_in_its_host_is_refused_without_showing_it(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(KEY_URL).mock(return_value=redirect(f"https://{SECRET}.evil.example/"))
    with pytest.raises(ApiError, match=r"https://sk-or-…a29f\.evil\.example,") as raised:
        client.get("/key", SECRET)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "location",
    [
        *["https://xn--/", "https://host:port/", "https://\x7f/", "/\x01", "javascript:x"],
        *["https:////[xn--a", "//[", "https://[::1", "https://[xn--a]/", f"https:////[{SECRET}"],
    ],
)
def test_a_redirect_to_no_address_is_an_api_error(
    client: Client, respx_mock: respx.MockRouter, location: str
) -> None:
    respx_mock.get(KEY_URL).mock(return_value=redirect(location))
    with pytest.raises(ApiError) as raised:
        client.get("/key", SECRET)
    assert str(raised.value).isprintable()
    assert SECRET[:12] not in str(raised.value)


@pytest.mark.parametrize(("redirects", "turns_taken"), [(1, 2), (2, 3), (3, 4)])
def test_three_redirects_are_followed(
    client: Client, turns: Turns, respx_mock: respx.MockRouter, redirects: int, turns_taken: int
) -> None:
    answers = [redirect("/api/v1/key") for _ in range(redirects)]
    respx_mock.get(KEY_URL).side_effect = [*answers, httpx.Response(200, content=b"there")]
    assert client.get("/key", SECRET) == b"there"
    assert turns.count == turns_taken


def test_a_fourth_redirect_is_not_followed_and_takes_no_turn(
    client: Client, turns: Turns, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.get(KEY_URL).mock(return_value=redirect("/api/v1/key"))
    with pytest.raises(UnexpectedAnswerError, match="redirected more than 3 times"):
        client.get("/key", SECRET)
    assert route.call_count == turns.count == 4


def test_a_redirect_without_a_location_is_an_error_of_its_status(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(KEY_URL).respond(302)
    with pytest.raises(ApiError, match="GET /key answered 302"):
        client.get("/key", SECRET)


def test_what_the_target_answers_is_what_counts(
    client: Client, clock: FakeClock, turns: Turns, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(KEY_URL).mock(return_value=redirect("/x"))
    target = respx_mock.get("https://openrouter.example/x").respond(503)
    with pytest.raises(ApiUnavailableError, match=r"GET /key answered 503 \(tried 5 times\)"):
        client.get("/key", SECRET)
    assert (target.call_count, turns.count, clock.slept) == (5, 10, [1, 2, 4, 8])
    target.respond(401, json={"error": {"code": 401, "message": "User not found."}})
    with pytest.raises(KeyRejectedError):
        client.get("/key", SECRET)


def test_a_turn_that_comes_after_the_time_limit_is_not_used_for_a_redirect(
    client: Client, turns: Turns, respx_mock: respx.MockRouter
) -> None:
    turns.seconds_each = 300
    respx_mock.get(KEY_URL).mock(return_value=redirect("/x"))
    target = respx_mock.get("https://openrouter.example/x").respond(200)
    with pytest.raises(ApiUnavailableError, match="no answer in time"):
        client.get("/key", SECRET)
    assert target.call_count == 0


@given(st.text(max_size=30) | st.text(max_size=20).map("https://openrouter.example".__add__))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_location_at_all_is_followed_within_the_origin_or_is_an_api_error(
    client: Client, location: str
) -> None:
    with respx.mock(assert_all_called=False) as router:
        router.get(KEY_URL).mock(return_value=redirect(location))
        router.route(host="openrouter.example").respond(200)
        with suppress(ApiError):
            client.get("/key", SECRET)
        hosts = {
            (call.request.url.scheme, call.request.url.host, call.request.url.port) for call in router.calls
        }
    assert hosts == {("https", "openrouter.example", None)}
