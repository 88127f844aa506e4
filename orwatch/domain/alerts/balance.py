"""The balance of an account is low, or will not last for a week.

The window is what has been bought so far: a purchase begins another one, and recovers the alert before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from orwatch.domain.alerts.alert import Finding, Rule
from orwatch.domain.alerts.windows import OpenWindows, with_other_windows
from orwatch.domain.keys import Credits
from orwatch.domain.money import dollars, from_nano, to_nano
from orwatch.text import counted

# A balance below it may be used up before the next look.
LEAST_BALANCE_USD = Decimal(1)

# The pace is that of so many days before today.
PACE_DAYS = 14

_LEAST_DAYS = 7
_LEAST_KNOWN_DAYS = 7
_READING_HOLDS = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """The balance of an account (``account:3``, named by its management key), as it was last read.

    ``daily_costs_usd``: what the account spent on each of the ``PACE_DAYS`` days before today, in any order;
    of those alone of which it is known, zero where nothing was spent.
    """

    subject: str
    name: str
    credits: Credits
    read_at: datetime
    daily_costs_usd: Collection[Decimal] = ()


def find_low_balances(
    accounts: Iterable[AccountBalance],
    open_windows: OpenWindows,
    now: datetime,
    warn_usd: Decimal | None = None,
) -> Iterator[Finding]:
    """A finding of each account that has ever bought credits. ``open_windows``: of this rule.

    ``warn_usd``: a balance below it is low; None: one below ``LEAST_BALANCE_USD``.
    """
    line = LEAST_BALANCE_USD if warn_usd is None else warn_usd
    for account in accounts:
        # For free models or BYOK alone nothing is bought, and there is nothing to run out.
        if account.credits.bought_usd > 0:
            others = open_windows.get(account.subject, ())
            yield from with_other_windows(_judge(account, line, now), others)


def pace_usd(daily_costs_usd: Collection[Decimal]) -> Decimal | None:
    """Dollars a day, the dearest day counted as the second dearest; None where too few days are known."""
    if len(daily_costs_usd) < _LEAST_KNOWN_DAYS:
        return None
    costs = sorted(daily_costs_usd)
    return from_nano(to_nano((sum(costs[:-1]) + costs[-2]) / len(costs)))


def _judge(account: AccountBalance, line: Decimal, now: datetime) -> Finding:
    balance, pace = account.credits.balance_usd, pace_usd(account.daily_costs_usd)
    lasts_days = max(int(balance / pace), 0) if pace else None
    is_known = now - account.read_at <= _READING_HOLDS
    is_met = balance < line or (lasts_days is not None and lasts_days < _LEAST_DAYS)
    return Finding(
        Rule.BALANCE,
        account.subject,
        account.name,
        f"bought ${account.credits.bought_usd.normalize():f}",
        is_met if is_known else None,
        _summary(balance, pace, lasts_days, line) if is_known else "its balance was not read for a day",
        figures={
            "balance_usd": balance if is_known else None,
            "pace_usd_per_day": pace,
            "lasts_days": lasts_days if is_known else None,
        },
    )


def _summary(balance: Decimal, pace: Decimal | None, lasts_days: int | None, line: Decimal) -> str:
    summary = f"the balance of its account is {dollars(balance)}"
    if pace is not None and lasts_days is not None:
        lasts = counted(lasts_days, "day") if lasts_days else "less than a day"
        summary += f" and lasts for {lasts} at {dollars(pace)} a day"
    if balance < line:
        summary += f", below {dollars(line)}"
    is_low = balance < line or (lasts_days is not None and lasts_days < _LEAST_DAYS)
    return f"{summary}. Buy credits" if is_low else summary
