"""What sync, validate and cleanup did, as summaries and JSON."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from orwatch.domain.runs import Job
from orwatch.jobs.cleanup.result import CleanupResult
from orwatch.render import json_text, numbers
from orwatch.render.console import View

# With more keys than this, a summary lists only those that need a look.
KEYS_LISTED = 25


def cleanup_view(result: CleanupResult) -> View:
    """The summary of a cleanup for a terminal."""

    def parts(width: int, *, ascii_only: bool) -> Sequence[RenderableType]:
        what = "Would move" if result.is_dry_run else "Moved"
        days = f"{numbers.count(result.days_removed)} day{'' if result.days_removed == 1 else 's'}"
        moved = (
            f"{what} {row_count(result.rows_removed)} of {days} before {result.kept_from} "
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


def row_count(count: int) -> str:
    return f"{numbers.count(count)} row{'' if count == 1 else 's'}"


def key_count(count: int) -> str:
    return f"{numbers.count(count)} key{'' if count == 1 else 's'}"
