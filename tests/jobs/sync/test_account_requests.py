"""How much a sync asks of an account: a few requests an hour, whatever the number of keys."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from orwatch.domain.sources import UsageSource
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.sync import account_days
from orwatch.openrouter import account
from orwatch.secrets import Keyring
from tests.jobs.support import ENCRYPTION_KEY
from tests.jobs.sync.account_server import CLAUDE, GPT, AccountWatcher, Use
from tests.support import NOW, TODAY, secret_of


def asked(watcher: AccountWatcher) -> Counter[str]:
    """The paths that one sync asks for."""
    watcher.server.requests.clear()
    watcher.sync()
    return Counter(path for path, _ in watcher.server.requests)


@pytest.mark.parametrize(("key_count", "key_pages"), [(1, 1), (50, 1), (101, 2)])
def test_an_hour_without_use_costs_a_handful_of_requests(
    watcher: AccountWatcher, key_count: int, key_pages: int
) -> None:
    for number in range(key_count):
        watcher.server.use(watcher.server.create(f"key {number}"), day=TODAY - timedelta(days=1))
    first = asked(watcher)
    assert first["/activity"] == 2 + key_count
    watcher.clock.advance(hours=1)
    quiet = {"/workspaces": 1, "/keys": key_pages, "/analytics/query": 1, "/activity": 1, "/credits": 1}
    assert asked(watcher) == quiet
    for key_hash in watcher.server.keys:
        watcher.server.use(key_hash)
    watcher.clock.advance(hours=1)
    assert asked(watcher) == quiet  # what came today is in the answer of analytics


def test_a_key_is_asked_about_a_day_until_that_is_settled(watcher: AccountWatcher) -> None:
    used, idle = watcher.server.create("used"), watcher.server.create("idle")
    watcher.server.use(used)
    watcher.sync()
    read_on = []
    for days in range(1, 8):
        watcher.next_day()
        for _ in range(3):
            watcher.server.requests.clear()
            watcher.sync()
            if watcher.server.hashes_asked():
                assert watcher.server.hashes_asked() == [used]
                read_on.append(days)
            watcher.clock.advance(hours=4)
    assert read_on == [1, 2, 3]
    assert idle not in watcher.server.hashes_asked()


def test_a_settled_day_is_asked_for_again_when_a_key_spends_more(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red)
    for _ in range(6):
        watcher.sync()
        watcher.next_day()
    watcher.server.use(red)
    watcher.next_day()
    assert asked(watcher)["/activity"] == 3


def test_a_correction_costs_the_keys_that_have_open_days_one_request_each(watcher: AccountWatcher) -> None:
    keys = [watcher.server.create(f"key {number}") for number in range(10)]
    watcher.server.use(keys[1], day=TODAY - timedelta(days=20))
    for _ in range(2):
        watcher.server.use(keys[0])
        watcher.sync()
        last = watcher.server.today
        watcher.next_day()
    watcher.sync()
    watcher.server.correct((last, keys[0], GPT, "OpenAI"), Use(5, 6, 7, 8 * 10**9), is_counted=False)
    watcher.server.requests.clear()
    watcher.sync()
    assert watcher.server.hashes_asked() == [keys[0]]


def test_the_account_is_asked_for_all_completed_days_once_a_day_and_then_for_the_last_one(
    watcher: AccountWatcher,
) -> None:
    watcher.server.create("idle")
    watcher.server.use(None, day=TODAY - timedelta(days=5))
    asked_for = []
    for hours in (1, 1, 22, 1):
        watcher.server.requests.clear()
        watcher.sync()
        asked_for.append([params.get("date") for params in watcher.server.asked("/activity")])
        watcher.clock.advance(hours=hours)
    assert asked_for == [[None], ["2026-11-19"], ["2026-11-19"], [None]]


def test_a_large_account_is_asked_for_its_completed_days_one_by_one(
    watcher: AccountWatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_days, "_ROWS_AT_ONCE", 5)
    monkeypatch.setattr(account, "MOST_BYTES_AT_ONCE", 1_000)
    red = watcher.server.create("red")
    for ago in range(31):
        watcher.server.use(red, day=TODAY - timedelta(days=ago))
        watcher.server.use(None, "2", day=TODAY - timedelta(days=ago))
    watcher.sync()
    completed = [f"{TODAY - timedelta(days=ago)}" for ago in (1, *range(30, 1, -1))]
    asked_for = [params.get("date") for params in watcher.server.asked("/activity")]
    assert asked_for == [*completed, None, *completed]
    for ago in (1, 30):
        day = TODAY - timedelta(days=ago)
        assert {names: use.requests for names, use in watcher.rows(day).items()} == {
            ("red", GPT, "OpenAI"): 1,
            ("boss", GPT, "OpenAI"): 1,
        }


def test_what_is_no_keys_is_corrected_within_an_hour_on_the_last_day_and_the_next_day_on_others(
    watcher: AccountWatcher,
) -> None:
    last, older = TODAY - timedelta(days=1), TODAY - timedelta(days=2)
    for day in (last, older):
        watcher.server.use(None, "2", day=day)
    watcher.sync()
    for day in (last, older):
        watcher.server.use(None, "5", day=day)
    watcher.sync()
    assert [watcher.costs(day) for day in (last, older)] == [{"boss": 7}, {"boss": 2}]
    watcher.next_day()
    watcher.sync()
    assert [watcher.costs(day) for day in (last, older)] == [{"boss": 7}, {"boss": 7}]


def test_all_completed_days_are_asked_for_again_where_the_remainder_of_one_could_not_be_read(
    watcher: AccountWatcher,
) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red, day=TODAY - timedelta(days=3))
    watcher.server.use(None, "2", day=TODAY - timedelta(days=3))
    watcher.sync()
    watcher.server.failing["/activity"] = 500
    watcher.next_day()
    watcher.sync()
    watcher.server.failing.clear()
    watcher.server.use(None, "5", day=TODAY - timedelta(days=3))
    watcher.sync()
    assert watcher.costs(TODAY - timedelta(days=3)) == {"red": 1, "boss": 7}


def test_usage_counts_once_where_the_account_could_not_be_read_again_after_a_key(
    watcher: AccountWatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the key answers, its usage is kept as no key's; afterwards it is not, and not only tomorrow."""
    server, day = watcher.server, TODAY - timedelta(days=3)
    server.missing["/analytics/query"] = 404
    red = server.create("red")
    server.use(red, "5", day=day)
    server.failing[red] = 500
    watcher.sync()
    assert watcher.costs(day) == {"boss": 5}
    watcher.clock.advance(hours=1)
    server.failing.clear()
    tell = server.activity

    def fail_from_now_on(params: dict[str, Any]) -> list[dict[str, Any]]:
        if "api_key_hash" in params:
            server.failing["/activity"] = 503
        return tell(params)

    monkeypatch.setattr(server, "activity", fail_from_now_on)
    watcher.sync()
    monkeypatch.undo()
    server.failing.clear()
    watcher.clock.advance(hours=1)
    watcher.sync()
    assert watcher.costs(day) == {"red": 5}


