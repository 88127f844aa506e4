"""Doctor as a whole: it goes on where something is broken, and changes nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import respx

from orwatch.config.settings import Settings
from orwatch.errors import SettingsError, StoreUnavailableError
from orwatch.jobs.cron.result import CronShowResult, ScheduleState
from orwatch.jobs.doctor import run as doctor_job
from orwatch.jobs.doctor.result import Check, CheckArea, CheckStatus, DoctorResult
from orwatch.jobs.doctor.run import Surroundings
from orwatch.jobs.key import replace as replacing
from orwatch.openrouter.client import Client
from orwatch.openrouter.outage import Patience
from orwatch.secrets import Keyring
from orwatch.store.engine.database import Store
from orwatch.store.keys import accounts
from tests.jobs.doctor.support import GOOD_SCHEDULE, INSTALLED, dated, environ_of, findings, much_room, told
from tests.jobs.doctor.test_totals import write
from tests.jobs.support import ENCRYPTION_KEY, OTHER_ENCRYPTION_KEY, FakeApi, add_key, days_ago
from tests.store.support import execute, path_of, without_transaction
from tests.support import API_URL, NOW, TODAY, FakeClock, no_limit, secret_of

# The client of the command gives up soon, and so does this one.
PATIENCE = Patience(max_tries=2, max_seconds=20)


@pytest.fixture
def engine() -> str:
    """What doctor finds of a file is told here; of a server, in test_doctor_database.py."""
    return "sqlite"


@pytest.fixture
def surroundings(store: Store, tmp_path: Path, clock: FakeClock) -> Surroundings:
    """A machine in order: a key with $3 this month, all read, and a cron that runs."""
    add_key(store)
    write(store, {days_ago(1): "2", TODAY: "1"}, since=days_ago(30))
    environ = environ_of(store, tmp_path, ENCRYPTION_KEY)

    def open_client(settings: Settings, store: Store | None) -> Client:
        return Client(API_URL, clock=clock, wait_for_turn=no_limit, patience=PATIENCE, jitter=lambda: 0.5)

    return Surroundings(environ, None, lambda _settings: GOOD_SCHEDULE, open_client, free_bytes=much_room)


def with_environ(surroundings: Surroundings, **changes: str) -> Surroundings:
    return replace(surroundings, environ={**surroundings.environ, **changes})


def in_area(result: DoctorResult, area: CheckArea) -> list[Check]:
    return [check for check in result.checks if check.area is area]


def everything(store: Store) -> list[str]:
    with without_transaction(store) as connection:
        return list(connection.iterdump())


def good_answer(api: FakeApi) -> None:
    counters = {"usage": 3, "usage_daily": 1, "usage_monthly": 3}
    api.on("work", dated(counters))


def test_a_machine_in_order_has_no_finding_and_nothing_is_written(
    surroundings: Surroundings, store: Store, clock: FakeClock, api: FakeApi
) -> None:
    good_answer(api)
    before = everything(store)
    result = doctor_job.run(surroundings, clock)
    assert (findings(result.checks), result.exit_code) == ([], 0)
    assert everything(store) == before
    assert {check.status for check in result.checks} == {CheckStatus.OK}
    areas = [check.area for check in result.checks]
    assert areas == sorted(areas, key=list(CheckArea).index)
    assert Counter(areas) == {
        CheckArea.SETTINGS: 4,
        CheckArea.DATABASE: 5,
        CheckArea.SECRETS: 1,
        CheckArea.API: 3,
        CheckArea.TOTALS: 2,
        CheckArea.DAYS: 1,
        CheckArea.JOBS: 4,
    }


def test_a_finding_is_exit_1(surroundings: Surroundings, clock: FakeClock, api: FakeApi) -> None:
    good_answer(api)
    shown = CronShowResult(NOW, (replace(INSTALLED, state=ScheduleState.DIFFERS),))
    result = doctor_job.run(replace(surroundings, show_schedule=lambda _settings: shown), clock)
    assert result.exit_code == 1
    assert [check.subject for check in result.findings] == ["user-crontab"]


def test_settings_that_cannot_be_read_leave_nothing_else_to_look_at(
    surroundings: Surroundings, clock: FakeClock
) -> None:
    Path(surroundings.environ["ORWATCH_ENV_FILE"]).write_bytes(b"\xff")
    result = doctor_job.run(surroundings, clock)
    assert [subject for subject, _ in findings(result.checks)] == ["env file"]
    skipped = [check.area for check in result.checks if check.status is CheckStatus.SKIPPED]
    assert skipped == list(CheckArea)[1:]


def test_a_wrong_setting_keeps_nothing_else_from_being_checked(
    surroundings: Surroundings, clock: FakeClock, api: FakeApi
) -> None:
    good_answer(api)
    result = doctor_job.run(with_environ(surroundings, ORWATCH_CONCURRENCY="none"), clock)
    assert [subject for subject, _ in findings(result.checks)] == ["ORWATCH_CONCURRENCY"]
    assert told(in_area(result, CheckArea.TOTALS))[0] == (
        "work",
        "ok",
        "this month: $3.00 stored, $3.00 at OpenRouter",
    )


@pytest.mark.parametrize("name", ["ORWATCH_DATABASE_URL", "ORWATCH_DATABASE_URL_FILE"])
def test_a_wrong_database_setting_leaves_the_api_to_look_at(
    surroundings: Surroundings, clock: FakeClock, respx_mock: respx.MockRouter, name: str
) -> None:
    respx_mock.get(f"{API_URL}/models").mock(return_value=dated({}))
    result = doctor_job.run(with_environ(surroundings, **{name: "sqlite:///here.db"}), clock)
    assert [subject for subject, _ in findings(result.checks)] == [name]
    assert told(in_area(result, CheckArea.DATABASE)) == [
        ("database", "skipped", "not checked: ORWATCH_DATABASE_URL is wrong")
    ]
    assert [check.status.value for check in in_area(result, CheckArea.API)] == ["ok", "ok"]
    for area in (CheckArea.SECRETS, CheckArea.TOTALS, CheckArea.DAYS):
        assert told(in_area(result, area)) == [
            (area.value, "skipped", "not checked: the database cannot be read")
        ]


def test_a_wrong_address_is_not_asked(surroundings: Surroundings, clock: FakeClock, api: FakeApi) -> None:
    result = doctor_job.run(
        with_environ(surroundings, ORWATCH_OPENROUTER_API_URL="http://example.com"), clock
    )
    assert [subject for subject, _ in findings(result.checks)] == ["ORWATCH_OPENROUTER_API_URL"]
    assert told(in_area(result, CheckArea.API)) == [
        ("api", "skipped", "not checked: ORWATCH_OPENROUTER_API_URL is wrong")
    ]
    assert told(in_area(result, CheckArea.TOTALS)) == [
        ("totals", "skipped", "not checked: the API reported nothing about any key")
    ]
    assert api.requests == []


def test_a_database_that_is_none_is_a_finding(
    surroundings: Surroundings, store: Store, clock: FakeClock, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(f"{API_URL}/models").mock(return_value=dated({}))
    store.close()
    path_of(store).write_bytes(b"no database" * 1000)
    for suffix in ("-wal", "-shm"):
        path_of(store).with_name(path_of(store).name + suffix).unlink(missing_ok=True)
    result = doctor_job.run(surroundings, clock)
    assert [subject for subject, _ in findings(result.checks)] == ["database"]
    assert "file is not a database" in findings(result.checks)[0][1]


def test_without_a_network_the_rest_is_checked(
    surroundings: Surroundings, clock: FakeClock, api: FakeApi
) -> None:
    api.on("work", httpx.ConnectError("no route to host"))
    result = doctor_job.run(surroundings, clock)
    assert findings(result.checks) == [
        ("API", f"the API at {API_URL} does not answer (no route to host)"),
    ]
    assert len(api.requests) == 2
    assert told(in_area(result, CheckArea.TOTALS))[0][1] == "skipped"
    assert told(in_area(result, CheckArea.DAYS)) == [("work", "ok", "every day since 2026-10-21 was read")]


def test_with_a_wrong_encryption_key_the_rest_is_checked(
    surroundings: Surroundings, clock: FakeClock, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(f"{API_URL}/models").mock(return_value=dated({}))
    result = doctor_job.run(with_environ(surroundings, ORWATCH_ENCRYPTION_KEY=OTHER_ENCRYPTION_KEY), clock)
    assert findings(result.checks) == [("encryption key", "it does not open the secrets of work")]
    assert OTHER_ENCRYPTION_KEY not in str(result)
    assert told(in_area(result, CheckArea.API))[2] == (
        "work",
        "skipped",
        "not asked about: its secret cannot be opened",
    )


def test_a_client_that_cannot_be_made_is_a_finding(surroundings: Surroundings, clock: FakeClock) -> None:
    def refuse(settings: Settings, store: Store | None) -> Client:
        raise SettingsError("cannot use the environment's proxy: HTTPS_PROXY is not an address.")

    result = doctor_job.run(replace(surroundings, open_client=refuse), clock)
    assert findings(result.checks) == [
        ("API", "cannot use the environment's proxy: HTTPS_PROXY is not an address.")
    ]


def test_a_database_that_fails_in_the_middle_is_a_finding(
    surroundings: Surroundings, clock: FakeClock, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StoreUnavailableError("the database is locked.")

    monkeypatch.setattr(doctor_job, "read_stored", refuse)
    good_answer(api)
    result = doctor_job.run(surroundings, clock)
    assert findings(result.checks) == [("reading", "the database is locked.")]
    assert [check.subject for check in in_area(result, CheckArea.JOBS)] == ["user-crontab"]


def test_totals_are_not_compared_across_midnight(
    surroundings: Surroundings, clock: FakeClock, api: FakeApi
) -> None:
    clock.advance(hours=11, minutes=29, seconds=59)

    def answer_late(request: httpx.Request) -> httpx.Response:
        clock.advance(seconds=1)
        return dated({"usage": 3, "usage_daily": 0, "usage_monthly": 3}, clock.now())

    api.on("work", answer_late)
    result = doctor_job.run(surroundings, clock)
    assert [check.status for check in in_area(result, CheckArea.TOTALS)] == [CheckStatus.SKIPPED]


def test_totals_are_not_compared_with_those_of_another_day(
    surroundings: Surroundings, clock: FakeClock, api: FakeApi
) -> None:
    api.on("work", dated({"usage": 3, "usage_daily": 0, "usage_monthly": 3}, NOW + timedelta(hours=20)))
    result = doctor_job.run(surroundings, clock)
    assert [subject for subject, _ in findings(result.checks)] == ["clock"]
    assert [check.status for check in in_area(result, CheckArea.TOTALS)] == [CheckStatus.SKIPPED]


def test_deleted_keys_are_not_asked_about(
    surroundings: Surroundings, store: Store, clock: FakeClock, api: FakeApi
) -> None:
    good_answer(api)
    owner = add_key(store, "ops")
    with store.write() as connection:
        accounts.update_account(connection, owner.id, account_id="one")
    execute(store, "UPDATE api_keys SET account_key_id = 1, deleted_at = 1 WHERE id = ?", owner.id)
    result = doctor_job.run(surroundings, clock)
    assert [check.subject for check in in_area(result, CheckArea.API)] == ["API", "clock", "work"]


def test_of_a_replaced_key_the_secret_in_use_is_asked_and_compared(
    surroundings: Surroundings, store: Store, clock: FakeClock, api: FakeApi
) -> None:
    replacing.replace(store, Keyring([ENCRYPTION_KEY]), "work", secret_of("new"), None, NOW)
    write(store, {TODAY: "4"}, key_id=2, since=days_ago(30))
    api.on("new", dated({"usage": 4, "usage_daily": 4, "usage_monthly": 4}))

    result = doctor_job.run(surroundings, clock)

    assert (findings(result.checks), result.exit_code) == ([], 0)
    assert {asker for asker, _, _ in api.requests} == {"new"}
    assert [check.message for check in in_area(result, CheckArea.SECRETS)] == ["it opens every secret (2)"]
    assert [check.subject for check in in_area(result, CheckArea.DAYS)] == ["work"]
    assert told(in_area(result, CheckArea.TOTALS))[0] == (
        "work",
        "ok",
        "this month: $4.00 stored, $4.00 at OpenRouter",
    )
