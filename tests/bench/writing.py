"""200,000 ledger rows written and re-written, a transaction a key, beside the driver alone doing the same.

The driver alone begins with the same answers and ends with the same rows and totals. It does less: it takes
what it writes for new, whatever stood there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any

from orwatch.domain.money import from_nano
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageAnswer, UsageRow
from orwatch.store.engine.database import Store, open_store
from orwatch.store.ledger import write as ledger
from orwatch.store.schema import DAILY_COUNTS, reported_column, to_day_number
from tests.bench.measure import NOW, TODAY, Options, Row, in_child, in_turn, peak_memory_mb, work_seconds

KEYS, DAYS, MODELS = 100, 25, 80

_ROWS_PER_STATEMENT = 500
_ROUNDS = 3
_MEMORY_MB = 40

KEY = ("date", "api_key_id", "model_id", "provider_id")
_VALUES = (
    "requests",
    "tokens_input",
    "tokens_output",
    "tokens_reasoning",
    "tokens_cached",
    "cost_nano",
    "byok_cost_nano",
)
_COUNTS = tuple(name for name in _VALUES if name != "cost_nano")


def measure(options: Options) -> list[Row]:
    """Time of a first and of a second writing, and memory."""
    key_count = options.scaled(KEYS)
    answers = [answer_of(key_id) for key_id in range(1, key_count + 1)]
    rounds = _ROUNDS if options.scale == 1 else 1
    store = new_store(f"sqlite:///{options.folder}/ledger.db", key_count)
    with closing(store), closing(_raw_ledger(options.folder / "raw.db", key_count)) as raw:

        def ours() -> float:
            return work_seconds(lambda: write(store, answers))

        def theirs() -> float:
            return work_seconds(lambda: _write_raw(raw, answers))

        def ours_first() -> float:
            with store.write() as connection:
                for table in TABLES:
                    connection.exec_driver_sql(f"DELETE FROM {table}")
            return ours()

        def theirs_first() -> float:
            for table in TABLES:
                raw.execute(f"DELETE FROM {table}")
            return theirs()

        first = in_turn(ours_first, theirs_first, rounds)
        again = in_turn(ours, theirs, rounds)
        _check_same(store, raw)
    used = in_child(__name__, "memory_of_writing", str(options.folder / "memory.db"), key_count)
    idle = in_child(__name__, "memory_of_writing", str(options.folder / "idle.db"), 0)
    return [
        Row("200,000 rows written / sqlite3 alone", 1.3, first[0], beside=first[1]),
        Row("200,000 rows re-written / sqlite3 alone", 1.3, again[0], beside=again[1]),
        Row("memory of writing 200,000 rows, beyond the program's", _MEMORY_MB, used - idle, "MB"),
    ]


def memory_of_writing(path: str, key_count: int) -> float:
    """The most memory of a process that writes so many answers, one after the other."""
    with closing(new_store(f"sqlite:///{path}", key_count)) as store:
        write(store, (answer_of(key_id) for key_id in range(1, key_count + 1)))
    return peak_memory_mb()


def answer_of(key_id: int) -> UsageAnswer:
    """One key's made-up usage: the same each time."""
    rows = tuple(
        UsageRow(
            TODAY - timedelta(days=day),
            f"maker{model % 9}/model-{model:02}",
            None,
            5 + model,
            1000 + key_id,
            200 + day,
            from_nano((key_id * 15_485_863 + day * 7_919 + model * 104_729) % 10**9),
        )
        for day in reversed(range(DAYS))
        for model in range(MODELS)
    )
    return UsageAnswer(UsageSource.USAGE, rows[0].day, TODAY, rows)


def new_store(url: str, key_count: int) -> Store:
    """A database with so many keys."""
    store = open_store(url, NOW)
    with store.write() as connection:
        for key_id in range(1, key_count + 1):
            connection.exec_driver_sql(
                "INSERT INTO api_keys (id, name, key_hash, hint, is_active, created_at, kind) "
                f"VALUES ({key_id}, 'key {key_id}', '{key_id:064x}', '', '1', 0, 'inference')"
            )
    return store


def write(store: Store, answers: Iterable[UsageAnswer], keys_at_once: int = 1) -> None:
    """Write the answers for so many keys in one transaction."""
    waiting = enumerate(answers, start=1)
    while some := dict(islice(waiting, keys_at_once)):
        with store.write() as connection:
            ledger.write_answers(connection, some, NOW)


TABLES = ("usage_stats", "usage_by_model", "usage_by_key", "usage_months", "usage_days")


def _raw_ledger(path: Path, key_count: int) -> sqlite3.Connection:
    """The same tables, opened by the driver alone."""
    new_store(f"sqlite:///{path}", key_count).close()
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("PRAGMA synchronous = NORMAL")
    raw.execute("PRAGMA foreign_keys = ON")
    return raw


