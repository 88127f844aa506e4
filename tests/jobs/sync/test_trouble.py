"""Sync when answers are odd, secrets do not open, disks are full and keys go away meanwhile."""

from __future__ import annotations

import threading
from datetime import date

import httpx
import pytest

from orwatch.domain.runs import Job, RunStatus
from orwatch.errors import LockHeldError, StoreUnavailableError, StoreUnusableError, WrongClockError
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.sync.result import SyncKeyStatus
from orwatch.openrouter.client import Client
from orwatch.store.engine import backend, locks
from orwatch.store.engine.database import Store, open_store
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import retention
from orwatch.store.ledger import write as ledger
from tests.jobs.support import FakeApi, add_key, days_ago, item, refusal, usage
from tests.jobs.sync.test_run import Runner
from tests.store.support import dump, file_size_limit, get_key, scalar
from tests.support import NOW, TODAY, FakeClock


@pytest.fixture
def run(store: Store, client: Client, clock: FakeClock) -> Runner:
    """A store with two keys."""
    add_key(store, "first")
    add_key(store, "second")
    return Runner(store, client, clock)


def costs(store: Store) -> set[tuple[int, int]]:
    return {(row[1], row[9]) for row in dump(store, "usage_stats")}


def test_a_row_that_is_not_believed_is_told_and_the_rest_is_kept(run: Runner, api: FakeApi) -> None:
    api.on("first", usage(item(), item(model="b", cost=-1), item(days_ago(1))))
    api.on("second", usage())

    result = run()

    first = result.keys[0]
    assert (first.status, first.rows_written, first.rows_rejected) == (SyncKeyStatus.PARTIAL, 2, 1)
    assert first.error is not None
    assert first.error.startswith("1 row of the answer rejected: 2026-11-20: cost is -1")
    assert get_key(run.store, "first").last_sync_error == first.error
    assert (result.status, result.exit_code) == (RunStatus.PARTIAL, 1)


def test_of_many_rejected_rows_three_are_told_and_the_rest_counted(run: Runner, api: FakeApi) -> None:
    api.on("first", usage(*(item(model=f"m{number}", cost=-number - 1) for number in range(5)), item()))
    api.on("second", usage())

    error = run().keys[0].error

    assert error is not None
    assert error.startswith("5 rows of the answer rejected: ")
    assert error.count("not a plausible amount") == 3
    assert error.endswith("; and 2 more")


def test_rows_of_days_that_were_not_asked_for_are_left_out_without_being_a_failure(
    run: Runner, api: FakeApi
) -> None:
    api.on("first", usage(item(), item(days_ago(30)), item(days_ago(31))))
    api.on("second", usage())

    result = run()

    first = result.keys[0]
    assert (first.status, first.error, first.rows_rejected) == (SyncKeyStatus.OK, None, 2)
    assert first.notes == ("left out 2 rows of days that were not asked for",)
    assert (result.exit_code, result.rows_written) == (0, 1)


@pytest.mark.parametrize("body", ["<html>busy</html>", "", '{"data": [', "[]", '{"data": null}'])
def test_an_answer_of_another_shape_writes_nothing_of_that_key(run: Runner, api: FakeApi, body: str) -> None:
    api.on("first", usage(item()), httpx.Response(200, text=body))
    api.on("second", usage(item()))
    run()
    before = dump(run.store, "usage_stats")

    result = run()

    assert [key.status for key in result.keys] == [SyncKeyStatus.FAILED, SyncKeyStatus.OK]
    assert dump(run.store, "usage_stats") == before


def test_a_secret_that_does_not_open_fails_its_key_only_and_is_remembered(run: Runner, api: FakeApi) -> None:
    api.on("second", usage(item()))
    with run.store.write() as connection:
        stored_keys.replace_secrets(connection, {1: "no token"})

    result = run()

    assert [key.status for key in result.keys] == [SyncKeyStatus.FAILED, SyncKeyStatus.OK]
    assert (result.status, result.exit_code) == (RunStatus.PARTIAL, 1)
    assert "does not open the stored secret" in (result.keys[0].error or "")
    assert get_key(run.store, "first").last_sync_error == result.keys[0].error


def test_a_disabled_key_that_is_named_is_not_remembered_as_failing(run: Runner) -> None:
    key_jobs.disable(run.store, "first", NOW)

    assert run(key_names=("first",)).exit_code == 1
    assert get_key(run.store, "first").last_sync_error is None


def test_a_disk_that_is_full_for_one_key_fails_that_key_and_keeps_what_was_stored(
    run: Runner, api: FakeApi
) -> None:
    many = [item(model=f"{'x' * 200}-{number}") for number in range(3000)]
    api.on("first", usage(item()), usage(*many))
    api.on("second", usage(item(cost=1)), usage(item(cost=2)))
    run()

    with file_size_limit(run.store.size_bytes() + 200_000):
        result = run(concurrency=1)

    assert [key.status for key in result.keys] == [SyncKeyStatus.FAILED, SyncKeyStatus.OK]
    assert "is its disk full?" in (result.keys[0].error or "")
    assert result.keys[0].is_passing
    assert costs(run.store) == {(1, 15_000_000), (2, 2_000_000_000)}
    assert scalar(run.store, "PRAGMA integrity_check") == "ok"
    assert get_key(run.store, "first").last_sync_error == result.keys[0].error


