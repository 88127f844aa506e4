"""What OpenRouter's account endpoints do that one would not expect, as far as a sync meets it."""

from __future__ import annotations

from datetime import timedelta

from tests.jobs.sync.account_server import AccountWatcher
from tests.support import NOW


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
