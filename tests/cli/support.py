"""What the tests of the command line share."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import httpx

from orwatch.config.env_file import write_encryption_keys
from orwatch.domain.keys import KeyFacts, KeyKind, StoredKey
from orwatch.domain.usage import UsageAnswer, UsageRow
from orwatch.jobs.key import change as key_jobs
from orwatch.secrets import Keyring, Vault
from orwatch.store.engine.database import Store, open_store
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import write as ledger
from tests.support import NOW, TODAY, secret_of, usage_answer

ENCRYPTION_KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
OTHER_ENCRYPTION_KEY = base64.urlsafe_b64encode(bytes(range(32, 64))).decode()
SECRET, CI_SECRET = secret_of("production"), secret_of("ci")


# What was set up once, by the names of the keys: most of a test's time would go into it.
_DATABASES: dict[tuple[str, ...], bytes] = {}


class Outcome(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Orwatch: TypeAlias = Callable[..., Outcome]


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def piped(content: bytes) -> io.TextIOWrapper:
    """A standard input that is a pipe."""
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")


@dataclass(frozen=True)
class Home:
    """A user's own folders: nothing in them yet."""

    folder: Path

    @property
    def env_file(self) -> Path:
        return self.folder / "config" / "orwatch" / ".env"

    @property
    def database(self) -> Path:
        return self.folder / "share" / "orwatch" / "orwatch.db"

    def write_settings(self, **settings: str) -> None:
        """Put lines into the env file, in the place of those of the same names."""
        self.env_file.parent.mkdir(parents=True, exist_ok=True)
        lines = self.env_file.read_text(encoding="utf-8").splitlines() if self.env_file.exists() else []
        kept = [line for line in lines if line.partition("=")[0] not in settings]
        kept += [f"{name}={value}" for name, value in settings.items()]
        self.env_file.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def set_up(self, *names: str) -> None:
        """A database with these keys; their secrets are ``secret_of`` their names."""
        write_encryption_keys(self.env_file, (ENCRYPTION_KEY,))
        is_new = not self.database.exists()
        if is_new and names in _DATABASES:
            self.database.parent.mkdir(parents=True)
            self.database.write_bytes(_DATABASES[names])
            return
        with self.store() as store:
            for name in names:
                add_key(store, name)
        if is_new:
            _DATABASES[names] = self.database.read_bytes()

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The database that the commands use, created when it is not there."""
        store = open_store(f"sqlite:///{self.database}", NOW)
        try:
            yield store
        finally:
            store.close()

    def keys(self) -> dict[str, StoredKey]:
        with self.store() as store:
            return {key.name: key for key in key_jobs.list_keys(store)}

    def opened_secret(self, name: str, *encryption_keys: str) -> str:
        """A stored secret. Raises ``EncryptionKeyError`` when these keys do not open it."""
        return Vault(encryption_keys).open(self.keys()[name].secret_encrypted or "")

    def scalar(self, statement: str) -> Any:
        with self.store() as store, store.read() as connection:
            return connection.exec_driver_sql(statement).scalar()


def add_key(store: Store, name: str) -> None:
    key_jobs.add(store, Keyring((ENCRYPTION_KEY,)), name, secret_of(name), KeyFacts(KeyKind.INFERENCE), NOW)


def write_usage(home: Home, name: str, *rows: UsageRow) -> None:
    """What a sync today would leave behind."""
    key = home.keys()[name]
    answer: UsageAnswer = usage_answer(*rows)
    with home.store() as store, store.write() as connection:
        ledger.write_usage(connection, key.id, answer, NOW)
        stored_keys.record_sync(
            connection, key, source=answer.source, since=answer.since, until=TODAY, error=None, now=NOW
        )


def key_answer(**facts: object) -> httpx.Response:
    """What ``GET /key`` answers."""
    data = {"label": "sk-or-v1-012...a29f", "limit": None, "is_free_tier": False, **facts}
    return httpx.Response(200, json={"data": data})


def usage_json(*rows: tuple[str, str, str]) -> httpx.Response:
    """What ``GET /usage`` answers: day, model and cost of each row."""
    return httpx.Response(
        200,
        json={
            "data": [
                {
                    "date": day,
                    "model": model,
                    "requests_count": 5,
                    "tokens_input": 50,
                    "tokens_output": 125,
                    "cost": cost,
                }
                for day, model, cost in rows
            ]
        },
    )


def refusal(status: int, message: str = "no") -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": status, "message": message}})
