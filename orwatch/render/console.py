"""Where rich output goes: the terminal, a file, or text for one."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import IO, Any, Concatenate, NamedTuple, ParamSpec, Protocol, TypeAlias

from rich.console import Console, RenderableType
from rich.theme import Theme

from orwatch.text import is_terminal

Given = ParamSpec("Given")

_PLAIN_WIDTH = 100
# Nothing that is shown is wider.
UNCUT = 100_000
_NARROWEST = 20
_ANY_HEIGHT = 50  # rich believes a width only together with a height
# Blanks at the end of a line, among which colours may be switched off and on; none begins within blanks.
_BLANK_ENDS = re.compile(r"(?<! )(?: |\x1b\[[\d;]*m)+$", re.MULTILINE)


class Screen(NamedTuple):
    """What something is shown on."""

    width: int
    ascii_only: bool


# To be printed one below the other.
Parts: TypeAlias = Sequence[RenderableType]
View: TypeAlias = Callable[[Screen], Parts]


def as_view(make: Callable[Concatenate[Screen, Given], Parts]) -> Callable[Given, View]:
    """Let what makes the parts have its screen last, once that is known."""

    @wraps(make)
    def view(*args: Given.args, **kwargs: Given.kwargs) -> View:
        return lambda screen: make(screen, *args, **kwargs)

    return view


def show(view: View, stream: IO[str] | None = None) -> None:
    """Print to standard output or to ``stream``: as wide as it is, and in colour, where it is a terminal.

    Scripts read what goes into a pipe: nothing of it is cut, unless ``COLUMNS`` says how wide it is to be.
    """
    stream = stream or sys.stdout
    if is_terminal(stream) or os.environ.get("COLUMNS"):
        _print(console_on(stream), view)
        return
    console = _uncut_console_on(stream)
    console.file.write(_uncut(console, view))
    console.file.flush()


def as_text(view: View) -> str:
    """What would be printed to a file: nothing is cut."""
    return _uncut(_uncut_console_on(io.StringIO()), view)


def _uncut_console_on(stream: IO[str]) -> Console:
    return console_on(stream, width=UNCUT, height=_ANY_HEIGHT)


def _uncut(console: Console, view: View) -> str:
    with console.capture() as captured:
        _print(console, view)
    # One long cell fills up all those of its column.
    return _BLANK_ENDS.sub(lambda end: end[0].replace(" ", ""), captured.get())


def for_pager(view: View, theme: Theme) -> str:
    """What would be printed to the terminal that is standard output, escape sequences included."""
    console = console_on(sys.stdout, theme=theme)
    with console.capture() as captured:
        _print(console, view)
    return captured.get()


def as_svg(view: View, title: str, width: int = _PLAIN_WIDTH) -> str:
    """A picture of what a terminal would show."""
    console = console_on(
        io.StringIO(),
        width=width,
        height=_ANY_HEIGHT,
        record=True,
        force_terminal=True,
        color_system="truecolor",
        no_color=False,
        legacy_windows=False,
    )
    _print(console, view)
    picture = console.export_svg(title=title, unique_id="orwatch")
    # As rich makes it, the picture would fetch a font from the network whenever it is viewed.
    return re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)


def console_on(stream: IO[str], **options: Any) -> Console:
    """A console that interprets nothing."""
    return Console(file=stream, highlight=False, markup=False, emoji=False, **options)


def _print(console: Console, view: View) -> None:
    if console.width < _NARROWEST:  # a useless COLUMNS: 0 would print nothing at all
        console.width = _PLAIN_WIDTH if console.width < 1 else _NARROWEST
    for part in view(Screen(console.width, console.options.ascii_only)):
        # Numbers wider than the terminal are wrapped by the terminal, and never cut.
        console.print(part, crop=False)


@contextmanager
def counting_bar() -> Iterator[CountingBar]:
    """A bar on standard error that says what is being done; nothing where that is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = console_on(sys.stderr)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("", total=None)

        def update(doing: str, done: int, total: int) -> None:
            progress.update(task, description=doing, completed=done, total=total)

        yield update


class CountingBar(Protocol):
    """How such a bar is moved on."""

    def __call__(self, doing: str, done: int, total: int) -> None:
        """What is being done, and how much of how much is."""
        ...
