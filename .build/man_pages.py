"""Makes a man page of each command's help when a wheel is built: ``man orwatch-key-add``."""

from __future__ import annotations

import inspect
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Characters that man(7) would take for something else, or that a plain terminal has not.
_SPECIAL = {
    "\\": r"\e",
    "-": r"\-",
    "'": r"\(aq",
    "`": r"\(ga",
    "^": r"\(ha",
    "~": r"\(ti",
    "…": "...",
    "–": r"\(en",
}


class ManPages(BuildHookInterface[Any]):
    """Puts the pages into the wheel, for ``share/man/man1`` of where it is installed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write them to a folder of their own. An editable installation has none."""
        self.folder = Path(tempfile.mkdtemp(prefix="orwatch-man-"))
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        from orwatch import __version__
        from orwatch.cli import cli

        for name, text in pages(_context(cli, "orwatch"), f"orwatch {__version__}"):
            path = self.folder / name
            path.write_text(text, encoding="ascii")
            build_data["shared_data"][str(path)] = f"share/man/man1/{name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """The wheel has them now."""
        shutil.rmtree(self.folder)


def pages(context: click.Context, source: str) -> Iterator[tuple[str, str]]:
    """A command's page and those of its subcommands, each with the name of its file."""
    below = list(_subcommands(context))
    yield f"{_page_name(context)}.1", "\n".join([*_page(context, below, source), ""])
    for each in below:
        yield from pages(each, source)


def _subcommands(context: click.Context) -> Iterator[click.Context]:
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            if command is not None and not command.hidden:
                yield _context(command, name, context)


def _context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    return click.Context(command, parent=parent, info_name=name, **command.context_settings)


def _page_name(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _page(context: click.Context, below: list[click.Context], source: str) -> Iterator[str]:
    """The lines of a page, in the language of man(7)."""
    command, name = context.command, _page_name(context)
    yield f'.TH {name.upper()} 1 "" "{source}"'
    yield from (".nh", ".ad l")
    yield ".SH NAME"
    yield f"{_escaped(name)} \\- {_summary(command)}"
    yield ".SH SYNOPSIS"
    yield f"\\fB{context.command_path}\\fR {_escaped(' '.join(command.collect_usage_pieces(context)))}"
    yield ".SH DESCRIPTION"
    yield from _paragraphs(inspect.cleandoc(command.help or ""))
    yield ".SH OPTIONS"
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            yield from (".TP", f"\\fB{_escaped(record[0])}\\fR", _escaped(record[1]))
    if below:
        yield ".SH COMMANDS"
    for each in below:
        yield from (".TP", f"\\fB{_escaped(_page_name(each))}\\fR(1)", _summary(each.command))
    if context.parent is not None:
        yield ".SH SEE ALSO"
        yield f"\\fB{_escaped(_page_name(context.parent))}\\fR(1)"


def _summary(command: click.Command) -> str:
    return _escaped(command.get_short_help_str(limit=200).removesuffix("."))


def _paragraphs(text: str) -> Iterator[str]:
    """A help's text; click keeps the lines of a paragraph that begins with a backspace as they are."""
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        if paragraph.startswith("\b\n"):
            yield from (".nf", *map(_escaped, paragraph[2:].splitlines()), ".fi")
        else:
            yield from map(_escaped, paragraph.splitlines())


def _escaped(text: str) -> str:
    """Text that man shows character by character, also where one means something to it."""
    shown = "".join(_SPECIAL.get(c, c if c.isascii() else f"\\[u{ord(c):04X}]") for c in text)
    return f"\\&{shown}" if shown.startswith(".") else shown
