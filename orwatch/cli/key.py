"""``orwatch key``: add, replace, list, show, rename, enable, disable, remove."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from orwatch.cli.answers import answer
from orwatch.cli.context import Context, pass_context
from orwatch.cli.notices import notice, say
from orwatch.cli.options import complete_key_name, complete_known_name, confirm, json_option, yes_option
from orwatch.config.settings import AUTO, SOURCE_CHOICES
from orwatch.domain.keys import KeyFacts, KeyKind, StoredKey
from orwatch.domain.sources import UsageSource
from orwatch.errors import (
    ApiError,
    KeyRejectedError,
    OrwatchError,
    TryAgainError,
    UsageError,
)
from orwatch.text import counted, is_terminal, printable

if TYPE_CHECKING:
    from orwatch.jobs.key.change import Removal
    from orwatch.jobs.key.replace import Replacement


name_argument = click.argument("name", shell_complete=complete_key_name)
known_name_argument = click.argument("name", shell_complete=complete_known_name)


@click.group("key", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Add, list and change the API keys that are watched.

    Without a COMMAND it lists them.

    \b
    Example:
      orwatch key
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@command.command("add")
@click.argument("name")
@click.option("--no-check", is_flag=True, help="Store the key without asking OpenRouter about it.")
@click.option(
    "--source",
    # As text: click would want the names of an enum's members.
    type=click.Choice([str(choice) for choice in SOURCE_CHOICES]),
    default=AUTO,
    help="Where its usage comes from; auto (the default) takes the best that answers.",
)
@pass_context
def add(context: Context, name: str, no_check: bool, source: str) -> None:
    """Store an API key under NAME.

    The secret is asked for, or read from standard input where that is not a terminal. It is stored
    encrypted, and never taken from the command line, where others could read it. A management key
    watches its whole account: the next sync finds all the keys of it.

    \b
    Examples:
      orwatch key add production
      orwatch key add ops            # a management key
      pass show openrouter/ci | orwatch key add ci
    """
    context.may_create = True
    from orwatch.jobs.key import change as key_jobs

    name = key_jobs.clean_name(name)
    if (existing := context.existing_store()) is not None:
        key_jobs.check_name(existing, name)
    secret = _read_secret(name)
    store, keyring = context.store, context.keyring
    known_as = key_jobs.check_can_add(store, keyring, name, secret)
    facts = None if no_check else _ask(context, secret)
    setting = None if source == AUTO else UsageSource(source)
    key = key_jobs.add(store, keyring, name, secret, facts, context.now, source_setting=setting)
    say(_addition_text(key, facts, known_as, key_jobs.lister_of(store, key)))
    needs_account = setting in {UsageSource.ACTIVITY, UsageSource.ANALYTICS}
    if needs_account and key.facts.kind is KeyKind.INFERENCE and key.listing is None:
        notice(
            f"{printable(name)!r} is an ordinary key: with --source {source} its usage is read only "
            "through a management key of its account. Add one, or its syncs will fail."
        )


@command.command("replace")
@name_argument
@click.option("--no-check", is_flag=True, help="Store the secret without asking OpenRouter about it.")
@pass_context
def replace(context: Context, name: str, no_check: bool) -> None:
    """Take a new secret for a key that was rotated: it stays one key, with all its history.

    The new secret's counters begin at zero; reports add up what each secret has spent. The old one is
    asked on until OpenRouter refuses it, so that nothing it spends is lost. The new secret may be that of a
    key which a management key has discovered: that one is then this key.

    \b
    Examples:
      orwatch key replace production
      pass show openrouter/ci | orwatch key replace ci
    """
    from orwatch.jobs.key import change as key_jobs
    from orwatch.jobs.key import replace as replacing

    store, keyring = context.store, context.keyring
    key_jobs.get_key(store, name)
    secret = _read_secret(name, "New secret")
    replacing.check_can_replace(store, keyring, name, secret)
    facts = None if no_check else _ask(context, secret)
    replacement = replacing.replace(store, keyring, name, secret, facts, context.now)
    say(_replacement_text(replacement))


def _replacement_text(replacement: Replacement) -> str:
    key, old = replacement.key, replacement.old
    name = printable(key.name)
    sentences = [f"{name!r} has a new secret ({key.hint}); its history stays."]
    if replacement.linked is not None:
        sentences.append(f"It is the key that was listed as {printable(replacement.linked)!r}.")
    if replacement.is_old_asked:
        sentences.append(f"The old one ({old.hint}) is asked until OpenRouter refuses it.")
    sentences.append("`orwatch sync` fetches its usage.")
    return " ".join(sentences)


def _addition_text(key: StoredKey, facts: KeyFacts | None, known_as: str | None, lister: str | None) -> str:
    kind = "" if facts is None else f", {key.facts.kind.value}"
    stored = f"Stored {printable(key.name)!r} ({key.hint}{kind})."
    if key.is_management:
        far = ", up to a year back" if key.source_setting in {None, UsageSource.ANALYTICS} else ""
        return f"{stored} `orwatch sync` finds the keys of its account and fetches their usage{far}."
    if known_as is not None and lister is not None:
        known, by = printable(known_as), printable(lister)
        return f"{stored} It is the key {known!r} that {by!r} lists: its history stays."
    more = ""
    if facts is not None and key.listing is None:
        more = (
            " A management key of its account would add its other keys, providers and up to a year back: "
            "`orwatch help accounts`."
        )
    return f"{stored} `orwatch sync` fetches its usage.{more}"


def _read_secret(name: str, what: str = "Secret") -> str:
    from orwatch.secrets import MAX_SECRET_LENGTH, clean_secret

    if is_terminal(sys.stdin):
        text = click.prompt(
            f"{what} of {printable(name)} (what you type stays hidden)", hide_input=True, err=True
        )
    else:
        # Enough to see that it is too long, and never a whole disk.
        stream = sys.stdin.buffer if sys.stdin is not None else None
        text = (stream.read(MAX_SECRET_LENGTH * 8) if stream else b"").decode("utf-8", "replace")
    try:
        return clean_secret(text)
    except ValueError as error:
        raise UsageError(f"{error}. Nothing was stored.") from None


def _ask(context: Context, secret: str) -> KeyFacts | None:
    from orwatch.openrouter.outage import OF_A_PERSON
    from orwatch.openrouter.sources import fetch_key_facts

    with context.client(OF_A_PERSON) as client:
        try:
            return fetch_key_facts(client, secret)
        except KeyRejectedError as error:
            raise OrwatchError(f"OpenRouter refuses this key ({error}). Nothing was stored.") from error
        except ApiError as error:
            # 402 and 403 say that the key is known and good.
            if error.status in {402, 403}:
                return None
            raise TryAgainError(
                f"{error.outage or error.problem}. Nothing was stored: try again later, "
                "or store the key unchecked with --no-check."
            ) from error


@command.command("list")
@json_option
@pass_context
def list_(context: Context, as_json: bool) -> None:
    """List all keys, and what each of them has spent and may still spend.

    A discovered key is known from a management key alone. A dormant one has had no use for 30 days.

    \b
    Example:
      orwatch key list
    """
    from orwatch.jobs.key import overview as key_overview

    result = key_overview.list_overviews(context.store, context.now)
    from orwatch.render import key as render

    answer(result, render.LIST, render.list_view(result), as_json=as_json)


@command.command("show")
@known_name_argument
@json_option
@pass_context
def show(context: Context, name: str, as_json: bool) -> None:
    """Show everything that is known of one key, but not its secret.

    \b
    Example:
      orwatch key show production
    """
    from orwatch.jobs.key import overview as key_overview

    details = key_overview.describe(context.store, name, context.now)
    from orwatch.render import key as render
    from orwatch.render.key_details import show_view

    answer(details, render.SHOW, show_view(details), as_json=as_json)


@command.command("rename")
@known_name_argument
@click.argument("new_name")
@pass_context
def rename(context: Context, name: str, new_name: str) -> None:
    """Give a key another name. Its history goes with it.

    \b
    Example:
      orwatch key rename ci github-actions
    """
    from orwatch.jobs.key import change as key_jobs

    new_name = key_jobs.clean_name(new_name)
    key_jobs.rename(context.store, name, new_name)
    say(f"{printable(name)!r} is now {new_name!r}.")


@command.command("enable")
@name_argument
@pass_context
def enable(context: Context, name: str) -> None:
    """Watch a key again that was disabled or found invalid.

    \b
    Example:
      orwatch key enable ci
    """
    from orwatch.jobs.key import change as key_jobs

    changed = key_jobs.enable(context.store, name)
    say(f"{printable(name)!r} is watched{' again' if changed else ' already'}.")


@command.command("disable")
@name_argument
@pass_context
def disable(context: Context, name: str) -> None:
    """Stop watching a key until `orwatch key enable`. Its history stays.

    With a management key the whole account is no longer read.

    \b
    Example:
      orwatch key disable ci
    """
    from orwatch.jobs.key import change as key_jobs

    changed = key_jobs.disable(context.store, name, context.now)
    key = key_jobs.get_key(context.store, name)
    lister = key_jobs.lister_of(context.store, key)
    effect = ""
    if key.is_management:
        effect = " Its account is not read any more."
    elif lister is not None:
        effect = f" Its own secret is not used; its usage is still read through {printable(lister)!r}."
    say(f"{printable(name)!r} is{'' if changed else ' already'} disabled.{effect}")


@command.command("remove")
@known_name_argument
@click.option("--purge", is_flag=True, help="Delete its usage too; this cannot be undone.")
@yes_option
@pass_context
def remove(context: Context, name: str, purge: bool, yes: bool) -> None:
    """Remove a key and its secret. Its usage stays in the reports unless --purge is given.

    A key that a management key lists stays without its secret. With a management key go the keys that are
    known from it alone; their usage stays.

    \b
    Example:
      orwatch key remove old-laptop
    """
    from orwatch.jobs.key import change as key_jobs

    plan = key_jobs.plan_removal(context.store, name, with_history=purge)
    if not yes:
        confirm(_removal_question(name, plan, purge), "nothing was removed.")
    removal = key_jobs.remove(context.store, name, context.now, with_history=purge)
    say(_removal_text(name, removal, purge))


def _removal_question(name: str, plan: Removal, purge: bool) -> str:
    name = printable(name)
    if plan.listed_by is not None:
        return f"Forget the secret of {name!r} (the key stays: {printable(plan.listed_by)!r} lists it)?"
    what = f"Remove {name!r} and ALL ITS USAGE" if purge else f"Remove {name!r} (its usage stays)"
    gone = len(plan.members.discovered)
    return (
        f"{what}, and the {counted(gone, 'key')} known from it alone (usage stays)?" if gone else f"{what}?"
    )


def _removal_text(name: str, removal: Removal, purge: bool) -> str:
    name = printable(name)
    if removal.listed_by is not None:
        return f"Forgot the secret of {name!r}. The key stays: {printable(removal.listed_by)!r} lists it."
    kept = f" and {counted(removal.rows, 'row')} of usage" if purge else "; its usage stays"
    sentences = [f"Removed {name!r}{kept}."]
    gone, left = len(removal.members.discovered), len(removal.members.with_secret)
    if gone:
        sentences.append(f"Also removed {counted(gone, 'key')} known from it alone; the usage stays.")
    if left:
        own = "its own is" if left == 1 else "their own are"
        sentences.append(f"{counted(left, 'key')} with a secret of {own} watched as before.")
    return " ".join(sentences)
