"""The report as tables and JSON."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orwatch.domain.usage import NO_USE, Dimension, Totals
from orwatch.jobs.report.result import Counters, Days
from orwatch.render.report import as_json, view
from tests.render.support import (
    WIDTHS,
    rendered,
    report,
    report_table,
    totals,
    widest_line,
)

DAYS = report_table(
    [
        (["2026-11-18"], totals("40.50", 1200, 3_456_789)),
        (["2026-11-19"], Totals()),
        (["2026-11-20"], NO_USE),
    ],
    by=(Dimension.DAY,),
)
LONG = report_table(
    [
        (
            ["a-key-with-quite-a-long-name", "anthropic/claude-sonnet-4.5-thinking"],
            totals("1234567.89", 10**6),
        ),
        (["ci", "深度求索/deepseek-chat-v3.1-深度求索"], totals("0.001", 3)),
    ],
    by=(Dimension.KEY, Dimension.MODEL),
)
MODELS = report_table([(["openai/gpt-4.1"], totals("30")), (["x/🚀"], totals("10.5"))])


def lines_of(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_the_title_tells_the_window_in_utc_days() -> None:
    assert rendered(view(report(DAYS))).splitlines()[0] == "2026-11-01 to 2026-11-20 · 20 days (UTC)"


def test_every_column_has_its_number_and_the_last_row_the_totals() -> None:
    lines = lines_of(rendered(view(report(DAYS)), 100))
    assert lines[2] == ["Day", "Requests", "Tokens", "in", "Tokens", "out", "Cost", "$/req", "Share"]
    assert lines[4][:7] == ["2026-11-18", "1,200", "3,456,789", "3,456,789", "$40.50", "$0.0338", "100.0%"]
    assert lines[-1] == ["Total", "1,200", "3,456,789", "3,456,789", "$40.50", "$0.0338", "100.0%"]


def test_a_day_that_nobody_looked_at_is_not_a_day_without_use() -> None:
    lines = {line[0]: line[1:] for line in lines_of(rendered(view(report(DAYS)), 100)) if line}
    assert lines["2026-11-19"] == ["–"] * 6
    assert lines["2026-11-20"] == ["0", "0", "0", "$0.00", "–", "0.0%"]


def test_a_tiny_cost_is_not_shown_as_nothing() -> None:
    text = rendered(view(report(report_table([(["m"], totals("0.000002", 1))]))), 100)
    assert "<$0.01" in text
    assert "<$0.0001" in text
    assert "$0.00 " not in text


def test_a_count_that_no_source_gives_is_a_dash() -> None:
    lines = lines_of(rendered(view(report(report_table([(["m"], totals("2", None, None))]))), 100))
    assert lines[4][:7] == ["m", "–", "–", "–", "$2.00", "–", "100.0%"]
    assert lines[-1] == ["Total", "–", "–", "–", "$2.00", "–", "100.0%"]


@given(st.lists(st.tuples(st.integers(0, 10**16), st.integers(0, 10**9)), min_size=1, max_size=8))
def test_the_total_is_the_sum_of_the_rows(rows: list[tuple[int, int]]) -> None:
    costs = [Decimal(nano).scaleb(-9) for nano, _requests in rows]
    table = report_table(
        [
            ([f"m{index}"], totals(str(cost), requests))
            for index, (cost, (_, requests)) in enumerate(zip(costs, rows, strict=True))
        ]
    )
    total = lines_of(rendered(view(report(table)), 200))[-1]
    assert total[1] == f"{sum(requests for _, requests in rows):,}"
    whole = sum(costs, Decimal(0))
    assert total[4] == f"${whole:,.2f}" or (total[4] == "<$0.01" and 0 < whole <= Decimal("0.005"))


def test_the_rows_cut_off_by_top_are_one_row_and_count_in_the_total() -> None:
    rows = [([f"model-{index}"], totals(f"{index}.00", index, index)) for index in range(1, 6)]
    lines = lines_of(rendered(view(report(report_table(rows, top=2))), 100))
    assert [line[0] for line in lines[4:6]] == ["model-5", "model-4"]
    assert lines[6] == ["3", "others", "6", "6", "6", "$6.00", "$1.0000", "40.0%"]
    assert lines[-1][:6] == ["Total", "15", "15", "15", "$15.00", "$1.0000"]


def test_others_stand_in_the_first_column_when_there_are_several() -> None:
    rows = [([f"key-{index}", "m"], totals("1")) for index in range(3)]
    table = report_table(rows, by=(Dimension.KEY, Dimension.MODEL), top=1)
    assert lines_of(rendered(view(report(table)), 100))[5][:3] == ["2", "others", "20"]


def test_the_largest_cost_has_the_longest_bar_and_others_have_none() -> None:
    rows = [([name], totals(cost)) for name, cost in (("a", "8"), ("b", "4"), ("c", "0"), ("d", "100"))]
    text = rendered(view(report(report_table([*rows[:3], (["e"], totals("0"))], top=2))), 120)
    bars = {
        line.split()[0]: line.count("█") for line in text.splitlines()[2:] if line[:1] in {"a", "b", "2", "T"}
    }
    assert bars == {"a": 24, "b": 12, "2": 0, "Total": 0}


@pytest.mark.parametrize(
    ("width", "longest", "left_out"),
    [
        (110, 24, None),
        (80, 10, None),
        (72, 11, "Left out at 72 columns: $/req."),
        (64, 11, "Left out at 64 columns: $/req, Share."),
        (60, 0, "Left out at 60 columns: $/req, Share."),
    ],
)
def test_a_bar_fills_the_room_that_is_left_and_outlives_the_price_and_the_share(
    width: int, longest: int, left_out: str | None
) -> None:
    lines = rendered(view(report(DAYS)), width).splitlines()
    assert max(line.count("█") for line in lines) == longest
    assert max(map(len, lines)) <= width
    assert next((line for line in lines if line.startswith("Left out")), None) == left_out


def test_there_is_no_bar_where_nothing_cost_anything() -> None:
    table = report_table([(["a/b:free"], totals("0"))])
    text = rendered(view(report(table)), 120)
    assert not set(text) & set("█▏▎▍▌▋▊▉#")
    assert "$0.00" in text


def test_there_is_no_bar_for_combinations() -> None:
    assert "█" not in rendered(view(report(LONG)), 200)


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1"])
def test_a_console_without_unicode_gets_lines_and_bars_of_ascii(encoding: str) -> None:
    text = rendered(view(report(DAYS)), 100, encoding=encoding)
    assert "█" not in text
    assert "─" not in text
    assert "########" in text
    assert "$40.50" in text
    assert widest_line(text) <= 100


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("table", [DAYS, LONG, MODELS], ids=["days", "keys and models", "models"])
def test_no_line_is_wider_than_the_terminal_and_no_cost_is_cut(table: object, width: int) -> None:
    result = report(table, MODELS, notes=("a note that is long enough " * 5,))  # type: ignore[arg-type]
    text = rendered(view(result), width)
    assert widest_line(text) <= width
    shown = {word for line in lines_of(text) for word in line}
    costs = [row.totals.cost_usd for row in (*result.table.rows, *MODELS.rows)]
    expected = {
        f"${cost:,.2f}" if cost != Decimal("0.001") else "<$0.01" for cost in costs if cost is not None
    }
    assert expected <= shown


def test_the_tables_beneath_have_titles_of_their_own() -> None:
    keys = report_table([(["production"], totals("40.5"))], by=(Dimension.KEY,))
    lines = rendered(view(report(DAYS, MODELS, keys))).splitlines()
    assert lines.index("Top models") < lines.index("Top keys")
    assert rendered(view(report(DAYS))).count("Top ") == 0


def test_notes_come_last() -> None:
    text = rendered(view(report(DAYS, notes=("days before 2026-11-05 are kept as monthly totals",))), 100)
    assert text.splitlines()[-1] == "Note: days before 2026-11-05 are kept as monthly totals"


@pytest.mark.parametrize(
    ("counters", "said"),
    [
        (None, ""),
        (
            Counters(date(2026, 11, 1), Decimal("47.019999990"), Decimal("1200.5"), leaves_out_usage=True),
            "; the keys' own counters say $47.02 in 2026-11 and $1,200.50 in all"
            " (usage without a listed key is not in them)",
        ),
        (
            Counters(date(2026, 11, 1), None, Decimal("0.005")),
            "; the keys' own counters say <$0.01 in all",
        ),
        (
            Counters(date(2026, 11, 1), Decimal("47.02"), None),
            "; the keys' own counters say $47.02 in 2026-11",
        ),
    ],
)
def test_a_total_of_a_few_days_says_of_how_many_and_what_the_counters_say(
    counters: Counters | None, said: str
) -> None:
    result = report(DAYS, notes=("n",), known_days=2, counters=counters)
    assert rendered(view(result), 200).splitlines()[-2:] == [
        f"Note: known: 2 of 20 days{said}",
        "Note: n",
    ]
    document = json.loads(as_json(result), parse_float=Decimal)
    assert document["known_days"] == 2
    assert document["notes"] == [f"known: 2 of 20 days{said}", "n"]
    assert document["counters"] == (
        None
        if counters is None
        else {"month": "2026-11", "of_month": counters.of_month_usd, "lifetime": counters.lifetime_usd}
    )


def test_of_days_that_are_all_known_nothing_is_said() -> None:
    assert json.loads(as_json(report(DAYS, known_days=20)))["notes"] == []
    assert "Note" not in rendered(view(report(DAYS, known_days=20)))


def test_the_title_and_json_say_what_cleanup_has_cut_of_the_window() -> None:
    parts = Days(date(2026, 11, 1), date(2026, 11, 2)), Days(date(2026, 11, 5), date(2026, 11, 5))
    result = report(DAYS, left_out=parts)
    assert rendered(view(result), 200).splitlines()[0] == (
        "2026-11-01 to 2026-11-20 · 20 days (UTC), without 2026-11-01 to 2026-11-02 and "
        "2026-11-05 to 2026-11-05"
    )
    assert json.loads(as_json(result))["left_out"] == [
        {"since": "2026-11-01", "until": "2026-11-02"},
        {"since": "2026-11-05", "until": "2026-11-05"},
    ]


def test_where_nothing_is_known_it_says_so_and_shows_no_table() -> None:
    text = rendered(
        view(report(report_table([(["2026-11-20"], Totals())], by=(Dimension.DAY,)), notes=("n",)))
    )
    assert "No usage stored for this period. `orwatch sync` fetches what OpenRouter has." in text
    assert "$" not in text
    assert text.endswith("Note: n\n")


def test_where_there_is_no_key_it_says_how_to_add_one() -> None:
    empty = report(report_table([(["2026-11-20"], Totals())], by=(Dimension.DAY,)), has_keys=False)
    text = rendered(view(empty), 100)
    assert "No usage stored for this period. Add a key: `orwatch key add NAME`." in text


def test_a_window_of_one_day_is_one_day() -> None:
    from dataclasses import replace

    result = report(DAYS)
    assert "· 1 day (UTC)" in rendered(view(replace(result, since=result.until)))


def test_an_unknown_provider_is_a_dash_and_an_empty_name_is_empty() -> None:
    table = report_table([([None], totals("2")), ([""], totals("1"))], by=(Dimension.PROVIDER,))
    lines = rendered(view(report(table)), 100).splitlines()
    assert lines[4].startswith("–  ")
    assert lines[5].startswith("   ")


def test_json_has_the_promised_members_and_exact_money() -> None:
    table = report_table(
        [(["2026-11-19"], totals("0.1", 1, 2)), (["2026-11-20"], totals("0.000000002", 3, 4))],
        by=(Dimension.DAY,),
    )
    document = json.loads(as_json(report(table, notes=("n",))), parse_float=Decimal)
    assert document == {
        "schema_version": 1,
        "since": "2026-11-01",
        "until": "2026-11-20",
        "by": ["day"],
        "rows": [
            {
                "day": "2026-11-19",
                "requests": 1,
                "tokens_input": 2,
                "tokens_output": 2,
                "cost": Decimal("0.1"),
                "byok_cost": None,
            },
            {
                "day": "2026-11-20",
                "requests": 3,
                "tokens_input": 4,
                "tokens_output": 4,
                "cost": Decimal("0.000000002"),
                "byok_cost": None,
            },
        ],
        "others": None,
        "totals": {
            "requests": 4,
            "tokens_input": 6,
            "tokens_output": 6,
            "cost": Decimal("0.100000002"),
            "byok_cost": None,
        },
        "known_days": None,
        "left_out": [],
        "counters": None,
        "month": None,
        "change": None,
        "notes": ["n"],
    }


def test_json_tells_unknown_from_zero_and_has_totals_when_there_is_nothing() -> None:
    document = json.loads(as_json(report(report_table([(["m"], Totals()), (["n"], NO_USE)]))))
    rows = {row["model"]: row for row in document["rows"]}
    assert rows["m"]["cost"] is None
    assert rows["n"]["cost"] == 0
    empty = json.loads(as_json(report(report_table([]))))
    assert empty["rows"] == []
    assert set(empty["totals"]) == {"requests", "tokens_input", "tokens_output", "cost", "byok_cost"}


@given(
    st.lists(
        st.tuples(st.text(), st.decimals(0, 10**9, places=9), st.integers(0, 10**15)), min_size=1, max_size=6
    )
)
def test_json_gives_back_any_name_and_any_number(rows: list[tuple[str, Decimal, int]]) -> None:
    table = report_table([([name], totals(str(cost), count)) for name, cost, count in rows])
    document = json.loads(as_json(report(table)), parse_float=Decimal)
    told = [(row["model"], Decimal(row["cost"]), row["requests"]) for row in document["rows"]]
    assert sorted(told) == sorted(rows)
    assert Decimal(document["totals"]["cost"]) == sum((cost for _, cost, _ in rows), Decimal(0))


def test_json_has_the_number_and_the_sums_of_what_top_cut_off() -> None:
    rows = [([name], totals(cost, 1, 2)) for name, cost in (("a", "8"), ("b", "4"), ("c", "0.5"))]
    document = json.loads(as_json(report(report_table(rows, top=1))), parse_float=Decimal)
    assert [row["model"] for row in document["rows"]] == ["a"]
    assert document["others"] == {
        "count": 2,
        "requests": 2,
        "tokens_input": 4,
        "tokens_output": 4,
        "cost": Decimal("4.5"),
        "byok_cost": None,
    }


def test_json_has_a_member_for_each_dimension() -> None:
    table = report_table([(["ci", None], totals("1"))], by=(Dimension.KEY, Dimension.PROVIDER))
    document = json.loads(as_json(report(table)))
    assert document["by"] == ["key", "provider"]
    assert (document["rows"][0]["key"], document["rows"][0]["provider"]) == ("ci", None)


def test_byok_has_a_column_of_its_own_where_there_is_any_and_is_no_part_of_the_cost() -> None:
    rows = [(["work"], Totals(cost_usd=Decimal(2), byok_cost_usd=Decimal("7.5")))]
    with_byok = rendered(view(report(report_table(rows, by=(Dimension.KEY,)))))
    assert "BYOK" in with_byok
    assert with_byok.count("$7.50") == with_byok.count("$2.00") == 2
    without = report_table([(["work"], totals("2"))], by=(Dimension.KEY,))
    assert "BYOK" not in rendered(view(report(without)))