def test_a_disk_that_is_full_for_every_key_is_passing_trouble(
    run: Runner, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_no_room(*_arguments: object) -> None:
        raise StoreUnavailableError("no room")

    api.on("first", usage(item()))
    api.on("second", refusal(503))
    monkeypatch.setattr(ledger, "write_usage", find_no_room)
    monkeypatch.setattr(stored_keys, "record_sync_failure", find_no_room)

    result = run()

    assert [key.error for key in result.keys] == [
        "no room",
        "GET /usage answered 503: as the API says it (tried 5 times)",
    ]
    assert (result.status, result.exit_code) == (RunStatus.FAILED, 75)


def test_a_database_that_may_not_be_written_ends_the_sync(
    run: Runner, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise StoreUnusableError("read-only")

    api.on("first", usage(item()))
    api.on("second", usage(item()))
    monkeypatch.setattr(ledger, "write_usage", refuse)

    with pytest.raises(StoreUnusableError, match="read-only"):
        run()

    assert dump(run.store, "job_runs")[0][4:7:2] == ("failed", "read-only")


@pytest.mark.parametrize("with_history", [True, False])
def test_a_key_that_is_removed_while_it_is_asked_about_gets_nothing_written_and_stops_no_other(
    run: Runner, api: FakeApi, with_history: bool
) -> None:
    def answer_late(_request: httpx.Request) -> httpx.Response:
        key_jobs.remove(run.store, "first", NOW, with_history=with_history)
        return usage(item())

    api.on("first", answer_late)
    api.on("second", usage(item()))

    result = run()

    assert [(key.name, key.rows_written) for key in result.keys] == [("first", 0), ("second", 1)]
    assert "removed during the sync" in result.keys[0].notes[-1]
    assert (result.status, result.exit_code) == (RunStatus.OK, 0)
    assert costs(run.store) == {(2, 15_000_000)}


def test_a_cleanup_meanwhile_is_obeyed(run: Runner, api: FakeApi) -> None:
    from orwatch.store.ledger import retention

    def answer_late(_request: httpx.Request) -> httpx.Response:
        with run.store.write() as connection:
            retention.raise_watermark(connection, TODAY)
        return usage(item(), item(days_ago(1)))

    api.on("first", answer_late)
    api.on("second", usage())

    assert run(concurrency=1).rows_written == 1
    assert len(dump(run.store, "usage_stats")) == 1


def test_another_sync_under_way_is_left_alone(run: Runner, api: FakeApi) -> None:
    with locks.job_lock(run.store, Job.SYNC, FakeClock()), pytest.raises(LockHeldError):
        run()

    assert api.requests == []
    assert dump(run.store, "job_runs") == []


def test_a_database_that_is_busy_throughout_is_passing_trouble(
    run: Runner, api: FakeApi, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "BUSY_TIMEOUT_SECONDS", 0.01)
    other = run.store
    run.store = open_store(database_url, NOW)

    with other.write(), pytest.raises(StoreUnavailableError) as raised:
        run()

    assert raised.value.exit_code == 75
    assert api.requests == []
    run.store.close()


def test_keys_are_asked_at_once_up_to_the_concurrency(run: Runner, api: FakeApi) -> None:
    at_once = threading.Barrier(2, timeout=30)

    def answer_together(_request: httpx.Request) -> httpx.Response:
        at_once.wait()  # passes only when both keys are asked at the same time
        return usage(item())

    api.on("first", answer_together)
    api.on("second", answer_together)

    assert run(concurrency=2).rows_written == 2


def test_a_key_that_comes_back_after_a_removal_is_read_from_where_it_left(
    run: Runner, api: FakeApi, clock: FakeClock
) -> None:
    api.on("first", usage())
    run(key_names=("first",))
    key_jobs.remove(run.store, "first", NOW, with_history=False)
    clock.advance(days=20)
    add_key(run.store, "first")

    run(key_names=("first",))

    assert api.windows("first")[1] == (TODAY.isoformat(), "2026-12-10")


def test_days_that_have_not_begun_do_not_hide_a_later_hole(
    run: Runner, api: FakeApi, clock: FakeClock
) -> None:
    api.on("first", usage())
    run.of(days_ago(3), date(2027, 6, 1), key_names=("first",))
    clock.advance(days=30)

    run(key_names=("first",))

    assert api.windows("first")[1] == (TODAY.isoformat(), "2026-12-20")


def test_a_clock_from_before_the_last_cleanup_is_wrong_though_nothing_is_asked(
    run: Runner, api: FakeApi, clock: FakeClock
) -> None:
    with run.store.write() as connection:
        retention.raise_watermark(connection, days_ago(365))
    clock.advance(days=-2500)

    with pytest.raises(WrongClockError, match="says 2020-01-16 12:30 UTC, but cleanup has removed the days"):
        run()

    assert api.requests == []
    assert [row[4] for row in dump(run.store, "job_runs")] == ["failed"]
