"""What the commands that cron starts share: signals, the time limit, the wait for the lock, the heartbeat."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orwatch.cli.context import Context
from orwatch.cli.heartbeat import Heartbeat
from orwatch.cli.interruption import CARRIES_ON, interruptible
from orwatch.domain.runs import Job
from orwatch.errors import EXIT_DONE
from orwatch.jobs.runs.recorded import RunOptions
from orwatch.leftovers import remove_leftovers


@dataclass(slots=True)
class Ending:
    """How a run ended, as the command found it."""

    options: RunOptions
    exit_code: int = EXIT_DONE
    summary: str = ""
    # What becomes of it where a signal or the time limit ends it.
    if_stopped: str = CARRIES_ON


@contextmanager
def job_run(
    context: Context, job: Job, wait_seconds: float = 0.0, *, is_whole: bool = True
) -> Iterator[Ending]:
    """Run one job: it can be stopped, and reports to its heartbeat how it began and ended.

    ``is_whole`` False: it does a part of the job only, of which the heartbeat hears nothing.
    """
    clean_up_after_killed_runs(context)
    heartbeat = Heartbeat(context.settings.heartbeat_url if is_whole else None, job)
    ending = Ending(RunOptions(wait_seconds))
    timeout_minutes = context.settings.job_timeout_minutes
    try:
        with interruptible(timeout_minutes, wait_seconds, lambda: ending.if_stopped) as restart_limit:

            def begin() -> None:
                restart_limit()
                heartbeat.start()

            ending.options = RunOptions(wait_seconds, begin)
            yield ending
    except BaseException as error:
        heartbeat.fail(str(error) or type(error).__name__)
        raise
    heartbeat.finish(ending.exit_code, ending.summary)


def clean_up_after_killed_runs(context: Context) -> None:
    """Remove the temporary files that they left: beside the env file, some of them hold encryption keys."""
    temporary = context.environ.get("TMPDIR") or "/tmp"  # noqa: S108 (nothing is made there)
    folders = {context.env_file.resolve().parent, Path(temporary)}
    if context.store.backend.file is not None:
        folders.add(context.store.backend.file.resolve().parent)
    for folder in folders:
        remove_leftovers(folder)
