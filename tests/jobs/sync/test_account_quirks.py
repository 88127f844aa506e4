"""What OpenRouter's account endpoints do that one would not expect, as far as a sync meets it."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from orwatch.jobs.sync.result import SyncKeyStatus
from tests.jobs.support import add_key
from tests.jobs.sync.account_server import MANAGEMENT, AccountWatcher
from tests.support import NOW, TODAY, secret_of


def test_a_key_that_expires_is_expired_and_not_deleted_until_it_is_listed_no_more(
    watcher: AccountWatcher,
) -> None:
    expires_at = (NOW + timedelta(hours=2)).isoformat()
    key_hash = watcher.server.create("guest", more={"expires_at": expires_at})
    states = []
    for _ in range(3):
        watcher.sync()
        states.append(watcher.key("guest").state(watcher.clock.now()))
        watcher.clock.advance(hours=2)
    watcher.server.keys[key_hash].is_deleted = True
    watcher.sync()
    states.append(watcher.key("guest").state(watcher.clock.now()))
    assert states == ["discovered", "expired", "expired", "deleted"]


def test_a_server_that_refuses_include_expired_is_read_all_the_same(watcher: AccountWatcher) -> None:
    watcher.server.knows_expired = False
    watcher.server.use(watcher.server.create("red"))
    assert watcher.sync()["red"].error is None
    assert watcher.costs() == {"red": 1}


def test_a_key_that_analytics_warns_of_has_unknown_days_and_not_unused_ones(watcher: AccountWatcher) -> None:
    same = [watcher.server.create("same") for _ in range(2)]
    for key_hash in same:
        watcher.server.use(key_hash)
    watcher.sync()
    first, second = (watcher.key_of(key_hash).name for key_hash in same)
    watcher.server.use(same[0], "2")
    watcher.server.use(same[1], "3")
    watcher.server.unresolved = {same[0]}
    boss = watcher.sync()["boss"]
    # What was read before stays, and nothing of it is the account's remainder.
    assert watcher.costs() == {first: 1, second: 4}
    assert any(
        note.startswith("analytics warns: filter could not be resolved") and f"What {first} used" in note
        for note in boss.notes
    )
    watcher.server.unresolved = set()
    watcher.sync()
    assert watcher.costs() == {first: 3, second: 4}


@pytest.mark.parametrize(
    ("warning", "known"),
    [("a hash could not be resolved", {"key 2", "key 3"}), ("not resolved: {}", {"key 1", "key 2", "key 3"})],
)
def test_a_warning_about_a_day_that_is_read_key_by_key_makes_nobody_pay(
    watcher: AccountWatcher, warning: str, known: set[str]
) -> None:
    hashes = [watcher.server.create(f"key {number}") for number in range(4)]
    for key_hash in hashes:
        for model in range(4):
            watcher.server.use(key_hash, "1", model=f"maker/model {model}")
    watcher.server.unresolved, watcher.server.warning = {hashes[0]}, warning
    watcher.server.max_rows = 9
    watcher.sync()
    assert watcher.costs() == dict.fromkeys(known, 4)


@pytest.mark.parametrize("path", ["/workspaces", "/keys", "/activity", "/analytics/query", "/credits"])
def test_an_error_with_200_deletes_no_key_and_takes_nothing_away(watcher: AccountWatcher, path: str) -> None:
    watcher.server.use(watcher.server.create("red"), "2")
    watcher.sync()
    body = {"data": [], "error": {"code": 400, "message": "the shard is away"}}
    watcher.server.failing = {path: httpx.Response(200, json=body)}
    boss = watcher.sync()["boss"]
    assert f"{path} answered 200 with an error: the shard is away" in (boss.error or "")
    assert watcher.costs() == {"red": 2}
    assert watcher.key("red").state(NOW) == "discovered"


def test_where_workspaces_are_refused_with_403_the_default_one_is_read(watcher: AccountWatcher) -> None:
    watcher.server.missing = {"/workspaces": 403}
    watcher.server.use(watcher.server.create("red"), "2")
    watcher.server.use(watcher.server.create("far", workspace="elsewhere"), "3")
    assert watcher.sync()["boss"].error is None
    assert watcher.costs() == {"red": 2, "boss": 3}


def test_a_403_for_workspaces_deletes_no_key_of_another_one_but_those_of_its_own(
    watcher: AccountWatcher,
) -> None:
    watcher.server.workspaces.append("00000000-0000-0000-0000-000000000002")
    gone, _ = watcher.server.create("gone"), watcher.server.create("stays")
    watcher.server.create("far", workspace=watcher.server.workspaces[1])
    watcher.sync()
    watcher.server.missing = {"/workspaces": 403}
    watcher.server.keys[gone].is_deleted = True
    watcher.sync()
    states = {name: watcher.key(name).state(NOW) for name in ("gone", "stays", "far")}
    assert states == {"gone": "deleted", "stays": "discovered", "far": "discovered"}


@pytest.mark.parametrize("told", [{"creator_user_id": "user_1"}, {"organization_id": "org_1"}, {}])
def test_two_management_keys_of_an_account_without_workspaces_or_keys_count_it_once(
    watcher: AccountWatcher, told: dict[str, str]
) -> None:
    watcher.server.missing = {"/workspaces": 404}
    watcher.server.told_of_owner = told
    watcher.server.use(None, "3")
    add_key(watcher.store, "deputy", facts=MANAGEMENT)
    watcher.server.managers.add(secret_of("deputy"))
    assert "same account as boss" in watcher.sync()["deputy"].notes[0]
    watcher.server.use(None, "1")
    for _ in range(3):
        watcher.sync()
        assert watcher.total_nano() == watcher.server.spent().cost_nano
        watcher.next_day()


def test_two_accounts_without_workspaces_keys_or_use_are_two(watcher: AccountWatcher) -> None:
    watcher.server.missing = {"/workspaces": 404}
    add_key(watcher.store, "deputy", facts=MANAGEMENT)
    watcher.server.managers.add(secret_of("deputy"))
    assert not watcher.sync()["deputy"].notes


@pytest.mark.parametrize("max_rows", [10_000, 2])
def test_a_key_that_is_named_chatroom_does_not_receive_what_no_key_has_used(
    watcher: AccountWatcher, max_rows: int
) -> None:
    watcher.server.missing = {"/activity": 404}
    watcher.server.max_rows = max_rows
    watcher.server.use(watcher.server.create("Chatroom"), "2")
    watcher.server.use(watcher.server.create("red"), "1")
    watcher.server.use(None, "5")
    watcher.sync()
    assert watcher.costs() == {"Chatroom": 2, "red": 1, "boss": 5}


def test_a_server_that_does_not_know_a_filter_by_key_gives_no_key_the_usage_of_all(
    watcher: AccountWatcher,
) -> None:
    watcher.server.ignores_filters = True
    watcher.server.missing = {"/analytics/query": 404}
    for name, cost in (("red", "1"), ("blue", "2")):
        watcher.server.use(watcher.server.create(name), cost, day=TODAY - timedelta(days=1))
    watcher.server.use(None, "4", day=TODAY - timedelta(days=1))
    for _ in range(2):
        done = watcher.sync()
        for name in ("red", "blue"):
            assert "the usage of the whole account" in (done[name].error or "")
        assert watcher.total_nano() == watcher.server.spent().cost_nano


def test_one_key_may_have_used_all_that_its_account_has(watcher: AccountWatcher) -> None:
    for name in ("red", "blue"):
        watcher.server.create(name)
    watcher.server.use(next(iter(watcher.server.keys)), "1", day=TODAY - timedelta(days=1))
    assert {done.status for done in watcher.sync().values()} == {SyncKeyStatus.OK}
    assert watcher.costs(TODAY - timedelta(days=1)) == {"red": 1}


def test_an_analytics_that_does_not_know_a_filter_by_key_is_no_answer(watcher: AccountWatcher) -> None:
    watcher.server.ignores_filters = True
    watcher.server.missing = {"/activity": 404}
    for _ in range(2):
        watcher.server.use(watcher.server.create("twin"), "1")
    watcher.server.use(None, "4")
    error = watcher.sync()["boss"].error or ""
    assert "reports $12.00 for the keys of an account and $6.00 for all of it" in error
