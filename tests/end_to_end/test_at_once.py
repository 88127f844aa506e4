"""Several programs on one database at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import Answer, FakeServer, Request, Response
from orwatch.demo.usage import FakeKey
from tests.end_to_end.support import DEADLINE_SECONDS, NO_ALERTS, Machine, finish, make_keys, told

Serve = Callable[[Answer], FakeServer]

LIMIT = 20
WINDOW_SECONDS = 60.0
EARLIER = 8  # requests, so many seconds before the others
EARLIER_SECONDS = 45.0


class Gate:
    """An API that answers nobody until the gate is opened."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.is_reached = threading.Event()
        self._is_open = threading.Event()

    def answer(self, request: Request) -> Response:
        self.is_reached.set()
        self._is_open.wait(DEADLINE_SECONDS)
        return self._answer(request)

    def open(self) -> None:
        self._is_open.set()


def test_of_two_syncs_one_does_the_work_and_the_other_says_that_it_is_done(
    watching: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...], serve: Serve
) -> None:
    gate = Gate(api.answer)
    server = serve(gate.answer)
    watching.api_url = server.url
    first = watching.start("sync", "--days", "30", "--json")
    try:
        assert gate.is_reached.wait(DEADLINE_SECONDS)
        second = watching.run("sync")
        quiet = watching.run("sync", "--quiet")
        status = watching.run("status", "--json")
    finally:
        gate.open()
    finished = finish(first)

    assert (finished.code, finished.stderr, finished.json["status"]) == (0, "", "ok")
    assert (second.code, second.stdout) == (75, "")
    holder = f"orwatch: another sync of this database is running (process {first.pid}, started 0 min ago)"
    assert second.stderr == f"{holder}; nothing was done.\n"
    assert (quiet.code, quiet.stdout, quiet.stderr) == (75, "", "")
    # Nobody else has to wait.
    assert status.json["jobs"][0]["result"] == "running"
    assert watching.stored() == told(api.answer, keys)
    assert len(server.received) == len(keys)
    assert watching.query("SELECT status FROM job_runs") == [("ok",)]


def test_two_syncs_that_start_at_once_never_count_anything_twice(
    watching: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...]
) -> None:
    started = [watching.start("sync", "--days", "30", "--quiet") for _ in range(3)]
    finished = [finish(process) for process in started]

    codes = sorted(each.code for each in finished)
    assert codes[0] == 0
    assert set(codes) <= {0, 75}
    assert [each.stdout + each.stderr for each in finished] == [""] * 3
    assert watching.stored() == told(api.answer, keys)


def test_the_first_use_may_come_from_several_commands_at_once(
    machine: Machine, keys: tuple[FakeKey, ...]
) -> None:
    started = [machine.start("key", "add", key.name, "--no-check", stdin=-1) for key in keys]
    finished = [finish(process, key.secret) for process, key in zip(started, keys, strict=True)]

    assert [each.code for each in finished] == [0, 0, 0], finished
    assert "Traceback" not in "".join(each.stderr for each in finished)
    # Only one of them made the encryption key, and it opens all the secrets.
    assert sum("wrote a new encryption key" in each.stderr for each in finished) == 1
    assert machine.run("validate").code == 0


def test_sync_and_validate_together_keep_to_the_rate_limit(machine: Machine, serve: Serve) -> None:
    machine.settings |= NO_ALERTS
    keys = make_keys(EARLIER)
    api = FakeOpenRouter(keys)
    troubles = [Response(503, b"", {"Retry-After": "0"})] * 2
    server = serve(api.answer)
    machine.api_url = server.url
    machine.set_up(keys)
    limit = {"ORWATCH_RATE_LIMIT_PER_MINUTE": str(LIMIT)}
    # What another run has asked makes the wait shorter than a minute.
    assert machine.run("validate", **limit).code == 0
    assert len(server.received) == EARLIER

    def answer(request: Request) -> Response:
        return troubles.pop() if troubles else api.answer(request)

    server = serve(answer)
    machine.api_url = server.url
    machine.query("UPDATE request_log SET started_at_ms = ?", int((time.time() - EARLIER_SECONDS) * 1000))
    started_at = time.monotonic()
    started = [machine.start(job, "--json", **limit) for job in ("sync", "validate")]
    finished = [finish(process) for process in started]

    assert [(each.code, each.stderr, each.json["status"]) for each in finished] == [(0, "", "ok")] * 2
    arrivals = [moment for moment, _ in server.received]
    assert len(arrivals) == 2 * len(keys) + 2, "retries count, too"
    # After the earlier ones as many at once as there is room for, the others as soon as there is.
    earlier = [started_at - EARLIER_SECONDS] * EARLIER
    assert most_within([*earlier, *arrivals], WINDOW_SECONDS) == LIMIT
    at_room = WINDOW_SECONDS - EARLIER_SECONDS
    assert arrivals[LIMIT - EARLIER - 1] - started_at < at_room
    assert arrivals[-1] - started_at < at_room + 10


def most_within(moments: Sequence[float], seconds: float) -> int:
    """The largest number of moments in any stretch of so many seconds."""
    ordered = sorted(moments)
    return max(sum(start <= moment < start + seconds for moment in ordered) for start in ordered)
