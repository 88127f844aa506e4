"""A rotated key: its new secret, one history, and a total that holds what each secret has spent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from orwatch.domain.keys import InactiveReason, KeyFacts, KeyKind, StoredKey
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import Dimension
from orwatch.errors import EncryptionKeyError, OrwatchError
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.key import replace as replacing
from orwatch.jobs.key import rotation
from orwatch.jobs.key.overview import describe, list_overviews
from orwatch.jobs.report import run as report_job
from orwatch.jobs.report.run import ReportRequest
from orwatch.jobs.status import run as status_job
from orwatch.jobs.sync import run as sync_job
from orwatch.jobs.sync.request import SyncRequest, last_days
from orwatch.jobs.sync.result import SyncedKey, SyncKeyStatus, SyncResult, merge_by_name
from orwatch.jobs.validate import run as validate_job
from orwatch.jobs.validate.result import ValidateResult, Verdict
from orwatch.openrouter.client import Client
from orwatch.secrets import Keyring, Vault
from orwatch.store.engine.database import Store
from orwatch.store.keys import table as stored_keys
from tests.jobs.support import (
    ENCRYPTION_KEY,
    OTHER_ENCRYPTION_KEY,
    FakeApi,
    Responder,
    add_key,
    days_ago,
    facts,
    item,
    refusal,
    spend,
    usage,
)
from tests.jobs.sync.account_support import list_under, listed
from tests.store.support import dump, get_key, on_each_engine, scalar
from tests.support import NOW, TODAY, FakeClock, secret_of

MODEL = "openai/gpt-4.1"


def replace(store: Store, new: str, *, name: str = "work", **others: Any) -> replacing.Replacement:
    """Give a key a new secret: ``secret_of`` its name."""
    options = {"facts": None, "now": NOW, **others}
    return replacing.replace(store, Keyring([ENCRYPTION_KEY]), name, secret_of(new), **options)


def rows(store: Store) -> list[StoredKey]:
    with store.read() as connection:
        return stored_keys.list_rows(connection)


def costs(store: Store, *by: Dimension, key: str | None = None) -> dict[str | None, Decimal | None]:
    """What a report shows of the last days, where anything was spent."""
    request = ReportRequest(days_ago(5), TODAY, by or (Dimension.KEY,), (key,) if key else ())
    table = report_job.run(store, request).table
    return {row.values[0]: row.totals.cost_usd for row in table.rows if row.totals.cost_usd}


class Runner:
    """Runs the jobs of one store with the key ``work``."""

    def __init__(self, store: Store, client: Client, clock: FakeClock) -> None:
        self.store, self.client, self.clock = store, client, clock
        add_key(store)

    def sync(self, **others: Any) -> SyncResult:
        request = SyncRequest(last_days(TODAY, 7), TODAY, reaches_back=True, **others)
        return sync_job.run(self.store, lambda: self.client, Keyring([ENCRYPTION_KEY]), request, self.clock)

    def validate(self) -> ValidateResult:
        return validate_job.run(self.store, lambda: self.client, Keyring([ENCRYPTION_KEY]), self.clock)


@pytest.fixture
def runner(store: Store, client: Client, clock: FakeClock) -> Runner:
    return Runner(store, client, clock)


def test_the_day_of_the_switch_is_what_both_secrets_spent(runner: Runner, api: FakeApi) -> None:
    store = runner.store
    yesterday = item(days_ago(1), cost=1)
    # A dollar more with the old secret between the sync and the switch.
    api.on("work", usage(yesterday, item(cost=2)), usage(yesterday, item(cost="3.000000001")))
    api.on("new", usage(item(cost=4)))
    runner.sync()

    replace(store, "new")
    result = runner.sync()

    assert [(key.name, key.status, key.rows_written) for key in result.keys] == [
        ("work", SyncKeyStatus.OK, 2)
    ]
    assert costs(store) == {"work": Decimal("8.000000001")}
    assert costs(store, Dimension.DAY, key="work") == {
        days_ago(1).isoformat(): Decimal(1),
        TODAY.isoformat(): Decimal("7.000000001"),
    }
    assert {row[1] for row in dump(store, "usage_daily")} == {"work"}
    assert list_overviews(store, NOW).keys[0].spent_30_days_usd == Decimal("8.000000001")
    assert list_overviews(store, NOW).keys[0].share_30_days == Decimal(1)
    assert status_job.run(store, NOW).spent_month_usd == Decimal("8.000000001")


def test_a_second_sync_after_a_replacement_changes_nothing(runner: Runner, api: FakeApi) -> None:
    api.on("work", usage(item(cost=2)))
    api.on("new", usage(item(cost=4)))
    runner.sync()
    replace(runner.store, "new")
    runner.sync()
    before = dump(runner.store, "usage_stats")

    again = runner.sync()

    assert (again.rows_written, again.rows_unchanged, again.rows_removed) == (0, 2, 0)
    assert dump(runner.store, "usage_stats") == before


def counters(total: str, today: str) -> Responder:
    """A server without ``/usage``, with these counters."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/usage"):
            return refusal(404)
        return facts(usage=float(total), usage_daily=float(today), usage_monthly=float(total))

    return answer


