"""Budgets with the installed program: from nothing to a check in a pipeline."""

from __future__ import annotations

from decimal import Decimal

from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.usage import FakeKey
from tests.end_to_end.support import Machine, of_key, told, total_cost


def test_a_budget_counts_what_a_sync_has_read_to_the_nano_dollar(
    machine: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...]
) -> None:
    production = keys[0]
    machine.set_up(keys)
    set_ = ("budget", "set", "prod", "--per", "lifetime", "--key", production.name, "--limit")
    assert machine.run(*set_, "1000000").code == 0
    checked = machine.run("budget", "check")
    assert (checked.code, checked.stderr) == (75, "")
    assert "not read yet" in checked.stdout

    assert machine.run("sync", "--days", "30").code == 0

    spent = total_cost(of_key(told(api.answer, keys), production.name))
    shown = machine.run("budget", "show", "prod", "--json").json["budget"]
    assert (Decimal(str(shown["spent"])), shown["why_unknown"]) == (spent, None)
    assert machine.run("budget", "check", "--at", "1").code == 0
    assert machine.run(*set_, str(spent)).code == 0
    assert machine.run("budget", "check", "--json").json["reached"] == ["prod"]
    assert machine.run("budget", "remove", "prod", "--yes").code == 0
    assert machine.run("budget", "check").stdout.startswith("No budgets yet.")
