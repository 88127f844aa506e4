"""Rotated keys of an account: each secret's usage once, under the one name, and none as the remainder."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from orwatch.domain.usage import Dimension
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.key import replace as replacing
from orwatch.jobs.report import run as report_job
from orwatch.jobs.report.run import ReportRequest
from orwatch.jobs.status import run as status_job
from orwatch.secrets import Keyring
from orwatch.store.keys import accounts
from orwatch.store.keys import table as stored_keys
from tests.jobs.support import ENCRYPTION_KEY, add_key, days_ago
from tests.jobs.sync.account_server import MANAGEMENT, AccountWatcher
from tests.store.support import on_each_engine
from tests.support import secret_of

LONG_AGO = timedelta(days=100)


def totals(watcher: AccountWatcher) -> dict[str | None, Decimal | None]:
    """What a report by key shows of all that is stored; its total is what the account has spent."""
    request = ReportRequest(None, watcher.clock.now().date(), (Dimension.KEY,))
    table = report_job.run(watcher.store, request).table
    assert table.totals.cost_usd == Decimal(watcher.server.spent().cost_nano).scaleb(-9)
    return {row.values[0]: row.totals.cost_usd for row in table.rows}


def replace(watcher: AccountWatcher, name: str, new: str) -> replacing.Replacement:
    return replacing.replace(
        watcher.store, Keyring([ENCRYPTION_KEY]), name, secret_of(new), None, watcher.clock.now()
    )


@pytest.fixture
def rotated(watcher: AccountWatcher) -> AccountWatcher:
    """An account whose key ``red`` was followed by ``red 2026``, both with usage, beside the chat room's."""
    server = watcher.server
    created_at = watcher.clock.now() - LONG_AGO
    old = server.create("red", secret_name="red", created_at=created_at)
    new = server.create("red 2026", secret_name="new", created_at=created_at)
    server.use(old, "8", day=days_ago(3))
    server.use(old, "2")
    server.use(new, "3")
    server.use(None, "1")
    server.use(None, "0.5", day=days_ago(3))
    watcher.sync()
    return watcher


@on_each_engine
def test_a_discovered_key_whose_secret_is_given_becomes_the_key(rotated: AccountWatcher) -> None:
    before = {"red": Decimal(10), "red 2026": Decimal(3), "boss": Decimal("1.5")}
    assert totals(rotated) == before

    replacement = replace(rotated, "red", "new")

    assert replacement.linked == "red 2026"
    assert rotated.names() == {"boss", "red"}
    assert totals(rotated) == {"red": Decimal(13), "boss": Decimal("1.5")}
    assert key_jobs.lister_of(rotated.store, replacement.key) == "boss"


def test_both_secrets_are_followed_through_the_account_and_nothing_is_counted_twice(
    rotated: AccountWatcher,
) -> None:
    old, new = rotated.server.keys
    replace(rotated, "red", "new")
    rotated.server.use(old, "0.25")
    rotated.server.use(new, "0.5")
    rotated.server.use(None, "0.125")

    result = rotated.sync()
    assert set(result) == {"boss", "red"}
    assert result["boss"].notes == ()
    assert totals(rotated) == {"red": Decimal("13.75"), "boss": Decimal("1.625")}
    rotated.sync()
    assert rotated.result.rows_written == 0

    rotated.next_day()
    rotated.server.use(new, "4")
    rotated.sync()
    assert totals(rotated) == {"red": Decimal("17.75"), "boss": Decimal("1.625")}


def test_keys_of_one_name_at_openrouter_stay_apart_in_the_ledger(watcher: AccountWatcher) -> None:
    server = watcher.server
    old, new = (server.create("red", secret_name=name) for name in ("red", "new"))
    server.use(old, "2")
    server.use(new, "3")
    watcher.sync()
    name = watcher.key_of(old).name

    replace(watcher, name, "new")
    watcher.sync()

    assert totals(watcher) == {name: Decimal(5)}