def test_the_new_secrets_counters_begin_at_zero_and_are_not_taken_for_a_reset(
    runner: Runner, api: FakeApi
) -> None:
    api.on("work", counters("5", "2"))
    api.on("new", counters("0", "0"))
    runner.sync()
    replace(runner.store, "new")

    first = runner.sync()
    api.on("work", counters("5.5", "2.5"))
    api.on("new", counters("0.25", "0.25"))
    second = runner.sync()

    assert (first.keys[0].notes, second.keys[0].notes) == ((), ())
    assert costs(runner.store) == {"work": Decimal("2.75")}
    # The month of both counters, which know more than the ledger.
    (key,) = list_overviews(runner.store, NOW).keys
    assert key.spent_month_usd == Decimal("5.75")
    assert key.key.facts.usage_usd == Decimal("0.25")


def test_an_old_secret_that_ends_needs_nobody_and_is_forgotten(runner: Runner, api: FakeApi) -> None:
    store = runner.store
    api.on("work", usage(item(cost=2)))
    api.on("new", usage(item(cost=4)), facts())
    runner.sync()
    replace(store, "new")
    api.on("work", refusal(401))

    synced = runner.sync()
    assert [(key.name, key.status, key.error) for key in synced.keys] == [("work", SyncKeyStatus.OK, None)]
    assert synced.exit_code == 0
    assert rows(store)[0].secret_encrypted is not None, "one refusal may be a passing one"

    validated = runner.validate()
    assert [(key.name, key.verdict) for key in validated.keys] == [("work", Verdict.VALID)]
    assert validated.exit_code == 0
    assert rows(store)[0].secret_encrypted is None
    assert [each.problem for each in status_job.run(store, NOW).keys] == [None]

    api.requests.clear()
    api.on("new", usage(item(cost=4)))
    runner.sync()
    assert api.asked("work") == []
    assert costs(store) == {"work": Decimal(6)}


def test_an_old_secret_that_cannot_be_checked_is_no_finding(runner: Runner, api: FakeApi) -> None:
    replace(runner.store, "new")
    api.on("work", refusal(403))
    api.on("new", facts())

    assert [key.verdict for key in runner.validate().keys] == [Verdict.VALID]
    assert rows(runner.store)[0].secret_encrypted is not None


def test_an_old_secret_that_is_valid_stays_in_use(runner: Runner, api: FakeApi) -> None:
    replace(runner.store, "new")
    api.on("work", facts(usage=7))
    api.on("new", facts())

    assert len(runner.validate().keys) == 1
    assert rows(runner.store)[0].facts.usage_usd == Decimal(7)
    assert rows(runner.store)[0].secret_encrypted is not None


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_what_the_old_secret_may_no_longer_do_is_no_failure(
    runner: Runner, api: FakeApi, status: int
) -> None:
    replace(runner.store, "new")
    api.on("work", refusal(status))
    api.on("new", usage(item(cost=4)))

    result = runner.sync()

    assert [(key.name, key.status, key.error) for key in result.keys] == [("work", SyncKeyStatus.OK, None)]
    assert (result.exit_code, costs(runner.store)) == (0, {"work": Decimal(4)})


