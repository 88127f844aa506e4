"""What the tests of the jobs share: keys in a line, and an API that answers as it is told."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, TypeAlias

import httpx

from orwatch.clock import Clock
from orwatch.domain.keys import KeyFacts, StoredKey
from orwatch.jobs.key import change as key_jobs
from orwatch.openrouter.account import NO_SECRET
from orwatch.openrouter.client import Client
from orwatch.secrets import Keyring
from orwatch.store.engine.database import Store
from orwatch.store.ledger import write as ledger
from tests.support import API_URL, NOW, TODAY, no_limit, secret_of, usage_answer, usage_row

ENCRYPTION_KEY = base64.urlsafe_b64encode(b"k" * 32).decode()
OTHER_ENCRYPTION_KEY = base64.urlsafe_b64encode(b"o" * 32).decode()

Responder: TypeAlias = Callable[[httpx.Request], httpx.Response]


def days_ago(number: int) -> date:
    return TODAY - timedelta(days=number)


def add_key(
    store: Store, name: str = "work", *, encryption_key: str = ENCRYPTION_KEY, facts: KeyFacts | None = None
) -> StoredKey:
    return key_jobs.add(store, Keyring([encryption_key]), name, secret_of(name), facts, NOW)


def spend(store: Store, *spent: tuple[date, str | None, str], key_id: int = 1) -> None:
    """Put (day, model, cost) into the ledger, past any job."""
    with store.write() as connection:
        rows = [usage_row(day, model, cost=cost) for day, model, cost in spent]
        ledger.write_usage(connection, key_id, usage_answer(*rows), NOW)


def make_client(clock: Clock) -> Client:
    return Client(API_URL, clock=clock, wait_for_turn=no_limit, jitter=lambda: 0.5)


def item(day: date = TODAY, model: str = "openai/gpt-4.1", cost: float | str = 0.015) -> dict[str, Any]:
    """A row as ``GET /usage`` sends it."""
    return {
        "date": day.isoformat(),
        "model": model,
        "requests_count": 5,
        "tokens_input": 50,
        "tokens_output": 125,
        "cost": cost,
    }


def usage(*items: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, json={"data": list(items)})


def facts(**data: Any) -> httpx.Response:
    return httpx.Response(200, json={"data": {"label": "sk-or-v1-012...a29f", "usage": 25.5, **data}})


def refusal(status: int, message: str = "as the API says it") -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": status, "message": message}})


@dataclass
class FakeApi:
    """Answers each key with what the test scripted, in order; the last answer stays.

    For single answers, broken ones too; what the demo's server answers is made up, and true.
    """

    # What is asked without a key, once a day: no other request is counted with it.
    models: httpx.Response | Exception = field(default_factory=lambda: refusal(404))
    models_asked: int = 0
    answers: dict[str, list[httpx.Response | Exception | Responder]] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on(self, name: str, *answers: httpx.Response | Exception | Responder) -> None:
        self.answers[name] = list(answers)

    def asked(self, name: str) -> list[tuple[str, dict[str, str]]]:
        """The paths and parameters that a key asked for."""
        return [(path, params) for asker, path, params in self.requests if asker == name]

    def windows(self, name: str) -> list[tuple[str, str]]:
        return [(params["start_date"], params["end_date"]) for _, params in self.asked(name)]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        given = request.headers["Authorization"].removeprefix("Bearer ")
        with self._lock:
            if given == NO_SECRET:
                self.models_asked += 1
                return _again(self.models)
            name = next(name for name in self.answers if secret_of(name) == given)
            self.requests.append((name, request.url.path.removeprefix("/api/v1"), dict(request.url.params)))
            answers = self.answers[name]
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return _again(answer) if isinstance(answer, httpx.Response | Exception) else answer(request)


def _again(answer: httpx.Response | Exception) -> httpx.Response:
    if isinstance(answer, Exception):
        raise answer
    # A response is read once only.
    return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