def test_that_the_old_key_is_deleted_or_disabled_at_openrouter_was_expected(
    rotated: AccountWatcher,
) -> None:
    old = rotated.server.keys[next(iter(rotated.server.keys))]
    add_key(rotated.store, "red")
    assert replace(rotated, "red", "new").is_old_asked

    old.is_disabled = True
    result = rotated.sync()
    assert (result["boss"].notes, rotated.result.exit_code) == ((), 0)
    assert rotated.key_of(old.key_hash).secret_encrypted is None

    old.is_deleted = True
    result = rotated.sync()
    assert (result["boss"].notes, rotated.result.exit_code) == ((), 0)
    assert rotated.key("red").state(rotated.clock.now()) == "active"
    assert [each.problem for each in status_job.run(rotated.store, rotated.clock.now()).keys] == [None, None]
    assert totals(rotated) == {"red": Decimal(13), "boss": Decimal("1.5")}


def test_a_deleted_key_is_followed_by_the_one_that_took_its_place(watcher: AccountWatcher) -> None:
    server = watcher.server
    old = server.create("red", secret_name="red")
    server.use(old, "2")
    watcher.sync()
    server.keys[old].is_deleted = True
    new = server.create("blue", secret_name="new")
    server.use(new, "3")
    watcher.sync()
    assert totals(watcher) == {"red (deleted)": Decimal(2), "blue": Decimal(3)}

    assert not replace(watcher, "red", "new").is_old_asked

    assert watcher.sync()["boss"].notes == ()
    assert totals(watcher) == {"red": Decimal(5)}
    server.keys[new].name = "green"
    assert watcher.sync()["boss"].notes == (), "it has its name from a person"


def test_a_key_that_follows_the_lists_name_takes_its_history_along(rotated: AccountWatcher) -> None:
    replace(rotated, "red", "new")
    key_jobs.rename(rotated.store, "red", "red 2026")
    list(rotated.server.keys.values())[1].name = "blue"

    assert rotated.sync()["boss"].notes == ("renamed: red 2026 is now blue",)
    assert totals(rotated) == {"blue": Decimal(13), "boss": Decimal("1.5")}


def test_a_forgotten_secret_of_a_listed_key_leaves_the_whole_discovered(rotated: AccountWatcher) -> None:
    replace(rotated, "red", "new")

    assert key_jobs.remove(rotated.store, "red", rotated.clock.now(), with_history=False).listed_by == "boss"

    rotated.sync()
    assert rotated.key("red").is_discovered
    assert totals(rotated) == {"red": Decimal(13), "boss": Decimal("1.5")}


def test_with_a_removed_management_key_goes_a_discovered_key_as_a_whole(rotated: AccountWatcher) -> None:
    replace(rotated, "red", "new")
    key_jobs.remove(rotated.store, "red", rotated.clock.now(), with_history=False)

    removal = key_jobs.remove(rotated.store, "boss", rotated.clock.now(), with_history=False)

    assert [key.name for key in removal.members.discovered] == ["red"]
    assert totals(rotated) == {"red (removed)": Decimal(13), "boss (removed)": Decimal("1.5")}
    key_jobs.add(
        rotated.store, Keyring([ENCRYPTION_KEY]), "boss", secret_of("boss"), MANAGEMENT, rotated.clock.now()
    )
    rotated.sync()
    assert totals(rotated) == {"red": Decimal(13), "boss": Decimal("1.5")}


@on_each_engine
def test_a_management_key_is_replaced_with_its_account_and_its_credits(rotated: AccountWatcher) -> None:
    rotated.server.managers.add(secret_of("boss 2"))
    rotated.server.use(None, "2")

    replacement = replace(rotated, "boss", "boss 2")

    assert (replacement.key.is_management, replacement.is_old_asked) == (True, False)
    assert key_jobs.lister_of(rotated.store, rotated.key("red")) == "boss"
    with rotated.store.read() as connection:
        assert len(accounts.list_credits(connection, replacement.key.id)) == 1
    rotated.server.revoked.add(secret_of("boss"))
    rotated.next_day()
    rotated.server.use(None, "4")
    result = rotated.sync()
    assert (set(result), rotated.result.exit_code) == ({"boss", "red", "red 2026"}, 0)
    assert totals(rotated) == {"red": Decimal(10), "red 2026": Decimal(3), "boss": Decimal("7.5")}
    with rotated.store.read() as connection:
        assert len(accounts.list_credits(connection, replacement.key.id)) == 2
        assert accounts.account_state(connection, replacement.key.id).backfilled_from is not None
        owners = [row.id for row in stored_keys.list_rows(connection) if row.is_management]
    assert len(owners) == 2
    rotated.sync()
    assert rotated.result.rows_written == 0
