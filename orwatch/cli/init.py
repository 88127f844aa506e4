"""``orwatch init``."""

from __future__ import annotations

import click

from orwatch.cli.context import Context, pass_context


@click.command("init")
@pass_context
def command(context: Context) -> None:
    """Create the data folder, the database and an encryption key.

    `orwatch key add` does the same where it is the first; no other command creates any of them. What is
    there already stays as it is.

    \b
    Example:
      orwatch init
    """
    context.may_create = True
    store = context.store
    elsewhere = context.settings.encryption_keys_elsewhere
    origin = "the environment" if elsewhere == "ORWATCH_ENCRYPTION_KEY" else elsewhere
    origin = origin or str(context.settings.env_file)
    click.echo(f"Database:       {store.location}")
    keyring = context.keyring
    click.echo(f"Encryption key: in {origin}" if keyring.keys else "Encryption key: missing")
    click.echo(f"Settings:       {context.settings.env_file}")
    if not keyring.keys:
        keyring.vault()  # says what to do
