"""``orwatch db``: the database."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orwatch.cli.answers import answer
from orwatch.cli.context import Context, pass_context
from orwatch.cli.interruption import interruptible
from orwatch.cli.notices import notice
from orwatch.cli.options import confirm, json_option, yes_option
from orwatch.config import settings, values
from orwatch.config.database_url import is_postgres, sqlite_path
from orwatch.config.own_files import refuse_own_file
from orwatch.errors import UsageError
from orwatch.text import is_terminal, printable

if TYPE_CHECKING:
    from orwatch.jobs.db.restore import Backup

_LONGEST_URL = 10_000
_UNFINISHED_COPY = "nothing was copied."
_UNRESTORED = "nothing was restored."


@click.group("db")
def command() -> None:
    """Look after the database: what is in it, check, back up, restore, copy.

    \b
    Example:
      orwatch db backup orwatch-backup.db
    """


@command.command("info")
@json_option
@pass_context
def info(context: Context, as_json: bool) -> None:
    """Show what the database is, how large, and what is in it.

    Creates and upgrades nothing. The address is shown without a password.

    \b
    Example:
      orwatch db info
    """
    from orwatch.jobs.db import info as db_info

    result = db_info.run(context.settings.database_url)
    from orwatch.render import db

    answer(result, db.INFO, db.info_view(result), as_json=as_json)


@command.command("upgrade")
@json_option
@pass_context
def upgrade(context: Context, as_json: bool) -> None:
    """Bring the schema up to this version's.

    Every other command does so by itself when it opens the database; this one only does it and says so. It
    is one transaction: done or not done. Where there is no database it creates none.

    \b
    Example:
      orwatch db upgrade
    """
    from orwatch.jobs.db import opening as db_opening

    result = db_opening.run(context.settings.database_url, context.now)
    from orwatch.render import db

    click.echo(db.UPGRADE.document(result) if as_json else db.upgrade_text(result))


@command.command("check")
@click.option("--repair", is_flag=True, help="Recalculate wrong totals from the ledger.")
@json_option
@pass_context
def check(context: Context, repair: bool, as_json: bool) -> int:
    """Check the database: its file and schema, and that the totals match the ledger.

    Exits with 1 when something was found. `--repair` changes wrong totals and nothing else, in one
    transaction; the totals of months that cleanup has cut cannot be recalculated, and are a finding
    only where they are less than what the ledger still has of them.

    \b
    Examples:
      orwatch db check
      orwatch db check --repair
    """
    from orwatch.jobs.db import check as db_check

    result = db_check.run(context.settings.database_url, is_repair=repair)
    from orwatch.render import db

    answer(result, db.CHECK_ANSWER, db.check_view(result), as_json=as_json)
    return result.exit_code


@command.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite FILE, if it is a regular file.")
@json_option
@pass_context
def backup(context: Context, file: Path, force: bool, as_json: bool) -> None:
    """Write the database to FILE, while others use it.

    FILE is there when it is whole and checked, or not at all; only you may read it. The encryption key is not
    in it. For SQLite; PostgreSQL has pg_dump.

    \b
    Example:
      orwatch db backup /var/backups/orwatch.db --force
    """
    if str(file) == "-":
        raise UsageError("a backup is not written to standard output", "Give the name of a file.")
    refuse_own_file(file.absolute(), context.settings)
    from orwatch.jobs.db import backup as db_backup
    from orwatch.render import console, db

    with interruptible(0, outcome="no backup was written."), console.counting_bar() as update:
        result = db_backup.run(
            context.settings.database_url,
            file.absolute(),
            lambda done, total: update("Pages", done, total),
            is_forced=force,
        )
    click.echo(db.BACKUP.document(result) if as_json else db.backup_text(result))


@command.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@yes_option
@json_option
@pass_context
def restore(context: Context, file: Path, yes: bool, as_json: bool) -> None:
    """Go back to FILE, a backup that `orwatch db backup` wrote.

    FILE is checked first and stays as it is; one of an earlier version is upgraded. The present database is
    kept beside its place. It is one transaction: when it is stopped, nothing was restored. No job can run
    meanwhile. For SQLite; PostgreSQL has pg_restore.

    \b
    Example:
      orwatch db restore /var/backups/orwatch.db
    """
    from orwatch.jobs.db import restore as db_restore
    from orwatch.render import console, db

    settings = context.settings
    with (
        interruptible(0, outcome=_UNRESTORED),
        db_restore.checked(
            settings.database_url, file.absolute(), settings.encryption_keys, context.now
        ) as backup,
    ):
        db_restore.refuse_held(backup, context.clock)
        if backup.unopened:
            notice(_unopened_text(backup.unopened))
        if not yes:
            confirm(printable(_restoring_question(backup, file)), _UNRESTORED)
        with console.counting_bar() as update:
            result = db_restore.run(backup, context.clock, update)
    click.echo(db.RESTORE.document(result) if as_json else db.restore_text(result))


def _restoring_question(backup: Backup, file: Path) -> str:
    if backup.has_present:
        return f"Replace {backup.database.location} by {file} (the present one is kept)?"
    return f"There is no {backup.database.location} now. Put {file} there?"


def _unopened_text(names: Sequence[str]) -> str:
    return (
        f"ORWATCH_ENCRYPTION_KEY does not open the secrets of {', '.join(map(repr, names))} in the backup: "
        "they cannot be used until you put back the encryption key that they were stored with."
    )


@command.command("copy")
@click.option(
    "--to",
    "target",
    required=True,
    metavar="URL",
    help="Database to copy to; - asks for it, or reads it from standard input.",
)
@json_option
@pass_context
def copy(context: Context, target: str, as_json: bool) -> None:
    """Copy everything to another database, which is empty.

    Keys with their encrypted secrets, the ledger, totals, runs: all of it, compared at the end to the last
    row. No job can run meanwhile. It is one transaction: when it is stopped, nothing was copied. A password
    in URL can be seen by other users of this machine; with `--to -` it cannot.

    \b
    Example:
      orwatch db copy --to sqlite:////srv/orwatch/orwatch.db
    """
    from orwatch.jobs.db import copy as db_copy
    from orwatch.render import console, db

    url = settings.check_option(values.database_url, _read_url() if target == "-" else target, "--to")
    if not is_postgres(url):
        refuse_own_file(sqlite_path(url), context.settings)
    with interruptible(0, outcome=_UNFINISHED_COPY), console.counting_bar() as update:
        result = db_copy.run(context.settings.database_url, url, context.clock, update)
    answer(result, db.COPY, db.copy_view(result), as_json=as_json)
    if not as_json:
        click.echo(db.setting_text(result))


def _read_url() -> str:
    if is_terminal(sys.stdin):
        return str(click.prompt("Database to copy to", hide_input=True, err=True))
    return sys.stdin.readline(_LONGEST_URL) if sys.stdin is not None else ""