def test_a_passing_failure_of_the_old_secret_is_one_of_the_key(runner: Runner, api: FakeApi) -> None:
    replace(runner.store, "new")
    api.on("work", refusal(503, "not now"))
    api.on("new", usage(item(cost=4)))

    (key,) = runner.sync().keys

    assert (key.name, key.status) == ("work", SyncKeyStatus.PARTIAL)
    assert "not now" in (key.error or "")


def test_parts_of_one_key_are_one_line() -> None:
    ok = SyncedKey("a", SyncKeyStatus.OK, TODAY, rows_written=1, rows_unchanged=2, notes=("n",))
    failed = SyncedKey("a", SyncKeyStatus.FAILED, days_ago(2), error="e", is_passing=True)
    other = SyncedKey("b", SyncKeyStatus.OK, TODAY)

    assert merge_by_name([failed, other, failed]) == (failed, other)
    assert merge_by_name([ok, ok, failed]) == (
        SyncedKey(
            "a",
            SyncKeyStatus.PARTIAL,
            days_ago(2),
            rows_written=2,
            rows_unchanged=4,
            error="e",
            notes=("n",),
        ),
    )


@on_each_engine
def test_a_key_is_replaced_twice(store: Store) -> None:
    add_key(store)
    for number, new in enumerate(("second", "third"), start=1):
        spend(store, (TODAY, MODEL, str(number)), key_id=number)
        replace(store, new)
    spend(store, (TODAY, MODEL, "4"), key_id=3)

    assert [(row.name, row.replaced_by) for row in rows(store)] == [("work", 3), ("work", 3), ("work", None)]
    assert costs(store) == costs(store, key="work") == {"work": Decimal(7)}
    assert [key.name for key in key_jobs.list_keys(store)] == ["work"]
    details = describe(store, "work", NOW)
    assert details.overview.spent_30_days_usd == Decimal(7)
    assert [row.id for row in details.replaced] == [2, 1]


def test_a_replaced_key_keeps_its_place_in_the_list(store: Store) -> None:
    add_key(store)
    add_key(store, "other")

    replace(store, "new")

    assert [key.name for key in key_jobs.list_keys(store)] == ["work", "other"]


@on_each_engine
def test_a_replaced_key_goes_as_a_whole_when_it_is_removed(store: Store) -> None:
    add_key(store)
    spend(store, (TODAY, MODEL, "1"))
    replace(store, "second")
    spend(store, (TODAY, MODEL, "2"), key_id=2)

    key_jobs.remove(store, "work", NOW, with_history=False)

    assert [row.secret_encrypted for row in rows(store)] == [None, None]
    assert key_jobs.list_keys(store) == []
    assert costs(store) == {"work (removed)": Decimal(3)}
    add_key(store, "other")
    key_jobs.rename(store, "other", "work")
    assert costs(store, key="work") == {"work (removed)": Decimal(3)}
    assert key_jobs.remove(store, "work", NOW, with_history=True).rows == 0
    assert key_jobs.remove(store, "work", NOW, with_history=True).rows == 2
    assert (rows(store), dump(store, "usage_stats")) == ([], [])


def test_a_replaced_key_that_was_removed_comes_back_as_a_whole(store: Store) -> None:
    add_key(store)
    spend(store, (TODAY, MODEL, "1"))
    replace(store, "second")
    spend(store, (TODAY, MODEL, "2"), key_id=2)
    key_jobs.remove(store, "work", NOW, with_history=False)

    key_jobs.add(store, Keyring([ENCRYPTION_KEY]), "again", secret_of("second"), None, NOW)

    assert costs(store) == {"again": Decimal(3)}
    assert {row.name for row in rows(store)} == {"again"}


