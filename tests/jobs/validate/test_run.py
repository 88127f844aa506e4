"""Validate: which answers deactivate a key, which bring one back, and which tell nothing."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from orwatch.domain.keys import InactiveReason, KeyKind
from orwatch.domain.layers import Layer
from orwatch.domain.runs import Job, RunStatus
from orwatch.errors import EncryptionKeyError, LockHeldError, UsageError
from orwatch.jobs.key import change as key_jobs
from orwatch.jobs.validate import run as validate_job
from orwatch.jobs.validate.result import ValidatedKey, ValidateResult, Verdict
from orwatch.openrouter.client import Client
from orwatch.secrets import Keyring
from orwatch.store.engine import locks
from orwatch.store.engine.database import Store
from orwatch.store.keys import table as stored_keys
from tests.jobs.support import ENCRYPTION_KEY, OTHER_ENCRYPTION_KEY, FakeApi, add_key, facts, refusal
from tests.store.support import dump, get_key, on_each_engine
from tests.support import NOW, FakeClock

REFUSED = "refused twice: GET /key answered 401: as the API says it"


class Runner:
    """Runs validates of one store."""

    def __init__(self, store: Store, client: Client, clock: FakeClock) -> None:
        self.store, self.client, self.clock = store, client, clock
        self.keyring = Keyring([ENCRYPTION_KEY])

    def __call__(self, **others: Any) -> ValidateResult:
        return validate_job.run(self.store, lambda: self.client, self.keyring, self.clock, **others)


@pytest.fixture
def run(store: Store, client: Client, clock: FakeClock) -> Runner:
    """A store with one key."""
    add_key(store)
    return Runner(store, client, clock)


def deactivate(run: Runner, api: FakeApi) -> None:
    api.on("work", refusal(401))
    run()
    api.requests.clear()


def warnings(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [
        (record.key, record.getMessage())  # type: ignore[attr-defined]
        for record in caplog.records
        if record.levelno == logging.WARNING and record.name.startswith("orwatch.jobs")
    ]


@on_each_engine
def test_a_key_that_answers_is_valid_and_its_facts_are_refreshed(run: Runner, api: FakeApi) -> None:
    told = {"limit": 100, "limit_remaining": -1.5, "budgets": [{"scope": "member"}]}
    api.on("work", facts(is_management_key=True, is_free_tier=False, **told))

    result = run()

    assert result == ValidateResult((ValidatedKey("work", Verdict.VALID),), 0)
    assert (result.status, result.exit_code) == (RunStatus.OK, 0)
    key = get_key(run.store)
    assert (key.last_validated_at, key.facts_read_at, key.facts.kind) == (NOW, NOW, KeyKind.MANAGEMENT)
    assert (key.facts.limit_remaining_usd, key.facts.usage_usd) == (Decimal("-1.5"), Decimal("25.5"))
    assert (key.facts.layers, key.layers_read_at) == ((Layer("member"),), NOW)


def test_two_refusals_deactivate_a_key_with_reason_time_warning_and_exit_code(
    run: Runner, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    api.on("work", refusal(401))

    result = run()

    assert result.keys == (ValidatedKey("work", Verdict.INVALID, f"deactivated, {REFUSED}"),)
    assert (result.status, result.exit_code) == (RunStatus.PARTIAL, 1)
    key = get_key(run.store)
    assert (key.is_active, key.inactive_reason) == (False, InactiveReason.INVALID)
    assert key.inactive_since == key.last_validated_at == run.clock.now()
    assert warnings(caplog) == [("work", f"invalid: deactivated, {REFUSED}")]
    assert len(api.asked("work")) == 2
    assert dump(run.store, "job_runs")[0][4:7:2] == ("partial", f"work: deactivated, {REFUSED}")


def test_the_second_question_is_asked_after_all_the_others_and_a_while_later(
    run: Runner, api: FakeApi
) -> None:
    add_key(run.store, "other")
    api.on("work", refusal(401))
    api.on("other", facts())

    waits: list[int] = []
    run(concurrency=1, refusal_wait_seconds=45.0, on_refused=waits.append)

    assert [name for name, _, _ in api.requests] == ["work", "other", "work"]
    assert (run.clock.slept, waits) == ([45.0], [1])


def test_two_refusals_are_thirty_seconds_apart_where_nothing_else_is_set(run: Runner, api: FakeApi) -> None:
    api.on("work", refusal(401))

    run()

    assert run.clock.slept == [30.0]


def add_keys(run: Runner, api: FakeApi, *names: str) -> None:
    for name in names:
        add_key(run.store, name)
    for name in ("work", *names):
        api.on(name, refusal(401))


def test_keys_that_are_all_refused_stay_active_until_a_run_of_all_keys_finds_it_so_an_hour_later(
    run: Runner, api: FakeApi
) -> None:
    names = ("work", "second", "third", "fourth")
    add_keys(run, api, *names[1:])
    untold = f"not deactivated, though {REFUSED}"

    first = run()

    assert {(key.verdict, key.detail) for key in first.keys} == {(Verdict.UNKNOWN, untold)}
    assert (first.is_all_refused, first.status, first.exit_code) == (True, RunStatus.FAILED, 1)
    assert all(get_key(run.store, name).is_active for name in names)
    # A look at one key is no second opinion of them all.
    assert run(key_names=("fourth",)).count(Verdict.INVALID) == 1

    # Nor is a second run at once.
    assert (run().is_all_refused, get_key(run.store).is_active) == (True, True)
    run.clock.advance(hours=1)

    second = run()

    assert second.count(Verdict.INVALID) == 4
    assert not any(get_key(run.store, name).is_active for name in names)


@pytest.mark.parametrize(
    ("names", "answer", "deactivated"),
    [
        (["second"], refusal(401), 2),  # two are few enough to have ended at once
        (["second", "third", "fourth"], facts(), 3),
        (["second", "third", "fourth"], refusal(402), 3),  # the API knows this key
        (["second", "third", "fourth"], refusal(503), 0),
        (["second", "third"], refusal(503), 2),
    ],
)
def test_refusals_are_believed_where_few_are_refused_or_another_key_is_known(
    run: Runner, api: FakeApi, names: list[str], answer: httpx.Response, deactivated: int
) -> None:
    add_keys(run, api, *names)
    api.on(names[-1], answer)

    result = run()

    assert result.count(Verdict.INVALID) == deactivated
    assert result.is_all_refused is (deactivated == 0)


def test_after_a_run_that_found_keys_good_three_refusals_at_once_are_doubted_again(
    run: Runner, api: FakeApi
) -> None:
    add_keys(run, api, "second", "third")
    run()
    for name in ("work", "second", "third"):
        api.on(name, facts())
    run()
    add_keys(run, api)
    for name in ("second", "third"):
        api.on(name, refusal(401))

    assert run().is_all_refused
    assert get_key(run.store).is_active


def test_one_refusal_in_passing_changes_nothing(
    run: Runner, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    api.on("work", refusal(401), facts())

    result = run()

    assert result.keys == (ValidatedKey("work", Verdict.VALID),)
    assert get_key(run.store).is_active
    assert (result.exit_code, warnings(caplog)) == (0, [])


TELLS_NOTHING = [
    refusal(402),
    refusal(403),
    refusal(404),
    refusal(408),
    refusal(429),
    refusal(500),
    refusal(503),
    httpx.ReadTimeout("slow"),
    httpx.ConnectError("refused"),
    httpx.Response(200, text="<html>"),
]


@pytest.mark.parametrize(
    "answer", TELLS_NOTHING, ids=lambda answer: getattr(answer, "status_code", repr(answer))
)
@pytest.mark.parametrize("was_refused_before", [False, True])
def test_an_answer_that_tells_nothing_about_the_key_leaves_it_as_it_is(
    run: Runner, api: FakeApi, answer: httpx.Response | Exception, was_refused_before: bool
) -> None:
    before = get_key(run.store)
    api.on("work", *([refusal(401)] if was_refused_before else []), answer)

    result = run()

    assert [key.verdict for key in result.keys] == [Verdict.UNKNOWN]
    assert result.count(Verdict.UNKNOWN) == 1
    assert result.status is RunStatus.FAILED
    assert get_key(run.store) == before


@pytest.mark.parametrize(
    ("answers", "status", "exit_code"),
    [
        ([facts(), facts()], RunStatus.OK, 0),
        ([facts(), refusal(500)], RunStatus.PARTIAL, 0),
        ([facts(), refusal(402)], RunStatus.PARTIAL, 0),
        ([facts(), refusal(401)], RunStatus.PARTIAL, 1),
        ([refusal(401), refusal(500)], RunStatus.PARTIAL, 1),
        ([refusal(500), refusal(429)], RunStatus.FAILED, 75),
        ([refusal(402), refusal(403)], RunStatus.FAILED, 1),
    ],
)
def test_the_exit_code_says_whether_a_person_or_time_is_needed(
    run: Runner, api: FakeApi, answers: list[httpx.Response], status: RunStatus, exit_code: int
) -> None:
    add_key(run.store, "other")
    for name, answer in zip(("work", "other"), answers, strict=True):
        api.on(name, answer)

    result = run()

    assert (result.status, result.exit_code) == (status, exit_code)
    assert dump(run.store, "job_runs")[0][4] == status


def test_a_key_that_validate_deactivated_comes_back_when_it_answers_again(run: Runner, api: FakeApi) -> None:
    deactivate(run, api)
    api.on("work", facts(limit=7))

    result = run()

    key = get_key(run.store)
    assert result.keys == (ValidatedKey("work", Verdict.REACTIVATED),)
    assert (key.is_active, key.inactive_reason, key.inactive_since) == (True, None, None)
    assert (key.facts.limit_usd, result.exit_code) == (Decimal(7), 0)


def test_a_key_that_stays_invalid_is_told_every_time_and_keeps_the_time_it_became_so(
    run: Runner, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    deactivate(run, api)
    since = get_key(run.store).inactive_since
    run.clock.advance(days=1)

    result = run()

    key = get_key(run.store)
    again = REFUSED.replace("twice", "again")
    assert result.keys[0].detail == f"still inactive, {again}"
    assert result.exit_code == 1
    assert (key.inactive_since, key.last_validated_at) == (since, run.clock.now())
    assert warnings(caplog)[-1] == ("work", f"invalid: still inactive, {again}")
    assert len(api.asked("work")) == 1


def test_a_look_at_a_key_that_was_invalid_before_warns_of_nothing_new(
    run: Runner, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    deactivate(run, api)
    caplog.clear()

    assert run(key_names=("work",)).exit_code == 1
    assert warnings(caplog) == []


def test_what_was_deactivated_within_a_day_is_to_be_asked_about_again(run: Runner, api: FakeApi) -> None:
    add_key(run.store, "other")
    api.on("other", facts())
    deactivate(run, api)
    key_jobs.disable(run.store, "other", NOW)
    recent = validate_job.recently_deactivated

    assert recent(run.store, run.clock.now() + timedelta(hours=23, minutes=59)) == ("work",)
    assert recent(run.store, run.clock.now() + timedelta(days=1)) == ()


@pytest.mark.parametrize("answer", [facts(), refusal(401)], ids=["200", "401"])
def test_a_key_that_a_person_disabled_stays_so_and_is_not_asked_about(
    run: Runner, api: FakeApi, answer: httpx.Response
) -> None:
    api.on("work", answer)
    key_jobs.disable(run.store, "work", NOW)
    before = get_key(run.store)

    result = run()

    assert (result.keys, result.exit_code, api.requests) == ((), 0, [])
    assert get_key(run.store) == before


@pytest.mark.parametrize("was_invalid", [False, True])
@pytest.mark.parametrize("answer", [facts(), refusal(401)], ids=["200", "401"])
def test_a_key_that_a_person_disables_while_it_is_asked_about_stays_disabled(
    run: Runner, api: FakeApi, answer: httpx.Response, was_invalid: bool
) -> None:
    if was_invalid:
        deactivate(run, api)

    def answer_late(_request: httpx.Request) -> httpx.Response:
        key_jobs.disable(run.store, "work", NOW)
        return answer

    api.on("work", answer_late)
    run()

    key = get_key(run.store)
    assert (key.is_active, key.inactive_reason) == (False, InactiveReason.DISABLED)


@pytest.mark.parametrize("was_invalid", [False, True])
@pytest.mark.parametrize("answer", [facts(), refusal(401)], ids=["200", "401"])
@pytest.mark.parametrize("with_history", [False, True])
def test_a_key_that_is_removed_while_it_is_asked_about_stays_removed(
    run: Runner, api: FakeApi, answer: httpx.Response, was_invalid: bool, with_history: bool
) -> None:
    if was_invalid:
        deactivate(run, api)
    removed: list[object] = []

    def answer_late(_request: httpx.Request) -> httpx.Response:
        if not removed:
            key_jobs.remove(run.store, "work", NOW, with_history=with_history)
            removed.append(dump(run.store, "api_keys"))
        return httpx.Response(answer.status_code, content=answer.content)

    api.on("work", answer_late)
    run()

    assert removed == [dump(run.store, "api_keys")]


@pytest.mark.parametrize("was_valid", [False, True])
def test_a_key_that_a_person_enables_while_it_is_asked_about_is_judged_by_the_answer(
    run: Runner, api: FakeApi, was_valid: bool
) -> None:
    deactivate(run, api)

    def answer_late(_request: httpx.Request) -> httpx.Response:
        key_jobs.enable(run.store, "work")
        return facts() if was_valid else refusal(401)

    api.on("work", answer_late)
    run()

    assert get_key(run.store).is_active is was_valid


@pytest.mark.parametrize(
    ("expires_in", "warning"),
    [
        (timedelta(days=8), None),
        (timedelta(days=7, seconds=1), None),
        (timedelta(days=7), "the key expires at 2026-11-27 12:30 UTC"),
        (timedelta(hours=1), "the key expires at 2026-11-20 13:30 UTC"),
        (timedelta(0), "the key expired at 2026-11-20 12:30 UTC"),
        (timedelta(days=-400), "the key expired at 2025-10-16 12:30 UTC"),
    ],
)
def test_a_key_that_has_expired_or_soon_will_has_a_warning_and_its_alert_says_it(
    run: Runner,
    api: FakeApi,
    caplog: pytest.LogCaptureFixture,
    expires_in: timedelta,
    warning: str | None,
) -> None:
    api.on("work", facts(expires_at=(NOW + expires_in).isoformat()))

    result = run()

    assert result.keys == (ValidatedKey("work", Verdict.VALID, warning=warning),)
    assert result.exit_code == 0
    assert warnings(caplog) == []


def test_results_come_in_the_order_of_the_keys_and_a_run_is_recorded_with_its_counts(
    run: Runner, api: FakeApi
) -> None:
    add_key(run.store, "other")
    api.on("work", refusal(401))
    api.on("other", facts())

    assert [key.name for key in run().keys] == ["work", "other"]

    counts = json.loads(dump(run.store, "job_runs")[0][5])
    assert counts == {"valid": 1, "reactivated": 0, "invalid": 1, "unknown": 0}


def test_only_the_named_keys_are_asked_about(run: Runner, api: FakeApi) -> None:
    add_key(run.store, "other")
    api.on("other", facts())
    api.on("work", facts())

    assert [key.name for key in run(key_names=("other",)).keys] == ["other"]
    assert api.asked("work") == []
    with pytest.raises(UsageError, match="no key named 'nobody'"):
        run(key_names=("nobody",))
    assert len(dump(run.store, "job_runs")) == 1


def test_a_secret_that_does_not_open_tells_nothing_about_its_key(run: Runner, api: FakeApi) -> None:
    add_key(run.store, "other")
    api.on("other", facts())
    with run.store.write() as connection:
        stored_keys.replace_secrets(connection, {1: "no token"})

    result = run()

    assert [key.verdict for key in result.keys] == [Verdict.UNKNOWN, Verdict.VALID]
    assert "does not open the stored secret" in (result.keys[0].detail or "")
    assert result.exit_code == 1
    assert get_key(run.store).is_active


def test_an_encryption_key_that_opens_nothing_ends_it_before_anything_is_asked(
    run: Runner, api: FakeApi
) -> None:
    run.keyring = Keyring([OTHER_ENCRYPTION_KEY])

    with pytest.raises(EncryptionKeyError):
        run()

    assert api.requests == []
    assert get_key(run.store).is_active


def test_a_rotation_that_began_before_the_secrets_were_read_does_not_end_it(
    run: Runner, api: FakeApi
) -> None:
    run.keyring = Keyring([OTHER_ENCRYPTION_KEY], lambda: [ENCRYPTION_KEY])
    api.on("work", facts())

    assert run().exit_code == 0


def test_without_keys_there_is_nothing_to_do(store: Store, client: Client, clock: FakeClock) -> None:
    result = validate_job.run(store, lambda: client, Keyring([]), clock)

    assert (result.keys, result.status, result.exit_code) == ((), RunStatus.OK, 0)


def test_another_validate_under_way_is_left_alone(run: Runner) -> None:
    with locks.job_lock(run.store, Job.VALIDATE, FakeClock()), pytest.raises(LockHeldError):
        run()


def test_an_api_that_does_not_answer_is_one_message_with_one_count(
    store: Store, client: Client, clock: FakeClock, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(5):
        add_key(store, f"key{number}")
        api.on(f"key{number}", httpx.ConnectTimeout("timed out"))

    with caplog.at_level(logging.INFO, "orwatch.jobs"):
        result = Runner(store, client, clock)()

    assert result.trouble is not None
    assert "does not answer (no connection in time): none of 5 keys could be checked. Is " in result.trouble
    assert (result.exit_code, result.unknown) == (75, 5)
    assert [record.getMessage() for record in caplog.records] == [result.trouble]
    assert dump(store, "job_runs")[0][6] == result.trouble
