"""How much of a budget is spent, and when that cannot be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from orwatch.domain.budgets import Budget, BudgetState, Per, Scope, window_at
from orwatch.domain.counters import CounterReading
from orwatch.domain.keys import KeyFacts, KeyKind, StoredKey
from orwatch.domain.money import to_nano
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageRow, UsageSpan
from orwatch.jobs.budget.history import budget_histories
from orwatch.jobs.budget.spent import budget_states
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.report import models
from orwatch.store.budgets import GONE_KEY_ID
from orwatch.store.engine.database import Store
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import retention, spans
from orwatch.store.ledger import write as ledger
from orwatch.store.schema import metadata
from tests.jobs.support import add_key, days_ago, spend
from tests.jobs.sync.account_support import add_owner, list_under, listed, note_account, note_spent, note_sync
from tests.store.support import execute, get_key, on_each_engine, write
from tests.support import NOW, TODAY, examples, usage_answer, usage_row

EVERYTHING = Scope()


def budget(per: Per = Per.MONTH, scope: Scope = EVERYTHING, *, with_byok: bool = False) -> Budget:
    return Budget(1, "team", Decimal(100), per, scope, (80,), with_byok, NOW)


def state(store: Store, wanted: Budget, now: datetime = NOW) -> BudgetState:
    with store.read() as connection:
        (found,) = budget_states(connection, now, [wanted])
    return found


def told(found: BudgetState) -> tuple[Decimal | None, Decimal, Decimal | None]:
    return found.spent_usd, found.spent_known_usd, found.spent_most_usd


scopes = st.builds(
    Scope,
    key_ids=st.sampled_from([(), (1,), (2,), (1, 2), (77,)]),
    models=st.sampled_from([(), ("a/*",), ("*x",), ("a/y", "b/*"), ("none",)]),
    providers=st.sampled_from([(), ("azure",), ("Azure", "OpenAI")]),
    workspaces=st.sampled_from([(), ("blue",), ("BLUE", "red"), ("none",)]),
)
rows = st.tuples(
    st.sampled_from([1, 2, 3]),
    st.integers(0, 70).map(days_ago) | st.integers(0, 7).map(days_ago),
    st.sampled_from(["a/x", "a/y", "b/z", None]),
    st.sampled_from(["Azure", "OpenAI", None]),
    st.integers(0, 10**12) | st.just(10**16),
    st.none() | st.integers(0, 10**10),
)
WORKSPACES = {1: "Blue", 2: "Red", 3: "Blue"}  # 3 is the secret that 2 had before


def plain_sum(
    found: Sequence[tuple[int, UsageRow]], per: Per, scope: Scope, with_byok: bool
) -> tuple[int, int, bool]:
    """What is surely spent in nano-dollars, what may be, and whether a BYOK cost is missing: row by row."""
    first, last = window_at(per, NOW)
    sure = doubtful = 0
    is_missing = False
    for key_id, row in found:
        current = 2 if key_id == 3 else key_id
        if not first <= row.day <= (last or date.max):
            continue
        if scope.key_ids and current not in scope.key_ids:
            continue
        of_key = {WORKSPACES[each].lower() for each in WORKSPACES if (2 if each == 3 else each) == current}
        if scope.workspaces and not of_key & {name.lower() for name in scope.workspaces}:
            continue
        fits = [
            not wanted or (None if name is None else is_met(name))
            for wanted, name, is_met in (
                (scope.models, row.model, lambda name: models.matches(name, scope.models)),
                (scope.providers, row.provider, lambda name: name.lower() in map(str.lower, scope.providers)),
            )
        ]
        if False in fits:
            continue
        amount = to_nano(row.cost_usd) + (to_nano(row.byok_cost_usd or Decimal(0)) if with_byok else 0)
        is_missing |= with_byok and row.byok_cost_usd is None
        if None in fits:
            doubtful += amount
        else:
            sure += amount
    return sure, doubtful, is_missing


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(40))
@given(
    st.lists(rows, max_size=12),
    st.lists(st.tuples(st.sampled_from(Per), scopes, st.booleans()), min_size=1, max_size=6),
    st.integers(0, 60),
)
def test_what_is_spent_is_the_plain_sum_of_the_rows(
    store: Store,
    drawn: list[tuple[int, date, str | None, str | None, int, int | None]],
    wanted: list[tuple[Per, Scope, bool]],
    kept_days: int,
) -> None:
    with store.write() as connection:
        for table in reversed(metadata.sorted_tables):
            if table.name not in {"ledger_state", "models", "providers"}:
                connection.execute(table.delete())
        connection.execute(metadata.tables["ledger_state"].update().values(kept_from=None))
    for name in ("one", "two", "old"):
        add_key(store, name)
    execute(store, "UPDATE api_keys SET replaced_by = 2, name = 'two' WHERE id = 3")
    for key_id, workspace in WORKSPACES.items():
        execute(store, "UPDATE api_keys SET workspace = ? WHERE id = ?", workspace, key_id)
    found = {
        (key_id, day, model, provider): (
            key_id,
            usage_row(day, model, provider=provider)._replace(
                cost_usd=Decimal(cost).scaleb(-9),
                byok_cost_usd=None if byok is None else Decimal(byok).scaleb(-9),
            ),
        )
        for key_id, day, model, provider, cost, byok in drawn
    }
    for key_id in WORKSPACES:
        own = [row for owner, row in found.values() if owner == key_id]
        write(store, usage_answer(*own, since=days_ago(75), until=TODAY), key_id)
    execute(
        store,
        "UPDATE api_keys SET last_synced_at = ?, synced_through = ?",
        int(NOW.timestamp()),
        (TODAY - date(1970, 1, 1)).days,
    )
    with store.write() as connection:
        for removed in retention.expired_days(connection, days_ago(kept_days)):
            retention.remove_day(connection, removed.day)
        watermark = ledger.kept_from(connection)
    budgets = [budget(per, scope, with_byok=with_byok) for per, scope, with_byok in wanted]
    with store.read() as connection:
        states = budget_states(connection, NOW, budgets)
    for each in states:
        per, scope = each.budget.per, each.budget.scope
        if per is Per.WEEK and watermark is not None and watermark > window_at(per, NOW)[0]:
            assert "cleanup" in (each.why_unknown or "")
            continue
        sure, doubtful, is_missing = plain_sum([*found.values()], per, scope, each.budget.with_byok)
        is_bounded = not is_missing and "no stored key" not in (each.why_unknown or "")
        assert to_nano(each.spent_known_usd) == sure
        assert each.spent_most_usd == (Decimal(sure + doubtful).scaleb(-9) if is_bounded else None)
        assert each.spent_usd == (each.spent_known_usd if is_bounded and not doubtful else None)
        assert (each.why_unknown is None) is each.is_complete


@pytest.fixture
def work(store: Store) -> StoredKey:
    """A key of a gateway that was read throughout the last 30 days, and has spent $2 in them."""
    key = add_key(store)
    row = usage_row(days_ago(3), "a/x", provider="Azure", cost="2")
    write(store, usage_answer(row, since=days_ago(30), until=TODAY))
    note_sync(store, "work", source=UsageSource.USAGE)
    return key


def add_counted_key(store: Store, name: str = "counted", **facts: str) -> StoredKey:
    """A key that is known by its counters, from today on: $3 today."""
    key = add_key(store, name)
    with store.write() as connection:
        reading = CounterReading(TODAY, Decimal(500), Decimal(3))
        ledger.write_counters(connection, key.id, reading, NOW)
        stored_keys.record_counters(
            connection,
            key,
            KeyFacts(KeyKind.INFERENCE, **{name: Decimal(amount) for name, amount in facts.items()}),
            NOW,
        )
    note_sync(store, name, source=UsageSource.COUNTERS)
    return key


@on_each_engine
def test_today_counts_and_what_has_no_model_leaves_open_how_much_of_it_counts(
    store: Store, work: StoredKey
) -> None:
    counted = add_counted_key(store, usage_usd="500", usage_monthly_usd="40", usage_weekly_usd="3")
    of_x, of_work = Scope(models=("a/*",)), Scope(key_ids=(work.id,), models=("a/*",))

    # What the counter of the month has beyond the ledger was spent before the first reading.
    assert told(state(store, budget())) == (42, 42, 42)
    assert told(state(store, budget(Per.WEEK))) == (5, 5, 5)
    assert told(state(store, budget(Per.DAY))) == (3, 3, 3)
    assert told(state(store, budget(Per.LIFETIME))) == (502, 502, 502)
    assert told(state(store, budget(Per.DAY, of_x))) == (None, 0, 3)
    assert told(state(store, budget(Per.LIFETIME, of_x))) == (None, 2, 5)
    assert state(store, budget(Per.DAY, of_x)).why_unknown == "the model of $3 is not reported"
    # Of the month, the counter does not say what of it was of the model.
    found = state(store, budget(Per.MONTH, of_x))
    assert told(found) == (None, 2, None)
    assert "counted not read from 2026-11-01 on" in (found.why_unknown or "")
    for per in (Per.WEEK, Per.MONTH, Per.LIFETIME):
        assert told(state(store, budget(per, of_work))) == (2, 2, 2)
    execute(store, f"UPDATE api_keys SET removed_at = facts_read_at WHERE id = {counted.id}")
    # Nor does a key take with it what it spent.
    for scope, spent in ((EVERYTHING, 42), (Scope(key_ids=(counted.id,)), 40)):
        assert told(state(store, budget(Per.MONTH, scope))) == (spent, spent, spent)


def test_a_filter_by_provider_waits_for_the_day_to_end(store: Store, work: StoredKey) -> None:
    write(store, usage_answer(usage_row(TODAY, "a/x", cost="1")))
    of_azure = budget(Per.MONTH, Scope(providers=("azure",)))

    found = state(store, of_azure)

    assert told(found) == (None, 2, 3)
    assert (found.why_unknown or "").startswith("the provider of $1 is not reported")
    assert told(state(store, budget(Per.MONTH, Scope(models=("b/*",), providers=("azure",))))) == (0, 0, 0)


def test_byok_counts_where_it_is_asked_for_and_is_unknown_where_no_source_says_it(
    store: Store, work: StoredKey
) -> None:
    assert told(state(store, budget(with_byok=True))) == (None, 2, None)
    execute(store, "UPDATE usage_months SET byok_cost_nano = 5000000000, byok_cost_nano_reported = 1")
    execute(store, "UPDATE usage_by_model SET byok_cost_nano = 5000000000, byok_cost_nano_reported = 1")
    assert told(state(store, budget(with_byok=True))) == (7, 7, 7)
    assert told(state(store, budget(with_byok=True, scope=Scope(key_ids=(work.id,))))) == (7, 7, 7)
    assert told(state(store, budget())) == (2, 2, 2)


@pytest.mark.parametrize(
    ("change", "per", "why"),
    [
        ("last_synced_at = NULL", Per.LIFETIME, "work not read yet"),
        ("synced_through = synced_through - 1", Per.DAY, "work not read since 2026-11-20 began"),
        ("synced_through = synced_through - 1", Per.MONTH, None),
        ("last_synced_at = last_synced_at - 86401", Per.MONTH, "work not read for more than a day"),
        ("synced_through = synced_through - 2", Per.MONTH, "work not read for more than a day"),
        ("synced_through = synced_through - 20", Per.MONTH, "work not read since 2026-11-01 began"),
    ],
)
@pytest.mark.parametrize("scope", [EVERYTHING, Scope(key_ids=(1,))])
def test_what_was_not_read_is_neither_zero_nor_a_part(
    store: Store, work: StoredKey, change: str, per: Per, why: str | None, scope: Scope
) -> None:
    execute(store, f"UPDATE api_keys SET {change}")

    found = state(store, budget(per, scope))

    assert found.why_unknown == why
    assert (found.spent_usd is None, found.spent_most_usd is None) == (why is not None, why is not None)
    for ended in ("removed_at = 1", "deleted_at = 1", "expires_at = 1", "is_active = FALSE"):
        execute(store, f"UPDATE api_keys SET {ended}")
        assert state(store, budget(per, scope)).is_complete
        execute(
            store,
            "UPDATE api_keys SET removed_at = NULL, deleted_at = NULL, expires_at = NULL, is_active = TRUE",
        )


def test_a_window_that_has_just_begun_is_zero_once_it_was_read(store: Store, work: StoredKey) -> None:
    new_month = datetime(2026, 12, 1, 0, 30, tzinfo=UTC)
    assert not state(store, budget(), new_month).is_complete

    answer = usage_answer(since=TODAY, until=new_month.date())
    with store.write() as connection:
        ledger.write_usage(connection, work.id, answer, new_month)
        stored_keys.record_sync(
            connection,
            get_key(store),
            source=UsageSource.USAGE,
            since=TODAY,
            until=new_month.date(),
            error=None,
            now=new_month,
        )

    found = state(store, budget(), new_month)
    assert (told(found), found.known_through) == ((0, 0, 0), new_month)


def test_of_a_listed_key_the_days_of_its_account_are_known(store: Store) -> None:
    owner = add_owner(store)
    list_under(
        store, owner, listed("a", workspace="Lab"), listed("new", age_days=3), listed("off", is_disabled=True)
    )
    note_spent(store, "a", "4")
    note_sync(store, "ops", "a", "new")
    of_lab = budget(scope=Scope(workspaces=("lab",)))
    assert "a not read from" in (state(store, of_lab).why_unknown or "")

    note_account(store, owner, backfilled_from=days_ago(300))

    assert told(state(store, of_lab)) == (4, 4, 4)
    assert told(state(store, budget())) == (4, 4, 4)


def test_a_sum_that_began_before_the_window_may_be_a_part_of_it(store: Store, work: StoredKey) -> None:
    astride = UsageSpan(days_ago(25), days_ago(18), Decimal(9))
    with store.write() as connection:
        spans.write_span(connection, work.id, astride, set())

    found = state(store, budget())

    assert told(found) == (None, 2, 11)
    assert found.why_unknown == "$9 of work known only as a sum that began before 2026-11-01"
    assert told(state(store, budget(Per.WEEK))) == (2, 2, 2)
    assert told(state(store, budget(Per.LIFETIME))) == (11, 11, 11)
    assert told(state(store, budget(Per.LIFETIME, Scope(models=("a/*",))))) == (None, 2, 11)


@pytest.mark.parametrize("scope", [Scope(key_ids=(GONE_KEY_ID,)), Scope(workspaces=("none",))])
def test_a_budget_of_no_stored_key_is_unknown(store: Store, work: StoredKey, scope: Scope) -> None:
    for per in Per:
        assert state(store, budget(per, scope)).why_unknown == "no stored key is covered"


def test_a_key_keeps_its_budget_through_a_new_name_a_new_secret_and_its_removal(
    store: Store, work: StoredKey
) -> None:
    wanted = budget(Per.LIFETIME, Scope(key_ids=(work.id,)))
    key_jobs.rename(store, "work", "other")
    new = add_key(store, "new")
    with store.write() as connection:
        stored_keys.mark_replaced(connection, work, new.id)
    spend(store, (TODAY, "a/x", "1"), key_id=new.id)
    note_sync(store, "new")
    assert told(state(store, wanted)) == (3, 3, 3)

    key_jobs.remove(store, "new", NOW, with_history=False)
    assert told(state(store, wanted)) == (3, 3, 3)


def test_a_thousand_keys_and_fifty_budgets_take_as_many_queries_as_one(store: Store, work: StoredKey) -> None:
    def count(budgets: Sequence[Budget]) -> int:
        statements: list[str] = []
        with store.read() as connection:
            event.listen(connection.engine, "before_cursor_execute", lambda *said: statements.append(said[2]))
            budget_states(connection, NOW, budgets)
        return len(statements)

    kinds = [
        budget(per, Scope(key_ids, models))
        for per in Per
        for key_ids in ((), (1,))
        for models in ((), ("a/*",))
    ]
    many = [replace(each, id=number) for number in range(10) for each in kinds]
    assert count(many) == count(kinds) <= 45


def test_a_history_has_the_days_that_are_known(store: Store, work: StoredKey) -> None:
    unknown = usage_row(days_ago(2), None, cost="1")
    write(store, usage_answer(unknown, usage_row(TODAY, "b/z", cost="7")))
    with store.write() as connection:
        spans.write_span(connection, work.id, UsageSpan(days_ago(9), days_ago(8), Decimal(1)), set())

    def history(scope: Scope) -> dict[date, Decimal]:
        with store.read() as connection:
            wanted = budget(scope=scope)
            return budget_histories(connection, [wanted], days_ago(10), TODAY)[wanted]

    everything, of_a = history(EVERYTHING), history(Scope(key_ids=(work.id,), models=("a/*",)))

    known = [*(days_ago(number) for number in (10, *range(7, -1, -1)))]
    assert [*everything] == known
    assert {day: spent for day, spent in everything.items() if spent} == {
        days_ago(3): 2,
        days_ago(2): 1,
        TODAY: 7,
    }
    assert [*of_a] == [day for day in known if day != days_ago(2)]
    assert {day: spent for day, spent in of_a.items() if spent} == {days_ago(3): 2}
