"""The five matters of a key."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from orwatch.domain.alerts.alert import Finding
from orwatch.domain.alerts.key import KeyState, find_key_matters
from tests.support import NOW, TODAY


def key(
    *, made_days_ago: float | None = None, expires_in_days: float | None = None, **others: object
) -> KeyState:
    values: dict[str, object] = {
        "key_id": 12,
        "name": "production",
        "account": "account:1",
        "watched_since": NOW - timedelta(days=60),
        "expires_at": None if expires_in_days is None else NOW + timedelta(days=expires_in_days),
        "has_secret": True,
        "made_at": None if made_days_ago is None else NOW - timedelta(days=made_days_ago),
    }
    return KeyState(**(values | others))  # type: ignore[arg-type]


def found(*keys: KeyState, matter: str, windows: tuple[str, ...] = ()) -> list[Finding]:
    return list(find_key_matters(keys, {f"key:12:{matter}": windows}, NOW))


@pytest.mark.parametrize(
    ("matter", "of", "windows", "told"),
    [
        ("invalid", key(refused_since=NOW), (), [("2026-11-20", True)]),
        ("invalid", key(refused_since=NOW), ("2026-10-01",), [("2026-11-20", True)]),
        ("invalid", key(), ("2026-11-20",), [("2026-11-20", False)]),
        ("invalid", key(refused_since=NOW, is_in_use=False), (), []),
        ("expiring", key(expires_in_days=7), (), [("2026-11-27T12:30:00+00:00", True)]),
        ("expiring", key(expires_in_days=7.01), (), []),
        ("expiring", key(expires_in_days=90), ("before",), [("before", False)]),
        ("expiring", key(), ("before",), [("before", False)]),
        ("expiring", key(expires_in_days=-1), (), [("2026-11-19T12:30:00+00:00", True)]),
        ("expiring", key(expires_in_days=-1, has_secret=False), ("before",), []),
        ("expiring", key(expires_in_days=-61), (), []),
        ("new", key(made_days_ago=7), (), [("", True)]),
        ("new", key(made_days_ago=7.01), (), []),
        ("new", key(), (), []),
    ],
)
def test_a_key_that_is_invalid_expires_or_is_new_is_told_once_and_what_is_over_only_to_those_who_know_of_it(
    matter: str, of: KeyState, windows: tuple[str, ...], told: list[tuple[str, bool]]
) -> None:
    findings = found(of, matter=matter, windows=windows)
    assert [(one.window, one.is_met) for one in findings] == told
    assert {one.subject for one in findings} <= {f"key:12:{matter}"}


def test_a_key_made_before_its_account_was_watched_is_not_new() -> None:
    late = key(made_days_ago=3, watched_since=NOW - timedelta(days=2))
    assert not found(late, matter="new")


@pytest.mark.parametrize(
    ("used_on", "used_before", "known_from", "made_days_ago", "is_met"),
    [
        (0, 31, 30, None, True),
        (2, 40, 50, None, True),
        (0, 30, 50, None, False),
        (0, 31, 29, None, None),  # the thirtieth day is not known
        (0, None, 50, None, None),  # it may be new
        (0, None, 50, 29, False),
        (0, None, 50, 31, True),
        (None, 31, 50, None, "nothing"),
        (61, 99, 99, None, "nothing"),  # before it was watched
    ],
)
def test_a_key_is_dormant_where_thirty_known_days_were_without_use(
    used_on: int | None,
    used_before: int | None,
    known_from: int,
    made_days_ago: int | None,
    is_met: bool | str | None,
) -> None:
    used, before, known = (
        None if number is None else TODAY - timedelta(days=number)
        for number in (used_on, used_before, known_from)
    )
    woken = key(made_days_ago=made_days_ago, used_on=used, used_before=before, use_known_from=known)
    findings = found(woken, matter="dormant", windows=(str(used),))
    assert [(one.window, one.is_met) for one in findings] == (
        [] if is_met == "nothing" else [(str(used), is_met)]
    )
    # Of those that were found by nobody only the new one is said.
    assert [one.is_met for one in found(woken, matter="dormant")] == ([True] if is_met is True else [])


OTHERS = ["40", "30", "20", "10"]


@pytest.mark.parametrize(
    ("month_usd", "is_limited", "others", "is_met"),
    [
        ("25", False, OTHERS, True),  # a fifth of 125, the third
        ("24.99", False, OTHERS, False),
        ("25", True, OTHERS, False),
        ("25", None, OTHERS, None),
        ("25", False, OTHERS[:3], False),  # four keys spend
        ("25", False, ["26", "26", "26", "1"], False),  # the fourth
        ("9.99", False, ["1", "1", "1", "1"], False),
        ("10", False, ["1", "1", "1", "1"], True),
        (None, False, OTHERS, None),
        ("25", False, [*OTHERS, None], None),
        (None, True, OTHERS, False),
    ],
)
def test_a_key_without_a_limit_among_the_biggest_spenders_is_told(
    month_usd: str | None, is_limited: bool | None, others: list[str | None], is_met: bool | None
) -> None:
    def spent(amount: str | None, **values: object) -> KeyState:
        cost = None if amount is None else Decimal(amount)
        return key(month_usd=cost, is_limited=is_limited, **values)

    # What a deleted key has spent is part of the account's.
    states = [spent(month_usd), *(spent(amount, key_id=20, is_in_use=False) for amount in others)]
    assert [one.is_met for one in found(*states, matter="unlimited", windows=("2026-11",))] == [is_met]
    assert [one.window for one in found(*states, matter="unlimited")] == (["2026-11"] if is_met else [])
    elsewhere = [states[0], *(replace(other, account="account:2") for other in states[1:])]
    assert not found(*elsewhere, matter="unlimited")


def test_in_the_first_three_days_of_a_month_nobody_is_a_big_spender() -> None:
    states = [key(key_id=number, month_usd=Decimal(10), is_limited=False) for number in range(5)]
    assert [len(list(find_key_matters(states, {}, NOW.replace(day=day)))) for day in (3, 4)] == [0, 5]


@pytest.mark.parametrize(
    ("of", "summary"),
    [
        (
            key(refused_since=NOW),
            "OpenRouter has refused it since 20 Nov. Store its successor's secret with "
            "`orwatch key replace`, or remove or disable it",
        ),
        (
            key(expires_in_days=1),
            "it expires on 21 Nov 2026 at 12:30 UTC. Store its successor's secret with `orwatch key replace`",
        ),
        (
            key(expires_in_days=1, has_secret=False),
            "it expires on 21 Nov 2026 at 12:30 UTC. Create its successor at OpenRouter",
        ),
        (
            key(made_days_ago=1),
            "it is new in the account, made on 19 Nov 2026 at 12:30 UTC. If nobody knows of it, disable it "
            "at OpenRouter",
        ),
        (
            key(used_on=TODAY, used_before=date(2026, 10, 1), use_known_from=date(2026, 9, 1)),
            "it was used on 20 Nov 2026; its last use was on 1 Oct 2026. If nobody knows why, disable it "
            "at OpenRouter",
        ),
    ],
)
def test_it_says_what_is_so_and_what_to_do(of: KeyState, summary: str) -> None:
    (finding,) = find_key_matters([of], {}, NOW)
    assert (finding.name, finding.summary) == (of.name, summary)


def test_a_big_spender_is_told_with_its_share() -> None:
    states = [
        key(key_id=number, month_usd=Decimal(cost), is_limited=False)
        for number, cost in enumerate(["1250.5", "1", "1", "1", "1"], 12)
    ]
    (finding,) = find_key_matters(states, {}, NOW)
    assert finding.summary == (
        "nothing limits it; it has spent $1,250.50 this month, 99 % of its account's. "
        "Set a limit at OpenRouter"
    )
    assert finding.figures == {"spent_usd": Decimal("1250.5")}
    states[0] = replace(states[0], is_limited=True)
    (recovery,) = find_key_matters(states, {"key:12:unlimited": ["2026-11"]}, NOW)
    assert recovery.summary == "it has a limit; it has spent $1,250.50 this month, 99 % of its account's"
