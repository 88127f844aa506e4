"""Report, after cleanup has moved the days before 2026-11-13 to the monthly totals."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from orwatch.domain.usage import Dimension
from orwatch.jobs.cleanup import run as cleanup_job
from orwatch.store.engine.database import Store
from tests.jobs.report.test_run import COMBINATIONS, DAY, KEY, MODEL, MONTH, PROVIDER, WEEK, costs, run
from tests.jobs.report.test_run import filled as filled
from tests.jobs.support import spend
from tests.store.support import on_each_engine
from tests.support import TODAY, FakeClock

pytestmark = on_each_engine


@pytest.fixture
def cleaned(store: Store, clock: FakeClock) -> Store:
    spend(
        store,
        (date(2026, 8, 31), "meta/llama", "10"),
        (date(2026, 10, 1), "openai/gpt", "20"),
        (date(2026, 10, 31), "openai/mini", "30"),
        (date(2026, 11, 2), "openai/gpt", "40"),
    )
    cleanup_job.run(store, 7, clock)
    return store


def test_months_reach_back_through_the_monthly_totals(cleaned: Store) -> None:
    result = run(cleaned, MONTH, since=None)

    assert result.since == date(2026, 8, 1)
    assert costs(result.table) == {
        ("2026-08",): "10",
        ("2026-09",): None,
        ("2026-10",): "50",
        ("2026-11",): "45.500000001",
    }
    assert result.notes == ()


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (MODEL, {"openai/gpt": "65", "openai/mini": "30.5", "meta/llama": "10.000000001"}),
        (PROVIDER, {None: "105.000000001", "azure": "0.5"}),
        (KEY, {"first": "105.5", "second": "0.000000001"}),
    ],
)
def test_what_cleanup_moved_counts_in_every_breakdown_without_days(
    cleaned: Store, by: Dimension, expected: dict[str | None, str]
) -> None:
    result = run(cleaned, by, since=None)

    assert costs(result.table) == {(value,): cost for value, cost in expected.items()}
    assert result.notes == ()


def test_a_report_by_model_after_everything_went_to_the_months_still_has_all(
    cleaned: Store, clock: FakeClock
) -> None:
    clock.advance(days=100)
    cleanup_job.run(cleaned, 7, clock)

    result = run(cleaned, MODEL, since=None, until=clock.now().date())

    assert result.table.totals.cost_usd == Decimal("105.500000001")
    assert len(result.table.rows) == 3


@pytest.mark.parametrize(
    ("since", "until", "cost", "leaves_some_out"),
    [
        (date(2026, 10, 1), date(2026, 10, 31), "50", False),
        (date(2026, 10, 1), date(2026, 10, 30), None, True),  # October's total holds the 31st
        (date(2026, 10, 2), date(2026, 10, 31), None, True),  # and the 1st
        (date(2026, 9, 2), date(2026, 10, 31), "50", False),  # nothing is known of September
        (date(2026, 8, 2), date(2026, 10, 31), "50", True),
        (date(2026, 11, 1), date(2026, 11, 12), None, True),  # November's total holds today
        (date(2026, 11, 1), date(2026, 11, 19), "0.000000001", True),
        (date(2026, 10, 1), date(2026, 11, 11), "50", True),
        (date(2026, 11, 1), TODAY, "45.500000001", False),
        (date(2026, 11, 2), TODAY, "4.500000001", True),
        (date(2026, 11, 13), TODAY, "4.500000001", False),
    ],
)
def test_a_monthly_total_counts_only_where_the_window_holds_all_its_days_and_a_note_says_otherwise(
    cleaned: Store, since: date, until: date, cost: str | None, leaves_some_out: bool
) -> None:
    result = run(cleaned, MODEL, since=since, until=until)

    total = result.table.totals.cost_usd
    assert (f"{total:f}" if total else None) == cost
    assert result.notes == (
        ("days before 2026-11-13 are kept as monthly totals: only whole months of them can be shown",)
        if leaves_some_out
        else ()
    )


@pytest.mark.parametrize("by", [MONTH, MODEL, KEY])
def test_a_month_of_which_cleanup_has_left_no_day_is_shown(
    store: Store, clock: FakeClock, by: Dimension
) -> None:
    before = run(store, by, since=date(2026, 11, 1)).table.totals.cost_usd
    clock.advance(days=5)
    cleanup_job.run(store, 1, clock)
    assert run(store, DAY, since=None).table.totals.cost_usd is None

    whole = run(store, by, since=date(2026, 11, 1), until=clock.now().date())
    cut = run(store, by, since=date(2026, 11, 1), until=date(2026, 11, 16))

    assert (whole.table.totals.cost_usd, whole.notes) == (before, ())
    assert cut.table.totals.cost_usd is None
    assert cut.notes == (
        "days before 2026-11-24 are kept as monthly totals: only whole months of them can be shown",
    )


@pytest.mark.parametrize("by", [(), (DAY,), (WEEK,), (DAY, MODEL), (MONTH, WEEK)], ids="-".join)
def test_where_days_are_needed_the_months_are_left_out_and_a_note_says_where_they_are(
    cleaned: Store, by: tuple[Dimension, ...]
) -> None:
    result = run(cleaned, *by, since=date(2026, 10, 1))

    assert result.table.totals.cost_usd == Decimal("4.500000001")
    assert result.notes == ("days before 2026-11-13 are kept as monthly totals: --by month shows them",)


def test_no_note_tells_of_months_that_the_filter_leaves_out_anyway(cleaned: Store) -> None:
    assert run(cleaned, DAY, since=None, key_names=("second",)).notes == ()
    assert run(cleaned, DAY, since=None, model_globs=("openai/*",)).notes != ()


def test_what_stands_beneath_the_bare_report_adds_up_to_it_after_a_cleanup_too(cleaned: Store) -> None:
    result = run(cleaned, since=date(2026, 10, 1))

    assert [table.totals for table in result.top_tables] == [result.table.totals] * 2


def test_cleanup_changes_no_total(store: Store, clock: FakeClock) -> None:
    spend(store, (date(2026, 8, 31), "meta/llama", "10"))
    spend(store, (date(2026, 11, 2), "openai/gpt", "0.000000001"))
    since = date(2026, 8, 1)
    combinations = [by for by in COMBINATIONS if not {DAY, WEEK} & set(by)]
    before = [run(store, *by, since=since).table for by in combinations]

    cleanup_job.run(store, 1, clock)

    assert [run(store, *by, since=since).table for by in combinations] == before
