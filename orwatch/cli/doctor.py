"""``orwatch doctor``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from orwatch.cli.answers import answer
from orwatch.cli.context import ASKING, Context, pass_context
from orwatch.cli.notices import notice
from orwatch.cli.options import json_option
from orwatch.text import is_terminal

if TYPE_CHECKING:
    from orwatch.config.settings import Settings
    from orwatch.openrouter.client import Client
    from orwatch.store.engine.database import Store


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

    env_file = click.get_current_context().find_root().params.get("env_file")
    surroundings = doctor_job.Surroundings(
        os.environ,
        env_file,
        lambda settings: look_at_schedule(context, settings),
        lambda settings, store: _open_client(context, settings, store),
        _tell_of_waiting,
    )
    result = doctor_job.run(surroundings, context.clock)
    from orwatch.render import doctor as render

    answer(result, render.ANSWER, render.view(result), as_json=as_json)
    return result.exit_code


@contextmanager
def _open_client(context: Context, settings: Settings, store: Store | None) -> Iterator[Client]:
    """A client that soon gives up: somebody waits for the answers."""
    from orwatch.openrouter.client import Client
    from orwatch.openrouter.outage import OF_A_PERSON
    from orwatch.store.engine.rate_limit import RateLimiter

    def start_at_once() -> Callable[[], None]:
        """Without a database the requests of all processes cannot be counted; it is one or two then."""
        return lambda: None

    with context.progress_bar(ASKING) as bar:
        on_wait = bar.wait if bar is not None else None
        limiter = (
            RateLimiter(store, settings.rate_limit_per_minute, context.clock, on_wait) if store else None
        )
        with Client(
            settings.api_url,
            clock=context.clock,
            wait_for_turn=limiter.wait_for_turn if limiter else start_at_once,
            connections=settings.concurrency,
            patience=OF_A_PERSON,
        ) as client:
            yield client


def _tell_of_waiting(requests: int, settings: Settings) -> None:
    limit = settings.rate_limit_per_minute
    if 0 < limit < requests and is_terminal(sys.stderr):
        notice(f"asking about {requests:,} keys, {limit} a minute: about {requests // limit} minutes")
