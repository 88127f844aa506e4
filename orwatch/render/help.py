"""A help topic on a terminal: its Markdown with headings, lists, tables and code set apart."""

from __future__ import annotations

from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.constrain import Constrain
from rich.markdown import Markdown, MarkdownElement, TableElement
from rich.table import Table
from rich.theme import Theme

from orwatch.render.console import Parts, Screen, as_view

_WIDEST = 100  # wider lines are hard to read

# No backgrounds: whether the terminal is dark or light is its user's choice.
THEME = Theme({"markdown.code": "cyan", "markdown.h1": "bold", "markdown.h2": "bold"})
_CODE_THEME = "ansi_dark"


@as_view
def topic_view(screen: Screen, markdown: str) -> Parts:
    """The whole topic, no wider than is good to read."""
    return [Constrain(_Topic(markdown, code_theme=_CODE_THEME, hyperlinks=False), min(screen.width, _WIDEST))]


class _NamedRows(TableElement):
    """A table whose first column, of names, is never cut."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for table in super().__rich_console__(console, options):
            if isinstance(table, Table):
                table.columns[0].no_wrap = True
            yield table


class _Topic(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {**Markdown.elements, "table_open": _NamedRows}
