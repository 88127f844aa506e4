"""The budgets of an account's workspaces: each is read once a day, a few in each run."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from orwatch.domain.layers import WorkspaceBudget, WorkspaceReading
from orwatch.errors import ApiError
from orwatch.jobs.sync.account_reader import AccountReader
from orwatch.openrouter.account import fetch_workspace_budgets
from orwatch.store.keys import accounts

# Of the requests of a minute; other accounts wait for theirs.
MAX_WORKSPACES_A_RUN = 20

_ASK_AGAIN_AFTER = timedelta(days=1)

log = logging.getLogger(__name__)


def read_workspace_budgets(reader: AccountReader) -> None:
    """Ask about the workspaces that were not asked about for a day, and store what is known of all of them.

    Where the plan has no such budgets, one request tells it of all. What fails in passing is asked again by
    the next sync.
    """
    if not reader.workspaces:
        return
    state, now = reader.state, reader.now()
    known = {each.id: each for each in state.workspaces}
    found = _ask(reader, known, now)
    readings = []
    for workspace in reader.workspaces:
        if workspace.id in found:
            readings.append(WorkspaceReading(workspace.id, workspace.name, now, found[workspace.id]))
        elif workspace.id in known:
            readings.append(_renamed(known[workspace.id], workspace.name))
    if tuple(readings) != state.workspaces:
        read_at = now if found else state.workspace_budgets_read_at
        reader.session.store.run_write(
            lambda connection: accounts.record_workspaces(
                connection, reader.owner.id, tuple(readings), read_at
            )
        )


def _ask(
    reader: AccountReader, known: dict[str, WorkspaceReading], now: datetime
) -> dict[str, tuple[WorkspaceBudget, ...] | None]:
    """The budgets by the workspaces' ids, of those that are due; None where they are refused."""
    due = [
        each
        for each in reader.workspaces
        if each.id not in known or now - known[each.id].read_at >= _ASK_AGAIN_AFTER
    ]
    found: dict[str, tuple[WorkspaceBudget, ...] | None] = {}
    for workspace in due[:MAX_WORKSPACES_A_RUN]:
        try:
            found[workspace.id] = fetch_workspace_budgets(reader.client, reader.secret, workspace)
        except ApiError as error:
            log.info("workspace budgets: %s", error, extra={"key": reader.owner.name})
            if error.is_passing:
                break
            if error.status in {403, 404} and not found:
                return dict.fromkeys(each.id for each in due)
            found[workspace.id] = None
    return found


def _renamed(reading: WorkspaceReading, name: str) -> WorkspaceReading:
    """The reading under the workspace's present name, by which keys know it."""
    if reading.budgets is None:
        return replace(reading, name=name)
    return replace(
        reading, name=name, budgets=tuple(replace(each, workspace=name) for each in reading.budgets)
    )
