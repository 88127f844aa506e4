"""The budgets of workspaces: read once a day, a few in a run, and never at the cost of anything else."""

from __future__ import annotations

from decimal import Decimal

import pytest

from orwatch.domain.keys import AccountState
from orwatch.domain.layers import WorkspaceBudget
from orwatch.jobs.sync.workspace_budgets import MAX_WORKSPACES_A_RUN
from orwatch.store.keys import accounts
from tests.jobs.sync.account_server import DEFAULT_WORKSPACE, AccountWatcher, Json
from tests.support import NOW

LAB = "00000000-0000-0000-0000-000000000002"
BUDGETS: dict[str, list[Json]] = {
    DEFAULT_WORKSPACE: [],
    LAB: [{"id": "b1", "limit_usd": Decimal("0.1"), "reset_interval": "monthly"}],
}


def asked(watcher: AccountWatcher) -> list[str]:
    """The workspaces that one sync asks about."""
    watcher.server.requests.clear()
    watcher.sync()
    assert watcher.result.exit_code == 0
    return [path.split("/")[2] for path, _ in watcher.server.requests if path.endswith("/budgets")]


def state(watcher: AccountWatcher) -> AccountState:
    with watcher.store.read() as connection:
        return accounts.account_state(connection, watcher.boss.id)


def test_each_is_read_once_a_day_after_all_else_and_follows_its_workspaces_name(
    watcher: AccountWatcher,
) -> None:
    watcher.server.workspaces, watcher.server.budgets = [DEFAULT_WORKSPACE, LAB], BUDGETS
    assert asked(watcher) == [DEFAULT_WORKSPACE, LAB]
    assert watcher.server.requests[-3][0] == "/credits"
    budget = WorkspaceBudget("b1", "space 2", Decimal("0.1"), "monthly")
    assert (state(watcher).workspace_budgets, state(watcher).workspace_budgets_read_at) == ((budget,), NOW)

    watcher.clock.advance(hours=23)
    with watcher.store.write() as connection:
        text = "UPDATE accounts SET workspace_budgets = replace(workspace_budgets, 'space 2', 'old name')"
        connection.exec_driver_sql(text)
    assert asked(watcher) == []
    assert state(watcher).workspace_budgets == (budget,)
    watcher.clock.advance(hours=1)
    assert asked(watcher) == [DEFAULT_WORKSPACE, LAB]


@pytest.mark.parametrize("status", [403, 404])
def test_a_plan_without_them_is_asked_once_a_day(watcher: AccountWatcher, status: int) -> None:
    watcher.server.workspaces = [DEFAULT_WORKSPACE, LAB]
    watcher.server.missing = {f"/workspaces/{DEFAULT_WORKSPACE}/budgets": status}
    assert [asked(watcher), asked(watcher)] == [[DEFAULT_WORKSPACE], []]
    assert (state(watcher).workspace_budgets, state(watcher).workspace_budgets_read_at) == (None, NOW)
    watcher.clock.advance(days=1)
    assert asked(watcher) == [DEFAULT_WORKSPACE]


def test_what_fails_in_passing_is_asked_again_and_what_was_known_stays(watcher: AccountWatcher) -> None:
    watcher.server.workspaces, watcher.server.budgets = [DEFAULT_WORKSPACE, LAB], BUDGETS
    watcher.sync()
    watcher.next_day(2)
    path = f"/workspaces/{LAB}/budgets"
    watcher.server.failing = {path: 500}
    assert {*asked(watcher)} == {DEFAULT_WORKSPACE, LAB}
    assert state(watcher).workspace_budgets != ()
    watcher.server.failing = {}
    assert asked(watcher) == [LAB]


def test_of_many_workspaces_each_run_reads_some(watcher: AccountWatcher) -> None:
    watcher.server.workspaces = [f"w{number:03}" for number in range(MAX_WORKSPACES_A_RUN + 5)]
    watcher.server.budgets = {workspace: [] for workspace in watcher.server.workspaces}
    runs = [asked(watcher) for _ in range(3)]
    assert [len(run) for run in runs] == [MAX_WORKSPACES_A_RUN, 5, 0]
    assert runs[0] + runs[1] == watcher.server.workspaces


def test_of_two_workspaces_of_one_name_no_budget_is_told(watcher: AccountWatcher) -> None:
    twin = LAB.replace("-", "+")
    watcher.server.workspaces = [LAB, twin]
    watcher.server.budgets = {LAB: BUDGETS[LAB], twin: []}
    watcher.sync()
    assert state(watcher).workspace_budgets == ()
