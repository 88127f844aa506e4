"""Doctor's checks as a list by area, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orwatch.jobs.doctor.result import Check, CheckArea, CheckStatus, Comparison, DoctorResult
from orwatch.render import numbers
from orwatch.render.console import Parts, Screen, as_view
from orwatch.render.json_text import Member, Merged, Shape, ok_or_attention
from orwatch.text import counted, printable

# In an area with more checks than this, only those that want a look are listed.
_CHECKS_LISTED = 25

_MARKS = {
    CheckStatus.OK: ("ok", "green"),
    CheckStatus.FINDING: ("!", "bold red"),
    CheckStatus.SKIPPED: (numbers.UNKNOWN, "dim"),
    CheckStatus.UNKNOWN: ("?", "yellow"),
}
_HEADINGS = {
    CheckArea.SETTINGS: "Settings and files",
    CheckArea.DATABASE: "Database",
    CheckArea.SECRETS: "Secrets",
    CheckArea.API: "OpenRouter",
    CheckArea.TOTALS: "Totals compared with OpenRouter's",
    CheckArea.DAYS: "Days without data",
    CheckArea.JOBS: "Jobs",
}
_WANT_A_LOOK = frozenset({CheckStatus.FINDING, CheckStatus.UNKNOWN})
_MARK_WIDTH = 2
_WIDEST_SUBJECT = 24
_NARROWEST_MESSAGE = 24
_GAPS = 4


@as_view
def view(screen: Screen, result: DoctorResult) -> Parts:
    """Each area with its checks, what to do below each finding, and how many findings there are."""
    shown: list[RenderableType] = []
    for area in CheckArea:
        checks = [check for check in result.checks if check.area is area]
        if checks:
            shown += [Text(_HEADINGS[area], style="bold"), check_list(checks, screen.width), Text()]
    return [*shown, sentence(result.checks)]


def check_list(checks: Sequence[Check], width: int) -> RenderableType:
    """Checks one below the other, with what to do about each finding."""
    listed = [check for check in checks if len(checks) <= _CHECKS_LISTED or check.status in _WANT_A_LOOK]
    rest = len(checks) - len(listed)
    subjects = [printable(check.subject) for check in listed] + (["others"] if rest else [])
    room = max(4, min(_WIDEST_SUBJECT, width - _MARK_WIDTH - _GAPS - _NARROWEST_MESSAGE))
    subject_width = min(max(map(cell_len, subjects)), room)
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(width=_MARK_WIDTH, no_wrap=True)
    table.add_column(width=subject_width, no_wrap=True, overflow="ellipsis")
    table.add_column(overflow="fold")
    for check in listed:
        mark, style = _MARKS[check.status]
        table.add_row(Text(mark, style=style), Text(printable(check.subject)), _message(check))
    if rest:
        table.add_row(Text("ok", style="green"), Text("others"), Text(f"{numbers.count(rest)} more checks"))
    return table


def _message(check: Check) -> Text:
    style = {CheckStatus.FINDING: "red", CheckStatus.SKIPPED: "dim"}.get(check.status, "")
    text = Text(printable(check.message), style=style)
    if check.advice:
        to_do = "To do: " if check.status is CheckStatus.FINDING else ""
        # Not of the finding's colour: it is what to read next.
        text = Text.assemble(text, "\n", to_do, printable(check.advice))
    return text


def sentence(checks: Sequence[Check]) -> Text:
    """How many of the checks found something."""
    findings = sum(check.status is CheckStatus.FINDING for check in checks)
    if findings:
        return Text(f"{counted(findings, 'finding')}.", style="bold red")
    unknown = sum(check.status is CheckStatus.UNKNOWN for check in checks)
    unanswered = f"; {numbers.count(unknown)} without an answer" if unknown else ""
    return Text(f"Nothing found; {numbers.count(len(checks))} checks{unanswered}.", style="bold green")


_COMPARISON = Shape(
    Comparison,
    Member("since", "The first day that was compared; null: the whole lifetime."),
    Member("until", "The last day that was compared."),
    Member("stored_usd", "What is stored, in US dollars."),
    Member("told_usd", "What OpenRouter reports, in US dollars.", "reported_usd"),
    Member("difference_usd", "How much more OpenRouter reports, in US dollars."),
)
CHECK = Shape(
    Check,
    Member("area", "What it belongs to."),
    Member("subject", "What was looked at."),
    Member("status", "`skipped`: there was nothing to check; `unknown`: there was no answer."),
    Member("message", "What was found."),
    Member("advice", "What to do about it."),
    Merged("comparison", _COMPARISON, is_optional=True),
)
ANSWER = Shape(
    DoctorResult,
    Member("status", "`attention` where the exit code is not 0.", ok_or_attention),
    Member("now", "When this was found."),
    Member("findings", "How many checks found something.", "finding_count"),
    Member("checks", "The checks.", shape=CHECK),
)
