"""An API that does not answer is one message with one count: in result, record, log and status."""

from __future__ import annotations

import logging

import httpx
import pytest

from orwatch.domain.runs import RunStatus
from orwatch.errors import StoreUnavailableError
from orwatch.jobs.runs.outage import ADVICE
from orwatch.jobs.status import run as status_job
from orwatch.openrouter.client import Client
from orwatch.store.engine.database import Store
from orwatch.store.keys import table as stored_keys
from tests.jobs.support import FakeApi, add_key, refusal, usage
from tests.jobs.sync.account_support import add_owner
from tests.jobs.sync.test_run import Runner
from tests.store.support import dump, get_key
from tests.support import API_URL, NOW, FakeClock

REFUSED = httpx.ConnectError("[Errno 111] Connection refused")
SENTENCE = f"the API at {API_URL} does not answer (connection refused)"


@pytest.fixture
def run(store: Store, client: Client, clock: FakeClock) -> Runner:
    return Runner(store, client, clock)


def add(store: Store, api: FakeApi, answer: httpx.Response | Exception, *names: str) -> None:
    for name in names:
        add_key(store, name)
        api.on(name, answer)


@pytest.mark.parametrize(
    ("number", "count"),
    [
        (1, "key0 could not be read"),
        (2, "none of 2 keys could be read"),
        (30, "none of 30 keys could be read"),
    ],
)
def test_a_dead_api_is_one_message_everywhere(
    run: Runner, api: FakeApi, caplog: pytest.LogCaptureFixture, number: int, count: str
) -> None:
    add(run.store, api, REFUSED, *[f"key{each}" for each in range(number)])

    with caplog.at_level(logging.WARNING, "orwatch"):
        result = run()

    message = f"{SENTENCE}: {count}. {ADVICE}"
    assert (result.status, result.exit_code, result.trouble) == (RunStatus.FAILED, 75, message)
    assert [record.getMessage() for record in caplog.records] == [message]
    assert dump(run.store, "job_runs")[0][6] == message
    assert {key.error for key in result.keys} == {SENTENCE}
    assert get_key(run.store, "key0").last_sync_error == SENTENCE
    assert status_job.run(run.store, NOW).problems == (f"the last sync failed: {message}",)


@pytest.mark.parametrize("trouble", [REFUSED, refusal(503)])
def test_a_dead_api_is_one_message_with_a_management_key_too(
    run: Runner, api: FakeApi, trouble: httpx.Response | Exception
) -> None:
    add_owner(run.store)
    api.on("ops", trouble)
    add(run.store, api, trouble, "work")

    result = run()

    assert "none of 2 keys could be read" in (result.trouble or "")
    assert (len({key.error for key in result.keys}), result.exit_code) == (1, 75)
    assert len(status_job.run(run.store, NOW).problems) == 1


def test_an_outage_in_the_middle_counts_the_keys_that_it_kept_from_being_read(
    run: Runner, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    add(run.store, api, usage(), "good")
    add(run.store, api, refusal(402), "poor")
    add(run.store, api, REFUSED, "a", "b", "c")

    with caplog.at_level(logging.WARNING, "orwatch"):
        result = run()

    message = f"{SENTENCE}: 3 of 5 keys could not be read. {ADVICE}"
    assert (result.status, result.exit_code, result.trouble) == (RunStatus.PARTIAL, 1, message)
    poor = "GET /usage answered 402: as the API says it"
    assert [record.getMessage() for record in caplog.records] == [poor, message]
    assert dump(run.store, "job_runs")[0][6] == f"{message} poor: {poor}"
    assert status_job.run(run.store, NOW).problems == (
        f"poor: the last sync: {poor}",
        f"3 keys: the last sync: {SENTENCE}",
    )


def test_one_failing_key_of_several_is_no_outage_and_is_named(
    run: Runner, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    add(run.store, api, usage(), "good", "better")
    add(run.store, api, refusal(503), "bad")

    with caplog.at_level(logging.WARNING, "orwatch"):
        result = run()

    error = "GET /usage answered 503: as the API says it (tried 5 times)"
    assert (result.trouble, result.keys[-1].error) == (None, error)
    assert [record.getMessage() for record in caplog.records] == [error]
    assert get_key(run.store, "bad").last_sync_error == error
    assert status_job.run(run.store, NOW).problems == (f"bad: the last sync: {error}",)


def test_a_full_disk_does_not_hide_the_outage(
    run: Runner, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_no_room(*_arguments: object) -> None:
        raise StoreUnavailableError("no room")

    add(run.store, api, REFUSED, "work")
    monkeypatch.setattr(stored_keys, "record_sync_failure", find_no_room)

    assert run().exit_code == 75
    assert get_key(run.store, "work").last_sync_error is None


def test_keys_that_are_read_again_have_no_problem_any_more(run: Runner, api: FakeApi) -> None:
    add(run.store, api, REFUSED, "a", "b", "c")
    run()
    for name in ("a", "b", "c"):
        api.on(name, usage())

    assert run().exit_code == 0
    assert status_job.run(run.store, NOW).problems == ()
