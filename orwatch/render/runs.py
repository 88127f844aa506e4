"""Runs as a table and JSON."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from orwatch.domain.runs import Job, JobRun
from orwatch.render import numbers
from orwatch.render.console import Parts, Screen, as_view
from orwatch.render.json_text import Member, Shape
from orwatch.render.status import RUN_STYLES
from orwatch.render.tables import Column, make_table
from orwatch.text import counted


@as_view
def view(screen: Screen, runs: Sequence[JobRun], job: Job | None = None) -> Parts:
    """The runs, a row each, the newest first. ``job``: only the runs of this job were asked for."""
    if not runs:
        return [Text(_nothing(job))]
    table = make_table(
        [
            Column("Began (UTC)", [f"{run.started_at:%Y-%m-%d %H:%M:%S}" for run in runs], is_word=True),
            Column("Job", [run.job.value for run in runs], is_word=True),
            Column("Result", [run.status.value for run in runs], is_word=True),
            Column("Took", [_duration(run) for run in runs]),
            Column("What", [_what(run) for run in runs], is_name=True, is_wrapped=True),
        ],
        screen.width,
        row_styles=[RUN_STYLES[run.status] for run in runs],
    )
    return [table]


def _nothing(job: Job | None) -> str:
    if job is None:
        return "No runs yet. Start one: `orwatch sync`; `orwatch cron install` lets cron start them."
    return f"No runs of {job} yet. Start one: `orwatch {job}`; `orwatch runs` shows all jobs."


def _duration(run: JobRun) -> str:
    seconds = _seconds(run)
    if seconds is None:
        return numbers.UNKNOWN
    # Only whole seconds are stored.
    if seconds >= 60:
        return numbers.duration(seconds)
    return f"{seconds} s" if seconds > 0 else "<1 s"


def _what(run: JobRun) -> str:
    if run.error:
        return run.error
    return ", ".join(_counted(count, name) for name, count in run.counts.items() if count)


def _counted(count: int, name: str) -> str:
    """``12 rows written``, ``1 key``."""
    noun, *rest = name.split("_")
    return " ".join(
        [counted(count, noun.removesuffix("s")) if noun.endswith("s") else f"{count:,} {noun}", *rest]
    )


def _seconds(run: JobRun) -> int | None:
    """How long it took; null where it has not ended."""
    return int((run.finished_at - run.started_at).total_seconds()) if run.finished_at else None


_RUN = Shape(
    JobRun,
    Member("job", "The job's name."),
    Member("started_at", "When it began."),
    Member("finished_at", "When it ended; null where it has not."),
    Member("duration_seconds", "How long it took, in whole seconds.", _seconds),
    Member("result", "How it stands or ended.", "status"),
    Member("slot", "The time of the schedule that it stands for; null where it did a part of the job only."),
    Member("counts", "What it counted, such as `rows_written`."),
    Member("error", "Why it failed."),
)
ANSWER = Shape(tuple[JobRun, ...], Member("runs", "The runs, the newest first.", "", _RUN))
