"""What is worth knowing of a key: five matters, each an alert of its own.

The matter is part of the subject (``key:12:expiring``), not of the window: so each matter of a key has
windows of its own, and an alert of one can be told that its window has changed. The subjects and windows:

- ``invalid``: the day since which OpenRouter refuses it.
- ``expiring``: the time at which it expires, within a week; a key whose secret is stored here also after it.
- ``new``: none; for a week after it was made in an account that was watched already.
- ``dormant``: the day on which it was used again, for three days.
- ``unlimited``: the month in which it is among the biggest spenders.

What is over by itself ends without a word. Keys that are disabled, deleted or removed are of no interest.
What does not hold is said of open alerts only: with a thousand keys there would be thousands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from orwatch.domain.alerts.alert import Figures, Finding, Rule, whole_percent
from orwatch.domain.alerts.windows import OpenWindows
from orwatch.domain.days import long_day, short_day
from orwatch.domain.keys import EXPIRY_WARNING
from orwatch.domain.money import ZERO, dollars, sum_exactly

# A key is dormant after so many days without use.
DORMANT = timedelta(days=30)

# So long is it said that it was used again, the day itself included.
WOKEN_DAYS = 3

_NEW = timedelta(days=7)

_FIRST_DAY_OF_MONTH_JUDGED = 4
_LEAST_SPENDING_KEYS = 5
_BIGGEST = 3
_LEAST_SHARE_PERCENT = 20
_LEAST_SPEND_USD = Decimal(10)


@dataclass(frozen=True, slots=True)
class KeyState:
    """A key, with all the secrets that it had, and what the ledger knows of its use. None: not known.

    ``account``: its account, however it is told from others. ``watched_since``: since when that account has
    been watched, the later of the first judging and the day on which its management key was added.
    ``is_in_use``: neither disabled nor deleted, replaced or removed. ``refused_since``: None: it is accepted.
    ``expires_at`` None: never. ``has_secret``: its secret is stored here. ``made_at``: when it was made at
    OpenRouter, as far as it is listed.

    ``used_on``: the first day of use of the last ``WOKEN_DAYS``, today included; ``used_before``: the last
    one before that; None: there was none. ``use_known_from``: since then every day up to today is known.
    Of a key that was used within the ``DORMANT`` days before all may be None, unless an alert is open.

    ``month_usd``: what it has spent in this month. ``is_limited``: it has a limit, or a budget limits it.
    """

    key_id: int
    name: str
    account: str
    watched_since: datetime
    is_in_use: bool = True
    refused_since: datetime | None = None
    expires_at: datetime | None = None
    has_secret: bool = False
    made_at: datetime | None = None
    used_on: date | None = None
    used_before: date | None = None
    use_known_from: date | None = None
    month_usd: Decimal | None = None
    is_limited: bool | None = None


def find_key_matters(keys: Sequence[KeyState], open_windows: OpenWindows, now: datetime) -> Iterator[Finding]:
    """Every matter of every key. ``open_windows``: of this rule.

    Of all keys: what those that are no longer in use have spent counts for their account, too.
    """
    accounts: dict[str, list[KeyState]] = {}
    for key in keys:
        accounts.setdefault(key.account, []).append(key)
        if key.is_in_use:
            for matter in (_invalid, _expiring, _new, _dormant):
                yield from matter(key, open_windows, now)
    for account_keys in accounts.values():
        yield from _unlimited(account_keys, open_windows, now.date())


def _finding(
    key: KeyState, matter: str, window: str, is_met: bool | None, summary: str, figures: Figures | None = None
) -> Finding:
    subject = f"key:{key.key_id}:{matter}"
    return Finding(Rule.KEY, subject, key.name, window, is_met, summary, figures=figures)


def _open(open_windows: OpenWindows, key: KeyState, matter: str) -> Collection[str]:
    return open_windows.get(f"key:{key.key_id}:{matter}", ())


def _invalid(key: KeyState, open_windows: OpenWindows, now: datetime) -> Iterator[Finding]:
    if key.refused_since is not None:
        since = key.refused_since.date()
        summary = (
            f"OpenRouter has refused it since {short_day(since)}. Store its successor's secret with "
            "`orwatch key replace`, or remove or disable it"
        )
        yield _finding(key, "invalid", since.isoformat(), True, summary)
        return
    for window in _open(open_windows, key, "invalid"):
        yield _finding(key, "invalid", window, False, "OpenRouter accepts it again")


def _expiring(key: KeyState, open_windows: OpenWindows, now: datetime) -> Iterator[Finding]:
    expires_at = key.expires_at
    if expires_at is None or expires_at - now > EXPIRY_WARNING:
        summary = "it does not expire" if expires_at is None else f"it expires on {_moment(expires_at)}"
        for window in _open(open_windows, key, "expiring"):
            yield _finding(key, "expiring", window, False, summary)
    elif expires_at > now or (key.has_secret and expires_at > key.watched_since):
        summary = f"it {'expires' if expires_at > now else 'expired'} on {_moment(expires_at)}. " + (
            "Store its successor's secret with `orwatch key replace`"
            if key.has_secret
            else "Create its successor at OpenRouter"
        )
        yield _finding(key, "expiring", expires_at.isoformat(), True, summary)


def _moment(moment: datetime) -> str:
    return f"{long_day(moment.date())} at {moment:%H:%M} UTC"


def _new(key: KeyState, open_windows: OpenWindows, now: datetime) -> Iterator[Finding]:
    if key.made_at is not None and key.made_at > key.watched_since and now - key.made_at <= _NEW:
        summary = (
            f"it is new in the account, made on {_moment(key.made_at)}. "
            "If nobody knows of it, disable it at OpenRouter"
        )
        yield _finding(key, "new", "", True, summary)


def _dormant(key: KeyState, open_windows: OpenWindows, now: datetime) -> Iterator[Finding]:
    used_on, before = key.used_on, key.used_before
    if used_on is None or used_on < key.watched_since.date():
        return
    dormant_since = used_on - DORMANT
    is_met: bool | None = None
    if before is not None and before >= dormant_since:
        is_met = False
    elif key.use_known_from is not None and key.use_known_from <= dormant_since:
        if before is not None:
            is_met = True
        elif key.made_at is not None:
            # A new key was never dormant.
            is_met = key.made_at.date() <= dormant_since
    window = used_on.isoformat()
    if is_met or window in _open(open_windows, key, "dormant"):
        last = "it was never used before" if before is None else f"its last use was on {long_day(before)}"
        summary = f"it was used on {long_day(used_on)}; {last}"
        if is_met:
            summary += ". If nobody knows why, disable it at OpenRouter"
        yield _finding(key, "dormant", window, is_met, summary)


def _unlimited(keys: Sequence[KeyState], open_windows: OpenWindows, today: date) -> Iterator[Finding]:
    """Of one account. In the first days of a month a share of it says little."""
    month, costs = f"{today:%Y-%m}", [key.month_usd for key in keys]
    known = sorted((cost for cost in costs if cost is not None and cost > 0), reverse=True)
    total = sum_exactly(known)
    is_known = len(costs) == sum(cost is not None for cost in costs)
    is_judged = is_known and today.day >= _FIRST_DAY_OF_MONTH_JUDGED
    biggest = known[:_BIGGEST] if len(known) >= _LEAST_SPENDING_KEYS else []
    for key, cost in zip(keys, costs, strict=True):
        is_open = month in _open(open_windows, key, "unlimited")
        is_big = cost in biggest and _is_much(cost or ZERO, total)
        if not key.is_in_use or not (is_big or is_open):
            continue
        is_met: bool | None = None
        if key.is_limited or (is_judged and not is_big):
            is_met = False
        elif is_judged and key.is_limited is False:
            is_met = True
        if is_met or is_open:
            summary = _spent(cost, total, is_limited=key.is_limited)
            if is_met:
                summary += ". Set a limit at OpenRouter"
            yield _finding(key, "unlimited", month, is_met, summary, {"spent_usd": cost})


def _is_much(cost: Decimal, total: Decimal) -> bool:
    return cost >= _LEAST_SPEND_USD and cost * 100 >= total * _LEAST_SHARE_PERCENT


def _spent(cost: Decimal | None, total: Decimal, *, is_limited: bool | None) -> str:
    limit = {True: "it has a limit", False: "nothing limits it", None: "what limits it is not known"}
    if cost is None:
        return f"{limit[is_limited]}; what it has spent this month is not known"
    percent = whole_percent(cost, total)
    return f"{limit[is_limited]}; it has spent {dollars(cost)} this month, {percent} % of its account's"
