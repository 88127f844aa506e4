"""The plain names of models, and rows that get them late."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orwatch.domain.alerts.model import UsedModel
from orwatch.domain.usage import ListedModel, UsageRow
from orwatch.store.engine.database import Store, open_store
from orwatch.store.ledger import model_names
from orwatch.store.ledger.retention import remove_day
from tests.store.support import add_key, dump, scalar, write
from tests.support import NOW, TODAY, examples, usage_answer, usage_row

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
@settings(max_examples=examples(25))
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


# When models are to be retired.

SOON = TODAY + timedelta(days=20)


def retire(store: Store, *listed: ListedModel, names: tuple[str, ...] = ()) -> list[tuple[str, date | None]]:
    with store.write() as connection:
        model_names.record_retirements(connection, listed, NOW)
        found = model_names.retiring_models(connection, TODAY, names)
    return [(model.name, model.retires_on) for model in found]


def use(store: Store, *names: str, days_ago: int = 0) -> None:
    day = TODAY - timedelta(days=days_ago)
    write(store, usage_answer(*(row(name)._replace(day=day) for name in names)))


def test_models_in_use_are_told_with_the_day_of_their_retirement_the_next_one_first(store: Store) -> None:
    add_key(store)
    use(store, "a/late", DATED, "a/variant:free", "a/plain")
    use(store, "a/long-ago", days_ago=31)
    listed = [
        ListedModel("a/late-1", "a/late", SOON + timedelta(days=1)),
        ListedModel(DATED, PLAIN, SOON),
        ListedModel("a/variant-1:free", "a/variant:free", SOON),
        ListedModel("a/plain-1:free", "a/plain:free", SOON),
        ListedModel("a/plain-1", "a/plain"),
        ListedModel("a/long-ago", "a/long-ago", SOON),
        ListedModel("a/unused", "a/unused", SOON),
    ]

    assert retire(store, *listed) == [
        ("a/variant:free", SOON),
        (DATED, SOON),
        ("a/late", SOON + timedelta(days=1)),
    ]


def test_a_retirement_that_is_withdrawn_is_forgotten_and_one_that_is_over_stays(store: Store) -> None:
    add_key(store)
    use(store, "a/a", "b/b")
    assert len(retire(store, ListedModel("a/a", "a/a", SOON), ListedModel("b/b", "b/b", SOON))) == 2
    later = SOON + timedelta(days=9)
    assert retire(store, ListedModel("a/a", "a/a", later)) == [("b/b", SOON), ("a/a", later)]
    assert retire(store, ListedModel("a/a", "a/a")) == [("b/b", SOON)]
    assert retire(store, names=("a/a",)) == [("b/b", SOON), ("a/a", None)]


def test_a_name_that_a_retirement_told_first_is_given_to_the_rows_later(store: Store) -> None:
    add_key(store)
    use(store, DATED)
    retire(store, ListedModel(DATED, PLAIN, SOON))
    learn(store, **{DATED: PLAIN})

    assert rows(store) == [(PLAIN, 1, 10**9, None)]
    with store.read() as connection:
        assert model_names.retiring_models(connection, TODAY) == [UsedModel(PLAIN, SOON, TODAY)]


def test_the_list_is_due_once_a_day_where_models_are_in_use(store: Store) -> None:
    def is_due(hours: int) -> bool:
        with store.read() as connection:
            return model_names.is_list_due(connection, NOW + timedelta(hours=hours))

    add_key(store)
    write(store, usage_answer(usage_row(TODAY, None)))
    assert not is_due(0)
    use(store, PLAIN)
    assert is_due(0)
    retire(store)
    assert (is_due(23), is_due(24), is_due(24 * 31)) == (False, True, False)
