"""A user's account in a folder of its own, the installed program run in it, and what is stored there."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, TypeAlias

from orwatch.demo.server import Answer, Request, Response, json_response
from orwatch.demo.usage import CI, OLD_LAPTOP, PRODUCTION, FakeKey
from orwatch.domain.alerts.alert import Rule
from orwatch.domain.keys import KeyFacts, KeyKind
from orwatch.secrets import Vault, hash_secret
from orwatch.store.engine.database import open_store
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import model_names, rollups
from orwatch.text import secret_hint
from tests import answers
from tests.end_to_end import dates, warm
from tests.support import secret_of

ORWATCH = Path(sys.executable).with_name("orwatch")
HISTORY_DAYS = 30
DEADLINE_SECONDS = 120.0
EVERYTHING = (
    *("api_keys", "usage_stats", "usage_days", "usage_by_key", "usage_by_model", "usage_months"),
    *("models", "providers", "ledger_state"),
)

# Requests, tokens in, tokens out and dollars, by (key, day, model).
Usage: TypeAlias = dict[tuple[str, str, str], tuple[int, int, int, Decimal]]

# Puts a limit on itself and then becomes the program: a hook between fork and exec is not safe in a
# process with threads, and the tests' servers are threads.
_BECOME = "import os, sys\n{}\nos.execv(sys.argv[1], sys.argv[1:])"
_DROP = """
import ctypes
if os.geteuid() == 0:
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        if ctypes.CDLL(None).prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
            sys.exit("prctl")
"""
_IMPATIENT = """
import sys
from orwatch.openrouter import client
client.FIRST_WAIT_SECONDS = 0.01
from orwatch.cli import run
sys.exit(run(sys.argv[2:]))
"""

# Obeys the modes of files even as root.
WITHOUT_PRIVILEGES = (sys.executable, "-c", _BECOME.format(_DROP))
# Its retries of broken connections, which cannot say Retry-After, wait for hundredths of a second.
IMPATIENT = (sys.executable, "-c", _IMPATIENT)


def forget_days(machine: Machine, days: Iterable[int], key_id: int = 1) -> None:
    """Take days (as numbers) of a key out of the database, as if no sync had ever read them."""
    store = open_store(f"sqlite:///{machine.database}", dates.now())
    part = rollups.Part(tuple(days), (key_id,))
    with closing(store), store.write() as connection:
        rollups.delete(connection, part)
        connection.exec_driver_sql(f"DELETE FROM usage_days WHERE {part.condition}")


def with_largest_file(size_bytes: int) -> tuple[str, ...]:
    """Cannot write a file past that size, as on a full disk."""
    limit = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({size_bytes}, {size_bytes}))"
    return (sys.executable, "-c", _BECOME.format(limit))


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output as JSON, numbers exact; fails when anything else is on it."""
        return json.loads(self.stdout, parse_float=Decimal)


# For tests of something else, in which made-up usage may be worth a warning on one day and not on another.
NO_ALERTS = {"ORWATCH_ALERTS_OFF": ",".join(Rule)}


class Machine:
    """An account: a home folder, a current folder that is another one, and a bare environment."""

    def __init__(self, folder: Path, api_url: str, settings: Mapping[str, str] | None = None) -> None:
        """``settings``: more that its environment has."""
        self.settings = dict(settings or {})
        self.home = folder / "home"
        self.current_folder = folder / "elsewhere"
        self.api_url = api_url
        for path in (self.home, self.current_folder):
            path.mkdir(parents=True)

    @property
    def data_folder(self) -> Path:
        return self.home / ".local" / "share" / "orwatch"

    @property
    def database(self) -> Path:
        return self.data_folder / "orwatch.db"

    @property
    def env_file(self) -> Path:
        return self.home / ".config" / "orwatch" / ".env"

    def environment(self, **changes: str | None) -> dict[str, str]:
        """What cron gives and what the test needs. None takes a variable out."""
        environment: dict[str, str | None] = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "ORWATCH_OPENROUTER_API_URL": self.api_url,
            "ORWATCH_RATE_LIMIT_PER_MINUTE": "0",
            "ORWATCH_REFUSAL_WAIT_SECONDS": "0",
            **dates.for_programs(),
            **self.settings,
            **changes,
        }
        return {name: value for name, value in environment.items() if value is not None}

    def start(
        self,
        *arguments: str | Path,
        launcher: Sequence[str] = (),
        stdin: int | IO[Any] = subprocess.DEVNULL,
        stdout: int | IO[Any] = subprocess.PIPE,
        stderr: int | IO[Any] = subprocess.PIPE,
        own_session: bool = False,
        **environment: str | None,
    ) -> subprocess.Popen[str]:
        """Start the installed program."""
        assert dates.ahead is None, "it would have the real date"
        return subprocess.Popen(
            [*launcher, str(ORWATCH), *map(str, arguments)],
            cwd=self.current_folder,
            env=self.environment(**environment),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=own_session,
            text=True,
            encoding="utf-8",
        )

    def run(
        self,
        *arguments: str | Path,
        input: str | None = None,
        launcher: Sequence[str] = (),
        stdout: int | IO[Any] = subprocess.PIPE,
        **environment: str | None,
    ) -> Finished:
        """Run the installed program to its end: without its imports where that can make no difference."""
        variables, usual = self.environment(**environment), self.environment()
        starts_alike = warm.read_at_the_start(variables) == warm.read_at_the_start(usual)
        if (starts_alike or dates.ahead is not None) and not launcher and stdout == subprocess.PIPE:
            command = [str(ORWATCH), *map(str, arguments)]
            finished = Finished(
                *warm.run(command, self.current_folder, variables, input or "", DEADLINE_SECONDS)
            )
        else:
            stdin = subprocess.DEVNULL if input is None else subprocess.PIPE
            process = self.start(*arguments, launcher=launcher, stdin=stdin, stdout=stdout, **environment)
            finished = finish(process, input)
        answers.check([*map(str, arguments)], finished.stdout or "", finished.stderr)
        return finished

    def set_up(self, keys: Iterable[FakeKey]) -> None:
        """`orwatch init`, and these keys stored at once: many `key add` would take minutes.

        The list of models counts as read today, so that all that is asked is asked with a key.
        """
        assert self.run("init").code == 0
        now = dates.now()
        vault = Vault([self.encryption_key()])
        store = open_store(f"sqlite:///{self.database}", now)
        with closing(store), store.write() as connection:
            for key in keys:
                stored_keys.insert_key(
                    connection,
                    name=key.name,
                    key_hash=hash_secret(key.secret),
                    hint=secret_hint(key.secret),
                    secret_encrypted=vault.seal(key.secret),
                    facts=KeyFacts(KeyKind.INFERENCE),
                    now=now,
                )
            model_names.record_retirements(connection, (), now)

    def encryption_key(self) -> str:
        """What the env file has."""
        name, _, value = self.env_file.read_text(encoding="utf-8").strip().partition("=")
        assert name == "ORWATCH_ENCRYPTION_KEY"
        return value

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database; changes are committed."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def dump(self, *tables: str) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of these tables, or of all but the records of runs and requests."""
        return {
            table: sorted(self.query(f"SELECT * FROM {table}"), key=repr) for table in tables or EVERYTHING
        }

    def stored(self) -> Usage:
        """The ledger."""
        rows = self.query(
            "SELECT k.name, date(s.date * 86400, 'unixepoch'), m.name, s.requests, s.tokens_input,"
            " s.tokens_output, s.cost_nano FROM usage_stats s JOIN api_keys k ON k.id = s.api_key_id"
            " JOIN models m ON m.id = s.model_id"
        )
        return {tuple(row[:3]): (*row[3:6], Decimal(row[6]).scaleb(-9)) for row in rows}  # type: ignore[misc]

    def is_whole(self) -> bool:
        """Whether SQLite finds the file in order, foreign keys included."""
        return self.query("PRAGMA integrity_check") == [("ok",)] and not self.query(
            "PRAGMA foreign_key_check"
        )

    def files(self) -> dict[Path, bytes]:
        """Everything in the home folder."""
        return {path: path.read_bytes() for path in sorted(self.home.rglob("*")) if path.is_file()}


