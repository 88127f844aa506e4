"""200,000 ledger rows on PostgreSQL, beside a binary COPY into a temporary table and one upsert from it.

Time as it passes: the server works in processes of its own. The COPY keeps no totals and takes one
transaction for all, where orwatch takes one a key; "the same a key, totals kept" does as orwatch does.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import psycopg
from sqlalchemy import BigInteger

from orwatch.domain.usage import UsageAnswer
from orwatch.store.schema import usage_stats
from tests.bench import writing
from tests.bench.measure import Options, Row, Seconds, in_turn, wall_seconds
from tests.postgres import PostgresServer, running_server

_ROUNDS = 3
_COLUMNS = tuple(column.name for column in usage_stats.columns)
_TYPES = ["int8" if isinstance(column.type, BigInteger) else "int4" for column in usage_stats.columns]


def measure(options: Options) -> list[Row]:
    """A first and a second writing."""
    key_count = options.scaled(writing.KEYS)
    answers = [writing.answer_of(key_id) for key_id in range(1, key_count + 1)]
    rounds = _ROUNDS if options.scale == 1 else 1
    with running_server(options.folder) as server:
        return _measure(server, answers, rounds)


def _measure(server: PostgresServer, answers: Sequence[UsageAnswer], rounds: int) -> list[Row]:
    with server.new_store_database() as url, server.new_store_database() as raw_url:
        store = writing.new_store(url, len(answers))
        writing.new_store(raw_url, len(answers)).close()
        raw = psycopg.connect(raw_url.replace("+psycopg", "", 1), autocommit=True)
        with closing(store), closing(raw):
            _name_models(raw)

            empty = f"TRUNCATE {', '.join(writing.TABLES)}"

            def first(keys_at_once: int = 1) -> float:
                with store.write() as connection:
                    connection.exec_driver_sql(empty)
                return wall_seconds(lambda: writing.write(store, answers, keys_at_once))

            def again() -> float:
                return wall_seconds(lambda: writing.write(store, answers))

            def row(
                what: str, beside: str, ours: Seconds, *, by_key: bool, is_first: bool, goal: float = 1.3
            ) -> Row:
                def theirs() -> float:
                    if is_first:
                        raw.execute(empty.encode())
                    return wall_seconds(lambda: _copy(raw, answers, by_key=by_key))

                measured = in_turn(ours, theirs, rounds)
                name = f"PostgreSQL: 200,000 rows {what} / {beside}"
                return Row(name, goal, measured[0], beside=measured[1])

            bare, same = "COPY and upsert", "the same a key, totals kept"
            return [
                row("written", bare, first, by_key=False, is_first=True, goal=1.8),
                # As those of an account are.
                row(
                    "written, 8 keys at once",
                    bare,
                    lambda: first(8),
                    by_key=False,
                    is_first=True,
                    goal=1.8,
                ),
                row("written", same, first, by_key=True, is_first=True),
                row("re-written", bare, again, by_key=False, is_first=False),
                row("re-written", same, again, by_key=True, is_first=False),
            ]


def _name_models(raw: psycopg.Connection[Any]) -> None:
    """Give the models the numbers that the answers' rows have below."""
    with raw.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO models (id, name) VALUES (%s, %s)",
            [(number, name) for name, number in _MODEL_IDS.items()],
        )


_MODEL_IDS = {
    row.model: number for number, row in enumerate(writing.answer_of(1).rows[: writing.MODELS], start=1)
}


def _copy(raw: psycopg.Connection[Any], answers: Sequence[UsageAnswer], *, by_key: bool) -> None:
    """All in one transaction, or a transaction a key that keeps the totals, too."""
    raw.execute("CREATE TEMPORARY TABLE IF NOT EXISTS incoming (LIKE usage_stats) ON COMMIT DELETE ROWS")
    rows_of_keys = (
        (key_id, writing.ledger_rows(key_id, answer, _MODEL_IDS))
        for key_id, answer in enumerate(answers, start=1)
    )
    if not by_key:
        with raw.transaction():
            _copy_rows(raw, [row for _, rows in rows_of_keys for row in rows])
        return
    for key_id, rows in rows_of_keys:
        with raw.transaction():
            for statement in writing.totals_statements(key_id, _copy_rows(raw, rows)):
                raw.execute(statement.encode())


def _copy_rows(raw: psycopg.Connection[Any], rows: Sequence[tuple[Any, ...]]) -> set[int]:
    """The days on which something has changed."""
    with raw.cursor() as cursor:
        with cursor.copy(b"COPY incoming FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(_TYPES)
            for row in rows:
                copy.write_row(row)
        keys, values = _COLUMNS[: len(writing.KEY)], _COLUMNS[len(writing.KEY) :]
        ours, theirs = (", ".join(f"{of}.{name}" for name in values) for of in ("usage_stats", "excluded"))
        cursor.execute(
            f"INSERT INTO usage_stats SELECT * FROM incoming ON CONFLICT ({', '.join(keys)}) DO UPDATE SET "
            f"{', '.join(f'{name} = excluded.{name}' for name in values)} "
            f"WHERE ({ours}) IS DISTINCT FROM ({theirs})".encode()
        )
        return {row[0] for row in rows} if cursor.rowcount else set()
