"""OpenRouter's own client accepts every answer of the fake server, and loses nothing of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from openrouter import OpenRouter, errors
from openrouter.types import BaseModel, UnrecognizedStr

from orwatch.demo.account import FakeBudget, FakeWorkspace
from orwatch.demo.analytics import METRICS
from orwatch.demo.server import FakeServer
from orwatch.demo.usage import CI, FakeKey
from tests.demo.support import ACCOUNT, CI_KEY, LAB, MANAGEMENT, PRODUCTION_KEY, RESEARCH_KEY, api_of

# The client's own models mark fields of theirs as deprecated, and then warn of themselves.
pytestmark = pytest.mark.filterwarnings(r"ignore:warning. \*\* DEPRECATED \*\*:DeprecationWarning")

BUDGET = FakeBudget("b1", Decimal(100), "monthly")
EXPIRED = FakeKey("expired", "sk-or-v1-expired", CI, expires_at=datetime(2026, 11, 1, tzinfo=UTC))
BIG_ACCOUNT = replace(
    ACCOUNT,
    keys=(*ACCOUNT.keys, EXPIRED),
    workspaces=(
        replace(ACCOUNT.workspaces[0], budget=BUDGET),
        LAB,
        *(FakeWorkspace(f"w{number}", f"Space {number}", f"w{number}") for number in range(60)),
    ),
)
API = api_of(BIG_ACCOUNT)
WINDOW = {"start": datetime(2026, 11, 1, tzinfo=UTC), "end": datetime(2026, 11, 21, tzinfo=UTC)}
UNKNOWN_HASH = "0" * 64


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer(API.answer) as server:
        yield server


def client_with(server: FakeServer, secret: str) -> OpenRouter:
    return OpenRouter(api_key=secret, server_url=server.url, retry_config=None)


def unrecognized(value: Any) -> list[str]:
    """The texts that are none of those which the client's types list; it passes them on all the same."""
    if isinstance(value, UnrecognizedStr):
        return [value]
    if isinstance(value, BaseModel):
        value = list(dict(value).values())
    return [text for item in value for text in unrecognized(item)] if isinstance(value, list) else []


def assert_loses_nothing(server: FakeServer, answer: Any) -> None:
    """What the client made of the last answer is, written as JSON again, that answer."""
    understood = getattr(answer, "result", answer)
    sent = json.loads(API.answer(server.received[-1][1]).body)
    for item in sent["data"] if isinstance(sent["data"], list) else []:
        item.pop("byok_requests", None)  # which is sometimes there, and which the client does not know
    assert understood.model_dump(mode="json", by_alias=True, exclude_unset=True) == sent
    assert unrecognized(understood) == []


@pytest.mark.parametrize(
    "secret", [MANAGEMENT, PRODUCTION_KEY.secret, CI_KEY.secret, RESEARCH_KEY.secret], ids=list("mpcr")
)
def test_it_reads_what_a_key_is(server: FakeServer, secret: str) -> None:
    client = client_with(server, secret)
    assert_loses_nothing(server, client.api_keys.get_current_key_metadata())


CALLS: dict[str, Callable[[OpenRouter], Any]] = {
    "keys": lambda client: client.api_keys.list(),
    "all keys": lambda client: client.api_keys.list(include_disabled=True, include_expired=True, offset=1),
    "keys of a workspace": lambda client: client.api_keys.list(workspace_id=LAB.id),
    "key": lambda client: client.api_keys.get(hash=CI_KEY.key_hash),
    "credits": lambda client: client.credits.get_credits(),
    "workspaces": lambda client: client.workspaces.list(),
    "more workspaces": lambda client: client.workspaces.list().next(),
    "many workspaces": lambda client: client.workspaces.list(limit=100),
    "budgets": lambda client: client.workspaces.list_budgets(workspace_ref=ACCOUNT.workspaces[0].id),
    "no budgets": lambda client: client.workspaces.list_budgets(workspace_ref=LAB.slug),
    "activity": lambda client: client.analytics.get_user_activity(),
    "activity by workspace": lambda client: client.analytics.get_user_activity(
        request={"group_by": "workspace", "date_": "2026-11-18"}
    ),
    "activity of a key": lambda client: client.analytics.get_user_activity(
        request={"api_key_hash": RESEARCH_KEY.key_hash}
    ),
    "meta": lambda client: client.analytics.get_analytics_meta(),
    "models": lambda client: client.models.list(),
}


