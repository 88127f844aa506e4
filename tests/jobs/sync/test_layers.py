"""What limits keys of an account is asked with their own secrets: rarely, and only where it was told."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from orwatch.domain.keys import KeyFacts, KeyKind
from orwatch.domain.layers import FreeQuota, Layer
from orwatch.jobs.sync.layers import MAX_KEYS_A_RUN
from orwatch.store.keys import table as stored_keys
from tests.jobs.support import add_key
from tests.jobs.sync.account_server import AccountWatcher
from tests.support import NOW

TOLD = KeyFacts(KeyKind.INFERENCE, layers=(Layer("member", Decimal(5)),), free_quota=FreeQuota(50, 1, 49))


def asked(watcher: AccountWatcher) -> int:
    """How often one sync asks a key about itself."""
    watcher.clock.advance(hours=1)
    watcher.server.requests.clear()
    watcher.sync()
    assert watcher.result.exit_code == 0
    return len(watcher.server.asked("/key"))


def add(watcher: AccountWatcher, name: str, facts: KeyFacts) -> str:
    key_hash = watcher.server.create(name, secret_name=name)
    add_key(watcher.store, name, facts=facts)
    watcher.server.keys[key_hash].more = {"limit": 9}
    watcher.server.told_to_keys = {"limit": 1, "budgets": [{"scope": "member", "limit_usd": 7}]}
    return key_hash


def test_what_was_told_once_is_asked_anew_and_the_list_has_the_rest(watcher: AccountWatcher) -> None:
    told = add(watcher, "told", TOLD)
    for name, facts in (
        ("free", KeyFacts(KeyKind.INFERENCE, layers=())),
        ("old", KeyFacts(KeyKind.INFERENCE)),
    ):
        add(watcher, name, facts)
    assert asked(watcher) == 1
    key = watcher.key_of(told)
    assert key.facts.layers == (Layer("member", Decimal(7)),)
    assert (key.layers_read_at, key.facts.limit_usd) == (NOW + timedelta(hours=1), 9)
    watcher.clock.advance(hours=-1)
    assert asked(watcher) == 0
    watcher.server.failing = {"/key": 403}
    assert asked(watcher) == 1
    assert watcher.key_of(told).facts.layers == (Layer("member", Decimal(7)),)


def test_the_free_requests_are_read_with_the_management_key(watcher: AccountWatcher) -> None:
    with watcher.store.write() as connection:
        facts = KeyFacts(KeyKind.MANAGEMENT, layers=(), free_quota=FreeQuota(50, 1, 49))
        stored_keys.record_facts(connection, watcher.boss.id, facts, NOW)
    watcher.server.told_of_owner = {"free_model_daily_requests": {"limit": 50, "used": 40, "remaining": 10}}
    assert asked(watcher) == 1
    assert watcher.key("boss").facts.free_quota == FreeQuota(50, 40, 10)


def test_of_many_keys_each_run_asks_some(watcher: AccountWatcher) -> None:
    hashes = [add(watcher, f"key {number}", TOLD) for number in range(MAX_KEYS_A_RUN + 5)]
    assert [asked(watcher) for _ in range(2)] == [MAX_KEYS_A_RUN, MAX_KEYS_A_RUN]
    assert all(watcher.key_of(each).layers_read_at != NOW for each in hashes)
