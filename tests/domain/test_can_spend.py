"""What can still be spent: against a simulation hour by hour, and the cases that it does not have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orwatch.domain.can_spend import Bound, CanSpend, bounds_of, can_spend, window_of, workspace_bound
from orwatch.domain.keys import KeyFacts, KeyKind, StoredKey
from orwatch.domain.layers import Layer, WorkspaceBudget
from tests.support import NOW, stored_key

MIDNIGHT = NOW.replace(hour=0, minute=0)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
INTERVALS = st.sampled_from([None, "daily", "weekly", "monthly"])
CENTS = st.integers(0, 500).map(lambda cents: Decimal(cents) / 100)


def limited(*layers: Layer, read_at: datetime = NOW, **facts: Any) -> StoredKey:
    """A key whose limit and layers were read at that time."""
    known = KeyFacts(KeyKind.INFERENCE, layers=layers, **facts)
    return stored_key(facts=known, facts_read_at=read_at, layers_read_at=read_at)


def usd(amount: str) -> Decimal:
    return Decimal(amount)


@dataclass
class Meter:
    """A budget that counts hour by hour: what is spent in an hour counts until the next reset."""

    name: str
    limit: Decimal
    interval: str | None
    with_byok: bool
    spent: Decimal = Decimal(0)

    def begin_hour(self, hour: datetime) -> bool:
        """Whether a new window begins with that hour."""
        is_reset = hour.hour == 0 and (
            self.interval == "daily"
            or (self.interval == "weekly" and hour.isoweekday() == 1)
            or (self.interval == "monthly" and hour.day == 1)
        )
        if is_reset:
            self.spent = Decimal(0)
        return is_reset

    @property
    def remaining(self) -> Decimal:
        return self.limit - self.spent


METERS = st.lists(st.tuples(CENTS, INTERVALS, st.booleans()), min_size=1, max_size=4)


@given(
    meters=METERS,
    hours=st.lists(st.tuples(CENTS, CENTS), min_size=1, max_size=60),
    begin=st.integers(0, 24 * 60).map(lambda hours: datetime(2026, 10, 1, tzinfo=UTC) + hours * HOUR),
    idle_hours=st.integers(0, 24 * 40),
    balance=st.none() | CENTS.map(lambda cents: cents - 1),
    workspace=st.none() | st.tuples(CENTS, INTERVALS, st.booleans()),
    tells_resets=st.booleans(),
    minutes=st.sampled_from([0, 30]),
)
def test_it_is_what_a_simulation_hour_by_hour_finds(
    meters: list[tuple[Decimal, str | None, bool]],
    hours: list[tuple[Decimal, Decimal]],
    begin: datetime,
    idle_hours: int,
    balance: Decimal | None,
    workspace: tuple[Decimal, str | None, bool] | None,
    tells_resets: bool,
    minutes: int,
) -> None:
    all_of = [Meter(str(number), *meter) for number, meter in enumerate(meters)]
    shared = None if workspace is None else Meter("workspace budget", *workspace)
    enforced = [*all_of, *([] if shared is None else [shared])]
    hour = begin
    for cost, byok in hours:
        for meter in enforced:
            meter.begin_hour(hour)
            meter.spent += cost + byok if meter.with_byok else cost
        hour += HOUR
    for meter in enforced:
        meter.begin_hour(hour)
    read_at = hour + timedelta(minutes=minutes)
    own, *others = all_of
    layers = [
        Layer(
            f"layer_{meter.name}",
            meter.limit,
            meter.spent,
            meter.remaining,
            meter.interval,
            window_of(meter.interval, read_at)[1] if tells_resets else None,
        )
        for meter in others
    ]
    limit = {"limit_usd": own.limit, "limit_remaining_usd": own.remaining, "limit_reset": own.interval}
    key = limited(*layers, read_at=read_at, **limit)
    is_reset = set()
    now = read_at
    for _ in range(idle_hours):
        now += HOUR
        is_reset |= {meter.name for meter in enforced if meter.begin_hour(now.replace(minute=0))}
    bounds = []
    if shared is not None:
        budget = WorkspaceBudget("b", "Default", shared.limit, shared.interval)
        bounds = [workspace_bound(budget, shared.spent, now)]

    found = can_spend(bounds_of(key, now, workspace=bounds, balance_usd=balance))

    left = {("limit" if meter is own else meter.name): meter for meter in enforced}
    remaining = {name: meter.remaining for name, meter in left.items()}
    if balance is not None:
        remaining["balance"] = balance
    assert found is not None
    least = max(Decimal(0), min(remaining.values()))
    assert found.amount_usd == least
    name = found.layer.removeprefix("layer ")
    assert max(Decimal(0), remaining[name]) == least
    # Nothing was read of what has reset since, unless the ledger tells of it.
    stale = {meter.name for meter in all_of} & is_reset
    assert found.is_at_most is bool(least and stale)
    # The layer that is named is the last of those to give way.
    ends = {each: _reset_after(left.get(each), now) for each, rest in remaining.items() if rest <= least}
    assert found.until == ends[name]
    assert found.until is None or all(end is not None and end <= found.until for end in ends.values())


def _reset_after(meter: Meter | None, now: datetime) -> datetime | None:
    """The hour in which the meter starts anew; None: not within two months."""
    hour = now.replace(minute=0)
    for _ in range(24 * 62):
        hour += HOUR
        if meter is not None and meter.begin_hour(hour):
            return hour
    return None


MONTHLY = Layer("workspace", usd("50"), usd("49.5"), usd("0.5"), "monthly", DECEMBER, budget_id="b")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (limited(), None),
        (limited(MONTHLY), CanSpend(usd("0.5"), "workspace budget", DECEMBER)),
        (limited(Layer("member")), CanSpend(None, "member budget")),
        (limited(Layer("a_new_one", usd("5"), usd("6"))), CanSpend(usd("0"), "a new one")),
        # Less may be left than is known of the others.
        (limited(MONTHLY, Layer("member")), CanSpend(usd("0.5"), "workspace budget", DECEMBER, True)),
        # `key_limit` is told a second time, and maybe long ago.
        (limited(Layer("key_limit", usd("5"), usd("5"))), None),
        (limited(limit_usd=usd("5")), CanSpend(usd("5"), "limit", None, True)),
        # Whoever says how it resets in a new word may have done so at any midnight.
        (
            limited(
                read_at=MIDNIGHT - HOUR,
                limit_usd=usd("5"),
                limit_remaining_usd=usd("-1"),
                limit_reset="every second day",
            ),
            CanSpend(usd("5"), "limit", None, True),
        ),
        (
            limited(read_at=MIDNIGHT - HOUR, limit_remaining_usd=usd("1"), limit_reset="daily"),
            CanSpend(None, "limit"),
        ),
        (
            limited(Layer("member", usd("5"), usd("5"), usd("0"), "odd", NOW), read_at=NOW - HOUR),
            CanSpend(usd("5"), "member budget", None, True),
        ),
    ],
)
def test_what_is_not_known_is_no_zero_and_what_is_over_is_not_taken_for_new(
    key: StoredKey, expected: CanSpend | None
) -> None:
    assert can_spend(bounds_of(key, NOW)) == expected


def test_a_budget_that_the_account_tells_of_counts_instead_of_what_the_key_was_told() -> None:
    raised = Bound("workspace budget", usd("20"), usd("70"), id="b")
    assert bounds_of(limited(MONTHLY), NOW, workspace=[raised]) == (raised,)
