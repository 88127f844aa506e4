"""``orwatch runs``."""

from __future__ import annotations

import click

from orwatch.cli.answers import answer
from orwatch.cli.context import Context, pass_context
from orwatch.cli.options import json_option
from orwatch.domain.runs import Job


@click.command("runs")
@click.option("--job", type=click.Choice([job.value for job in Job]), help="Only the runs of this job.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=20, metavar="N", help="The latest N (default: 20)."
)
@json_option
@pass_context
def command(context: Context, job: str | None, limit: int, as_json: bool) -> None:
    """Show the history of runs.

    \b
    Examples:
      orwatch runs
      orwatch runs --job validate --limit 7
    """
    from orwatch.jobs.runs.history import list_runs

    wanted = Job(job) if job else None
    listed = list_runs(context.store, wanted, limit)
    from orwatch.render import runs as render

    answer(listed, render.ANSWER, render.view(listed, wanted), as_json=as_json)
