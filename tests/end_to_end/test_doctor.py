"""``orwatch doctor`` as installed: nothing on a machine in order, and each thing that is broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from orwatch.demo.account import demo_account
from orwatch.demo.api import FakeOpenRouter, utc_today
from orwatch.demo.server import Answer, FakeServer
from orwatch.demo.usage import FakeKey, usage_of
from orwatch.domain.days import days_between, month_start
from tests.end_to_end.support import (
    HISTORY_DAYS,
    NO_ALERTS,
    Finished,
    Machine,
    days_ago,
    forget_days,
    of_key,
    told,
    total_cost,
)

CRONTAB = """#!/bin/sh
[ "$1" = -l ] || exit 2
for job in sync validate cleanup; do echo "0 * * * * /usr/bin/orwatch $job --quiet"; done
"""
# Is called cron, says that it is, and ends when nobody wants it any more.
CRON = """
import ctypes, sys
ctypes.CDLL(None).prctl(15, b"cron")  # PR_SET_NAME
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _cron() -> Iterator[None]:
    """A process of that name; whether the machine has a real one does not matter."""
    process = subprocess.Popen(
        [sys.executable, "-c", CRON], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.communicate(timeout=60)


def install_crontab(machine: Machine) -> str:
    """A crontab that names the jobs; the PATH on which it is found."""
    program = machine.home / "bin" / "crontab"
    program.parent.mkdir(exist_ok=True)
    program.write_text(CRONTAB, encoding="utf-8")
    program.chmod(0o755)
    return f"{program.parent}:/usr/bin:/bin"


def examine(machine: Machine, *arguments: str, **environment: str | None) -> Finished:
    return machine.run("doctor", *arguments, **{"PATH": install_crontab(machine), **environment})


def findings(finished: Finished) -> list[tuple[str, str]]:
    """Area and subject of each."""
    return [
        (check["area"], check["subject"]) for check in finished.json["checks"] if check["status"] == "finding"
    ]


def of(finished: Finished, area: str, subject: str) -> list[dict[str, Any]]:
    return [
        check for check in finished.json["checks"] if (check["area"], check["subject"]) == (area, subject)
    ]


def day_number(day: date) -> int:
    return (day - date(1970, 1, 1)).days


@pytest.mark.real_clock
def test_a_machine_in_order_has_no_finding(
    synced: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...]
) -> None:
    before = synced.dump()
    finished = examine(synced, "--json")
    assert (finished.code, finished.stderr) == (0, "")
    assert (findings(finished), finished.json["status"]) == ([], "ok")
    usage = told(api.answer, keys)
    this_month = told(api.answer, keys, since=month_start(utc_today()))
    for name in ("production", "ci", "laptop"):
        month, life = of(finished, "totals", name)
        assert (month["difference_usd"], life["difference_usd"]) == (0, 0)
        assert month["stored_usd"] == total_cost(of_key(this_month, name))
        assert life["stored_usd"] == total_cost(of_key(usage, name)) > 0
    assert synced.dump() == before
    shown = examine(synced, COLUMNS="80")
    assert shown.code == 0
    assert shown.stdout.splitlines()[-1].startswith("Nothing found; ")
    assert max(map(len, shown.stdout.splitlines())) <= 80


