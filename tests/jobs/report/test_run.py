"""Report: every way to break the ledger down, and what it says where it knows nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import NO_USE, Dimension, Totals
from orwatch.errors import UsageError
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.key.selection import key_labels
from orwatch.jobs.report import run as report_job
from orwatch.jobs.report.result import ReportResult, ReportTable
from orwatch.jobs.report.run import ReportRequest
from orwatch.secrets import Keyring
from orwatch.store.engine.database import Store, open_store
from orwatch.store.keys import table as stored_keys
from tests.jobs.support import ENCRYPTION_KEY, add_key, days_ago, spend
from tests.store.support import on_each_engine, write
from tests.support import NOW, TODAY, usage_answer, usage_row

pytestmark = on_each_engine

DAY, WEEK, MONTH = Dimension.DAY, Dimension.WEEK, Dimension.MONTH
MODEL, PROVIDER, KEY = Dimension.MODEL, Dimension.PROVIDER, Dimension.KEY
SINCE = days_ago(9)

COMBINATIONS = [by for size in (1, 2, 3) for by in combinations(Dimension, size)]


@pytest.fixture(autouse=True)
def filled(store: Store) -> None:
    """Two keys, three models, two providers and four days of ten, one of them read without use."""
    first, second = add_key(store, "first"), add_key(store, "second")
    write(
        store,
        usage_answer(
            usage_row(days_ago(8), "openai/gpt", cost="1"),
            usage_row(TODAY, "openai/gpt", cost="4"),
            usage_row(TODAY, "openai/mini", provider="azure", cost="0.5"),
        ),
        first.id,
    )
    write(store, usage_answer(usage_row(days_ago(1), "meta/llama", cost="1e-9", requests=None)), second.id)


def run(store: Store, *by: Dimension, **others: Any) -> ReportResult:
    request: dict[str, Any] = {"since": SINCE, "until": TODAY, "by": by, **others}
    return report_job.run(store, ReportRequest(**request))


def costs(table: ReportTable) -> dict[tuple[str | None, ...], str | None]:
    return {
        row.values: None if row.totals.cost_usd is None else f"{row.totals.cost_usd:f}" for row in table.rows
    }


def sum_of(table: ReportTable) -> Totals:
    total = table.others or Totals()
    for row in table.rows:
        total += row.totals
    return total


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (MODEL, {"openai/gpt": "5", "openai/mini": "0.5", "meta/llama": "0.000000001"}),
        (PROVIDER, {None: "5.000000001", "azure": "0.5"}),
        (KEY, {"first": "5.5", "second": "0.000000001"}),
        (MONTH, {"2026-11": "5.500000001"}),
        (WEEK, {"2026-11-09": "1", "2026-11-16": "4.500000001"}),
    ],
)
def test_the_ledger_is_broken_down_by_one_dimension(
    store: Store, by: Dimension, expected: dict[str | None, str]
) -> None:
    assert costs(run(store, by).table) == {(value,): cost for value, cost in expected.items()}


def test_by_day_every_day_of_the_window_has_a_row(store: Store) -> None:
    table = run(store, DAY).table

    assert [row.values[0] for row in table.rows] == [str(days_ago(age)) for age in range(9, -1, -1)]


def test_a_day_without_use_is_zero_where_a_sync_looked_and_unknown_where_none_did(store: Store) -> None:
    rows = {row.values[0]: row.totals for row in run(store, DAY).table.rows}

    assert rows[str(days_ago(9))] == Totals()  # before anybody looked
    assert rows[str(days_ago(8))].cost_usd == 1
    assert rows[str(days_ago(5))] == NO_USE
    assert rows[str(TODAY)].cost_usd == Decimal("4.5")


def test_byok_of_a_day_without_use_is_zero_where_a_source_reports_it(store: Store) -> None:
    for source, day in ((UsageSource.ANALYTICS, 5), (UsageSource.USAGE, 4)):
        write(store, replace(usage_answer(since=days_ago(day), until=days_ago(day)), source=source), 2)

    def byok(*by: Dimension, **others: Any) -> dict[str | None, Decimal | None]:
        table = run(store, *by, key_names=("second",), **others).table
        return {row.values[0]: row.totals.byok_cost_usd for row in table.rows} | {
            "total": table.totals.byok_cost_usd
        }

    found = byok(DAY, since=days_ago(6), until=days_ago(4))
    assert found == {str(days_ago(6)): None, str(days_ago(5)): 0, str(days_ago(4)): None, "total": 0}
    assert byok(WEEK, since=days_ago(5), until=days_ago(5)) == {"2026-11-09": 0, "total": 0}
    assert byok(MODEL, since=days_ago(5), until=days_ago(5)) == {"total": 0}
    assert byok(MODEL, since=days_ago(4), until=days_ago(4)) == {"total": None}


def test_days_are_unknown_for_a_key_that_was_not_asked_then(store: Store) -> None:
    rows = {row.values[0]: row.totals for row in run(store, DAY, key_names=("second",)).table.rows}

    assert rows[str(days_ago(5))] == Totals()
    assert rows[str(days_ago(1))].cost_usd == Decimal("1e-9")
    assert rows[str(TODAY)] == Totals()


def test_days_that_have_not_come_are_unknown(store: Store) -> None:
    write(store, usage_answer(since=TODAY, until=TODAY + timedelta(days=9)))

    table = run(store, DAY, until=TODAY + timedelta(days=1)).table

    assert table.rows[-1].totals == Totals()


def test_a_window_without_use_totals_zero_where_a_sync_looked_and_unknown_where_none_did(
    store: Store,
) -> None:
    assert run(store, MODEL, since=days_ago(5), until=days_ago(4)).table.totals == NO_USE
    assert run(store, MODEL, since=days_ago(50), until=days_ago(40)).table.totals == Totals()


def test_weeks_begin_on_monday_and_unknown_ones_are_shown(store: Store) -> None:
    rows = {row.values[0]: row.totals for row in run(store, WEEK, since=date(2026, 10, 28)).table.rows}

    assert list(rows) == ["2026-10-26", "2026-11-02", "2026-11-09", "2026-11-16"]
    assert rows["2026-11-02"] == Totals()


def test_totals_are_the_sum_of_the_rows_whatever_they_are_broken_down_by(store: Store) -> None:
    for by in COMBINATIONS:
        table = run(store, *by).table

        assert table.by == by
        assert all(len(row.values) == len(by) for row in table.rows), by
        assert len({row.values for row in table.rows}) == len(table.rows), by
        assert table.totals == sum_of(table), by
        assert table.totals == Totals(15, 200, 500, Decimal("5.500000001"), Decimal("5.5")), by


@pytest.mark.parametrize(
    "by", [(DAY, KEY), (KEY, MODEL), (WEEK, PROVIDER), (MONTH, KEY, MODEL)], ids="-".join
)
def test_a_cut_off_table_totals_everything_and_adds_the_rest_up_as_others(
    store: Store, by: tuple[Dimension, ...]
) -> None:
    whole = run(store, *by, sort="cost").table

    cut = run(store, *by, top=1).table

    assert cut.rows == whole.rows[:1]
    assert cut.others_count == len(whole.rows) - 1 > 0
    assert cut.totals == whole.totals == sum_of(cut)


def test_a_table_that_is_short_enough_has_no_others(store: Store) -> None:
    table = run(store, MODEL, top=3).table

    assert (len(table.rows), table.others, table.others_count) == (3, None, 0)


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("cost", "openai/gpt"),
        ("model", "meta/llama"),
        ("requests", "openai/gpt"),
        ("tokens_input", "openai/gpt"),
        (None, "openai/gpt"),
    ],
)
def test_rows_come_in_the_order_that_was_asked_for(store: Store, sort: str | None, first: str) -> None:
    assert run(store, MODEL, sort=sort).table.rows[0].values == (first,)


@pytest.mark.parametrize("sort", ["key", "price", ""])
def test_a_column_that_is_not_shown_cannot_be_sorted_by(store: Store, sort: str) -> None:
    with pytest.raises(UsageError) as refused:
        run(store, MODEL, sort=sort)

    assert str(refused.value) == (
        f"cannot sort by {sort!r}: the columns are model, requests, tokens_input, tokens_output, cost, "
        "byok_cost."
    )


def test_only_the_named_keys_count(store: Store) -> None:
    assert costs(run(store, KEY, key_names=("second",)).table) == {("second",): "0.000000001"}
    with pytest.raises(UsageError, match="Did you mean 'second'"):
        run(store, KEY, key_names=("secnd",))


@pytest.mark.parametrize(
    ("globs", "models"),
    [
        (("openai/*",), {"openai/gpt", "openai/mini"}),
        (("*/llama", "*mini"), {"meta/llama", "openai/mini"}),
        (("OPENAI/*", "openai/gp?"), {"openai/gpt"}),
        (("openai/[gm]*", "openai/gpt"), {"openai/gpt", "openai/mini"}),
    ],
)
def test_only_models_that_match_count(store: Store, globs: tuple[str, ...], models: set[str]) -> None:
    result = run(store, MODEL, model_globs=globs)

    assert {row.values[0] for row in result.table.rows} == models
    near = "no model in the database matches OPENAI/*; the nearest: openai/gpt, openai/mini"
    assert result.notes == ((near,) if "OPENAI/*" in globs else ())


def test_a_pattern_that_matches_nothing_says_so(store: Store) -> None:
    result = run(store, MODEL, model_globs=("nobody/*", "nothing"))

    assert result.table.rows == ()
    assert not result.has_models
    assert run(store, MODEL, model_globs=("nobody/*", "openai/*")).has_models
    assert result.notes == (
        "no model in the database matches nobody/*",
        "no model in the database matches nothing",
    )


def test_usage_without_a_model_has_a_row_of_its_own_that_no_pattern_matches(store: Store) -> None:
    spend(store, (days_ago(3), None, "7"))

    assert costs(run(store, MODEL).table)[(None,)] == "7"
    assert (None,) not in costs(run(store, MODEL, model_globs=("*",)).table)


def test_the_bare_report_is_by_day_with_the_top_models_and_keys_beneath(store: Store) -> None:
    spend(store, *((days_ago(2), f"maker/{number}", str(number)) for number in range(1, 7)), key_id=2)

    result = run(store)

    assert result.table.by == (DAY,)
    models, keys = result.top_tables
    assert (models.by, keys.by) == ((MODEL,), (KEY,))
    assert [row.values[0] for row in models.rows] == [
        "maker/6",
        "maker/5",
        "openai/gpt",
        "maker/4",
        "maker/3",
    ]
    assert models.others_count == 4
    assert models.totals == keys.totals == result.table.totals
    assert costs(keys) == {("second",): "21.000000001", ("first",): "5.5"}


def test_the_bare_report_of_a_window_without_use_has_nothing_beneath(store: Store) -> None:
    assert run(store, since=days_ago(60), until=days_ago(50)).top_tables == ()


def test_without_a_first_day_the_report_begins_where_anything_is_known(store: Store) -> None:
    result = run(store, MODEL, since=None)

    assert (result.since, result.until) == (days_ago(8), TODAY)


def test_a_report_of_an_empty_database_is_of_its_last_day(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/empty.db", NOW)
    result = run(store, DAY, since=None)
    store.close()

    assert (result.since, result.until) == (TODAY, TODAY)
    assert [(row.values, row.totals) for row in result.table.rows] == [((str(TODAY),), Totals())]


def test_a_window_that_ends_before_it_begins_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match=r"would end \(2026-11-10\) before it begins \(2026-11-11\)"):
        run(store, DAY, since=days_ago(9), until=days_ago(10))


def test_a_removed_key_keeps_its_history_under_a_name_that_says_so(store: Store) -> None:
    key_jobs.remove(store, "first", NOW, with_history=False)

    assert costs(run(store, KEY).table) == {("first (removed)",): "5.5", ("second",): "0.000000001"}
    assert costs(run(store, KEY, key_names=("first",)).table) == {("first (removed)",): "5.5"}


def test_a_removed_key_is_reported_alone_by_what_it_is_shown_as(store: Store) -> None:
    key_jobs.remove(store, "first", NOW, with_history=False)
    key_jobs.add(store, Keyring([ENCRYPTION_KEY]), "first", f"sk-or-v1-{1:030}", None, NOW)
    spend(store, (TODAY, "a", "2"), key_id=3)

    assert costs(run(store, KEY, key_names=("first (removed)",)).table) == {("first (removed)",): "5.5"}
    with pytest.raises(UsageError, match="there is no key named 'second \\(removed\\)'"):
        run(store, KEY, key_names=("second (removed)",))


def test_keys_of_one_name_are_kept_apart(store: Store) -> None:
    for number in range(3):
        if number:
            key_jobs.add(store, Keyring([ENCRYPTION_KEY]), "first", f"sk-or-v1-{number:030}", None, NOW)
            spend(store, (TODAY, "a", str(number)), key_id=2 + number)
        if number < 2:
            key_jobs.remove(store, "first", NOW, with_history=False)

    table = run(store, KEY, key_names=("first",)).table

    assert costs(table) == {
        ("first (removed)",): "5.5",
        ("first (removed) #3",): "1",
        ("first",): "2",
    }


@pytest.mark.parametrize("name", ["first (removed)", "first (removed) #3"])
def test_a_watched_key_keeps_its_name_whatever_the_removed_ones_are_called(store: Store, name: str) -> None:
    key_jobs.remove(store, "first", NOW, with_history=False)
    key_jobs.add(store, Keyring([ENCRYPTION_KEY]), "first", f"sk-or-v1-{1:030}", None, NOW)
    key_jobs.remove(store, "first", NOW, with_history=False)
    key_jobs.rename(store, "second", name)

    with store.read() as connection:
        labels = key_labels(stored_keys.list_keys(connection, with_removed=True))

    assert len(set(labels.values())) == 3
    assert labels[2] == name


def test_it_knows_whether_there_is_a_key_to_sync(store: Store) -> None:
    assert run(store, MODEL).has_keys
    for name in ("first", "second"):
        key_jobs.remove(store, name, NOW, with_history=False)
    assert not run(store, MODEL).has_keys
