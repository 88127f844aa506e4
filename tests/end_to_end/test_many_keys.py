"""Hundreds of keys."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import Answer, FakeServer
from tests.end_to_end.support import Machine, make_keys, told

KEYS = 500
MOST_MEMORY_KB = 200_000
LONGEST_SECONDS = 60.0

# What a program used at most counts that of the process which it was before, too: here a small one.
_MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""
MEASURED = (sys.executable, "-S", "-c", _MEASURED)


def test_five_hundred_keys_are_synced_in_little_memory_and_time(
    machine: Machine, serve: Callable[[Answer], FakeServer]
) -> None:
    keys = make_keys(KEYS)
    api = FakeOpenRouter(keys)
    server = serve(api.answer)
    machine.api_url = server.url
    machine.set_up(keys)

    started_at = time.monotonic()
    finished = machine.run("sync", "--days", "30", "--json", launcher=MEASURED)
    seconds = time.monotonic() - started_at

    assert (finished.code, finished.json["status"]) == (0, "ok")
    assert len(finished.json["keys"]) == len(server.received) == KEYS
    usage = told(api.answer, keys)
    assert finished.json["rows_written"] == len(usage)
    assert machine.stored() == usage
    assert int(finished.stderr) < MOST_MEMORY_KB
    assert seconds < LONGEST_SECONDS

    # What people read stays readable: of so many keys only those with a problem are listed.
    api.revoke("key-042")
    validated = machine.run("validate", COLUMNS="120")
    assert validated.code == 1
    assert "key-042: deactivated, refused twice" in validated.stdout
    assert "499 keys valid, 1 invalid" in validated.stdout
    assert len(validated.stdout.splitlines()) < 10
    status = machine.run("status", COLUMNS="120")
    assert (status.code, "499 more keys without problems" in status.stdout) == (1, True)
    assert len(status.stdout.splitlines()) < 25
