"""A management key that is removed, and one that comes after it: nothing is counted twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from orwatch.jobs.key import change as key_jobs
from orwatch.store.engine.database import Store
from orwatch.store.schema import api_keys, metadata
from tests.jobs.support import add_key
from tests.jobs.sync.account_server import MANAGEMENT, AccountWatcher
from tests.store.support import on_each_engine, scalar
from tests.support import FakeClock, secret_of


@pytest.fixture
def watcher(store: Store, clock: FakeClock) -> AccountWatcher:
    """An account that was synced for some days, with a key that was deleted and a chat room."""
    watcher = AccountWatcher(store, clock)
    server = watcher.server
    for name in ("living", "gone"):
        key_hash = server.create(name, secret_name=name, created_at=clock.now() - timedelta(days=90))
        server.use(key_hash, "1", day=server.today - timedelta(days=40))
        server.use(key_hash, "2", day=server.today - timedelta(days=2))
        server.use(key_hash, "4")
    server.use(None, "8")
    watcher.sync()
    server.keys[watcher.key("gone").key_hash].is_deleted = True
    watcher.next_day()
    watcher.sync()
    return watcher


def stored_nano(store: Store) -> int:
    nano: int = scalar(store, "SELECT sum(cost_nano) FROM usage_stats")
    return nano


def come_back(watcher: AccountWatcher) -> None:
    add_key(watcher.store, "boss", facts=MANAGEMENT)


def succeed(watcher: AccountWatcher) -> None:
    watcher.server.managers.add(secret_of("successor"))
    add_key(watcher.store, "successor", facts=MANAGEMENT)


@pytest.mark.parametrize("act", [come_back, succeed])
def test_what_was_known_before_is_counted_once_by_the_next_management_key(
    store: Store, watcher: AccountWatcher, act: Callable[[AccountWatcher], None]
) -> None:
    assert stored_nano(store) == watcher.server.spent().cost_nano

    key_jobs.remove(store, "boss", watcher.clock.now(), with_history=False)
    assert watcher.names() == set()
    act(watcher)
    watcher.server.use(watcher.key("living").key_hash, "16")
    for _ in range(3):
        watcher.sync()
        assert stored_nano(store) == watcher.server.spent().cost_nano
        watcher.next_day()

    assert "living" in watcher.names()


def test_a_member_with_a_secret_is_synced_on_by_itself(store: Store, watcher: AccountWatcher) -> None:
    add_key(store, "living")
    key_jobs.remove(store, "boss", watcher.clock.now(), with_history=False)
    watcher.next_day()
    watcher.server.use(watcher.key("living").key_hash, "16")
    watcher.server.missing["/usage"] = 404

    assert list(watcher.sync()) == ["living"]
    assert stored_nano(store) == watcher.server.spent().cost_nano


def test_a_secret_that_is_forgotten_changes_nothing_of_what_is_read(
    store: Store, watcher: AccountWatcher
) -> None:
    add_key(store, "living")
    key_jobs.remove(store, "living", watcher.clock.now(), with_history=False)
    watcher.server.use(watcher.key("living").key_hash, "16")

    watcher.sync()

    assert stored_nano(store) == watcher.server.spent().cost_nano


@on_each_engine
def test_a_purge_clears_every_table_that_points_at_a_key(store: Store, watcher: AccountWatcher) -> None:
    pointing = {
        table.name: key.parent.name
        for table in metadata.tables.values()
        for key in table.foreign_keys
        if key.column.table is api_keys
    }

    key_jobs.remove(store, "boss", watcher.clock.now(), with_history=True)

    assert {"accounts", "account_credits", "usage_stats", "api_keys"} <= pointing.keys()
    for table, column in pointing.items():
        assert scalar(store, f"SELECT count(*) FROM {table} WHERE {column} = {watcher.boss.id}") == 0
