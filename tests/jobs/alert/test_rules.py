"""What each rule finds in what is stored, told together: a sync judges by all of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from orwatch.domain.alerts.alert import Rule
from orwatch.domain.budgets import Budget, Per, Scope
from orwatch.domain.keys import InactiveReason, KeyFacts, KeyKind
from orwatch.domain.layers import FreeQuota, Layer, WorkspaceBudget, WorkspaceReading
from orwatch.jobs.alert.judge import judge
from orwatch.jobs.alert.result import Judgement, WatchRules
from orwatch.jobs.alert.rules import RULES
from orwatch.jobs.key import replace as replacing
from orwatch.secrets import Keyring
from orwatch.store import budgets
from orwatch.store.engine.database import Store
from orwatch.store.keys import accounts
from orwatch.store.keys import table as stored_keys
from tests.jobs.support import ENCRYPTION_KEY, add_key, days_ago, spend
from tests.jobs.sync.account_support import (
    add_owner,
    list_under,
    listed,
    note_account,
    note_credits,
    note_spent,
    note_sync,
)
from tests.store.support import execute, get_key, on_each_engine
from tests.support import NOW, secret_of

LATER = NOW + timedelta(hours=1)


def run(store: Store, now: datetime = NOW, rules: WatchRules | None = None) -> Judgement:
    judgement = judge(store, now, rules or WatchRules())
    assert not judgement.has_bug
    return judgement


def raised(store: Store, now: datetime = NOW, rules: WatchRules | None = None) -> list[str]:
    return [f"{alert.rule}: {alert.summary}" for alert in run(store, now, rules).raised]


def begin(store: Store, days: int = 60) -> None:
    """As if alerts had been judged for so long."""
    run(store, NOW - timedelta(days=days))


def inference(**facts: object) -> KeyFacts:
    return KeyFacts(KeyKind.INFERENCE, **facts)  # type: ignore[arg-type]


def test_every_rule_is_judged() -> None:
    assert list(RULES) == list(Rule)


@on_each_engine
def test_nothing_is_said_of_what_is_as_it_should_be(store: Store) -> None:
    assert raised(store) == []
    owner = add_owner(store)
    list_under(store, owner, listed("a", limit_usd=Decimal(5), limit_remaining_usd=Decimal(4)), listed("b"))
    for days in range(40):
        note_spent(store, "a", "9", days)
    note_sync(store, "ops", "a", "b")
    note_credits(store, owner, "1000", "100")
    note_account(store, owner, backfilled_from=days_ago(90))
    assert raised(store) == []


@on_each_engine
def test_a_budget_that_is_crossed_and_then_raised(store: Store) -> None:
    add_key(store)
    spend(store, *((days_ago(day), "m", "4.25") for day in range(20)))
    note_sync(store, "work")
    with store.write() as connection:
        made = Budget(0, "team", Decimal(100), Per.MONTH, Scope(), (50, 80, 100), False, NOW)
        budgets.insert_budget(connection, made)
    assert raised(store, rules=WatchRules(off=frozenset({Rule.FORECAST}))) == [
        "budget: team: 85 % of its budget is spent: $85.00 of $100.00 a month (until 30 Nov)"
    ]
    execute(store, "UPDATE budgets SET limit_nano = 200000000000")
    (recovered,) = run(store, rules=WatchRules(off=frozenset({Rule.FORECAST}))).recovered
    assert recovered.recovery == (
        "team: 42 % of its budget is spent: $85.00 of $200.00 a month (until 30 Nov)"
    )


def test_a_budget_that_is_on_course_to_be_crossed_and_then_is_not(store: Store) -> None:
    add_key(store)
    spend(store, *((days_ago(day), "m", "4") for day in range(1, 50)))
    note_sync(store, "work")
    with store.write() as connection:
        for name, limit in (("tight", 100), ("wide", 140), ("reached", 50)):
            made = Budget(0, name, Decimal(limit), Per.MONTH, Scope(), (500,), False, NOW)
            budgets.insert_budget(connection, made)
    (alert,) = run(store).raised
    assert alert.summary.startswith("tight: on course for $11")
    assert alert.summary.endswith(" of $100.00 a month (until 30 Nov), all spent about 26 Nov")
    execute(store, "UPDATE budgets SET limit_nano = 150000000000")
    (recovered,) = run(store, LATER).recovered
    assert recovered.recovery is not None
    assert recovered.recovery.startswith("tight: on course for $11")


def test_the_budget_of_a_workspace_whose_keys_have_no_secret_here(store: Store) -> None:
    owner = add_owner(store)
    list_under(store, owner, listed("a", workspace="Lab"), listed("b", workspace="Lab"), listed("c"))
    for name in ("a", "b", "c"):
        note_spent(store, name, "4.10", 2)
    note_sync(store, "ops", "a", "b", "c")
    budget = WorkspaceBudget("w-1", "Lab", Decimal(10), "monthly")
    with store.write() as connection:
        accounts.record_workspaces(connection, owner.id, [WorkspaceReading("w", "Lab", NOW, (budget,))], NOW)
    assert raised(store) == [
        "limit: Lab: 82 % of the workspace's budget is spent: $8.20 of $10.00 until 1 Dec. "
        "Raise it at OpenRouter, or spend less"
    ]
    note_spent(store, "b", "0.10", 1)
    assert raised(store, LATER) == []


@on_each_engine
def test_a_key_s_limit_and_a_budget_of_its_guardrail(store: Store) -> None:
    guard = Layer("api_key", Decimal(10), Decimal(9), Decimal(1), "daily", guardrail_id="g1", budget_id="b1")
    for name, left in (("low", "0.5"), ("fine", "3")):
        add_key(store, name, facts=inference(limit_usd=Decimal(5), limit_remaining_usd=Decimal(left)))
    add_key(store, "guarded", facts=inference(layers=(guard,)))
    found = raised(store)
    assert found == [
        "limit: low: 90 % of its limit is spent: $4.50 of $5.00. Raise it at OpenRouter, or spend less",
        "limit: guarded: 90 % of its guardrail's budget is spent: $9.00 of $10.00 until 21 Nov. "
        "Raise it at OpenRouter, or spend less",
    ]
    execute(store, "UPDATE api_keys SET limit_remaining_nano = 4000000000 WHERE name = 'low'")
    assert [alert.recovery for alert in run(store).recovered] == [
        "low: 20 % of its limit is spent: $1.00 of $5.00"
    ]


@on_each_engine
@pytest.mark.parametrize(
    ("spent", "warn_usd", "is_low"), [("940", None, True), ("900", None, False), ("900", "150", True)]
)
def test_a_balance_that_does_not_last(store: Store, spent: str, warn_usd: str | None, is_low: bool) -> None:
    owner = add_owner(store)
    list_under(store, owner, listed("a"))
    for days in range(1, 15):
        note_spent(store, "a", "10", days)
    note_account(store, owner, backfilled_from=days_ago(60))
    note_sync(store, "ops", "a")
    note_credits(store, owner, "1000", spent)
    rules = WatchRules(balance_warn_usd=None if warn_usd is None else Decimal(warn_usd))
    assert [text.split(".")[0] for text in raised(store, rules=rules)] == (
        [f"balance: ops: the balance of its account is ${1000 - int(spent)}"] if is_low else []
    )
    if is_low:
        note_credits(store, owner, "2000", spent)
        assert len(run(store, LATER).recovered) == 1


@on_each_engine
def test_a_day_that_costs_far_more_of_all_keys_a_key_and_a_model(store: Store) -> None:
    add_key(store)
    add_key(store, "other")
    begin(store)
    spend(store, *((days_ago(day), "m", "3") for day in range(1, 30)))
    spend(store, *((days_ago(day), "n", "20") for day in range(30)), key_id=2)
    spend(store, (days_ago(0), "m", "60"))
    note_sync(store, "work", "other")
    found = [alert.name for alert in run(store).raised if alert.rule is Rule.SPIKE]
    assert found == ["all keys", "work", "m"]
    assert raised(store, LATER) == []


def test_a_spike_of_before_the_first_judging_is_no_news(store: Store) -> None:
    add_key(store)
    spend(store, *((days_ago(day), "m", "60" if day == 1 else "3") for day in range(30)))
    assert raised(store) == []


def test_what_a_rotated_key_costs_is_that_of_all_its_secrets(store: Store) -> None:
    add_key(store)
    begin(store)
    spend(store, *((days_ago(day), "m", "30") for day in range(2, 30)))
    replacing.replace(store, Keyring([ENCRYPTION_KEY]), "work", secret_of("new"), None, NOW)
    spend(store, (days_ago(1), "m", "31"), (days_ago(0), "m", "31"), key_id=get_key(store).id)
    note_sync(store, "work")
    assert raised(store) == []


@on_each_engine
def test_a_key_that_is_refused_and_then_accepted(store: Store) -> None:
    key = add_key(store)
    with store.write() as connection:
        stored_keys.set_inactive(connection, key.id, InactiveReason.INVALID, NOW)
    assert raised(store) == [
        "key: work: OpenRouter has refused it since 20 Nov. Store its successor's secret with "
        "`orwatch key replace`, or remove or disable it"
    ]
    with store.write() as connection:
        stored_keys.set_active(connection, key.id)
    assert [alert.recovery for alert in run(store).recovered] == ["work: OpenRouter accepts it again"]


@on_each_engine
def test_keys_that_expire_are_new_wake_up_or_have_no_limit(store: Store) -> None:
    owner = add_owner(store)
    execute(store, "UPDATE api_keys SET created_at = ?", int((NOW - timedelta(days=90)).timestamp()))
    begin(store)
    soon = NOW + timedelta(days=2)
    limit = {"limit_usd": Decimal(1000), "limit_remaining_usd": Decimal(999)}
    names = ["a", "b", "c", "d"]
    list_under(
        store,
        owner,
        listed("expiring", expires_at=soon, **limit),
        listed("new", age_days=1, **limit),
        listed("asleep", **limit),
        listed("big"),
        *(listed(name, **limit) for name in names),
    )
    note_spent(store, "asleep", "0.1", 50)
    note_spent(store, "asleep", "0.1", 1)
    for name in names:
        note_spent(store, name, "1", 1)
        note_spent(store, name, "1", 2)
        note_spent(store, name, "1", 3)
    for days in range(10, 0, -1):
        note_spent(store, "big", "4", days)
    note_account(store, owner, backfilled_from=days_ago(100))
    note_sync(store, "ops")
    assert sorted(raised(store)) == [
        "key: asleep: it was used on 19 Nov 2026; its last use was on 1 Oct 2026. "
        "If nobody knows why, disable it at OpenRouter",
        "key: big: nothing limits it; it has spent $40.00 this month, 76 % of its account's. "
        "Set a limit at OpenRouter",
        "key: expiring: it expires on 22 Nov 2026 at 12:30 UTC. Create its successor at OpenRouter",
        "key: new: it is new in the account, made on 19 Nov 2026 at 12:30 UTC. "
        "If nobody knows of it, disable it at OpenRouter",
    ]
    assert raised(store, LATER) == []


def test_at_the_first_judging_no_key_is_new_and_none_was_asleep(store: Store) -> None:
    owner = add_owner(store)
    list_under(store, owner, listed("new", age_days=1), listed("asleep"))
    note_spent(store, "asleep", "0.1", 50)
    note_spent(store, "asleep", "0.1", 1)
    note_account(store, owner, backfilled_from=days_ago(100))
    note_sync(store, "ops")
    assert raised(store) == []


@on_each_engine
def test_free_requests_that_are_nearly_used(store: Store) -> None:
    add_key(store, facts=inference(free_quota=FreeQuota(50, 42, 8)))
    (text,) = raised(store)
    assert text.startswith("free-quota: work: 84 % of the day's free requests are used: 42 of 50")


@on_each_engine
def test_a_model_in_use_that_is_to_be_retired(store: Store) -> None:
    add_key(store)
    spend(store, (days_ago(3), "a/b", "1"), (days_ago(20), "a/old", "1"))
    with store.write() as connection:
        for name in ("a/b", "a/old", "a/never"):
            connection.exec_driver_sql(
                f"INSERT INTO model_names (dated_name, name, retires_on) VALUES ('{name}-1', '{name}', 20800)"
            )
    assert raised(store) == [
        "model: a/b: it is retired on 13 Dec 2026 and was last used on 17 Nov. "
        "Move what uses it to another model"
    ]
    execute(store, "UPDATE model_names SET retires_on = NULL")
    assert [alert.recovery for alert in run(store).recovered] == ["a/b: it is not to be retired any more"]
