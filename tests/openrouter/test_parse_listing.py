"""What ``GET /keys``, ``GET /workspaces`` and ``GET /credits`` answer."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from orwatch.domain.keys import Credits, KeyKind, Workspace
from orwatch.domain.layers import WorkspaceBudget
from orwatch.errors import UnexpectedAnswerError
from orwatch.openrouter.parse_account import (
    parse_credits,
    parse_workspace_budgets,
    parse_workspaces,
)
from orwatch.openrouter.values import MAX_NAME_LENGTH
from tests.openrouter.management_answers import (
    ANALYTICS_ROW,
    HASH,
    LISTED_KEY,
    analytics,
    exact_json,
    keys,
)
from tests.support import SECRET


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


@pytest.mark.parametrize(
    ("told", "is_disabled"), [(True, True), (False, False), (None, False), ("true", False), (1, False)]
)
def test_a_key_is_disabled_only_where_the_server_says_so(told: object, is_disabled: bool) -> None:
    assert keys(LISTED_KEY | {"disabled": told})[0].is_disabled is is_disabled


def test_a_hash_in_upper_case_is_the_same_key() -> None:
    assert keys(LISTED_KEY | {"hash": HASH.upper()})[0].key_hash == HASH


def test_a_secret_is_no_name_no_label_and_no_workspace() -> None:
    [key] = keys(LISTED_KEY | {"name": f"my {SECRET}", "label": SECRET})
    assert (key.name, key.facts.label) == ("my sk-or-…a29f", "sk-or-…a29f")
    assert [row.owner for row in analytics(ANALYTICS_ROW | {"api_key_id": f"my {SECRET}"}).rows] == [key.name]
    body = exact_json({"data": [{"id": "w1", "name": SECRET}]})
    assert parse_workspaces(body)[0] == [Workspace("w1", "sk-or-…a29f")]


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


def test_workspaces_are_told_by_id_and_name() -> None:
    items = [{"id": "w1", "name": "Team", "slug": "team"}, {"id": "w2"}, {"id": "w3", "name": ""}]
    body = exact_json({"data": items, "total_count": 3})
    workspaces = [Workspace("w1", "Team"), Workspace("w2", "w2"), Workspace("w3", "w3")]
    assert parse_workspaces(body) == (workspaces, 3)


@pytest.mark.parametrize("name", [None, 5, [], {}, "\ud800", "n" * (MAX_NAME_LENGTH + 1)])
def test_a_workspace_whose_name_is_none_goes_by_its_id(name: object) -> None:
    body = exact_json({"data": [{"id": "w1", "name": name}]})
    assert parse_workspaces(body) == ([Workspace("w1", "w1")], None)


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
    large = parse_credits(b'{"data": {"total_credits": 90000000, "total_usage": 50000000.5}}')
    assert (large.bought_usd, large.spent_usd) == (90_000_000, Decimal("50000000.5"))
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
        # More than is plausible is more than a database may hold.
        *({"total_credits": amount, "total_usage": 1} for amount in (1_000_000_000.01, 2**70, -(2**70))),
        *({"total_credits": 1, "total_usage": amount} for amount in (1_000_000_000.01, 2**70, -(2**70))),
    ],
)
def test_credits_that_are_not_both_told_are_unexpected_and_not_zero(data: object) -> None:
    with pytest.raises(UnexpectedAnswerError, match="total_credits and total_usage"):
        parse_credits(exact_json({"data": data}))


@pytest.mark.parametrize(
    ("told", "unused_since"),
    [
        ({}, None),
        ({"last_used_at": "2026-02-03T04:05:06Z"}, datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)),
        # No use since the end of 2025.
        ({"last_used_at": None}, datetime(2026, 1, 1, tzinfo=UTC)),
        ({"last_used_at": "odd"}, None),
        ({"last_used_at": 5}, None),
    ],
)
def test_a_key_is_unused_since_its_last_use(told: dict[str, object], unused_since: datetime | None) -> None:
    assert keys(LISTED_KEY | told)[0].unused_since == unused_since


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"data": []}, ()),
        (
            {"data": [{"id": "b", "limit_usd": "0.10", "reset_interval": None}]},
            (WorkspaceBudget("b", "Team", Decimal("0.10"), None),),
        ),
        (
            {
                "data": [{"id": "\x1b", "limit_usd": 5, "reset_interval": "\x1b"}],
                "include_byok_in_budgets": True,
            },
            (WorkspaceBudget("�", "Team", Decimal(5), "�", True),),
        ),
    ],
)
def test_the_budgets_of_a_workspace_are_told_with_its_name(answer: object, expected: object) -> None:
    assert parse_workspace_budgets(exact_json(answer), Workspace("w1", "Team")) == expected


@pytest.mark.parametrize("items", [[{}], [7], [{"id": "b"}], [{"id": "b", "limit_usd": -1}], {}, [{}] * 51])
def test_budgets_that_are_not_understood_are_not_taken_for_none(items: object) -> None:
    with pytest.raises(UnexpectedAnswerError):
        parse_workspace_budgets(exact_json({"data": items}), Workspace("w1", "Team"))
