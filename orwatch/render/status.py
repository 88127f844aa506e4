"""Status as tables and JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.console import RenderableType
from rich.text import Text

from orwatch.domain.keys import state
from orwatch.domain.runs import RunStatus
from orwatch.jobs.cron.result import ScheduleState, ScheduleSummary
from orwatch.jobs.status.result import AccountBalance, Allowance, JobStatus, KeyStatus, StatusResult
from orwatch.render import json_text, numbers
from orwatch.render.console import View
from orwatch.render.json_text import JsonValue
from orwatch.render.tables import Column, make_table
from orwatch.text import printable

# With more keys than this, only those with a problem are listed.
_KEYS_LISTED = 25

# Of the keys with a limit, so many of those with the least left.
_ALLOWANCES_LISTED = 5

_NO_KEY = (
    "No key is watched yet: `orwatch key add NAME` stores one; a management key watches a whole account."
)
_NO_ACTIVE_KEY = "No key is watched: `orwatch key enable NAME` watches one again."

# While the jobs run, there is nothing to do about these.
_NO_CONCERN = frozenset({ScheduleState.INSTALLED, ScheduleState.OWN, ScheduleState.OTHER_SETTINGS})

# Beneath "Database: ".
_INDENT = " " * 10

# A reading that is as old as that says so: sync reads anew every hour.
_OLD = timedelta(hours=2)

RUN_STYLES = {
    RunStatus.RUNNING: "",
    RunStatus.OK: "",
    RunStatus.PARTIAL: "yellow",
    RunStatus.FAILED: "red",
    RunStatus.INTERRUPTED: "red",
}


def view(result: StatusResult) -> View:
    """Jobs, keys, the database, and what needs a person."""

    def parts(width: int, *, ascii_only: bool) -> Sequence[RenderableType]:
        shown: list[RenderableType] = [_job_table(result, width), Text(), *_money_lines(result), Text()]
        if result.allowances:
            shown += [_allowance_table(result, width), Text()]
        listed = [key for key in result.keys if len(result.keys) <= _KEYS_LISTED or key.problem]
        if listed:
            shown += [_key_table(result, listed, width), Text()]
        if len(listed) < len(result.keys):
            rest = len(result.keys) - len(listed)
            shown += [Text(f"{numbers.count(rest)} more keys without problems: `orwatch key list`"), Text()]
        shown += [*_schedule_lines(result, width), *_database_lines(result)]
        problems = [Text(f"! {printable(problem)}", style="red") for problem in result.problems]
        return [*shown, Text(), *problems, *_last_lines(result)]

    return parts


def _last_lines(result: StatusResult) -> list[Text]:
    if result.problems:
        return []
    if not any(each.key.is_active for each in result.keys):
        # It is no trouble, and yet nobody shall believe that all is well.
        return [Text(_NO_ACTIVE_KEY if result.keys else _NO_KEY, style="yellow")]
    return [Text("Nothing needs you.", style="green")]


def _schedule_lines(result: StatusResult, width: int) -> list[Text]:
    found = result.schedule
    if found is None:
        return []
    text, style = f"{found.message}. {found.advice}", "yellow"
    if found.state in _NO_CONCERN:
        text, style = found.message, ""
    elif found.state is ScheduleState.UNCLEAR:
        text = "nobody can tell which lines are orwatch's: see below"
    elif found.state is ScheduleState.BROKEN:
        text = f"{', '.join(found.locations)}, and it cannot work: see below"
    elif found.state is ScheduleState.NOT_INSTALLED and result.runs_by_itself:
        text, style = f"{found.message}; something else starts the jobs", ""
    room = max(width - len(_INDENT), len(_INDENT))
    lines = textwrap.wrap(printable(text), room, break_on_hyphens=False) or [""]
    labels = ["Schedule: ", *[_INDENT] * (len(lines) - 1)]
    return [
        Text(label + line, style=style, overflow="fold") for label, line in zip(labels, lines, strict=True)
    ]


def _money_lines(result: StatusResult) -> list[Text]:
    lines = [
        f"Spent:    {numbers.usd(result.spent_today_usd)} today, "
        f"{numbers.usd(result.spent_month_usd)} this month so far (UTC)"
    ]
    for account in result.accounts:
        parts = [numbers.usd(account.credits.balance_usd if account.credits else None)]
        if len(result.accounts) > 1:
            parts[0] += f" ({account.name})"
        if account.last_purchase is not None:
            purchase = account.last_purchase
            parts.append(f"bought {numbers.usd(purchase.amount_usd)} since {purchase.since}")
        if _is_old(account.read_at, result.now):
            parts.append(f"read {numbers.age(account.read_at, result.now)}")
        label = "Balance:" if account is result.accounts[0] else ""
        lines.append(f"{label:10}{', '.join(parts)}")
    return [Text(printable(line), overflow="fold") for line in lines]


def _is_old(read_at: datetime | None, now: datetime) -> bool:
    return read_at is not None and now - read_at >= _OLD


def _allowance_table(result: StatusResult, width: int) -> RenderableType:
    """The keys with the least left, of those that have a limit."""
    least = result.allowances[:_ALLOWANCES_LISTED]
    keys = [each.key for each in least]
    return make_table(
        [
            Column("Least left", [key.name for key in keys], is_name=True),
            Column("Can spend", [numbers.usd(each.amount_usd) for each in least]),
            Column(
                "Of its limit", [numbers.usd(key.facts.limit_remaining_usd) for key in keys], dispensable=2
            ),
            Column("Limit", [numbers.usd(key.facts.limit_usd) for key in keys], dispensable=3),
            Column("Resets", [key.facts.limit_reset or "never" for key in keys], is_name=True, dispensable=4),
            Column("Read", [numbers.age(key.facts_read_at, result.now) for key in keys], dispensable=1),
        ],
        width,
    )


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
    return RUN_STYLES[job.last_run.status] if job.last_run else ""


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
            "spent_today": result.spent_today_usd,
            "spent_this_month": result.spent_month_usd,
            "accounts": [_account_members(account) for account in result.accounts],
            "can_spend": [_allowance_members(each) for each in result.allowances],
            "database": {
                "path": result.database,
                "size_bytes": result.database_bytes,
                "rows": result.ledger_rows,
                "first_day": result.first_day,
                "last_day": result.last_day,
            },
            "schedule": None if result.schedule is None else _schedule_members(result.schedule),
            "problems": list(result.problems),
        }
    )


def _schedule_members(schedule: ScheduleSummary) -> dict[str, JsonValue]:
    return {
        "state": schedule.state.value,
        "locations": list(schedule.locations),
        "message": schedule.message,
        "advice": schedule.advice,
    }


def _account_members(account: AccountBalance) -> dict[str, JsonValue]:
    credits, purchase = account.credits, account.last_purchase
    return {
        "name": account.name,
        "balance": None if credits is None else credits.balance_usd,
        "bought": None if credits is None else credits.bought_usd,
        "spent": None if credits is None else credits.spent_usd,
        "read_at": account.read_at,
        "last_purchase": None
        if purchase is None
        else {"amount": purchase.amount_usd, "since": purchase.since},
    }


def _allowance_members(allowance: Allowance) -> dict[str, JsonValue]:
    facts = allowance.key.facts
    return {
        "key": allowance.key.name,
        "amount": allowance.amount_usd,
        "limit": facts.limit_usd,
        "limit_remaining": facts.limit_remaining_usd,
        "limit_reset": facts.limit_reset,
        "balance": allowance.balance_usd,
        "read_at": allowance.key.facts_read_at,
    }


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
