"""What can still be spent, in words and in JSON."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from orwatch.domain.can_spend import CanSpend
from orwatch.domain.layers import FreeQuota, Layer
from orwatch.render.allowances import can_spend_text
from tests.render.key_support import FACTS, list_json, list_view, rows, show_json, shown
from tests.render.support import stored_key
from tests.support import NOW

DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
HALF = Decimal("0.5")
KEY = stored_key(
    facts=replace(
        FACTS,
        limit_usd=Decimal(100),
        limit_remaining_usd=Decimal(60),
        is_byok_limited=True,
        layers=(
            Layer("workspace", Decimal(50), Decimal("49.5"), HALF, "monthly", DECEMBER, budget_id="b"),
            Layer("member", Decimal(20), Decimal(20), Decimal(0), "daily", NOW, guardrail_id="g"),
        ),
        free_quota=FreeQuota(1000, 12, 988),
    ),
    layers_read_at=NOW - timedelta(hours=1),
)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (CanSpend(HALF, "workspace budget", DECEMBER), "$0.50 until 1 Dec (workspace budget)"),
        (CanSpend(Decimal(0), "limit", NOW), "$0.00 until 20 Nov 12:30 (limit)"),
        (CanSpend(Decimal(75), "balance"), "$75.00 (balance)"),
        (CanSpend(Decimal(5), "guardrail", DECEMBER, True), "at most $5.00 until 1 Dec (guardrail)"),
        (CanSpend(None, "member budget"), "– (member budget)"),
    ],
)
def test_it_names_how_much_until_when_and_what_blocks(found: CanSpend, text: str) -> None:
    assert can_spend_text(found) == text


def test_one_key_shows_every_layer_and_the_free_requests() -> None:
    lines = shown(KEY)
    found = {name: lines.get(name) for name in ("Limit", "Remaining", "Can spend", "Free requests")}
    assert found == {
        "Limit": "$100.00, reset monthly, BYOK counts",
        "Remaining": "$60.00",
        "Can spend": "at most $0.50 until 1 Dec (workspace budget)",
        "Free requests": "12 of 1,000 used today",
    }
    next_month = "next 2026-12-01 00:00 UTC (in 10 d)"
    assert lines["Workspace budget"] == f"$0.50 left of $50.00, resets monthly, {next_month}"
    assert lines["Member budget"].startswith("at most $20.00 left of $20.00, resets daily, next 2026-11-21")
    yesterday = replace(KEY, layers_read_at=NOW - timedelta(days=1))
    assert "Free requests" not in shown(yesterday)


def test_the_list_has_it_beside_the_amount_and_drops_other_columns_first() -> None:
    row, left_out, *_ = rows(list_view([KEY], "4"), 80)
    assert re.search(r"  at most \$0\.50  until 1 Dec \(workspace.*…?$", row)
    assert left_out.startswith("Left out at 80 columns: ")
    (row,) = rows(list_view([KEY], "4"), 200)
    assert "  at most $0.50  until 1 Dec (workspace budget)  " in row


def test_json_has_it_as_an_object_and_every_layer_of_one_key() -> None:
    listed = json.loads(list_json([KEY]), parse_float=Decimal)["keys"][0]
    key: dict[str, Any] = json.loads(show_json(KEY), parse_float=Decimal)["key"]
    expected = {
        "amount": HALF,
        "layer": "workspace budget",
        "until": "2026-12-01T00:00:00Z",
        "is_at_most": True,
    }
    assert listed["can_spend"] == key["can_spend"] == expected
    assert [each["layer"] for each in key["bounds"]] == ["workspace budget", "member budget", "limit"]
    assert key["bounds"][0] == {
        "layer": "workspace budget",
        "id": "b",
        "limit": 50,
        "remaining": HALF,
        "reset_interval": "monthly",
        "until": "2026-12-01T00:00:00Z",
        "is_at_most": False,
    }
    assert key["free_requests"] == {"limit": 1000, "used": 12, "remaining": 988}
    assert (key["is_byok_limited"], key["layers_read_at"]) == (True, "2026-11-20T11:30:00Z")
