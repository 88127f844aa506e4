"""Doctor's questions to the API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import httpx
import pytest
import respx

from orwatch.domain.keys import Credits, KeyFacts, KeyKind, ListedKey, StoredKey
from orwatch.errors import ApiError
from orwatch.jobs.doctor import api as doctor_api
from orwatch.jobs.doctor.api import Reported
from orwatch.openrouter.client import Client
from orwatch.secrets import hash_secret
from orwatch.store.engine.database import Store
from orwatch.store.keys import listings
from orwatch.store.keys import table as stored_keys
from tests.jobs.doctor.support import dated, findings, told
from tests.jobs.support import FakeApi, add_key, facts, make_client, refusal
from tests.store.support import execute
from tests.support import API_URL, NOW, FakeClock, secret_of

MANAGEMENT = KeyFacts(KeyKind.MANAGEMENT)
GOOD = {"label": "sk-or-v1-012...a29f", "usage": 25.5}


def ask(store: Store, client: Client, clock: FakeClock, unopened: Sequence[str] = ()) -> Reported:
    with store.read() as connection:
        keys = stored_keys.list_keys(connection)
    secrets = {
        key.id: secret_of(key.name) for key in keys if key.secret_encrypted and key.name not in unopened
    }
    return doctor_api.ask(client, keys, secrets, clock, 2)


def discover(store: Store, owner: StoredKey, *names: str) -> None:
    """Keys of the account that orwatch has no secret of."""
    listed = [
        ListedKey(hash_secret(secret_of(name)), name, None, False, NOW, KeyFacts(KeyKind.INFERENCE))
        for name in names
    ]
    with store.write() as connection:
        listings.merge_listing(connection, owner, listed, NOW)


class Account:
    """Answers for a management key: the list of its account's keys, and its credits."""

    def __init__(self, *names: str, **changes: object) -> None:
        self.names = names
        self.changes = changes
        self.credits: httpx.Response | None = None
        self.list_answer: httpx.Response | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        if path == "/key":
            return dated({**GOOD, "is_management_key": True})
        if path == "/workspaces":
            return refusal(404)
        if path == "/credits":
            return self.credits or httpx.Response(
                200, json={"data": {"total_credits": 100.5, "total_usage": 25.75}}
            )
        assert path == "/keys"
        items = [
            {"hash": hash_secret(secret_of(name)), "name": name, "usage": 2.5, **self.changes}
            for name in self.names
        ]
        return self.list_answer or httpx.Response(200, json={"data": items})


def test_good_keys_are_told_with_their_kind(
    store: Store, client: Client, clock: FakeClock, api: FakeApi
) -> None:
    add_key(store, "work")
    add_key(store, "home")
    api.on("work", dated(GOOD))
    api.on("home", dated({**GOOD, "is_management_key": True}))
    result = ask(store, client, clock)
    assert told(result.checks) == [
        ("API", "ok", "answers"),
        ("clock", "ok", "agrees with the API's within two minutes"),
        ("work", "ok", "inference key, good"),
        ("home", "ok", "management key, good: the next sync reads its account"),
    ]
    assert result.facts[1].usage_usd == Decimal("25.5")
    assert result.server_now == NOW


def test_a_key_that_is_refused_twice_is_a_finding(
    store: Store, client: Client, clock: FakeClock, api: FakeApi
) -> None:
    add_key(store, "work")
    add_key(store, "home")
    api.on("work", dated(GOOD), refusal(401), dated(GOOD))
    api.on("home", refusal(401, "User not found."))
    assert findings(ask(store, client, clock).checks) == [
        ("home", "OpenRouter refuses it, asked twice: GET /key answered 401: User not found.")
    ]
    assert clock.slept == [doctor_api.SECOND_QUESTION_AFTER_SECONDS]


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        (refusal(402), "ok", "good, but it may not ask about itself: GET /key answered 402"),
        (refusal(403), "ok", "good, but it may not ask about itself: GET /key answered 403"),
        (refusal(503), "unknown", "could not be asked about: GET /key answered 503"),
        (httpx.Response(200, text="<html>"), "finding", "could not be asked about:"),
        (facts(expires_at="2026-11-23T12:00:00Z"), "finding", "the key expires at 2026-11-23 12:00 UTC"),
        (facts(expires_at="2027-11-23T12:00:00Z"), "ok", "inference key, good"),
        (facts(limit=5, limit_remaining=0), "finding", "its limit is used up (it never resets)"),
    ],
)
def test_what_an_answer_means(
    store: Store,
    client: Client,
    clock: FakeClock,
    api: FakeApi,
    answer: httpx.Response,
    status: str,
    message: str,
) -> None:
    add_key(store)
    api.on("work", dated(GOOD), answer)
    subject, found, text = told(ask(store, client, clock).checks)[2]
    assert (subject, found, text[: len(message)]) == ("work", status, message)