@pytest.mark.real_clock
def test_everything_that_is_broken_is_found_at_once_with_what_to_do(
    synced: Machine, api: FakeOpenRouter
) -> None:
    synced.env_file.chmod(0o644)
    synced.database.chmod(0o664)
    with synced.env_file.open("a", encoding="utf-8") as file:
        file.write("ORWATCH_SYNC_DAYZ=3\nsk-or-v1-lost\n")
    api.revoke("laptop")
    lost = synced.query(
        "SELECT sum(cost_nano) FROM usage_stats WHERE api_key_id = 1 AND date = ?", day_number(days_ago(3))
    )[0][0]
    forget_days(synced, [day_number(days_ago(3))], key_id=1)
    finished = examine(synced, "--json", ORWATCH_CONCURRENCY="none")
    assert finished.code == 1
    found = findings(finished)
    # It is a difference of this month, if the day is of this month and the sync has read all of that.
    is_told = days_ago(HISTORY_DAYS - 1) <= month_start(utc_today()) <= days_ago(3)
    totals = [("totals", "production")] if is_told else []
    assert found == [
        ("settings", "env file"),
        ("settings", "env file"),
        ("settings", "ORWATCH_CONCURRENCY"),
        ("settings", "env file"),
        ("database", "database"),
        ("api", "laptop"),
        *totals,
        ("days", "production"),
    ]
    if totals:
        month = of(finished, "totals", "production")[0]
        assert month["difference_usd"] == Decimal(lost).scaleb(-9)
        assert f"no data for {days_ago(3)}" in month["message"]
        assert month["advice"].startswith("`orwatch sync --days 4`")
    advice = [check["advice"] for check in finished.json["checks"] if check["status"] == "finding"]
    assert all(advice)
    assert f"chmod 600 {synced.env_file}" in advice
    assert "sk-or" not in finished.stdout + finished.stderr

    shown = examine(synced, COLUMNS="200")
    assert shown.code == 1
    assert f"To do: chmod 600 {synced.env_file}" in " ".join(shown.stdout.split())


def test_what_doctor_advises_mends_what_it_found(synced: Machine) -> None:
    forget_days(synced, [day_number(days_ago(12))], key_id=1)
    assert examine(synced).code == 1
    [days] = of(examine(synced, "--json"), "days", "production")
    assert days["advice"] == "`orwatch sync --days 13` reads them."
    assert synced.run("sync", "--days", "13").code == 0
    assert findings(examine(synced, "--json")) == []


def test_without_a_network_a_database_and_settings_it_still_answers(machine: Machine) -> None:
    finished = examine(machine, "--json", ORWATCH_OPENROUTER_API_URL="http://127.0.0.1:9/api/v1")
    assert (finished.code, finished.stderr) == (1, "")
    assert findings(finished) == [("database", "database"), ("api", "API")]
    assert not machine.data_folder.exists()
    shutil.rmtree(machine.home / ".config", ignore_errors=True)
    finished = examine(machine, "--json", HOME=None, ORWATCH_ENV_FILE="~nobody-of-that-name/.env")
    assert (finished.code, findings(finished)) == (1, [("settings", "env file")])


@pytest.mark.parametrize("content", [b"", b"no database" * 1000])
def test_a_database_that_is_none_is_told_of(synced: Machine, content: bytes) -> None:
    for suffix in ("-wal", "-shm"):
        Path(f"{synced.database}{suffix}").unlink(missing_ok=True)
    synced.database.write_bytes(content)
    finished = examine(synced, "--json")
    assert (finished.code, findings(finished)) == (1, [("database", "database")])
    assert synced.database.read_bytes() == content


@pytest.mark.real_clock
def test_a_whole_account_agrees_and_takes_few_requests(
    machine: Machine, serve: Callable[[Answer], FakeServer]
) -> None:
    account = demo_account(utc_today(), history_days=60)
    api = FakeOpenRouter((), account=account, history_days=60, serves_usage=False)
    server = serve(api.answer)
    machine.api_url = server.url
    machine.settings |= NO_ALERTS
    assert machine.run("key", "add", "ops", input=account.management_secret).code == 0
    assert machine.run("sync").code == 0
    asked_before = len(server.received)

    finished = examine(machine, "--json")

    # The account has a key that expires within the week.
    (expiring,) = (key for key in account.keys if key.expires_at is not None)
    assert finished.code == 1
    assert [(area, name.partition(" ")[0]) for area, name in findings(finished)] == [("api", expiring.name)]
    paths = [request.path for _, request in server.received[asked_before:]]
    assert sorted(paths) == ["/credits", "/key", "/keys", "/keys", "/workspaces"]
    compared = [check for check in finished.json["checks"] if "difference_usd" in check]
    # Each of the five keys' month and life, and the month of the BYOK key once more where it was used.
    (byok,) = (key for key in account.keys if key.is_byok)
    is_byok_used = any(usage_of(byok, day) for day in days_between(month_start(utc_today()), utc_today()))
    assert [check["difference_usd"] for check in compared] == [0] * (10 + is_byok_used)
