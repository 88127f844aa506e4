"""Syncs of 1,000 keys: at a server that takes 200 ms for each answer, and under 20 requests a minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from orwatch.clock import Clock
from orwatch.demo.server import FakeServer, Request, Response, json_response
from orwatch.jobs.sync import run as sync_job
from orwatch.jobs.sync.request import SyncRequest, last_days
from orwatch.openrouter.client import Client
from orwatch.secrets import Keyring, Vault, generate_encryption_key, hash_secret
from orwatch.store.engine.database import Store, open_store
from orwatch.store.engine.rate_limit import RateLimiter
from orwatch.store.keys import table as stored_keys
from tests.bench.measure import Options, RealClock, Row, helper, in_child, peak_memory_mb, wall_seconds

KEYS, _FEWER_KEYS = 1000, 200
_CONCURRENCY = 8
_DAYS, _MODELS = 7, 5
_LATENCY_SECONDS = 0.2
_REQUESTS_PER_MINUTE = 20
_MEMORY_MB = 5


def measure(options: Options) -> list[Row]:
    """Time with a slow server; time, told by a clock that only waiting moves, and memory under the limit."""
    key_count, fewer_keys = options.scaled(KEYS), options.scaled(_FEWER_KEYS)
    with _server(_LATENCY_SECONDS * min(1.0, options.scale * 10)) as url:
        slow = in_child(__name__, "sync_seconds", str(options.folder / "slow.db"), key_count, url)
    with _server(0.0) as url:
        waited, memory_mb = in_child(
            __name__, "sync_under_limit", str(options.folder / "limited.db"), key_count, url
        )
        _, memory_of_fewer_mb = in_child(
            __name__, "sync_under_limit", str(options.folder / "fewer.db"), fewer_keys, url
        )
    floor = max(1, key_count - _REQUESTS_PER_MINUTE) / _REQUESTS_PER_MINUTE * 60
    return [
        Row(
            "sync of 1,000 keys, 200 ms each / 1,000 × 0.2 s / 8 at once",
            1.3,
            slow,
            beside=key_count * _LATENCY_SECONDS / _CONCURRENCY,
        ),
        Row("sync of 1,000 keys / the floor of 20 requests a minute", 1.02, waited, beside=floor),
        Row(
            "memory of syncing 1,000 keys, beyond that of 200",
            _MEMORY_MB,
            memory_mb - memory_of_fewer_mb,
            "MB",
        ),
    ]


def sync_seconds(path: str, key_count: int, url: str) -> float:
    """How long a sync of so many keys takes, without a limit."""
    with _keys(path, key_count) as (store, encryption_key):
        return wall_seconds(lambda: _sync(store, encryption_key, url, RealClock(), 0))


def sync_under_limit(path: str, key_count: int, url: str) -> tuple[float, float]:
    """How long a sync under the limit would have waited, and the most memory of the process."""
    from tests.support import FakeClock

    clock = FakeClock(datetime.now(UTC))
    started = clock.monotonic()
    with _keys(path, key_count) as (store, encryption_key):
        _sync(store, encryption_key, url, clock, _REQUESTS_PER_MINUTE)
    return clock.monotonic() - started, peak_memory_mb()


@contextmanager
def _keys(path: str, key_count: int) -> Iterator[tuple[Store, str]]:
    """A database with so many keys, and what opens them."""
    encryption_key = generate_encryption_key()
    vault, now = Vault([encryption_key]), datetime.now(UTC)
    with closing(open_store(f"sqlite:///{Path(path)}", now)) as store:
        with store.write() as connection:
            for number in range(key_count):
                secret = f"sk-or-v1-bench-{number:08}"
                stored_keys.insert_key(
                    connection,
                    name=f"key {number}",
                    key_hash=hash_secret(secret),
                    hint="",
                    secret_encrypted=vault.seal(secret),
                    facts=None,
                    now=now,
                )
        yield store, encryption_key


def _sync(store: Store, encryption_key: str, url: str, clock: Clock, requests_per_minute: int) -> None:
    today = clock.now().date()
    request = SyncRequest(last_days(today, _DAYS), today, reaches_back=True, concurrency=_CONCURRENCY)
    limiter = RateLimiter(store, requests_per_minute, clock)
    with Client(url, clock=clock, wait_for_turn=limiter.wait_for_turn, connections=_CONCURRENCY) as client:
        result = sync_job.run(store, lambda: client, Keyring([encryption_key]), request, clock)
    assert result.exit_code == 0, result.status


@contextmanager
def _server(latency_seconds: float) -> Iterator[str]:
    """The address of a server in a process of its own."""
    with helper(__name__, "serve", latency_seconds) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


def serve(latency_seconds: float) -> None:
    """Answer until standard input ends."""
    answers: dict[tuple[str, str], Response] = {}

    def answer(request: Request) -> Response:
        time.sleep(latency_seconds)
        window = request.query["start_date"], request.query["end_date"]
        if window not in answers:
            answers[window] = _usage(*map(date.fromisoformat, window))
        return answers[window]

    with FakeServer(answer) as server:
        print(server.url, flush=True)
        sys.stdin.read()


def _usage(since: date, until: date) -> Response:
    return json_response(
        {
            "data": [
                {
                    "date": (until - timedelta(days=age)).isoformat(),
                    "model": f"maker/model-{model}",
                    "requests_count": 5,
                    "tokens_input": 1000,
                    "tokens_output": 200,
                    "cost": Decimal("0.015"),
                }
                for age in range((until - since).days + 1)
                for model in range(_MODELS)
            ]
        }
    )
