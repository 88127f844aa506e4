"""One key as lines and JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from orwatch.domain.keys import Credits, InactiveReason, KeyFacts, KeyKind
from orwatch.domain.sources import UsageSource
from orwatch.jobs.key.result import AccountDetails, KeyFlag
from tests.render.key_support import (
    FACTS,
    discovered,
    list_json,
    list_view,
    listing,
    show_json,
    show_view,
    shown,
    with_facts,
)
from tests.render.support import HOSTILE_NAME, INERT_NAME, rendered, stored_key
from tests.support import NOW


def test_hostile_names_are_inert_in_the_list_and_alone() -> None:
    key = stored_key(HOSTILE_NAME, last_sync_error="\x1b[2Jbad", facts=replace(FACTS, label="\u202elabel"))
    assert INERT_NAME in rendered(list_view([key]), 200)
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
        "Last 30 days": "–",
        "Label": "sk-or-v1-012...a29f",
        "Free tier": "no",
        "Expires": "2026-11-23 12:30 UTC (in 3 d)",
        "Limit": "$100.00, reset monthly",
        "Remaining": "-$0.25",
        "Can spend": "$0.00 until 1 Dec (limit)",
        "Spent today": "$0.00",
        "This week": "$3.00",
        "This month": "$4.50",
        "Lifetime": "$25.1234567891",
        "BYOK today": "–",
        "BYOK month": "–",
        "BYOK lifetime": "$0.10",
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
    unknown = ("Kind", "Synced through", "Label", "Free tier", "Spent today", "This week", "Lifetime")
    assert {lines[name] for name in unknown} == {"–"}
    assert lines["Last sync"] == "never"
    assert lines["Expires"] == "never"
    assert "$0.00" not in lines.values()


def test_of_a_key_that_nobody_asked_about_there_are_no_facts() -> None:
    lines = shown(stored_key(facts=KeyFacts(KeyKind.UNKNOWN), facts_read_at=None))
    assert "orwatch validate" in lines["Limits"]
    assert "Limit" not in lines


def test_an_inactive_key_says_since_when() -> None:
    key = stored_key(is_active=False, inactive_reason=InactiveReason.INVALID, inactive_since=NOW)
    assert shown(key)["State"] == "invalid since 2026-11-20 12:30 UTC"


def test_a_removed_key_says_when_it_was_removed() -> None:
    removed = replace(with_facts(), removed_at=NOW, is_active=False, secret_encrypted=None)
    assert shown(removed)["State"].startswith(f"removed, {NOW:%Y-%m-%d %H:%M} UTC (")


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
        rendered(list_view([key]), 200),
        rendered(show_view(key), 200),
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
        (None, None, "– (found out by the first sync)"),
        (
            UsageSource.ACTIVITY,
            None,
            "activity (needs a management key of its account; none is stored)",
        ),
        (
            None,
            UsageSource.ANALYTICS,
            "analytics (set with --source; needs a management key of its account; none is stored)",
        ),
    ],
)
def test_one_key_says_where_its_usage_comes_from_and_why(
    source: UsageSource | None, setting: UsageSource | None, shown_as: str
) -> None:
    assert shown(stored_key(source=source, source_setting=setting))["Source"].startswith(shown_as)


@pytest.mark.parametrize(
    ("source", "setting", "shown_as"),
    [
        (UsageSource.ACTIVITY, None, "activity (through the management key 'ops')"),
        (UsageSource.ANALYTICS, None, "analytics (through the management key 'ops')"),
        (UsageSource.COUNTERS, None, "counters (from the key list of 'ops'; this server has no analytics)"),
        (
            UsageSource.ACTIVITY,
            UsageSource.ACTIVITY,
            "activity (set with --source; through the management key 'ops')",
        ),
        (UsageSource.ACTIVITY, UsageSource.USAGE, "usage (set with --source)"),
        (None, None, "– (found out by the first sync)"),
    ],
)
def test_a_listed_key_says_through_whom_its_usage_comes(
    source: UsageSource | None, setting: UsageSource | None, shown_as: str
) -> None:
    key = stored_key(source=source, source_setting=setting, listing=listing())
    assert shown(key, listed_by="ops")["Source"] == shown_as


@pytest.mark.parametrize(
    ("source", "setting", "shown_as"),
    [
        (UsageSource.ACTIVITY, None, "activity (of the whole account)"),
        (UsageSource.COUNTERS, None, "counters (from its key list; this server has no analytics)"),
        (UsageSource.COUNTERS, UsageSource.COUNTERS, "counters (set with --source; from its key list)"),
    ],
)
def test_a_management_key_says_where_its_accounts_usage_comes_from(
    source: UsageSource, setting: UsageSource | None, shown_as: str
) -> None:
    key = stored_key(facts=KeyFacts(KeyKind.MANAGEMENT), source=source, source_setting=setting)
    assert shown(key)["Source"] == shown_as


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"share_30_days": Decimal("0.25")}, "$1.50 (25.0% of all keys)"),
        (
            {"known_days": 1, "share_30_days": Decimal("0.25")},
            "$1.50 (1 of 30 days known, 25.0% of all keys)",
        ),
        ({"known_days": 29}, "$1.50 (29 of 30 days known)"),
        ({"known_days": 0, "spent_30_days_usd": None}, "–"),
    ],
)
def test_what_was_spent_says_of_how_many_days_it_is(known: dict[str, Any], said: str) -> None:
    assert shown(discovered(), **{"spent_30_days_usd": Decimal("1.5"), **known})["Last 30 days"] == said


def test_a_discovered_key_is_shown_with_what_its_list_tells() -> None:
    known = {"listed_by": "ops", "spent_30_days_usd": Decimal("1.5"), "share_30_days": Decimal("0.25")}
    lines = shown(discovered("prod"), **known)
    assert (
        lines.items()
        >= {
            "State": "discovered",
            "Listed by": "ops",
            "Listed as": "production",
            "Workspace": "Default",
            "Created": "2026-05-04 12:30 UTC (200 d ago)",
            "Last 30 days": "$1.50 (25.0% of all keys)",
        }.items()
    )


@pytest.mark.parametrize(
    ("changes", "shown_as"),
    [
        ({"is_disabled": True}, "disabled at OpenRouter"),
        ({"deleted_at": NOW}, "deleted at OpenRouter, seen 2026-11-20 12:30 UTC (just now)"),
    ],
)
def test_what_became_of_a_key_at_openrouter_is_its_state(changes: dict[str, Any], shown_as: str) -> None:
    assert shown(discovered(listing=listing(**changes)))["State"] == shown_as


def test_a_dormant_key_says_so() -> None:
    assert shown(discovered(), flags=(KeyFlag.DORMANT,))["State"] == "discovered, dormant: no use for 30 days"


def test_a_management_key_is_shown_with_its_account_and_without_a_limit() -> None:
    key = stored_key("ops", facts=KeyFacts(KeyKind.MANAGEMENT, usage_usd=Decimal(0)))
    account = AccountDetails(
        5, date(2025, 11, 21), Credits(Decimal("100.5"), Decimal("25.75")), NOW - timedelta(hours=3)
    )
    lines = shown(key, account)
    assert (
        lines.items()
        >= {
            "Keys": "5",
            "Read back to": "2025-11-21",
            "Balance": "$74.75 as of 2026-11-20 09:30 UTC (3 h ago)",
        }.items()
    )
    assert not {"Limit", "Remaining", "Spent today"} & set(lines)
    assert json.loads(show_json(key, account), parse_float=Decimal)["key"]["account"] == {
        "keys": 5,
        "backfilled_from": "2025-11-21",
        "balance": Decimal("74.75"),
        "bought": Decimal("100.5"),
        "spent": Decimal("25.75"),
        "credits_read_at": "2026-11-20T09:30:00Z",
    }


def test_an_account_of_which_nothing_was_read_yet_is_dashes_and_no_zeros() -> None:
    key = stored_key("ops", facts=KeyFacts(KeyKind.MANAGEMENT), facts_read_at=None)
    lines = shown(key, AccountDetails(0, None))
    assert (lines["Read back to"], lines["Balance"], lines["Last 30 days"]) == ("–", "–", "–")
    members = json.loads(show_json(key, AccountDetails(0, None)))["key"]["account"]
    assert (members["balance"], members["backfilled_from"]) == (None, None)


def test_the_lines_of_one_key_fit_eighty_columns() -> None:
    text = rendered(show_view(discovered(), listed_by="ops"), 80)
    assert "SHA-256         " + "0" * 64 in text
    assert all(": " in line or "  " in line for line in text.splitlines())


def test_hostile_names_of_lists_are_inert() -> None:
    key = discovered(
        listing=listing(name=HOSTILE_NAME, workspace=HOSTILE_NAME),
        facts=replace(FACTS, limit_reset="\x1b[2Jnever"),
    )
    text = rendered(list_view([key]), 250)
    assert INERT_NAME in text
    lines = shown(key, listed_by=HOSTILE_NAME)
    assert (lines["Listed by"], lines["Listed as"], lines["Workspace"]) == (INERT_NAME,) * 3
    assert lines["Limit"] == "$100.00, reset �[2Jnever"
    assert "\x1b" not in text