def test_a_key_with_a_secret_of_its_own_counts_once_in_the_next_hour(watcher: AccountWatcher) -> None:
    own = watcher.server.create("own", secret_name="laptop")
    watcher.server.use(own, day=TODAY - timedelta(days=3))
    watcher.sync()
    assert watcher.costs(TODAY - timedelta(days=3)) == {"own": 1}
    watcher.sync()
    watcher.server.requests.clear()
    keyring, setting = Keyring([ENCRYPTION_KEY]), UsageSource.COUNTERS
    key_jobs.add(watcher.store, keyring, "own", secret_of("laptop"), None, NOW, source_setting=setting)
    watcher.sync()
    assert [params.get("date") for params in watcher.server.asked("/activity")] == [None]
    assert watcher.costs(TODAY - timedelta(days=3)) == {"own": 1}


def test_keys_of_one_name_cost_one_request_each_and_only_where_the_name_was_used(
    watcher: AccountWatcher,
) -> None:
    same = [watcher.server.create("same") for _ in range(3)]
    other = watcher.server.create("other")
    watcher.server.use(other)
    watcher.sync()
    assert asked(watcher)["/analytics/query"] == 1
    watcher.server.use(same[0])
    assert asked(watcher)["/analytics/query"] == 4


def test_a_missing_endpoint_is_asked_for_once_a_day_and_again_after_validate(watcher: AccountWatcher) -> None:
    watcher.server.missing = {"/activity": 404, "/analytics/query": 403}
    watcher.server.create("red")
    paths = ("/activity", "/analytics/query")
    for expected in (1, 0, 0):
        counts = asked(watcher)
        assert [counts[path] for path in paths] == [expected, expected]
    watcher.validate()
    counts = asked(watcher)
    assert [counts[path] for path in paths] == [1, 1]
    watcher.clock.advance(hours=25)
    counts = asked(watcher)
    assert [counts[path] for path in paths] == [1, 1]


