"""Balances: the line, the pace, and what a purchase does to the alert before it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from orwatch.domain.alerts.alert import Finding
from orwatch.domain.alerts.balance import AccountBalance, find_low_balances, pace_usd
from orwatch.domain.keys import Credits
from tests.support import NOW

DAILY = ["10"] * 14


def account(bought: str, spent: str, daily: list[str], hours_ago: int = 0) -> AccountBalance:
    credits = Credits(Decimal(bought), Decimal(spent))
    return AccountBalance(
        "account:3", "team", credits, NOW - timedelta(hours=hours_ago), [*map(Decimal, daily)]
    )


def judged(balance: AccountBalance, warn: str | None = None, windows: tuple[str, ...] = ()) -> list[Finding]:
    line = None if warn is None else Decimal(warn)
    return list(find_low_balances([balance], {"account:3": windows}, NOW, line))


@pytest.mark.parametrize(
    ("balance", "warn", "is_met", "summary"),
    [
        (account("100", "30", DAILY), None, False, "$70.00 and lasts for 7 days at $10.00 a day"),
        (
            account("100", "30.01", DAILY),
            None,
            True,
            "$69.99 and lasts for 6 days at $10.00 a day. Buy credits",
        ),
        (
            account("100", "91", DAILY),
            None,
            True,
            "$9.00 and lasts for less than a day at $10.00 a day. Buy credits",
        ),
        (account("100", "99", []), None, False, "$1.00"),
        (account("100", "99.01", []), None, True, "$0.99, below $1.00. Buy credits"),
        (
            account("100", "103", DAILY),
            None,
            True,
            "-$3.00 and lasts for less than a day at $10.00 a day, below $1.00. Buy credits",
        ),
        (account("100", "55", []), "50", True, "$45.00, below $50.00. Buy credits"),
        (account("100", "99.5", []), "0", False, "$0.50"),
        (account("100", "90", DAILY[:6]), None, False, "$10.00"),
        (
            account("100", "90", DAILY[:7]),
            None,
            True,
            "$10.00 and lasts for 1 day at $10.00 a day. Buy credits",
        ),
        (account("100", "90", ["0"] * 14), None, False, "$10.00"),
        (account("100", "99.5", [], 24), None, True, "$0.50, below $1.00. Buy credits"),
    ],
)
def test_a_balance_is_low_below_the_line_or_where_it_lasts_for_less_than_a_week(
    balance: AccountBalance, warn: str | None, is_met: bool, summary: str
) -> None:
    (finding,) = judged(balance, warn)
    assert (finding.is_met, finding.summary) == (is_met, f"the balance of its account is {summary}")


def test_a_reading_of_more_than_a_day_ago_tells_nothing() -> None:
    (finding,) = judged(account("100", "99.5", [], 25))
    assert (finding.is_met, finding.summary) == (None, "its balance was not read for a day")


def test_an_account_that_has_never_bought_credits_is_not_judged() -> None:
    assert not judged(account("0", "0.5", DAILY))


def test_a_purchase_recovers_the_alert_before_it_unless_the_balance_stays_low() -> None:
    before = ("bought $100",)
    enough, low = account("600", "99", DAILY), account("101", "99.5", DAILY)
    assert [(one.window, one.is_met) for one in judged(enough, windows=before)] == [
        ("bought $600", False),
        ("bought $100", False),
    ]
    assert [(one.window, one.is_met) for one in judged(low, windows=before)] == [("bought $101", True)]


def test_the_pace_is_not_that_of_one_dear_day() -> None:
    assert pace_usd([*map(Decimal, [*DAILY[1:], "500"])]) == 10
    assert pace_usd([*map(Decimal, ["0", "0", "0", "0", "0", "70", "70"])]) == 20


def test_the_figures_are_exact() -> None:
    (finding,) = judged(account("100.5", "30.123456789", DAILY))
    assert finding.figures == {
        "balance_usd": Decimal("70.376543211"),
        "pace_usd_per_day": Decimal(10),
        "lasts_days": 7,
    }
