"""``orwatch cleanup``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orwatch.cli.answers import answer
from orwatch.cli.context import Context, pass_context
from orwatch.cli.notices import notice
from orwatch.cli.options import (
    dry_run_option,
    is_agreed,
    json_option,
    quiet_option,
    verbose_option,
    wait_option,
    yes_option,
)
from orwatch.clock import Clock
from orwatch.config.settings import MAX_RETENTION_DAYS
from orwatch.domain.runs import Job
from orwatch.errors import EXIT_NEEDS_PERSON
from orwatch.text import counted

if TYPE_CHECKING:
    from orwatch.store.engine.database import Store


@click.command("cleanup")
@click.option(
    "--retention-days",
    type=click.IntRange(1, MAX_RETENTION_DAYS),
    metavar="N",
    help="Keep N days (default: ORWATCH_USAGE_STATS_RETENTION_DAYS, 365).",
)
@dry_run_option
@wait_option
@json_option
@quiet_option
@verbose_option
@yes_option
@pass_context
def command(
    context: Context,
    retention_days: int | None,
    dry_run: bool,
    wait_seconds: float,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    yes: bool,
) -> int:
    """Move usage past the retention to the monthly totals.

    Removes the days that are more than so many UTC days old and adds them to totals by month, key, model
    and provider, which `orwatch report --by month` still shows. Old runs and alerts go too. On a terminal it
    asks before it keeps fewer days than the last cleanup.

    \b
    Examples:
      orwatch cleanup --dry-run
      orwatch cleanup --retention-days 730
    """
    context.start_log(Job.CLEANUP, is_verbose=verbose, is_quiet=quiet)
    return run_cleanup(
        context,
        retention_days=retention_days,
        dry_run=dry_run,
        wait_seconds=wait_seconds,
        as_json=as_json,
        quiet=quiet,
        is_agreed_to=yes,
    )


def run_cleanup(
    context: Context,
    *,
    retention_days: int | None = None,
    dry_run: bool = False,
    wait_seconds: float = 0.0,
    as_json: bool,
    quiet: bool,
    is_agreed_to: bool = False,
) -> int:
    """Clean up, and show what came of it; the exit code."""
    from orwatch.cli.job_run import job_run
    from orwatch.jobs.cleanup import run as cleanup_job

    store = context.store
    kept_days = retention_days or context.settings.retention_days
    question = None if dry_run or is_agreed_to else _question(store, kept_days, context.clock)
    if question is not None and not is_agreed(question):
        notice("nothing was removed.")
        return EXIT_NEEDS_PERSON
    with job_run(context, Job.CLEANUP, wait_seconds) as ending:
        result = cleanup_job.run(
            store,
            kept_days,
            context.clock,
            is_dry_run=dry_run,
            options=ending.options,
        )
        ending.summary = (
            f"{counted(result.rows_removed, 'row')} of {counted(result.days_removed, 'day')} moved"
        )
    if as_json or not quiet:
        from orwatch.render import cleanup as render

        answer(result, render.ANSWER, render.cleanup_view(result), as_json=as_json)
    return 0


def _question(store: Store, kept_days: int, clock: Clock) -> str | None:
    """What to ask where fewer days are kept than by the last cleanup and some would go; None: nothing."""
    from orwatch.jobs.cleanup import run as cleanup_job
    from orwatch.render import numbers

    last = cleanup_job.last_retention(store)
    if last is None or kept_days >= last:
        return None
    gone = cleanup_job.run(store, kept_days, clock, is_dry_run=True)
    if not gone.days_removed:
        return None
    return (
        f"The last cleanup kept {counted(last, 'day')}, this one keeps {kept_days}: "
        f"{counted(gone.rows_removed, 'row')} of {counted(gone.days_removed, 'day')} before {gone.kept_from} "
        f"({numbers.usd(gone.cost_moved_usd)}) go to the monthly totals, and their days are gone. Clean up?"
    )
