"""Limits: thresholds, windows, raised and lifted ones, and those that several keys share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from orwatch.domain.alerts.alert import Finding
from orwatch.domain.alerts.limit import KeyLimits, find_limits
from orwatch.domain.layers import Layer
from tests.support import NOW

DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)


# All that the tests know of has an alert in a window that is over.
OPEN = dict.fromkeys(("key:1:b1", "key:2:b1", "key:12", "budget:b1"), ("2026-11-01T00:00 $50",))


def money(amount: str | None) -> Decimal | None:
    return None if amount is None else Decimal(amount)


def limited(
    limit: str | None, remaining: str | None, reset: str | None = "monthly", read: datetime = NOW
) -> KeyLimits:
    own = Layer("key_limit", money(limit), remaining_usd=money(remaining), reset_interval=reset)
    return KeyLimits(12, "production", own, read)


def layered(key_id: int, scope: str, spent: str, read: datetime = NOW, **others: object) -> KeyLimits:
    layer = Layer(
        scope,
        Decimal(50),
        Decimal(spent),
        reset_interval="monthly",
        resets_at=DECEMBER,
        budget_id="b1",
        **others,  # type: ignore[arg-type]
    )
    return KeyLimits(key_id, f"key {key_id}", Layer("key_limit"), None, [layer], read, workspace="research")


def met(
    *keys: KeyLimits, windows: tuple[str, ...] = (), now: datetime = NOW
) -> dict[tuple[str, str, int], bool | None]:
    found = find_limits(keys, OPEN | {"key:12": windows}, now)
    return {(finding.subject, finding.window, finding.threshold): finding.is_met for finding in found}


@pytest.mark.parametrize(
    ("key", "window", "at_80", "at_100"),
    [
        (limited("50", "10.01"), "2026-12-01T00:00 $50", False, False),
        (limited("50", "10"), "2026-12-01T00:00 $50", True, False),
        (limited("50", "0.01"), "2026-12-01T00:00 $50", True, False),
        (limited("50", "0"), "2026-12-01T00:00 $50", True, True),
        (limited("50", "-3"), "2026-12-01T00:00 $50", True, True),
        (limited("0", "0"), "2026-12-01T00:00 $0", True, True),
        (limited("50.00", None), "2026-12-01T00:00 $50", None, None),
        (limited("50.5", "0", None), "lifetime $50.5", True, True),
        (limited("50", "0", None, NOW - timedelta(days=99)), "lifetime $50", True, True),
        (limited("50", "0", "daily"), "2026-11-21T00:00 $50", True, True),
        (limited("50", "0", "weekly"), "2026-11-23T00:00 $50", True, True),
        (limited("50", "0", "daily", NOW - timedelta(days=1)), "2026-11-21T00:00 $50", None, None),
        (limited("50", "0", "monthly", NOW - timedelta(days=20)), "2026-12-01T00:00 $50", None, None),
        (limited("50", "0", "monthly", NOW - timedelta(days=19)), "2026-12-01T00:00 $50", True, True),
        (limited("50", "0", "yearly"), "lifetime $50", None, None),
    ],
)
def test_a_limit_of_a_key_is_judged_in_the_window_of_the_reading(
    key: KeyLimits, window: str, at_80: bool | None, at_100: bool | None
) -> None:
    assert met(key, windows=(window,)) == {("key:12", window, 80): at_80, ("key:12", window, 100): at_100}


@pytest.mark.parametrize(
    ("key", "told"),
    [
        # At 100 % of 50: raised to 51, to 100, lowered to 40, lifted, and not read since the day began.
        (limited("51", "1"), {100: False}),
        (limited("100", "50"), {80: False, 100: False}),
        (limited("40", "-10"), {}),
        (limited(None, None), {80: False, 100: False}),
        (limited("60", "10", "daily", NOW - timedelta(days=1)), {80: None, 100: None}),
    ],
)
def test_the_alert_of_another_limit_recovers_unless_the_new_one_is_crossed_too(
    key: KeyLimits, told: dict[int, bool | None]
) -> None:
    open_window = "2026-12-01T00:00 $50"
    found = met(key, windows=(open_window, "2026-11-20T00:00 $50"))
    assert {
        threshold: is_met for (_, window, threshold), is_met in found.items() if window == open_window
    } == told
    assert not any(window.startswith("2026-11-20") for _, window, _ in found)


def test_what_does_not_hold_or_cannot_be_told_is_said_of_open_alerts_alone() -> None:
    keys = [
        limited("50", "10.01"),
        limited("50", None),
        limited(None, None),
        layered(1, "workspace", "39.99"),
    ]
    assert not list(find_limits(keys, {}, NOW))
    assert len(list(find_limits([limited("50", "10")], {}, NOW))) == 2


def test_a_budget_that_keys_share_is_one_subject_and_one_that_is_counted_apart_is_one_for_each() -> None:
    older = NOW - timedelta(minutes=5)
    for scope, told in (
        ("workspace", {"budget:b1": False}),
        ("member", {"budget:b1": False}),
        ("workspace_default_member", {"budget:b1": True}),  # of the member who has spent most
        ("api_key", {"key:1:b1": False, "key:2:b1": True}),
        ("workspace_default_key", {"key:1:b1": False, "key:2:b1": True}),
    ):
        found = met(layered(1, scope, "10"), layered(2, scope, "45", older))
        assert {subject: is_met for (subject, _, at), is_met in found.items() if at == 80} == told, scope


def only(key: KeyLimits) -> Finding:
    (found,) = find_limits([key], OPEN, NOW, (80,))
    return found


def test_it_says_how_much_is_spent_until_when_and_what_to_do() -> None:
    assert only(limited("50", "9.88")).summary == (
        "80 % of its limit is spent: $40.12 of $50.00 until 1 Dec. Raise it at OpenRouter, or spend less"
    )
    assert only(limited("1050", "-1", None)).summary == (
        "its limit is spent ($1,051.00 of $1,050.00): OpenRouter refuses requests. "
        "Raise it at OpenRouter, or spend less"
    )
    assert only(limited("50", None)).summary == (
        "how much of its limit is spent is not known: it is $50.00 until 1 Dec"
    )
    assert only(limited("50", "25")).summary == "50 % of its limit is spent: $25.00 of $50.00 until 1 Dec"
    shared = only(layered(1, "workspace", "10"))
    assert (shared.name, shared.figures) == (
        "research",
        {"limit_usd": 50, "spent_usd": 10, "resets_at": "2026-12-01T00:00:00+00:00"},
    )
    assert only(layered(1, "api_key", "45", guardrail_id="g")).summary.startswith("90 % of its guardrail's")


def test_what_remains_decides_where_byok_is_counted_and_a_key_limit_is_said_once() -> None:
    byok = layered(1, "workspace", "10", remaining_usd=Decimal(5), include_byok=True)
    assert only(byok).is_met
    assert not met(layered(1, "key_limit", "50"))
