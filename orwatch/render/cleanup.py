"""What a cleanup did, as a summary and JSON."""

from __future__ import annotations

from rich.text import Text

from orwatch.jobs.cleanup.result import CleanupResult
from orwatch.render import numbers
from orwatch.render.console import Parts, Screen, as_view
from orwatch.render.json_text import Member, Shape
from orwatch.text import counted


@as_view
def cleanup_view(screen: Screen, result: CleanupResult) -> Parts:
    """The summary of a cleanup for a terminal."""
    what = "Would move" if result.is_dry_run else "Moved"
    moved = (
        f"{what} {counted(result.rows_removed, 'row')} of {counted(result.days_removed, 'day')} "
        f"before {result.kept_from} ({numbers.usd(result.cost_moved_usd)}) to the monthly totals."
        if result.rows_removed
        else f"No usage is older than {numbers.count(result.retention_days)} days "
        f"(before {result.kept_from})."
    )
    also = "Would also delete" if result.is_dry_run else "Also deleted"
    records = f"{also} {numbers.count(result.records_removed)} old records of runs, alerts and requests."
    sentences = [moved, records] if result.records_removed else [moved]
    if result.bytes_freed and not result.is_dry_run:
        sentences.append(f"{numbers.size(result.bytes_freed)} of disk freed.")
    return [Text(" ".join(sentences))]


ANSWER = Shape(
    CleanupResult,
    Member("job", "The job's name."),
    Member("status", "Always `ok`: a cleanup is done or an error."),
    Member("dry_run", "Whether it was a rehearsal, so that nothing was removed.", "is_dry_run"),
    Member("retention_days", "How many days are kept."),
    Member("kept_from", "The first day that is kept."),
    Member("rows_removed", "Rows that were moved to the monthly totals."),
    Member("days_removed", "How many days they were of."),
    Member("cost_moved", "What they cost, in US dollars.", "cost_moved_usd"),
    Member(
        "records_removed", "Old records of runs, of alerts that are over and of requests that were deleted."
    ),
    Member("bytes_freed", "Freed disk space, in bytes."),
)
