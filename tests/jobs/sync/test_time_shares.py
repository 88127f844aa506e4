"""An account with endless lists keeps no other key from being read."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest

from orwatch.domain.runs import RunStatus
from orwatch.errors import EncryptionKeyError
from orwatch.jobs.sync.result import SyncKeyStatus
from tests.jobs.support import add_key
from tests.jobs.sync.account_server import MANAGEMENT, AccountWatcher
from tests.support import FakeClock, secret_of

LIMIT = 3000.0
SECONDS_EACH = 30.0


def make_endless(watcher: AccountWatcher) -> None:
    watcher.server.seconds_each = SECONDS_EACH
    watcher.server.workspaces += [f"space {number}" for number in range(200)]


def add_ordinary(watcher: AccountWatcher, name: str = "laptop") -> None:
    """A key that no management key lists: it is in a workspace that is not shown to it."""
    watcher.server.create(name, secret_name=name, workspace="hidden")
    add_key(watcher.store, name)


def seconds_of(watcher: AccountWatcher, clock: FakeClock, **options: float | None) -> float:
    """How long a sync takes that asks one thing at a time.

    Each request moves the clock: for those that are under way beside it, as many as the machine's load would
    have it, the time would be over as well.
    """
    began = clock.monotonic()
    watcher.server.requests.clear()
    watcher.sync(concurrency=1, **options)
    return clock.monotonic() - began


def test_an_account_without_an_end_leaves_time_for_the_other_keys(
    watcher: AccountWatcher, clock: FakeClock
) -> None:
    red = watcher.server.create("red")
    watcher.sync()
    add_ordinary(watcher)
    make_endless(watcher)
    # Nobody knows yet whether the account has it: its half of the time is kept.
    assert seconds_of(watcher, clock, limit_seconds=LIMIT) < LIMIT / 2
    results = {key.name: key for key in watcher.result.keys}
    assert results["laptop"].status is SyncKeyStatus.OK
    assert (results["boss"].status, results["boss"].is_passing) == (SyncKeyStatus.FAILED, True)
    assert results["boss"].error == (
        "GET /keys was not sent: the account's share of the run, 22.5 minutes, is over "
        "(if that goes on, raise ORWATCH_RATE_LIMIT_PER_MINUTE or ORWATCH_JOB_TIMEOUT)"
    )
    assert watcher.key("boss").last_sync_error == results["boss"].error
    known = watcher.key("red").listing
    assert known is not None
    assert known.deleted_at is None
    assert red in watcher.server.keys


def test_ordinary_keys_are_asked_before_accounts_that_do_not_list_them(
    watcher: AccountWatcher, clock: FakeClock
) -> None:
    for number in range(3):
        add_ordinary(watcher, f"laptop {number}")
    make_endless(watcher)
    seconds_of(watcher, clock, limit_seconds=LIMIT)
    assert watcher.server.requests[0][0] == "/workspaces"
    assert 0.9 * LIMIT <= seconds_of(watcher, clock, limit_seconds=LIMIT) < LIMIT
    paths = [path for path, _ in watcher.server.requests]
    assert paths[: paths.index("/workspaces")].count("/key") == 3
    assert {key.name for key in watcher.result.keys if key.status is SyncKeyStatus.OK} == {
        f"laptop {number}" for number in range(3)
    }


def test_a_key_that_an_account_lists_at_last_is_reported_once(watcher: AccountWatcher) -> None:
    watcher.server.failing["/keys"] = 403
    laptop = watcher.server.create("laptop", secret_name="laptop")
    add_key(watcher.store, "laptop")
    watcher.server.use(laptop, "2")
    watcher.sync()
    watcher.server.failing.clear()
    result = watcher.sync()
    assert [key.name for key in watcher.result.keys] == ["boss", "laptop"]
    assert result["laptop"].status is SyncKeyStatus.OK
    assert watcher.total_nano() == watcher.server.spent().cost_nano


@pytest.mark.parametrize(("broken", "other"), [("boss", "laptop"), ("laptop", "boss")])
def test_a_secret_that_cannot_be_opened_keeps_those_that_are_asked_before_or_after(
    watcher: AccountWatcher, broken: str, other: str
) -> None:
    add_ordinary(watcher)
    watcher.clock.advance(hours=1)
    watcher.sync()
    watcher.clock.advance(hours=1)
    with watcher.store.write() as connection:
        connection.exec_driver_sql(f"UPDATE api_keys SET secret_encrypted = 'x' WHERE name = '{broken}'")
    with suppress(EncryptionKeyError):
        watcher.sync()
    assert watcher.key(other).last_synced_at == watcher.clock.now()
    assert watcher.key(broken).last_synced_at != watcher.clock.now()


def test_several_accounts_share_the_time(watcher: AccountWatcher, clock: FakeClock) -> None:
    add_key(watcher.store, "second", facts=MANAGEMENT)
    watcher.server.managers.add(secret_of("second"))
    make_endless(watcher)
    assert seconds_of(watcher, clock, limit_seconds=LIMIT) == pytest.approx(0.9 * LIMIT, abs=SECONDS_EACH * 2)
    paths = [path for path, _ in watcher.server.requests]
    second_began = len(paths) - paths[::-1].index("/workspaces")
    assert second_began * SECONDS_EACH == pytest.approx(0.45 * LIMIT, abs=SECONDS_EACH * 2)
    assert (watcher.result.status, watcher.result.exit_code) == (RunStatus.FAILED, 75)


def test_days_that_its_share_leaves_no_time_for_are_read_by_the_next_syncs(
    watcher: AccountWatcher, clock: FakeClock
) -> None:
    keys = {watcher.server.create(f"key {number}") for number in range(40)}
    for key_hash in keys:
        watcher.server.use(key_hash)
    watcher.next_day()
    watcher.server.seconds_each = 3.0
    asked: list[str] = []
    errors = []
    while len(asked) < len(keys) and len(errors) < 6:
        assert seconds_of(watcher, clock, limit_seconds=60) < 60
        asked += watcher.server.hashes_asked()
        errors += [key.error for key in watcher.result.keys if key.error is not None]
    assert sorted(asked) == sorted(keys)
    left = r"the completed days of \d+ keys? are left to the next sync: GET /activity was not sent: "
    assert all(re.match(left, error) for error in errors)
    assert watcher.total_nano() == watcher.server.spent().cost_nano


def test_a_run_without_a_limit_shares_nothing(watcher: AccountWatcher, clock: FakeClock) -> None:
    watcher.server.seconds_each = 100_000.0 / 86_400
    watcher.server.workspaces += [f"space {number}" for number in range(60)]
    assert seconds_of(watcher, clock) > 60
    assert watcher.result.status is RunStatus.OK
