"""The documents that users read, and the command lines in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import click

from orwatch.cli import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOPICS = {
    path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "orwatch" / "help").glob("*.md"))
}
DOCUMENTS = {"README": README, **TOPICS}
ALL_TEXT = "\n".join(DOCUMENTS.values())

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(orwatch [^`]+)`")


@dataclass(frozen=True, slots=True)
class Line:
    """A line for a shell. ``output``: what the document shows below it; None where it shows no output."""

    text: str
    output: str | None = None

    def commands(self) -> list[list[str]]:
        """The words of each call of orwatch in it, without the program's name."""
        lexer = shlex.shlex(self.text, posix=True, punctuation_chars="|&;")
        lexer.whitespace_split = True
        calls: list[list[str]] = [[]]
        for word in lexer:
            if set(word) <= set("|&;"):
                calls.append([])
            else:
                calls[-1].append(word)
        return [words[1:] for words in calls if words[:1] == ["orwatch"]]


def commands() -> dict[str, click.Command]:
    """Every command that does something, by its whole name."""
    return dict(_commands())


def _commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if isinstance(command, click.Group):
            yield from ((f"{name} {sub}", each) for sub, each in command.commands.items())
        else:
            assert command is not None
            yield name, command


def lines(document: str) -> list[Line]:
    """The lines of a document's ``sh`` and ``console`` blocks, in their order."""
    found = []
    for _indent, language, body in _BLOCK.findall(DOCUMENTS[document]):
        text = dedent(body).replace("\\\n", "")
        if language == "sh":
            found += [Line(line) for line in text.splitlines()]
        elif language == "console":
            for session in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, output = session.partition("\n")
                found.append(Line(command, output))
    return found


def inline_commands(document: str) -> list[str]:
    """The command lines that are named in a document's sentences."""
    return _INLINE.findall(_BLOCK.sub("", DOCUMENTS[document]))
