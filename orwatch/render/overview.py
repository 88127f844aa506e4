"""What ``orwatch`` alone shows: the month, today, what is open, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from orwatch.domain.runs import Job, RunStatus
from orwatch.render import numbers
from orwatch.render.console import Parts, Screen, as_view
from orwatch.text import printable

if TYPE_CHECKING:
    from orwatch.jobs.status.result import StatusResult

_PROBLEMS_LISTED = 3
_STEPS = (
    ("orwatch key add NAME", "store a key; a management key watches a whole account"),
    ("orwatch sync", "fetch what OpenRouter still knows"),
    ("orwatch cron install", "let it go on; `orwatch report` shows what it costs"),
)
_NEXT = (
    "`orwatch report` shows what was spent on what, `orwatch status` how all stands.",
    "`orwatch help` lists what there is to read about, `orwatch --help` the commands.",
)


@as_view
def steps_view(screen: Screen, *, has_keys: bool, is_syncing: bool = False) -> Parts:
    """The three steps to begin; the first is done where there is a key."""
    states = {1: "done" if has_keys else "", 2: "running now" if is_syncing else ""}
    steps = []
    for number, (command, what) in enumerate(_STEPS, start=1):
        steps.append(Text(f"{number}. {command:22}{states.get(number) or what}"))
    return [
        Text("Three steps to see what OpenRouter costs:", style="bold"),
        *steps,
        Text("`orwatch demo` shows it with made-up data, `orwatch --help` lists the commands."),
    ]


def is_syncing(result: StatusResult) -> bool:
    """Whether a sync is running: of the first one a part may be stored already."""
    last_runs = {each.job: each.last_run for each in result.jobs}
    last = last_runs.get(Job.SYNC)
    return last is not None and last.status is RunStatus.RUNNING


@as_view
def view(screen: Screen, result: StatusResult) -> Parts:
    """How things stand."""
    from orwatch.render.forecast import on_course

    month = f"{numbers.usd(result.spent_month_usd)} so far"
    if result.course is not None:
        month += f", {on_course(result.course.forecast)}"
    problems = result.problems
    listed = [Text(f"! {printable(each)}", style="red") for each in problems[:_PROBLEMS_LISTED]]
    if len(problems) > _PROBLEMS_LISTED:
        rest = len(problems) - _PROBLEMS_LISTED
        listed.append(Text(f"! {rest:,} more: `orwatch status`", style="red"))
    if is_syncing(result):
        listed.append(Text("A sync is running: there is more to come."))
    return [
        Text(f"This month: {month}", style="bold"),
        Text(f"Today:      {numbers.usd(result.spent_today_usd)} (UTC)"),
        *(listed or [Text("Nothing needs you.", style="green")]),
        Text(),
        *map(Text, _NEXT),
    ]
