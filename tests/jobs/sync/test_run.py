"""Sync: what is asked for, what is written, and what happens to one key when another one fails."""

from __future__ import annotations

import json
import logging
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from orwatch.domain.keys import StoredKey
from orwatch.domain.runs import Job, RunStatus
from orwatch.domain.sources import UsageSource
from orwatch.errors import EncryptionKeyError, UsageError
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.sync import run as sync_job
from orwatch.jobs.sync.progress import SyncProgress
from orwatch.jobs.sync.result import SyncedKey, SyncKeyStatus, SyncResult
from orwatch.jobs.sync.run import SyncRequest
from orwatch.openrouter.client import Client
from orwatch.secrets import Keyring
from orwatch.store.engine import locks
from orwatch.store.engine.database import Store
from orwatch.store.ledger import retention
from tests.jobs.support import (
    ENCRYPTION_KEY,
    OTHER_ENCRYPTION_KEY,
    FakeApi,
    add_key,
    days_ago,
    item,
    refusal,
    usage,
)
from tests.store.support import dump, get_key, scalar
from tests.support import NOW, TODAY, FakeClock

TABLES = ("api_keys", "usage_stats", "usage_days", "usage_months", "models", "job_runs", "ledger_state")


class Runner:
    """Runs syncs of one store, with the requests in a few words."""

    def __init__(self, store: Store, client: Client, clock: FakeClock) -> None:
        self.store, self.client, self.clock = store, client, clock
        self.keyring = Keyring([ENCRYPTION_KEY])
        self.progress: list[SyncProgress] = []

    def __call__(self, days: int = 7, **others: Any) -> SyncResult:
        """The default sync, as the command without options asks for it."""
        today = self.clock.now().date()
        return self.of(sync_job.last_days(today, days), today, **{"reaches_back": True, **others})

    def of(self, since: date, until: date, **others: Any) -> SyncResult:
        request = SyncRequest(since, until, **others)
        return sync_job.run(
            self.store, lambda: self.client, self.keyring, request, self.clock, self.progress.append
        )


@pytest.fixture
def run(store: Store, client: Client, clock: FakeClock) -> Runner:
    return Runner(store, client, clock)


@pytest.fixture
def work(store: Store) -> StoredKey:
    return add_key(store)


