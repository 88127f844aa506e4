"""``orwatch status``."""

from __future__ import annotations

import click

from orwatch.cli.context import Context, pass_context
from orwatch.cli.options import json_option


@click.command("status")
@json_option
@pass_context
def command(context: Context, as_json: bool) -> int:
    """Show how the jobs and the keys stand.

    Exits with 1 when something needs a person: a job that was missed or failed, a key that is invalid,
    could not be synced or soon expires.

    \b
    Example:
      orwatch status
    """
    from orwatch.jobs import status

    result = status.run(context.store, context.now)
    from orwatch.render import console
    from orwatch.render import status as render

    if as_json:
        click.echo(render.as_json(result))
    else:
        console.show(render.view(result))
    return result.exit_code
