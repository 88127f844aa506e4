"""Tables that fit, and never cut a number."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from orwatch.render.tables import Column, fit, left_out_text
from tests.render.support import WIDTHS, table_text, widest_line

GAP = 2
# As narrow as names may get where the numbers need the room.
NARROW_NAME = 4

NAMES = st.text(st.characters(exclude_categories=()), max_size=60)
MONEY = st.integers(0, 10**18).map(lambda cents: f"${cents // 100:,}.{cents % 100:02d}")
COUNTS = st.one_of(st.just("–"), st.integers(0, 10**15).map(lambda count: f"{count:,}"))
ROWS = st.lists(st.tuples(NAMES, NAMES, COUNTS, COUNTS, MONEY), min_size=1, max_size=5)


def columns_of(rows: list[tuple[str, str, str, str, str]]) -> list[Column]:
    keys, models, requests, tokens, costs = zip(*rows, strict=True)
    return [
        Column("Key", keys, footer="Total", is_name=True),
        Column("Model", models, is_name=True),
        Column("Requests", requests, dispensable=1),
        Column("Tokens", tokens, dispensable=2),
        Column("Cost", costs),
    ]


@given(ROWS, st.sampled_from(WIDTHS) | st.integers(20, 220))
@example([("production-key-number-one", "anthropic/claude-sonnet-4.5", "1", "1", "$1,234,567.89")], 40)
def test_no_line_is_wider_than_the_terminal_unless_the_numbers_are(
    rows: list[tuple[str, str, str, str, str]], width: int
) -> None:
    columns = columns_of(rows)
    numbers_alone = columns[-1].width + 2 * (NARROW_NAME + GAP)
    assert widest_line(table_text(columns, width)) <= max(width, numbers_alone)


@given(ROWS, st.sampled_from(WIDTHS) | st.integers(20, 220))
@example([("production-key-number-one", "anthropic/claude-sonnet-4.5", "1", "1", "$1,234,567.89")], 40)
@example([("k", "m", "1", "1", "$123,456,789,012,345,678.90")], 20)
def test_a_number_that_is_shown_is_shown_whole(
    rows: list[tuple[str, str, str, str, str]], width: int
) -> None:
    head, _rule, *lines = [line for line in table_text(columns_of(rows), width).splitlines() if line.strip()]
    shown = [index for index, name in ((2, "Requests"), (3, "Tokens"), (4, "Cost")) if f" {name}" in head]
    assert 4 in shown
    for row, line in zip(rows, lines, strict=False):
        # Right of the names, which may look like numbers themselves.
        assert line.split()[-len(shown) :] == [row[index] for index in shown]


@given(st.lists(NAMES, min_size=1, max_size=5), st.integers(10, 120))
def test_names_bring_no_control_characters_to_the_terminal(names: list[str], width: int) -> None:
    text = table_text([Column("Key", names, is_name=True), Column("Cost", ["$1.00"] * len(names))], width)
    assert all(line.isprintable() for line in text.split("\n"))


def test_numbers_are_at_the_right_and_names_at_the_left() -> None:
    text = table_text([Column("Key", ["ci", "production"], is_name=True), Column("Cost", ["$1", "$100"])], 80)
    assert text.splitlines() == [
        "Key         Cost",
        "────────────────",
        "ci            $1",
        "production  $100",
    ]


def test_a_footer_is_set_off_by_a_rule() -> None:
    columns = [Column("Key", ["ci"], footer="Total", is_name=True), Column("Cost", ["$1"], footer="$1")]
    assert table_text(columns, 80).splitlines() == [
        "Key    Cost",
        "───────────",
        "ci       $1",
        "───────────",
        "Total    $1",
    ]


def test_a_table_without_rows_is_its_head() -> None:
    assert table_text([Column("Key", [], is_name=True), Column("Cost", [])], 80).split() == [
        "Key",
        "Cost",
        "─" * 9,
    ]


@pytest.mark.parametrize(
    ("width", "model"),
    [
        (60, "anthropic/claude-sonnet-4.5"),
        (30, "anthr…/claude-sonnet-4.5"),
        (25, "…/claude-sonnet-4.5"),
        (24, "…claude-sonnet-4.5"),
    ],
)
def test_of_a_model_the_maker_gives_way_first(width: int, model: str) -> None:
    columns = [
        Column("Model", ["anthropic/claude-sonnet-4.5"], is_name=True),
        Column("Cost", ["$1.0"]),
    ]
    assert model in table_text(columns, width)


@pytest.mark.parametrize(
    "name",
    [
        "深度求索公司深度求索公司深度求索公司/deepseek-chat-v3.1",
        "🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀/deepseek-chat-v3.1",
    ],
)
def test_a_maker_of_wide_characters_gives_way_too(name: str) -> None:
    text = table_text([Column("Model", [name], is_name=True), Column("Cost", ["$1.00"])], 40)
    assert "…/deepseek-chat-v3.1" in text
    assert widest_line(text) <= 40


def test_a_model_of_wide_characters_keeps_its_end() -> None:
    columns = [Column("Model", ["a/" + "深度求索" * 10 + "-v3.1"], is_name=True), Column("Cost", ["$1.00"])]
    text = table_text(columns, 40)
    assert "…" in text
    assert "-v3.1 " in text


def test_of_any_other_name_the_end_gives_way() -> None:
    text = table_text([Column("Key", ["production" * 4], is_name=True), Column("Cost", ["$1.00"])], 30)
    assert "productionproduction" in text
    assert "… " in text


def test_the_longer_names_give_way_before_the_shorter() -> None:
    columns = [
        Column("Key", ["a-short-name-of-20ch"], is_name=True),
        Column("Model", ["a-much-longer-name-of-a-model-than-that"], is_name=True),
    ]
    shown, widths = fit(columns, 50)
    assert [column.header for column in shown] == ["Key", "Model"]
    assert widths == [20, 28]


def test_the_most_dispensable_column_goes_first_and_the_names_shrink_before_that() -> None:
    columns = [
        Column("Key", ["k" * 30], is_name=True),
        Column("A", ["1" * 8], dispensable=1),
        Column("B", ["2" * 8], dispensable=2),
        Column("C", ["3" * 8]),
    ]
    headers = {
        width: "".join(column.header for column in fit(columns, width)[0]) for width in (60, 48, 47, 37)
    }
    assert headers == {60: "KeyABC", 48: "KeyABC", 47: "KeyAC", 37: "KeyC"}


def test_columns_that_cannot_be_missed_stay_in_the_narrowest_terminal() -> None:
    columns = [Column("Key", ["production"], is_name=True), Column("Cost", ["$1,234,567,890.12"])]
    text = table_text(columns, 10)
    assert "$1,234,567,890.12" in text


def test_words_of_our_own_are_at_the_left_and_never_cut() -> None:
    columns = [
        Column("Key", ["production-key-of-the-shop"], is_name=True),
        Column("Verdict", ["could not tell"], is_word=True),
    ]
    text = table_text(columns, 36)
    assert "could not tell" in text
    assert text.splitlines()[0].rstrip().endswith("  Verdict")
    assert widest_line(text) <= 36


def test_wide_characters_take_two_cells() -> None:
    column = Column("Key", ["深度求索"], is_name=True)
    assert column.width == 8
    lines = table_text([column, Column("Cost", ["$1"])], 80).splitlines()
    assert cell_len(lines[0]) == cell_len(lines[2])


def test_a_row_may_have_a_style_that_a_file_does_not_see() -> None:
    columns = [Column("Key", ["ci"], is_name=True), Column("Cost", ["$1"], style="cyan")]
    assert "\x1b" not in table_text(columns, 80, row_styles=["red"])


SOME = [
    Column("Key", ["production"], is_name=True),
    Column("Cost", ["$1.00"]),
    Column("", ["████"], is_word=True, dispensable=2),
    Column("Requests", ["1,234"], dispensable=1),
]


@pytest.mark.parametrize(
    ("width", "said"),
    [
        (40, None),
        # What has no header is not missed.
        (28, None),
        (20, "Left out at 20 columns: Requests."),
    ],
)
def test_a_table_says_below_itself_which_columns_it_leaves_out(width: int, said: str | None) -> None:
    text = table_text(SOME, width)
    assert ("████" in text, "1,234" in text) == (width == 40, width > 20)
    below = " ".join(text.split("$1.00")[1].replace("████", "").replace("1,234", "").split())
    assert below == (said or "")


def test_of_several_tables_only_what_none_shows_is_left_out() -> None:
    both = Column("Requests", ["1"]), Column("Share", ["100.0%"], dispensable=1)
    wide = Column("Key", ["x" * 18], is_name=True)
    assert left_out_text([both, [wide, *both]], 30) == ""
    assert left_out_text([both, [wide, *both]], 10) == "Left out at 10 columns: Share."
    assert left_out_text([[wide, *both]], 30) == "Left out at 30 columns: Share."
