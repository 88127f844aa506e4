"""The database of ten million rows: 500 keys, 365 days, 55 of 180 models and providers a key."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from itertools import groupby
from pathlib import Path

from sqlalchemy import Connection

from orwatch.domain.days import month_start
from orwatch.store.engine.database import Store, open_store
from orwatch.store.ledger import rollups
from orwatch.store.schema import SCHEMA_REVISION, to_day_number
from tests.bench.measure import NOW, TODAY, Options

KEYS, DAYS, MODELS, PROVIDERS, SPOTS = 500, 365, 60, 3, 55


def big_database(options: Options) -> Path:
    """Its file: that of an earlier run, where there is one."""
    key_count = options.scaled(KEYS)
    path = options.kept_folder / f"big-{SCHEMA_REVISION}-{key_count}.db"
    if not path.exists():
        unfinished = path.with_suffix(".new")
        with closing(open_store(f"sqlite:///{unfinished}", NOW)) as store:
            _fill(store, key_count)  # closing it brings what was logged ahead into the file
        unfinished.rename(path)
    return path


def open_big(path: str | Path) -> Store:
    """The database, opened."""
    return open_store(f"sqlite:///{path}", NOW)


def _fill(store: Store, key_count: int) -> None:
    with store.write() as connection:
        _name_things(connection, key_count)
        # In the order of the primary key: the table grows at its end only.
        connection.exec_driver_sql(
            f"WITH RECURSIVE days(d) AS (VALUES({to_day_number(TODAY) - DAYS + 1}) "
            f"UNION ALL SELECT d + 1 FROM days WHERE d < {to_day_number(TODAY)}) "
            "INSERT INTO usage_stats SELECT d, k, m, p, 5, 1000 + k, 200 + m, 0, NULL, "
            "(d * 7919 + k * 15485863 + m * 104729 + p * 1299709) % 1000000000, NULL "
            "FROM days CROSS JOIN spots"
        )
        connection.exec_driver_sql(
            "INSERT INTO usage_days (date, api_key_id, source, read_at) "
            "SELECT DISTINCT date, api_key_id, 'usage', 0 FROM usage_stats"
        )
        # Month by month: each row of the monthly totals is written once, and what is sorted stays small.
        days = (TODAY - timedelta(days=age) for age in reversed(range(DAYS)))
        for _, of_month in groupby(days, key=month_start):
            rollups.put_in(connection, rollups.Part([to_day_number(day) for day in of_month]))


def _name_things(connection: Connection, key_count: int) -> None:
    def numbers(count: int) -> str:
        return f"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < {count})"

    for statement in (
        f"{numbers(MODELS)} INSERT INTO models (id, name) "
        "SELECT i, printf('maker%d/model-%d', i % 9, i) FROM n",
        f"{numbers(PROVIDERS)} INSERT INTO providers (id, name) SELECT i, printf('provider-%d', i) FROM n",
        f"{numbers(key_count)} INSERT INTO api_keys (id, name, key_hash, hint, is_active, created_at, kind) "
        "SELECT i, printf('key %d', i), printf('%064x', i), '', 1, 0, 'inference' FROM n",
        "CREATE TEMP TABLE spots (k INTEGER, m INTEGER, p INTEGER, PRIMARY KEY (k, m, p)) WITHOUT ROWID",
        # Steps of 13 through the 180 meet each of them once: 13 and 180 have no common divisor.
        f"{numbers(SPOTS)} INSERT INTO spots SELECT id, s / {PROVIDERS} + 1, s % {PROVIDERS} + 1 "
        f"FROM (SELECT id, (id * 7 + i * 13) % {MODELS * PROVIDERS} AS s FROM api_keys CROSS JOIN n) "
        "ORDER BY 1, 2, 3",
    ):
        connection.exec_driver_sql(statement)
