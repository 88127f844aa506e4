"""What a validate found, as a summary and JSON."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from orwatch.jobs.runs.outage import without_outage
from orwatch.jobs.validate.result import ValidatedKey, ValidateResult, Verdict
from orwatch.render import numbers
from orwatch.render.alert import ALERT
from orwatch.render.console import Parts, Screen, as_view
from orwatch.render.json_text import Member, Shape
from orwatch.render.sync import trouble_text
from orwatch.render.tables import KEYS_LISTED, Column, make_table, messages_by_text, rest_of_keys
from orwatch.text import counted

_VERDICT_STYLES = {
    Verdict.VALID: "",
    Verdict.REACTIVATED: "green",
    Verdict.INVALID: "red",
    Verdict.UNKNOWN: "yellow",
}

_ALL_REFUSED = (
    "OpenRouter refuses all keys at once. That is more often its own trouble than theirs, so none was "
    "deactivated. A validate of all keys decides that finds it so in an hour or later."
)


@as_view
def validate_view(screen: Screen, result: ValidateResult) -> Parts:
    """The summary of a validate for a terminal."""
    trouble = [trouble_text(result.trouble)] if result.trouble else []
    checked = without_outage(result.keys, result.outage)
    if trouble and not checked:
        return trouble
    if not result.keys:
        return [Text("No keys to validate. Add one: `orwatch key add NAME`.")]
    listed = [
        key
        for key in checked
        if len(result.keys) <= KEYS_LISTED or key.verdict is not Verdict.VALID or key.warning
    ]
    shown: list[RenderableType] = []
    if listed:
        rest = rest_of_keys(len(checked) - len(listed), "valid")
        shown += [_verdict_table(listed, screen.width), *rest, Text()]
    shown += messages_by_text(
        (key.name, text, _VERDICT_STYLES[key.verdict]) for key in listed for text in (key.detail, key.warning)
    )
    if result.is_all_refused:
        shown.append(Text(_ALL_REFUSED, style="red"))
    return [*shown, *trouble, Text(_verdict_sentence(result), style="bold")]


def _verdict_table(keys: Sequence[ValidatedKey], width: int) -> RenderableType:
    return make_table(
        [
            Column("Key", [key.name for key in keys], is_name=True),
            Column(
                "Verdict",
                [f"{key.verdict}, but see below" if key.warning else key.verdict for key in keys],
                is_word=True,
            ),
        ],
        width,
        row_styles=[_VERDICT_STYLES[key.verdict] for key in keys],
    )


def _verdict_sentence(result: ValidateResult) -> str:
    return (
        f"{counted(result.valid, 'key')} valid, {result.invalid} invalid, {result.unknown} unknown, "
        f"in {numbers.duration(result.duration_seconds)}."
    )


_KEY = Shape(
    ValidatedKey,
    Member("name", "The key's name."),
    Member("verdict", "What OpenRouter said of it; `reactivated`: valid again."),
    Member("detail", "Why it is invalid or unknown."),
    Member("warning", "What will soon be wrong with it."),
)
ANSWER = Shape(
    ValidateResult,
    Member("job", "The job's name."),
    Member("status", "`partial`: a key is invalid or unknown; `failed`: all are unknown."),
    Member("trouble", "What is wrong with the run as a whole: one message when the API does not answer."),
    Member("valid", "How many keys are valid."),
    Member("invalid", "How many keys OpenRouter refuses."),
    Member("unknown", "How many keys could not be checked."),
    Member(
        "is_all_refused", "Whether so many keys were refused, and none accepted, that none was deactivated."
    ),
    Member("keys", "The keys that were asked about.", shape=_KEY),
    Member("alerts", "What it has raised an alert for.", "judgement.raised", ALERT),
    Member("recovered", "The alerts that it found to have recovered.", "judgement.recovered", ALERT),
)
