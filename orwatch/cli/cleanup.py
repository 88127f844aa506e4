"""``orwatch cleanup``."""

from __future__ import annotations

import click

from orwatch.cli.context import Context, pass_context
from orwatch.cli.options import dry_run_option, json_option, quiet_option, verbose_option, wait_option
from orwatch.config.settings import MAX_RETENTION_DAYS
from orwatch.domain.runs import Job
from orwatch.text import counted


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
@pass_context
def command(
    context: Context,
    retention_days: int | None,
    dry_run: bool,
    wait_seconds: float,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """Move usage past the retention to the monthly totals.

    Removes the days that are more than so many UTC days old and adds them to totals by month, key, model
    and provider, which `orwatch report --by month` still shows. Old run records go too.

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
    )


def run_cleanup(
    context: Context,
    *,
    retention_days: int | None = None,
    dry_run: bool = False,
    wait_seconds: float = 0.0,
    as_json: bool,
    quiet: bool,
) -> int:
    """Clean up, and show what came of it; the exit code."""
    from orwatch.cli.job_run import job_run
    from orwatch.jobs.cleanup import run as cleanup_job

    store = context.store
    with job_run(context, Job.CLEANUP, wait_seconds) as ending:
        result = cleanup_job.run(
            store,
            retention_days or context.settings.retention_days,
            context.clock,
            is_dry_run=dry_run,
            options=ending.options,
        )
        ending.summary = (
            f"{counted(result.rows_removed, 'row')} of {counted(result.days_removed, 'day')} moved"
        )
    if as_json or not quiet:
        from orwatch.render import cleanup as render
        from orwatch.render import console

        if as_json:
            click.echo(render.cleanup_json(result))
        else:
            console.show(render.cleanup_view(result))
    return 0