def test_the_old_secret_of_a_removed_key_becomes_a_key_of_its_own(store: Store) -> None:
    add_key(store)
    spend(store, (TODAY, MODEL, "1"))
    replace(store, "second")
    key_jobs.remove(store, "work", NOW, with_history=False)

    key_jobs.add(store, Keyring([ENCRYPTION_KEY]), "first", secret_of("work"), None, NOW)

    assert costs(store) == {"first": Decimal(1)}
    assert [key.name for key in key_jobs.list_keys(store)] == ["first"]


@on_each_engine
def test_a_new_name_is_that_of_all_the_history(store: Store) -> None:
    add_key(store)
    spend(store, (TODAY, MODEL, "1"))
    replace(store, "second")

    key_jobs.rename(store, "work", "laptop")

    assert costs(store, key="laptop") == {"laptop": Decimal(1)}
    assert {row[1] for row in dump(store, "usage_daily")} == {"laptop"}
    add_key(store, "work 2")
    key_jobs.rename(store, "work 2", "work")
    assert [key.name for key in key_jobs.list_keys(store)] == ["laptop", "work"]


def test_a_disabled_key_is_asked_with_none_of_its_secrets(runner: Runner, api: FakeApi) -> None:
    api.on("work", usage())
    api.on("new", usage())
    replace(runner.store, "new")

    key_jobs.disable(runner.store, "work", NOW)
    (refused,) = runner.sync(key_names=("work",)).keys
    assert refused.error == "not asked: the key is disabled"
    assert runner.validate().keys == ()
    assert api.requests == []

    key_jobs.enable(runner.store, "work")
    runner.sync()
    assert {name for name, _, _ in api.requests} == {"work", "new"}


def disable(store: Store) -> None:
    key_jobs.disable(store, "work", NOW)


def invalidate(store: Store) -> None:
    with store.write() as connection:
        stored_keys.set_inactive(connection, 1, InactiveReason.INVALID, NOW)


@pytest.mark.parametrize("end", [disable, invalidate])
def test_a_key_that_was_no_longer_asked_is_watched_with_its_new_secret_alone(
    store: Store, end: Callable[[Store], None]
) -> None:
    add_key(store)
    end(store)

    replacement = replace(store, "new")

    assert not replacement.is_old_asked
    assert replacement.key.is_active
    assert replacement.key.inactive_reason is None


def test_a_new_secret_keeps_name_source_and_kind_and_has_a_hint_of_its_own(store: Store) -> None:
    known = KeyFacts(KeyKind.INFERENCE, limit_usd=Decimal(10))
    key_jobs.add(
        store,
        Keyring([ENCRYPTION_KEY]),
        "work",
        secret_of("work"),
        known,
        NOW,
        source_setting=UsageSource.USAGE,
    )

    replacement = replace(store, "new", now=NOW + timedelta(hours=1))

    key = replacement.key
    assert (key.name, key.hint, key.source_setting) == (
        "work",
        f"sk-or-…{secret_of('new')[-4:]}",
        UsageSource.USAGE,
    )
    assert (key.facts, key.facts_read_at) == (KeyFacts(KeyKind.INFERENCE), None)
    assert key.created_at == NOW + timedelta(hours=1)
    assert Vault([ENCRYPTION_KEY]).open(key.secret_encrypted or "") == secret_of("new")
    assert Vault([ENCRYPTION_KEY]).open(replacement.old.secret_encrypted or "") == secret_of("work")
    assert replacement.is_old_asked
    assert replacement.linked is None


def test_a_key_goes_back_to_the_secret_that_it_had_before(store: Store) -> None:
    add_key(store)
    spend(store, (TODAY, MODEL, "1"))
    replace(store, "new")
    spend(store, (TODAY, MODEL, "2"), key_id=2)

    replacement = replace(store, "work")

    assert (replacement.key.id, replacement.linked) == (1, None)
    assert [row.replaced_by for row in rows(store)] == [None, 1]
    assert costs(store) == {"work": Decimal(3)}


