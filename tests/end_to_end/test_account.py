"""A management key: the installed program follows a whole account, and its totals are the server's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import TypeAlias

import pytest

from orwatch.demo.account import FakeAccount, demo_account
from orwatch.demo.api import FakeOpenRouter, utc_today
from orwatch.demo.server import Answer, FakeServer, Request, Response, error_response
from orwatch.demo.usage import usage_of
from tests.end_to_end.support import Machine, forget_days

Serve: TypeAlias = Callable[[Answer], FakeServer]
DAYS = 60


@pytest.fixture
def account() -> FakeAccount:
    return demo_account(utc_today(), history_days=DAYS)


@pytest.fixture
def api(account: FakeAccount) -> FakeOpenRouter:
    return FakeOpenRouter((), account=account, history_days=DAYS, serves_usage=False)


@pytest.fixture
def ops(machine: Machine, account: FakeAccount) -> Machine:
    """An account on which the management key was added as ``ops``."""
    added = machine.run("key", "add", "ops", input=account.management_secret)
    assert (added.code, "management" in added.stdout) == (0, True)
    return machine


def used(api: FakeOpenRouter, account: FakeAccount) -> dict[str | None, tuple[Decimal, Decimal, int]]:
    """Credits, BYOK and requests of each key by its hash, and of the chat room."""
    today = utc_today()
    days = [today - timedelta(days=number) for number in range(DAYS)]
    assert account.chat_room is not None
    users = {key.key_hash: key for key in api.account_keys} | {None: account.chat_room}
    return {
        key_hash: (
            sum((row.cost_usd for row in rows), Decimal(0)),
            sum((row.byok_cost_usd for row in rows), Decimal(0)),
            sum(row.requests for row in rows),
        )
        for key_hash, key in users.items()
        for rows in [[row for day in days for row in usage_of(key, day)]]
    }


def stored(machine: Machine) -> dict[str | None, tuple[Decimal, Decimal, int]]:
    """The same from the database; the management key stands for what belongs to no key."""
    rows = machine.query(
        "SELECT CASE k.kind WHEN 'management' THEN NULL ELSE k.key_hash END, sum(s.cost_nano),"
        " sum(s.byok_cost_nano), sum(s.requests)"
        " FROM usage_stats s JOIN api_keys k ON k.id = s.api_key_id GROUP BY k.id"
    )
    return {row[0]: (Decimal(row[1]).scaleb(-9), Decimal(row[2] or 0).scaleb(-9), row[3]) for row in rows}


def asked_alone(account: FakeAccount, day: date) -> int:
    """How many keys analytics is asked for one by one: those that share a name with usage on that day."""
    bearers = Counter(key.name for key in account.keys)
    used_names = {key.name for key in account.keys if usage_of(key, day)}
    return sum(count for name, count in bearers.items() if count > 1 and name in used_names)


@pytest.mark.real_clock
def test_one_management_key_watches_every_key_to_the_nano_dollar(
    ops: Machine, api: FakeOpenRouter, account: FakeAccount, server: FakeServer
) -> None:
    synced = ops.run("sync", "--json")

    assert (synced.code, synced.json["status"]) == (1, "ok")
    assert {alert["rule"] for alert in synced.json["alerts"]} == {"key", "model"}
    assert stored(ops) == used(api, account)
    assert ops.is_whole()
    names = {name for (name,) in ops.query("SELECT name FROM api_keys")}
    assert {"ops", "production", "ci", "research", "old-laptop"} < names
    assert len(names) == 6
    models = {name for (name,) in ops.query("SELECT name FROM models WHERE name IS NOT NULL")}
    assert models == {
        row.model
        for key in (*account.keys, account.chat_room)
        if key is not None
        for number in range(DAYS)
        for row in usage_of(key, utc_today() - timedelta(days=number))
    }

    before, asked = ops.dump(), len(server.received)
    again = ops.run("sync", "--json")

    assert (again.code, again.json["rows_written"], again.json["rows_removed"]) == (0, 0, 0)
    unchanged = ("usage_stats", "usage_months", "models", "providers", "model_names")
    assert {name: ops.dump(name)[name] for name in unchanged if name in before} == {
        name: before[name] for name in unchanged if name in before
    }
    paths = Counter(request.path for _, request in server.received[asked:])
    queries = 1 + asked_alone(account, utc_today())
    assert paths == {"/workspaces": 1, "/keys": 2, "/analytics/query": queries, "/activity": 1, "/credits": 1}


@pytest.mark.real_clock
def test_an_account_without_analytics_has_its_completed_days_and_todays_dollars(
    machine: Machine, account: FakeAccount, serve: Serve
) -> None:
    api = FakeOpenRouter((), account=account, history_days=30, serves_usage=False, serves_analytics=False)
    machine.api_url = serve(api.answer).url
    machine.run("key", "add", "ops", input=account.management_secret)

    synced = machine.run("sync", "--json").json
    assert (synced["status"], {alert["rule"] for alert in synced["alerts"]}) == ("ok", {"key", "model"})

    sources = dict(machine.query("SELECT date - (SELECT max(date) FROM usage_days), source FROM usage_days"))
    assert sources[0] == "counters"
    assert {source for offset, source in sources.items() if offset < 0} == {"activity"}
    today = utc_today()
    spent_today = sum((row.cost_usd for key in account.keys for row in usage_of(key, today)), Decimal(0))
    (stored_today,) = machine.query("SELECT sum(cost_nano) FROM usage_stats WHERE model_id = 0")[0]
    assert Decimal(stored_today).scaleb(-9) == spent_today


def test_a_key_that_is_renamed_and_one_that_is_deleted_keep_their_history(
    ops: Machine, api: FakeOpenRouter, account: FakeAccount
) -> None:
    ops.run("sync")
    before = stored(ops)
    by_name = {key.name: key for key in account.keys}
    api.rename(by_name["research"].key_hash, "lab\x1b[31m [red]")
    api.delete(by_name["old-laptop"].key_hash)

    synced = ops.run("sync")

    assert synced.code == 0
    assert "deleted at OpenRouter, history kept: old-laptop" in synced.stdout
    assert "renamed: research is now lab�[31m [red]" in synced.stdout
    assert "\x1b" not in synced.stdout
    assert stored(ops) == before
    listed = ops.run("key", "list", "--json").json["keys"]
    assert len(listed) == 6
    report = ops.run("report", "--by", "key", "--json").json
    assert "old-laptop (deleted)" in {row["key"] for row in report["rows"]}


def test_a_list_that_fails_halfway_deletes_nothing(
    ops: Machine, api: FakeOpenRouter, account: FakeAccount, serve: Serve
) -> None:
    ops.run("sync")
    keys = ops.query("SELECT name, deleted_at FROM api_keys")
    second = account.workspaces[1].id

    def answer(request: Request) -> Response:
        if request.path == "/keys" and request.query.get("workspace_id") == second:
            return error_response(400, "no")
        return api.answer(request)

    ops.api_url = serve(answer).url
    failed = ops.run("sync")

    assert failed.code == 1
    assert "GET /keys answered 400" in failed.stdout
    assert ops.query("SELECT name, deleted_at FROM api_keys") == keys


def test_a_dry_run_tells_what_the_sync_would_write_and_writes_nothing(ops: Machine) -> None:
    before = ops.files()

    rehearsal = ops.run("sync", "--dry-run", "--json")

    assert rehearsal.code == 0
    assert {path for path in ops.files() if path not in before} <= {ops.data_folder / "orwatch.db-wal"}
    assert ops.query("SELECT count(*) FROM usage_stats") == [(0,)]
    assert ops.query("SELECT count(*) FROM api_keys") == [(1,)]
    assert rehearsal.json["rows_written"] == ops.run("sync", "--json").json["rows_written"] > 1000
    assert ops.query("SELECT count(*) FROM usage_stats") == [(rehearsal.json["rows_written"],)]


def test_a_year_can_be_filled_again_at_any_time(
    ops: Machine, api: FakeOpenRouter, account: FakeAccount
) -> None:
    ops.run("sync")
    (last,) = ops.query("SELECT max(date) FROM usage_stats")[0]
    for (key_id,) in ops.query("SELECT id FROM api_keys"):
        forget_days(ops, range(last - 400, last - 40), key_id)
    assert stored(ops) != used(api, account)

    assert ops.run("sync").code == 0
    assert stored(ops) != used(api, account)
    assert ops.run("sync", "--backfill", "365d").code == 0

    assert stored(ops) == used(api, account)
