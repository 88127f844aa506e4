"""The installed program on PostgreSQL: one machine, two machines, and a server that is away or says no."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import Answer, FakeServer
from orwatch.demo.usage import FakeKey
from tests.end_to_end.support import NO_ALERTS, Finished, Machine, finish, make_keys, told, total_cost
from tests.end_to_end.test_at_once import (
    EARLIER,
    EARLIER_SECONDS,
    LIMIT,
    WINDOW_SECONDS,
    Gate,
    most_within,
)
from tests.postgres import PostgresServer
from tests.store.conftest import postgres as postgres

ENCRYPTION_KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The URL of an empty database of a user with a password."""
    with postgres.password_user("owner", "hunter2") as owner, postgres.database(owner=owner) as url:
        yield postgres.url_of(url.partition("?")[0].rpartition("/")[2], owner, "hunter2")


class Team:
    """Machines that share a database and its encryption key, and nothing else."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.settings = {"ORWATCH_DATABASE_URL": url, "ORWATCH_ENCRYPTION_KEY": ENCRYPTION_KEY}

    def machine(self, name: str, api_url: str) -> Machine:
        return Machine(self.folder / name, api_url, self.settings)


@pytest.fixture
def team(tmp_path: Path, database: str) -> Team:
    return Team(tmp_path, database)


def add_keys(machine: Machine, keys: tuple[FakeKey, ...]) -> None:
    for key in keys:
        added = machine.run("key", "add", key.name, "--no-check", input=key.secret)
        assert added.code == 0, added.stderr


def stored(postgres: PostgresServer, url: str) -> dict[tuple[str, str, str], tuple[int, int, int, Decimal]]:
    """The ledger, as people see it who bring their own SQL."""
    rows = postgres.execute(
        "SELECT key_name, date::text, model, requests, tokens_input, tokens_output, cost_usd "
        "FROM usage_daily",
        url,
    )
    return {row[:3]: row[3:] for row in rows}


def test_every_command_works_as_on_a_file(
    team: Team,
    database: str,
    postgres: PostgresServer,
    server: FakeServer,
    api: FakeOpenRouter,
    keys: tuple[FakeKey, ...],
) -> None:
    machine = team.machine("one", server.url)
    machine.settings |= NO_ALERTS
    created = machine.run("init")
    assert (created.code, "created the database postgresql://owner_" in created.stderr) == (0, True)
    add_keys(machine, keys)

    planned = machine.run("sync", "--days", "30", "--dry-run", "--json")
    assert stored(postgres, database) == {}
    synced = machine.run("sync", "--days", "30", "--json")
    again = machine.run("sync", "--days", "30", "--json")
    usage = told(api.answer, keys)
    assert [each.code for each in (planned, synced, again)] == [0, 0, 0]
    assert planned.json["rows_written"] == synced.json["rows_written"] == len(usage)
    assert again.json["rows_written"] == 0
    assert stored(postgres, database) == usage

    report = machine.run("report", "--by", "key", "--last", "all", "--json")
    assert Decimal(report.json["totals"]["cost"]) == total_cost(usage)
    cleaned = machine.run("cleanup", "--retention-days", "7", "--json")
    assert cleaned.code == 0
    assert (
        machine.run("report", "--by", "month", "--last", "all", "--json").json["totals"]
        == report.json["totals"]
    )
    assert {place[1] for place in stored(postgres, database)} < {place[1] for place in usage}

    status = machine.run("status", "--json")
    assert status.json["database"]["size_bytes"] > 1_000_000
    assert "hunter2" not in status.stdout
    assert machine.run("runs").code == 0
    assert machine.run("key", "remove", "ci", "--yes", "--purge").code == 0
    assert machine.run("key", "list", "--json").code == 0
    doctor = machine.run("doctor")
    assert "PostgreSQL" in doctor.stdout
    assert "Traceback" not in doctor.stderr
    assert "hunter2" not in doctor.stdout + doctor.stderr
    assert not list(machine.home.rglob("*.db*")), "nothing is kept on the machine"


def test_of_two_machines_one_syncs_and_the_other_says_who_does(
    team: Team,
    database: str,
    postgres: PostgresServer,
    api: FakeOpenRouter,
    keys: tuple[FakeKey, ...],
    serve: Callable[[Answer], FakeServer],
) -> None:
    gate = Gate(api.answer)
    server = serve(gate.answer)
    one, two = team.machine("one", server.url), team.machine("two", server.url)
    one.settings |= NO_ALERTS
    two.settings |= NO_ALERTS
    add_keys(one, keys)
    first = one.start("sync", "--days", "30", "--json")
    try:
        assert gate.is_reached.wait(60)
        second = two.run("sync", "--days", "30")
        status = two.run("status", "--json")
    finally:
        gate.open()
    finished = finish(first)

    assert (finished.code, finished.stderr) == (0, "")
    assert (second.code, second.stdout) == (75, "")
    assert f"another sync of this database is running (process {first.pid} on " in second.stderr
    assert status.json["jobs"][0]["result"] == "running"
    assert stored(postgres, database) == told(api.answer, keys)
    assert len(server.received) == len(keys) + 1, "each key, and the list of models"


def test_two_machines_at_once_lose_nothing_count_nothing_twice_and_share_the_rate_limit(
    team: Team, database: str, postgres: PostgresServer, serve: Callable[[Answer], FakeServer]
) -> None:
    keys = make_keys(EARLIER)
    api = FakeOpenRouter(keys)
    server = serve(api.answer)
    machines = [team.machine(name, server.url) for name in ("one", "two")]
    for machine in machines:
        machine.settings |= NO_ALERTS
    add_keys(machines[0], keys)
    limit = {"ORWATCH_RATE_LIMIT_PER_MINUTE": str(LIMIT)}
    assert machines[0].run("validate", **limit).code == 0
    earlier = f"(extract(epoch FROM clock_timestamp()) - {EARLIER_SECONDS}) * 1000"
    postgres.execute(f"UPDATE request_log SET started_at_ms = {earlier}", database)

    started_at = time.monotonic()
    # One that finds the lock held waits, and then asks for all of it once more.
    started = [
        machine.start("sync", "--days", "30", "--json", "--wait", "100", **limit) for machine in machines
    ]
    finished = [finish(process) for process in started]

    assert [(each.code, each.stderr) for each in finished] == [(0, "")] * 2
    usage = told(api.answer, keys)
    assert sorted(each.json["rows_written"] for each in finished) == [0, len(usage)]
    assert stored(postgres, database) == usage
    arrivals = [moment for moment, _ in server.received][EARLIER:]
    assert len(arrivals) == 2 * len(keys) + 1, "the list of models is read once"
    before = [started_at - EARLIER_SECONDS] * EARLIER
    assert most_within([*before, *arrivals], WINDOW_SECONDS) <= LIMIT
    assert arrivals[-1] - arrivals[0] < WINDOW_SECONDS - EARLIER_SECONDS + 15


def one_line(finished: Finished) -> str:
    assert finished.stdout == ""
    assert finished.stderr.count("\n") == 1
    assert "hunter2" not in finished.stderr
    return finished.stderr


@pytest.mark.parametrize("command", ["status", "sync", "init"])
def test_a_server_that_is_away_is_one_line_and_exit_75(
    tmp_path: Path, server: FakeServer, command: str
) -> None:
    team = Team(tmp_path, "postgresql+psycopg://me:hunter2@127.0.0.1:1/orwatch")
    finished = team.machine("one", server.url).run(command)

    assert finished.code == 75
    assert "the database postgresql://me@127.0.0.1:1/orwatch does not answer" in one_line(finished)


def test_a_wrong_password_is_one_line_and_exit_78(
    team: Team, database: str, server: FakeServer, postgres: PostgresServer
) -> None:
    team.settings["ORWATCH_DATABASE_URL"] = database.replace("hunter2", "wrong-hunter2")
    finished = team.machine("one", server.url).run("sync")

    assert finished.code == 78
    assert "password authentication failed" in one_line(finished)


def test_an_address_that_cannot_be_read_is_one_line_and_exit_78(tmp_path: Path, server: FakeServer) -> None:
    team = Team(tmp_path, "postgresql://me:hun@hunter2@db/orwatch")
    finished = team.machine("one", server.url).run("sync")

    assert finished.code == 78
    assert "ORWATCH_DATABASE_URL cannot be used: it has more than one @" in one_line(finished)