def test_free_models_are_read_although_no_counter_tells_of_them(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red, "0", model=f"{CLAUDE}:free")
    watcher.sync()
    watcher.next_day()
    assert asked(watcher)["/activity"] == 3
    assert watcher.rows(TODAY) == {("red", f"{CLAUDE}:free", "OpenAI"): Use(1, 10, 20)}


def test_a_key_that_counts_dollars_only_by_its_own_secret_makes_nobody_be_asked_every_hour(
    watcher: AccountWatcher,
) -> None:
    own = watcher.server.create("own", secret_name="laptop")
    others = [watcher.server.create(f"key {number}") for number in range(5)]
    setting = UsageSource.COUNTERS
    key_jobs.add(
        watcher.store,
        Keyring([ENCRYPTION_KEY]),
        "own",
        secret_of("laptop"),
        None,
        NOW,
        source_setting=setting,
    )
    for key_hash in (own, *others):
        watcher.server.use(key_hash)
    watcher.sync()
    watcher.next_day()
    watcher.sync()
    watcher.sync()
    assert asked(watcher)["/activity"] == 1


@pytest.mark.parametrize("has_analytics", [True, False])
def test_where_the_last_use_is_known_the_first_sync_of_a_day_asks_for_the_keys_in_use_only(
    watcher: AccountWatcher, has_analytics: bool
) -> None:
    server = watcher.server
    server.tells_last_use = True
    server.missing = {} if has_analytics else {"/analytics/query": 404}
    keys = [server.create(f"key {number}") for number in range(10)]
    for key_hash in keys[:5]:
        server.use(key_hash, day=TODAY - timedelta(days=2))
    server.use(keys[5], day=TODAY - timedelta(days=100))
    watcher.sync()
    assert sorted(server.hashes_asked()) == sorted(keys[:5])
    for _ in range(3):
        server.use(keys[0])
        server.use(keys[1], "0", model=f"{CLAUDE}:free")
        watcher.next_day()
        server.requests.clear()
        watcher.sync()
        assert sorted(server.hashes_asked()) == sorted(keys[:2])
    yesterday = watcher.clock.now().date() - timedelta(days=1)
    used = {names for names, use in watcher.rows(yesterday).items() if use.requests}
    assert used == {("key 0", GPT, "OpenAI"), ("key 1", f"{CLAUDE}:free", "OpenAI")}


def test_a_correction_of_a_key_that_is_no_longer_used_is_read_all_the_same(watcher: AccountWatcher) -> None:
    watcher.server.tells_last_use = True
    red = watcher.server.create("red")
    watcher.server.use(red)
    for _ in range(3):
        watcher.next_day()
        watcher.sync()
    watcher.server.correct((TODAY, red, GPT, "OpenAI"), Use(5, 6, 7, 8 * 10**9), is_counted=False)
    watcher.server.requests.clear()
    watcher.next_day()
    watcher.sync()
    assert watcher.server.hashes_asked() == [red]
    assert watcher.costs(TODAY) == {"red": 8}


def test_use_of_the_last_minutes_before_the_reading_is_read_again(watcher: AccountWatcher) -> None:
    watcher.server.tells_last_use = True
    red = watcher.server.create("red")
    watcher.next_day(hour=23)
    watcher.server.use(red)
    asked_on = []
    for days in range(1, 4):
        watcher.next_day(hour=1)
        watcher.server.requests.clear()
        watcher.sync()
        asked_on += [days] * len(watcher.server.hashes_asked())
    assert asked_on == [1, 2]
