"""The plain names of models, and rows that get them late."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orwatch.domain.usage import UsageRow
from orwatch.store.engine.database import Store, open_store
from orwatch.store.ledger import model_names
from orwatch.store.ledger.retention import remove_day
from tests.store.support import add_key, dump, scalar, write
from tests.support import NOW, TODAY, usage_answer, usage_row

DATED, PLAIN = "openai/gpt-4.1-2025-04-14", "openai/gpt-4.1"


def learn(store: Store, **told: str) -> dict[str, str]:
    with store.write() as connection:
        model_names.record_names(connection, told)
        return model_names.known_names(connection)


def rows(store: Store) -> list[tuple[object, ...]]:
    with store.read() as connection:
        query = (
            "SELECT models.name, requests, cost_nano, byok_cost_nano FROM usage_stats "
            "JOIN models ON models.id = model_id ORDER BY 1"
        )
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def row(model: str, cost: str = "1", requests: int | None = 1, byok: str | None = None) -> UsageRow:
    made = usage_row(TODAY, model, requests=requests, cost=cost)
    return made._replace(byok_cost_usd=None if byok is None else Decimal(byok))


def test_a_model_that_is_alone_gets_its_plain_name(store: Store) -> None:
    add_key(store)
    write(store, usage_answer(row(DATED)))
    learn(store, **{DATED: PLAIN})
    assert rows(store) == [(PLAIN, 1, 10**9, None)]


def test_rows_of_both_names_become_one(store: Store) -> None:
    add_key(store)
    write(store, usage_answer(row(DATED, "1", 2), row(PLAIN, "3", 4)))
    learn(store, **{DATED: PLAIN})
    assert rows(store) == [(PLAIN, 6, 4 * 10**9, None)]
    assert DATED not in {name for _, name in dump(store, "models")}


def test_a_count_that_one_of_the_names_does_not_tell_is_unknown_and_money_adds_up(store: Store) -> None:
    add_key(store)
    write(store, usage_answer(row(DATED, "1", None, byok="5"), row(PLAIN, "3", 4)))
    learn(store, **{DATED: PLAIN})
    assert rows(store) == [(PLAIN, None, 4 * 10**9, 5 * 10**9)]


def test_monthly_totals_merge_too(store: Store) -> None:
    add_key(store)
    write(store, usage_answer(row(DATED, "1"), row(PLAIN, "3")))
    with store.write() as connection:
        remove_day(connection, TODAY)
    learn(store, **{DATED: PLAIN})
    assert scalar(store, "SELECT count(*) FROM usage_months") == 1
    assert scalar(store, "SELECT sum(cost_nano) FROM usage_months") == 4 * 10**9


def test_what_was_learned_is_changed_only_from_a_variant_to_the_plain_name(store: Store) -> None:
    assert learn(store, a="b:free") == {"a": "b:free"}
    assert learn(store, a="b") == {"a": "b"}
    assert learn(store, a="c") == {"a": "b"}
    assert learn(store, a="b:free") == {"a": "b"}


def test_a_name_that_is_its_own_changes_nothing(store: Store) -> None:
    add_key(store)
    write(store, usage_answer(row(PLAIN)))
    learn(store, **{PLAIN: PLAIN})
    assert rows(store) == [(PLAIN, 1, 10**9, None)]


def test_nothing_learned_writes_nothing(store: Store) -> None:
    assert learn(store) == {}


NAMES = st.sampled_from("abcd")


@given(
    st.lists(st.tuples(NAMES, st.integers(0, 9)), max_size=6, unique_by=lambda each: each[0]),
    st.lists(st.dictionaries(NAMES, NAMES, max_size=4), max_size=4),
)
@settings(max_examples=50)
def test_whatever_is_learned_in_any_order_no_dollar_is_lost(
    tmp_path_factory: pytest.TempPathFactory,
    new_database: Path,
    used: list[tuple[str, int]],
    lessons: list[dict[str, str]],
) -> None:
    path = shutil.copy(new_database, tmp_path_factory.mktemp("names"))
    store = open_store(f"sqlite:///{path}", NOW)
    try:
        add_key(store)
        if used:
            write(store, usage_answer(*(row(name, str(cost)) for name, cost in used)))
        for lesson in lessons:
            learn(store, **lesson)
        assert sum(each[2] for each in rows(store)) == sum(cost for _, cost in used) * 10**9
    finally:
        store.close()
