"""How fast orwatch is, as ratios to something done beside it in the same run: ``python -m tests.bench``.

Machines are noisy and differ; ratios of medians, taken in turn, can be compared. Nothing here is a test.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from orwatch.jobs import keys
from orwatch.models import UsageAnswer
from orwatch.openrouter.parse import parse_usage
from orwatch.secrets import generate_encryption_key
from orwatch.store import ledger
from orwatch.store.database import Store, open_store
from tests.support import NOW, TODAY, usage_answer, usage_row

ROUNDS = 7
KEYS, DAYS, MODELS = 20, 100, 20  # 40,000 ledger rows

ORWATCH = Path(sys.executable).with_name("orwatch")


def main() -> None:
    """Measure everything and print a table."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [*startup(Path(folder)), *parsing(), *writing(Path(folder))]
    width = max(len(name) for name, *_ in rows)
    print(f"{'what':<{width}}  {'median':>9}  {'beside':>9}  {'ratio':>6}")
    for name, measured, beside in rows:
        ratio = measured / beside
        print(f"{name:<{width}}  {measured * 1000:>6.1f} ms  {beside * 1000:>6.1f} ms  {ratio:>6.2f}")


def paired(
    name: str, measured: Callable[[], object], beside: Callable[[], object]
) -> tuple[str, float, float]:
    """The medians of two things done in turn, after one of each to warm up."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for round_number in range(ROUNDS + 1):
        for work, times in zip((measured, beside), seconds, strict=True):
            started = time.perf_counter()
            work()
            if round_number:
                times.append(time.perf_counter() - started)
    return name, statistics.median(seconds[0]), statistics.median(seconds[1])


def startup(folder: Path) -> list[tuple[str, float, float]]:
    """Whole processes, with compiled modules as users have them."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"XDG_CONFIG_HOME": str(folder / "c"), "XDG_DATA_HOME": str(folder / "d")}

    def run(*command: str | Path) -> Callable[[], object]:
        return lambda: subprocess.run(command, env=environment, capture_output=True, check=True)

    def python(code: str) -> Callable[[], object]:
        return run(sys.executable, "-c", code)

    libraries = "import click, rich.table, sqlalchemy"
    return [
        paired("orwatch --version / python -c pass", run(ORWATCH, "--version"), python("pass")),
        paired("orwatch --help / import click", run(ORWATCH, "--help"), python("import click")),
        paired(f"orwatch report / {libraries}", run(ORWATCH, "report"), python(libraries)),
        paired(f"orwatch sync, no key / {libraries}", run(ORWATCH, "sync"), python(libraries)),
    ]


def parsing() -> list[tuple[str, float, float]]:
    """An answer of 5,400 rows, from bytes to models, beside the bare parsing of its JSON."""
    items = [
        {
            "date": (TODAY - timedelta(days=day)).isoformat(),
            "model": f"maker/model-{model}",
            "requests_count": 5,
            "tokens_input": 12_345,
            "tokens_output": 678,
            "cost": 0.012345678,
        }
        for day in range(30)
        for model in range(180)
    ]
    body = json.dumps({"data": items}).encode()
    since = TODAY - timedelta(days=29)
    return [
        paired(
            "5,400 rows, bytes to models / json.loads",
            lambda: parse_usage(body, since, TODAY),
            lambda: json.loads(body, parse_float=Decimal),
        )
    ]


def writing(folder: Path) -> list[tuple[str, float, float]]:
    """40,000 rows, a transaction a key, beside the driver alone doing the same."""
    dice = random.Random(1)
    answers = [_answer(dice) for _ in range(KEYS)]
    store = open_store(f"sqlite:///{folder}/ledger.db", NOW)
    encryption_keys = [generate_encryption_key()]
    for number in range(KEYS):
        keys.add(store, encryption_keys, f"key {number}", f"sk-or-v1-bench-{number:08}", None, NOW)
    raw = _raw_ledger(folder / "raw.db")

    def write_raw() -> None:
        for number, answer in enumerate(answers):
            _write_raw(raw, number, answer)

    def empty() -> None:
        with store.write() as connection:
            connection.exec_driver_sql("DELETE FROM usage_stats")
        raw.execute("DELETE FROM usage_stats")

    def first() -> None:
        empty()
        _write(store, answers)

    def first_raw() -> None:
        empty()
        write_raw()

    return [
        paired("40,000 rows written / driver alone", first, first_raw),
        paired("40,000 rows re-written / driver alone", lambda: _write(store, answers), write_raw),
    ]


def _answer(dice: random.Random) -> UsageAnswer:
    return usage_answer(
        *(
            usage_row(
                TODAY - timedelta(days=day), f"maker/model-{model}", cost=f"0.{dice.randrange(10**9):09}"
            )
            for day in range(DAYS)
            for model in range(MODELS)
        )
    )


def _write(store: Store, answers: Sequence[UsageAnswer]) -> None:
    for number, answer in enumerate(answers, start=1):
        with store.write() as connection:
            ledger.write_usage(connection, number, answer, NOW)


def _raw_ledger(path: Path) -> sqlite3.Connection:
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("PRAGMA synchronous = NORMAL")
    raw.execute(
        "CREATE TABLE usage_stats (date INTEGER, key INTEGER, model INTEGER, provider INTEGER, "
        "requests INTEGER, tokens_in INTEGER, tokens_out INTEGER, cost INTEGER, "
        "PRIMARY KEY (date, key, model, provider)) WITHOUT ROWID"
    )
    return raw


def _write_raw(raw: sqlite3.Connection, key: int, answer: UsageAnswer) -> None:
    rows = [
        (
            row.day.toordinal(),
            key,
            hash(row.model),
            0,
            row.requests,
            row.tokens_input,
            row.tokens_output,
            int(row.cost_usd.scaleb(9)),
        )
        for row in answer.rows
    ]
    raw.execute("BEGIN IMMEDIATE")
    raw.executemany(
        "INSERT INTO usage_stats VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "requests = excluded.requests, tokens_in = excluded.tokens_in, "
        "tokens_out = excluded.tokens_out, cost = excluded.cost "
        "WHERE requests IS NOT excluded.requests OR tokens_in IS NOT excluded.tokens_in "
        "OR tokens_out IS NOT excluded.tokens_out OR cost IS NOT excluded.cost",
        rows,
    )
    raw.execute("COMMIT")


if __name__ == "__main__":
    main()
