"""What limits each key: its own limit, what it was told, its workspace's budgets, the balance."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from orwatch.domain.can_spend import CanSpend
from orwatch.domain.keys import KeyFacts, KeyKind, StoredKey
from orwatch.domain.layers import Layer, WorkspaceBudget, WorkspaceReading
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.key.allowances import Allowances, read_allowances
from orwatch.jobs.status import run as status_job
from orwatch.store.engine.database import Store
from orwatch.store.keys import accounts
from orwatch.store.keys import table as stored_keys
from tests.jobs.support import add_key, days_ago
from tests.jobs.sync.account_support import (
    add_owner,
    list_under,
    listed,
    note_account,
    note_credits,
    note_spent,
    note_sync,
)
from tests.store.support import execute, get_key
from tests.support import NOW, TODAY

DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
BUDGET = WorkspaceBudget("b", "Lab", Decimal(50), "monthly")
TOLD = Layer("workspace", Decimal(50), Decimal(40), Decimal(10), "monthly", DECEMBER, budget_id="b")


@pytest.fixture
def owner(store: Store) -> StoredKey:
    return add_owner(store)


def read(store: Store, now: datetime = NOW) -> Allowances:
    with store.read() as connection:
        return read_allowances(connection, stored_keys.list_keys(connection), now)


def spendable(store: Store, name: str = "a", now: datetime = NOW) -> CanSpend | None:
    return read(store, now).keys[get_key(store, name).id].can_spend


def budgeted(store: Store, owner: StoredKey, *budgets: WorkspaceBudget) -> None:
    reading = WorkspaceReading("w", "Lab", NOW - timedelta(hours=5), budgets)
    with store.write() as connection:
        accounts.record_workspaces(connection, owner.id, (reading,), reading.read_at)


def tell(store: Store, name: str, *layers: Layer, read_at: datetime = NOW, **facts: Any) -> None:
    known = KeyFacts(KeyKind.INFERENCE, layers=layers, **facts)
    with store.write() as connection:
        stored_keys.record_facts(connection, get_key(store, name).id, known, read_at)


def test_the_budget_of_a_workspace_is_less_what_all_its_keys_have_spent(
    store: Store, owner: StoredKey
) -> None:
    list_under(store, owner, listed("a", workspace="Lab"), listed("gone", workspace="Lab"), listed("c"))
    note_spent(store, "a", "20")
    note_spent(store, "a", "0.5", days=19)
    note_spent(store, "a", "1000", days=20)
    note_spent(store, "gone", "29")
    note_spent(store, "c", "7")
    list_under(store, owner, listed("a", workspace="Lab"), listed("c"))
    note_credits(store, owner, "100", "25")
    budgeted(store, owner, BUDGET)
    # Nobody knows what was spent this month.
    assert spendable(store) == CanSpend(Decimal(50), "workspace budget", DECEMBER, is_at_most=True)
    note_sync(store, "ops")

    assert spendable(store) == CanSpend(Decimal("0.5"), "workspace budget", DECEMBER)
    assert spendable(store, "c") == CanSpend(Decimal(75), "balance")
    (allowance,) = read(store).workspaces
    assert (allowance.owner_id, allowance.workspace, allowance.bound.used_usd) == (owner.id, "Lab", 49.5)
    assert [each.key.name for each in status_job.run(store, NOW).allowances] == ["a"]


@pytest.mark.parametrize(
    ("interval", "until", "left"),
    [
        ("daily", datetime(2026, 11, 21, tzinfo=UTC), "49"),
        ("weekly", MONDAY, "48"),
        ("monthly", DECEMBER, "47"),
    ],
)
@pytest.mark.parametrize("include_byok", [True, False])
def test_each_window_counts_its_own_days_and_byok_where_it_counts(
    store: Store, owner: StoredKey, interval: str, until: datetime, left: str, include_byok: bool
) -> None:
    list_under(store, owner, listed("a", workspace="Lab"))
    for days in (0, 4, 5, 25):
        note_spent(store, "a", "1", days=days)
    execute(store, "UPDATE usage_by_key SET byok_cost_nano = 10000000000 WHERE date = ?", _number(0))
    execute(store, "UPDATE usage_months SET byok_cost_nano = 10000000000")
    note_sync(store, "ops")
    budgeted(store, owner, replace(BUDGET, reset_interval=interval, include_byok=include_byok))

    byok = Decimal(10) if include_byok else Decimal(0)
    assert spendable(store) == CanSpend(Decimal(left) - byok, "workspace budget", until)


def _number(days: int) -> int:
    return (days_ago(days) - datetime(1970, 1, 1, tzinfo=UTC).date()).days


def test_the_counters_of_the_list_count_where_the_ledger_began_later(store: Store, owner: StoredKey) -> None:
    list_under(store, owner, listed("a", workspace="Lab", usage_monthly_usd=Decimal(30)))
    note_spent(store, "a", "1")
    note_sync(store, "ops")
    budgeted(store, owner, BUDGET)
    assert spendable(store) == CanSpend(Decimal(20), "workspace budget", DECEMBER)


@pytest.mark.parametrize(
    ("told", "age_hours", "left"),
    [
        (TOLD, 1, "10"),  # it knows of the chat room
        (replace(TOLD, spent_usd=Decimal(1), remaining_usd=Decimal(49)), 1, "30"),  # spent since
        (replace(TOLD, limit_usd=Decimal(70), remaining_usd=Decimal(30)), 1, "30"),  # raised meanwhile
        (replace(TOLD, limit_usd=Decimal(70), remaining_usd=Decimal(30)), 9, "10"),  # or lowered
        (replace(TOLD, resets_at=datetime(2026, 11, 1, tzinfo=UTC)), 999, "30"),  # of another month
    ],
)
def test_what_a_key_was_told_of_the_budget_counts_for_all_keys_of_the_workspace(
    store: Store, owner: StoredKey, told: Layer, age_hours: int, left: str
) -> None:
    add_key(store, "own")
    list_under(store, owner, listed("a", workspace="Lab"), listed("own", workspace="Lab"))
    note_spent(store, "a", "20")
    note_sync(store, "ops")
    budgeted(store, owner, BUDGET)
    tell(store, "own", told, read_at=NOW - timedelta(hours=age_hours))

    expected = CanSpend(Decimal(left), "workspace budget", DECEMBER)
    assert (spendable(store, "a"), spendable(store, "own")) == (expected, expected)


def test_without_a_management_key_what_the_key_was_told_is_all_there_is(store: Store) -> None:
    add_key(store, "a")
    tell(store, "a", TOLD, replace(TOLD, budget_id="c", remaining_usd=Decimal("0.5")))
    assert spendable(store) == CanSpend(Decimal("0.5"), "workspace budget", DECEMBER)
    # The reading is older than the window.
    later = spendable(store, now=DECEMBER + timedelta(hours=1))
    assert later == CanSpend(Decimal(50), "workspace budget", datetime(2027, 1, 1, tzinfo=UTC), True)


def test_the_balance_is_that_of_the_management_key_that_lists_the_key(store: Store, owner: StoredKey) -> None:
    deputy = add_owner(store, "deputy")
    for each in (owner, deputy):
        note_account(store, each, account_id="team")
    add_key(store, "a")
    list_under(store, deputy, listed("a"))
    note_credits(store, deputy, "10", "4")
    assert spendable(store) == CanSpend(Decimal(6), "balance")


def test_of_an_account_that_is_not_read_any_more_nothing_is_unlimited(store: Store, owner: StoredKey) -> None:
    limited = {"limit_usd": Decimal(9), "limit_remaining_usd": Decimal(5)}
    add_key(store, "own", facts=KeyFacts(KeyKind.INFERENCE))
    add_key(store, "apart", facts=KeyFacts(KeyKind.INFERENCE))
    list_under(store, owner, listed("own"), listed("a", workspace="Lab"), listed("b"), listed("c", **limited))
    note_credits(store, owner, "10", "4")
    note_sync(store, "ops")
    budgeted(store, owner, replace(BUDGET, limit_usd=Decimal(3)))
    assert spendable(store, "c") == CanSpend(Decimal(5), "limit")

    key_jobs.disable(store, "ops", NOW)

    unknown = CanSpend(None, "balance")
    assert [spendable(store, name) for name in ("own", "a", "b")] == [unknown] * 3
    assert spendable(store, "c") == CanSpend(Decimal(5), "limit", is_at_most=True)
    assert spendable(store, "apart") is None


def test_of_a_budget_for_life_only_a_key_that_was_told_knows_what_is_left(
    store: Store, owner: StoredKey
) -> None:
    add_key(store, "a")
    list_under(store, owner, listed("a", workspace="Lab", usage_usd=Decimal(15)))
    note_sync(store, "ops")
    budgeted(store, owner, replace(BUDGET, reset_interval=None))
    assert spendable(store) == CanSpend(Decimal(35), "workspace budget", is_at_most=True)
    tell(store, "a", replace(TOLD, reset_interval=None, resets_at=None))
    assert spendable(store) == CanSpend(Decimal(10), "workspace budget")


def test_a_limit_that_was_used_up_yesterday_needs_nobody_today(store: Store) -> None:
    spent = {"limit_usd": Decimal(5), "limit_remaining_usd": Decimal(0), "limit_reset": "daily"}
    facts = KeyFacts(KeyKind.INFERENCE, **spent)  # type: ignore[arg-type]
    add_key(store, "a", facts=facts)
    problems = [
        [each.problem is not None for each in status_job.run(store, now).keys]
        for now in (NOW, datetime.combine(TODAY + timedelta(days=1), NOW.timetz()))
    ]
    assert problems == [[True], [False]]
