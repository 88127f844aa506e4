"""An account that is synced with a management key: for the first time, and again."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from orwatch.demo.server import FakeServer, Request, Response, json_response
from orwatch.domain.days import days_between
from orwatch.domain.keys import KeyFacts, KeyKind
from orwatch.jobs.sync import run as sync_job
from orwatch.jobs.sync.request import SyncRequest, last_days
from orwatch.openrouter.client import Client
from orwatch.secrets import Keyring, Vault, generate_encryption_key, hash_secret
from orwatch.store.engine.database import open_store
from orwatch.store.engine.rate_limit import RateLimiter
from orwatch.store.keys import table as stored_keys
from tests.bench.measure import (
    Options,
    RealClock,
    Row,
    helper,
    in_child,
    peak_memory_mb,
    work_seconds,
)

# As many rows as the goals name: 39,000 of 50 keys, 156,000 of 200.
_SHAPE = (5, 156)
# The server's answers are dated.
_NOW = datetime.now(UTC)
_TODAY = _NOW.date()
_SECRET = "sk-or-v1-bench-management"


def measure(options: Options) -> list[Row]:
    """The processor time of a first sync and of one right after it, and what they take of memory."""
    few, many = options.scaled(50), options.scaled(200)
    first_of_few, _, _ = synced(options, few)
    first_of_many, later_of_many, memory_mb = synced(options, many)
    return [
        Row("first sync of an account of 50 keys, 39,000 rows", 0.9, first_of_few),
        Row("first sync of an account of 200 keys, 156,000 rows", 3.5, first_of_many),
        Row("the same / that of 50 keys", 4.4, first_of_many, beside=first_of_few),
        Row("memory of a first sync of 200 keys", 100, memory_mb, "MB"),
        Row("hourly sync of 200 keys, nothing new, without start-up", 0.2, later_of_many),
    ]


def synced(options: Options, key_count: int, shape: tuple[int, int] = _SHAPE) -> tuple[float, float, float]:
    """What ``sync_twice`` measures of so many keys; ``shape``: how many models each uses on how many days."""
    with helper(__name__, "serve", key_count, *shape) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        path = str(options.folder / f"{key_count}.db")
        first, later, memory_mb = in_child(__name__, "sync_twice", path, url)
    return first, later, memory_mb


def sync_twice(path: str, url: str) -> tuple[float, float, float]:
    """The processor seconds of the first sync and of the next one, and the most memory in MB."""
    encryption_key, clock = generate_encryption_key(), RealClock()
    with closing(open_store(f"sqlite:///{path}", clock.now())) as store:
        with store.write() as connection:
            stored_keys.insert_key(
                connection,
                name="management",
                key_hash=hash_secret(_SECRET),
                hint="",
                secret_encrypted=Vault([encryption_key]).seal(_SECRET),
                facts=KeyFacts(KeyKind.MANAGEMENT),
                now=clock.now(),
            )

        def sync() -> None:
            request = SyncRequest(last_days(_TODAY, 7), _TODAY, reaches_back=True, concurrency=8)
            turns = RateLimiter(store, 0, clock)
            with Client(url, clock=clock, wait_for_turn=turns.wait_for_turn, connections=8) as client:
                result = sync_job.run(store, lambda: client, Keyring([encryption_key]), request, clock)
            assert result.exit_code == 0, [key.error for key in result.keys if key.error]

        return work_seconds(sync), work_seconds(sync), peak_memory_mb()


def serve(key_count: int, model_count: int = _SHAPE[0], day_count: int = _SHAPE[1]) -> None:
    """Answer as for one account in which each key uses each model each day, until standard input ends."""
    models = [f"maker/model-{number}" for number in range(model_count)]
    names = [f"key {number}" for number in range(key_count)]
    by_hash = {hash_secret(f"sk-or-v1-bench-{name}"): name for name in names}

    def answer(request: Request) -> Response:
        path = request.path
        if path == "/keys":
            page = [*by_hash.items()][int(request.query.get("offset", 0)) :][:100]
            return json_response({"data": [_listed(key_hash, name) for key_hash, name in page]})
        if path == "/activity":
            asked = request.query.get("api_key_hash")
            wanted = names if asked is None else [by_hash[asked]]
            day = request.query.get("date")
            rows = [row for name in wanted for row in _activity(name, models) if day in {None, row["date"]}]
            return json_response({"data": rows})
        if path == "/analytics/query":
            return json_response({"data": _analytics(names, models, day_count, json.loads(request.body))})
        return json_response({"data": {"total_credits": 100, "total_usage": 1} if path == "/credits" else []})

    with FakeServer(answer) as server:
        print(server.url, flush=True)
        sys.stdin.read()


def _listed(key_hash: str, name: str) -> dict[str, Any]:
    created_at = (_NOW - timedelta(days=400)).isoformat()
    return {"hash": key_hash, "name": name, "created_at": created_at, "usage": 50.0, "usage_daily": 0.0615}


def _activity(name: str, models: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "date": day.isoformat(),
            "model": model,
            "model_permaslug": model,
            "provider_name": "Provider",
            "usage": 0.0123,
            "requests": 3,
            "prompt_tokens": 1000,
            "completion_tokens": 200,
            "reasoning_tokens": 0,
            "cached_tokens": len(name),
        }
        for day in days_between(_TODAY - timedelta(days=30), _TODAY - timedelta(days=1))
        for model in models
    ]


def _analytics(names: list[str], models: list[str], day_count: int, body: dict[str, Any]) -> dict[str, Any]:
    since, until = (datetime.fromisoformat(body["time_range"][end]).date() for end in ("start", "end"))
    since = max(since, last_days(_TODAY, day_count))
    rows = [
        {
            "date__day": day.isoformat(),
            "model": model,
            "api_key_id": name,
            "request_count": "3",
            "tokens_prompt": "1000",
            "tokens_completion": "200",
            "credits_usage": 0.0123,
        }
        for day in days_between(since, until - timedelta(days=1))
        for name in names
        for model in models
    ]
    limit = body["limit"]
    return {"data": rows[:limit], "metadata": {"truncated": len(rows) > limit}}
