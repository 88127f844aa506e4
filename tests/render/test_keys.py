"""Keys as tables and JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from orwatch.models import InactiveReason, KeyFacts, KeyKind, StoredKey, UsageSource
from orwatch.render.keys import list_json, list_view, show_json, show_view, state
from tests.render.support import HOSTILE_NAME, INERT_NAME, WIDTHS, rendered, stored_key, widest_line
from tests.support import NOW

FACTS = KeyFacts(
    KeyKind.INFERENCE,
    label="sk-or-v1-012...a29f",
    usage_usd=Decimal("25.1234567891"),
    usage_daily_usd=Decimal("0"),
    usage_weekly_usd=Decimal("3"),
    usage_monthly_usd=Decimal("4.5"),
    byok_usage_usd=Decimal("0.1"),
    limit_usd=Decimal("100"),
    limit_remaining_usd=Decimal("-0.25"),
    limit_reset="monthly",
    is_free_tier=False,
    expires_at=datetime(2026, 11, 23, 12, 30, tzinfo=UTC),
)


def shown(key: StoredKey) -> dict[str, str]:
    """The lines of ``key show`` by their labels, which end where two blanks begin."""
    lines = (line.split("  ", 1) for line in rendered(show_view(key, NOW), 200).splitlines())
    return {label: value.strip() for label, value in lines}


def with_facts(**changes: Any) -> StoredKey:
    return stored_key(facts=replace(FACTS, **changes))


def test_without_keys_it_says_how_to_add_one() -> None:
    assert rendered(list_view([], NOW)) == "No keys yet. `orwatch key add NAME` stores one.\n"


def test_a_key_is_a_row() -> None:
    key = stored_key(
        "ci",
        source=UsageSource.USAGE,
        last_synced_at=NOW - timedelta(minutes=5),
        last_validated_at=NOW - timedelta(hours=3),
    )
    head, _rule, row = rendered(list_view([key], NOW), 120).splitlines()
    assert head.split() == ["Key", "State", "Hint", "Kind", "Source", "Last", "sync", "Validated"]
    assert row.split() == [
        "ci",
        "active",
        "sk-or-…a29f",
        "inference",
        "usage",
        "5",
        "min",
        "ago",
        "3",
        "h",
        "ago",
    ]


def test_what_is_not_known_of_a_key_is_a_dash() -> None:
    key = stored_key("new", facts=KeyFacts(KeyKind.UNKNOWN), last_synced_at=None, last_validated_at=None)
    row = rendered(list_view([key], NOW), 120).splitlines()[2]
    assert row.split() == ["new", "active", "sk-or-…a29f", "–", "–", "–", "–"]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [(InactiveReason.INVALID, "invalid"), (InactiveReason.DISABLED, "disabled"), (None, "disabled")],
)
def test_an_inactive_key_says_why(reason: InactiveReason | None, expected: str) -> None:
    assert state(stored_key(is_active=False, inactive_reason=reason)) == expected


@pytest.mark.parametrize("width", WIDTHS)
def test_the_list_fits_the_terminal_and_keeps_name_and_state(width: int) -> None:
    keys = [stored_key("a-key-with-quite-a-long-name-of-its-own"), stored_key("深度求索" * 8)]
    text = rendered(list_view(keys, NOW), width)
    assert widest_line(text) <= width
    assert text.count("active") == 2


def test_hostile_names_are_inert_in_the_list_and_alone() -> None:
    key = stored_key(HOSTILE_NAME, last_sync_error="\x1b[2Jbad", facts=replace(FACTS, label="\u202elabel"))
    assert INERT_NAME in rendered(list_view([key], NOW), 200)
    lines = shown(key)
    assert lines["Name"] == INERT_NAME
    assert lines["Last problem"] == "�[2Jbad"
    assert lines["Label"] == "�label"


def test_one_key_is_shown_with_all_that_is_known() -> None:
    key = stored_key(facts=FACTS, source=UsageSource.USAGE, synced_through=date(2026, 11, 20))
    lines = shown(key)
    assert lines == {
        "Name": "production",
        "Hint": "sk-or-…a29f",
        "State": "active",
        "Kind": "inference",
        "Source": "usage (GET /usage answers)",
        "Added": "2026-11-20 12:30 UTC",
        "Last sync": "2026-11-20 12:25 UTC (5 min ago)",
        "Synced through": "2026-11-20",
        "Last validate": "2026-11-20 12:25 UTC (5 min ago)",
        "SHA-256": "0" * 64,
        "Label": "sk-or-v1-012...a29f",
        "Free tier": "no",
        "Expires": "2026-11-23 12:30 UTC (in 3 d)",
        "Limit": "$100.00, reset monthly",
        "Remaining": "-$0.25",
        "Spent today": "$0.00",
        "This week": "$3.00",
        "This month": "$4.50",
        "Ever": "$25.1234567891",
        "As of": "2026-11-20 12:25 UTC (5 min ago)",
    }


def test_a_key_without_a_limit_is_unlimited_and_not_at_zero() -> None:
    lines = shown(with_facts(limit_usd=None, limit_remaining_usd=None, limit_reset=None))
    assert lines["Limit"] == "none (unlimited)"
    assert lines["Remaining"] == "unlimited"


def test_a_limit_that_never_resets_says_nothing_of_a_reset() -> None:
    assert shown(with_facts(limit_reset=None))["Limit"] == "$100.00"


def test_a_limit_whose_rest_is_not_told_is_a_dash() -> None:
    assert shown(with_facts(limit_remaining_usd=None))["Remaining"] == "–"


def test_facts_that_the_answer_did_not_tell_are_dashes_and_no_zeros() -> None:
    lines = shown(stored_key(facts=KeyFacts(KeyKind.UNKNOWN), last_synced_at=None))
    unknown = ("Kind", "Synced through", "Label", "Free tier", "Spent today", "This week", "Ever")
    assert {lines[name] for name in unknown} == {"–"}
    assert lines["Last sync"] == "never"
    assert lines["Expires"] == "never"
    assert "$0.00" not in lines.values()


def test_of_a_key_that_nobody_asked_about_there_are_no_facts() -> None:
    lines = shown(stored_key(facts=KeyFacts(KeyKind.UNKNOWN), facts_read_at=None))
    assert "orwatch validate" in lines["Facts"]
    assert "Limit" not in lines


def test_an_inactive_key_says_since_when() -> None:
    key = stored_key(is_active=False, inactive_reason=InactiveReason.INVALID, inactive_since=NOW)
    assert shown(key)["State"] == "invalid since 2026-11-20 12:30 UTC"


def test_the_list_in_json_has_the_promised_members() -> None:
    key = stored_key(
        "ci",
        id=7,
        is_active=False,
        inactive_reason=InactiveReason.DISABLED,
        source=UsageSource.USAGE,
        last_validated_at=None,
    )
    assert json.loads(list_json([key])) == {
        "schema_version": 1,
        "keys": [
            {
                "id": 7,
                "name": "ci",
                "kind": "inference",
                "hint": "sk-or-…a29f",
                "is_active": False,
                "inactive_reason": "disabled",
                "source": "usage",
                "last_synced_at": "2026-11-20T12:25:00Z",
                "last_validated_at": None,
            }
        ],
    }


def test_no_keys_are_an_empty_list_in_json() -> None:
    assert json.loads(list_json([])) == {"schema_version": 1, "keys": []}


def test_one_key_in_json_has_the_members_of_the_list_and_exact_facts() -> None:
    key = stored_key(facts=FACTS)
    document = json.loads(show_json(key), parse_float=Decimal)
    assert document["schema_version"] == 1
    listed = json.loads(list_json([key]))["keys"][0]
    assert listed.items() <= document["key"].items()
    assert document["key"]["usage"] == Decimal("25.1234567891")
    assert document["key"]["limit_remaining"] == Decimal("-0.25")
    assert document["key"]["expires_at"] == "2026-11-23T12:30:00Z"
    assert document["key"]["hash"] == "0" * 64


def test_the_stored_secret_is_in_no_output() -> None:
    key = stored_key(facts=FACTS, secret_encrypted="gAAAAA-the-token")
    outputs = [
        rendered(list_view([key], NOW), 200),
        rendered(show_view(key, NOW), 200),
        list_json([key]),
        show_json(key),
    ]
    assert all("gAAAAA" not in output for output in outputs)


@pytest.mark.parametrize(
    ("source", "setting", "shown_as"),
    [
        (UsageSource.COUNTERS, None, "counters (this server has no /usage"),
        (UsageSource.USAGE, None, "usage (GET /usage answers)"),
        (UsageSource.USAGE, UsageSource.COUNTERS, "counters (set with --source)"),
        (None, None, "– (the first sync finds out)"),
    ],
)
def test_one_key_says_where_its_usage_comes_from_and_why(
    source: UsageSource | None, setting: UsageSource | None, shown_as: str
) -> None:
    assert shown(stored_key(source=source, source_setting=setting))["Source"].startswith(shown_as)
