"""The account: what becomes of keys that are deleted, renamed, disabled or added, and the demo's account."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from orwatch.demo.account import ACCOUNT_DAYS, FakeAccount, demo_account, demo_keys
from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.catalog import MODELS
from orwatch.demo.ledger import Ledger
from orwatch.demo.usage import CI, OLD_LAPTOP, PRICES, PRODUCTION, FakeKey, usage_of
from orwatch.domain.money import from_nano
from orwatch.secrets import hash_secret
from tests.demo.support import (
    ACCOUNT,
    CI_KEY,
    CI_LAB_KEY,
    IDLE,
    LEAVER,
    MANAGEMENT,
    PRODUCTION_KEY,
    Today,
    analytics,
    api_of,
    assert_error,
    by_key,
    data_of,
    get,
    listed,
    summed,
    time_range,
    used,
    with_keys,
)
from tests.support import SECRET, TODAY


def test_a_deleted_key_is_gone_from_today_on_and_its_usage_stays_in_the_accounts_totals() -> None:
    today = Today()
    api = api_of(today=today)
    rows_before = analytics(api, filters=by_key("eq", CI_KEY.key_hash))
    credits_before = data_of(get(api, "/credits"))
    api.delete(CI_KEY.key_hash)
    assert CI_KEY.key_hash not in listed(api)
    assert_error(get(api, "/key", CI_KEY.secret), 401, "User not found.")
    assert data_of(get(api, "/credits")) == credits_before
    assert analytics(api, filters=by_key("eq", CI_KEY.key_hash)) == rows_before
    today.day += timedelta(days=5)
    later = analytics(
        api,
        filters=by_key("eq", CI_KEY.key_hash),
        time_range=time_range(TODAY - timedelta(days=30), today.day),
    )
    assert later == rows_before


def test_a_renamed_key_keeps_its_usage() -> None:
    api = api_of()
    before = data_of(get(api, "/activity", api_key_hash=PRODUCTION_KEY.key_hash))
    facts = data_of(get(api, "/key", PRODUCTION_KEY.secret))
    api.rename(PRODUCTION_KEY.key_hash, "shop")
    api.rename(PRODUCTION_KEY.key_hash, "shop floor")
    assert listed(api)[PRODUCTION_KEY.key_hash]["name"] == "shop floor"
    assert data_of(get(api, "/activity", api_key_hash=PRODUCTION_KEY.key_hash)) == before
    assert data_of(get(api, "/key", PRODUCTION_KEY.secret)) == facts


def test_a_key_that_is_renamed_before_anybody_asks_keeps_its_usage_too() -> None:
    api = api_of()
    api.rename(PRODUCTION_KEY.key_hash, "shop")
    query = {"start_date": f"{TODAY}", "end_date": f"{TODAY}"}
    rows = data_of(get(api, "/usage", PRODUCTION_KEY.secret, **query))
    daily = data_of(get(api, "/key", PRODUCTION_KEY.secret))["usage_daily"]
    expected = sum(row.cost_usd for row in usage_of(PRODUCTION_KEY, TODAY))
    assert summed(rows, "cost")["cost"] == daily == expected


def test_a_disabled_key_is_listed_on_request_gets_401_and_has_no_new_usage() -> None:
    today = Today()
    api = api_of(today=today)
    before = listed(api)[CI_KEY.key_hash]
    api.disable(CI_KEY.key_hash)
    assert_error(get(api, "/key", CI_KEY.secret), 401, "User not found.")
    assert CI_KEY.key_hash not in {item["hash"] for item in data_of(get(api, "/keys"))}
    assert listed(api)[CI_KEY.key_hash] == before | {"disabled": True}
    today.day += timedelta(days=3)
    assert listed(api)[CI_KEY.key_hash]["usage"] == before["usage"]


def test_a_key_that_was_disabled_from_the_start_has_usage_up_to_then() -> None:
    today = Today()
    api = api_of(today=today)
    before = listed(api)[IDLE.key_hash]["usage"]
    assert before == sum(row.cost_usd for row in used(IDLE, date.min, TODAY))
    today.day += timedelta(days=30)
    assert listed(api)[IDLE.key_hash]["usage"] == before


def test_a_revoked_key_of_the_account_is_told_as_disabled() -> None:
    api = api_of()
    api.revoke("production")
    assert_error(get(api, "/key", PRODUCTION_KEY.secret), 401, "User not found.")
    assert listed(api)[PRODUCTION_KEY.key_hash]["disabled"] is True


def test_an_added_key_is_listed_and_its_usage_counts() -> None:
    api = api_of()
    before = data_of(get(api, "/credits"))["total_usage"]
    key = FakeKey("late", SECRET, PRODUCTION, created_on=TODAY)
    api.add(key)
    assert listed(api)[key.key_hash]["usage"] == sum(row.cost_usd for row in usage_of(key, TODAY))
    assert data_of(get(api, "/key", SECRET))["usage"] == listed(api)[key.key_hash]["usage"]
    assert data_of(get(api, "/credits"))["total_usage"] == (
        before + data_of(get(api, "/key", SECRET))["usage"]
    )


def test_a_key_without_an_account_can_be_added_deleted_and_disabled() -> None:
    api = FakeOpenRouter([FakeKey("ci", SECRET, CI)], today=lambda: TODAY)
    other = FakeKey("ci", "sk-or-v1-other", CI)
    api.add(other)
    assert get(api, "/key", other.secret).status == 200
    api.delete(other.key_hash)
    api.disable(hash_secret(SECRET))
    assert [get(api, "/key", secret).status for secret in (other.secret, SECRET)] == [401, 401]
    assert api.account_keys == ()


def test_a_secret_cannot_be_added_twice() -> None:
    with pytest.raises(ValueError, match="the secret of 'again' is known already"):
        api_of().add(FakeKey("again", PRODUCTION_KEY.secret, CI))


@pytest.mark.parametrize(
    "change",
    [
        lambda api: api.delete("0" * 64),
        lambda api: api.disable("0" * 64),
        lambda api: api.rename("0" * 64, "shop"),
        lambda api: api.run_wild("0" * 64, "openai/gpt-4.1", (1, 2, 3)),
    ],
    ids=["delete", "disable", "rename", "run wild"],
)
def test_changing_a_key_that_never_was_is_an_error(change: Callable[[FakeOpenRouter], None]) -> None:
    with pytest.raises(LookupError, match="there is no key with the hash '0000"):
        change(api_of())


def test_the_management_key_can_be_deleted() -> None:
    api = api_of()
    api.delete(hash_secret(MANAGEMENT))
    assert_error(get(api, "/keys"), 401, "User not found.")


def test_keys_can_be_added_and_deleted_while_others_ask() -> None:
    api = api_of(with_keys())
    keys = [FakeKey(f"key {number}", f"sk-or-v1-{number}", CI) for number in range(20)]
    statuses: list[int] = []

    def ask() -> None:
        for _ in range(10):
            statuses.extend(get(api, path).status for path in ("/keys", "/credits", "/activity"))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for key in keys:
        api.add(key)
    for key in keys[::2]:
        api.delete(key.key_hash)
    for thread in threads:
        thread.join()
    assert statuses == [200] * 90
    assert set(listed(api)) == {key.key_hash for key in keys[1::2]}


def test_two_keys_of_one_name_have_different_usage_and_the_first_keeps_its_own() -> None:
    assert (CI_KEY.name, CI_KEY.seed) == (CI_LAB_KEY.name, "")
    days = [TODAY - timedelta(days=count) for count in range(5)]
    assert [usage_of(CI_KEY, day) for day in days] != [usage_of(CI_LAB_KEY, day) for day in days]
    facts = data_of(get(api_of(), "/key", CI_LAB_KEY.secret))
    assert facts["usage"] == sum(row.cost_usd for row in used(CI_LAB_KEY, date.min, TODAY))


def test_an_added_key_of_a_known_name_has_usage_of_its_own() -> None:
    api = api_of()
    api.rename(PRODUCTION_KEY.key_hash, "shop")
    api.add(FakeKey("production", SECRET, PRODUCTION))
    assert (
        data_of(get(api, "/key", SECRET))["usage"]
        != (data_of(get(api, "/key", PRODUCTION_KEY.secret))["usage"])
    )


def test_the_hash_of_a_key_is_the_one_that_orwatch_computes() -> None:
    assert PRODUCTION_KEY.key_hash == hash_secret(PRODUCTION_KEY.secret)


def test_an_account_does_not_show_its_secrets() -> None:
    text = repr(ACCOUNT)
    assert not any(secret in text for secret in (MANAGEMENT, *(f"'{key.secret}'" for key in ACCOUNT.keys)))


def test_a_key_has_no_usage_outside_of_its_life() -> None:
    assert LEAVER.deleted_on is not None
    always_used = replace(LEAVER, profile=PRODUCTION)
    assert usage_of(always_used, LEAVER.deleted_on - timedelta(days=1))
    assert not usage_of(always_used, LEAVER.deleted_on)
    newcomer = replace(always_used, deleted_on=None, created_on=TODAY)
    assert usage_of(newcomer, TODAY)
    assert not usage_of(newcomer, TODAY - timedelta(days=1))


def test_the_ledger_gives_the_sums_of_the_usage_in_any_order_of_asking() -> None:
    ledger = Ledger(TODAY - timedelta(days=40))
    for since, until in [(10, 5), (40, 0), (60, 30), (3, 3), (5, 10)]:
        first, last = TODAY - timedelta(days=since), TODAY - timedelta(days=until)
        begin = max(first, ledger.first_day)
        expected = sum(
            row.cost_usd
            for count in range((last - begin).days + 1)
            for row in usage_of(PRODUCTION_KEY, begin + timedelta(days=count))
        )
        assert from_nano(ledger.cost_nano(PRODUCTION_KEY, first, last)) == expected


def test_the_catalog_knows_every_price_and_every_permaslug_once() -> None:
    assert set(PRICES) == set(MODELS)
    assert len({model.permaslug for model in MODELS.values()}) == len(MODELS)
    assert len({endpoint.id for model in MODELS.values() for endpoint in model.endpoints}) == sum(
        len(model.endpoints) for model in MODELS.values()
    )


def test_the_demos_account_has_five_keys_over_two_workspaces_and_a_management_key() -> None:
    account = demo_account(TODAY)
    assert [key.name for key in account.keys] == ["production", "ci", "ci", "research", "old-laptop"]
    assert len({key.secret for key in account.keys} | {account.management_secret}) == 6
    assert re.fullmatch("sk-or-v1-[0-9a-f]{64}", account.management_secret)
    assert [account.workspace_id_of(key) == account.workspaces[0].id for key in account.keys] == [
        *(True, True, False, False, True)
    ]
    assert (account.keys[0].limit_usd, account.keys[0].limit_reset) == (Decimal(300), "monthly")
    assert account.keys[3].is_byok
    assert account == demo_account(TODAY)


def test_the_demos_account_has_the_keys_of_the_demo_with_their_usage() -> None:
    production, ci, *_, old_laptop = demo_account(TODAY).keys
    assert (production, ci, old_laptop) == demo_keys(TODAY)


@pytest.mark.parametrize("history_days", [30, ACCOUNT_DAYS])
@pytest.mark.parametrize("today", [TODAY, date(2026, 3, 1), date(2027, 7, 7), date(2028, 2, 29)])
def test_the_demos_balance_is_plausible(today: date, history_days: int) -> None:
    account = demo_account(today, history_days=history_days)
    api = FakeOpenRouter((), account=account, today=lambda: today, history_days=history_days)
    facts = data_of(get(api, "/credits", account.management_secret))
    assert facts["total_credits"] % 100 == 0
    assert 100 <= facts["total_credits"] - facts["total_usage"] <= 300


def test_the_demos_chat_room_is_used_a_little() -> None:
    account = demo_account(TODAY)
    assert account.chat_room is not None
    only_chat = replace(account, keys=())
    api = FakeOpenRouter((), account=only_chat, today=lambda: TODAY)
    assert 0 < data_of(get(api, "/credits", account.management_secret))["total_usage"] < 10


def test_five_hundred_keys_with_a_year_are_listed_from_running_totals() -> None:
    keys = tuple(FakeKey(f"key {number}", f"sk-or-v1-{number}", OLD_LAPTOP) for number in range(500))
    api = FakeOpenRouter((), account=FakeAccount(MANAGEMENT, keys), today=lambda: TODAY, history_days=365)
    pages = [data_of(get(api, "/keys", offset=f"{offset}")) for offset in range(0, 500, 100)]
    total = sum(item["usage"] for page in pages for item in page)
    assert data_of(get(api, "/credits"))["total_usage"] == total > 0
