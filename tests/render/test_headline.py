"""What a report on a terminal begins with, and how short its numbers and names are."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from orwatch.domain.forecast import Forecast
from orwatch.domain.usage import Dimension
from orwatch.jobs.report.result import Change, Days, MonthCourse, ReportResult
from orwatch.render.report import view
from orwatch.render.report_table import short_names
from tests.render.support import (
    HOSTILE_NAME,
    INERT_NAME,
    WIDTHS,
    rendered,
    report,
    report_table,
    totals,
    widest_line,
)

MODELS = report_table(
    [
        (["openai/gpt-4.1"], totals("90", 123_456, 458_512_345)),
        (["azure/gpt-4.1"], totals("6.5")),
        (["meta/llama"], totals("3.5")),
        ([HOSTILE_NAME], totals("0.5")),
    ],
    top=2,
)
DAYS = report_table([(["2026-11-20"], totals("100.5"))], by=(Dimension.DAY,))
EARLIER = Days(date(2026, 10, 13), date(2026, 10, 31))
COSTS = tuple(
    Decimal(cost) if cost else None for cost in [*["", "0", "0.01", "5", "", "10"], *["0"] * 13, ""]
)
RESULT = replace(
    report(DAYS, MODELS),
    course=MonthCourse(Decimal("125.25"), Forecast(Decimal(179), Decimal(164), Decimal(196), False)),
    change=Change(Days(date(2026, 11, 1), date(2026, 11, 19)), Decimal(112), EARLIER, Decimal(100)),
    day_costs=COSTS,
)


def screen(result: ReportResult = RESULT, width: int = 80, **options: bool) -> list[str]:
    text = rendered(view(result, for_screen=True, **options), width)
    return [line.rstrip() for line in text.splitlines()]


def test_the_story_comes_first_and_the_table_follows() -> None:
    lines = screen()
    assert lines[:6] == [
        "2026-11-01 to 2026-11-20 · 20 days (UTC)",
        "Total $100.50 · This month: $125.25 so far, on course for $179 (164 to 196)",
        "19 whole days: $112.00, up 12.0% from $100.00 in the 19 days before",
        "▁▂▅ █▁▁▁▁▁▁▁▁▁▁▁▁▁  up to $10.00 a day from 2026-11-02",
        "",
        "Top models      Requests  Tokens in  Tokens out    Cost  Share",
    ]
    assert lines[7].split()[:4] == ["openai/gpt-4.1", "123.5k", "458.5M", "458.5M"]
    assert [line.split()[0] for line in lines[11:12]] == ["Day"]
    # The table of the days has room for what the other one leaves out.
    assert lines[-1] == "Others: 2 models."


@pytest.mark.parametrize(
    ("changes", "second_line"),
    [
        ({"course": None}, "Total $100.50"),
        ({"course": None, "known_days": 2}, "Total $100.50 (2 of 20 days known)"),
        ({"course": None, "known_days": 20}, "Total $100.50"),
    ],
)
def test_a_total_of_a_few_days_says_so(changes: dict[str, object], second_line: str) -> None:
    assert screen(replace(RESULT, **changes))[1] == second_line  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("until", "before", "after", "said"),
    [
        (20, "5", "4.5", "20 days: $4.50, down 10.0% from $5.00 in the 20 days before"),
        (20, "5", "5", "20 days: $5.00, as much as $5.00 in the 20 days before"),
        (20, "0", "5", "20 days: $5.00, up from $0.00 in the 20 days before"),
        (1, "1000", "1000.01", "1 whole day: $1,000.01, up <0.1% from $1,000.00 in the 1 day before"),
    ],
)
def test_the_change_is_told_in_words(until: int, before: str, after: str, said: str) -> None:
    days = Days(date(2026, 11, 1), date(2026, 11, until))
    assert screen(replace(RESULT, change=Change(days, Decimal(after), EARLIER, Decimal(before))))[2] == said


@pytest.mark.parametrize("costs", [(), (None,) * 20, (Decimal(0),) * 20, (Decimal(1), None)])
def test_where_there_is_nothing_to_see_no_line_of_days_stands(costs: tuple[Decimal | None, ...]) -> None:
    assert not set("▁▂▃▄▅▆▇") & set("".join(screen(replace(RESULT, day_costs=costs), 72)))


def test_where_days_outnumber_the_blocks_each_is_the_mean_of_several_known_ones() -> None:
    costs = (Decimal(1), None, *[Decimal(4)] * 60)
    assert screen(replace(RESULT, day_costs=costs))[3] == "▃" + "█" * 30 + "  up to $4.00 a day, 2 days each"


def test_what_has_no_room_is_named() -> None:
    assert screen(width=60)[-1] == "Left out at 60 columns: $/req, Share. Others: 2 models."


def test_exact_has_all_digits_and_whole_names() -> None:
    text = "\n".join(screen(is_exact=True, width=120))
    assert "458,512,345" in text
    assert "openai/gpt-4.1" in text
    assert "k " not in text


def test_columns_stand_in_the_order_of_asking_and_what_no_source_reports_is_a_dash() -> None:
    sums = replace(
        totals("1.5"), tokens_reasoning=7_000_000, tokens_cached_of_input=1, tokens_input_with_cached=3
    )
    table = report_table([(["a/m"], sums), (["a/n"], totals(None))])
    asked = ("tokens_reasoning", "cache_rate", "byok_cost")
    lines = screen(report(table, columns=asked))
    assert [[cell for cell in line.split() if "█" not in cell] for line in lines[3:]] == [
        ["Model", "Reasoning", "Cache", "rate", "BYOK"],
        [*lines[4].split()],
        ["m", "7.0M", "33.3%", "–"],
        ["n", "–", "–", "–"],
        [*lines[4].split()],
        ["Total", "7.0M", "33.3%", "–"],
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_is_wider_than_the_screen_and_no_name_is_obeyed(width: int) -> None:
    hostile = report_table([([HOSTILE_NAME], totals("9")), (["a/b"], totals("1"))])
    text = "\n".join(screen(replace(RESULT, table=hostile), width))
    assert widest_line(text) <= width
    assert "\x1b" not in text
    assert width < 120 or INERT_NAME.partition("/")[2] in text


def test_a_screen_without_unicode_has_days_of_ascii() -> None:
    text = rendered(view(RESULT, for_screen=True), encoding="ascii")
    assert "_.= #____" in text


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["openai/gpt", "meta/llama"], ["gpt", "llama"]),
        (["openai/gpt", "azure/gpt", "meta/llama"], ["openai/gpt", "azure/gpt", "llama"]),
        (["openai/gpt", "gpt"], ["openai/gpt", "gpt"]),
        (["a/b/c", "maker/", "plain"], ["b/c", "maker/", "plain"]),
        (["a/x\x1b", "b/x\x07"], ["a/x\x1b", "b/x\x07"]),
    ],
)
def test_a_model_goes_without_its_maker_where_that_is_unique(names: list[str], shown: list[str]) -> None:
    short = short_names(names)
    assert [short[name] for name in names] == shown
