"""The usage of an account: today, the completed days, and what belongs to none of its keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from orwatch.domain.sources import UsageSource
from orwatch.jobs.sync.result import SyncKeyStatus
from orwatch.store.keys import accounts
from orwatch.store.schema import to_day_number
from tests.jobs.sync.account_server import CLAUDE, GPT, AccountWatcher, Use, permaslug
from tests.store.support import dump, on_each_engine, scalar
from tests.support import NOW, TODAY

LEDGER = ("usage_stats", "usage_days", "usage_spans", "key_counters", "accounts", "models", "model_names")


def test_what_belongs_to_no_listed_key_is_kept_under_the_management_key(watcher: AccountWatcher) -> None:
    red, gone = watcher.server.create("red"), watcher.server.create("gone", is_deleted=True)
    watcher.server.use(red, "2")
    watcher.server.use(None, "1")
    watcher.server.use(gone, "0.5", model=CLAUDE, provider="Anthropic")
    watcher.sync()
    assert watcher.costs() == {"red": Decimal(2), "boss": Decimal("1.5")}
    watcher.next_day()
    watcher.sync()
    assert watcher.rows(TODAY) == {
        ("red", GPT, "OpenAI"): Use(1, 10, 20, 2 * 10**9),
        ("boss", GPT, "OpenAI"): Use(1, 10, 20, 10**9),
        ("boss", CLAUDE, "Anthropic"): Use(1, 10, 20, 5 * 10**8),
    }


def test_progress_tells_each_part_of_the_account_and_ends_with_all_rows(watcher: AccountWatcher) -> None:
    for name in ("red", "blue"):
        watcher.server.use(watcher.server.create(name), "2")
    watcher.next_day()
    watcher.sync()
    last = {each.stage: (each.done, each.total, each.unit) for each in watcher.progress}
    assert last == {
        "boss: list of keys": (0, None, "keys"),
        "boss: latest days": (31, 31, "days"),
        "boss: completed days": (2, 2, "keys"),
        "boss: days before": (334, 334, "days"),
        "boss: credits and limits": (0, None, "keys"),
    }
    assert watcher.progress[-1].rows_written == watcher.result.rows_written > 0


@on_each_engine
def test_today_is_told_by_model_and_replaced_by_the_completed_day_with_its_providers(
    watcher: AccountWatcher,
) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red, "2", requests=3)
    watcher.sync()
    assert watcher.rows() == {("red", GPT, None): Use(3, 30, 60, 2 * 10**9)}
    watcher.clock.advance(hours=2)
    watcher.server.use(red, "1", provider="Azure")
    watcher.next_day()
    watcher.sync()
    assert watcher.rows(TODAY) == {
        ("red", GPT, "OpenAI"): Use(3, 30, 60, 2 * 10**9),
        ("red", GPT, "Azure"): Use(1, 10, 20, 10**9),
    }
    assert watcher.rows() == {}
    assert watcher.key("red").source is UsageSource.ACTIVITY


def test_reasoning_tokens_are_not_added_and_byok_is_kept_apart(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red, "0.01", byok="7", requests=3)
    watcher.sync()
    expected = Use(3, 30, 60, 10**7, 7 * 10**9)
    assert watcher.rows() == {("red", GPT, None): expected}
    watcher.next_day()
    watcher.sync()
    assert watcher.rows(TODAY) == {("red", GPT, "OpenAI"): expected}
    assert scalar(watcher.store, "SELECT sum(tokens_reasoning) FROM usage_stats") == 60


def test_without_analytics_today_comes_from_the_counters_of_the_keys(watcher: AccountWatcher) -> None:
    watcher.server.missing["/analytics/query"] = 404
    red = watcher.server.create("red")
    watcher.server.use(red, "2", byok="1")
    watcher.server.use(None, "5")
    result = watcher.sync()
    assert result["boss"].status is SyncKeyStatus.OK
    assert "analytics: POST /analytics/query answered 404" in result["boss"].notes[1]
    assert watcher.rows() == {("red", None, None): Use(0, 0, 0, 2 * 10**9, 10**9)}
    watcher.next_day()
    watcher.sync()
    assert watcher.rows(TODAY) == {
        ("red", GPT, "OpenAI"): Use(1, 10, 20, 2 * 10**9, 10**9),
        ("boss", GPT, "OpenAI"): Use(1, 10, 20, 5 * 10**9),
    }


def test_without_activity_completed_days_come_from_analytics_and_are_corrected(
    watcher: AccountWatcher,
) -> None:
    watcher.server.missing["/activity"] = 404
    red = watcher.server.create("red")
    watcher.server.use(red, "2")
    watcher.sync()
    watcher.next_day()
    watcher.sync()
    watcher.next_day()
    watcher.server.correct((TODAY, red, GPT, "OpenAI"), Use(1, 10, 20, 3 * 10**9))
    watcher.sync()  # finds out that activity is missing still
    watcher.sync()
    assert watcher.costs(TODAY) == {"red": Decimal(3)}


def test_with_neither_analytics_nor_activity_the_counters_tell_each_day_that_was_not_missed(
    watcher: AccountWatcher,
) -> None:
    watcher.server.missing = {"/analytics/query": 404, "/activity": 403}
    red = watcher.server.create("red")
    for _ in range(3):
        watcher.server.use(red, "2")
        assert watcher.sync()["red"].status is SyncKeyStatus.OK
        watcher.server.use(red, "0.5")
        watcher.next_day()
    watcher.next_day(4)
    watcher.sync()
    assert watcher.costs(TODAY) == {"red": Decimal("2.5")}
    assert watcher.total_nano() == watcher.server.spent().cost_nano


def test_what_the_counters_told_of_missed_days_is_not_told_again_as_nobodys(watcher: AccountWatcher) -> None:
    watcher.server.missing["/analytics/query"] = 404
    red = watcher.server.create("red")
    watcher.sync()
    watcher.server.use(red, "5")
    watcher.next_day(2)
    watcher.server.failing[red] = 500
    assert watcher.sync()["red"].status is SyncKeyStatus.PARTIAL
    assert watcher.total_nano() == watcher.server.spent().cost_nano
    watcher.server.failing.clear()
    watcher.sync()
    assert watcher.costs(TODAY) == {"red": Decimal(5)}
    assert dump(watcher.store, "usage_spans") == []


def test_a_correction_of_yesterday_that_comes_late_is_followed(watcher: AccountWatcher) -> None:
    red, blue = watcher.server.create("red"), watcher.server.create("blue")
    watcher.server.use(red, "2")
    watcher.server.use(blue, "4")
    watcher.sync()
    watcher.next_day()
    watcher.sync()
    watcher.clock.advance(hours=5)
    watcher.server.correct((TODAY, red, GPT, "OpenAI"), Use(2, 20, 40, 3 * 10**9))
    watcher.sync()
    assert watcher.costs(TODAY) == {"red": Decimal(3), "blue": Decimal(4)}


def test_usage_that_turns_out_to_be_another_keys_is_counted_once(watcher: AccountWatcher) -> None:
    red, blue = watcher.server.create("red"), watcher.server.create("blue")
    watcher.server.use(red, "2")
    watcher.server.use(None, "1")
    watcher.sync()
    watcher.next_day()
    watcher.sync()
    watcher.clock.advance(hours=5)
    watcher.server.correct((TODAY, red, GPT, "OpenAI"), None)
    watcher.server.use(blue, "2", day=TODAY)
    watcher.sync()
    watcher.next_day()
    watcher.sync()
    assert watcher.costs(TODAY) == {"blue": Decimal(2), "boss": Decimal(1)}


def test_dated_names_of_models_become_plain_ones(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red, "2")
    watcher.server.use(red, "0", model="meta/llama:free")
    watcher.sync()
    assert set(watcher.rows()) == {("red", GPT, None), ("red", "meta/llama:free", None)}


def test_rows_merge_when_the_plain_name_of_a_model_is_learned_later(watcher: AccountWatcher) -> None:
    watcher.server.missing = {"/models": 404, "/activity": 404}
    red = watcher.server.create("red", created_at=NOW - timedelta(days=300))
    watcher.server.use(red, "2")
    watcher.server.use(red, "4", day=TODAY - timedelta(days=90))
    watcher.sync()
    assert watcher.rows(TODAY - timedelta(days=90)) == {
        ("red", permaslug(GPT), None): Use(1, 10, 20, 4 * 10**9)
    }
    watcher.server.missing = {}
    watcher.next_day(2)
    watcher.sync()
    assert set(watcher.rows(TODAY - timedelta(days=90))) == {("red", GPT, None)}
    assert permaslug(GPT) not in {row[1] for row in dump(watcher.store, "models")}
    watcher.server.use(red, "1")
    watcher.sync()
    assert set(watcher.rows()) == {("red", GPT, None)}


def test_what_is_read_for_the_names_of_models_tells_their_retirement_too(watcher: AccountWatcher) -> None:
    watcher.server.use(watcher.server.create("red"), "2")
    watcher.server.retirements[GPT] = TODAY
    watcher.sync()
    assert len(watcher.server.asked("/models")) == 1
    assert dump(watcher.store, "model_names") == [(permaslug(GPT), GPT, to_day_number(TODAY))]


def test_new_models_are_looked_up_once_a_day_and_known_ones_never(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    for model in (GPT, GPT, CLAUDE):
        watcher.server.use(red, "2", model=model)
        watcher.sync()
    assert len(watcher.server.asked("/models")) == 1
    watcher.clock.advance(hours=25)
    watcher.server.use(red, "2", model="new/model")
    watcher.sync()
    watcher.sync()
    assert len(watcher.server.asked("/models")) == 2


def test_what_cleanup_removed_is_not_written_again(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    for days in (0, 9, 29):
        watcher.server.use(red, "2", day=TODAY - timedelta(days=days))
        watcher.server.use(None, "1", day=TODAY - timedelta(days=days))
    watcher.sync()
    watcher.clean_up(5)
    for _ in range(3):
        watcher.sync()
        watcher.next_day()
    assert watcher.rows(TODAY - timedelta(days=9)) == {}
    assert watcher.total_nano() == watcher.server.spent().cost_nano


@pytest.mark.parametrize("minutes_ahead", [-5, 5])
def test_around_midnight_the_servers_day_counts(watcher: AccountWatcher, minutes_ahead: int) -> None:
    watcher.server.clock_is_ahead = timedelta(minutes=minutes_ahead)
    red = watcher.server.create("red")
    watcher.clock.current = datetime(2026, 11, 20, 23, 0, tzinfo=UTC)
    watcher.server.use(red, "2")
    watcher.sync()
    for minute in (57, 59):
        watcher.clock.current = datetime(2026, 11, 20, 23, minute, tzinfo=UTC)
        watcher.server.use(red, "1")
        watcher.sync()
        assert watcher.total_nano() == watcher.server.spent().cost_nano
    for minute in (1, 4, 6):
        watcher.clock.current = datetime(2026, 11, 21, 0, minute, tzinfo=UTC)
        watcher.server.use(red, "1")
        watcher.sync()
        assert watcher.total_nano() == watcher.server.spent().cost_nano
    watcher.next_day()
    watcher.sync()
    for day in (TODAY, TODAY + timedelta(days=1)):
        assert sum(watcher.rows(day).values(), Use()) == watcher.server.spent(day=day)


def test_syncing_again_changes_nothing(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red, "2")
    watcher.server.use(None, "2", day=TODAY - timedelta(days=3))
    watcher.sync()
    watcher.sync()
    before = dump(watcher.store, "usage_stats")
    result = watcher.sync()
    assert sum(key.rows_written + key.rows_removed for key in result.values()) == 0
    assert dump(watcher.store, "usage_stats") == before


def test_a_row_that_a_better_source_tells_again_in_the_same_run_counts_once(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red", created_at=NOW - timedelta(days=1000))
    for days in (0, 3, 20, 99):
        for key_hash in (red, None):
            watcher.server.use(key_hash, "2", day=TODAY - timedelta(days=days))

    result = watcher.sync()

    assert {name: key.rows_written for name, key in result.items()} == {"red": 4, "boss": 4}
    assert sum(key.rows_written for key in result.values()) == len(dump(watcher.store, "usage_stats"))


def test_what_a_better_source_tells_of_a_day_of_an_earlier_run_was_written(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    watcher.sync()
    watcher.server.use(red, "2")
    assert watcher.sync()["red"].rows_written == 1
    watcher.next_day()
    assert watcher.sync()["red"].rows_written == 1
    assert watcher.sync()["red"].rows_written == 0


def test_a_dry_run_writes_nothing_and_counts_what_the_run_writes(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    for days in (0, 3, 99):
        watcher.server.use(red, "2", day=TODAY - timedelta(days=days))
        watcher.server.use(None, "2", day=TODAY - timedelta(days=days))
    before = [dump(watcher.store, table) for table in (*LEDGER, "api_keys", "account_credits")]
    promised = watcher.sync(is_dry_run=True)
    assert [dump(watcher.store, table) for table in (*LEDGER, "api_keys", "account_credits")] == before
    assert promised == watcher.sync()
    assert promised["red"].rows_written > 0


def test_credits_are_kept_by_day(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    for _ in range(2):
        watcher.server.use(red, "2")
        watcher.sync()
        watcher.sync()
        watcher.next_day()
    with watcher.store.read() as connection:
        readings = accounts.list_credits(connection, watcher.boss.id)
    assert [reading.credits.balance_usd for reading in readings] == [998, 996]


def test_a_key_that_is_named_is_all_that_is_asked_for_and_told(watcher: AccountWatcher) -> None:
    red, blue = watcher.server.create("red"), watcher.server.create("blue")
    for key_hash in (red, blue):
        watcher.server.use(key_hash, "2", day=TODAY - timedelta(days=2))
    watcher.sync()
    watcher.next_day()
    watcher.server.requests.clear()
    assert set(watcher.sync(key_names=("red",))) == {"red"}
    assert watcher.server.hashes_asked() == [red]


@on_each_engine
def test_days_that_are_asked_for_by_hand_leave_no_gap_for_the_next_sync(watcher: AccountWatcher) -> None:
    watcher.server.missing["/activity"] = 404
    red = watcher.server.create("red")
    watcher.sync()
    for _ in range(9):
        watcher.next_day()
        watcher.server.use(red, "2")
    watcher.sync(
        since=TODAY - timedelta(days=1), until=TODAY + timedelta(days=2), reaches_back=False
    )  # the days after it are for the next one
    watcher.sync()
    assert watcher.total_nano() == watcher.server.spent().cost_nano


def test_an_account_that_is_synced_every_hour_of_four_days_agrees_with_the_server(
    watcher: AccountWatcher,
) -> None:
    red, blue = watcher.server.create("red"), watcher.server.create("blue")
    for hour in range(24 * 4):
        watcher.clock.current = NOW + timedelta(hours=hour)
        if hour % 5 == 0:
            watcher.server.use([red, blue, None][hour % 3], 10**9 + hour, model=(GPT, CLAUDE)[hour % 2])
        watcher.sync()
        assert watcher.total_nano() == watcher.server.spent().cost_nano
