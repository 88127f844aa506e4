"""What each command loads: what it does not need must not make it slow."""

from __future__ import annotations

import re
import sys

import pytest

from tests.end_to_end.support import Machine

HEAVY = frozenset({"alembic", "cryptography", "httpx", "rich", "sqlalchemy"})
WITH_TIMES = (sys.executable, "-X", "importtime")


def modules(machine: Machine, *arguments: str) -> set[str]:
    """The modules that a command loads, by Python's own account."""
    finished = machine.run(*arguments, launcher=WITH_TIMES)
    assert finished.code == 0
    loaded = set(re.findall(r"^import time:.*\| +([\w.]+)", finished.stderr, re.MULTILINE))
    assert {"orwatch", "site"} <= loaded, "nothing was told"
    return loaded


def heavy_modules(machine: Machine, *arguments: str) -> set[str]:
    """The heavy libraries among them."""
    return modules(machine, *arguments) & HEAVY


def test_the_version_is_told_without_any_other_module_of_orwatch(machine: Machine) -> None:
    loaded = modules(machine, "--version")
    assert {name for name in loaded if name.startswith("orwatch")} == {"orwatch", "orwatch.__main__"}
    assert not loaded & {"__future__", "click", "contextlib", "pathlib", "threading", "typing"}


def test_help_loads_no_more_of_the_standard_library_than_click_does(machine: Machine) -> None:
    assert not modules(machine, "--help") & {
        "dataclasses",
        "decimal",
        "json",
        "logging",
        "pathlib",
        "tempfile",
    }


@pytest.mark.parametrize(
    "arguments", [("--help",), ("-h",), ("--version",), ("--env-file", "/nowhere", "--help")]
)
def test_help_loads_nothing_heavy(machine: Machine, arguments: tuple[str, ...]) -> None:
    assert heavy_modules(machine, *arguments) == set()
    assert machine.files() == {}


@pytest.mark.parametrize(
    "command",
    [
        "init",
        "key",
        "sync",
        "validate",
        "cleanup",
        "report",
        "budget",
        "status",
        "doctor",
        "cron",
        "db",
        "secret",
        "demo",
        "help",
    ],
)
def test_the_help_of_a_command_loads_nothing_heavy(machine: Machine, command: str) -> None:
    assert heavy_modules(machine, command, "--help") == set()


@pytest.mark.parametrize("arguments", [("help",), ("help", "cron"), ("help", "cron", "install")])
def test_a_help_topic_that_is_not_shown_on_a_terminal_loads_nothing_heavy(
    machine: Machine, arguments: tuple[str, ...]
) -> None:
    assert heavy_modules(machine, *arguments) == set()
    assert machine.files() == {}


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (("report",), {"rich", "sqlalchemy"}),
        (("report", "--json"), {"rich", "sqlalchemy"}),
        ((), {"rich", "sqlalchemy"}),
        (("status",), {"cryptography", "rich", "sqlalchemy"}),
        (("key", "list"), {"rich", "sqlalchemy"}),
        (("budget", "list"), {"rich", "sqlalchemy"}),
        (("cleanup", "--quiet"), {"rich", "sqlalchemy"}),
        (("sync", "--quiet"), {"cryptography", "httpx", "rich", "sqlalchemy"}),
    ],
    ids=["report", "report --json", "alone", "status", "key list", "budget list", "cleanup", "sync"],
)
def test_a_command_loads_what_it_needs_and_no_more(
    synced: Machine, arguments: tuple[str, ...], needed: set[str]
) -> None:
    assert heavy_modules(synced, *arguments) <= needed


@pytest.mark.parametrize("job", ["sync", "validate"])
@pytest.mark.parametrize(
    ("options", "needed"),
    [((), {"rich", "sqlalchemy"}), (("--quiet",), {"sqlalchemy"})],
    ids=["shown", "quiet"],
)
def test_a_job_without_a_key_to_ask_loads_nothing_to_ask_with(
    machine: Machine, job: str, options: tuple[str, ...], needed: set[str]
) -> None:
    assert machine.run("init").code == 0
    loaded = modules(machine, job, *options)
    assert loaded & HEAVY == needed
    assert not loaded & {"orwatch.jobs.sync.account", "orwatch.openrouter.client"}


def test_a_sync_whose_keys_are_all_disabled_asks_for_none_and_loads_nothing_to_ask_with(
    synced: Machine,
) -> None:
    for name in ("production", "ci", "laptop"):
        assert synced.run("key", "disable", name).code == 0
    assert heavy_modules(synced, "sync", "--quiet") == {"sqlalchemy"}


def test_a_sync_loads_what_judges_budgets_only_where_there_are_any(synced: Machine) -> None:
    of_budgets = {"statistics", "orwatch.jobs.budget.spent", "orwatch.jobs.key.allowances"}
    assert not modules(synced, "sync", "--quiet") & of_budgets
    assert synced.run("budget", "set", "all", "--limit", "9999", "--per", "month").code == 0
    assert "orwatch.jobs.budget.spent" in modules(synced, "sync", "--quiet")


def test_only_who_asks_for_a_schema_loads_what_makes_it(synced: Machine) -> None:
    assert "orwatch.render.json_schema" not in modules(synced, "runs", "--json")
    loaded = modules(synced, "runs", "--json-schema")
    assert "orwatch.render.json_schema" in loaded
    assert loaded & HEAVY == {"rich"}


def test_a_command_loads_no_other_results_and_no_other_kind_of_database(synced: Machine) -> None:
    loaded = modules(synced, "report")
    assert "sqlalchemy.dialects.postgresql" not in loaded
    assert {name for name in loaded if re.fullmatch(r"orwatch\.jobs\.\w+\.result", name)} == {
        "orwatch.jobs.report.result"
    }
