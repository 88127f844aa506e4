"""kill -9 at random moments of a sync."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import Answer, FakeServer, Request, Response
from orwatch.store.schema import SCHEMA_REVISION
from tests.end_to_end.support import (
    DEADLINE_SECONDS,
    Machine,
    copy_home,
    kill,
    make_keys,
    of_key,
    told,
    with_changed_costs,
)

KEYS = 30
DAYS = 10
ROUNDS = 10
LONGEST_WAIT_SECONDS = 0.02


def test_a_sync_that_is_killed_leaves_each_key_as_it_was_or_as_it_is_to_be(
    machine: Machine, tmp_path: Path, serve: Callable[[Answer], FakeServer]
) -> None:
    keys = make_keys(KEYS)
    api = FakeOpenRouter(keys, history_days=DAYS)
    machine.api_url = serve(api.answer).url
    machine.set_up(keys)
    assert machine.run("sync", "--days", f"{DAYS}").code == 0
    corrected = with_changed_costs(api.answer)
    old, new = told(api.answer, keys), told(corrected, keys)
    for_all_rounds = machine
    chance = random.Random(20261120)
    killed_with_keys_done = []

    for number in range(ROUNDS):
        account = Machine(tmp_path / f"round {number}", machine.api_url)
        copy_home(for_all_rounds.home, account)
        moment = chance.randrange(1, KEYS + 1)
        is_reached = threading.Event()
        server = serve(_noticing(corrected, moment, is_reached))
        account.api_url = server.url

        process = account.start("sync", "--days", f"{DAYS}")
        assert is_reached.wait(DEADLINE_SECONDS)
        time.sleep(chance.uniform(0, LONGEST_WAIT_SECONDS))
        was_killed = kill(process)

        assert account.is_whole()
        stored = account.stored()
        done = 0
        for key in keys:
            rows, before, after = (of_key(usage, key.name) for usage in (stored, old, new))
            assert rows in (before, after), f"{key.name} is torn in round {number}"
            done += rows == after != before
        statuses = account.query("SELECT status FROM job_runs ORDER BY id")
        # Killed after its last word, when it had only to go, it was over.
        was_over = statuses == [("ok",), ("ok",)] and stored == new
        was_killed = was_killed and not was_over
        if was_killed:
            killed_with_keys_done.append(done)
            assert statuses == [("ok",), ("running",)]
            if len(killed_with_keys_done) == 1:
                sync = account.run("status", "--json").json["jobs"][0]
                assert (sync["job"], sync["result"], sync["finished_at"]) == ("sync", "interrupted", None)

        again = account.run("sync", "--days", f"{DAYS}", "--json")
        assert (again.code, again.stderr, again.json["status"]) == (0, "", "ok")
        assert account.stored() == new
        assert account.query("SELECT status FROM job_runs ORDER BY id") == [
            ("ok",),
            ("interrupted" if was_killed else "ok",),
            ("ok",),
        ]

    assert len(killed_with_keys_done) >= ROUNDS // 2, "the syncs were over before they could be killed"
    assert len(set(killed_with_keys_done)) >= 3, "the syncs were all killed at the same place"


def _noticing(answer: Answer, number: int, is_reached: threading.Event) -> Answer:
    """Says when the request of that number has come, the first being 1."""
    lock = threading.Lock()
    count = 0

    def noticing(request: Request) -> Response:
        nonlocal count
        with lock:
            count += 1
            if count == number:
                is_reached.set()
        return answer(request)

    return noticing


def test_a_first_use_that_is_killed_is_finished_by_the_next(machine: Machine) -> None:
    chance = random.Random(20261121)
    was_killed = []

    for _ in range(3):
        for path in (machine.database, machine.env_file):
            path.unlink(missing_ok=True)
        process = machine.start("init")
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not machine.database.exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.3))
        was_killed.append(kill(process))

        finished = machine.run("init")

        assert (finished.code, "Encryption key: in " in finished.stdout) == (0, True)
        assert machine.is_whole()
        assert machine.query("SELECT version_num FROM alembic_version") == [(SCHEMA_REVISION,)]
        assert len(machine.encryption_key()) == 44

    assert True in was_killed
