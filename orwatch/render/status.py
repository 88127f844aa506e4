"""Status as tables and JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.console import RenderableType
from rich.text import Text

from orwatch.domain.can_spend import own_limit
from orwatch.domain.keys import StoredKey
from orwatch.domain.runs import RunStatus
from orwatch.jobs.cron.result import ScheduleState, ScheduleSummary
from orwatch.jobs.status.result import (
    AccountStatus,
    Allowance,
    JobStatus,
    KeyStatus,
    Purchase,
    StatusResult,
)
from orwatch.render import numbers
from orwatch.render.alert import ALERT
from orwatch.render.allowances import CAN_SPEND, LIMIT, amount_text, can_spend_columns
from orwatch.render.console import Parts, Screen, as_view
from orwatch.render.forecast import MONTH, on_course, short_day
from orwatch.render.json_text import Member, Merged, Shape, ok_or_attention
from orwatch.render.tables import KEYS_LISTED, Column, make_table
from orwatch.text import counted, printable

# Of the keys with a limit, so many of those with the least left.
_ALLOWANCES_LISTED = 5

_NO_KEY = "No keys yet. Add one: `orwatch key add NAME`; a management key watches a whole account."
_NO_ACTIVE_KEY = "No key is active. Enable one: `orwatch key enable NAME`."

# While the jobs run, there is nothing to do about these.
_NO_CONCERN = frozenset({ScheduleState.INSTALLED, ScheduleState.OWN, ScheduleState.OTHER_SETTINGS})

# As wide as "Database: ".
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


@as_view
def view(screen: Screen, result: StatusResult) -> Parts:
    """Jobs, money, keys, the schedule, the database, and what needs attention."""
    shown: list[RenderableType] = [_job_table(result, screen.width), Text(), *_money_lines(result), Text()]
    if result.allowances:
        shown += [_allowance_table(result, screen.width), Text()]
    listed = [
        key
        for key in result.keys
        if len(result.keys) <= KEYS_LISTED
        or (key.problem is not None and key.problem not in result.shared_problems)
    ]
    if listed:
        shown += [_key_table(result, listed, screen.width), Text()]
    if len(listed) < len(result.keys):
        shown += [Text(_rest_text(result, len(listed))), Text()]
    shown += [*_schedule_lines(result, screen.width), *_database_lines(result)]
    problems = [Text(f"! {printable(problem)}", style="red") for problem in result.problems]
    return [*shown, Text(), *problems, *_last_lines(result)]


def _rest_text(result: StatusResult, listed: int) -> str:
    """How many keys are not listed, and how many of these share their problems."""
    sharing = sum(key.problem in result.shared_problems for key in result.keys)
    rest = len(result.keys) - listed - sharing
    texts = []
    if sharing:
        texts.append(f"{counted(sharing, 'key')} with problems in common: see below")
    if rest:
        texts.append(f"{counted(rest, 'more key')} without problems: `orwatch key list`")
    return "\n".join(texts)


def _last_lines(result: StatusResult) -> list[Text]:
    if result.problems:
        return []
    if not any(each.key.is_active for each in result.keys):
        # No problem, but "Nothing needs you" would be misleading.
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
        text = "it is unclear which lines are orwatch's: see below"
    elif found.state is ScheduleState.DIFFERS:
        text = f"{found.message}: see below"
    elif found.state is ScheduleState.BROKEN:
        text = f"{', '.join(found.locations)} cannot work: see below"
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
    if result.course is not None:
        lines.append(f"{'':10}{on_course(result.course.forecast)} this month")
    for account in result.accounts:
        parts = [numbers.usd(account.credits.balance_usd if account.credits else None)]
        if len(result.accounts) > 1:
            parts[0] += f" ({account.name})"
        if account.last_purchase is not None:
            purchase = account.last_purchase
            parts.append(f"bought {numbers.usd(purchase.amount_usd)} since {purchase.since}")
        if account.read_at is not None and result.now - account.read_at >= _OLD:
            parts.append(f"read {numbers.age(account.read_at, result.now)}")
        label = "Balance:" if account is result.accounts[0] else ""
        lines.append(f"{label:10}{', '.join(parts)}")
        if account.lasting and account.credits and account.credits.balance_usd > 0:
            until = short_day(account.lasting.until, result.now.date())
            lines.append(f"{'':10}lasts until about {until} at the pace of the last two weeks")
    return [Text(printable(line), overflow="fold") for line in lines]


def _allowance_table(result: StatusResult, width: int) -> RenderableType:
    """The keys with the least left, of those that something but the balance limits."""
    least = result.allowances[:_ALLOWANCES_LISTED]
    keys = [each.key for each in least]
    return make_table(
        [
            Column("Least left", [key.name for key in keys], is_name=True),
            *can_spend_columns(
                [amount_text(each.can_spend) for each in least], [each.can_spend for each in least]
            ),
            Column("Of its limit", [_own_remaining(key, result.now) for key in keys], dispensable=3),
            Column("Limit", [numbers.usd(key.facts.limit_usd) for key in keys], dispensable=4),
            Column("Read", [numbers.age(key.facts_read_at, result.now) for key in keys], dispensable=5),
        ],
        width,
    )


def _own_remaining(key: StoredKey, now: datetime) -> str:
    limit = own_limit(key.facts, key.facts_read_at, now)
    return numbers.UNKNOWN if limit is None or limit.is_at_most else numbers.usd(limit.remaining_usd)


def _job_table(result: StatusResult, width: int) -> RenderableType:
    jobs = result.jobs
    starts = [job.last_run.started_at if job.last_run else None for job in jobs]
    begun = ["never" if start is None else numbers.moment(start) for start in starts]
    results = [job.last_run.status if job.last_run else None for job in jobs]
    missed = ["yes" if job.is_missed else "no" for job in jobs]
    styles = ["" if status is None else RUN_STYLES[status] for status in results]
    return make_table(
        [
            Column("Job", [job.job.value for job in jobs], is_word=True),
            Column("Last run (UTC)", begun, dispensable=3),
            Column("Age", [numbers.age(start, result.now) for start in starts]),
            Column("Result", [status or numbers.UNKNOWN for status in results], is_word=True),
            Column("Missed", missed, is_word=True, dispensable=2),
            Column("Next due (UTC)", [numbers.moment(job.next_due_at) for job in jobs], dispensable=4),
        ],
        width,
        row_styles=["red" if job.is_missed else style for job, style in zip(jobs, styles, strict=True)],
    )


def _key_table(result: StatusResult, keys: Sequence[KeyStatus], width: int) -> RenderableType:
    known = {alert.subject for alert in result.alerts if alert.acknowledged_at is not None}
    problems = [
        "none" if not key.problem else "yes, acknowledged" if key.alert in known else "yes, see below"
        for key in keys
    ]
    return make_table(
        [
            Column("Key", [key.key.name for key in keys], is_name=True),
            Column("State", [key.state for key in keys], is_word=True),
            Column("Last sync", [numbers.age(key.key.last_synced_at, result.now) for key in keys]),
            Column("Problem", problems, is_word=True, dispensable=1),
        ],
        width,
        row_styles=["red" if key.problem else "" for key in keys],
    )


def _database_lines(result: StatusResult) -> list[Text]:
    extent = (
        f"{counted(result.ledger_rows, 'row')}, {result.first_day} to {result.last_day}"
        if result.first_day
        else "no usage yet"
    )
    return [
        Text(f"Database: {printable(result.database)}", overflow="fold"),
        Text(f"          {numbers.size(result.database_bytes)}, {extent}"),
    ]


_JOB = Shape(
    JobStatus,
    Member("job", "The job's name."),
    Member("last_run_at", "When its last run began.", "last_run.started_at"),
    Member("finished_at", "When its last run ended.", "last_run.finished_at"),
    Member("result", "How its last run stands or ended.", "last_run.status"),
    Member("error", "Why its last run failed.", "last_run.error"),
    Member("age_seconds", "How long ago its last run began, in seconds."),
    Member("next_due_at", "When it is next due; null where orwatch's schedule is not installed."),
    Member("is_missed", "Whether it should have run since, and has not."),
)
_KEY = Shape(
    KeyStatus,
    Member("name", "The key's name.", "key.name"),
    Member("state", "As in `orwatch key list`."),
    Member("last_synced_at", "When it was last synced.", "key.last_synced_at"),
    Member("problem", "What is wrong with it, if anything."),
)
_ACCOUNT = Shape(
    AccountStatus,
    Member("name", "The name of its management key."),
    Member("balance", "What is left, in US dollars; may be negative.", "credits.balance_usd"),
    Member("bought", "What was ever bought, in US dollars.", "credits.bought_usd"),
    Member("spent", "What was ever spent, in US dollars.", "credits.spent_usd"),
    Member("read_at", "When the credits were read."),
    Member(
        "last_purchase",
        "The last time that more was bought.",
        shape=Shape(
            Purchase,
            Member("amount", "What was bought, in US dollars.", "amount_usd"),
            Member("since", "It was bought after that day's reading."),
        ),
    ),
    Member("lasts_days", "For how many days the balance lasts at the pace of two weeks.", "lasting.days"),
    Member("lasts_until", "Until which day it lasts so; null: for ever, or not known.", "lasting.until"),
)
_ALLOWANCE = Shape(
    Allowance,
    Member("key", "The key's name.", "key.name"),
    Merged("can_spend", CAN_SPEND),
    Merged("key.facts", LIMIT),
    Member("balance", "What its account has left, in US dollars.", "balance_usd"),
    Member("read_at", "When the limit was read.", "key.facts_read_at"),
)
_DATABASE = Shape(
    StatusResult,
    Member("path", "The file, or the address without a password.", "database"),
    Member("size_bytes", "Its size, in bytes.", "database_bytes"),
    Member("rows", "How many rows of usage it has.", "ledger_rows"),
    Member("first_day", "The first day with usage."),
    Member("last_day", "The last day with usage."),
)
_SCHEDULE = Shape(
    ScheduleSummary,
    Member("state", "What is known of it, in a word."),
    Member("locations", "Where it is."),
    Member("message", "What there is."),
    Member("advice", "What to do when jobs do not run."),
)
ANSWER = Shape(
    StatusResult,
    Member("status", "`attention` where the exit code is not 0.", ok_or_attention),
    Member("now", "When this was found."),
    Member("jobs", "The jobs.", shape=_JOB),
    Member("keys", "The keys.", shape=_KEY),
    Member("spent_today", "What all keys spent today (UTC), in US dollars.", "spent_today_usd"),
    Member("spent_this_month", "What all keys spent this month (UTC), in US dollars.", "spent_month_usd"),
    Member("month", "Where this month will end; null where too little is known.", "course", MONTH),
    Member("accounts", "The accounts whose credits a management key reads.", shape=_ACCOUNT),
    Member(
        "can_spend",
        "The keys that anything but the balance limits, the one with the least left first.",
        "allowances",
        _ALLOWANCE,
    ),
    Member("database", "The database.", "", _DATABASE),
    Member("schedule", "The installed schedule; null where it was not looked up.", shape=_SCHEDULE),
    Member("alerts", "The alerts that hold, acknowledged ones too.", shape=ALERT),
    Member("problems", "All that needs a person, a sentence each."),
)