@pytest.mark.parametrize(
    ("ahead", "message"),
    [
        (timedelta(minutes=2), None),
        (timedelta(minutes=-2), None),
        (timedelta(minutes=3), "this machine's clock is 3 minutes behind the API's"),
        (timedelta(hours=-5), "this machine's clock is 5 hours ahead of the API's"),
        (timedelta(hours=23), "this machine's clock is 23 hours behind the API's"),
    ],
)
def test_a_clock_that_is_wrong_is_a_finding(
    store: Store, client: Client, clock: FakeClock, api: FakeApi, ahead: timedelta, message: str | None
) -> None:
    add_key(store)
    api.on("work", dated(GOOD, NOW + ahead))
    assert findings(ask(store, client, clock).checks) == ([("clock", message)] if message else [])


@pytest.mark.parametrize("ahead", [timedelta(days=3), timedelta(hours=-25)])
def test_a_clock_that_is_wrong_by_days_is_a_finding_and_nothing_else_is_asked(
    store: Store, client: Client, clock: FakeClock, api: FakeApi, ahead: timedelta
) -> None:
    add_key(store)
    api.on("work", dated(GOOD, NOW + ahead))
    result = ask(store, client, clock)
    [(subject, message)] = findings(result.checks)
    assert (subject, "wrong days" in message) == ("clock", True)
    assert told(result.checks)[2] == ("keys", "skipped", "not asked about: see clock")
    assert len(api.requests) == 1


def test_a_server_without_a_date_leaves_the_clock_unknown(
    store: Store, client: Client, clock: FakeClock, api: FakeApi
) -> None:
    clock.advance(microseconds=1)
    add_key(store)
    api.on("work", facts())
    result = ask(store, client, clock)
    assert told(result.checks)[1] == ("clock", "unknown", "the API does not report its time")
    assert result.server_now is None


@pytest.mark.parametrize("trouble", [httpx.ConnectError("no route to host"), refusal(503)])
def test_an_api_that_does_not_answer_is_one_finding_and_no_key_is_asked_about(
    store: Store, client: Client, clock: FakeClock, api: FakeApi, trouble: httpx.Response | Exception
) -> None:
    for name in ("work", "home", "third"):
        add_key(store, name)
        api.on(name, trouble)
    result = ask(store, client, clock)
    [(subject, message)] = findings(result.checks)
    assert subject == "API"
    assert message in {
        f"the API at {API_URL} does not answer (no route to host)",
        f"the API at {API_URL} answers with errors only (503)",
    }
    assert told(result.checks)[1:] == [("keys", "skipped", "not asked about: see API")]
    assert {asker for asker, _, _ in api.requests} == {"work"}


def test_a_server_that_answers_html_to_everything_is_no_api(
    store: Store, client: Client, clock: FakeClock, api: FakeApi
) -> None:
    add_key(store)
    api.on(
        "work", httpx.Response(200, text="<html>Log in", headers={"Date": "Fri, 20 Nov 2026 12:00:00 GMT"})
    )
    result = ask(store, client, clock)
    assert told(result.checks) == [
        (
            "API",
            "finding",
            "what answers is no API: the answer is not JSON: it begins with '<html>Log in' (12 bytes)",
        ),
        ("keys", "skipped", "not asked about: see API"),
    ]
    assert "is ORWATCH_OPENROUTER_API_URL right" in (result.checks[0].advice or "")
    assert result.server_now is None


def test_a_server_without_key_that_answers_html_to_what_it_does_not_know_is_an_api(
    store: Store, client: Client, clock: FakeClock, api: FakeApi
) -> None:
    add_key(store)
    api.on("work", httpx.Response(200, text="<html>"), dated({}))
    assert told(ask(store, client, clock).checks)[0] == ("API", "ok", "answers")
    assert [path for _, path, _ in api.requests][:2] == ["/key", "/models"]


