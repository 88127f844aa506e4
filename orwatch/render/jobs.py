"""What sync, validate and cleanup did, as summaries and JSON."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from orwatch.models import Job
from orwatch.render import json_text, numbers
from orwatch.render.console import View
from orwatch.render.tables import Column, make_table
from orwatch.results.cleanup import CleanupResult
from orwatch.results.sync import SyncedKey, SyncKeyStatus, SyncResult
from orwatch.results.validate import ValidatedKey, ValidateResult, Verdict
from orwatch.text import printable

# With more keys than this, a summary lists only those that need a look.
_KEYS_LISTED = 25

_SYNC_STYLES = {SyncKeyStatus.OK: "", SyncKeyStatus.PARTIAL: "yellow", SyncKeyStatus.FAILED: "red"}
_VERDICT_STYLES = {
    Verdict.VALID: "",
    Verdict.REACTIVATED: "green",
    Verdict.INVALID: "red",
    Verdict.UNKNOWN: "yellow",
}


def sync_view(result: SyncResult) -> View:
    """The summary of a sync for a terminal."""

    def parts(width: int, *, ascii_only: bool) -> Sequence[RenderableType]:
        if result.trouble is not None:
            return [Text(f"{result.trouble[0].upper()}{result.trouble[1:]}.", style="red")]
        if not result.keys:
            return [Text("No active keys. `orwatch key add NAME` stores one, `orwatch key list` shows all.")]
        listed = [key for key in result.keys if _is_worth_listing(key, len(result.keys))]
        shown: list[RenderableType] = []
        if listed:
            shown += [_sync_table(listed, width), Text()]
        shown += [
            Text(f"{printable(key.name)}: {printable(key.error or '')}", style=_SYNC_STYLES[key.status])
            for key in listed
            if key.error
        ]
        shown += [Text(f"{printable(key.name)}: {note}") for key in listed for note in key.notes]
        return [*shown, Text(_sync_sentence(result), style="bold")]

    return parts


def _is_worth_listing(key: SyncedKey, key_count: int) -> bool:
    return key_count <= _KEYS_LISTED or key.status is not SyncKeyStatus.OK or bool(key.notes)


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
        f"{what} {_rows(result.rows_written)} ({numbers.count(result.rows_unchanged)} unchanged{removed}"
        f"{rejected}) for {_keys(done)}{failures}, {result.since} to {result.until}, "
        f"in {numbers.duration(result.duration_seconds)}."
    )


def sync_json(result: SyncResult) -> str:
    """The issue's object, plus ``rows_removed`` and ``dry_run``."""
    return json_text.document(
        {
            "job": Job.SYNC.value,
            "status": result.status.value,
            "dry_run": result.is_dry_run,
            "since": result.since,
            "until": result.until,
            "rows_written": result.rows_written,
            "rows_unchanged": result.rows_unchanged,
            "rows_removed": result.rows_removed,
            "rows_rejected": result.rows_rejected,
            "keys": [
                {
                    "name": key.name,
                    "status": key.status.value,
                    "since": key.since,
                    "rows_written": key.rows_written,
                    "rows_unchanged": key.rows_unchanged,
                    "rows_removed": key.rows_removed,
                    "rows_rejected": key.rows_rejected,
                    "error": key.error,
                    "notes": list(key.notes),
                }
                for key in result.keys
            ],
        }
    )


def validate_view(result: ValidateResult) -> View:
    """The summary of a validate for a terminal."""

    def parts(width: int, *, ascii_only: bool) -> Sequence[RenderableType]:
        if not result.keys:
            return [Text("No keys to ask about. `orwatch key add NAME` stores one.")]
        listed = [
            key
            for key in result.keys
            if len(result.keys) <= _KEYS_LISTED or key.verdict is not Verdict.VALID or key.warning
        ]
        shown: list[RenderableType] = []
        if listed:
            shown += [_verdict_table(listed, width), Text()]
        shown += [
            Text(f"{printable(key.name)}: {printable(text)}", style=_VERDICT_STYLES[key.verdict])
            for key in listed
            for text in (key.detail, key.warning)
            if text
        ]
        return [*shown, Text(_verdict_sentence(result), style="bold")]

    return parts


def _verdict_table(keys: Sequence[ValidatedKey], width: int) -> RenderableType:
    return make_table(
        [
            Column("Key", [key.name for key in keys], is_name=True),
            Column("Verdict", [_verdict(key) for key in keys], is_word=True),
        ],
        width,
        row_styles=[_VERDICT_STYLES[key.verdict] for key in keys],
    )


def _verdict(key: ValidatedKey) -> str:
    if key.verdict is Verdict.UNKNOWN:
        return "could not tell"
    return f"{key.verdict.value}, but see below" if key.warning else key.verdict.value


def _verdict_sentence(result: ValidateResult) -> str:
    good = result.count(Verdict.VALID, Verdict.REACTIVATED)
    return (
        f"{_keys(good)} valid, {result.count(Verdict.INVALID)} invalid, "
        f"{result.count(Verdict.UNKNOWN)} could not be told, in {numbers.duration(result.duration_seconds)}."
    )


def validate_json(result: ValidateResult) -> str:
    """Counts by verdict, and each key's."""
    return json_text.document(
        {
            "job": Job.VALIDATE.value,
            "status": result.status.value,
            "valid": result.count(Verdict.VALID, Verdict.REACTIVATED),
            "invalid": result.count(Verdict.INVALID),
            "unknown": result.count(Verdict.UNKNOWN),
            "keys": [
                {
                    "name": key.name,
                    "verdict": key.verdict.value,
                    "detail": key.detail,
                    "warning": key.warning,
                }
                for key in result.keys
            ],
        }
    )


def cleanup_view(result: CleanupResult) -> View:
    """The summary of a cleanup for a terminal."""

    def parts(width: int, *, ascii_only: bool) -> Sequence[RenderableType]:
        what = "Would move" if result.is_dry_run else "Moved"
        days = f"{numbers.count(result.days_removed)} day{'' if result.days_removed == 1 else 's'}"
        moved = (
            f"{what} {_rows(result.rows_removed)} of {days} before {result.kept_from} "
            f"({numbers.usd(result.cost_moved_usd)}) to the monthly totals."
            if result.rows_removed
            else f"No usage is older than {numbers.count(result.retention_days)} days "
            f"(before {result.kept_from})."
        )
        also = "Would also forget" if result.is_dry_run else "Also forgot"
        records = f"{also} {numbers.count(result.records_removed)} old run records and rate-limit entries."
        sentences = [moved, records] if result.records_removed else [moved]
        if not result.is_dry_run:
            sentences.append(f"{numbers.size(result.bytes_freed)} of disk given back.")
        return [Text(" ".join(sentences))]

    return parts


def cleanup_json(result: CleanupResult) -> str:
    """What went, in rows, days, dollars and bytes."""
    return json_text.document(
        {
            "job": Job.CLEANUP.value,
            "status": "ok",
            "dry_run": result.is_dry_run,
            "retention_days": result.retention_days,
            "kept_from": result.kept_from,
            "rows_removed": result.rows_removed,
            "days_removed": result.days_removed,
            "cost_moved": result.cost_moved_usd,
            "records_removed": result.records_removed,
            "bytes_freed": result.bytes_freed,
        }
    )


def _rows(count: int) -> str:
    return f"{numbers.count(count)} row{'' if count == 1 else 's'}"


def _keys(count: int) -> str:
    return f"{numbers.count(count)} key{'' if count == 1 else 's'}"
