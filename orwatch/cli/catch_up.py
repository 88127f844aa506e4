"""The jobs that were missed, run as their commands run them: what ``orwatch sync --catch-up`` does then."""

from __future__ import annotations

from contextlib import suppress

from orwatch.cli.context import Context
from orwatch.cli.notices import notice
from orwatch.domain.runs import Job
from orwatch.errors import EXIT_DONE, EXIT_NEEDS_PERSON, EXIT_TRY_AGAIN, LockHeldError


def catch_up(context: Context, *, quiet: bool) -> int:
    """Run what was missed, validate and cleanup; the exit code that a person has to see first."""
    from orwatch.jobs.runs.history import missed_jobs

    missed = missed_jobs(context.store, context.now)
    codes = [EXIT_DONE]
    for job in missed:
        context.log_as(job)
        if not quiet:
            notice(f"{job} was missed, and is run now:")
        try:
            codes.append(_run(job, context, quiet))
        except LockHeldError:
            continue  # it is being done
    if Job.VALIDATE not in missed:
        _ask_again(context, quiet)
    return worst(*codes)


def _ask_again(context: Context, quiet: bool) -> None:
    """Ask about the keys that validate has just deactivated; that they are invalid has been said."""
    from orwatch.cli.validate import run_validate
    from orwatch.jobs.validate.run import recently_deactivated

    names = recently_deactivated(context.store, context.now)
    if not names:
        return
    context.log_as(Job.VALIDATE)
    with suppress(LockHeldError):
        run_validate(context, key_names=names, as_json=False, quiet=quiet)


def worst(*codes: int) -> int:
    """Of several exit codes the most urgent one."""
    return next((code for code in (EXIT_NEEDS_PERSON, EXIT_TRY_AGAIN) if code in codes), max(codes))


def _run(job: Job, context: Context, quiet: bool) -> int:
    from orwatch.cli.cleanup import run_cleanup
    from orwatch.cli.validate import run_validate

    run = run_validate if job is Job.VALIDATE else run_cleanup
    return run(context, as_json=False, quiet=quiet)
