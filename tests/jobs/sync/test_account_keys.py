"""Which keys an account has: found, followed, told apart, and never counted twice."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from orwatch.domain.sources import UsageSource
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.sync.result import SyncKeyStatus
from orwatch.secrets import Keyring
from orwatch.store.engine.database import Store
from orwatch.store.keys import accounts
from tests.jobs.support import ENCRYPTION_KEY, add_key
from tests.jobs.sync.account_server import DEFAULT_WORKSPACE, GPT, MANAGEMENT, AccountWatcher, Use
from tests.support import NOW, TODAY, secret_of

OTHER_WORKSPACE = "00000000-0000-0000-0000-000000000002"


def test_the_keys_of_all_workspaces_and_pages_are_discovered(watcher: AccountWatcher) -> None:
    watcher.server.workspaces.append(OTHER_WORKSPACE)
    for number in range(230):
        workspace = (DEFAULT_WORKSPACE, OTHER_WORKSPACE)[number % 2]
        created_at = NOW - timedelta(days=300 - number)
        watcher.server.create(f"key {number}", workspace=workspace, created_at=created_at)
    result = watcher.sync()
    assert watcher.names() == {"boss", *(f"key {number}" for number in range(230))}
    assert result["boss"].notes[0].startswith("discovered: key 0, key 1, key 2")
    assert result["boss"].notes[0].endswith("and 220 more")
    assert [params["offset"] for params in watcher.server.asked("/keys")] == ["0", "99", "0", "99"]
    assert watcher.key("key 1").listing is not None
    assert watcher.key("key 1").listing.workspace == "space 2"


def test_without_workspaces_the_list_is_that_of_the_default_one(watcher: AccountWatcher) -> None:
    watcher.server.missing["/workspaces"] = 404
    watcher.server.create("red")
    assert watcher.sync()["red"].status is SyncKeyStatus.OK
    assert watcher.server.asked("/keys") == [
        {"offset": "0", "include_disabled": "true", "include_expired": "true"}
    ]


def test_a_renamed_key_is_followed_and_keeps_its_history(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red, "2")
    watcher.sync()
    watcher.server.keys[red].name = "blue"
    assert "renamed: red is now blue" in watcher.sync()["boss"].notes
    assert watcher.costs() == {"blue": Decimal(2)}


def test_a_key_that_a_person_renamed_keeps_that_name(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    watcher.sync()
    key_jobs.rename(watcher.store, "red", "production")
    watcher.server.keys[red].name = "blue"
    watcher.server.use(red, "2")
    assert watcher.sync()["boss"].notes == ()
    assert watcher.costs() == {"production": Decimal(2)}


def test_two_keys_of_one_name_stay_two(watcher: AccountWatcher) -> None:
    first, second = watcher.server.create("red"), watcher.server.create("red")
    watcher.server.use(first, "1")
    watcher.server.use(second, "2")
    watcher.sync()
    one, other = sorted([first, second], key=lambda key_hash: (NOW, key_hash))
    spent = {first: Decimal(1), second: Decimal(2)}
    assert watcher.costs() == {"red": spent[one], f"red ({other[:6]})": spent[other]}
    filters = [body.get("filters") for body in watcher.server.asked("/analytics/query")]
    assert [{"field": "api_key_id", "operator": "eq", "value": first}] in filters


def test_keys_that_swap_their_names_stay_apart(watcher: AccountWatcher) -> None:
    red, blue = watcher.server.create("red"), watcher.server.create("blue")
    watcher.server.use(red, "1")
    watcher.sync()
    watcher.server.keys[red].name, watcher.server.keys[blue].name = "blue", "red"
    watcher.server.use(blue, "2")
    watcher.sync()
    assert sorted(watcher.costs().values()) == [1, 2]
    assert len(watcher.names()) == 3


def test_a_disabled_key_is_told_and_keeps_its_history(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red, "2")
    watcher.sync()
    watcher.server.keys[red].is_disabled = True
    assert "disabled at OpenRouter: red" in watcher.sync()["boss"].notes
    assert watcher.sync()["boss"].notes == ()
    watcher.server.keys[red].is_disabled = False
    assert "enabled at OpenRouter: red" in watcher.sync()["boss"].notes
    assert watcher.costs() == {"red": Decimal(2)}


def test_a_deleted_key_is_marked_and_keeps_its_history(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red, "2")
    watcher.sync()
    watcher.clock.advance(hours=1)
    watcher.server.use(red, "3")
    watcher.server.keys[red].is_deleted = True
    assert "deleted at OpenRouter, history kept: red" in watcher.sync()["boss"].notes
    for _ in range(6):
        watcher.next_day()
        assert watcher.sync()["boss"].notes == ()
    assert watcher.costs(TODAY) == {"red": Decimal(5)}
    listing = watcher.key("red").listing
    assert listing is not None
    assert listing.deleted_at == NOW + timedelta(hours=1)


def test_a_server_that_tells_nothing_of_a_deleted_key_takes_no_history_away(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red, "2")
    watcher.sync()
    watcher.next_day()
    watcher.server.use(None, "1", day=TODAY)
    watcher.server.keys[red].is_deleted = True
    watcher.server.forgets_deleted_keys = True
    watcher.sync()
    assert watcher.costs(TODAY) == {"red": Decimal(2), "boss": Decimal(1)}


def test_a_new_key_takes_the_name_of_a_deleted_one(watcher: AccountWatcher) -> None:
    old = watcher.server.create("red")
    watcher.server.use(old, "2")
    watcher.sync()
    watcher.clock.advance(hours=1)
    watcher.server.keys[old].is_deleted = True
    new = watcher.server.create("red")
    watcher.server.use(new, "3")
    watcher.sync()
    assert watcher.costs() == {f"red ({old[:6]})": Decimal(2), "red": Decimal(3)}
    watcher.next_day()
    watcher.sync()
    assert watcher.costs(TODAY) == {f"red ({old[:6]})": Decimal(2), "red": Decimal(3)}


def test_a_key_that_came_and_went_between_two_syncs_leaves_nothing_with_another_of_its_name(
    watcher: AccountWatcher,
) -> None:
    old = watcher.server.create("red")
    watcher.server.use(old, "2")
    watcher.server.keys[old].is_deleted = True
    watcher.server.create("red")
    watcher.sync()
    watcher.next_day()
    watcher.sync()
    assert watcher.costs(TODAY) == {"boss": Decimal(2)}


def test_a_key_that_is_listed_again_is_no_longer_deleted(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red, "2")
    watcher.sync()
    watcher.server.keys[red].is_deleted = True
    watcher.sync()
    watcher.server.keys[red].is_deleted = False
    watcher.server.use(red, "1")
    watcher.sync()
    assert watcher.costs() == {"red": Decimal(3)}
    listing = watcher.key("red").listing
    assert listing is not None
    assert listing.deleted_at is None


def test_a_key_that_comes_back_together_with_another_of_its_name_stays_apart_from_it(
    watcher: AccountWatcher,
) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red, "2")
    watcher.sync()
    watcher.server.keys[red].is_deleted = True
    watcher.sync()
    watcher.server.keys[red].is_deleted = False
    other = watcher.server.create("red", created_at=NOW - timedelta(days=9))
    watcher.server.use(other, "1")
    watcher.sync()
    assert watcher.costs() == {"red": Decimal(2), f"red ({other[:6]})": Decimal(1)}


@pytest.mark.parametrize("is_discovered_first", [True, False])
def test_a_key_whose_secret_is_stored_too_is_one_key(
    watcher: AccountWatcher, is_discovered_first: bool
) -> None:
    red = watcher.server.create("red", secret_name="laptop")
    watcher.server.use(red, "2")
    if is_discovered_first:
        watcher.sync()
    add_key(watcher.store, "laptop")
    watcher.sync()
    assert watcher.names() == {"boss", "laptop"}
    assert watcher.costs() == {"laptop": Decimal(2)}
    assert watcher.server.asked("/key") == []
    watcher.next_day()
    watcher.sync()
    assert watcher.costs(TODAY) == {"laptop": Decimal(2)}


@pytest.mark.parametrize("days_missed", [1, 3])
def test_a_key_that_is_to_be_read_with_its_own_secret_is_counted_once(
    watcher: AccountWatcher, days_missed: int
) -> None:
    red = watcher.server.create("red", secret_name="laptop")
    key_jobs.add(
        watcher.store,
        Keyring([ENCRYPTION_KEY]),
        "laptop",
        secret_of("laptop"),
        None,
        NOW,
        source_setting=UsageSource.COUNTERS,
    )
    watcher.server.use(red, "2")
    watcher.server.use(None, "1")
    watcher.sync()
    assert watcher.costs() == {"laptop": Decimal(2), "boss": Decimal(1)}
    for _ in range(days_missed):
        watcher.next_day()
        watcher.server.use(red, "4")
    for _ in range(2):
        watcher.sync()
        assert watcher.total_nano() == watcher.server.spent().cost_nano
    watcher.next_day()
    watcher.sync()
    watcher.sync()
    assert watcher.total_nano() == watcher.server.spent().cost_nano
    assert red not in watcher.server.hashes_asked()


def test_a_key_whose_secret_a_person_removed_is_read_on_through_the_account(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red", secret_name="laptop")
    add_key(watcher.store, "laptop")
    watcher.server.use(red, "2")
    watcher.sync()
    key_jobs.remove(watcher.store, "laptop", NOW, with_history=False)
    watcher.server.use(red, "1")
    watcher.sync()
    assert watcher.costs() == {"laptop": Decimal(3)}


def test_names_with_control_characters_are_shown_without_and_matched_with_them(
    watcher: AccountWatcher,
) -> None:
    red = watcher.server.create("re\x1b[31md\n")
    blank = watcher.server.create(" \n")
    watcher.server.use(red, "2")
    watcher.server.use(blank, "3")
    watcher.sync()
    assert all(name.isprintable() and name.strip() for name in watcher.names())
    assert watcher.costs()[watcher.key_of(red).name] == 2
    assert watcher.costs()[watcher.key_of(blank).name] == 3


def test_limits_are_followed_as_the_list_tells_them(watcher: AccountWatcher) -> None:
    watcher.server.create("red", more={"limit": 5, "limit_remaining": -1.5})
    watcher.server.create("blue", more={"limit": None, "limit_remaining": None})
    watcher.sync()
    assert watcher.key("red").facts.limit_remaining_usd == Decimal("-1.5")
    assert watcher.key("blue").facts.limit_usd is None


def test_two_management_keys_of_one_account_count_nothing_twice(watcher: AccountWatcher) -> None:
    add_key(watcher.store, "deputy", facts=MANAGEMENT)
    watcher.server.managers.add(secret_of("deputy"))
    red = watcher.server.create("red")
    for _ in range(4):
        watcher.server.use(red, "2")
        watcher.server.use(None, "1")
        result = watcher.sync()
        assert "same account as boss" in result["deputy"].notes[0]
        watcher.next_day()
    watcher.sync()
    assert watcher.costs(TODAY) == {"red": Decimal(2), "boss": Decimal(1)}
    assert watcher.total_nano() == watcher.server.spent().cost_nano


@pytest.mark.parametrize("has_workspaces", [True, False])
@pytest.mark.parametrize("has_activity", [True, False])
def test_a_management_key_that_replaces_an_invalid_one_counts_nothing_twice(
    watcher: AccountWatcher, has_workspaces: bool, has_activity: bool
) -> None:
    server = watcher.server
    if not has_workspaces:
        server.missing["/workspaces"] = 404
    if not has_activity:
        server.missing["/activity"] = 404
    red, gone = server.create("red"), server.create("gone")
    server.use(red, "2")
    server.use(gone, "0.5")
    server.use(None, "1")
    watcher.sync()
    server.keys[gone].is_deleted = True
    watcher.sync()
    add_key(watcher.store, "deputy", facts=MANAGEMENT)
    server.managers = {secret_of("deputy")}
    server.revoked = {secret_of("boss")}
    watcher.validate()
    server.use(None, "0.25")
    for _ in range(3):
        assert watcher.sync()["deputy"].status is SyncKeyStatus.OK
        assert watcher.total_nano() == server.spent().cost_nano
        watcher.next_day()
        server.use(None, "0.25")
    watcher.sync()
    # The first one is valid again: with it everything is read, with the other nothing.
    server.managers = {secret_of("deputy"), secret_of("boss")}
    server.revoked = set()
    watcher.validate()
    for _ in range(3):
        server.use(red, "0.75")
        assert "same account as boss" in watcher.sync()["deputy"].notes[0]
        assert watcher.total_nano() == server.spent().cost_nano
        watcher.next_day()
        server.use(None, "0.25")


def test_while_the_first_management_key_fails_the_second_reads_nothing_and_counts_nothing_twice(
    watcher: AccountWatcher,
) -> None:
    add_key(watcher.store, "deputy", facts=MANAGEMENT)
    watcher.server.managers.add(secret_of("deputy"))
    red = watcher.server.create("red")
    watcher.server.use(red, "2")
    watcher.sync()
    watcher.server.revoked = {secret_of("boss")}
    result = watcher.sync()
    assert result["boss"].status is SyncKeyStatus.FAILED
    assert watcher.total_nano() == watcher.server.spent().cost_nano


@pytest.mark.parametrize("has_activity", [True, False])
def test_what_an_earlier_management_key_kept_is_corrected_with_the_new_one(
    watcher: AccountWatcher, has_activity: bool
) -> None:
    server = watcher.server
    if not has_activity:
        server.missing["/activity"] = 404
    server.create("red")
    server.use(None, "1")
    watcher.sync()
    watcher.next_day()
    watcher.sync()
    add_key(watcher.store, "deputy", facts=MANAGEMENT)
    server.managers = {secret_of("deputy")}
    server.revoked = {secret_of("boss")}
    watcher.validate()
    server.correct((TODAY, None, GPT, "OpenAI"), Use(1, 10, 20, 2 * 10**8))
    watcher.sync()
    assert watcher.costs(TODAY) == {"deputy": Decimal("0.2")}


def test_what_an_earlier_management_key_knew_better_is_not_told_again_by_the_new_one(
    watcher: AccountWatcher,
) -> None:
    server = watcher.server
    server.create("red")
    server.use(None, "1")
    watcher.sync()
    watcher.next_day()
    watcher.sync()
    add_key(watcher.store, "deputy", facts=MANAGEMENT)
    server.managers = {secret_of("deputy")}
    server.revoked = {secret_of("boss")}
    watcher.validate()
    server.missing["/activity"] = 404
    server.use(None, "0.5", day=TODAY)
    watcher.sync()
    assert watcher.costs(TODAY) == {"boss": Decimal(1), "deputy": Decimal("0.5")}


def test_the_last_day_of_a_deleted_key_is_completed_with_its_providers(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red, "2")
    watcher.sync()
    watcher.server.use(red, "1")
    watcher.server.keys[red].is_deleted = True
    watcher.sync()
    watcher.next_day()
    watcher.sync()
    assert watcher.rows(TODAY) == {("red", GPT, "OpenAI"): Use(2, 20, 40, 3 * 10**9)}


def test_an_account_stays_known_while_its_workspaces_are_not_told(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red, "2")
    watcher.sync()
    watcher.server.missing["/workspaces"] = 404
    watcher.sync()
    with watcher.store.read() as connection:
        assert accounts.account_state(connection, watcher.boss.id).account_id == DEFAULT_WORKSPACE


def test_a_key_alone_can_be_synced_and_what_comes_with_it_is_told(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    blue = watcher.server.create("blue")
    watcher.server.use(red, "1")
    watcher.server.use(blue, "2")
    result = watcher.sync(key_names=("boss",))
    assert {"boss", "red", "blue"} <= set(result)
    watcher.server.use(red, "3")
    assert watcher.sync(key_names=("blue",))["red"].rows_written == 1


def test_a_name_that_a_person_gave_outlives_the_management_key(watcher: AccountWatcher, store: Store) -> None:
    watcher.server.create("red")
    watcher.sync()
    key_jobs.rename(store, "red", "mine")
    key_jobs.remove(store, "boss", NOW, with_history=False)
    add_key(store, "boss", facts=MANAGEMENT)
    watcher.sync()
    assert watcher.key("mine").removed_at is None
