"""Status as tables and JSON."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from orwatch.models import RunStatus
from orwatch.render import json_text, numbers
from orwatch.render.console import View
from orwatch.render.json_text import JsonValue
from orwatch.render.keys import state
from orwatch.render.tables import Column, make_table
from orwatch.results import JobStatus, KeyStatus, StatusResult
from orwatch.text import printable

# With more keys than this, only those with a problem are listed.
_KEYS_LISTED = 25

_RUN_STYLES = {
    RunStatus.RUNNING: "",
    RunStatus.OK: "",
    RunStatus.PARTIAL: "yellow",
    RunStatus.FAILED: "red",
    RunStatus.INTERRUPTED: "red",
}


def view(result: StatusResult) -> View:
    """Jobs, keys, the database, and what needs a person."""

    def parts(width: int, *, ascii_only: bool) -> Sequence[RenderableType]:
        shown: list[RenderableType] = [_job_table(result, width), Text()]
        listed = [key for key in result.keys if len(result.keys) <= _KEYS_LISTED or key.problem]
        if listed:
            shown += [_key_table(result, listed, width), Text()]
        if len(listed) < len(result.keys):
            rest = len(result.keys) - len(listed)
            shown += [Text(f"{numbers.count(rest)} more keys without problems: `orwatch key list`"), Text()]
        shown += _database_lines(result)
        problems = [Text(f"! {printable(problem)}", style="red") for problem in result.problems]
        return [*shown, Text(), *(problems or [Text("Nothing needs you.", style="green")])]

    return parts


def _job_table(result: StatusResult, width: int) -> RenderableType:
    jobs = result.jobs
    return make_table(
        [
            Column("Job", [job.job.value for job in jobs], is_word=True),
            Column("Last run (UTC)", [_last_start(job) for job in jobs], dispensable=3),
            Column("Age", [_age(job, result) for job in jobs]),
            Column("Result", [_result(job) for job in jobs], is_word=True),
            Column(
                "Missed",
                ["yes" if job.is_missed else "no" for job in jobs],
                is_word=True,
                dispensable=2,
            ),
            Column("Next due (UTC)", [numbers.moment(job.next_due_at) for job in jobs], dispensable=4),
        ],
        width,
        row_styles=["red" if job.is_missed else _run_style(job) for job in jobs],
    )


def _last_start(job: JobStatus) -> str:
    return numbers.moment(job.last_run.started_at) if job.last_run else "never"


def _age(job: JobStatus, result: StatusResult) -> str:
    return numbers.age(job.last_run.started_at, result.now) if job.last_run else numbers.UNKNOWN


def _result(job: JobStatus) -> str:
    return job.last_run.status.value if job.last_run else numbers.UNKNOWN


def _run_style(job: JobStatus) -> str:
    return _RUN_STYLES[job.last_run.status] if job.last_run else ""


def _key_table(result: StatusResult, keys: Sequence[KeyStatus], width: int) -> RenderableType:
    return make_table(
        [
            Column("Key", [key.key.name for key in keys], is_name=True),
            Column("State", [state(key.key) for key in keys], is_word=True),
            Column("Last sync", [numbers.age(key.key.last_synced_at, result.now) for key in keys]),
            Column("Problem", [_first_words(key.problem) for key in keys], is_word=True, dispensable=1),
        ],
        width,
        row_styles=["red" if key.problem else "" for key in keys],
    )


def _first_words(problem: str | None) -> str:
    """A word for the table; the sentence stands beneath."""
    return "yes, see below" if problem else "none"


def _database_lines(result: StatusResult) -> list[Text]:
    extent = (
        f"{numbers.count(result.ledger_rows)} rows, {result.first_day} to {result.last_day}"
        if result.first_day
        else "no usage yet"
    )
    return [
        Text(f"Database: {printable(result.database)}", overflow="fold"),
        Text(f"          {numbers.size(result.database_bytes)}, {extent}"),
    ]


def as_json(result: StatusResult) -> str:
    """Jobs, keys, database and problems."""
    return json_text.document(
        {
            "status": "attention" if result.problems else "ok",
            "now": result.now,
            "jobs": [_job_members(job, result) for job in result.jobs],
            "keys": [
                {
                    "name": key.key.name,
                    "state": state(key.key),
                    "last_synced_at": key.key.last_synced_at,
                    "problem": key.problem,
                }
                for key in result.keys
            ],
            "database": {
                "path": result.database,
                "size_bytes": result.database_bytes,
                "rows": result.ledger_rows,
                "first_day": result.first_day,
                "last_day": result.last_day,
            },
            "problems": list(result.problems),
        }
    )


def _job_members(job: JobStatus, result: StatusResult) -> dict[str, JsonValue]:
    run = job.last_run
    return {
        "job": job.job.value,
        "last_run_at": run.started_at if run else None,
        "finished_at": run.finished_at if run else None,
        "result": run.status.value if run else None,
        "error": run.error if run else None,
        "age_seconds": int((result.now - run.started_at).total_seconds()) if run else None,
        "next_due_at": job.next_due_at,
        "is_missed": job.is_missed,
    }
