"""``orwatch status``."""

from __future__ import annotations

import click

from orwatch.cli.answers import answer
from orwatch.cli.context import Context, pass_context
from orwatch.cli.options import json_option


@click.command("status")
@json_option
@pass_context
def command(context: Context, as_json: bool) -> int:
    """Show the state of the jobs, the keys and the spending.

    Exits with 1 when something needs attention: a job that was missed or failed, a schedule that cannot work,
    an alert that holds and that nobody has acknowledged, a key that is invalid, could not be synced, has used
    up its limit or soon expires, a balance below one dollar, an encryption key that does not open the stored
    secrets. Where orwatch's schedule is not installed, a job counts as missed when it used to run regularly
    and has stopped.

    \b
    Example:
      orwatch status
    """
    from orwatch.cli.host import look_at_schedule
    from orwatch.jobs.status import run as status_job

    store = context.store
    shown = look_at_schedule(context, context.settings)
    result = status_job.run(store, context.now, shown, keyring=context.keyring)
    from orwatch.render import status as render

    answer(result, render.ANSWER, render.view(result), as_json=as_json)
    return result.exit_code
