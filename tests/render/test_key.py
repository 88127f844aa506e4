"""The list of keys as a table and JSON."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from orwatch.domain.keys import InactiveReason, KeyFacts, KeyKind
from orwatch.domain.sources import UsageSource
from orwatch.jobs.key.result import KeyFlag
from tests.render.key_support import FACTS, discovered, list_json, list_view, listing, overview, rows
from tests.render.support import HOSTILE_NAME, INERT_NAME, WIDTHS, rendered, stored_key, widest_line
from tests.support import NOW


def test_without_keys_it_says_how_to_add_one() -> None:
    assert rendered(list_view([])) == "No keys yet. Add one: `orwatch key add NAME`.\n"


def test_a_key_is_a_row() -> None:
    key = stored_key(
        "ci",
        source=UsageSource.USAGE,
        last_synced_at=NOW - timedelta(minutes=5),
        last_validated_at=NOW - timedelta(hours=3),
    )
    head, _rule, row = rendered(list_view([key]), 120).splitlines()
    headers = "Key|State|Share|This month|Can spend|Hint|Kind|Source|Last sync|Validated"
    assert re.split(r"  +", head.strip()) == headers.split("|")
    cells = "ci|active|–|–|–|sk-or-…a29f|inference|usage|5 min ago|3 h ago"
    assert re.split(r"  +", row.strip()) == cells.split("|")


def test_what_is_not_known_of_a_key_is_a_dash() -> None:
    key = stored_key("new", facts=KeyFacts(KeyKind.UNKNOWN), last_synced_at=None, last_validated_at=None)
    row = rendered(list_view([key]), 120).splitlines()[2]
    assert row.split() == ["new", "active", "–", "–", "–", "sk-or-…a29f", "–", "–", "–", "–"]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [(InactiveReason.INVALID, "invalid"), (InactiveReason.DISABLED, "disabled"), (None, "disabled")],
)
def test_an_inactive_key_says_why(reason: InactiveReason | None, expected: str) -> None:
    assert stored_key(is_active=False, inactive_reason=reason).state(NOW) == expected


@pytest.mark.parametrize("width", WIDTHS)
def test_the_list_fits_the_terminal_and_keeps_name_and_state(width: int) -> None:
    found = [stored_key("a-key-with-quite-a-long-name-of-its-own"), stored_key("深度求索" * 8)]
    text = rendered(list_view(found), width)
    assert widest_line(text) <= width
    assert text.count("active") == 2


def test_the_list_in_json_has_the_promised_members() -> None:
    key = stored_key(
        "ci",
        id=7,
        is_active=False,
        inactive_reason=InactiveReason.DISABLED,
        source=UsageSource.USAGE,
        last_validated_at=None,
    )
    assert json.loads(list_json([overview(key, flags=(KeyFlag.DISABLED,))])) == {
        "schema_version": 1,
        "keys": [
            {
                "id": 7,
                "name": "ci",
                "kind": "inference",
                "hint": "sk-or-…a29f",
                "state": "disabled",
                "is_active": False,
                "inactive_reason": "disabled",
                "source": "usage",
                "last_synced_at": "2026-11-20T12:25:00Z",
                "last_validated_at": None,
                "share_30_days": None,
                "spent_30_days": None,
                "known_days": 30,
                "spent_this_month": None,
                "limit": None,
                "limit_remaining": None,
                "limit_reset": None,
                "can_spend": None,
                "expires_at": None,
                "facts_read_at": "2026-11-20T12:25:00Z",
                "flags": ["disabled"],
                "is_discovered": False,
                "listed_by": None,
                "listed_name": None,
                "workspace": None,
                "disabled": None,
                "deleted_at": None,
            }
        ],
        "spent_30_days": None,
        "known_days": 30,
    }


def test_a_discovered_key_in_json_tells_its_list_its_numbers_and_its_flags() -> None:
    key = discovered("prod", listing=listing(name="[b]x", is_disabled=True, deleted_at=NOW))
    found = overview(
        key,
        listed_by="ops",
        spent_30_days_usd=Decimal("1.000000001"),
        share_30_days=Decimal("0.25"),
        spent_month_usd=Decimal(0),
        flags=(KeyFlag.DELETED,),
    )
    document = json.loads(list_json([found], "4.000000004"), parse_float=Decimal)
    expected = {
        "state": "deleted",
        "share_30_days": Decimal("0.25"),
        "spent_30_days": Decimal("1.000000001"),
        "spent_this_month": 0,
        "limit": 100,
        "limit_remaining": Decimal("-0.25"),
        "limit_reset": "monthly",
        "expires_at": "2026-11-23T12:30:00Z",
        "flags": ["deleted"],
        "is_discovered": True,
        "listed_by": "ops",
        "listed_name": "[b]x",
        "workspace": "Default",
        "disabled": True,
        "deleted_at": "2026-11-20T12:30:00Z",
    }
    assert expected.items() <= document["keys"][0].items()
    assert document["spent_30_days"] == Decimal("4.000000004")


def test_no_keys_are_an_empty_list_in_json() -> None:
    assert json.loads(list_json([], known_days=None)) == {
        "schema_version": 1,
        "keys": [],
        "spent_30_days": None,
        "known_days": None,
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "discovered"),
        ({"secret_encrypted": "token"}, "active"),
        ({"listing": listing(is_disabled=True)}, "disabled"),
        ({"listing": listing(is_disabled=True, deleted_at=NOW)}, "deleted"),
        (
            {
                "secret_encrypted": "token",
                "is_active": False,
                "inactive_reason": InactiveReason.INVALID,
                "listing": listing(is_disabled=True),
            },
            "disabled",
        ),
        (
            {"secret_encrypted": "token", "is_active": False, "inactive_reason": InactiveReason.INVALID},
            "invalid",
        ),
        ({"facts": replace(FACTS, expires_at=NOW)}, "expired"),
        ({"facts": replace(FACTS, expires_at=NOW + timedelta(seconds=1))}, "discovered"),
        ({"facts": replace(FACTS, expires_at=NOW), "listing": listing(deleted_at=NOW)}, "deleted"),
    ],
)
def test_the_state_of_a_listed_key_is_what_became_of_it(changes: dict[str, Any], expected: str) -> None:
    assert discovered(**changes).state(NOW) == expected


def test_the_list_tells_share_month_limit_what_can_be_spent_expiry_and_workspace() -> None:
    facts = replace(FACTS, limit_remaining_usd=Decimal("38.5"))
    found = overview(
        discovered(facts=facts),
        spent_30_days_usd=Decimal("1.5"),
        share_30_days=Decimal("0.25"),
        spent_month_usd=Decimal("1.25"),
    )
    (row,) = rows(list_view([found], "6"))
    assert re.split(r"  +", row)[:5] == ["production", "discovered", "25.0%", "$1.25", "████▉"]
    assert re.search(r"61% +\$38\.50  until 1 Dec \(limit\) +in 3 d  Default", row)


@pytest.mark.parametrize(
    ("limit", "remaining", "bar", "percent"),
    [
        ("100", "-0.25", "████████", "100%"),
        ("100", "0", "████████", "100%"),
        ("100", "0.01", "████████", "99%"),
        ("100", "50", "████", "50%"),
        ("100", "100", "", "0%"),
        ("100", "130", "", "0%"),
        ("0", "0", "████████", "100%"),
    ],
)
def test_the_bar_shows_the_used_part_of_the_limit(limit: str, remaining: str, bar: str, percent: str) -> None:
    facts = replace(FACTS, limit_usd=Decimal(limit), limit_remaining_usd=Decimal(remaining), limit_reset=None)
    (row,) = rows(list_view([stored_key(facts=facts)]))
    assert row.count("█") == len(bar)
    assert f" {percent} " in row


def test_the_bar_is_plain_where_the_terminal_knows_no_other() -> None:
    text = rendered(list_view([stored_key(facts=FACTS)]), 120, encoding="ascii")
    assert "######## 100%" in text


def test_a_limit_whose_rest_was_not_told_has_no_bar_but_a_dash() -> None:
    facts = replace(FACTS, limit_remaining_usd=None, expires_at=None, limit_reset=None)
    (row,) = rows(list_view([stored_key("key", facts=facts)]))
    assert row.split()[:9] == ["key", "active", "–", "–", "–", "at", "most", "$100.00", "(limit)"]


def test_an_unlimited_key_says_so_and_has_no_bar_beside_one_with_a_limit() -> None:
    free = overview(stored_key("free"), flags=(KeyFlag.UNLIMITED,))
    first, second = rows(list_view([free, stored_key("bound", facts=FACTS)]))
    assert re.split(r"  +", first)[:6] == ["free", "active", "–", "–", "unlimited", "never"]
    assert "$" not in first
    assert "$0.00  until 1 Dec (limit)" in second


def test_a_management_key_and_a_deleted_one_have_nothing_left_to_tell() -> None:
    owner = stored_key("ops", facts=replace(FACTS, kind=KeyKind.MANAGEMENT))
    gone = overview(discovered("gone", listing=listing(deleted_at=NOW)), flags=(KeyFlag.DELETED,))
    first, second = rows(list_view([owner, gone]))
    assert "%" not in first + second
    assert "$" not in first + second


def test_columns_without_a_single_value_are_left_out() -> None:
    head = rendered(list_view([stored_key(), stored_key("other")]), 200).splitlines()[0]
    assert not {"Limit used", "Expires", "Workspace"} & set(re.split(r"  +", head))


def test_a_dormant_key_says_so_in_the_list() -> None:
    found = overview(discovered(), flags=(KeyFlag.DORMANT,))
    assert "discovered, dormant" in rendered(list_view([found]), 80)


@pytest.mark.parametrize(
    ("known_days", "total", "said"),
    [
        (30, "75.0%", "Share: of $4.00 in the last 30 days."),
        (2, "75.0%", "Share: of $4.00 in the last 30 days, 2 of which are known."),
        (1, "75.0%", "Share: of $4.00 in the last 30 days, 1 of which is known."),
        (None, "–", "Share: unknown; of the last 30 days not the same ones are known for all keys."),
    ],
)
def test_several_keys_have_a_total_and_the_share_says_of_what(
    known_days: int | None, total: str, said: str
) -> None:
    found = [
        overview(stored_key("a"), spent_30_days_usd=Decimal(1), spent_month_usd=Decimal("0.5")),
        overview(stored_key("b"), spent_30_days_usd=Decimal(2), spent_month_usd=None),
    ]
    lines = rendered(list_view(found, "4", known_days), 80).splitlines()
    assert next(line for line in lines if line.startswith("Total")).split() == ["Total", total, "$0.50"]
    assert lines[-1] == said


def test_a_share_that_is_not_known_is_a_dash_and_a_tiny_one_is_not_zero() -> None:
    spent = {"spent_30_days_usd": Decimal("0.0000001")}
    found = [
        overview(stored_key("a"), **spent),
        overview(stored_key("b"), share_30_days=Decimal(0), **spent),
    ]
    assert [row.split()[2] for row in rows(list_view(found, "4"))] == ["–", "<0.1%"]


def test_what_stands_under_a_management_key_is_explained() -> None:
    owner = stored_key(HOSTILE_NAME, facts=KeyFacts(KeyKind.MANAGEMENT))
    text = rendered(list_view([overview(owner, spent_30_days_usd=Decimal(1))], "4"), 200)
    assert f"\n{INERT_NAME}: usage of the account without a listed key.\n" in text
    assert "what the account" not in rendered(list_view([owner], "4"), 200)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_list_with_everything_fits_and_keeps_share_state_and_what_can_be_spent(width: int) -> None:
    key = discovered("a-key-with-quite-a-long-name-of-its-own", facts=FACTS)
    found = overview(
        key,
        spent_30_days_usd=Decimal(1),
        share_30_days=Decimal("0.25"),
        spent_month_usd=Decimal("1234.5"),
        flags=(KeyFlag.DORMANT,) if width >= 60 else (),
    )
    text = rendered(list_view([found, found], "4"), width)
    assert widest_line(text) <= width
    assert text.count("discovered") == text.count("$0.00") == 2
    assert text.count("25.0%") == 2
    if width >= 80:
        assert text.count("$1,234.50") == 2
