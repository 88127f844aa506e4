"""``orwatch validate``."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import click

from orwatch.cli.answers import answer
from orwatch.cli.context import Context, pass_context
from orwatch.cli.notices import notice
from orwatch.cli.options import json_option, key_option, quiet_option, verbose_option, wait_option
from orwatch.domain.runs import Job
from orwatch.text import counted


@click.command("validate")
@key_option("Ask about")
@wait_option
@json_option
@quiet_option
@verbose_option
@pass_context
def command(
    context: Context,
    key_names: tuple[str, ...],
    wait_seconds: float,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """Ask OpenRouter about every key and deactivate invalid ones.

    A key is invalid when it is refused (401) twice, ORWATCH_REFUSAL_WAIT_SECONDS (30) apart. One that is
    accepted again becomes active again; one that you disabled is not asked about. When OpenRouter has
    trouble, nothing changes; nor when it refuses all of three keys or more, unless it did an hour ago.

    \b
    Examples:
      orwatch validate
      orwatch validate --key production
    """
    context.start_log(Job.VALIDATE, is_verbose=verbose, is_quiet=quiet)
    return run_validate(context, key_names=key_names, wait_seconds=wait_seconds, as_json=as_json, quiet=quiet)


def run_validate(
    context: Context,
    *,
    key_names: tuple[str, ...] = (),
    wait_seconds: float = 0.0,
    as_json: bool,
    quiet: bool,
) -> int:
    """Validate and show the result; returns the exit code."""
    from orwatch.cli.alerting import judge_and_say, send_alerts
    from orwatch.cli.job_run import job_run
    from orwatch.jobs.validate import run as validate_job

    store = context.store
    with (
        job_run(context, Job.VALIDATE, wait_seconds, is_whole=not key_names) as ending,
        ExitStack() as opened,
    ):
        result = validate_job.run(
            store,
            lambda: opened.enter_context(context.client()),
            context.keyring,
            context.clock,
            key_names=key_names,
            concurrency=context.settings.concurrency,
            refusal_wait_seconds=context.settings.refusal_wait_seconds,
            on_refused=lambda keys: None if quiet else _say_wait(keys, context.settings.refusal_wait_seconds),
            options=ending.options,
        )
        result = replace(result, judgement=judge_and_say(context))
        ending.exit_code = result.exit_code
        ending.summary = f"{result.status}: {counted(len(result.keys), 'key')}"
    if as_json or not quiet:
        from orwatch.render import validate as render

        answer(result, render.ANSWER, render.validate_view(result), as_json=as_json)
    send_alerts(context)
    return result.exit_code


def _say_wait(keys: int, seconds: int) -> None:
    notice(f"{counted(keys, 'key')} refused; asking again in {seconds} s")
