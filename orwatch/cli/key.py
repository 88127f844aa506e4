"""``orwatch key``: add, list, show, rename, enable, disable, remove."""

from __future__ import annotations

import sys

import click

from orwatch.cli.context import Context, pass_context
from orwatch.cli.options import complete_key_name, json_option
from orwatch.config import AUTO, SOURCE_CHOICES
from orwatch.errors import (
    EXIT_NEEDS_PERSON,
    ApiError,
    KeyRejectedError,
    OrwatchError,
    TryAgainError,
    UsageError,
)
from orwatch.models import KeyFacts, UsageSource
from orwatch.text import is_terminal, printable

name_argument = click.argument("name", shell_complete=complete_key_name)


@click.group("key")
def command() -> None:
    """Add, list and change the API keys that are watched."""


@command.command("add")
@click.argument("name")
@click.option("--no-check", is_flag=True, help="Store the key without asking OpenRouter about it.")
@click.option(
    "--source",
    type=click.Choice(SOURCE_CHOICES),
    default=AUTO,
    help="Where its usage comes from; auto (the default) takes the best that answers.",
)
@pass_context
def add(context: Context, name: str, no_check: bool, source: str) -> None:
    """Store an API key under NAME.

    The secret is asked for, or read from standard input where that is not a terminal. It is stored
    encrypted, and never taken from the command line, where others could read it.

    \b
    Examples:
      orwatch key add production
      pass show openrouter/ci | orwatch key add ci
    """
    from orwatch.jobs import keys

    name = keys.clean_name(name)
    secret = _read_secret(name)
    keys.check_can_add(context.store, context.encryption_keys, name, secret)
    facts = None if no_check else _ask(context, secret)
    setting = None if source == AUTO else UsageSource(source)
    key = keys.add(
        context.store, context.encryption_keys, name, secret, facts, context.now, source_setting=setting
    )
    kind = "" if facts is None else f", {key.facts.kind.value}"
    click.echo(f"Stored {printable(name)!r} ({key.hint}{kind}). `orwatch sync` fetches its usage.")


def _read_secret(name: str) -> str:
    from orwatch.secrets import MAX_SECRET_LENGTH, clean_secret

    if is_terminal(sys.stdin):
        text = click.prompt(f"Secret of {name}", hide_input=True, err=True)
    else:
        # Enough to see that it is too long, and never a whole disk.
        stream = sys.stdin.buffer if sys.stdin is not None else None
        text = (stream.read(MAX_SECRET_LENGTH * 8) if stream else b"").decode("utf-8", "replace")
    try:
        return clean_secret(text)
    except ValueError as error:
        raise UsageError(f"{error}. Nothing was stored.") from None


def _ask(context: Context, secret: str) -> KeyFacts | None:
    from orwatch.jobs import keys
    from orwatch.openrouter.client import Patience

    # Somebody waits for this answer.
    with context.client(Patience(max_tries=3, max_seconds=30)) as client:
        try:
            return keys.ask_about(client, secret)
        except KeyRejectedError as error:
            raise OrwatchError(f"OpenRouter refuses this key ({error}). Nothing was stored.") from error
        except ApiError as error:
            # 402 and 403 say that the key is known and good.
            if error.status in {402, 403}:
                return None
            raise TryAgainError(
                f"{str(error).rstrip('.')}. Nothing was stored: try again later, "
                "or store the key unchecked with --no-check."
            ) from error


@command.command("list")
@json_option
@pass_context
def list_(context: Context, as_json: bool) -> None:
    """List all keys.

    \b
    Example:
      orwatch key list
    """
    from orwatch.jobs import keys

    listed = keys.list_keys(context.store)
    from orwatch.render import console
    from orwatch.render import keys as render

    if as_json:
        click.echo(render.list_json(listed))
    else:
        console.show(render.list_view(listed, context.now))


@command.command("show")
@name_argument
@json_option
@pass_context
def show(context: Context, name: str, as_json: bool) -> None:
    """Show everything that is known of one key. Its secret is not shown.

    \b
    Example:
      orwatch key show production
    """
    from orwatch.jobs import keys

    key = keys.get_key(context.store, name)
    from orwatch.render import console
    from orwatch.render import keys as render

    if as_json:
        click.echo(render.show_json(key))
    else:
        console.show(render.show_view(key, context.now))


@command.command("rename")
@name_argument
@click.argument("new_name")
@pass_context
def rename(context: Context, name: str, new_name: str) -> None:
    """Give a key another name. Its history goes with it.

    \b
    Example:
      orwatch key rename ci github-actions
    """
    from orwatch.jobs import keys

    new_name = keys.clean_name(new_name)
    keys.rename(context.store, name, new_name)
    click.echo(f"{printable(name)!r} is now {new_name!r}.")


@command.command("enable")
@name_argument
@pass_context
def enable(context: Context, name: str) -> None:
    """Watch a key again that was disabled or found invalid.

    \b
    Example:
      orwatch key enable ci
    """
    from orwatch.jobs import keys

    changed = keys.enable(context.store, name)
    click.echo(f"{printable(name)!r} is watched{' again' if changed else ' already'}.")


@command.command("disable")
@name_argument
@pass_context
def disable(context: Context, name: str) -> None:
    """Stop watching a key until `orwatch key enable`. Its history stays.

    \b
    Example:
      orwatch key disable ci
    """
    from orwatch.jobs import keys

    changed = keys.disable(context.store, name, context.now)
    click.echo(f"{printable(name)!r} is{'' if changed else ' already'} disabled.")


@command.command("remove")
@name_argument
@click.option("--purge", is_flag=True, help="Delete its usage too; this cannot be undone.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_context
def remove(context: Context, name: str, purge: bool, yes: bool) -> None:
    """Remove a key and its secret. Its usage stays in the reports unless --purge is given.

    \b
    Example:
      orwatch key remove old-laptop
    """
    from orwatch.jobs import keys

    key = keys.get_key(context.store, name)
    what = "and ALL ITS USAGE" if purge else "(its usage stays)"
    if not yes and not _is_confirmed(f"Remove {printable(name)!r} {what}?"):
        click.echo("Nothing was removed.", err=True)
        raise click.exceptions.Exit(EXIT_NEEDS_PERSON)
    rows = keys.remove(context.store, key.name, context.now, with_history=purge)
    kept = f"and {rows:,} rows of usage" if purge else "its usage stays"
    click.echo(f"Removed {printable(name)!r}{' ' if purge else '; '}{kept}.")


def _is_confirmed(question: str) -> bool:
    """The answer. Raises ``UsageError`` where nobody is there to give one."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        if is_terminal(sys.stdin):
            raise
        raise UsageError("nobody is here to answer; add --yes. Nothing was removed.") from None
