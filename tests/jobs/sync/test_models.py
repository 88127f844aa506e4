"""The public list of models: read once a day, whatever the key, and never in the way."""

from __future__ import annotations

from datetime import date, timedelta

import httpx
import pytest

from orwatch.jobs.sync.result import SyncKeyStatus
from orwatch.store.engine.database import Store
from orwatch.store.ledger import model_names
from tests.jobs.support import FakeApi, add_key, facts, item, refusal, usage
from tests.jobs.sync.account_server import GPT
from tests.jobs.sync.test_run import Runner
from tests.jobs.sync.test_run import run as run
from tests.store.support import scalar
from tests.support import TODAY

SOON = TODAY + timedelta(days=20)


def listed(retires_on: date | None) -> httpx.Response:
    model = {"id": GPT, "canonical_slug": f"{GPT}-1", "expiration_date": retires_on and str(retires_on)}
    return httpx.Response(200, json={"data": [model]})


def retiring(store: Store) -> list[tuple[str, date | None]]:
    with store.read() as connection:
        found = model_names.retiring_models(connection, TODAY)
    return [(model.name, model.retires_on) for model in found]


@pytest.fixture(autouse=True)
def _work(store: Store, api: FakeApi) -> None:
    add_key(store)
    api.on("work", usage(item(model=GPT)))
    api.models = listed(SOON)


def test_the_list_is_read_once_a_day_and_a_retirement_may_be_withdrawn(run: Runner, api: FakeApi) -> None:
    assert run().status == "ok"
    assert (api.models_asked, retiring(run.store)) == (1, [(GPT, SOON)])
    api.models = listed(None)
    run.clock.advance(hours=23)
    run()
    assert (api.models_asked, retiring(run.store)) == (1, [(GPT, SOON)])
    run.clock.advance(hours=1)
    run()
    assert (api.models_asked, retiring(run.store)) == (2, [])


@pytest.mark.parametrize(
    ("answer", "hours"),
    [
        (refusal(503), 1),
        (httpx.ConnectError("no route to host"), 1),
        (refusal(404), 24),
        (refusal(401), 24),
        (httpx.Response(200, text="<html>"), 24),
    ],
)
def test_a_failure_is_no_part_of_the_sync_and_is_tried_again(
    run: Runner, api: FakeApi, answer: httpx.Response | Exception, hours: int
) -> None:
    api.models = answer
    result = run()
    assert (result.status, result.exit_code) == ("ok", 0)
    assert scalar(run.store, "SELECT status FROM job_runs") == "ok"
    api.models = listed(SOON)
    run.clock.advance(hours=hours - 0.5)
    asked = api.models_asked
    run()
    assert api.models_asked == asked + (hours == 1)
    run.clock.advance(hours=0.5)
    run()
    assert retiring(run.store) == [(GPT, SOON)]


def test_it_is_not_read_for_a_part_of_the_keys_a_dry_run_or_where_no_models_are_known(
    run: Runner, api: FakeApi
) -> None:
    run(key_names=("work",))
    run(is_dry_run=True)
    api.on("work", refusal(401))
    assert run().keys[0].status is SyncKeyStatus.FAILED
    assert api.models_asked == 0


def test_counters_tell_no_models_and_ask_for_none(run: Runner, api: FakeApi) -> None:
    api.on("work", refusal(404), facts(usage_daily=1, usage_weekly=1, usage_monthly=1))
    assert run().status == "ok"
    assert api.models_asked == 0
