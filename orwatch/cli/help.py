"""``orwatch help``: topics, each of them a Markdown file in ``orwatch/help``.

A topic begins with its title, an empty line and one line that says what it is about.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from orwatch.errors import UsageError
from orwatch.text import is_terminal, nearest

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_ENDING = ".md"
_SUMMARY_LINE = 2


def complete_topic(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The names of topics and commands; after a command, those of its subcommands."""
    words: tuple[str, ...] = ctx.params.get("words") or ()
    found = _find_command(ctx, words)
    names = _names_in(found) if found is not None else []
    topics = [] if words else topic_names()
    return [name for name in dict.fromkeys([*topics, *names]) if name.startswith(incomplete)]


@click.command("help")
@click.argument("words", nargs=-1, metavar="[TOPIC]", shell_complete=complete_topic)
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Explain a topic: cron, settings, sources, trouble and more.

    Without TOPIC it lists them. On a terminal the text is shown in your pager ($PAGER), elsewhere as
    Markdown. The name of a command shows that command's own --help.

    \b
    Examples:
      orwatch help
      orwatch help cron
      orwatch help cron install
    """
    if not words:
        click.echo(_list_of_topics(ctx))
    elif len(words) == 1 and words[0] in topic_names():
        _show(_whole_topic(words[0]))
    else:
        found = _find_command(ctx, words)
        if found is None:
            raise UsageError(_unknown(ctx, words))
        click.echo(found.get_help())


def topic_names() -> list[str]:
    """All topics, in the order of the alphabet."""
    names = (entry.name for entry in _folder().iterdir())
    return sorted(name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING))


def _folder() -> Traversable:
    from importlib.resources import files

    return files("orwatch") / "help"


def _read_topic(name: str) -> str:
    return (_folder() / f"{name}{_ENDING}").read_text(encoding="utf-8")


def _whole_topic(name: str) -> str:
    """The topic; that on JSON goes on with every member of every answer."""
    if name != "json":
        return _read_topic(name)
    from orwatch.render import json_schema

    return f"{_read_topic(name)}\n{json_schema.in_words()}"


def _list_of_topics(ctx: click.Context) -> str:
    formatter = ctx.make_formatter()
    formatter.write_usage("orwatch help", "TOPIC")
    with formatter.section("Topics"):
        formatter.write_dl([(name, _read_topic(name).splitlines()[_SUMMARY_LINE]) for name in topic_names()])
    formatter.write_paragraph()
    formatter.write_text("`orwatch --help` lists the commands; `orwatch COMMAND --help` explains one.")
    return formatter.getvalue().rstrip("\n")


def _show(topic: str) -> None:
    if not is_terminal(sys.stdout):
        click.echo(topic, nl=False)
        return
    from orwatch.render import console
    from orwatch.render import help as render

    click.echo_via_pager(console.for_pager(render.topic_view(topic), render.THEME))


def _find_command(ctx: click.Context, words: tuple[str, ...]) -> click.Context | None:
    """The context of the command that these words name; of the program itself without a word."""
    found = ctx.find_root()
    for word in words:
        command = found.command.get_command(found, word) if isinstance(found.command, click.Group) else None
        if command is None:
            return None
        found = click.Context(command, info_name=word, parent=found)
    return found


def _names_in(found: click.Context) -> list[str]:
    return found.command.list_commands(found) if isinstance(found.command, click.Group) else []


def _unknown(ctx: click.Context, words: tuple[str, ...]) -> str:
    topics, name = topic_names(), " ".join(words)
    near = nearest(name, [*topics, *_names_in(ctx.find_root())])
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return (
        f"there is no help topic or command {name!r}.{hint} Topics: {', '.join(topics)}. "
        "`orwatch --help` lists the commands."
    )
