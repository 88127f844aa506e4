"""A budget that is crossed, sync by sync, as cron's user hears of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from orwatch.demo.server import Answer, FakeServer, Request, Response, json_response
from orwatch.domain.budgets import Budget, Per, Scope
from orwatch.store import budgets
from orwatch.store.engine.database import open_store
from tests.end_to_end import dates
from tests.end_to_end.support import Machine, make_keys, utc_today

Serve = Callable[[Answer], FakeServer]


@pytest.mark.real_clock
def test_a_budget_is_crossed_sync_by_sync_and_each_threshold_is_said_once(
    tmp_path: Path, serve: Serve
) -> None:
    spent = [10, 60, 70, 120, 130]

    def answer(request: Request) -> Response:
        if request.path == "/key":
            return json_response({"data": {"label": "a", "usage": 1, "limit": None}})
        row = {"date": f"{utc_today()}", "model": "a/b", "requests_count": 1, "cost": spent[0]}
        return json_response({"data": [{**row, "tokens_input": 1, "tokens_output": 1}]})

    machine = Machine(tmp_path / "machine", serve(answer).url)
    machine.set_up(make_keys(1))
    now = dates.now()
    with closing(open_store(f"sqlite:///{machine.database}", now)) as store, store.write() as connection:
        made = Budget(0, "team", Decimal(100), Per.DAY, Scope(), (50, 80, 100), False, now)
        budgets.insert_budget(connection, made)
    heard = []
    while spent:
        finished = machine.run("sync", "--quiet")
        heard.append((finished.code, finished.stderr))
        del spent[0]
    said = (
        "orwatch: alert {} (budget): team: {} % of its budget is spent: ${}.00 of $100.00 a day "
        "(until today)\n"
    )
    news = [(1, said.format(1, 60, 60)), (1, said.format(2, 120, 120))]
    assert heard == [(0, ""), news[0], (0, ""), news[1], (0, "")]
    status = machine.run("status", "--json").json
    assert [alert["threshold"] for alert in status["alerts"]] == [100]
    assert any("`orwatch alert ack 2`" in problem for problem in status["problems"])