def finish(process: subprocess.Popen[str], input: str | None = None) -> Finished:
    """Wait for the end of a program; one that does not end is a failure."""
    try:
        stdout, stderr = process.communicate(input, timeout=DEADLINE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Finished(process.returncode, stdout or "", stderr or "")


def kill(process: subprocess.Popen[str]) -> bool:
    """kill -9; whether the program was still running."""
    process.kill()
    process.communicate(timeout=DEADLINE_SECONDS)
    return process.returncode == -signal.SIGKILL


def wait_for(is_there: Callable[[], bool]) -> None:
    """Wait until that is so; when it never is, that is a failure."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_there():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def make_keys(count: int = 3) -> tuple[FakeKey, ...]:
    """Keys named ``production``, ``ci``, ``laptop``, ``key-003``, … with usage."""
    profiles = (PRODUCTION, CI, OLD_LAPTOP)
    names = ["production", "ci", "laptop", *(f"key-{number:03}" for number in range(3, count))]
    return tuple(
        FakeKey(name, secret_of(name), profiles[number % 3]) for number, name in enumerate(names[:count])
    )


def utc_today() -> date:
    return dates.now().date()


def days_ago(count: int) -> date:
    return utc_today() - timedelta(days=count)


def told(
    answer: Answer, keys: Iterable[FakeKey], since: date | None = None, until: date | None = None
) -> Usage:
    """What the fake server itself reports as used, without a word of the program's."""
    usage: Usage = {}
    query = {"start_date": f"{since or days_ago(HISTORY_DAYS - 1)}", "end_date": f"{until or utc_today()}"}
    for key in keys:
        body = answer(Request("GET", "/usage", query, key.secret)).body
        for row in json.loads(body, parse_float=Decimal)["data"]:
            numbers = row["requests_count"], row["tokens_input"], row["tokens_output"], Decimal(row["cost"])
            usage[key.name, row["date"], row["model"]] = numbers
    assert usage
    return usage


def of_key(usage: Usage, name: str) -> Usage:
    return {place: numbers for place, numbers in usage.items() if place[0] == name}


def total_cost(usage: Usage) -> Decimal:
    return sum((numbers[3] for numbers in usage.values()), Decimal(0))


def failing_for(api_answer: Answer, secret: str, fault: Answer, path: str = "/usage") -> Answer:
    """The API, but for one key on one path."""

    def answer(request: Request) -> Response:
        return fault(request) if (request.secret, request.path) == (secret, path) else api_answer(request)

    return answer


def with_changed_costs(api_answer: Answer) -> Answer:
    """The API with every cost doubled: what a correction by OpenRouter looks like."""

    def answer(request: Request) -> Response:
        response = api_answer(request)
        if request.path != "/usage" or response.status != 200:
            return response
        rows = json.loads(response.body, parse_float=Decimal)["data"]
        return json_response({"data": [{**row, "cost": row["cost"] * 2} for row in rows]})

    return answer


def copy_home(home: Path, target: Machine) -> None:
    shutil.copytree(home, target.home, dirs_exist_ok=True)
