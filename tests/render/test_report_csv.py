"""The report as CSV: exact, and safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orwatch.domain.usage import NO_USE, Dimension, Totals
from orwatch.render.report import as_csv
from tests.render.support import report, report_table, totals


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_a_header_and_a_line_for_each_row() -> None:
    table = report_table(
        [
            (["2026-11-19", "openai/gpt-4.1"], totals("0.1", 1, 2)),
            (["2026-11-20", "openai/gpt-4.1"], totals("1234567.000000002", 3, 4)),
        ],
        by=(Dimension.DAY, Dimension.MODEL),
    )
    assert as_csv(report(table)).splitlines() == [
        "day,model,requests,tokens_input,tokens_output,cost,byok_cost",
        "2026-11-19,openai/gpt-4.1,1,2,2,0.1,",
        "2026-11-20,openai/gpt-4.1,3,4,4,1234567.000000002,",
    ]


def test_an_unknown_number_is_an_empty_cell_and_zero_is_zero() -> None:
    table = report_table([(["a"], Totals()), (["b"], NO_USE)], by=(Dimension.KEY,), sort="key")
    assert as_csv(report(table)).splitlines()[1:] == ["a,,,,,", "b,0,0,0,0,"]


def test_an_unknown_name_is_an_empty_cell() -> None:
    table = report_table([([None], totals("1", 1, 1))], by=(Dimension.PROVIDER,))
    assert as_csv(report(table)).splitlines()[1] == ",1,1,1,1,"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r="])
def test_a_name_that_is_a_formula_to_a_spreadsheet_is_defused(start: str) -> None:
    table = report_table([([f"{start}1+cmd|' /C calc'!A0"], totals("1"))])
    cell = read(as_csv(report(table)))[1][0]
    assert cell.startswith("'")
    assert cell.endswith("1+cmd|' /C calc'!A0")


@given(st.text(st.characters(exclude_categories=())), st.decimals(0, 10**9, places=9))
def test_any_name_stays_in_its_cell_and_the_money_is_exact(name: str, cost: Decimal) -> None:
    text = as_csv(report(report_table([([name], totals(str(cost), 1, 1))])))
    header, row = read(text)
    assert header == ["model", "requests", "tokens_input", "tokens_output", "cost", "byok_cost"]
    assert len(row) == len(header)
    assert not row[0].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert Decimal(row[4]) == cost
    assert "E" not in row[4]


def test_a_name_with_commas_quotes_and_control_characters_is_one_printable_cell() -> None:
    table = report_table([(['a,"b"\n\x1b[31m\u202e'], totals("1"))])
    assert read(as_csv(report(table)))[1][0] == 'a,"b"��[31m�'


def test_the_rows_that_top_cut_off_are_the_last_row_with_their_number() -> None:
    rows = [([name, "m"], totals("1", 1, 1)) for name in "abc"]
    table = report_table(rows, by=(Dimension.KEY, Dimension.MODEL), top=1)
    assert read(as_csv(report(table)))[1:] == [
        ["a", "m", "1", "1", "1", "1", ""],
        ["2 others", "", "2", "2", "2", "2", ""],
    ]