def test_without_a_secret_the_public_list_of_models_is_asked_for(
    store: Store, clock: FakeClock, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.get(f"{API_URL}/models").mock(return_value=dated({}))
    with make_client(clock) as client:
        result = ask(store, client, clock)
    assert told(result.checks) == [
        ("API", "ok", "answers"),
        ("clock", "ok", "agrees with the API's within two minutes"),
    ]
    assert route.call_count == 1


def test_a_server_that_refuses_everything_answers_all_the_same(
    store: Store, client: Client, clock: FakeClock, api: FakeApi
) -> None:
    add_key(store)
    api.on("work", refusal(404))
    result = ask(store, client, clock)
    assert told(result.checks)[:2] == [
        ("API", "ok", "answers"),
        ("clock", "unknown", "the API does not report its time"),
    ]
    assert [subject for subject, _ in findings(result.checks)] == ["work"]


def test_the_keys_of_an_account_are_told_by_its_list_in_a_few_requests(
    store: Store, client: Client, clock: FakeClock, api: FakeApi
) -> None:
    owner = add_key(store, "ops", facts=MANAGEMENT)
    add_key(store, "work")
    discover(store, owner, "work", "home")
    api.on("ops", Account("work", "home", "new"))
    result = ask(store, client, clock)
    assert told(result.checks)[2:] == [
        ("ops", "ok", "management key; its account has 3 keys"),
        ("work", "ok", "inference key, listed by its account"),
        ("home", "ok", "inference key, listed by its account"),
    ]
    assert [path for _, path, _ in api.requests] == ["/key", "/workspaces", "/keys", "/key", "/credits"]
    assert {key_id: each.usage_usd for key_id, each in result.facts.items()} == {
        2: Decimal("2.5"),
        3: Decimal("2.5"),
    }
    assert result.credits == {1: Credits(Decimal("100.5"), Decimal("25.75"))}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"disabled": True}, ("ok", "inference key, disabled at OpenRouter")),
        ({"expires_at": "2026-11-21T12:00:00Z"}, ("finding", "the key expires at 2026-11-21 12:00 UTC")),
    ],
)
def test_what_a_list_says_of_a_key_is_told(
    store: Store,
    client: Client,
    clock: FakeClock,
    api: FakeApi,
    changes: dict[str, object],
    expected: tuple[str, str],
) -> None:
    owner = add_key(store, "ops", facts=MANAGEMENT)
    add_key(store, "work")
    discover(store, owner, "work")
    api.on("ops", Account("work", **changes))
    assert told(ask(store, client, clock).checks)[3] == ("work", *expected)


def test_where_an_account_cannot_be_listed_its_keys_are_asked_with_their_own_secrets(
    store: Store, client: Client, clock: FakeClock, api: FakeApi
) -> None:
    owner = add_key(store, "ops", facts=MANAGEMENT)
    add_key(store, "work")
    discover(store, owner, "work", "home")
    account = Account()
    account.list_answer = refusal(403, "Only management keys can perform this operation")
    api.on("ops", account)
    api.on("work", facts())
    result = ask(store, client, clock)
    assert told(result.checks)[2:] == [
        (
            "ops",
            "finding",
            "is not a management key any more: GET /keys answered 403: "
            "Only management keys can perform this operation",
        ),
        ("work", "ok", "inference key, good"),
        ("home", "skipped", "not asked about: its account's keys could not be listed"),
    ]
    assert result.credits == {}


def test_credits_that_cannot_be_read_are_no_finding(
    store: Store, client: Client, clock: FakeClock, api: FakeApi
) -> None:
    add_key(store, "ops", facts=MANAGEMENT)
    account = Account("only")
    account.credits = refusal(403)
    api.on("ops", account)
    result = ask(store, client, clock)
    assert findings(result.checks) == []
    assert told(result.checks)[2] == ("ops", "ok", "management key; its account has 1 key")
    assert isinstance(result.credits[1], ApiError)


def test_keys_that_are_not_asked_about_say_why(
    store: Store, client: Client, clock: FakeClock, api: FakeApi
) -> None:
    owner = add_key(store, "ops", facts=MANAGEMENT)
    for name in ("invalid", "closed"):
        add_key(store, name)
    discover(store, owner, "gone")
    execute(
        store, "UPDATE api_keys SET is_active = FALSE, inactive_reason = 'invalid' WHERE name = 'invalid'"
    )
    api.on("ops", Account())
    assert told(ask(store, client, clock, unopened=("closed",)).checks)[3:] == [
        ("invalid", "skipped", "not asked about: invalid"),
        ("closed", "skipped", "not asked about: its secret cannot be opened"),
        ("gone", "skipped", "its account does not list it any more: the next sync records it as deleted"),
    ]


def test_how_many_keys_are_asked_one_by_one_is_told_before(
    store: Store, client: Client, clock: FakeClock, api: FakeApi
) -> None:
    counts: list[int] = []
    for name in ("work", "home"):
        add_key(store, name)
        api.on(name, facts())
    with store.read() as connection:
        keys = stored_keys.list_keys(connection)
    doctor_api.ask(client, keys, {1: secret_of("work"), 2: secret_of("home")}, clock, 2, counts.append)
    assert counts == [2]