def everything(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    return {table: dump(store, table) for table in TABLES}


def set_watermark(store: Store, day: date) -> None:
    with store.write() as connection:
        retention.raise_watermark(connection, day)


@pytest.mark.usefixtures("work")
def test_the_last_days_through_today_are_asked_for_and_written(run: Runner, api: FakeApi) -> None:
    api.on("work", usage(item(), item(days_ago(1)), item(model="b", cost="1e-9")))

    result = run()

    assert api.asked("work") == [("/usage", {"start_date": "2026-11-14", "end_date": "2026-11-20"})]
    assert result == SyncResult(
        days_ago(6),
        TODAY,
        (SyncedKey("work", SyncKeyStatus.OK, days_ago(6), rows_written=3),),
        duration_seconds=0,
    )
    assert (result.status, result.exit_code) == (RunStatus.OK, 0)
    assert scalar(run.store, "SELECT sum(cost_nano) FROM usage_stats") == 30_000_001
    key = get_key(run.store)
    assert (key.source, key.last_synced_at, key.synced_through) == (UsageSource.USAGE, NOW, TODAY)


@pytest.mark.usefixtures("work")
def test_a_second_sync_writes_nothing(run: Runner, api: FakeApi) -> None:
    api.on("work", usage(item(), item(days_ago(1))))
    run()

    result = run()

    assert (result.rows_written, result.rows_unchanged, result.rows_removed) == (0, 2, 0)


@pytest.mark.usefixtures("work")
def test_a_corrected_answer_replaces_the_days_that_it_mentions(run: Runner, api: FakeApi) -> None:
    api.on("work", usage(item(), item(model="b"), item(days_ago(1))), usage(item(cost=2)))
    run()

    result = run()

    assert (result.rows_written, result.rows_unchanged, result.rows_removed) == (1, 0, 1)
    assert scalar(run.store, "SELECT sum(cost_nano) FROM usage_stats") == 2_015_000_000


@pytest.mark.usefixtures("work")
def test_a_run_is_recorded_with_what_it_did(run: Runner, api: FakeApi) -> None:
    api.on("work", usage(item(), item(days_ago(40))))

    run()

    ((_, job, _, _, status, counts, error, *_),) = dump(run.store, "job_runs")
    assert (job, status, error) == ("sync", "ok", None)
    assert json.loads(counts) == {
        "keys": 1,
        "rows_written": 1,
        "rows_unchanged": 0,
        "rows_removed": 0,
        "rows_rejected": 1,
    }


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(
    ("days_asleep", "since"),
    [(1, days_ago(5)), (5, days_ago(1)), (6, TODAY), (7, TODAY), (30, TODAY), (364, TODAY)],
)
def test_the_window_reaches_back_to_the_last_good_sync(
    run: Runner, api: FakeApi, clock: FakeClock, days_asleep: int, since: date
) -> None:
    api.on("work", usage())
    run()
    clock.advance(days=days_asleep)

    run()

    assert api.windows("work")[1] == (since.isoformat(), clock.now().date().isoformat())


@pytest.mark.usefixtures("work")
def test_the_window_reaches_back_at_most_365_days_and_only_once(
    run: Runner, api: FakeApi, clock: FakeClock
) -> None:
    api.on("work", usage())
    run()
    clock.advance(days=1000)
    today = clock.now().date()

    run()
    run()

    assert api.windows("work")[1:] == [
        (str(today - timedelta(days=364)), str(today)),
        (str(today - timedelta(days=6)), str(today)),
    ]


@pytest.mark.usefixtures("work")
def test_a_short_sync_after_a_long_gap_does_not_hide_the_hole_from_the_next_one(
    run: Runner, api: FakeApi, clock: FakeClock
) -> None:
    api.on("work", usage())
    run()
    clock.advance(days=30)

    run(days=1, reaches_back=False)
    run()

    assert api.windows("work")[1:] == [("2026-12-20", "2026-12-20"), ("2026-11-20", "2026-12-20")]
    assert get_key(run.store).synced_through == clock.now().date()


@pytest.mark.usefixtures("work")
def test_a_failed_sync_does_not_move_on_what_the_next_one_reaches_back_to(
    run: Runner, api: FakeApi, clock: FakeClock
) -> None:
    api.on("work", usage(), refusal(403), usage())
    run()
    clock.advance(days=20)

    assert run().exit_code == 1
    assert run().exit_code == 0

    assert [since for since, _ in api.windows("work")] == ["2026-11-14", "2026-11-20", "2026-11-20"]


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize("since", [days_ago(300), days_ago(3), days_ago(700)])
def test_an_explicit_window_is_asked_for_as_it_is(run: Runner, api: FakeApi, since: date) -> None:
    api.on("work", usage(item(since)))

    result = run.of(since, days_ago(2))

    assert api.windows("work") == [(since.isoformat(), "2026-11-18")]
    assert (result.since, result.until, result.rows_written) == (since, days_ago(2), 1)


@pytest.mark.usefixtures("work")
def test_days_before_the_watermark_are_not_asked_for_and_that_is_said(run: Runner, api: FakeApi) -> None:
    set_watermark(run.store, days_ago(2))
    api.on("work", usage(item(days_ago(2))))

    result = run.of(days_ago(30), TODAY)

    assert api.windows("work") == [("2026-11-18", "2026-11-20")]
    assert (
        "days before 2026-11-18 were removed by cleanup and are not fetched again" in result.keys[0].notes[0]
    )
    assert (result.since, result.rows_written, result.exit_code) == (days_ago(2), 1, 0)


@pytest.mark.usefixtures("work")
def test_a_window_wholly_before_the_watermark_asks_nothing_and_says_so(run: Runner, api: FakeApi) -> None:
    set_watermark(run.store, TODAY)

    result = run.of(days_ago(30), days_ago(20))

    assert api.requests == []
    assert dump(run.store, "usage_days") == []
    assert "days before 2026-11-20 were removed by cleanup" in result.keys[0].notes[0]
    assert (result.rows_written, result.exit_code) == (0, 0)


@pytest.mark.usefixtures("work")
def test_a_gap_that_begins_before_the_watermark_is_closed_by_one_sync(
    run: Runner, api: FakeApi, clock: FakeClock
) -> None:
    api.on("work", usage())
    run()
    clock.advance(days=60)
    set_watermark(run.store, clock.now().date() - timedelta(days=30))

    run()
    run()

    assert [since for since, _ in api.windows("work")] == ["2026-11-14", "2026-12-20", "2027-01-13"]


def test_one_keys_failure_stops_no_other_and_is_told_at_the_end(
    run: Runner, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("first", "second", "third"):
        add_key(run.store, name)
        api.on(name, usage(item()))
    api.on("second", refusal(500))

    result = run()

    assert [key.status for key in result.keys] == [
        SyncKeyStatus.OK,
        SyncKeyStatus.FAILED,
        SyncKeyStatus.OK,
    ]
    assert result.keys[1].error == "GET /usage answered 500: as the API says it (tried 5 times)"
    assert (result.rows_written, result.status, result.exit_code) == (2, RunStatus.PARTIAL, 1)
    assert len(api.asked("second")) == 5
    assert sum(run.clock.slept) > 10
    assert get_key(run.store, "second").last_sync_error == result.keys[1].error
    assert dump(run.store, "job_runs")[0][4:7:2] == ("partial", f"second: {result.keys[1].error}")
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [(record.getMessage(), record.key) for record in warnings] == [  # type: ignore[attr-defined]
        (result.keys[1].error, "second")
    ]


@pytest.mark.parametrize(
    ("answers", "status", "exit_code"),
    [
        ([usage(), usage()], RunStatus.OK, 0),
        ([refusal(500), refusal(429)], RunStatus.FAILED, 75),
        ([httpx.ConnectError("refused"), httpx.ReadTimeout("slow")], RunStatus.FAILED, 75),
        ([refusal(500), refusal(401)], RunStatus.FAILED, 1),
        ([refusal(401), refusal(404)], RunStatus.FAILED, 1),
        ([usage(), refusal(408)], RunStatus.PARTIAL, 1),
        ([usage(), usage({"date": "never"})], RunStatus.PARTIAL, 1),
        ([usage({"date": "never"}), refusal(503)], RunStatus.PARTIAL, 1),
        ([httpx.Response(200, text="<html>"), refusal(402)], RunStatus.FAILED, 1),
    ],
)
def test_the_exit_code_says_whether_a_person_or_time_is_needed(
    run: Runner, api: FakeApi, answers: list[httpx.Response], status: RunStatus, exit_code: int
) -> None:
    for name, answer in zip(("first", "second"), answers, strict=True):
        add_key(run.store, name)
        api.on(name, answer)

    result = run()

    assert (result.status, result.exit_code) == (status, exit_code)
    assert dump(run.store, "job_runs")[0][4] == status


def test_without_keys_there_is_nothing_to_do(run: Runner) -> None:
    result = run()

    assert (result.keys, result.since, result.status, result.exit_code) == ((), days_ago(6), RunStatus.OK, 0)


@pytest.mark.usefixtures("work")
def test_a_dry_run_counts_what_it_would_do_and_writes_nothing(run: Runner, api: FakeApi) -> None:
    api.on("work", usage(item(), item(model="b")), usage(item(cost=9), item(model="c")))
    run()
    before = everything(run.store)

    result = run(is_dry_run=True)

    assert (result.rows_written, result.rows_removed, result.is_dry_run) == (2, 1, True)
    assert everything(run.store) == before


@pytest.mark.usefixtures("work")
def test_a_dry_run_that_fails_leaves_no_trace_either(run: Runner, api: FakeApi) -> None:
    api.on("work", refusal(403))
    before = everything(run.store)

    assert run(is_dry_run=True).exit_code == 1
    assert everything(run.store) == before


@pytest.mark.usefixtures("work")
def test_a_dry_run_needs_no_lock(run: Runner, api: FakeApi) -> None:
    api.on("work", usage())
    with locks.job_lock(run.store, Job.SYNC, FakeClock()):
        assert run(is_dry_run=True).exit_code == 0


def test_progress_counts_every_key_that_is_asked_and_ends_with_all(run: Runner, api: FakeApi) -> None:
    for name in ("first", "second"):
        add_key(run.store, name)
        api.on(name, usage(item()))
    with run.store.write() as connection:
        connection.exec_driver_sql("UPDATE api_keys SET secret_encrypted = 'x' WHERE name = 'first'")

    run()

    assert run.progress == [
        SyncProgress("Syncing", 0, 1, "keys", 0),
        SyncProgress("Syncing", 1, 1, "keys", 1),
    ]


@pytest.mark.usefixtures("work")
def test_a_name_that_no_key_has_is_refused_and_nothing_is_asked_or_recorded(
    run: Runner, api: FakeApi
) -> None:
    with pytest.raises(UsageError, match=r"'wrok'\. Did you mean 'work'"):
        run(key_names=("wrok",))

    assert api.requests == []
    assert dump(run.store, "job_runs") == []


def test_only_the_named_keys_are_asked(run: Runner, api: FakeApi) -> None:
    for name in ("first", "second", "third"):
        add_key(run.store, name)
        api.on(name, usage())

    result = run(key_names=("third", "first", "third"))

    assert [key.name for key in result.keys] == ["first", "third"]
    assert api.asked("second") == []


def test_inactive_keys_are_not_asked_and_only_told_of_when_they_are_named(run: Runner, api: FakeApi) -> None:
    for name in ("first", "second"):
        add_key(run.store, name)
        api.on(name, usage())
    key_jobs.disable(run.store, "second", NOW)

    assert [key.name for key in run().keys] == ["first"]
    named = run(key_names=("second",))

    assert named.keys[0].error == "not asked: the key is disabled"
    assert (named.exit_code, api.asked("second")) == (1, [])


def test_an_encryption_key_that_opens_nothing_ends_the_sync_before_anything_is_asked(
    run: Runner, api: FakeApi, work: StoredKey
) -> None:
    run.keyring = Keyring([OTHER_ENCRYPTION_KEY])

    with pytest.raises(EncryptionKeyError, match="does not open the stored secret"):
        run()

    assert api.requests == []
    assert get_key(run.store) == work
    assert dump(run.store, "job_runs")[0][4] == "failed"


@pytest.mark.parametrize("is_dry_run", [False, True])
def test_a_rotation_that_began_before_the_secrets_were_read_does_not_end_the_sync(
    run: Runner, api: FakeApi, work: StoredKey, is_dry_run: bool
) -> None:
    run.keyring = Keyring([OTHER_ENCRYPTION_KEY], lambda: [ENCRYPTION_KEY])
    api.on("work", usage())

    assert run(is_dry_run=is_dry_run).exit_code == 0


def test_no_encryption_key_is_needed_where_no_key_is_watched(run: Runner) -> None:
    run.keyring = Keyring([])
    assert run().exit_code == 0

    add_key(run.store)
    with pytest.raises(EncryptionKeyError, match="ORWATCH_ENCRYPTION_KEY is not set"):
        run()