def refuse(store: Store, name: str, new: str, message: str, facts: KeyFacts | None = None) -> None:
    before = dump(store, "api_keys")
    with pytest.raises(OrwatchError, match=message):
        replace(store, new, name=name, facts=facts)
    if facts is None:
        with pytest.raises(OrwatchError, match=message):
            replacing.check_can_replace(store, Keyring([ENCRYPTION_KEY]), name, secret_of(new))
    assert dump(store, "api_keys") == before


def test_a_secret_that_is_taken_is_refused(store: Store) -> None:
    add_key(store)
    add_key(store, "other")
    replace(store, "other 2", name="other")

    refuse(store, "work", "work", r"^'work' has this secret already")
    refuse(store, "work", "other 2", r"^this secret is stored already, as 'other'")
    refuse(store, "work", "other", r"^this secret is one that 'other' had before")
    refuse(store, "wrk", "new", r"^there is no key named 'wrk'\. Did you mean 'work'\?")
    with pytest.raises(OrwatchError, match=r"^this secret is one that 'other' had before"):
        add_key(store, "other")


def test_a_secret_of_a_removed_key_is_taken_with_its_history(store: Store) -> None:
    add_key(store)
    add_key(store, "other")
    spend(store, (TODAY, MODEL, "2"), key_id=2)
    key_jobs.remove(store, "other", NOW, with_history=False)

    replace(store, "other")

    assert costs(store) == {"work": Decimal(2)}


def test_a_key_of_another_kind_is_refused(store: Store) -> None:
    add_key(store, "ops", facts=KeyFacts(KeyKind.MANAGEMENT))
    add_key(store, facts=KeyFacts(KeyKind.INFERENCE))

    message = r"^'ops' is a management key, and this secret is that of an ordinary key"
    refuse(store, "ops", "new", message, KeyFacts(KeyKind.INFERENCE))
    message = r"^'work' is an ordinary key, and this secret is that of a management key"
    refuse(store, "work", "new", message, KeyFacts(KeyKind.MANAGEMENT))


def test_an_encryption_key_that_does_not_fit_replaces_nothing(store: Store) -> None:
    add_key(store)

    for act in (replacing.check_can_replace, replacing.replace):
        more = () if act is replacing.check_can_replace else (None, NOW)
        with pytest.raises(EncryptionKeyError):
            act(store, Keyring([OTHER_ENCRYPTION_KEY]), "work", secret_of("new"), *more)  # type: ignore[operator]

    assert len(rows(store)) == 1


def test_every_secret_of_a_key_is_reencrypted(store: Store) -> None:
    add_key(store)
    replace(store, "new")

    assert rotation.reencrypt(store, Keyring([OTHER_ENCRYPTION_KEY, ENCRYPTION_KEY])) == 2

    vault = Vault([OTHER_ENCRYPTION_KEY])
    assert [vault.open(row.secret_encrypted or "") for row in rows(store)] == [
        secret_of("work"),
        secret_of("new"),
    ]


def test_the_secret_of_a_discovered_key_itself_is_not_a_new_one(store: Store) -> None:
    owner = add_key(store, "ops", facts=KeyFacts(KeyKind.MANAGEMENT))
    list_under(store, owner, listed("work"))

    refuse(store, "work", "work", r"^this is the secret of 'work' itself")


def test_a_part_that_an_account_lists_keeps_the_whole_from_being_purged(store: Store) -> None:
    owner = add_key(store, "ops", facts=KeyFacts(KeyKind.MANAGEMENT))
    add_key(store)
    list_under(store, owner, listed("work"))
    replace(store, "new")
    spend(store, (TODAY, MODEL, "1"), key_id=get_key(store, "work").id)

    with pytest.raises(OrwatchError, match="'work' is a key of the account that 'ops' watches"):
        key_jobs.remove(store, "work", NOW, with_history=True)

    assert scalar(store, "SELECT count(*) FROM usage_stats") == 1
