"""An account whose endpoints fail: what can be read is read, nothing is lost, nothing is deleted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from orwatch.domain.runs import RunStatus
from orwatch.jobs.status import run as status
from orwatch.jobs.sync.result import SyncKeyStatus
from tests.jobs.support import add_key
from tests.jobs.sync.account_server import AccountWatcher, data, refusal
from tests.store.support import dump
from tests.support import TODAY

PATHS = ["/workspaces", "/keys", "/analytics/query", "/activity", "/credits", "/models"]
BROKEN = {
    "500": refusal(500),
    "cut": httpx.Response(200, content=b'{"data": [{"date": "2026-11'),
    "html": httpx.Response(200, content=b"<html>Bad gateway</html>"),
    "empty": httpx.Response(200, content=b""),
    "no list": data("?"),
    "402": refusal(402),
    "401": refusal(401),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("how", BROKEN)
def test_whatever_is_answered_in_a_bad_hour_the_next_good_sync_has_everything(
    watcher: AccountWatcher, path: str, how: str
) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red, "2")
    watcher.server.use(None, "1")
    watcher.sync()
    watcher.next_day()
    watcher.server.use(red, "4", day=TODAY)
    watcher.server.use(red, "0.5")
    watcher.server.failing[path] = BROKEN[how]
    watcher.sync()
    assert watcher.total_nano() <= watcher.server.spent().cost_nano
    assert not any("deleted" in note for key in watcher.result.keys for note in key.notes)
    watcher.server.failing.clear()
    watcher.clock.advance(hours=1)
    watcher.sync()
    assert watcher.costs(TODAY) == {"red": Decimal(6), "boss": Decimal(1)}
    assert watcher.costs() == {"red": Decimal("0.5")}


@pytest.mark.parametrize("how", BROKEN)
def test_a_list_that_cannot_be_read_deletes_no_key_and_own_secrets_are_asked(
    watcher: AccountWatcher, how: str
) -> None:
    laptop = watcher.server.create("laptop", secret_name="laptop")
    watcher.server.create("red")
    add_key(watcher.store, "laptop")
    watcher.sync()
    watcher.next_day()
    watcher.server.use(laptop, "2")
    watcher.server.failing["/keys"] = BROKEN[how]
    result = watcher.sync()
    assert (result["boss"].status, result["laptop"].status) == (SyncKeyStatus.FAILED, SyncKeyStatus.OK)
    assert watcher.costs() == {"laptop": Decimal(2)}
    assert {key.listing.deleted_at for key in map(watcher.key, ("red", "laptop")) if key.listing} == {None}


def test_a_second_page_that_fails_deletes_no_key(watcher: AccountWatcher) -> None:
    for number in range(150):
        watcher.server.create(f"key {number}")
    watcher.sync()
    watcher.server.failing_offset = "99"
    assert watcher.sync()["boss"].status is SyncKeyStatus.FAILED
    assert watcher.key("key 149").listing.deleted_at is None  # type: ignore[union-attr]


def test_where_only_the_list_answers_its_counters_are_enough(watcher: AccountWatcher) -> None:
    watcher.server.failing = dict.fromkeys(["/analytics/query", "/activity"], 500)
    red = watcher.server.create("red")
    watcher.server.use(red, "2")
    watcher.sync()
    assert watcher.costs() == {"red": Decimal(2)}
    assert watcher.result.status is RunStatus.OK


def test_where_nothing_but_names_can_be_read_no_key_counts_as_read(watcher: AccountWatcher) -> None:
    watcher.server.failing = dict.fromkeys(["/analytics/query", "/activity", "/credits"], 500)
    laptop = watcher.server.create("laptop", secret_name="laptop")
    watcher.server.create("red", more={"usage": None})
    watcher.server.keys[laptop].more = {"usage": None}
    result = watcher.sync()
    assert result["boss"].status is SyncKeyStatus.FAILED
    assert watcher.key("red").last_synced_at is None
    assert (watcher.result.status, watcher.result.exit_code) == (RunStatus.FAILED, 75)


def test_one_key_whose_days_cannot_be_read_stops_no_other(watcher: AccountWatcher) -> None:
    red, blue = watcher.server.create("red"), watcher.server.create("blue")
    watcher.server.use(red, "2")
    watcher.server.use(blue, "3")
    watcher.sync()
    watcher.next_day()
    watcher.server.failing[red] = 500
    result = watcher.sync()
    # What analytics told of it is written.
    assert (result["red"].status, result["red"].is_passing) == (SyncKeyStatus.PARTIAL, True)
    assert result["blue"].status is SyncKeyStatus.OK
    providers = {key[0]: key[2] for key in watcher.rows(TODAY)}
    assert providers == {"red": None, "blue": "OpenAI"}
    watcher.server.failing.clear()
    watcher.sync()
    assert {key[0]: key[2] for key in watcher.rows(TODAY)} == {"red": "OpenAI", "blue": "OpenAI"}


def test_a_key_that_is_no_management_key_any_more_says_so(watcher: AccountWatcher) -> None:
    watcher.server.managers = set()
    result = watcher.sync()
    assert result["boss"].status is SyncKeyStatus.FAILED
    assert "Is it still a management key?" in (result["boss"].error or "")
    assert watcher.result.exit_code == 1


@pytest.mark.parametrize("status", [403, 404])
def test_a_server_without_credits_is_no_trouble(watcher: AccountWatcher, status: int) -> None:
    watcher.server.missing["/credits"] = status
    watcher.server.create("red")
    result = watcher.sync()
    assert watcher.result.status is RunStatus.OK
    assert any(note.startswith(f"credits: GET /credits answered {status}") for note in result["boss"].notes)
    assert dump(watcher.store, "account_credits") == []


def test_an_account_without_credit_is_told_and_read_on(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red, "2")
    watcher.server.failing["/credits"] = 402
    result = watcher.sync()
    assert "credits: GET /credits answered 402" in (result["boss"].error or "")
    assert watcher.costs() == {"red": Decimal(2)}


@pytest.mark.parametrize("requests", range(12))
def test_a_sync_that_is_killed_midway_leaves_what_the_next_one_completes(
    watcher: AccountWatcher, requests: int
) -> None:
    keys = [
        watcher.server.create(f"key {number}", created_at=watcher.clock.now() - timedelta(days=400))
        for number in range(3)
    ]
    for number, key_hash in enumerate([*keys, None]):
        for days in (0, 3, 99, 300):
            watcher.server.use(key_hash, 10**9 + number, day=TODAY - timedelta(days=days))
    watcher.server.max_rows = 6
    watcher.server.dies_after = requests
    with pytest.raises(KeyboardInterrupt):
        watcher.sync(concurrency=1)
    assert watcher.total_nano() <= watcher.server.spent().cost_nano
    watcher.server.dies_after = None
    watcher.sync()
    watcher.sync()
    assert watcher.total_nano() == watcher.server.spent().cost_nano
    assert sorted(watcher.costs(TODAY - timedelta(days=300)).items()) == [
        ("boss", Decimal("1.000000003")),
        *((f"key {number}", Decimal(f"1.00000000{number}")) for number in range(3)),
    ]


def test_a_server_that_lost_analytics_for_weeks_is_caught_up_with(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    watcher.sync()
    watcher.server.missing = {"/analytics/query": 404, "/activity": 404}
    for _ in range(40):
        watcher.server.use(red, "1")
        watcher.server.use(None, "2")
        watcher.sync()
        watcher.next_day()
    watcher.server.missing = {}
    watcher.next_day(2)
    watcher.sync()
    assert watcher.total_nano() == watcher.server.spent().cost_nano
    assert dump(watcher.store, "usage_spans") == []


def _change_activity(watcher: AccountWatcher, key_hash: str, change: Callable[[list[Any]], object]) -> None:
    """Let ``GET /activity`` answer with some of its rows changed, for the account and for the key."""
    for what, params in (("/activity", {}), (key_hash, {"api_key_hash": key_hash})):
        items = watcher.server.activity(params)
        change(items)
        watcher.server.failing[what] = data(items)


def test_a_row_that_is_not_believed_takes_nothing_from_what_analytics_reported(
    watcher: AccountWatcher,
) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red, "3")
    watcher.server.use(red, "2", model="other/model")
    watcher.server.use(None, "1.5")
    watcher.sync()
    day = watcher.clock.now().date()
    watcher.next_day()

    def doubt(items: list[Any]) -> None:
        next(item for item in items if item["model"] == "other/model")["completion_tokens"] = -5

    _change_activity(watcher, red, doubt)
    for _ in range(2):
        done = watcher.sync()
        assert (done["red"].status, done["boss"].status) == (SyncKeyStatus.PARTIAL, SyncKeyStatus.PARTIAL)
        assert watcher.result.rows_removed == 0
        assert watcher.costs(day) == {"red": Decimal(5), "boss": Decimal("1.5")}
        watcher.clock.advance(hours=1)
    watcher.server.failing.clear()
    watcher.sync()
    assert watcher.costs(day) == {"red": Decimal(5), "boss": Decimal("1.5")}
    assert watcher.result.rows_removed == 3
    assert {provider for _, _, provider in watcher.rows(day)} == {"OpenAI"}


def test_a_model_that_activity_leaves_out_is_kept_until_the_sources_agree(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red, "3", model="other/model")
    watcher.server.use(red, "3.5")
    watcher.server.use(None, "5")
    watcher.sync()
    day = watcher.clock.now().date()
    watcher.next_day()
    watcher.server.use(red, "1")

    def leave_out(items: list[Any]) -> None:
        items[:] = [item for item in items if item["model"] != "other/model"]

    _change_activity(watcher, red, leave_out)
    for _ in range(2):
        done = watcher.sync()
        assert (done["red"].status, done["boss"].status) == (SyncKeyStatus.PARTIAL, SyncKeyStatus.OK)
        assert done["red"].error == (
            "sources contradict each other on 2026-11-20: $6.50 by analytics, $3.50 by activity. "
            "The key's counters confirm the larger sum: it stays until they agree"
        )
        assert (watcher.result.status, watcher.result.exit_code) == (RunStatus.PARTIAL, 1)
        assert watcher.costs(day) == {"red": Decimal("6.5"), "boss": Decimal(5)}
        assert watcher.costs() == {"red": Decimal(1)}
        [problem] = status.run(watcher.store, watcher.clock.now()).problems
        assert problem == f"red: the last sync: {done['red'].error}"
        watcher.clock.advance(minutes=20)
    watcher.server.failing.clear()
    assert watcher.sync()["red"].status is SyncKeyStatus.OK
    assert watcher.costs(day) == {"red": Decimal("6.5"), "boss": Decimal(5)}
    assert {provider for _, _, provider in watcher.rows(day)} == {"OpenAI"}
    assert not status.run(watcher.store, watcher.clock.now()).problems


def test_just_after_midnight_a_smaller_sum_is_kept_away_and_no_trouble(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red, "3")
    watcher.sync()
    day = watcher.clock.now().date()
    watcher.next_day(hour=0)
    watcher.server.failing[red] = data([])
    assert watcher.sync()["red"].status is SyncKeyStatus.OK
    assert watcher.costs(day) == {"red": Decimal(3)}
    watcher.clock.advance(hours=1)
    assert watcher.sync()["red"].status is SyncKeyStatus.PARTIAL
    assert watcher.costs(day) == {"red": Decimal(3)}


def test_what_the_counters_lose_too_is_a_correction(watcher: AccountWatcher) -> None:
    red = watcher.server.create("red")
    watcher.server.use(red, "3")
    watcher.server.use(red, "2", model="other/model")
    watcher.sync()
    day = watcher.clock.now().date()
    watcher.next_day()
    watcher.server.missing["/analytics/query"] = 404
    watcher.server.correct((day, red, "other/model", "OpenAI"), None)
    assert watcher.sync()["red"].status is SyncKeyStatus.OK
    assert watcher.costs(day) == {"red": Decimal(3)}
