"""The facts of ``GET /key``, and the messages of error answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from orwatch.domain.keys import KeyFacts, KeyKind
from orwatch.domain.layers import FreeQuota, Layer
from orwatch.openrouter.parse import MAX_LAYERS, parse_error, parse_key
from orwatch.openrouter.values import MAX_NAME_LENGTH
from tests.support import SECRET


def facts(**data: object) -> KeyFacts:
    return parse_key(json.dumps({"data": data}).encode())


def test_a_whole_answer_is_read_exactly() -> None:
    body = b"""{"data": {"label": "sk-or-v1-012...a29f", "usage": 25.1234567891, "usage_daily": 1e-7,
        "usage_weekly": 3, "usage_monthly": "4.5", "byok_usage": 0.5, "byok_usage_daily": 0, "limit": 100,
        "limit_remaining": 74.87, "limit_reset": "monthly", "include_byok_in_limit": false,
        "expires_at": "2027-01-01T00:00:00Z", "is_free_tier": false, "is_management_key": false,
        "rate_limit": {"requests": -1, "interval": "10s", "note": "obsolete"}}}"""
    assert parse_key(body) == KeyFacts(
        kind=KeyKind.INFERENCE,
        label="sk-or-v1-012...a29f",
        usage_usd=Decimal("25.1234567891"),
        usage_daily_usd=Decimal("1e-7"),
        usage_weekly_usd=Decimal(3),
        usage_monthly_usd=Decimal("4.5"),
        byok_usage_usd=Decimal("0.5"),
        byok_usage_daily_usd=Decimal(0),
        limit_usd=Decimal(100),
        limit_remaining_usd=Decimal("74.87"),
        limit_reset="monthly",
        is_free_tier=False,
        is_byok_limited=False,
        expires_at=datetime(2027, 1, 1, tzinfo=UTC),
    )


def test_what_an_older_answer_does_not_say_is_unknown() -> None:
    assert facts() == KeyFacts(kind=KeyKind.INFERENCE)


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"is_management_key": True}, KeyKind.MANAGEMENT),
        ({"is_management_key": False}, KeyKind.INFERENCE),
        ({"is_provisioning_key": True}, KeyKind.MANAGEMENT),
        ({"is_provisioning_key": False}, KeyKind.INFERENCE),
        ({"is_management_key": False, "is_provisioning_key": True}, KeyKind.INFERENCE),
        ({"is_management_key": True, "is_provisioning_key": False}, KeyKind.MANAGEMENT),
        ({"is_management_key": None, "is_provisioning_key": True}, KeyKind.MANAGEMENT),
        ({"is_management_key": "true"}, KeyKind.INFERENCE),
        ({"is_management_key": 1}, KeyKind.INFERENCE),
        ({"is_management_key": []}, KeyKind.INFERENCE),
    ],
)
def test_the_kind_of_key_is_told_by_the_new_name_or_else_the_old_one(
    told: dict[str, object], kind: KeyKind
) -> None:
    assert facts(**told).kind is kind


def test_only_the_remaining_limit_may_be_negative_and_it_is_never_computed() -> None:
    assert facts(limit=20, usage=1000).limit_remaining_usd is None
    read = facts(limit=None, limit_remaining=-0.25, usage=-1, usage_daily=-1e-9)
    assert read.limit_usd is None
    assert read.limit_remaining_usd == Decimal("-0.25")
    assert read.usage_usd is None
    assert read.usage_daily_usd is None


@pytest.mark.parametrize(
    "rubbish", ["", "lots", True, [], {}, 1e300, -1e300, float("nan"), float("inf"), "NaN"]
)
@pytest.mark.parametrize(
    ("field", "attribute"),
    [
        ("usage", "usage_usd"),
        ("usage_daily", "usage_daily_usd"),
        ("usage_weekly", "usage_weekly_usd"),
        ("usage_monthly", "usage_monthly_usd"),
        ("byok_usage", "byok_usage_usd"),
        ("limit", "limit_usd"),
        ("limit_remaining", "limit_remaining_usd"),
    ],
)
def test_an_amount_that_is_not_believed_is_unknown(field: str, attribute: str, rubbish: object) -> None:
    read = facts(**{field: rubbish, "label": "kept"})
    assert getattr(read, attribute) is None
    assert read.label == "kept"


@pytest.mark.parametrize(
    "rubbish", ["", 7, True, [], {}, "x" * (MAX_NAME_LENGTH + 1), "a\0b", "\ud800"], ids=repr
)
def test_a_text_that_is_not_believed_is_unknown(rubbish: object) -> None:
    assert facts(label=rubbish, limit_reset=rubbish) == facts()


@pytest.mark.parametrize("rubbish", [None, "true", 1, 0, [], {}])
def test_a_tier_that_is_no_truth_value_is_unknown(rubbish: object) -> None:
    assert facts(is_free_tier=rubbish).is_free_tier is None
    assert facts(is_free_tier=True).is_free_tier is True


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-12-31T23:59:59Z", datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2026-12-31T23:59:59.123Z", datetime(2026, 12, 31, 23, 59, 59, 123_000, tzinfo=UTC)),
        ("2026-12-31T23:59:59+02:00", datetime(2026, 12, 31, 21, 59, 59, tzinfo=UTC)),
        ("2026-12-31 23:59:59", datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2026-12-31", datetime(2026, 12, 31, tzinfo=UTC)),
    ],
)
def test_an_expiry_is_read_as_a_time_in_utc(text: str, moment: datetime) -> None:
    read = facts(expires_at=text).expires_at
    assert read == moment
    assert read is not None
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "rubbish",
    [None, "", "soon", "2026-02-30T00:00:00Z", 1798675200, True, [], "0001-01-01T00:00:00+14:00"],
)
def test_an_expiry_that_is_no_time_is_unknown(rubbish: object) -> None:
    assert facts(expires_at=rubbish).expires_at is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"code": 401, "message": "User not found."}}', "User not found."),
        (b'{"error": {"message": "two\\nlines\\tand  more"}}', "two lines and more"),
        (b'{"error": {"message": "\\u001b[31mred\\u202etxt"}}', "\ufffd[31mred\ufffdtxt"),
        (b'{"error": {"message": ""}}', None),
        (b'{"error": {"message": " \\n "}}', None),
        (b'{"error": {"message": null}}', None),
        (b'{"error": {"message": ["x"]}}', None),
        (b'{"error": {"message": 3}}', None),
        (b'{"error": {}}', None),
        (b'{"error": "text"}', None),
        (b'{"error": null}', None),
        (b'{"message": "elsewhere"}', None),
        (b"[]", None),
        (b'"error"', None),
        (b"null", None),
        (b"5", None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_an_error_message_is_read_and_made_printable(body: bytes, message: str | None) -> None:
    assert parse_error(body) == message


def test_counters_that_round_to_no_nano_dollars_are_zero() -> None:
    read = facts(usage_daily=-2e-17, usage=-1)
    assert (read.usage_daily_usd, read.usage_usd) == (0, None)


BUDGET = {
    "scope": "workspace",
    "limit_usd": 50,
    "spend_usd": 49.5,
    "remaining_usd": 0.5,
    "reset_interval": "monthly",
    "resets_at": "2026-12-01T00:00:00Z",
    "include_byok": False,
    "guardrail_id": None,
    "budget_id": "b1",
}
LAYER = Layer(
    "workspace",
    Decimal(50),
    Decimal("49.5"),
    Decimal("0.5"),
    "monthly",
    datetime(2026, 12, 1, tzinfo=UTC),
    False,
    "b1",
)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, None),
        ({"budgets": None, "effective_budget": None}, None),
        ({"budgets": "none"}, None),
        ({"budgets": []}, ()),
        ({"budgets": [BUDGET], "effective_budget": BUDGET}, (LAYER,)),
        ({"budgets": [], "effective_budget": BUDGET}, (LAYER,)),
        ({"effective_budget": BUDGET}, (LAYER,)),
        (
            {"budgets": [7, {}, {"scope": "new", "remaining_usd": -2}]},
            (Layer("unknown"), Layer("unknown"), Layer("new", remaining_usd=Decimal(-2))),
        ),
        ({"budgets": [dict.fromkeys(BUDGET, ()), dict.fromkeys(BUDGET, 1e300)]}, (Layer("unknown"),) * 2),
    ],
)
def test_every_budget_is_kept_also_where_it_is_not_understood(
    told: dict[str, object], expected: tuple[Layer, ...] | None
) -> None:
    read = facts(label="kept", **told)
    assert (read.layers, read.label) == (expected, "kept")


def test_the_texts_of_a_budget_are_inert_and_their_number_is_bounded() -> None:
    told = dict.fromkeys(("scope", "reset_interval", "budget_id", "guardrail_id"), f"\x1b[2J{SECRET}")
    (layer,) = facts(budgets=[told]).layers or ()
    assert {layer.scope, layer.reset_interval, layer.budget_id, layer.guardrail_id} == {"�[2Jsk-or-…a29f"}
    layers = facts(
        budgets=[{"scope": f"s{number}"} for number in range(9_000)], effective_budget=BUDGET
    ).layers
    assert (len(layers or ()), (layers or ())[-1]) == (MAX_LAYERS + 1, LAYER)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"limit": 50, "used": 40, "remaining": 10}, FreeQuota(50, 40, 10)),
        ({"limit": 50, "used": "60"}, FreeQuota(50, 60, 0)),
        ({"limit": 50}, None),
        ({"limit": 50, "used": -1, "remaining": 1.5}, None),
        ([], None),
        (None, None),
    ],
)
def test_the_free_requests_are_read_where_they_are_plausible(
    told: object, expected: FreeQuota | None
) -> None:
    assert facts(free_model_daily_requests=told).free_quota == expected
