"""What days a forecast goes by, and whose: the forecast itself is a matter of the domain."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from orwatch.domain.days import days_between
from orwatch.domain.usage import Dimension, UsageSpan
from orwatch.jobs.report.daily import Cover
from orwatch.jobs.report.forecast import daily_history, month_forecast
from orwatch.jobs.report.result import ReportResult
from orwatch.jobs.status import run as status_job
from orwatch.store.engine.database import Store
from orwatch.store.ledger import retention, spans
from tests.jobs.report.test_run import run
from tests.jobs.support import add_key, days_ago, spend
from tests.jobs.sync.account_support import add_owner, list_under, listed, note_credits, note_spent
from tests.store.support import get_key, write
from tests.support import NOW, TODAY, usage_answer


def history(store: Store, **which: frozenset[int]) -> dict[date, Decimal]:
    with store.read() as connection:
        return daily_history(connection, TODAY, Cover(**which))


def spend_daily(store: Store, days: int, cost: str = "10", key_id: int = 1, model: str = "m") -> None:
    spend(store, *((days_ago(ago), model, cost) for ago in range(1, days + 1)), key_id=key_id)


@pytest.fixture(autouse=True)
def _work(store: Store) -> None:
    add_key(store)


def test_a_day_that_nobody_read_is_unknown_one_without_use_is_zero_and_today_is_left_out(
    store: Store,
) -> None:
    spend(store, (days_ago(3), "m", "1.5"), (TODAY, "m", "7"))
    write(store, usage_answer(since=days_ago(9), until=days_ago(8)))
    spend(store, (days_ago(57), "m", "1"))

    assert history(store) == {days_ago(9): 0, days_ago(8): 0} | {
        day: Decimal("1.5") * (day == days_ago(3)) for day in days_between(days_ago(3), days_ago(1))
    }


def test_the_days_of_a_sum_of_several_are_unknown(store: Store) -> None:
    spend_daily(store, 2)
    spend(store, (days_ago(4), "m", "1"))
    with store.write() as connection:
        spans.write_span(connection, 1, UsageSpan(days_ago(6), days_ago(3), Decimal(8)), set())

    assert history(store) == {days_ago(2): 10, days_ago(1): 10}
    assert history(store, model_ids=frozenset({1})) == history(store)


def test_a_day_with_usage_of_no_known_model_says_nothing_of_models(store: Store) -> None:
    spend(store, (days_ago(2), "m", "1"), (days_ago(1), "m", "1"), (days_ago(1), None, "1"))

    assert history(store, model_ids=frozenset({1})) == {days_ago(2): 1}


def test_days_that_cleanup_has_removed_are_unknown(store: Store) -> None:
    spend_daily(store, 10)
    with store.write() as connection:
        retention.remove_day(connection, days_ago(10))
        retention.raise_watermark(connection, days_ago(4))

    assert len(history(store)) == 4


def test_of_a_listed_key_those_days_are_known_that_its_account_was_read_on(store: Store) -> None:
    owner = add_owner(store)
    list_under(store, owner, listed("ci"))
    note_spent(store, "ci", "3", days=2)
    write(store, usage_answer(since=days_ago(5), until=days_ago(4)), owner.id)

    assert history(store, key_ids=frozenset({get_key(store, "ci").id})) == {
        days_ago(5): 0,
        days_ago(4): 0,
        days_ago(2): 3,
    }


def course_of(result: ReportResult) -> tuple[Decimal, Decimal] | None:
    return (
        None
        if result.course is None
        else (result.course.spent_usd, round(result.course.forecast.expected_usd))
    )


def test_a_report_says_where_the_month_ends_if_it_shows_all_of_it_so_far(store: Store) -> None:
    add_key(store, "other")
    spend_daily(store, 40)
    spend_daily(store, 40, "2", key_id=2, model="cheap")
    first = TODAY.replace(day=1)

    # Half a day of today, and ten more.
    assert course_of(run(store, since=first, now=NOW)) == (228, 354)
    assert course_of(run(store, since=days_ago(30), now=NOW)) == (228, 354)
    assert course_of(run(store, Dimension.KEY, since=first, now=NOW, key_names=("other",))) == (38, 59)
    assert course_of(run(store, since=first, now=NOW, model_globs=("m",))) == (190, 295)
    for window in ({"since": first + timedelta(days=1)}, {"since": first, "until": days_ago(1)}):
        assert run(store, now=NOW, **window).course is None
    assert run(store, since=first).course is None


def test_nothing_is_said_before_seven_days_are_known(store: Store) -> None:
    spend_daily(store, 6)

    with store.read() as connection:
        assert month_forecast(connection, NOW) is None
    assert status_job.run(store, NOW).course is None


def test_status_says_where_the_month_ends_and_how_long_each_balance_lasts(store: Store) -> None:
    owner = add_owner(store)
    list_under(store, owner, listed("ci"))
    ci = get_key(store, "ci").id
    spend_daily(store, 40, "5", key_id=ci)
    spend_daily(store, 40, "90")  # another account's
    note_credits(store, owner, "100", "72")

    result = status_job.run(store, NOW)

    assert result.course is not None
    assert result.course.spent_usd == 19 * 95
    (account,) = result.accounts
    assert account.lasting is not None
    assert (account.lasting.days, account.lasting.until) == (5, TODAY + timedelta(days=6))
