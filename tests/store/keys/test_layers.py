"""What limits a key, stored: exact, whole, and not forgotten for an answer that does not tell it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from orwatch.domain.keys import KeyFacts, KeyKind
from orwatch.domain.layers import FreeQuota, Layer, WorkspaceBudget, WorkspaceReading
from orwatch.store.engine.database import Store
from orwatch.store.keys import accounts
from orwatch.store.keys import table as stored_keys
from orwatch.store.keys.layers import dump_layers, dump_workspaces, load_layers, load_workspaces
from tests.store.support import add_key, get_key, on_each_engine
from tests.support import NOW

AMOUNTS = st.decimals(-(10**7), 10**7, allow_nan=False, places=12)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
TIMES = st.integers(0, 10**9).map(lambda seconds: datetime.fromtimestamp(seconds + 0.5, UTC))
LAYERS = st.builds(
    Layer,
    TEXTS,
    *[st.none() | AMOUNTS] * 3,
    st.none() | TEXTS,
    st.none() | TIMES,
    st.none() | st.booleans(),
    *[st.none() | TEXTS] * 2,
)
QUOTAS = st.none() | st.builds(FreeQuota, *[st.integers(0, 10**13)] * 3)
BUDGETS = st.builds(WorkspaceBudget, TEXTS, TEXTS, AMOUNTS, st.none() | TEXTS, st.none() | st.booleans())
READINGS = st.builds(
    WorkspaceReading, TEXTS, TEXTS, TIMES, st.none() | st.lists(BUDGETS, max_size=2).map(tuple)
)


@given(st.none() | st.lists(LAYERS, max_size=3).map(tuple), QUOTAS)
def test_layers_come_back_to_the_digit(layers: tuple[Layer, ...] | None, quota: FreeQuota | None) -> None:
    assert load_layers(dump_layers(layers, quota)) == (layers, quota)


@given(st.lists(READINGS, max_size=3).map(tuple))
def test_the_budgets_of_workspaces_come_back_to_the_digit(readings: tuple[WorkspaceReading, ...]) -> None:
    assert load_workspaces(dump_workspaces(readings)) == readings


FACTS = KeyFacts(
    KeyKind.INFERENCE,
    is_byok_limited=True,
    layers=(Layer("workspace", Decimal("1E-7"), resets_at=NOW),),
    free_quota=FreeQuota(50, 49, 1),
)


@on_each_engine
def test_an_answer_without_layers_leaves_them_as_they_were_read(store: Store) -> None:
    add_key(store, facts=FACTS)
    later = NOW + timedelta(hours=1)
    listed = KeyFacts(KeyKind.INFERENCE, limit_usd=Decimal(5), is_byok_limited=False)
    for facts, read_at in ((listed, NOW), (replace(listed, layers=()), later)):
        with store.write() as connection:
            stored_keys.record_facts(connection, get_key(store).id, facts, later)
        key = get_key(store)
        assert (key.facts_read_at, key.layers_read_at) == (later, read_at)
        kept = FACTS if facts.layers is None else facts
        assert key.facts == replace(facts, layers=kept.layers, free_quota=kept.free_quota)


@on_each_engine
def test_what_workspaces_are_budgeted_is_stored_with_their_account(store: Store) -> None:
    key = add_key(store)
    budget = WorkspaceBudget("b", "Lab", Decimal("0.10"), "weekly", True)
    readings = (WorkspaceReading("w", "Lab", NOW, (budget,)), WorkspaceReading("x", "Other", NOW, None))
    with store.write() as connection:
        accounts.record_workspaces(connection, key.id, readings, NOW)
        state = accounts.account_state(connection, key.id)
    assert (state.workspaces, state.workspace_budgets) == (readings, (budget,))
    assert state.workspace_budgets_read_at == NOW