@pytest.mark.parametrize("name", CALLS)
def test_it_reads_the_account(server: FakeServer, name: str) -> None:
    assert_loses_nothing(server, CALLS[name](client_with(server, MANAGEMENT)))


def test_it_goes_through_all_workspaces(server: FakeServer) -> None:
    page: Any = client_with(server, MANAGEMENT).workspaces.list()
    ids = []
    while page is not None:
        ids += [workspace.id for workspace in page.result.data]
        page = page.next()
    assert ids == [workspace.id for workspace in BIG_ACCOUNT.workspaces]


@pytest.mark.parametrize("hashes", [[CI_KEY.key_hash], [CI_KEY.key_hash, UNKNOWN_HASH]])
def test_it_reads_analytics_and_their_warnings(server: FakeServer, hashes: list[str]) -> None:
    answer = client_with(server, MANAGEMENT).analytics.query_analytics(
        metrics=list(METRICS),
        dimensions=["model", "api_key_id"],
        granularity="day",
        time_range=WINDOW,  # type: ignore[arg-type]  # it takes dictionaries of these, too
        filters=[{"field": "api_key_id", "operator": "in", "value": hashes}],
        order_by={"field": "total_usage", "direction": "desc"},
        limit=1000,
    )
    sent = json.loads(API.answer(server.received[-1][1]).body)["data"]
    # Of a row the client's type says nothing: it reads them as objects without a field.
    assert len(answer.data.data) == len(sent["data"]) == sent["metadata"]["row_count"] > 0
    assert answer.data.metadata.model_dump() == sent["metadata"]
    assert (answer.data.warnings or []) == sent.get("warnings", [])
    assert (UNKNOWN_HASH in f"{answer.data.warnings}") == (UNKNOWN_HASH in hashes)


def refused(client: OpenRouter, name: str) -> errors.OpenRouterError:
    with pytest.raises(errors.OpenRouterError) as raised:
        CALLS[name](client)
    return raised.value


@pytest.mark.parametrize("name", [name for name in CALLS if name != "models"])
def test_it_understands_why_an_unknown_key_is_refused(server: FakeServer, name: str) -> None:
    error = refused(client_with(server, "sk-or-v1-unknown"), name)
    assert isinstance(error, errors.UnauthorizedResponseError)
    assert (error.data.error.code, error.data.error.message) == (401, "User not found.")


@pytest.mark.parametrize("name", [name for name in CALLS if name != "models"])
def test_it_understands_what_an_ordinary_key_may_not_do(server: FakeServer, name: str) -> None:
    error = refused(client_with(server, CI_KEY.secret), name)
    message = "Only management keys can perform this operation"
    assert error.status_code == 403
    assert json.loads(error.body) == {"error": {"code": 403, "message": message}}
    # For some calls it has no type for a 403.
    if isinstance(error, errors.ForbiddenResponseError):
        assert error.data.error.message == message


def test_it_understands_what_there_is_not_and_what_cannot_be_asked(server: FakeServer) -> None:
    client = client_with(server, MANAGEMENT)
    with pytest.raises(errors.NotFoundResponseError, match="API key not found"):
        client.api_keys.get(hash=UNKNOWN_HASH)
    with pytest.raises(errors.NotFoundResponseError, match="Workspace not found"):
        client.workspaces.list_budgets(workspace_ref="unknown")
    with pytest.raises(errors.BadRequestResponseError, match=r"within the last 30 \(completed\) UTC days"):
        client.analytics.get_user_activity(request={"date_": "2026-11-20"})
    with pytest.raises(errors.BadRequestResponseError, match="unknown metric"):
        client.analytics.query_analytics(metrics=["cost"])
