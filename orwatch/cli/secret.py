"""``orwatch secret``: the encryption key."""

from __future__ import annotations

import click

from orwatch.cli.context import Context, pass_context
from orwatch.cli.notices import notice, say
from orwatch.cli.options import is_agreed, yes_option
from orwatch.errors import EXIT_NEEDS_PERSON

_OTHER_MACHINES = (
    "Every other machine that shares the database needs the new ORWATCH_ENCRYPTION_KEY line: until it has "
    "it, it cannot read the stored keys."
)

_OLD_BACKUPS = (
    "Backups of the database from before now need the old key, and it is not kept (--keep-old keeps it). "
    "Rotate?"
)


@click.group("secret")
def command() -> None:
    """Manage the encryption key.

    \b
    Example:
      orwatch secret rotate
    """


@command.command("rotate")
@click.option(
    "--keep-old", is_flag=True, help="Keep the old encryption key listed, for backups that need it."
)
@yes_option
@pass_context
def rotate(context: Context, keep_old: bool, yes: bool) -> None:
    """Re-encrypt every stored key under a new encryption key.

    The new key is written to the env file first and the old one goes last, so that a rotation that is killed
    has lost nothing; run it again. Backups from before need the old key: on a terminal it asks. Machines
    that share a database all need the new line. Where the key comes from the environment, a file or a
    command, list the new key there before the old one; this re-encrypts under the first and leaves the rest
    to you.

    \b
    Example:
      orwatch secret rotate
    """
    from orwatch.cli.job_run import clean_up_after_killed_runs
    from orwatch.jobs.key import rotation

    clean_up_after_killed_runs(context)
    store, keyring = context.store, context.keyring
    is_shared = store.backend.file is None
    elsewhere = context.settings.encryption_keys_elsewhere
    if elsewhere is not None:
        count = rotation.reencrypt(store, keyring)
        say(f"Re-encrypted {count} secrets under the first key of {elsewhere}.")
        if len(keyring.keys) > 1:
            say("The others are needed only for older backups of the database.")
            if is_shared:
                say(_OTHER_MACHINES)
        else:
            say("It lists one key only. To change it, list a new one first: <new>,<old>.")
        return
    if not (keep_old or yes or is_agreed(_OLD_BACKUPS)):
        notice("nothing was changed.")
        raise click.exceptions.Exit(EXIT_NEEDS_PERSON)
    env_file = context.settings.env_file
    count = rotation.rotate(store, env_file, keyring, keeps_old=keep_old)
    say(f"Re-encrypted {count} secrets under a new encryption key, which is in {env_file}.")
    if not keep_old:
        say("The old key is gone: backups of the database from before now cannot be read with the new one.")
    if is_shared:
        say(_OTHER_MACHINES)
