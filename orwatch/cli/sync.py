"""``orwatch sync``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import click

from orwatch.cli.answers import answer
from orwatch.cli.context import Context, pass_context
from orwatch.cli.notices import notice
from orwatch.cli.options import (
    dry_run_option,
    json_option,
    key_option,
    quiet_option,
    read_day,
    read_span,
    verbose_option,
    wait_option,
)
from orwatch.config.settings import MAX_SYNC_DAYS
from orwatch.domain.runs import Job
from orwatch.errors import UsageError
from orwatch.text import counted, printable

if TYPE_CHECKING:
    from orwatch.jobs.sync.progress import SyncProgress
    from orwatch.store.engine.database import Store

_NAMES_LISTED = 5


@click.command("sync")
@click.option(
    "--days", type=click.IntRange(1, MAX_SYNC_DAYS), metavar="N", help="The last N days, today included."
)
@click.option("-s", "--since", callback=read_day, metavar="DAY", help="The first day to ask for.")
@click.option(
    "-u", "--until", callback=read_day, metavar="DAY", help="The last day to ask for (default: today)."
)
@click.option(
    "--backfill",
    callback=read_span,
    metavar="SPAN",
    help="Fetch account history this far back: 365d, 26w, 12m or all. For management keys.",
)
@key_option("Sync")
@click.option("--catch-up", is_flag=True, help="Afterwards, run a missed validate or cleanup; for cron.")
@dry_run_option
@wait_option
@json_option
@quiet_option
@verbose_option
@pass_context
def command(
    context: Context,
    days: int | None,
    since: date | None,
    until: date | None,
    backfill: date | None,
    key_names: tuple[str, ...],
    catch_up: bool,
    dry_run: bool,
    wait_seconds: float,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """Fetch the usage of every active key into the database.

    Asks for the last ORWATCH_SYNC_DAYS days (7), and further back for a key whose last good sync is longer
    ago. Running it again changes nothing that has not changed at OpenRouter. All days are UTC days.

    A management key brings the keys of its whole account: today's usage, the last 30 completed days with
    their providers, and on its first sync what OpenRouter remembers of the last 365 days.

    \b
    Examples:
      orwatch sync
      orwatch sync --days 30
      orwatch sync --backfill 365d
      orwatch sync --since 2026-11-01 --until 2026-11-15 --key production
    """
    from orwatch.cli.alerting import judge_and_say, send_alerts
    from orwatch.cli.job_run import job_run
    from orwatch.jobs.sync import run as sync_job
    from orwatch.jobs.sync.request import SyncRequest

    if backfill is not None and (days is not None or since is not None):
        raise UsageError("--backfill and --days/--since exclude each other.")
    request = SyncRequest(
        *_window(context, days, since, until),
        reaches_back=days is None and since is None,
        key_names=key_names,
        concurrency=context.settings.concurrency,
        is_dry_run=dry_run,
        source=context.settings.usage_source,
        backfill_from=backfill,
        limit_seconds=context.settings.job_timeout_minutes * 60 or None,
    )
    context.start_log(Job.SYNC, is_verbose=verbose, is_quiet=quiet)
    store = context.store
    if backfill is not None:
        _warn_of_ordinary_keys(store, key_names)
    with (
        job_run(context, Job.SYNC, wait_seconds, is_whole=not key_names) as ending,
        ExitStack() as opened,
        context.progress_bar("Syncing") as bar,
    ):

        def on_progress(progress: SyncProgress) -> None:
            if dry_run:
                ending.if_stopped = "it was a dry run, nothing was written."
            elif progress.rows_written:
                written = counted(progress.rows_written, "row")
                ending.if_stopped = f"{written} written so far are stored, the next run carries on."
            if bar is not None:
                bar.tell(progress)

        result = sync_job.run(
            store,
            lambda: opened.enter_context(context.client(bar=bar)),
            context.keyring,
            request,
            context.clock,
            on_progress,
            ending.options,
        )
        if not dry_run:
            result = replace(result, judgement=judge_and_say(context))
        ending.exit_code = result.exit_code
        ending.summary = (
            f"{result.status}: {counted(result.rows_written, 'row')} written for "
            f"{counted(len(result.keys), 'key')}"
        )
    if as_json or not quiet:
        from orwatch.render import sync as render

        answer(result, render.ANSWER, render.sync_view(result), as_json=as_json)
    if not dry_run:
        send_alerts(context)
    if not catch_up or dry_run:
        return result.exit_code
    from orwatch.cli.catch_up import catch_up as run_missed
    from orwatch.cli.catch_up import worst

    return worst(result.exit_code, run_missed(context, quiet=quiet or as_json))


def _warn_of_ordinary_keys(store: Store, names: Sequence[str]) -> None:
    """Say of which keys ``--backfill`` reads nothing."""
    from orwatch.jobs.key.selection import keys_without_account

    ordinary = keys_without_account(store, names)
    if not ordinary:
        return
    is_few = len(ordinary) <= _NAMES_LISTED
    named = ", ".join(map(printable, ordinary)) if is_few else counted(len(ordinary), "key")
    notice(
        "--backfill reads the past of an account, through a management key. It reads nothing more "
        f"of {named}: no management key lists {'it' if len(ordinary) == 1 else 'them'}."
    )


def _window(context: Context, days: int | None, since: date | None, until: date | None) -> tuple[date, date]:
    from orwatch.jobs.sync.request import last_days

    today = context.today
    if days is not None:
        if since is not None or until is not None:
            raise UsageError("--days and --since/--until exclude each other.")
        return last_days(today, days), today
    if since is None:
        if until is not None:
            raise UsageError("--until needs --since.")
        return last_days(today, context.settings.sync_days), today
    last = until or today
    if last > today:
        raise UsageError(f"--until {last} is in the future; today is {today} (UTC).")
    if since > last:
        raise UsageError(f"--since {since} is after --until {last}.")
    return since, last