def _write_raw(raw: sqlite3.Connection, answers: list[UsageAnswer]) -> None:
    for key_id, answer in enumerate(answers, start=1):
        raw.execute("BEGIN IMMEDIATE")
        model_ids = _raw_model_ids(raw, {row.model for row in answer.rows})
        rows = ledger_rows(key_id, answer, model_ids)
        changed: set[int] = set()
        for start in range(0, len(rows), _ROWS_PER_STATEMENT):
            chunk = rows[start : start + _ROWS_PER_STATEMENT]
            found = raw.execute(_upsert(len(chunk)), tuple(chain.from_iterable(chunk)))
            changed.update(day for (day,) in found)
        for statement in totals_statements(key_id, changed):
            raw.execute(statement)
        raw.executemany(
            "INSERT INTO usage_days VALUES (?, ?, 'usage', ?, 0) ON CONFLICT DO UPDATE SET "
            "read_at = excluded.read_at, is_settled = excluded.is_settled",
            [(day, key_id, int(NOW.timestamp())) for day in sorted({row[0] for row in rows})],
        )
        raw.execute("COMMIT")


def ledger_rows(
    key_id: int, answer: UsageAnswer, model_ids: Mapping[str | None, int]
) -> list[tuple[Any, ...]]:
    """The rows of an answer as the ledger has them."""
    return [
        (
            to_day_number(row.day),
            key_id,
            model_ids[row.model],
            0,
            row.requests,
            row.tokens_input,
            row.tokens_output,
            row.tokens_reasoning,
            row.tokens_cached,
            int(row.cost_usd.scaleb(9)),
            None if row.byok_cost_usd is None else int(row.byok_cost_usd.scaleb(9)),
        )
        for row in answer.rows
    ]


def totals_statements(key_id: int, days: Iterable[int]) -> Iterator[str]:
    """What adds a key's days to the three tables of totals, where nothing of them was there before."""
    by_month: dict[int, list[int]] = {}
    for day in sorted(days):
        by_month.setdefault(_month_of(day), []).append(day)
    for month, of_month in by_month.items():
        condition = f"api_key_id = {key_id} AND date IN ({', '.join(map(str, of_month))})"
        yield _totals("usage_by_model", ("date", "model_id", "provider_id"), DAILY_COUNTS, condition)
        yield _totals("usage_by_key", ("date", "api_key_id"), DAILY_COUNTS, condition)
        yield _totals("usage_months", ("month", *KEY[1:]), _COUNTS, condition, month)


def _raw_model_ids(raw: sqlite3.Connection, names: set[str | None]) -> dict[str | None, int]:
    query = "SELECT name, id FROM models"
    known = dict(raw.execute(query))
    if missing := sorted(name for name in names if name is not None and name not in known):
        raw.executemany("INSERT INTO models (name) VALUES (?)", [(name,) for name in missing])
        known = dict(raw.execute(query))
    return known


def _month_of(day_number: int) -> int:
    day = TODAY + timedelta(days=day_number - to_day_number(TODAY))
    return to_day_number(day.replace(day=1))


def _upsert(row_count: int) -> str:
    values = ", ".join([f"({', '.join('?' * len(KEY + _VALUES))})"] * row_count)
    changes = ", ".join(f"{name} = excluded.{name}" for name in _VALUES)
    differs = " OR ".join(f"{name} IS NOT excluded.{name}" for name in _VALUES)
    return (
        f"INSERT INTO usage_stats ({', '.join(KEY + _VALUES)}) VALUES {values} "
        f"ON CONFLICT DO UPDATE SET {changes} WHERE {differs} RETURNING date"
    )


def _totals(
    table: str, keys: tuple[str, ...], counts: tuple[str, ...], condition: str, month: int | None = None
) -> str:
    selected = [
        *(str(month) if key == "month" else key for key in keys),
        "COUNT(*)",
        "SUM(cost_nano)",
        "SUM(CASE WHEN requests IS NULL THEN 0 ELSE cost_nano END)",
        *(f"SUM({name})" for name in counts),
        *(f"COUNT({name})" for name in counts),
    ]
    plain = ("row_count", "cost_nano", "counted_nano", *map(reported_column, counts))
    columns = ("row_count", "cost_nano", "counted_nano", *counts, *map(reported_column, counts))
    added = [f"{name} = {table}.{name} + excluded.{name}" for name in plain]
    for name in counts:
        told = reported_column(name)
        added.append(
            f"{name} = CASE WHEN {table}.{told} + excluded.{told} <> 0 "
            f"THEN COALESCE({table}.{name}, 0) + COALESCE(excluded.{name}, 0) END"
        )
    grouped = ", ".join(key for key in keys if key != "month")
    return (
        f"INSERT INTO {table} ({', '.join(keys + columns)}) SELECT {', '.join(selected)} FROM usage_stats "
        f"WHERE {condition} GROUP BY {grouped} "
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {', '.join(added)}"
    )


def _check_same(store: Store, raw: sqlite3.Connection) -> None:
    """Two that did not do the same are not worth comparing."""
    with store.read() as connection:
        for table in set(TABLES) - {"usage_days"}:  # the driver alone does not find out what is settled
            query = f"SELECT * FROM {table}"
            assert list(map(tuple, connection.exec_driver_sql(query))) == raw.execute(query).fetchall(), table
