"""What a sync did, as a summary and JSON."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from orwatch.jobs.runs.outage import without_outage
from orwatch.jobs.sync.result import SyncedKey, SyncKeyStatus, SyncResult
from orwatch.render import numbers
from orwatch.render.alert import ALERT
from orwatch.render.console import Parts, Screen, as_view
from orwatch.render.json_text import Member, Shape
from orwatch.render.tables import KEYS_LISTED, Column, make_table, messages_by_text, rest_of_keys
from orwatch.text import counted, printable

_SYNC_STYLES = {SyncKeyStatus.OK: "", SyncKeyStatus.PARTIAL: "yellow", SyncKeyStatus.FAILED: "red"}


@as_view
def sync_view(screen: Screen, result: SyncResult) -> Parts:
    """The summary of a sync for a terminal."""
    trouble = [trouble_text(result.trouble)] if result.trouble else []
    read = without_outage(result.keys, result.outage)
    if trouble and not read:
        return trouble
    if not result.keys:
        return [Text("No active keys. `orwatch key add NAME` stores one, `orwatch key list` shows all.")]
    is_few = len(result.keys) <= KEYS_LISTED
    listed = [key for key in read if is_few or key.status is not SyncKeyStatus.OK or key.notes]
    shown: list[RenderableType] = []
    if listed:
        shown += [_sync_table(listed, screen.width), *rest_of_keys(len(read) - len(listed), "ok"), Text()]
    errors = ((key.name, key.error, _SYNC_STYLES[key.status]) for key in listed)
    shown += messages_by_text(errors)
    shown += [Text(f"{printable(key.name)}: {note}") for key in listed for note in key.notes]
    return [*shown, *trouble, Text(_sync_sentence(result), style="bold")]


def trouble_text(trouble: str) -> Text:
    """What is wrong with a run as a whole, as a sentence."""
    return Text(printable(f"{trouble[0].upper()}{trouble[1:]}"), style="red")


def _sync_table(keys: Sequence[SyncedKey], width: int) -> RenderableType:
    return make_table(
        [
            Column("Key", [key.name for key in keys], is_name=True),
            Column("Status", [key.status.value for key in keys], is_word=True),
            Column("Since", [key.since.isoformat() for key in keys], dispensable=1),
            Column("Written", [numbers.count(key.rows_written) for key in keys]),
            Column("Unchanged", [numbers.count(key.rows_unchanged) for key in keys], dispensable=4),
            Column("Removed", [numbers.count(key.rows_removed) for key in keys], dispensable=3),
            Column("Rejected", [numbers.count(key.rows_rejected) for key in keys], dispensable=2),
        ],
        width,
        row_styles=[_SYNC_STYLES[key.status] for key in keys],
    )


def _sync_sentence(result: SyncResult) -> str:
    failed = sum(key.status is SyncKeyStatus.FAILED for key in result.keys)
    done = len(result.keys) - failed
    what = "Would write" if result.is_dry_run else "Wrote"
    removed = f", {numbers.count(result.rows_removed)} removed" if result.rows_removed else ""
    rejected = f", {numbers.count(result.rows_rejected)} rejected" if result.rows_rejected else ""
    failures = f"; {failed} failed" if failed else ""
    return (
        f"{what} {counted(result.rows_written, 'row')} "
        f"({numbers.count(result.rows_unchanged)} unchanged{removed}{rejected}) "
        f"for {counted(done, 'key')}{failures}, {result.since} to {result.until}, "
        f"in {numbers.duration(result.duration_seconds)}."
    )


_KEY = Shape(
    SyncedKey,
    Member("name", "The key's name."),
    Member("status", "How its part ended; `partial`: not all that was answered was written."),
    Member("since", "The first day that was asked for."),
    Member("rows_written", "Rows that are new or differ from what was stored."),
    Member("rows_unchanged", "Rows that were stored already, to the digit."),
    Member("rows_removed", "Stored rows of a day that was reported again, now without them."),
    Member("rows_rejected", "Rows that are implausible or of days not asked for."),
    Member("error", "What went wrong; null where nothing did."),
    Member("notes", "What else to know, a sentence each."),
)
ANSWER = Shape(
    SyncResult,
    Member("job", "The job's name."),
    Member("status", "`ok`, `partial` (something needs a look) or `failed` (no key came through)."),
    Member("dry_run", "Whether it was a rehearsal, so that nothing was written.", "is_dry_run"),
    Member("since", "The earliest day that any key was asked for."),
    Member("until", "The last day that was asked for."),
    Member("trouble", "What is wrong with the run as a whole: one message when the API does not answer."),
    Member("rows_written", "The sum of the keys' `rows_written`."),
    Member("rows_unchanged", "The sum of the keys' `rows_unchanged`."),
    Member("rows_removed", "The sum of the keys' `rows_removed`."),
    Member("rows_rejected", "The sum of the keys' `rows_rejected`."),
    Member("keys", "The keys that were asked about.", shape=_KEY),
    Member("alerts", "What it has raised an alert for.", "judgement.raised", ALERT),
    Member("recovered", "The alerts that it found to have recovered.", "judgement.recovered", ALERT),
)
