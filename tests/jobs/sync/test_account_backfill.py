"""The days before those of ``GET /activity``: a year back, in answers that are whole, each day once."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from orwatch.domain.keys import AccountState
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.sync.result import SyncKeyStatus
from orwatch.store.keys import accounts
from tests.jobs.support import add_key
from tests.jobs.sync.account_server import CLAUDE, GPT, MANAGEMENT, AccountWatcher, Json
from tests.store.support import on_each_engine
from tests.support import NOW, TODAY

LONG_AGO = NOW - timedelta(days=1000)


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def state(watcher: AccountWatcher) -> AccountState:
    with watcher.store.read() as connection:
        return accounts.account_state(connection, watcher.boss.id)


def windows(watcher: AccountWatcher) -> list[tuple[int, int]]:
    """The days that analytics was asked for, as days ago, both inclusive."""
    return [
        ((TODAY - day(body, "start")).days, (TODAY - day(body, "end")).days + 1)
        for body in watcher.server.asked("/analytics/query")
    ]


def day(body: Json, end: str) -> date:
    return date.fromisoformat(body["time_range"][end][:10])


def test_a_key_that_was_removed_with_its_usage_and_is_found_again_is_read_back_again(
    watcher: AccountWatcher,
) -> None:
    red = watcher.server.create("red", created_at=LONG_AGO)
    for days in (0, 20, 100, 300):
        watcher.server.use(red, "2", day=ago(days))
        watcher.server.use(None, "1", day=ago(days))
    watcher.sync()
    key_jobs.remove(watcher.store, "boss", NOW, with_history=False)
    key_jobs.remove(watcher.store, "red", NOW, with_history=True)
    assert watcher.total_nano() < watcher.server.spent().cost_nano
    add_key(watcher.store, "boss", facts=MANAGEMENT)
    watcher.sync()
    assert watcher.total_nano() == watcher.server.spent().cost_nano
    assert watcher.costs(ago(300)) == {"red": 2, "boss": 1}
    asked = len(watcher.server.requests)
    watcher.server.create("new", created_at=NOW)
    watcher.sync()
    assert {since for since, _ in windows(watcher)[-1:]} == {0}
    assert len(watcher.server.requests) - asked < 10


def test_the_first_sync_reads_a_year_back(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red", created_at=LONG_AGO)
    for days in (0, 30, 31, 364):
        watcher.server.use(red, "2", day=ago(days))
        watcher.server.use(None, "1", day=ago(days))
    watcher.server.use(red, "5", day=ago(365))  # out of reach
    assert watcher.sync()["boss"].since == ago(364)
    for days in (0, 30, 31, 364):
        assert watcher.costs(ago(days)) == {"red": Decimal(2), "boss": Decimal(1)}
    assert watcher.costs(ago(365)) == {}
    assert windows(watcher) == [(30, 0), (364, 31)]
    watcher.server.requests.clear()
    watcher.sync()
    assert windows(watcher) == [(0, 0)]


def test_a_later_wish_reads_further_back_and_from_now_on(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red", created_at=LONG_AGO)
    for days in (60, 200):
        watcher.server.use(red, "2", day=ago(days))
    watcher.sync(backfill_from=ago(100))
    assert watcher.costs(ago(60)) == {"red": Decimal(2)}
    assert watcher.costs(ago(200)) == {}
    assert state(watcher).backfilled_from == ago(100)
    watcher.server.requests.clear()
    watcher.sync(backfill_from=ago(250))
    assert watcher.costs(ago(200)) == {"red": Decimal(2)}
    assert windows(watcher) == [(0, 0), (250, 31)]
    watcher.server.requests.clear()
    watcher.sync()
    assert windows(watcher) == [(0, 0)]


def test_days_that_cleanup_removed_are_not_asked_for(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red", created_at=LONG_AGO)
    for days in (0, 20, 60, 200):
        watcher.server.use(red, "2", day=ago(days))
    watcher.clean_up(100)
    watcher.sync()
    assert windows(watcher) == [(30, 0), (100, 31)]
    assert watcher.total_nano() == 6 * 10**9
    watcher.clean_up(10)
    watcher.server.requests.clear()
    watcher.sync(backfill_from=ago(300))
    assert windows(watcher) == [(0, 0)]
    assert watcher.total_nano() == 6 * 10**9


@pytest.mark.parametrize("max_rows", [1, 2, 3, 5, 8, 10_000])
def test_truncated_answers_are_split_down_to_a_day_and_its_keys_and_never_stored(
    watcher: AccountWatcher, max_rows: int
) -> None:
    names = ("red", "blue", "same", "same", "idle", "green")
    keys = [watcher.server.create(name, created_at=LONG_AGO) for name in names]
    for days in (0, 2, 40, 41, 200):
        for number, key_hash in enumerate([*keys[:4], keys[5], None]):
            watcher.server.use(key_hash, 10**9 + number, day=ago(days))
    watcher.server.max_rows = max_rows
    for _ in range(2):
        result = watcher.sync()
        assert result["boss"].status is SyncKeyStatus.OK
        assert watcher.total_nano() == watcher.server.spent().cost_nano
        for days in (0, 2, 40, 41, 200):
            assert sorted(watcher.costs(ago(days)).values()) == [
                Decimal(10**9 + number).scaleb(-9) for number in range(6)
            ]


def test_a_query_that_is_too_heavy_is_split(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red", created_at=LONG_AGO)
    for days in (0, 40, 200):
        watcher.server.use(red, "2", day=ago(days))
    watcher.server.too_heavy_days = 50
    watcher.sync()
    assert watcher.total_nano() == watcher.server.spent().cost_nano
    answered = [first - last + 1 for first, last in windows(watcher) if first - last + 1 <= 50]
    assert sum(answered) == 365


def test_a_day_that_one_key_alone_fills_is_told_and_not_stored_in_part(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    for model in (GPT, CLAUDE):
        watcher.server.use(red, "2", model=model)
    watcher.server.max_rows = 1
    result = watcher.sync()
    assert "truncated" in (result["boss"].error or "")
    # The counters of the list tell the day all the same.
    assert watcher.rows().keys() == {("red", None, None)}
    watcher.next_day()
    watcher.sync()
    assert watcher.total_nano() == watcher.server.spent().cost_nano


def test_windows_are_as_long_as_their_rows_fit_an_answer(watcher: AccountWatcher) -> None:
    keys = [watcher.server.create(f"key {number}", created_at=LONG_AGO) for number in range(100)]
    for days in range(31):
        for key_hash in keys:
            watcher.server.use(key_hash, day=ago(days))
    watcher.sync()
    assert watcher.total_nano() == watcher.server.spent().cost_nano
    # The guess for the first question is careful; 6,000 rows are 60 days of 100 keys then.
    assert windows(watcher) == [(9, 0), (30, 10), (90, 31), (364, 91)]


def test_keys_of_one_name_are_told_apart_a_year_back(watcher: AccountWatcher) -> None:
    first, second = (watcher.server.create("same", created_at=LONG_AGO) for _ in range(2))
    watcher.server.use(first, "2", day=ago(100))
    watcher.server.use(second, "3", day=ago(100))
    watcher.sync()
    expected = {watcher.key_of(first).name: Decimal(2), watcher.key_of(second).name: Decimal(3)}
    assert watcher.costs(ago(100)) == expected


def test_usage_of_an_older_key_of_the_same_name_is_nobodys(watcher: AccountWatcher) -> None:
    old = watcher.server.create("same", created_at=LONG_AGO, is_deleted=True)
    watcher.server.create("same", created_at=NOW - timedelta(days=50))
    watcher.server.use(old, "2", day=ago(100))
    watcher.sync()
    assert watcher.costs(ago(100)) == {"boss": Decimal(2)}


@on_each_engine
def test_an_account_whose_analytics_come_late_is_read_back_then(watcher: AccountWatcher) -> None:
    watcher.server.missing["/analytics/query"] = 404
    red = watcher.server.create("red", created_at=LONG_AGO)
    for days in (0, 100):
        watcher.server.use(red, "2", day=ago(days))
    watcher.sync()
    assert watcher.costs(ago(100)) == {}
    watcher.server.missing.clear()
    watcher.next_day(2)
    watcher.sync()
    assert watcher.total_nano() == watcher.server.spent().cost_nano


def test_an_account_that_nobody_watched_for_two_months_has_no_hole(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red", created_at=LONG_AGO)
    watcher.sync()
    for _ in range(60):
        watcher.server.use(red, "1")
        watcher.server.use(None, "2")
        watcher.next_day()
    watcher.sync()
    assert watcher.total_nano() == watcher.server.spent().cost_nano
