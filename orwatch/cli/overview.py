"""``orwatch`` alone: how things stand, or how to begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orwatch.render import console
from orwatch.render import overview as render

if TYPE_CHECKING:
    from orwatch.cli.context import Context


def show(context: Context) -> None:
    """Print it; nothing is created. Raises as ``Context.existing_store`` does."""
    store = context.existing_store()
    if store is None:
        console.show(render.steps_view(has_keys=False))
        return
    from orwatch.cli.host import look_at_schedule
    from orwatch.jobs.status import run as status_job

    result = status_job.run(store, context.now, look_at_schedule(context, context.settings))
    if result.ledger_rows or result.spent_month_usd:
        console.show(render.view(result))
    else:
        console.show(render.steps_view(has_keys=bool(result.keys), is_syncing=render.is_syncing(result)))
