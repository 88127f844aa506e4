"""A forecast in a few words."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from orwatch.domain.forecast import Forecast
from orwatch.domain.usage import Dimension
from orwatch.jobs.report.result import MonthCourse
from orwatch.render.forecast import on_course, short_day
from orwatch.render.report import view
from tests.render.support import rendered, report, report_table, totals


@pytest.mark.parametrize(
    ("figures", "is_rough", "text"),
    [
        (("212.4", "179.6", "1250"), False, "on course for $212 (180 to 1,250)"),
        (("212.4", "179.6", "250"), True, "on course for about $212 (180 to 250)"),
        (("9.5", "4", "12.345"), False, "on course for $9.50 (4.00 to 12.35)"),
        (("0", "0", "0"), False, "on course for $0.00"),
    ],
)
def test_a_forecast_says_no_more_than_it_knows(
    figures: tuple[str, str, str], is_rough: bool, text: str
) -> None:
    assert on_course(Forecast(*map(Decimal, figures), is_rough)) == text


def test_a_day_has_its_year_where_that_is_another() -> None:
    today = date(2026, 11, 20)

    assert [short_day(day, today) for day in (date(2026, 12, 9), date(2027, 1, 2))] == ["9 Dec", "2 Jan 2027"]


def test_a_report_says_under_its_total_where_the_month_will_end() -> None:
    course = MonthCourse(Decimal("142.1"), Forecast(Decimal(212), Decimal(180), Decimal(250), is_rough=False))
    table = report_table([(["2026-11-20"], totals("142.1"))], by=(Dimension.DAY,))
    lines = rendered(view(report(table, course=course, notes=("n",)))).splitlines()

    assert lines[-3].startswith("Total ")
    assert lines[-2:] == ["This month: $142.10 so far, on course for $212 (180 to 250)", "Note: n"]
