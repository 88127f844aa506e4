"""What needs a person: a limit, a balance, the encryption key."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from orwatch.domain.alerts.alert import TRY_LIMIT
from orwatch.domain.keys import InactiveReason, KeyFacts, KeyKind
from orwatch.jobs.alert import history
from orwatch.jobs.alert.judge import judge
from orwatch.jobs.alert.result import WatchRules
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.key import replace as replacing
from orwatch.jobs.status import run as status_job
from orwatch.secrets import Keyring, Vault, generate_encryption_key
from orwatch.store import alerts as stored_alerts
from orwatch.store.engine.database import Store
from orwatch.store.keys import table as stored_keys
from tests.jobs.support import ENCRYPTION_KEY, add_key
from tests.jobs.sync.account_support import add_owner, list_under, listed, note_credits
from tests.store.support import get_key
from tests.store.test_deliveries import raise_alert
from tests.support import NOW, secret_of

KEY, OTHER_KEY = generate_encryption_key(), generate_encryption_key()
NO_LIMIT_LEFT = "its limit is used up (it {}). Raise it at OpenRouter, or use another key"


def add(store: Store, name: str, encryption_key: str = KEY, **facts: Any) -> None:
    known = KeyFacts(KeyKind.INFERENCE, **facts)
    key_jobs.add(store, Keyring([encryption_key]), name, secret_of(name), known, NOW)


def problems(store: Store, *encryption_keys: str) -> tuple[str, ...]:
    result = status_job.run(store, NOW, keyring=Keyring(encryption_keys) if encryption_keys else None)
    assert result.exit_code == bool(result.problems)
    return result.problems


@pytest.mark.parametrize("remaining", ["0", "-2.5"])
@pytest.mark.parametrize(("reset", "words"), [("monthly", "resets monthly"), (None, "never resets")])
def test_a_key_that_has_used_up_its_limit(
    store: Store, remaining: str, reset: str | None, words: str
) -> None:
    limit: dict[str, Any] = {"limit_usd": Decimal(5), "limit_reset": reset}
    add(store, "work", limit_remaining_usd=Decimal(remaining), **limit)
    add(store, "other", limit_remaining_usd=Decimal("0.01"), **limit)
    assert problems(store) == (f"work: {NO_LIMIT_LEFT.format(words)}",)


def test_a_limit_of_a_listed_key_counts_and_of_a_disabled_one_does_not(store: Store) -> None:
    owner = add_owner(store)
    none_left = {"limit_usd": Decimal(5), "limit_remaining_usd": Decimal(0)}
    list_under(store, owner, listed("found", **none_left), listed("off", is_disabled=True, **none_left))
    add_key(store, "asleep", facts=KeyFacts(KeyKind.INFERENCE, **none_left))
    key_jobs.disable(store, "asleep", NOW)
    assert problems(store) == (f"found: {NO_LIMIT_LEFT.format('never resets')}",)


@pytest.mark.parametrize(
    ("bought", "spent", "is_low"),
    [
        ("10", "9.5", True),
        ("10", "12", True),
        ("10", "9.000000001", True),
        ("10", "9", False),
        ("0", "0", False),
    ],
)
def test_a_balance_below_one_dollar_of_an_account_that_buys(
    store: Store, bought: str, spent: str, is_low: bool
) -> None:
    note_credits(store, add_owner(store), bought, spent)
    expected = ("ops: the balance of its account is below $1. Buy credits",)
    assert problems(store) == (expected if is_low else ())


def test_what_an_alert_says_is_said_once_and_not_at_all_once_it_is_acknowledged(store: Store) -> None:
    note_credits(store, add_owner(store), "10", "9.5")
    none_left = {"limit_usd": Decimal(5), "limit_remaining_usd": Decimal(0)}
    add(store, "spent", ENCRYPTION_KEY, **none_left)
    add(store, "old", ENCRYPTION_KEY, expires_at=NOW + timedelta(days=1))
    add(store, "bad", ENCRYPTION_KEY)
    with store.write() as connection:
        stored_keys.set_inactive(connection, get_key(store, "bad").id, InactiveReason.INVALID, NOW)
    before = problems(store)
    raised = judge(store, NOW, WatchRules()).raised
    said = {text.partition(":")[0] for text in before}
    assert said == {alert.name for alert in raised} == {"ops", "spent", "old", "bad"}
    assert [text.partition(" (if you")[0] for text in problems(store)] == [alert.summary for alert in raised]
    history.acknowledge(store, [alert.id for alert in raised], NOW)
    assert problems(store) == ()


def test_an_encryption_key_that_opens_nothing_is_told_once(store: Store) -> None:
    add(store, "a")
    add(store, "b")
    assert problems(store, KEY) == problems(store, OTHER_KEY, KEY) == ()
    [problem] = problems(store, OTHER_KEY)
    assert problem.startswith("ORWATCH_ENCRYPTION_KEY does not open any stored secret: put back the one ")


def test_a_secret_that_alone_does_not_open_is_told_with_its_key(store: Store) -> None:
    add(store, "a")
    add(store, "b")
    with store.write() as connection:
        stored_keys.replace_secrets(connection, {2: Vault([OTHER_KEY]).seal(secret_of("b"))})
    [problem] = problems(store, KEY)
    assert problem.startswith("b: ORWATCH_ENCRYPTION_KEY does not open its secret. List the encryption key ")


def test_a_secret_that_a_key_had_before_and_that_does_not_open_is_told_with_the_key(store: Store) -> None:
    add(store, "a")
    replacing.replace(store, Keyring([KEY]), "a", secret_of("new"), None, NOW)
    assert problems(store, KEY) == ()
    with store.write() as connection:
        stored_keys.replace_secrets(connection, {1: Vault([OTHER_KEY]).seal(secret_of("a"))})
    [problem] = problems(store, KEY)
    assert problem.startswith("a: ORWATCH_ENCRYPTION_KEY does not open its secret. List the encryption key ")


def test_a_lost_encryption_key_is_told_where_it_is_needed(store: Store) -> None:
    assert status_job.run(store, NOW, keyring=Keyring([])).problems == ()
    add(store, "a")
    [problem] = status_job.run(store, NOW, keyring=Keyring([])).problems
    assert problem.startswith("ORWATCH_ENCRYPTION_KEY is not set, ")


def test_a_rotation_under_way_is_no_lost_encryption_key(store: Store) -> None:
    add(store, "a")
    keyring = Keyring([OTHER_KEY], lambda: [KEY])
    assert status_job.run(store, NOW, keyring=keyring).problems == ()


def test_alerts_that_could_not_be_sent(store: Store) -> None:
    alert = raise_alert(store)
    store.run_write(lambda connection: stored_alerts.end(connection, [alert.id], NOW))
    assert problems(store) == ()
    store.run_write(lambda connection: connection.exec_driver_sql(f"UPDATE alerts SET tries = {TRY_LIMIT}"))
    assert problems(store) == ("1 alert could not be sent: `orwatch doctor` says why",)
