"""Tables that fit: numbers are never cut, text gives way first, then the columns that can be missed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from textwrap import wrap

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orwatch.text import counted, first_of, printable

# With more keys than this, a summary lists only those that need a look.
KEYS_LISTED = 25

_NAMES_SHOWN = 5
_GAP = 2
_NARROW_NAME = 18  # before a name gets narrower, columns that can be missed go
_NARROWEST_NAME = 4


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: numbers, at the right and never cut, by default.

    ``is_name``: text from outside, at the left, shortened where room is short. ``is_word``: text of our
    own, at the left, never cut. ``is_wrapped``: such a name is a sentence, and goes on below.
    ``dispensable``: the highest goes first, 0 never goes.
    """

    header: str
    cells: Sequence[str]
    footer: str = ""
    is_name: bool = False
    is_word: bool = False
    is_wrapped: bool = False
    dispensable: int = 0
    style: str = ""

    @property
    def width(self) -> int:
        """The width of the widest cell."""
        return max(cell_len(printable(cell)) for cell in (self.header, self.footer, *self.cells))


def messages_by_text(messages: Iterable[tuple[str, str | None, str]]) -> list[Text]:
    """Messages of (name, text, style): a line each, and one line for names that have the same to say."""
    names: dict[tuple[str, str], list[str]] = {}
    for name, text, style in messages:
        if text:
            names.setdefault((text, style), []).append(printable(name))
    return [
        Text(f"{first_of(same, _NAMES_SHOWN)}: {printable(text)}", style=style)
        for (text, style), same in names.items()
    ]


def rest_of_keys(count: int, state: str) -> list[Text]:
    """How many keys a summary does not list, and how it is with them."""
    return [Text(f"{counted(count, 'more key')}: {state}.")] if count else []


def labelled(lines: Sequence[tuple[str, str]], width: int) -> list[Text]:
    """A label and what is there to say on each line; what is too long goes on below itself."""
    indent = max(len(label) for label, _ in lines) + 2
    shown = []
    for label, value in lines:
        first, *rest = wrap(printable(value), max(width - indent, indent), break_on_hyphens=False) or [""]
        shown.append(Text(f"{label.ljust(indent)}{first}", overflow="fold"))
        shown += [Text(" " * indent + each, overflow="fold") for each in rest]
    return shown


def make_table(columns: Sequence[Column], width: int, *, row_styles: Sequence[str] = ()) -> RenderableType:
    """A table no wider than ``width``, where its numbers allow that, and below it what it leaves out.

    ``row_styles``: a style for each row, if any.
    """
    table, missing = bare_table(columns, width, row_styles=row_styles), left_out_text([columns], width)
    return Group(table, Text(missing, style="dim")) if missing else table


def bare_table(columns: Sequence[Column], width: int, *, row_styles: Sequence[str] = ()) -> Table:
    """Such a table alone: what it and others leave out is said elsewhere."""
    shown, widths = fit(columns, width)
    has_footer = any(column.footer for column in shown)
    table = Table(
        box=box.SIMPLE if has_footer else box.SIMPLE_HEAD,
        show_footer=has_footer,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1),
        collapse_padding=True,
        header_style="bold",
        footer_style="bold",
        # Said outright, for otherwise rich would cut numbers to make a table fit that cannot.
        width=sum(widths) + _GAP * (len(widths) - 1),
    )
    for column, column_width in zip(shown, widths, strict=True):
        table.add_column(
            Text(column.header),
            footer=Text(column.footer),
            justify="left" if column.is_name or column.is_word else "right",
            style=column.style,
            width=column_width,
            no_wrap=not column.is_wrapped,
            overflow="fold" if column.is_wrapped else "ellipsis" if column.is_name else "crop",
        )
    for index in range(len(columns[0].cells)):
        cells = (
            Text(_shown(column, column.cells[index], column_width))
            for column, column_width in zip(shown, widths, strict=True)
        )
        table.add_row(*cells, style=row_styles[index] if row_styles else "")
    return table


def fit(columns: Sequence[Column], width: int) -> tuple[list[Column], list[int]]:
    """The columns that have room, and how wide each of them is to be."""
    shown = [replace(column, cells=tuple(column.cells)) for column in columns]
    while _narrowest(shown) > width:
        last = max(shown, key=lambda column: column.dispensable)
        if last.dispensable == 0:
            break
        shown.remove(last)
    widths = [column.width for column in shown]
    excess = sum(widths) + _GAP * (len(shown) - 1) - width
    while excess > 0:
        # The widest text gives way first, so that short names stay whole.
        candidates = [
            index for index, column in enumerate(shown) if column.is_name and widths[index] > _NARROWEST_NAME
        ]
        if not candidates:
            break
        widths[max(candidates, key=lambda index: widths[index])] -= 1
        excess -= 1
    return shown, widths


def left_out_text(tables: Sequence[Sequence[Column]], width: int) -> str:
    """The columns that no table has room for; what has no header is not missed."""
    shown = {column.header for columns in tables for column in fit(columns, width)[0]}
    headers = dict.fromkeys(column.header for columns in tables for column in columns if column.header)
    missing = [header for header in headers if header not in shown]
    return f"Left out at {width} columns: {', '.join(missing)}." if missing else ""


def _least(column: Column) -> int:
    return min(column.width, _NARROW_NAME) if column.is_name else column.width


def _narrowest(columns: Sequence[Column]) -> int:
    return sum(_least(column) for column in columns) + _GAP * (len(columns) - 1)


def _shown(column: Column, text: str, width: int) -> str:
    if not column.is_name:
        return text
    return printable(text) if column.is_wrapped else _shortened(text, width)


def _shortened(text: str, width: int) -> str:
    """The text in ``width`` cells; of ``maker/model`` the maker gives way first."""
    text = printable(text)
    if cell_len(text) <= width:
        return text
    maker, slash, model = text.partition("/")
    room = width - cell_len(model) - 2
    if slash and room >= 0:
        return f"{_beginning(maker, room)}…/{model}"
    # The end of a model's name says more than its beginning; of other names it is the other way round.
    return f"…{_beginning(text[::-1], width - 1)[::-1]}" if slash else text


def _beginning(text: str, cells: int) -> str:
    """As many characters as fit into so many cells; a wide one takes two."""
    end = 0
    while end < len(text) and cell_len(text[: end + 1]) <= cells:
        end += 1
    return text[:end]
