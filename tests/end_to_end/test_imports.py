"""What each command loads: what it does not need must not make it slow."""

from __future__ import annotations

import re
import sys

import pytest

from tests.end_to_end.support import Machine

HEAVY = frozenset({"alembic", "cryptography", "httpx", "rich", "sqlalchemy"})
WITH_TIMES = (sys.executable, "-X", "importtime")


def heavy_modules(machine: Machine, *arguments: str) -> set[str]:
    """The heavy libraries that a command loads, by Python's own account."""
    finished = machine.run(*arguments, launcher=WITH_TIMES)
    assert finished.code == 0
    loaded = set(re.findall(r"^import time:.*\| +(\w+)", finished.stderr, re.MULTILINE))
    assert {"orwatch", "site"} <= loaded, "nothing was told"
    return loaded & HEAVY


@pytest.mark.parametrize(
    "arguments", [("--help",), ("-h",), ("--version",), ("--env-file", "/nowhere", "--help")]
)
def test_help_loads_nothing_heavy(machine: Machine, arguments: tuple[str, ...]) -> None:
    assert heavy_modules(machine, *arguments) == set()
    assert machine.files() == {}


@pytest.mark.parametrize(
    "command",
    ["init", "key", "sync", "validate", "cleanup", "report", "status", "doctor", "cron", "secret", "demo"],
)
def test_the_help_of_a_command_loads_nothing_heavy(machine: Machine, command: str) -> None:
    assert heavy_modules(machine, command, "--help") == set()


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (("report",), {"rich", "sqlalchemy"}),
        (("report", "--json"), {"rich", "sqlalchemy"}),
        (("status",), {"rich", "sqlalchemy"}),
        (("key", "list"), {"rich", "sqlalchemy"}),
        (("cleanup", "--quiet"), {"rich", "sqlalchemy"}),
        (("sync", "--quiet"), {"cryptography", "httpx", "rich", "sqlalchemy"}),
    ],
    ids=["report", "report --json", "status", "key list", "cleanup", "sync"],
)
def test_a_command_loads_what_it_needs_and_no_more(
    synced: Machine, arguments: tuple[str, ...], needed: set[str]
) -> None:
    assert heavy_modules(synced, *arguments) <= needed
