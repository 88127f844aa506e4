"""Runs that are told to stop, that were missed, and that somebody waits to hear of."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import pytest

from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import Answer, FakeServer, Request, Response
from orwatch.demo.usage import FakeKey
from tests.end_to_end import dates
from tests.end_to_end.support import NO_ALERTS, Machine, days_ago, finish, of_key, told

Serve: TypeAlias = Callable[[Answer], FakeServer]


@pytest.fixture
def hanging(api: FakeOpenRouter, serve: Serve) -> tuple[FakeServer, threading.Event]:
    """A server that answers the first key and lets the others wait; and the event that ends their wait."""
    released = threading.Event()
    answered: list[Request] = []

    def answer(request: Request) -> Response:
        answered.append(request)
        if len(answered) > 1:
            released.wait(60)
        return api.answer(request)

    return serve(answer), released


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_a_run_cleanly_and_soon(
    watching: Machine,
    api: FakeOpenRouter,
    keys: tuple[FakeKey, ...],
    hanging: tuple[FakeServer, threading.Event],
    number: signal.Signals,
) -> None:
    server, released = hanging
    watching.api_url = server.url
    process = watching.start("sync", ORWATCH_CONCURRENCY="1")
    while not watching.query("SELECT 1 FROM usage_stats LIMIT 1"):
        time.sleep(0.02)
        assert process.poll() is None

    stopped_at = time.monotonic()
    process.send_signal(number)
    finished = finish(process)

    assert time.monotonic() - stopped_at < 10
    released.set()
    assert finished.code == 128 + number
    assert f"stopped by {number.name}" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert watching.query("SELECT status, error FROM job_runs") == [
        ("interrupted", f"stopped by {number.name}")
    ]
    assert watching.is_whole()
    # The first key is written whole, and the lock is gone.
    week = told(api.answer, keys, since=days_ago(6))
    assert watching.stored() == of_key(week, keys[0].name)
    assert watching.run("sync").code == 0
    assert watching.stored() == week


@pytest.mark.real_clock
def test_a_missed_validate_and_cleanup_are_run_after_the_sync_and_once_only(watching: Machine) -> None:
    watching.settings |= NO_ALERTS
    week_ago = int((dates.now() - timedelta(days=8)).timestamp())
    watching.query("UPDATE ledger_state SET created_at = ?", week_ago)

    assert watching.run("sync", "--catch-up", "--quiet").code == 0
    jobs = [job for (job,) in watching.query("SELECT job FROM job_runs ORDER BY id")]
    assert jobs == ["sync", "validate", "cleanup"]

    assert watching.run("sync", "--catch-up", "--quiet").code == 0
    jobs = [job for (job,) in watching.query("SELECT job FROM job_runs ORDER BY id")]
    assert jobs == ["sync", "validate", "cleanup", "sync"]


@pytest.mark.real_clock
def test_a_fresh_installation_has_missed_nothing(watching: Machine) -> None:
    assert watching.run("sync", "--catch-up").code == 0
    assert watching.query("SELECT job FROM job_runs") == [("sync",)]


def test_a_heartbeat_hears_of_each_run(watching: Machine, serve: Serve) -> None:
    beats = serve(lambda _request: Response(200, b"OK"))
    address = f"{beats.url}/orwatch-{{job}}"

    assert watching.run("sync", ORWATCH_HEARTBEAT_URL=address).code == 0

    start, end = [request for _, request in beats.received]
    assert (start.method, start.path, start.body) == ("POST", "/orwatch-sync/start", b"")
    assert (end.path, end.body[:3]) == ("/orwatch-sync/0", b"ok:")


def test_a_heartbeat_hears_nothing_of_a_run_for_single_keys(watching: Machine, serve: Serve) -> None:
    beats = serve(lambda _request: Response(200, b"OK"))
    name = watching.run("key", "list", "--json").json["keys"][0]["name"]
    for job, key, code in ("sync", name, 0), ("validate", name, 0), ("sync", "nobody", 2):
        assert watching.run(job, "--key", key, ORWATCH_HEARTBEAT_URL=beats.url).code == code
    assert beats.received == ()


def test_a_heartbeat_that_nobody_answers_changes_nothing(watching: Machine) -> None:
    finished = watching.run("sync", ORWATCH_HEARTBEAT_URL="http://127.0.0.1:9/secret")
    assert finished.code == 0
    assert "secret" not in finished.stdout + finished.stderr


def test_a_second_run_can_wait_for_the_first(
    watching: Machine, hanging: tuple[FakeServer, threading.Event]
) -> None:
    server, released = hanging
    watching.api_url = server.url
    first = watching.start("sync")
    while len(server.received) < 2:
        time.sleep(0.02)
    second = watching.start("sync", "--wait", "60")
    time.sleep(1.5)
    assert second.poll() is None

    released.set()

    assert finish(first).code == 0
    assert finish(second).code == 0
    assert watching.query("SELECT status FROM job_runs") == [("ok",), ("ok",)]


def test_the_history_of_runs_is_told(synced: Machine, tmp_path: Path) -> None:
    synced.run("validate")

    finished = synced.run("runs", "--json")
    assert (finished.code, finished.stderr) == (0, "")
    listed = finished.json["runs"]
    assert [(run["job"], run["result"]) for run in listed] == [("validate", "ok"), ("sync", "ok")]
    assert listed[1]["counts"]["keys"] == 3
    assert [run["job"] for run in synced.run("runs", "--job", "sync", "--json").json["runs"]] == ["sync"]
    shown = synced.run("runs", "--limit", "1").stdout
    assert "validate" in shown
    assert "sync" not in shown
