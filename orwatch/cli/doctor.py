"""``orwatch doctor``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from orwatch.cli.answers import answer
from orwatch.cli.context import Context, pass_context
from orwatch.cli.notices import notice
from orwatch.cli.options import json_option
from orwatch.text import is_terminal

if TYPE_CHECKING:
    from orwatch.config.settings import Settings


@click.command("doctor")
@json_option
@pass_context
def command(context: Context, as_json: bool) -> int:
    """Check that everything is right, and say what to do where it is not.

    Looks at the settings and who can read their files, the database, the encryption key, the API and the
    clock; compares what is stored of each key and account with what OpenRouter's own counters report; and
    looks for days without data, jobs that did not run, and cron. Changes nothing.

    Exits with 1 when something was found.

    \b
    Example:
      orwatch doctor
    """
    from orwatch.cli.host import look_at_schedule
    from orwatch.jobs.doctor import run as doctor_job
    from orwatch.openrouter.outage import OF_A_PERSON

    env_file = click.get_current_context().find_root().params.get("env_file")
    surroundings = doctor_job.Surroundings(
        os.environ,
        env_file,
        lambda settings: look_at_schedule(context, settings),
        lambda settings, store: context.client_on(store, settings, OF_A_PERSON),  # somebody waits
        _tell_of_waiting,
    )
    result = doctor_job.run(surroundings, context.clock)
    from orwatch.render import doctor as render

    answer(result, render.ANSWER, render.view(result), as_json=as_json)
    return result.exit_code


def _tell_of_waiting(requests: int, settings: Settings) -> None:
    limit = settings.rate_limit_per_minute
    if 0 < limit < requests and is_terminal(sys.stderr):
        notice(f"asking about {requests:,} keys, {limit} a minute: about {requests // limit} minutes")
